//! What a change of rules would change, for the API and the pages alike.

use crate::every_boot::{self, Erased};
use bootplan::effect::{self, Changed, Share};
use bootplan::{Catalog, Machine, Rule, RuleName};
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
        }
    })
    .await
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
        match self.changes.len() {
            0 => "no machine would get something else".to_owned(),
            1 => "1 machine would get something else".to_owned(),
            n => format!("{n} machines would get something else"),
        }
    }

    /// Says which changes were seen: the same for the same machines, before and after.
    pub(crate) fn mark(&self) -> String {
        let mut hash = Sha256::new();
        for change in &self.changes {
            let (from, to) = (&change.from.gets, &change.to.gets);
            hash.update(format!("{} {from} -> {to}\n", change.machine.id.0));
        }
        HEXLOWER.encode(&hash.finalize()[..8])
    }
}

/// Every rule, those in force first and in the order they are asked, then the disabled ones.
pub(crate) fn in_order(catalog: &Catalog) -> Vec<Arc<Rule>> {
    let disabled = catalog.every_rule().filter(|rule| !rule.enabled);
    catalog.rules().iter().chain(disabled).cloned().collect()
}
