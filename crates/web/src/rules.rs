//! What a change of rules would change, for the API and the pages alike.

use crate::every_boot::{self, Erased};
use bootplan::effect::{self, Changed, Share};
use bootplan::{Catalog, Machine, NewMachines, Rule, RuleName};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One change of the rules, not made yet.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// A new rule, or another one in place of the one of its name.
    Put(Rule),
    /// A rule goes.
    Delete(RuleName),
}

/// What such a change comes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preview {
    /// The machines that the rule would fit; none when it goes.
    pub(crate) matches: Vec<Arc<Machine>>,
    /// The machines that would get something else.
    pub(crate) changes: Vec<Changed>,
    /// What would come to be installed at every boot.
    pub(crate) erased: Vec<Erased>,
    /// Whether machines that nobody knows yet would come to be installed by it, without asking.
    pub(crate) newcomers: bool,
}

/// Looks at every machine twice. Not on a thread that answers: ten thousand machines and a hundred
/// rules take a while.
pub(crate) async fn preview(catalog: Arc<Catalog>, edit: Edit) -> Preview {
    aside(move || {
        let after = match &edit {
            Edit::Put(rule) => effect::with_rule(&catalog, rule.clone()),
            Edit::Delete(name) => effect::without_rule(&catalog, name),
        };
        let matches = match &edit {
            Edit::Put(rule) => effect::matching(rule, &after),
            Edit::Delete(_) => Vec::new(),
        };
        Preview {
            matches: matches.into_iter().cloned().collect(),
            changes: effect::changes(&catalog, &after),
            erased: every_boot::between(&catalog, &after),
            newcomers: match &edit {
                Edit::Put(rule) => {
                    let before = catalog.every_rule().find(|old| old.name == rule.name);
                    let was = before.is_some_and(|old| installs_newcomers(old, &catalog));
                    !was && installs_newcomers(rule, &after)
                }
                Edit::Delete(_) => false,
            },
        }
    })
    .await
}

/// A new machine that fits is registered by itself, and what it then gets writes its disk.
fn installs_newcomers(rule: &Rule, catalog: &Catalog) -> bool {
    let profile = catalog.profile(&rule.profile);
    let registers = rule.new_machines.unwrap_or(catalog.site.new_machines);
    rule.enabled
        && registers == NewMachines::Register
        && profile.is_some_and(|profile| profile.enabled && profile.installs())
}

/// How many machines each rule concerns.
pub(crate) async fn shares(catalog: Arc<Catalog>) -> BTreeMap<RuleName, Share> {
    aside(move || effect::shares(&catalog)).await
}

/// Where it holds nobody up.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Preview {
    /// "3 machines would get something else".
    pub(crate) fn sentence(&self) -> String {
        let known = match self.changes.len() {
            0 => "no machine would get something else".to_owned(),
            1 => "1 machine would get something else".to_owned(),
            n => format!("{n} machines would get something else"),
        };
        match self.newcomers {
            false => known,
            true => format!(
                "{known}; new machines that match would be registered and installed without asking"
            ),
        }
    }

    /// Nothing has to be seen before it is done.
    pub(crate) fn changes_nothing(&self) -> bool {
        self.changes.is_empty() && !self.newcomers
    }

    /// Says which changes were seen: the same for the same machines, before and after.
    pub(crate) fn mark(&self) -> String {
        let mut hash = Sha256::new();
        for change in &self.changes {
            let (from, to) = (&change.from.gets, &change.to.gets);
            hash.update(format!("{} {from} -> {to}\n", change.machine.id.0));
        }
        hash.update([u8::from(self.newcomers)]);
        HEXLOWER.encode(&hash.finalize()[..8])
    }
}

/// Every rule, those in force first and in the order they are asked, then the disabled ones.
pub(crate) fn in_order(catalog: &Catalog) -> Vec<Arc<Rule>> {
    let disabled = catalog.every_rule().filter(|rule| !rule.enabled);
    catalog.rules().iter().chain(disabled).cloned().collect()
}
