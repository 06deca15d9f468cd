//! Using machines' power switches: what pages and API share.

use super::PeopleState;
use bootplan::{EventKind, MachineId, Power, PowerAction, PowerState, PowerWay};
use futures_util::{StreamExt, stream};
use reach::Client;
use reach::power::{Lan, PowerError, Switches, Target};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{MachineRecord, StoreError};
use tokio::task::JoinHandle;
use utoipa::ToSchema;

/// Gives the value of a secret by its name.
pub type Passwords = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What is needed to ask anything of others: of power switches, and of hooks' receivers.
#[derive(Clone)]
pub(crate) struct PowerRoom {
    pub(crate) client: Client,
    pub(crate) switches: Switches,
    pub(crate) passwords: Passwords,
}

/// What is asked of machines' switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One thing.
    Action(PowerAction),
    /// That each boots from the network at once, by what it has: something was ordered for it.
    BootOrdered,
}

/// One thing that was asked of a switch, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Tried {
    /// `next-boot-pxe`, `restart`, `wake` and the like.
    #[schema(value_type = String)]
    pub(crate) action: PowerAction,
    /// `redfish`, `ipmi` or `wake-on-lan`; null when there is no way.
    #[schema(value_type = Option<String>)]
    pub(crate) way: Option<PowerWay>,
    /// `on`, `off` or `changing`, when the switch was asked.
    #[schema(value_type = Option<String>)]
    pub(crate) state: Option<PowerState>,
    /// Why it did not work; null when it did.
    pub(crate) problem: Option<String>,
}

/// What was asked of one machine's switch, one thing after the other. The first that does not
/// work is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Switched {
    pub(crate) id: MachineId,
    pub(crate) name: String,
    pub(crate) tried: Vec<Tried>,
    /// Whether nothing more is tried.
    pub(crate) over: bool,
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

impl Asked {
    /// What is to be done with this switch, in this order.
    pub(crate) fn steps(self, power: &Power) -> Vec<PowerAction> {
        match self {
            Asked::Action(action) => vec![action],
            Asked::BootOrdered if power.way(PowerAction::NextBootPxe).is_some() => {
                // Restart switches on what is off.
                vec![PowerAction::NextBootPxe, PowerAction::Restart]
            }
            Asked::BootOrdered if power.wake => vec![PowerAction::Wake],
            Asked::BootOrdered => Vec::new(),
        }
    }
}

impl Switched {
    /// Whether everything worked.
    pub(crate) fn good(&self) -> bool {
        self.over && !self.tried.is_empty() && self.tried.iter().all(|t| t.problem.is_none())
    }

    /// For people: what came of it, and what is left to do by hand.
    pub(crate) fn told(&self, asked: Asked) -> String {
        let ordered = asked == Asked::BootOrdered;
        let Some(last) = self.tried.last() else {
            return match (self.over, ordered) {
                (false, _) => "under way".to_owned(),
                (true, _) => "ordered; no power switch of it is known, so power it on by hand, \
                              and have it boot from the network"
                    .to_owned(),
            };
        };
        let way = last.way.map(|way| format!(" by {way}")).unwrap_or_default();
        let tool = last.way.map(|way| format!(" ({way})")).unwrap_or_default();
        let action = last.action;
        match (&last.problem, last.state) {
            (Some(problem), _) if ordered && action == PowerAction::Restart => format!(
                "ordered, and it boots by PXE next; {action} failed{tool}: {problem}; the order \
                 stands, power it on by hand"
            ),
            (Some(problem), _) if ordered => format!(
                "ordered; {action} failed{tool}: {problem}; the order stands, power it on by hand, \
                 and have it boot from the network"
            ),
            (Some(problem), _) => problem.clone(),
            (None, _) if !self.over => format!("{action} asked{way}; more is under way"),
            (None, _) if ordered && action == PowerAction::Wake => "ordered, and woken by a magic \
                 packet; one that is on hears none: restart it by hand"
                .to_owned(),
            (None, _) if ordered => {
                format!("ordered; it boots by PXE next, and was restarted{way}")
            }
            (None, Some(state)) => state.to_string(),
            (None, None) => format!("{action}, asked{way}"),
        }
    }
}

