//! What is exported changes nothing when it is applied, whatever the store holds.

use super::decided;
use crate::documents::{Options, apply, export};
use bootplan::{
    BootMethod, Catalog, Extras, LoaderInventory, LoaderKind, LocalBoot, MacAddr, Machine,
    MachineId, MachineState, Mode, Object, Platform, Profile, ProfileName, Rule, Site, SystemUuid,
    UnassignedPolicy,
};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Marks, Store};

/// Texts that YAML, a table or a person could take for something else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,20}",
        "\\PC{1,12}",
        Just("null".to_owned()),
        Just("~".to_owned()),
        Just("0x1F".to_owned()),
        Just("1e3".to_owned()),
        Just("2026-11-23".to_owned()),
        Just("yes".to_owned()),
        Just("=1+1".to_owned()),
        Just("-".to_owned()),
        Just("'=x".to_owned()),
        Just("a;b=c\\".to_owned()),
        Just("--- #".to_owned()),
        Just("<img src=x onerror=alert(1)>".to_owned()),
        Just("{{7*7}}".to_owned()),
    ]
}

/// As names and serials are: without spaces at the ends.
fn trimmed() -> impl Strategy<Value = String> {
    text()
        .prop_map(|t| t.trim().to_owned())
        .prop_filter("something must be left", |t| !t.is_empty())
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-zA-Z0-9][a-zA-Z0-9_./-]{0,8}", text(), 0..4)
}

fn method() -> impl Strategy<Value = BootMethod> {
    let url = "https?://[a-z]{1,8}/[a-z0-9._-]{0,8}";
    prop_oneof![
        Just(BootMethod::LocalDisk {}),
        url.prop_map(|url| BootMethod::Chain {
            url: url.parse().expect("a URL"),
        }),
        (
            "[a-z0-9]{1,6}/[a-z]{1,6}",
            "[ -~]{0,20}",
            of("ttyS[0-9],[0-9]{4,6}")
        )
            .prop_filter_map(
                "what a loader would act on is refused",
                |(file, args, console)| {
                    let boot = BootMethod::Linux {
                        kernel: file.parse().expect("a path"),
                        initrds: vec![file.parse().expect("a path")],
                        args,
                        console,
                    };
                    sample("x", boot.clone()).validate().ok().map(|()| boot)
                }
            ),
        Just(BootMethod::Program {
            files: [(Platform::Bios, "memtest/x.bin".parse().expect("a path"))].into(),
        }),
    ]
}

fn sample(name: &str, boot: BootMethod) -> Profile {
    Profile {
        name: name.parse().expect("a slug"),
        title: name.to_owned(),
        description: String::new(),
        labels: BTreeMap::new(),
        enabled: true,
        in_menu: false,
        platforms: Vec::new(),
        loader: None,
        efi_style: Default::default(),
        extras: Extras {
            pxelinux: "SYSAPPEND 3\n".to_owned(),
            grub: "{% if labels.a is defined %}\ninsmod {{ labels.a }}\n{% endif %}".to_owned(),
            ..Extras::default()
        },
        answers: Vec::new(),
        variables: Default::default(),
        install: None,
        boot,
    }
}

fn profiles() -> impl Strategy<Value = Vec<Profile>> {
    let one = (trimmed(), text(), labels(), any::<(bool, bool)>(), method());
    vec(one, 0..4).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        let profile = |(n, (title, description, labels, (enabled, in_menu), boot))| Profile {
            title,
            description,
            labels,
            enabled,
            in_menu,
            platforms: vec![Platform::EfiX64; usize::from(enabled)],
            loader: in_menu.then_some(LoaderKind::Grub),
            install: enabled.then(|| Site::default().install_limit),
            ..sample(&format!("p{n}"), boot)
        };
        numbered.map(profile).collect()
    })
}

type MachineParts = (
    String,
    Option<u128>,
    Option<String>,
    BTreeMap<String, String>,
    u8,
);

fn machine(n: usize, parts: MachineParts, profiles: &[Profile]) -> Machine {
    let (name, uuid, serial, labels, dice) = parts;
    let mac = |k: usize| MacAddr([0x52, 0x54, 0, k as u8, 0, n as u8]);
    let uuid = uuid.map(|uuid| {
        let hex = format!("{uuid:032x}");
        let dashed = format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        );
        dashed.parse::<SystemUuid>().expect("a UUID")
    });
    let profile: Option<ProfileName> = profiles.get(usize::from(dice % 5)).map(|p| p.name.clone());
    Machine {
        macs: (0..1 + usize::from(dice % 3)).map(mac).collect(),
        uuid,
        serial,
        labels,
        state: match dice % 7 {
            0 => MachineState::Discovered,
            _ => MachineState::Registered,
        },
        loader: (dice % 2 == 0).then_some(LoaderKind::Pxelinux),
        asset: (dice % 4 == 0).then(|| format!("{dice:04}")),
        notes: match dice % 11 {
            0 => "line\n  # two: [\n\n".to_owned(),
            _ => String::new(),
        },
        local_boot: (dice % 9 == 0).then_some(LocalBoot::Exit),
        profile,
        mode: match dice % 13 {
            0 => Mode::InstallOnce,
            _ => Mode::Always,
        },
        // Unique, whatever the text.
        ..Machine::named(MachineId(1 + n as i64), format!("{n} {name}"))
    }
}

