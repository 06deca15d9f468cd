//! What the boot network's events mean to orders, and to machines that nobody knows yet. In the
//! transaction that stores the events: what was counted is what is told.

use crate::StoreError;
use crate::change::Change;
use crate::runs::FARRIER;
use bootplan::run::{self, Happening};
use bootplan::{
    Arming, BootClient, Event, EventKind, Machine, MachineId, MachineState, Mode, NewMachines,
    Rule, RunKind, Seen, Stage, rule,
};
use std::sync::Arc;

impl Change {
    /// Takes in what these machines did. Runs go on by it, new machines become registered ones if
    /// the site or a rule says so.
    pub(crate) async fn observe(
        &mut self,
        events: &[(Option<MachineId>, Event)],
    ) -> Result<(), StoreError> {
        let mut moved = false;
        for (machine, event) in events {
            let Some(machine) = machine.and_then(|id| self.must_know(id).ok()) else {
                continue;
            };
            if machine.state == MachineState::Discovered {
                if let Some(asks) = asks(&event.kind) {
                    self.welcome(&machine, asks).await?;
                }
            } else if let Some(happening) = self.happening(&machine, &event.kind) {
                moved |= self.happen(machine.id, &happening, FARRIER).await?;
            }
        }
        if moved {
            self.take_turns().await?;
        }
        Ok(())
    }

    fn happening(&self, machine: &Machine, kind: &EventKind) -> Option<Happening> {
        let run = machine.run.as_deref().filter(|run| !run.is_over())?;
        let model = self.store.model();
        let profile = self.overlay.profile(&model, &run.profile)?;
        run::happening(kind, profile, machine.facts.platform)
    }

    /// A machine that nobody has adopted asks to boot: it is registered if that is wanted, as soon
    /// as enough is known of it to say by which rule.
    async fn welcome(&mut self, machine: &Machine, asks: Asks) -> Result<(), StoreError> {
        let (rule, certain) = match self.rule_of(machine, asks == Asks::Firmware) {
            Some((rule, certain)) => (Some(rule), certain),
            None => (None, true),
        };
        let wished = rule.as_ref().and_then(|rule| rule.new_machines);
        let (newcomers, full) = {
            let model = self.store.model();
            let site = self.overlay.site(&model);
            let limit = self.store.inner.options.discovered_limit;
            (
                wished.unwrap_or(site.new_machines),
                model.machines.len() >= limit,
            )
        };
        // Made-up addresses must not fill the disk: registered machines are never forgotten.
        // Nor is one taken for new that may be another machine's second card.
        let doubtful = self.is_doubtful(machine);
        if newcomers != NewMachines::Register || !certain || full || doubtful {
            return Ok(());
        }
        let registered = self.register(&[machine.id]).await;
        registered.map_err(crate::rows::failed("registering a machine"))?;
        let by = rule
            .as_ref()
            .map_or_else(|| FARRIER.to_owned(), |rule| by(rule));
        let what = format!("machine '{}' registered", machine.name);
        self.say(Some(machine.id), EventKind::Changed { what, by });
        match rule {
            Some(rule) => self.order_by(machine.id, &rule).await,
            None => Ok(()),
        }
    }

    /// A person has adopted machines: a rule that says *install-once* makes its order now, and
    /// never again. One that hangs on what is not known yet makes none.
    pub(crate) async fn order_by_rules(&mut self, ids: &[MachineId]) -> Result<(), StoreError> {
        for id in ids {
            let machine = self.must_know(*id)?;
            if let Some((rule, true)) = self.rule_of(&machine, true) {
                self.order_by(*id, &rule).await?;
            }
        }
        Ok(())
    }

    async fn order_by(&mut self, id: MachineId, rule: &Rule) -> Result<(), StoreError> {
        let machine = self.must_know(id)?;
        let decided = machine.profile.is_some() || machine.run.is_some();
        let decided = decided || self.is_doubtful(&machine);
        if rule.mode != Mode::InstallOnce || decided {
            return Ok(());
        }
        let limit = {
            let model = self.store.model();
            let profile = self.overlay.profile(&model, &rule.profile);
            let own = profile.and_then(|profile| profile.install);
            own.unwrap_or(self.overlay.site(&model).install_limit)
        };
        let arming = Arming {
            kind: RunKind::Install,
            profile: rule.profile.clone(),
            limit,
            not_before: None,
            window: None,
            force: false,
        };
        match self.arm(&[id], &arming, &by(rule)).await {
            // Somebody disabled its profile: the machine is registered all the same.
            Err(error @ (StoreError::Conflict { .. } | StoreError::Invalid { .. })) => {
                let what = format!("not ordered: {error}");
                self.say(Some(id), EventKind::Changed { what, by: by(rule) });
                Ok(())
            }
            other => other,
        }
    }

    /// Whether a person has to say first which machine this is.
    fn is_doubtful(&self, machine: &Machine) -> bool {
        let model = self.store.model();
        let mut macs = machine.macs.iter();
        macs.any(|mac| self.overlay.in_conflict(&model, *mac))
    }

    /// The rule of a machine; false: it may be this one, when more is known.
    fn rule_of(&self, machine: &Machine, doubtful: bool) -> Option<(Arc<Rule>, bool)> {
        let mac = machine.macs.first()?;
        let client = BootClient::asking(*mac, Stage::Ipxe);
        let seen = Seen::of(&client, Some(machine));
        let rules = {
            let model = self.store.model();
            rule::in_order(self.overlay.rules(&model).cloned())
        };
        let (rule, certain) = rule::first(&rules, &seen, doubtful)?;
        Some((Arc::clone(rule), certain))
    }
}

/// Who asks to boot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// By DHCP: its loader will tell more.
    Firmware,
    /// For its menu: nothing more will be known.
    Loader,
}

fn asks(kind: &EventKind) -> Option<Asks> {
    match kind {
        EventKind::Offered { .. } | EventKind::NotOffered { .. } => Some(Asks::Firmware),
        EventKind::MenuServed { .. } => Some(Asks::Loader),
        _ => None,
    }
}

fn by(rule: &Rule) -> String {
    format!("rule '{}'", rule.name)
}
