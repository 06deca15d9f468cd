//! `kind: profile`: the whole profile, but for its labels, which stay when they are left out.

use super::kinds::{Document, Kind};
use super::own;
use super::place::Place;
use super::plan::{Planner, Pruned};
use bootplan::{
    Answer, BootMethod, EfiStyle, Extras, Limit, LoaderKind, Platform, Profile, ProfileName,
    Variables,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use store::Step;

/// How to boot one operating system.
pub(super) const KIND: Kind = Kind {
    name: "profile",
    read: |yaml| Ok(Box::new(ProfileDoc::deserialize(yaml)?)),
    export: |decided, out| {
        for profile in decided.catalog.profiles() {
            out.push("profile", profile.as_ref());
        }
    },
    owned: |decided, own| {
        let owned = decided.catalog.profiles().filter(|p| own.has(&p.labels));
        let pruned =
            owned.map(|p| Pruned::named("profile", &p.name, Step::DeleteProfile(p.name.clone())));
        pruned.collect()
    },
};

/// `bootplan::Profile` with its `kind`. Not flattened, because flattening loses the line and
/// column of what is wrong, and refuses no unknown fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    name: ProfileName,
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    in_menu: bool,
    #[serde(default)]
    platforms: Vec<Platform>,
    #[serde(default)]
    loader: Option<LoaderKind>,
    #[serde(default)]
    efi_style: EfiStyle,
    boot: BootMethod,
    #[serde(default)]
    extras: Extras,
    #[serde(default)]
    answers: Vec<Answer>,
    #[serde(default)]
    variables: Variables,
    #[serde(default)]
    install: Option<Limit>,
}

fn yes() -> bool {
    true
}

impl ProfileDoc {
    fn profile(&self, labels: BTreeMap<String, String>) -> Profile {
        let doc = self.clone();
        Profile {
            name: doc.name,
            title: doc.title,
            description: doc.description,
            labels,
            enabled: doc.enabled,
            in_menu: doc.in_menu,
            platforms: doc.platforms,
            loader: doc.loader,
            efi_style: doc.efi_style,
            boot: doc.boot,
            extras: doc.extras,
            answers: doc.answers,
            variables: doc.variables,
            install: doc.install,
        }
    }
}

impl Document for ProfileDoc {
    fn plan(&self, planner: &mut Planner<'_>, place: &Place) {
        let name = self.name.as_str();
        if !planner.once("profile", name, place, "name") {
            return;
        }
        planner.profiles.insert(self.name.clone());
        let old = planner.catalog.profile(&self.name).map(|p| p.as_ref());
        let has = old.map(|p| &p.labels);
        let labels = match own::labels(planner.options, has, self.labels.as_ref()) {
            Ok(labels) => labels,
            Err(problem) => return planner.fault(place.fault("labels", problem)),
        };
        let profile = self.profile(labels);
        if let Err(error) = profile.validate() {
            let text = error.to_string();
            let field = text.split(':').next().unwrap_or("").to_owned();
            return planner.fault(place.fault(&field, text));
        }
        planner.said.profile(&self.name, place);
        let step = Step::PutProfile(profile.clone());
        planner.object(place, "profile", name, old, &profile, step);
    }
}