prop_compose! {
    pub(super) fn catalogs()(
        profiles in profiles(),
        parts in vec((trimmed(), of(any::<u128>()), of(trimmed()), labels(), any::<u8>()), 0..6),
        timeout in 0_u16..300,
        // Nothing that begins a tag: what cannot be read as a template is refused.
        texts in vec("(?s)[^{]{0,40}", 0..4),
    ) -> Catalog {
        let machines = parts.into_iter().enumerate().map(|(n, parts)| machine(n, parts, &profiles));
        let machines: Vec<Machine> = machines.collect();
        let site = Site { menu_timeout_s: timeout, unassigned: UnassignedPolicy::Menu, ..Site::default() };
        let rules = profiles.iter().map(|profile| rule(&profile.name, timeout));
        let rules: Vec<Arc<Rule>> = rules.map(Arc::new).collect();
        let objects: Vec<Object> = texts.into_iter().enumerate().map(object).collect();
        Catalog::new(1, site, LoaderInventory::default(), machines, profiles)
            .with_rules(rules)
            .with_objects(Arc::new(objects.into_iter().collect()))
    }
}

/// Templates, snippets and groups in turn; what a text holds must come back to the last octet.
fn object((n, text): (usize, String)) -> Object {
    let name = format!("o{n}");
    let written = match n % 3 {
        0 => serde_json::json!({"kind": "template", "name": name, "text": text}),
        1 => serde_json::json!({"kind": "snippet", "name": name, "text": text}),
        _ => serde_json::json!({"kind": "group", "name": name,
            "selector": {"label": {"rack": ["1"]}}, "variables": {"x": text}}),
    };
    serde_json::from_value(written).expect("an object")
}

fn rule(profile: &ProfileName, dice: u16) -> Rule {
    let selectors = [
        serde_json::json!({"label": {"rack": ["1", "null"]}, "arch": ["efi-x64"]}),
        serde_json::json!({"any": [{"subnet": ["10.1.0.0/16"]}, {"circuit": ["ge-0/0/*"]}]}),
        serde_json::json!({"all": [{"mac": ["52:54:00"]}, {"not": {"serial": ["OLD*"]}}]}),
    ];
    let selector = selectors[usize::from(dice % 3)].clone();
    serde_json::from_value(serde_json::json!({
        "name": format!("r-{profile}"), "selector": selector, "profile": profile,
        "labels": {"team": "web"}, "enabled": dice.is_multiple_of(2),
        "mode": if dice.is_multiple_of(5) { "install-once" } else { "always" },
    }))
    .expect("a rule")
}

proptest! {
    #[test]
    fn of_yaml(catalog in catalogs()) {
        let yaml = export(&decided(&catalog), false);
        let documents = super::super::kinds::parse(&yaml);
        let documents = documents.unwrap_or_else(|faults| panic!("{faults:?} in\n{yaml}"));
        let plan = super::super::plan::plan(&documents, &decided(&catalog), &Marks::default(), &Options::default());
        let plan = plan.unwrap_or_else(|faults| panic!("{faults:?} in\n{yaml}"));
        prop_assert!(plan.steps.is_empty(), "{:?} by\n{}", plan.changes, yaml);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Into an empty store, through a real database: what comes out is what went in.
    #[test]
    fn through_another_store(catalog in catalogs()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let dir = tempfile::tempdir().expect("a directory");
            let url = format!("sqlite:{}", dir.path().join("farrier.db").display());
            let store = Store::open(&url).await.expect("opens");
            let yaml = export(&decided(&catalog), false);
            let done = apply(&store, &yaml, &Options::default(), "git").await;
            done.unwrap_or_else(|e| panic!("{e} {:?} in\n{yaml}", e.faults()));
            let now = store.decided().await.expect("read");
            assert_eq!(export(&now, false), yaml);
            let again = apply(&store, &yaml, &Options::default(), "git").await.expect("applies");
            assert!(!again.changed, "{}", again.text);
            store.close().await;
        });
    }
}
