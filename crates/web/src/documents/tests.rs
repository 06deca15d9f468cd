//! Documents against a Catalog, without a store.

use super::kinds::{export, parse};
use super::plan::Plan;
use super::{Change, Fault, Options, diff::text};
use bootplan::{
    BootMethod, Catalog, LoaderInventory, MacAddr, Machine, MachineId, MachineState, Profile, Site,
};
use std::sync::Arc;
use store::{Decided, Marks, Step};

mod always;
mod every_kind;
mod identity;
mod round_trip;
mod samples;
mod shared;
mod site;
mod tables;

fn machine(id: i64, name: &str, state: MachineState, profile: Option<&str>) -> Machine {
    Machine {
        macs: vec![MacAddr([0x52, 0x54, 0, 0, 0, id as u8])],
        labels: [("rack".to_owned(), "r1".to_owned())].into(),
        state,
        profile: profile.map(|p| p.parse().expect("a name")),
        ..Machine::named(MachineId(id), name)
    }
}

fn catalog() -> Catalog {
    let profile = Profile {
        name: "debian-12".parse().expect("a name"),
        title: "Debian 12".to_owned(),
        description: String::new(),
        enabled: true,
        in_menu: false,
        platforms: Vec::new(),
        loader: None,
        labels: Default::default(),
        efi_style: Default::default(),
        boot: BootMethod::Linux {
            kernel: "debian-12/linux".parse().expect("a path"),
            initrds: vec!["debian-12/initrd.gz".parse().expect("a path")],
            args: "quiet".to_owned(),
            console: None,
        },
        extras: Default::default(),
        answers: Vec::new(),
        variables: Default::default(),
        install: None,
    };
    let machines = [
        machine(1, "node-1", MachineState::Registered, Some("debian-12")),
        machine(2, "node-2", MachineState::Registered, None),
        machine(3, "52-54-00-00-00-03", MachineState::Discovered, None),
    ];
    Catalog::new(
        1,
        Site::default(),
        LoaderInventory::default(),
        machines,
        [profile],
    )
}

/// Where nothing but this was decided.
fn decided(catalog: &Catalog) -> Decided {
    Decided {
        catalog: Arc::new(catalog.clone()),
        ..Decided::default()
    }
}

/// As if no file had been applied before.
fn plan(documents: &[super::Placed], catalog: &Catalog) -> Result<Plan, Vec<Fault>> {
    super::plan::plan(
        documents,
        &decided(catalog),
        &Marks::default(),
        &Options::default(),
    )
}

fn changes(yaml: &str) -> Vec<Change> {
    let documents = parse(yaml).expect("well-formed");
    plan(&documents, &catalog()).expect("possible").changes
}

fn faults(yaml: &str) -> Vec<Fault> {
    match parse(yaml) {
        Err(faults) => faults,
        Ok(documents) => plan(&documents, &catalog()).expect_err("impossible"),
    }
}

#[test]
fn what_is_exported_changes_nothing_when_applied() {
    let yaml = export(&decided(&catalog()), false);
    insta::assert_snapshot!(yaml);
    let documents = parse(&yaml).expect("re-importable");
    let plan = plan(&documents, &catalog()).expect("possible");
    assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    assert!(plan.changes.iter().all(|c| c.action == "unchanged"));
}

#[test]
fn what_is_installed_once_stays_so() {
    let once = Machine {
        mode: bootplan::Mode::InstallOnce,
        local_boot: Some(bootplan::LocalBoot::Exit),
        ..machine(1, "node-1", MachineState::Registered, Some("debian-12"))
    };
    let models = serde_json::json!({"local_boot_models":
        [{"product": "OptiPlex *", "local_boot": "next-entry"}]});
    let site: Site = serde_json::from_value(models).expect("settings");
    let profiles: Vec<Profile> = catalog().profiles().map(|p| p.as_ref().clone()).collect();
    let here = Catalog::new(1, site, LoaderInventory::default(), [once], profiles);
    let yaml = export(&decided(&here), false);
    assert!(yaml.contains("mode: install-once") && yaml.contains("local_boot: next-entry"));
    assert!(!yaml.contains("profile: null"), "{yaml}");
    let steps = |yaml: &str| plan(&parse(yaml).expect("well-formed"), &here).expect("possible");
    assert!(steps(&yaml).steps.is_empty(), "{:?}", steps(&yaml).steps);
    // A profile by its name alone does not turn what was ordered once into every boot.
    let named = "kind: machine\nname: node-1\nprofile: debian-12\n";
    assert!(steps(named).steps.is_empty());
    let always = "kind: machine\nname: node-1\nassign: {profile: debian-12}\n";
    assert_eq!(steps(always).changes[0].fields[0].field, "mode");
    let both = "kind: machine\nname: node-1\nprofile: debian-12\nassign: {profile: debian-12}\n";
    assert_eq!(faults(both)[0].field, "assign");
}

