//! Addresses that tell less than others: adapters that several machines use, and those of which a
//! person has to say whose they are.

use crate::change::{Change, to_the_end};
use crate::rows::{Tx, failed, json, parsed, to_json};
use crate::{Store, StoreError};
use bootplan::identity::{Claim, Evidence, Suspect};
use bootplan::{Doubts, EventKind, MacAddr, Machine, MachineId, Timestamp};
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// An address of which a person has to say whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Which one.
    pub mac: MacAddr,
    /// The machines it may belong to, and what speaks for and against each.
    pub suspects: Vec<Suspect>,
    /// What was said by this address and did not fit, the newest last; each is another machine's,
    /// as far as one can tell.
    pub claims: Vec<Claim>,
    /// Whether the machine that has this address asked last, by its own UUID: it boots, and only
    /// the others wait.
    pub quiet: bool,
    /// Since when.
    pub since: Timestamp,
}

/// An adapter that several machines use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedMac {
    /// Its address.
    pub mac: MacAddr,
    /// What somebody said of it.
    pub why: String,
    /// Labels: files own it by one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Since when.
    pub since: Timestamp,
}

/// All of them, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doubted {
    pub(crate) conflicts: BTreeMap<MacAddr, Conflict>,
    pub(crate) shared: BTreeMap<MacAddr, SharedMac>,
}

impl Conflict {
    /// Takes in what was said just now.
    pub(crate) fn hear(&mut self, claim: Claim) {
        let known = self.claims.iter().position(|known| known.agrees(&claim));
        let mut said = known.map_or_else(Claim::default, |at| self.claims.remove(at));
        said.complete(&claim);
        // The oldest gives way: the newest is what a person is asked about.
        if self.claims.len() >= CLAIMS_LIMIT {
            self.claims.remove(0);
        }
        self.claims.push(said);
    }

    /// Whether this says all that was doubtful, so that it is not any more if it fits now.
    pub(crate) fn answered_by(&self, claim: &Claim) -> bool {
        self.claims.last().is_none_or(|asked| {
            let uuid = asked.uuid.is_none() || claim.uuid.is_some();
            let serial = asked.serial.is_none() || claim.serial.is_some();
            uuid && serial && asked.agrees(claim)
        })
    }

    /// Whether the machine that has this address may be another one that is known too: what it
    /// says fits both.
    pub fn twin(&self) -> bool {
        let owns = |suspect: &&Suspect| suspect.evidence.contains(&Evidence::Mac);
        let owner = self.suspects.iter().find(owns);
        let fits = |owner: &Suspect| owner.evidence.iter().all(|e| e.weight() > 0);
        self.suspects.len() > 1 && owner.is_some_and(fits)
    }

    /// Whether there still is something for a person to say.
    fn is_left(&self) -> bool {
        let disputed = |suspect: &Suspect| suspect.evidence.iter().any(|e| e.weight() < 0);
        self.suspects.len() > 1 || self.suspects.iter().any(disputed)
    }

    /// How many machines seem to use this address, counting `owner`, who has it: three are most
    /// likely users of one adapter.
    pub fn users(&self, owner: Option<&Machine>) -> usize {
        let uuids = self.claims.iter().filter_map(|claim| claim.uuid);
        let others = uuids.filter(|uuid| {
            !owner.is_some_and(|owner| bootplan::identity::same_uuid(Some(*uuid), owner))
        });
        others.count() + usize::from(owner.is_some_and(|owner| owner.uuid.is_some()))
    }
}

impl Doubted {
    /// What of it packets are answered from.
    pub(crate) fn published(&self) -> Doubts {
        let quiet = self.conflicts.values().filter(|conflict| conflict.quiet);
        let twins = self.conflicts.values().filter(|conflict| conflict.twin());
        Doubts {
            shared_macs: self.shared.keys().copied().collect(),
            conflicts: self.conflicts.keys().copied().collect(),
            quiet: quiet.map(|conflict| conflict.mac).collect(),
            twins: twins.map(|conflict| conflict.mac).collect(),
        }
    }

    pub(crate) async fn load(tx: &mut Tx) -> Result<Doubted, sqlx::Error> {
        let text = "SELECT mac, suspects, claims, quiet, since FROM conflicts";
        let rows = sqlx::query(text).fetch_all(&mut **tx).await?;
        let conflicts: Result<_, sqlx::Error> = rows.iter().map(conflict).collect();
        let rows = sqlx::query("SELECT mac, why, labels, since FROM shared_macs")
            .fetch_all(&mut **tx)
            .await?;
        let shared: Result<_, sqlx::Error> = rows.iter().map(shared_mac).collect();
        Ok(Doubted {
            conflicts: conflicts?,
            shared: shared?,
        })
    }
}

impl Store {
    /// Everything that waits for a person, the oldest first. From memory.
    pub fn conflicts(&self) -> Vec<Conflict> {
        let mut all: Vec<_> = self.model().doubts.conflicts.values().cloned().collect();
        all.sort_by_key(|conflict| (conflict.since, conflict.mac));
        all
    }

