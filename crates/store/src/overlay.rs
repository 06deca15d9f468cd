//! What a change has done so far, laid over what is in force: the steps of a batch are checked
//! against what the steps before them made.

use crate::model::{Model, name_key};
use bootplan::{MacAddr, Machine, MachineId, Profile, ProfileName, Rule, RuleName, Site};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Only for looking things up while the change goes on; what is published afterwards is read
/// back from the database.
#[derive(Default)]
pub(crate) struct Overlay {
    /// `None`: deleted.
    machines: BTreeMap<MachineId, Option<Arc<Machine>>>,
    by_mac: HashMap<MacAddr, MachineId>,
    by_name: HashMap<String, MachineId>,
    profiles: BTreeMap<ProfileName, Option<Arc<Profile>>>,
    rules: BTreeMap<RuleName, Option<Arc<Rule>>>,
    site: Option<Site>,
    /// Whether a person has to say whose these addresses are.
    conflicts: HashMap<MacAddr, bool>,
    shared: bool,
    hooks: bool,
    objects: bool,
    secrets: BTreeSet<String>,
}

impl Overlay {
    /// The machine is now this.
    pub(crate) fn put(&mut self, machine: Arc<Machine>) {
        let id = machine.id;
        self.remove(id);
        for mac in &machine.macs {
            self.by_mac.insert(*mac, id);
        }
        self.by_name.insert(name_key(&machine.name), id);
        self.machines.insert(id, Some(machine));
    }

    /// The machine is gone.
    pub(crate) fn remove(&mut self, id: MachineId) {
        if let Some(Some(old)) = self.machines.insert(id, None) {
            for mac in &old.macs {
                self.by_mac.remove(mac);
            }
            self.by_name.remove(&name_key(&old.name));
        }
    }

    /// The profile is now this; `None`: it is gone.
    pub(crate) fn put_profile(&mut self, name: ProfileName, profile: Option<Arc<Profile>>) {
        self.profiles.insert(name, profile);
    }

    /// The rule is now this; `None`: it is gone.
    pub(crate) fn put_rule(&mut self, name: RuleName, rule: Option<Arc<Rule>>) {
        self.rules.insert(name, rule);
    }

    /// Whether a person has to say whose this address is.
    pub(crate) fn put_conflict(&mut self, mac: MacAddr, open: bool) {
        self.conflicts.insert(mac, open);
    }

    /// Shared adapters are not as they were.
    pub(crate) fn touch_shared(&mut self) {
        self.shared = true;
    }

    /// Hooks are not as they were.
    pub(crate) fn touch_hooks(&mut self) {
        self.hooks = true;
    }

    /// Templates, snippets or groups are not as they were.
    pub(crate) fn touch_objects(&mut self) {
        self.objects = true;
    }

    /// This secret is not as it was.
    pub(crate) fn touch_secret(&mut self, name: &str) {
        self.secrets.insert(name.to_owned());
    }

    pub(crate) fn touched_secrets(&self) -> &BTreeSet<String> {
        &self.secrets
    }

    pub(crate) fn touches_objects(&self) -> bool {
        self.objects
    }

    /// The settings are now these.
    pub(crate) fn put_site(&mut self, site: Site) {
        self.site = Some(site);
    }

    /// Every machine that was made, changed or deleted.
    pub(crate) fn touched(&self) -> impl Iterator<Item = MachineId> {
        self.machines.keys().copied()
    }

    pub(crate) fn touches_profiles(&self) -> bool {
        !self.profiles.is_empty()
    }

    pub(crate) fn touches_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    pub(crate) fn touches_doubts(&self) -> bool {
        self.shared || !self.conflicts.is_empty()
    }

    pub(crate) fn touches_hooks(&self) -> bool {
        self.hooks
    }

    pub(crate) fn touches_site(&self) -> bool {
        self.site.is_some()
    }

    pub(crate) fn machine<'a>(
        &'a self,
        model: &'a Model,
        id: MachineId,
    ) -> Option<&'a Arc<Machine>> {
        match self.machines.get(&id) {
            Some(here) => here.as_ref(),
            None => model.machine(id).map(|record| &record.machine),
        }
    }

    pub(crate) fn with_mac(&self, model: &Model, mac: MacAddr) -> Option<MachineId> {
        let here = self.by_mac.get(&mac).copied();
        here.or_else(|| model.with_mac(mac).filter(|id| self.leaves(*id)))
    }

    pub(crate) fn with_name(&self, model: &Model, name: &str) -> Option<MachineId> {
        let here = self.by_name.get(&name_key(name)).copied();
        here.or_else(|| model.with_name(name).filter(|id| self.leaves(*id)))
    }

    pub(crate) fn profile<'a>(
        &'a self,
        model: &'a Model,
        name: &ProfileName,
    ) -> Option<&'a Arc<Profile>> {
        match self.profiles.get(name) {
            Some(here) => here.as_ref(),
            None => model.profiles.get(name),
        }
    }

    pub(crate) fn rule<'a>(&'a self, model: &'a Model, name: &RuleName) -> Option<&'a Arc<Rule>> {
        match self.rules.get(name) {
            Some(here) => here.as_ref(),
            None => model.rules.get(name),
        }
    }

    /// All rules as they are now, in no order.
    pub(crate) fn rules<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = &'a Arc<Rule>> {
        let before = model.rules.iter();
        let before = before.filter(|(name, _)| !self.rules.contains_key(*name));
        before
            .map(|(_, rule)| rule)
            .chain(self.rules.values().flatten())
    }

    /// All machines as they are now, in no order.
    pub(crate) fn machines<'a>(
        &'a self,
        model: &'a Model,
    ) -> impl Iterator<Item = &'a Arc<Machine>> + Clone {
        let before = model
            .machines
            .iter()
            .filter(move |(id, _)| self.leaves(**id));
        let before = before.map(|(_, row)| &row.record.machine);
        before.chain(self.machines.values().flatten())
    }

    /// Whether a person has to say first whose this address is.
    pub(crate) fn in_conflict(&self, model: &Model, mac: MacAddr) -> bool {
        let here = self.conflicts.get(&mac).copied();
        here.unwrap_or_else(|| model.doubts.conflicts.contains_key(&mac))
    }

    pub(crate) fn site<'a>(&'a self, model: &'a Model) -> &'a Site {
        self.site.as_ref().unwrap_or(&model.site)
    }

    fn leaves(&self, id: MachineId) -> bool {
        !self.machines.contains_key(&id)
    }
}