impl PeopleState {
    /// Uses switches, several at once and each once, and notes what came of each in its machine's history. What
    /// was begun goes on when the caller goes away.
    ///
    /// # Errors
    /// No such machine. What a switch says is told of each.
    pub(crate) async fn switch(
        &self,
        ids: Vec<MachineId>,
        asked: Asked,
        by: &str,
    ) -> Result<Vec<Switched>, StoreError> {
        match self.begin_switching(ids, asked, by, |_| ())?.await {
            Ok(all) => Ok(all),
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            // The program is ending; nobody reads this.
            Err(_) => Ok(Vec::new()),
        }
    }

    /// The same without waiting; `tell` hears of each step before it is in the history.
    ///
    /// # Errors
    /// No such machine.
    pub(crate) fn begin_switching(
        &self,
        ids: Vec<MachineId>,
        asked: Asked,
        by: &str,
        tell: impl Fn(&Switched) + Send + Sync + 'static,
    ) -> Result<JoinHandle<Vec<Switched>>, StoreError> {
        let mut records = Vec::with_capacity(ids.len());
        let mut seen = BTreeSet::new();
        for id in ids.into_iter().filter(|id| seen.insert(*id)) {
            let what = format!("machine {}", id.0);
            let record = self.store.machine(id);
            records.push(record.ok_or(StoreError::NotFound { what })?);
        }
        let (state, by) = (self.clone(), by.to_owned());
        Ok(tokio::spawn(async move {
            let (state, by, tell) = (&state, &by, &tell);
            let one =
                |(n, record)| async move { (n, state.switch_one(record, asked, by, tell).await) };
            // One that does not answer keeps its own place only.
            let all = stream::iter(records.into_iter().enumerate()).map(one);
            let mut all: Vec<_> = all.buffer_unordered(AT_ONCE).collect().await;
            all.sort_by_key(|(n, _)| *n);
            all.into_iter().map(|(_, switched)| switched).collect()
        }))
    }

    async fn switch_one(
        &self,
        record: MachineRecord,
        asked: Asked,
        by: &str,
        tell: &(dyn Fn(&Switched) + Send + Sync),
    ) -> Switched {
        let machine = &record.machine;
        let mut switched = Switched {
            id: machine.id,
            name: machine.name.clone(),
            tried: Vec::new(),
            over: false,
        };
        let (power, steps, unread) = match self.store.power(machine.id).await {
            Ok(power) => (power.clone(), asked.steps(&power), None),
            Err(error) => {
                let first = asked.steps(&Power::default()).first().copied();
                let first = first.unwrap_or(PowerAction::NextBootPxe);
                (Power::default(), vec![first], Some(error.to_string()))
            }
        };
        let count = steps.len();
        for (n, action) in steps.into_iter().enumerate() {
            let (state, problem) = match unread.clone() {
                Some(problem) => (None, Some(problem)),
                None => self.act(&record, &power, action).await,
            };
            let tried = Tried {
                action,
                way: power.way(action),
                state,
                problem,
            };
            switched.over = tried.problem.is_some() || n + 1 == count;
            switched.tried.push(tried.clone());
            tell(&switched);
            let told = EventKind::Powered {
                action,
                way: tried.way,
                state,
                problem: tried.problem,
                by: by.to_owned(),
            };
            if let Err(error) = self.store.powered(machine.id, told).await {
                tracing::warn!(
                    "what came of {action} of {} is not noted: {error}",
                    machine.name
                );
            }
            if switched.over {
                return switched;
            }
        }
        switched.over = true;
        tell(&switched);
        switched
    }

