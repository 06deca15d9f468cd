//! All that the boot plane may do with the store, and nothing else: what a machine's link allows.

use crate::change::{Change, now};
use crate::rows::failed;
use crate::{Heard, Store, StoreError};
use bootplan::run::Report;
use bootplan::{Hardware, RunId, Secret, VerifiedLink};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The narrow door of the boot plane. It reads no people, tokens or uploads, and changes nothing
/// but the run of a machine whose link was checked, and what that machine claims to be made of.
#[derive(Clone)]
pub struct MachineSide(Store);

impl From<Store> for MachineSide {
    fn from(store: Store) -> Self {
        MachineSide(store)
    }
}

impl MachineSide {
    /// The key under which links are signed.
    pub fn link_key(&self) -> Option<[u8; 32]> {
        self.0.link_key()
    }

    /// The secrets, for a sealed answer that is being rendered.
    pub fn secrets(&self) -> Arc<BTreeMap<String, Secret>> {
        self.0.secrets()
    }

    /// A machine's own report: see [`Store::report`]. One that cannot be stored is not forgotten
    /// while the program runs; the machine is told to say it again all the same.
    ///
    /// # Errors
    /// The machine is gone, database failure.
    pub async fn report(&self, link: &VerifiedLink, report: Report) -> Result<Heard, StoreError> {
        let (run, attempt) = (RunId(link.run), link.try_number);
        let heard = self.0.report(link.machine, run, attempt, report.clone());
        let heard = heard.await;
        if let Err(StoreError::Database { .. }) = &heard {
            self.0.set_failing(true);
            self.0.report_lost(link.machine, run, attempt, report);
        }
        heard
    }

    /// A machine's inventory: see [`Store::tell_hardware`].
    ///
    /// # Errors
    /// The machine is gone, database failure.
    pub async fn tell_hardware(
        &self,
        link: &VerifiedLink,
        hardware: Hardware,
    ) -> Result<bool, StoreError> {
        let run = RunId(link.run);
        self.0.tell_hardware(link.machine, run, hardware).await
    }

    /// Notes that an answer for one use was fetched, before it leaves. False: it was before.
    ///
    /// # Errors
    /// Database failure.
    pub async fn use_once(
        &self,
        link: &VerifiedLink,
        name: &str,
        from: Option<Ipv4Addr>,
    ) -> Result<bool, StoreError> {
        let (store, link, name) = (self.0.clone(), *link, name.to_owned());
        crate::change::to_the_end(async move {
            let mut change = store.begin().await?;
            let first = change.use_once(&link, &name, from).await?;
            change.commit().await?;
            Ok(first)
        })
        .await
    }
}

impl Change {
    async fn use_once(
        &mut self,
        link: &VerifiedLink,
        name: &str,
        from: Option<Ipv4Addr>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO link_uses (run_id, attempt, name, at, ip) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (run_id, attempt, name) DO NOTHING",
        )
        .bind(link.run)
        .bind(i64::from(link.try_number))
        .bind(name.to_owned())
        .bind(now().0)
        .bind(from.map_or_else(String::new, |ip| ip.to_string()))
        .execute(&mut *self.tx)
        .await
        .map_err(failed("noting the use of a link"))?;
        Ok(done.rows_affected() > 0)
    }
}
