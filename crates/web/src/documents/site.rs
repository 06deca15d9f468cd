//! `kind: site`: the settings. A field left out stays as it is.

use super::kinds::{Document, Kind};
use super::place::Place;
use super::plan::Planner;
use crate::api::site::out_of_range;
use bootplan::{
    Limit, LoaderKind, LocalBoot, LocalBootModel, NewMachines, ObjectName, Site, UnassignedPolicy,
    Variables, Window,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use store::Step;

/// Site settings.
pub(super) const KIND: Kind = Kind {
    name: "site",
    read: |yaml| Ok(Box::new(SiteDoc::deserialize(yaml)?)),
    export: |decided, out| out.push("site", &decided.catalog.site),
    owned: |_, _| Vec::new(),
};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    unassigned: Option<UnassignedPolicy>,
    menu_timeout_s: Option<u16>,
    wait_poll_s: Option<u16>,
    wait_limit_s: Option<u32>,
    loader: Option<LoaderKind>,
    new_machines: Option<NewMachines>,
    install_slots: Option<u16>,
    install_limit: Option<Limit>,
    local_boot: Option<LocalBoot>,
    local_boot_models: Option<Vec<LocalBootModel>>,
    variables: Option<Variables>,
    windows: Option<BTreeMap<ObjectName, Window>>,
}

impl SiteDoc {
    /// The settings with what this document says.
    fn over(&self, site: &Site) -> Site {
        Site {
            unassigned: self.unassigned.unwrap_or(site.unassigned),
            menu_timeout_s: self.menu_timeout_s.unwrap_or(site.menu_timeout_s),
            wait_poll_s: self.wait_poll_s.unwrap_or(site.wait_poll_s),
            wait_limit_s: self.wait_limit_s.unwrap_or(site.wait_limit_s),
            loader: self.loader.unwrap_or(site.loader),
            new_machines: self.new_machines.unwrap_or(site.new_machines),
            install_slots: self.install_slots.unwrap_or(site.install_slots),
            install_limit: self.install_limit.unwrap_or(site.install_limit),
            local_boot: self.local_boot.unwrap_or(site.local_boot),
            local_boot_models: self
                .local_boot_models
                .clone()
                .unwrap_or_else(|| site.local_boot_models.clone()),
            variables: self
                .variables
                .clone()
                .unwrap_or_else(|| site.variables.clone()),
            windows: self.windows.clone().unwrap_or_else(|| site.windows.clone()),
        }
    }
}

impl Document for SiteDoc {
    fn plan(&self, planner: &mut Planner<'_>, place: &Place) {
        if !planner.once("site", "site", place, "kind") {
            return;
        }
        let old = &planner.catalog.site;
        let site = self.over(old);
        match out_of_range(&site) {
            Some((field, problem)) => planner.fault(place.fault(field, problem)),
            None => {
                let step = Step::SetSite(site.clone());
                planner.object(place, "site", "site", Some(old), &site, step);
            }
        }
    }
}
