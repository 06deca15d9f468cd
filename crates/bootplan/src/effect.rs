//! What rules do to the machines we know: which ones they match, which ones they decide about,
//! and what a change of them would change. Asks the function that answers the network.

use crate::{
    Because, BootClient, Catalog, Finding, Intent, MacAddr, Machine, ProfileName, Rule, RuleName,
    Ruling, Seen, Stage, decide, judge,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

mod orders;

pub use orders::{adopted, forgotten, waits_for_order};

/// What a machine comes to, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "gets", rename_all = "kebab-case")]
pub enum Gets {
    /// This profile boots.
    Profile {
        /// Which one.
        profile: ProfileName,
    },
    /// It is being registered, and then installed.
    InstallOnce {
        /// With which profile.
        profile: ProfileName,
    },
    /// Its local disk; a rule would install it, but only on an order.
    OnOrder {
        /// With which profile.
        profile: ProfileName,
    },
    /// What nobody's machines get, until somebody adopts it.
    OnceAdopted {
        /// What it gets then.
        profile: ProfileName,
    },
    /// It waits for its turn to be installed.
    Queue,
    /// Its local disk.
    LocalDisk,
    /// It waits for an assignment.
    Wait,
    /// A menu.
    Menu,
    /// No answer.
    Nothing,
}

/// What a machine gets, and because of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What it gets.
    pub gets: Gets,
    /// Because of what.
    pub because: Because,
}

/// A machine that gets something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which one.
    pub machine: Arc<Machine>,
    /// What it gets now.
    pub from: Decided,
    /// What it would get.
    pub to: Decided,
}

/// How many machines a rule concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Those that its selector fits.
    pub matching: usize,
    /// Those of them that nothing else comes before: no assignment, no order, no narrower rule.
    pub deciding: usize,
}

/// How a rule stands to one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stand {
    /// It is the one.
    Decides,
    /// It may be the one, as soon as the loader tells more; nothing else decides before that.
    MayDecide,
    /// It matches, but a rule before it decides.
    Later,
    /// It matches, but an assignment, an order or a doubt comes before all rules.
    Overruled,
    /// It does not match.
    NoMatch,
    /// Whether it matches hangs on something not known yet.
    Unknown,
}

/// What became of one rule when a client asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The rule.
    pub rule: Arc<Rule>,
    /// How it stands.
    pub stand: Stand,
    /// Each condition with whether it holds.
    pub findings: Vec<Finding>,
}

/// What a machine gets when its loader asks for a menu: by then all is known of it that ever will
/// be, and no loader is missing.
pub fn decided(machine: &Machine, catalog: &Catalog) -> Decided {
    let verdict = judge(&asking(machine), catalog);
    let because = verdict.because();
    let gets = match (&verdict.ruling, &because) {
        (Ruling::LocalDisk, Because::RuleOnce { profile, .. }) => Gets::OnOrder {
            profile: profile.clone(),
        },
        (_, Because::RuleOnce { profile, .. }) => Gets::InstallOnce {
            profile: profile.clone(),
        },
        (_, Because::Unapproved { profile, .. }) => Gets::OnceAdopted {
            profile: profile.clone(),
        },
        (Ruling::LocalDisk, _) => Gets::LocalDisk,
        (Ruling::Silent, _) => Gets::Nothing,
        (Ruling::Boot(sketch), because) => match (sketch.intent, because.profile()) {
            (Intent::Assigned, Some(profile)) => Gets::Profile {
                profile: profile.clone(),
            },
            (Intent::Queue, _) => Gets::Queue,
            (Intent::Menu, _) => Gets::Menu,
            (Intent::Wait | Intent::Assigned, _) => Gets::Wait,
        },
    };
    Decided { gets, because }
}

/// The machines that this rule fits, by identity, whether or not it decides about them.
pub fn matching<'c>(rule: &Rule, catalog: &'c Catalog) -> Vec<&'c Arc<Machine>> {
    let fits = |machine: &&Arc<Machine>| fits(rule, machine);
    catalog.machines().filter(fits).collect()
}

/// How many machines each rule concerns; disabled rules decide about none.
pub fn shares(catalog: &Catalog) -> BTreeMap<RuleName, Share> {
    let named = catalog.every_rule().map(|rule| rule.name.clone());
    let mut shares: BTreeMap<RuleName, Share> = named.map(|n| (n, Share::default())).collect();
    for machine in catalog.machines() {
        for rule in catalog.every_rule().filter(|rule| fits(rule, machine)) {
            shares.entry(rule.name.clone()).or_default().matching += 1;
        }
        if let Some((rule, _)) = decide::deciding_rule(&asking(machine), catalog) {
            shares.entry(rule.name.clone()).or_default().deciding += 1;
        }
    }
    shares
}

