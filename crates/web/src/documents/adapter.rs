//! `kind: adapter`: an adapter that several machines use, so that its address tells nothing about
//! any of them. Its labels stay when they are left out.

use super::diff::{self, FieldChange};
use super::kinds::{Document, Kind};
use super::own;
use super::place::Place;
use super::plan::{Planner, Pruned};
use bootplan::MacAddr;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use store::{SharedMac, Step};

/// What a person said of a dongle.
pub(super) const KIND: Kind = Kind {
    name: "adapter",
    read: |yaml| Ok(Box::new(AdapterDoc::deserialize(yaml)?)),
    export: |decided, out| {
        let mut all: Vec<&SharedMac> = decided.shared.iter().collect();
        all.sort_by_key(|shared| shared.mac);
        for shared in all {
            out.push("adapter", &Out::of(shared));
        }
    },
    owned: |decided, own| {
        let owned = decided.shared.iter().filter(|s| own.has(&s.labels));
        let pruned = owned.map(|s| Pruned::named("adapter", &s.mac, Step::UnmarkShared(s.mac)));
        pruned.collect()
    },
};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdapterDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    mac: MacAddr,
    /// What it is, for people.
    shared: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// As it is exported and compared.
#[derive(Serialize)]
struct Out<'a> {
    mac: MacAddr,
    shared: &'a str,
    labels: &'a BTreeMap<String, String>,
}

impl<'a> Out<'a> {
    fn of(shared: &'a SharedMac) -> Out<'a> {
        Out {
            mac: shared.mac,
            shared: &shared.why,
            labels: &shared.labels,
        }
    }
}

impl Document for AdapterDoc {
    fn plan(&self, planner: &mut Planner<'_>, place: &Place) {
        let (mac, name) = (self.mac, self.mac.to_string());
        if !planner.once("adapter", &name, place, "mac") {
            return;
        }
        if !mac.is_unicast() {
            let problem = format!("{mac} is not the address of a network card");
            return planner.fault(place.fault("mac", problem));
        }
        let decided = planner.decided;
        let old = decided.shared.iter().find(|shared| shared.mac == mac);
        let has = old.map(|shared| &shared.labels);
        let labels = match own::labels(planner.options, has, self.labels.as_ref()) {
            Ok(labels) => labels,
            Err(problem) => return planner.fault(place.fault("labels", problem)),
        };
        let new = Out {
            mac,
            shared: &self.shared,
            labels: &labels,
        };
        let mut fields = diff::fields(old.map(Out::of).as_ref(), &new, &["mac"]);
        let owner = planner.catalog.find(mac, None).filter(|_| old.is_none());
        if let Some(owner) = owner {
            // The card is taken from it, or all of it goes when nothing else is known of it.
            fields.push(FieldChange {
                field: "machine".to_owned(),
                from: owner.name.clone().into(),
                to: Value::Null,
            });
        }
        let spec = diff::spec(&new, &["mac"]);
        let step = Step::MarkShared(mac, self.shared.clone(), labels.clone());
        planner.named(place, ("adapter", &name), old.is_some(), fields, spec, step);
    }
}