    /// All shared adapters, the oldest first. From memory.
    pub fn shared_macs(&self) -> Vec<SharedMac> {
        let mut all: Vec<_> = self.model().doubts.shared.values().cloned().collect();
        all.sort_by_key(|shared| (shared.since, shared.mac));
        all
    }

    /// This adapter is one machine's again.
    ///
    /// # Errors
    /// It is not marked as shared, database failure.
    pub async fn unmark_shared(&self, mac: MacAddr, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.unmark_shared(mac, &by).await?;
            change.finish().await
        })
        .await
    }
}

impl Change {
    pub(crate) async fn unmark_shared(&mut self, mac: MacAddr, by: &str) -> Result<(), StoreError> {
        let gone = sqlx::query("DELETE FROM shared_macs WHERE mac = $1")
            .bind(mac.to_string())
            .execute(&mut *self.tx)
            .await
            .map_err(failed("storing a shared adapter"))?;
        if gone.rows_affected() == 0 {
            let what = format!("shared adapter {mac}");
            return Err(StoreError::NotFound { what });
        }
        self.overlay.touch_shared();
        let what = format!("adapter '{mac}' no longer marked as shared");
        let by = by.to_owned();
        self.say(None, EventKind::Changed { what, by });
        Ok(())
    }

    pub(crate) async fn put_conflict(&mut self, conflict: &Conflict) -> Result<(), sqlx::Error> {
        self.overlay.put_conflict(conflict.mac, true);
        sqlx::query(
            "INSERT INTO conflicts (mac, suspects, claims, quiet, since) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (mac) DO UPDATE SET \
             suspects = excluded.suspects, claims = excluded.claims, quiet = excluded.quiet",
        )
        .bind(conflict.mac.to_string())
        .bind(to_json(&conflict.suspects))
        .bind(to_json(&conflict.claims))
        .bind(i64::from(conflict.quiet))
        .bind(conflict.since.0)
        .execute(&mut *self.tx)
        .await
        .map(drop)
    }

    /// Forgets what was doubtful of these addresses.
    pub(crate) async fn drop_conflicts(&mut self, macs: &[MacAddr]) -> Result<(), sqlx::Error> {
        let doubtful: Vec<MacAddr> = {
            let model = self.store.model();
            let open = |mac: &&MacAddr| self.overlay.in_conflict(&model, **mac);
            macs.iter().filter(open).copied().collect()
        };
        for mac in doubtful {
            self.overlay.put_conflict(mac, false);
            sqlx::query("DELETE FROM conflicts WHERE mac = $1")
                .bind(mac.to_string())
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    /// A machine goes: its addresses are nobody's, and nothing is said of it any more.
    pub(crate) async fn acquit(&mut self, id: MachineId) -> Result<(), sqlx::Error> {
        let macs = self.must_know(id).map(|machine| machine.macs.clone());
        self.drop_conflicts(&macs.unwrap_or_default()).await?;
        for mut conflict in self.conflicts_about(id) {
            conflict.suspects.retain(|suspect| suspect.machine != id);
            match conflict.is_left() {
                true => self.put_conflict(&conflict).await?,
                false => self.drop_conflicts(&[conflict.mac]).await?,
            }
        }
        Ok(())
    }

    /// Those of other machines' addresses in which this one is suspected.
    pub(crate) fn conflicts_about(&self, id: MachineId) -> Vec<Conflict> {
        let model = self.store.model();
        let all = model.doubts.conflicts.values();
        let open = all.filter(|conflict| self.overlay.in_conflict(&model, conflict.mac));
        let about = open.filter(|conflict| conflict.suspects.iter().any(|s| s.machine == id));
        about.cloned().collect()
    }

    pub(crate) async fn put_shared(&mut self, shared: &SharedMac) -> Result<(), sqlx::Error> {
        self.overlay.touch_shared();
        sqlx::query(
            "INSERT INTO shared_macs (mac, why, labels, since) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (mac) DO UPDATE SET why = excluded.why, labels = excluded.labels",
        )
        .bind(shared.mac.to_string())
        .bind(shared.why.clone())
        .bind(to_json(&shared.labels))
        .bind(shared.since.0)
        .execute(&mut *self.tx)
        .await
        .map(drop)
    }
}

fn conflict(row: &AnyRow) -> Result<(MacAddr, Conflict), sqlx::Error> {
    let mac = parsed(row, "mac")?;
    let conflict = Conflict {
        mac,
        suspects: json(row, "suspects")?,
        claims: json(row, "claims")?,
        quiet: row.try_get::<i64, _>("quiet")? != 0,
        since: Timestamp(row.try_get("since")?),
    };
    Ok((mac, conflict))
}

fn shared_mac(row: &AnyRow) -> Result<(MacAddr, SharedMac), sqlx::Error> {
    let mac = parsed(row, "mac")?;
    let shared = SharedMac {
        mac,
        why: row.try_get("why")?,
        labels: json(row, "labels")?,
        since: Timestamp(row.try_get("since")?),
    };
    Ok((mac, shared))
}

/// More machines behind one address are told apart by nobody.
const CLAIMS_LIMIT: usize = 8;
