//! The immutable snapshot that every packet is answered from.

use crate::{
    LoaderInventory, MacAddr, Machine, MachineId, Objects, Overlays, Profile, ProfileName, Rule,
    RuleName, Run, RunId, Site, SystemUuid, rule, run,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Machines, profiles and settings at one moment. Published afresh after each change; nothing on
/// the packet path waits for the database.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Counts published snapshots; higher is newer.
    pub revision: u64,
    /// Site settings.
    pub site: Site,
    /// Loaders on disk.
    pub loaders: LoaderInventory,
    /// What machines without a disk write into.
    pub overlays: Arc<Overlays>,
    machines: BTreeMap<MachineId, Arc<Machine>>,
    profiles: BTreeMap<ProfileName, Arc<Profile>>,
    by_mac: HashMap<MacAddr, Arc<Machine>>,
    /// By [`SystemUuid::either_order`]; `None`: two have it.
    by_uuid: HashMap<SystemUuid, Option<Arc<Machine>>>,
    /// As [`rule::in_order`] gives them.
    rules: Arc<[Arc<Rule>]>,
    /// Disabled ones too.
    every_rule: Arc<BTreeMap<RuleName, Arc<Rule>>>,
    doubts: Arc<Doubts>,
    objects: Arc<Objects>,
    unstored: Arc<Unstored>,
    /// Those that wait for a slot, with their place from 1.
    queue: HashMap<MachineId, usize>,
}

/// Addresses that tell less than others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Adapters that several machines use: they say nothing of whose they are.
    pub shared_macs: BTreeSet<MacAddr>,
    /// Addresses of which a person has to say whose they are.
    pub conflicts: BTreeSet<MacAddr>,
    /// Those of them whose own machine asked last, by its own UUID.
    pub quiet: BTreeSet<MacAddr>,
    /// Those of them whose own machine may be another one that we know, whatever it says.
    pub twins: BTreeSet<MacAddr>,
}

/// What is known of runs and not on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unstored {
    /// Machines that were handed over, while their run does not say so yet.
    pub handed_over: BTreeMap<MachineId, RunId>,
    /// Whether the database takes nothing at the moment.
    pub failing: bool,
}

impl Catalog {
    /// Builds the look-up tables. A UUID that two machines share, or that identifies nothing,
    /// finds no machine.
    pub fn new(
        revision: u64,
        site: Site,
        loaders: LoaderInventory,
        machines: impl IntoIterator<Item = Machine>,
        profiles: impl IntoIterator<Item = Profile>,
    ) -> Self {
        let machines = machines.into_iter().map(Arc::new);
        let profiles = profiles.into_iter().map(Arc::new);
        Catalog::from_shared(revision, site, loaders, machines, profiles)
    }

    /// [`new`](Self::new) from what an earlier snapshot shares: the store publishes after each
    /// change, and copying ten thousand machines for one would cost milliseconds.
    pub fn from_shared(
        revision: u64,
        site: Site,
        loaders: LoaderInventory,
        machines: impl IntoIterator<Item = Arc<Machine>>,
        profiles: impl IntoIterator<Item = Arc<Profile>>,
    ) -> Self {
        let mut catalog = Catalog {
            revision,
            site,
            loaders,
            ..Catalog::default()
        };
        for machine in machines {
            for mac in &machine.macs {
                catalog.by_mac.insert(*mac, Arc::clone(&machine));
            }
            if let Some(uuid) = machine.uuid.filter(|u| u.is_identity()) {
                catalog
                    .by_uuid
                    .entry(uuid.either_order())
                    .and_modify(|owner| *owner = None)
                    .or_insert_with(|| Some(Arc::clone(&machine)));
            }
            catalog.machines.insert(machine.id, machine);
        }
        for profile in profiles {
            catalog.profiles.insert(profile.name.clone(), profile);
        }
        let runs = catalog.machines.values();
        let runs = runs.filter_map(|m| Some((m.id, m.run.as_deref()?)));
        catalog.queue = run::queue(runs).into_iter().zip(1..).collect();
        catalog
    }

    /// With these rules, in whatever order.
    pub fn with_rules(mut self, rules: impl IntoIterator<Item = Arc<Rule>>) -> Self {
        let named = rules.into_iter().map(|rule| (rule.name.clone(), rule));
        let every: BTreeMap<RuleName, Arc<Rule>> = named.collect();
        self.rules = rule::in_order(every.values().cloned()).into();
        self.every_rule = Arc::new(every);
        self
    }

