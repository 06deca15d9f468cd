//! Tables of changes, and what is asked about each.

use super::*;
use bootplan::{LoaderInventory, MacAddr, MachineId, MachineState, Rule, Site};
use proptest::prelude::*;
use serde_json::{Value, json};

fn profile(name: &str, more: Value) -> Profile {
    let mut written = json!({"name": name, "title": name,
        "boot": {"kind": "linux", "kernel": "d/linux"}});
    let fields = written.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    serde_json::from_value(written).expect("a profile")
}

fn installer(name: &str) -> Profile {
    profile(name, json!({"install": {"tries": 3, "minutes": 60}}))
}

fn rule(name: &str, serial: &str, profile: &str, mode: Mode) -> Rule {
    let written = json!({"name": name, "selector": {"serial": [serial]}, "profile": profile,
        "mode": mode.slug()});
    serde_json::from_value(written).expect("a rule")
}

fn machine(id: u8, serial: &str, profile: Option<&str>, mode: Mode) -> Machine {
    Machine {
        macs: vec![MacAddr([2, 0, 0, 0, 0, id])],
        serial: Some(serial.to_owned()),
        profile: profile.map(|name| name.parse().expect("a name")),
        mode,
        ..Machine::named(MachineId(id.into()), format!("node-{id}"))
    }
}

/// Rescue for node-1 and installed once for node-2; node-3 and node-4 have nothing of their own.
fn catalog() -> Catalog {
    let machines = [
        machine(1, "A1", Some("rescue"), Mode::Always),
        machine(2, "A2", Some("auto"), Mode::InstallOnce),
        machine(3, "A3", None, Mode::Always),
        machine(4, "B4", None, Mode::Always),
        Machine {
            state: MachineState::Discovered,
            ..machine(5, "A5", None, Mode::Always)
        },
    ];
    let profiles = [profile("rescue", json!({})), installer("auto")];
    let (site, loaders) = (Site::default(), LoaderInventory::default());
    Catalog::new(1, site, loaders, machines, profiles)
}

/// [`by_profile`] without its thread.
fn becoming(catalog: &Catalog, profile: Profile) -> Vec<Erased> {
    between(catalog, &catalog.clone().with_profile(profile))
}

fn told(erased: &[Erased]) -> String {
    Question::of(erased).map_or_else(|| "-".to_owned(), |question| question.text)
}

#[test]
fn rules_are_asked_about_when_they_come_to_install_at_every_boot() {
    let catalog = catalog();
    let asked = |rule: Rule| told(&between(&catalog, &effect::with_rule(&catalog, rule)));
    assert_eq!(asked(rule("a", "A*", "rescue", Mode::Always)), "-");
    assert_eq!(asked(rule("a", "A*", "auto", Mode::InstallOnce)), "-");
    let disabled = Rule {
        enabled: false,
        ..rule("a", "A*", "auto", Mode::Always)
    };
    assert_eq!(asked(disabled), "-");
    // Those with an assignment, and those nobody has adopted, do not get it.
    insta::assert_snapshot!(asked(rule("a", "A*", "auto", Mode::Always)), @"profile 'auto' installs, and rule 'a' would give it at every boot to each machine that it decides about; 1 machine would be erased at its next boot, and again at every one after it: node-3");
    insta::assert_snapshot!(asked(rule("a", "C*", "auto", Mode::Always)), @"profile 'auto' installs, and rule 'a' would give it at every boot to each machine that it decides about");
}