/// The catalog with other rules.
pub fn with_rule(catalog: &Catalog, rule: Rule) -> Catalog {
    let others = catalog.every_rule().filter(|old| old.name != rule.name);
    let mut rules: Vec<Arc<Rule>> = others.cloned().collect();
    rules.push(Arc::new(rule));
    catalog.clone().with_rules(rules)
}

/// The catalog without a rule.
pub fn without_rule(catalog: &Catalog, name: &RuleName) -> Catalog {
    let rules = catalog.every_rule().filter(|old| old.name != *name);
    let rules: Vec<Arc<Rule>> = rules.cloned().collect();
    catalog.clone().with_rules(rules)
}

/// The machines of `before` that would get something else by `after`, by identity. Each is decided
/// about twice.
pub fn changes(before: &Catalog, after: &Catalog) -> Vec<Changed> {
    let changed = before.machines().filter_map(|machine| {
        let (from, to) = (decided(machine, before), decided(machine, after));
        (from.gets != to.gets).then(|| Changed {
            machine: Arc::clone(machine),
            from,
            to,
        })
    });
    changed.collect()
}

/// What became of each rule in force when this client asked, in the order they are asked.
pub fn account(client: &BootClient, catalog: &Catalog) -> Vec<Account> {
    let machine = catalog.find(client.mac, client.uuid);
    let seen = Seen::of(client, machine.map(|m| &**m));
    let first = decide::deciding_rule(client, catalog);
    let of = |rule: &Arc<Rule>| Account {
        rule: Arc::clone(rule),
        stand: match (rule.selector.holds(&seen), first) {
            (_, Some((first, certain))) if first.name == rule.name => match certain {
                true => Stand::Decides,
                false => Stand::MayDecide,
            },
            (Some(true), Some(_)) => Stand::Later,
            (Some(true), None) => Stand::Overruled,
            (Some(false), _) => Stand::NoMatch,
            (None, _) => Stand::Unknown,
        },
        findings: rule.selector.explain(&seen),
    };
    catalog.rules().iter().map(of).collect()
}

/// [`account`] of a machine that asks for its menu.
pub fn account_of(machine: &Machine, catalog: &Catalog) -> Vec<Account> {
    account(&asking(machine), catalog)
}

fn fits(rule: &Rule, machine: &Machine) -> bool {
    let client = asking(machine);
    rule.selector.matches(&Seen::of(&client, Some(machine)))
}

/// The machine as its iPXE would ask for its menu.
fn asking(machine: &Machine) -> BootClient {
    let mac = machine.macs.first().copied().unwrap_or(NO_CARD);
    BootClient {
        uuid: machine.uuid,
        ..BootClient::asking(mac, Stage::Ipxe)
    }
}

/// Stands for the card of a machine that was entered by its UUID alone: from the block for
/// documentation (RFC 7042 2.1.2).
const NO_CARD: MacAddr = MacAddr([0x00, 0x00, 0x5e, 0x00, 0x53, 0xff]);

impl fmt::Display for Gets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gets::Profile { profile } => write!(f, "profile '{profile}'"),
            Gets::InstallOnce { profile } => write!(f, "'{profile}', installed once"),
            Gets::OnOrder { profile } => {
                write!(f, "its local disk; '{profile}' once somebody orders it")
            }
            Gets::OnceAdopted { profile } => write!(f, "'{profile}' once it is adopted"),
            Gets::Queue => f.write_str("a place in the queue"),
            Gets::LocalDisk => f.write_str("its local disk"),
            Gets::Wait => f.write_str("it waits for an assignment"),
            Gets::Menu => f.write_str("a menu"),
            Gets::Nothing => f.write_str("no answer"),
        }
    }
}

impl Stand {
    /// The word used in the API.
    pub fn slug(self) -> &'static str {
        match self {
            Stand::Decides => "decides",
            Stand::MayDecide => "may-decide",
            Stand::Later => "later",
            Stand::Overruled => "overruled",
            Stand::NoMatch => "no-match",
            Stand::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stand::Decides => "decides",
            Stand::MayDecide => "may decide, once more is known",
            Stand::Later => "matches, but an earlier rule decides",
            Stand::Overruled => "matches, but what is set for this machine comes first",
            Stand::NoMatch => "does not match",
            Stand::Unknown => "not known yet",
        })
    }
}

#[cfg(test)]
mod tests;