    /// With this profile in place of the one of its name, or beside the others.
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profiles
            .insert(profile.name.clone(), Arc::new(profile));
        self
    }

    /// With these addresses to be careful of.
    pub fn with_doubts(mut self, doubts: Arc<Doubts>) -> Self {
        self.doubts = doubts;
        self
    }

    /// With what is known of runs and not on disk.
    pub fn with_unstored(mut self, unstored: Arc<Unstored>) -> Self {
        self.unstored = unstored;
        self
    }

    /// Whether this run cannot be counted on now: its machine was handed over, and that is not
    /// stored; or it was before, and nothing can be stored.
    pub fn is_uncounted(&self, machine: MachineId, run: &Run) -> bool {
        let unstored = &*self.unstored;
        unstored.handed_over.get(&machine) == Some(&run.id) || (unstored.failing && run.tries > 0)
    }

    /// With these templates, snippets and groups.
    pub fn with_objects(mut self, objects: Arc<Objects>) -> Self {
        self.objects = objects;
        self
    }

    /// Templates, snippets and groups.
    pub fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    /// The machine behind a claim: by MAC; else, by a UUID that exactly one machine has, one that
    /// was entered by its UUID alone. One that asks through a shared adapter is found by its UUID
    /// only.
    ///
    /// A machine whose MACs are known is never found by UUID: boards that share one exist (careless
    /// vendors), anybody can claim one, and what is assigned may wipe a disk. Its other card shows
    /// up as a machine of its own until a person says that the two are one.
    pub fn find(&self, mac: MacAddr, uuid: Option<SystemUuid>) -> Option<&Arc<Machine>> {
        let shared = self.doubts.shared_macs.contains(&mac);
        if !shared && let Some(machine) = self.by_mac.get(&mac) {
            return Some(machine);
        }
        let owner = uuid.and_then(|uuid| self.find_uuid(uuid))?;
        Some(owner).filter(|m| shared || m.macs.is_empty())
    }

    /// Whether a person has to say first whose address this is. Who asks without a UUID (most
    /// loaders) is taken for the one that asked last with one.
    pub fn in_conflict(&self, mac: MacAddr, uuid: Option<SystemUuid>) -> bool {
        let quiet = || uuid.is_none() && self.doubts.quiet.contains(&mac);
        self.doubts.conflicts.contains(&mac) && !quiet()
    }

    /// Whether the machine that has this address may be another one that we know.
    pub fn is_twin(&self, mac: MacAddr) -> bool {
        self.doubts.twins.contains(&mac)
    }

    /// Whether a person has to say first whose one of this machine's addresses is.
    pub fn doubts_any_of(&self, machine: &Machine) -> bool {
        let mut macs = machine.macs.iter();
        macs.any(|mac| self.doubts.conflicts.contains(mac))
    }

    /// The addresses to be careful of.
    pub fn doubts(&self) -> &Arc<Doubts> {
        &self.doubts
    }

    /// The rules in force, the one that is asked first first.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Every rule by name, disabled ones too.
    pub fn every_rule(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.every_rule.values()
    }

    /// A rule by name, disabled or not.
    pub fn rule(&self, name: &RuleName) -> Option<&Arc<Rule>> {
        self.every_rule.get(name)
    }

    /// The place of a machine in the queue, from 1, and how many wait. One that does not stand
    /// there yet has the place behind the last.
    pub fn queue_place(&self, id: MachineId) -> (usize, usize) {
        let waiting = self.queue.len();
        match self.queue.get(&id) {
            Some(place) => (*place, waiting),
            None => (waiting + 1, waiting + 1),
        }
    }

    /// The machine with this UUID in either byte order (file names come in both).
    pub fn find_uuid(&self, uuid: SystemUuid) -> Option<&Arc<Machine>> {
        self.by_uuid.get(&uuid.either_order())?.as_ref()
    }

    /// A machine by its identity.
    pub fn machine(&self, id: MachineId) -> Option<&Arc<Machine>> {
        self.machines.get(&id)
    }

    /// A profile by name.
    pub fn profile(&self, name: &ProfileName) -> Option<&Arc<Profile>> {
        self.profiles.get(name)
    }

    /// All machines by identity.
    pub fn machines(&self) -> impl Iterator<Item = &Arc<Machine>> {
        self.machines.values()
    }

    /// All profiles by name.
    pub fn profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.values()
    }
}