#[test]
fn the_difference_is_shown_field_by_field() {
    let yaml = "\
kind: machine
macs: [52:54:00:00:00:03]
name: node-3
profile: memtest
---
kind: site
menu_timeout_s: 10
---
kind: profile
name: memtest
title: Memory test
boot: {kind: program, files: {bios: memtest/memtest.bin}}
---
# by name, and only what is said
kind: machine
name: Node-1
profile: null
---
kind: machine
name: node-9
macs: [52-54-00-00-00-09]
";
    insta::assert_snapshot!(text(&changes(yaml)));
    let documents = parse(yaml).expect("well-formed");
    let steps = plan(&documents, &catalog()).expect("possible").steps;
    assert!(
        matches!(steps[1], Step::PutProfile(_)),
        "profiles come before machines: {steps:?}"
    );
}

#[test]
fn a_field_left_out_stays() {
    let changes = changes("kind: machine\nname: node-1\n");
    assert_eq!(changes[0].action, "unchanged");
}

#[test]
fn faults_say_where() {
    let cases = [
        "kind: machine\nname: node-1\nprofile: nonsense\n",
        "kind: site\n---\nkind: site\n",
        "kind: site\nwait_poll_s: 1\n",
        "kind: site\nwait_poll_s: often\n",
        "kind: role\nname: x\n",
        "name: x\n",
        "---\n# nothing\n---\nkind: machine\nname: stranger\n",
        "kind: machine\nmacs: [52:54:00:00:00:01, 52:54:00:00:00:02]\n",
        "kind: machine\nname: node-2\nmacs: [52:54:00:00:00:01]\n",
        "kind: machine\nmacs: [ff:ff:ff:ff:ff:ff]\n",
        "kind: machine\nmacs: [52:54:00]\n",
        "kind: profile\nname: p\ntitle: P\nboot:\n  kind: linux\n  kernel: ../etc/passwd\n",
        "kind: profile\nname: p\ntitle: P\nboot:\n  kind: linux\n  kernel: a/b\n  args: \"a\\nb\"\n",
        "kind: profile\nname: p\ntitle: P\nboot: {kind: local-disk}\nenable: false\n",
        "kind: profile\nname: p\nboot: {kind: local-disk}\n",
        "kind: [unclosed\n",
        "kind: machine\nname: a\nname: b\n",
    ];
    let mut shown = String::new();
    for yaml in cases {
        for f in faults(yaml) {
            let (document, line, column) = (f.document, f.line, f.column);
            shown += &format!("{document} {line}:{column} {}: {}\n", f.field, f.problem);
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn an_empty_stream_asks_for_nothing() {
    for yaml in ["", "---\n", "# only a comment\n", "---\n---\n"] {
        assert!(changes(yaml).is_empty(), "{yaml:?}");
    }
}

#[test]
fn what_installs_at_every_boot_is_written_so() {
    let auto = "kind: profile\nname: auto\ntitle: Auto\nboot: {kind: linux, kernel: d/linux}\n\
                install: {tries: 3, minutes: 60}\n---\n";
    let machine = "kind: machine\nname: node-2\n";
    for said in ["profile: auto", "assign: {profile: auto}"] {
        let found = faults(&format!("{auto}{machine}{said}\n"));
        let told = &found[0].problem;
        assert!(told.contains("installs, and would at every boot"), "{told}");
        let found = faults(&format!(
            "{auto}kind: machine\nmacs: [52:54:00:00:00:09]\n{said}\n"
        ));
        assert_eq!(found.len(), 1, "a new machine: {found:?}");
    }
    for said in [
        "assign: {profile: auto, mode: install-once}",
        "assign: {profile: auto, mode: always}",
    ] {
        let made = changes(&format!("{auto}{machine}{said}\n"));
        assert_eq!(made[1].action, "update", "{said}");
    }
    // Once it is so, files may go on naming it.
    let mut always = catalog()
        .machine(MachineId(2))
        .expect("there")
        .as_ref()
        .clone();
    always.profile = Some("auto".parse().expect("a name"));
    let (site, loaders) = (Site::default(), LoaderInventory::default());
    let profile: Profile =
        serde_json::from_value(serde_json::json!({"name": "auto", "title": "Auto",
        "boot": {"kind": "linux", "kernel": "d/linux"}, "install": {"tries": 3, "minutes": 60}}))
        .expect("a profile");
    let catalog = Catalog::new(1, site, loaders, [always], [profile]);
    let again = parse("kind: machine\nname: node-2\nprofile: auto\n").expect("good");
    let planned = plan(&again, &catalog).expect("as it is");
    assert_eq!(planned.changes[0].action, "unchanged");
    assert!(export(&decided(&catalog), false).contains("mode: always"));
}
