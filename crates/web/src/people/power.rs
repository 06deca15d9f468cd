//! Using machines' power switches: what pages and API share.

use super::PeopleState;
use bootplan::{EventKind, MachineId, PowerAction, PowerState, PowerWay};
use futures_util::{StreamExt, stream};
use reach::power::{Lan, PowerError, Switches, Target};
use serde::Serialize;
use std::sync::Arc;
use store::{MachineRecord, StoreError};
use utoipa::ToSchema;

/// Gives the value of a secret by its name.
pub type Passwords = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What is needed to use power switches.
#[derive(Clone)]
pub(crate) struct PowerRoom {
    pub(crate) switches: Switches,
    pub(crate) passwords: Passwords,
}

/// What came of using a machine's switch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Powered {
    /// The machine.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) name: String,
    /// `redfish`, `ipmi` or `wake-on-lan`; null when there is no way.
    #[schema(value_type = Option<String>)]
    pub(crate) way: Option<PowerWay>,
    /// `on`, `off` or `changing`, when the switch was asked.
    #[schema(value_type = Option<String>)]
    pub(crate) state: Option<PowerState>,
    /// Why it did not work; null when it did.
    pub(crate) problem: Option<String>,
}

impl PeopleState {
    /// Uses switches, several at once, and notes what came of each in its machine's history. What
    /// was begun goes on when the caller goes away.
    ///
    /// # Errors
    /// No such machine, or the database failed. What a switch says is told of each.
    pub(crate) async fn switch(
        &self,
        ids: Vec<MachineId>,
        action: PowerAction,
        by: &str,
    ) -> Result<Vec<Powered>, StoreError> {
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            let what = format!("machine {}", id.0);
            records.push(
                self.store
                    .machine(id)
                    .ok_or(StoreError::NotFound { what })?,
            );
        }
        let (state, by) = (self.clone(), by.to_owned());
        let all = tokio::spawn(async move {
            stream::iter(records)
                .map(|record| state.switch_one(record, action, &by))
                .buffered(AT_ONCE)
                .collect::<Vec<_>>()
                .await
        });
        match all.await {
            Ok(all) => all.into_iter().collect(),
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            // The program is ending; nobody reads this.
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn switch_one(
        &self,
        record: MachineRecord,
        action: PowerAction,
        by: &str,
    ) -> Result<Powered, StoreError> {
        let machine = &record.machine;
        let power = self.store.power(machine.id).await?;
        let way = power.way(action);
        let target = Target {
            power: &power,
            macs: &machine.macs,
            uuid: machine.uuid,
            lans: &self.lans(machine.facts.place),
        };
        let done = match &self.power {
            Some(room) => {
                let passwords = &room.passwords;
                room.switches
                    .act(&target, action, &|name| passwords(name))
                    .await
            }
            None => Err(PowerError::NoWay { action }),
        };
        let (state, problem) = match done {
            Ok(state) => (state, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let told = EventKind::Powered {
            action,
            way,
            state,
            problem: problem.clone(),
            by: by.to_owned(),
        };
        self.store.powered(machine.id, told).await?;
        Ok(Powered {
            id: machine.id.0,
            name: machine.name.clone(),
            way,
            state,
            problem,
        })
    }

    /// The network where a machine last asked; all that are served when that is not one of ours.
    fn lans(&self, place: Option<std::net::Ipv4Addr>) -> Vec<Lan> {
        let status = (self.status)();
        let serving = status
            .interfaces
            .iter()
            .filter(|interface| interface.serving);
        let all: Vec<Lan> = serving
            .filter_map(|interface| lan(&interface.address))
            .collect();
        match all.iter().find(|lan| Some(lan.address) == place) {
            Some(one) => vec![*one],
            None => all,
        }
    }
}

/// `10.0.0.2/24`; an address alone is taken for a network of 256.
fn lan(text: &str) -> Option<Lan> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "24"));
    Some(Lan {
        address: address.parse().ok()?,
        prefix: prefix.parse().ok()?,
    })
}

/// A rack's controllers share a network; more at once would time each other out.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_the_status_tells_them() {
        let lan = |text| lan(text).map(|lan| lan.broadcast().to_string());
        assert_eq!(lan("10.0.5.2/16").as_deref(), Some("10.0.255.255"));
        assert_eq!(lan("10.0.5.2").as_deref(), Some("10.0.5.255"));
        assert_eq!(lan(""), None);
    }
}