    /// What its switch said, or why it did not do it.
    async fn act(
        &self,
        record: &MachineRecord,
        power: &Power,
        action: PowerAction,
    ) -> (Option<PowerState>, Option<String>) {
        let machine = &record.machine;
        let target = Target {
            power,
            macs: &machine.macs,
            uuid: machine.uuid,
            lans: &self.lans(machine.facts.place),
        };
        let done = match &self.power {
            Some(room) => {
                let passwords = &room.passwords;
                let password = |name: &str| passwords(name);
                room.switches.act(&target, action, &password).await
            }
            None => Err(PowerError::NoWay { action }),
        };
        match done {
            Ok(state) => (state, None),
            Err(error) => (None, Some(error.to_string())),
        }
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

impl From<Switched> for Powered {
    /// Of a machine that one thing was asked of.
    fn from(switched: Switched) -> Self {
        let tried = switched.tried.into_iter().next();
        let (way, state, problem) = match tried {
            Some(tried) => (tried.way, tried.state, tried.problem),
            None => (None, None, None),
        };
        Powered {
            id: switched.id.0,
            name: switched.name,
            way,
            state,
            problem,
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

    #[test]
    fn an_ordered_machine_boots_by_what_it_has() {
        use PowerAction::{NextBootPxe, Restart, Wake};
        for (power, steps) in [
            (serde_json::json!({}), vec![]),
            (serde_json::json!({"wake": true}), vec![Wake]),
            (
                serde_json::json!({"wake": true, "ipmi": {"host": "h"}}),
                vec![NextBootPxe, Restart],
            ),
            (
                serde_json::json!({"redfish": {"url": "https://h"}}),
                vec![NextBootPxe, Restart],
            ),
        ] {
            let power: Power = serde_json::from_value(power).expect("a power switch");
            assert_eq!(Asked::BootOrdered.steps(&power), steps, "{power:?}");
            assert_eq!(Asked::Action(Restart).steps(&power), [Restart]);
        }
    }

    #[test]
    fn each_step_is_told_as_it_went() {
        use PowerAction::{NextBootPxe, Restart, Status, Wake};
        let tried = |action, problem: Option<&str>| Tried {
            action,
            way: match action {
                Wake => Some(PowerWay::WakeOnLan),
                _ => Some(PowerWay::Redfish),
            },
            state: (action == Status).then_some(PowerState::Off),
            problem: problem.map(str::to_owned),
        };
        let told = |asked, tried: Vec<Tried>, over| {
            let switched = Switched {
                id: MachineId(1),
                name: "node-1".to_owned(),
                tried,
                over,
            };
            format!("{} {}", switched.good(), switched.told(asked))
        };
        let boot = |tried: Vec<Tried>| told(Asked::BootOrdered, tried, true);
        let why = Some("https://10.9.0.3: no answer");
        let lines = [
            boot(vec![]),
            boot(vec![tried(NextBootPxe, None), tried(Restart, None)]),
            boot(vec![tried(NextBootPxe, why)]),
            boot(vec![tried(NextBootPxe, None), tried(Restart, why)]),
            boot(vec![tried(Wake, None)]),
            boot(vec![tried(Wake, Some("no interface is up"))]),
            told(Asked::BootOrdered, vec![], false),
            told(Asked::BootOrdered, vec![tried(NextBootPxe, None)], false),
            told(Asked::Action(Restart), vec![tried(Restart, None)], true),
            told(Asked::Action(Restart), vec![tried(Restart, why)], true),
            told(Asked::Action(Status), vec![tried(Status, None)], true),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        false ordered; no power switch of it is known, so power it on by hand, and have it boot from the network
        true ordered; it boots by PXE next, and was restarted by Redfish
        false ordered; next boot by PXE failed (Redfish): https://10.9.0.3: no answer; the order stands, power it on by hand, and have it boot from the network
        false ordered, and it boots by PXE next; restart failed (Redfish): https://10.9.0.3: no answer; the order stands, power it on by hand
        true ordered, and woken by a magic packet; one that is on hears none: restart it by hand
        false ordered; wake failed (Wake-on-LAN): no interface is up; the order stands, power it on by hand, and have it boot from the network
        false under way
        false next boot by PXE asked by Redfish; more is under way
        true restart, asked by Redfish
        false https://10.9.0.3: no answer
        true off
        ");
    }
}