#[test]
fn once_it_is_meant_so_only_more_machines_are_asked_about() {
    let meant = rule("a", "A*", "auto", Mode::Always);
    let catalog = effect::with_rule(&catalog(), meant.clone());
    let asked = |rule: Rule| told(&between(&catalog, &effect::with_rule(&catalog, rule)));
    assert_eq!(asked(meant.clone()), "-");
    assert_eq!(asked(rule("a", "A3", "auto", Mode::Always)), "-", "fewer");
    insta::assert_snapshot!(asked(rule("a", "*", "auto", Mode::Always)), @"profile 'auto' installs: 1 machine would be erased at its next boot, and again at every one after it: node-4");
    // So they are where a narrower rule goes.
    let narrow = Rule {
        selector: serde_json::from_value(json!({"all": [{"serial": ["A3"]}, {"mac": ["02"]}]}))
            .expect("a selector"),
        ..rule("b", "A3", "rescue", Mode::Always)
    };
    let kept = effect::with_rule(&catalog, narrow.clone());
    assert_eq!(told(&between(&catalog, &kept)), "-");
    let gone = effect::without_rule(&kept, &narrow.name);
    assert!(told(&between(&kept, &gone)).ends_with("node-3"));
}

#[test]
fn profiles_are_asked_about_when_they_become_installers() {
    let rescued = effect::with_rule(&catalog(), rule("r", "B*", "rescue", Mode::Always));
    let asked = |profile: Profile| told(&becoming(&rescued, profile));
    assert_eq!(asked(profile("rescue", json!({"title": "x"}))), "-");
    assert_eq!(
        asked(installer("auto")),
        "-",
        "it is one, and nobody boots it always"
    );
    assert_eq!(asked(installer("new")), "-", "nobody has it");
    let off = profile(
        "rescue",
        json!({"enabled": false, "install": {"tries": 1, "minutes": 9}}),
    );
    assert_eq!(asked(off.clone()), "-", "it boots nothing");
    let erased = becoming(&rescued, installer("rescue"));
    insta::assert_snapshot!(told(&erased), @"profile 'rescue' installs, and rule 'r' would give it at every boot to each machine that it decides about; 2 machines would be erased at their next boot, and again at every one after it: node-1, node-4");
    let sealed = json!({"answers": [{"name": "a", "text": "x", "sealed": true}]});
    assert_eq!(becoming(&rescued, profile("rescue", sealed)), erased);
    // Switched on again, it installs.
    let off = rescued.clone().with_profile(off);
    assert_eq!(becoming(&off, installer("rescue")), erased);
    let elsewhere = becoming(&catalog(), installer("rescue"));
    assert_ne!(Question::of(&erased), Question::of(&elsewhere));
}

proptest! {
    /// Whoever comes to install at every boot is named, and nobody else; what was said once is not
    /// asked again.
    #[test]
    fn nobody_is_left_out(
        given in prop::collection::vec((0_usize..3, any::<bool>(), "[AB]"), 1..8),
        becomes in any::<bool>(), matches in "[AB]", mode in 0_usize..2,
    ) {
        let names = [None, Some("rescue"), Some("auto")];
        let machines = given.iter().enumerate().map(|(n, (which, always, serial))| {
            let mode = Mode::ALL[usize::from(!always)];
            machine(n as u8 + 1, serial, names[*which], if names[*which].is_some() { mode } else { Mode::Always })
        });
        let profiles = [profile("rescue", json!({})), installer("auto")];
        let (site, loaders) = (Site::default(), LoaderInventory::default());
        let before = Catalog::new(1, site, loaders, machines, profiles);
        let mut after = effect::with_rule(&before, rule("r", &matches, "auto", Mode::ALL[mode]));
        if becomes {
            after = after.with_profile(installer("rescue"));
        }
        let mut expected: Vec<i64> = Vec::new();
        for (n, (which, always, serial)) in given.iter().enumerate() {
            let by_own = *which == 1 && becomes && *always;
            let by_rule = *which == 0 && mode == 0 && *serial == matches;
            if by_own || by_rule {
                expected.push(n as i64 + 1);
            }
        }
        let mut named: Vec<i64> = between(&before, &after)
            .iter()
            .flat_map(|erased| erased.machines.iter().map(|(m, _)| m.id.0))
            .collect();
        named.sort_unstable();
        prop_assert_eq!(named, expected);
        prop_assert_eq!(between(&after, &after), vec![]);
    }
}
