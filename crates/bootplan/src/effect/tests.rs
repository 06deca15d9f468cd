use super::*;
use crate::{
    LoaderInventory, MachineId, MachineState, Mode, NewMachines, Platform, Profile, Site,
    UnassignedPolicy,
};
use serde_json::json;

fn profile(name: &str) -> Profile {
    let boot = json!({"kind": "linux", "kernel": "d/linux"});
    serde_json::from_value(json!({"name": name, "title": name, "boot": boot})).expect("a profile")
}

fn rule(name: &str, selector: serde_json::Value, profile: &str) -> Rule {
    let written = json!({"name": name, "selector": selector, "profile": profile});
    serde_json::from_value(written).expect("a rule")
}

fn machine(n: u32) -> Machine {
    let [_, a, b, c] = n.to_be_bytes();
    let mut machine = Machine {
        macs: vec![MacAddr([0x52, 0x54, 0, a, b, c])],
        ..Machine::named(MachineId(i64::from(n)), format!("node-{n}"))
    };
    machine.facts.platform = Some(Platform::EfiX64);
    machine.facts.place = Some([10, 1, a, b].into());
    machine.labels = [("rack".to_owned(), (n % 100).to_string())].into();
    machine
}

fn catalog(machines: impl IntoIterator<Item = Machine>, rules: Vec<Rule>) -> Catalog {
    let profiles = ["a", "b", "own"].map(profile);
    let rules = rules.into_iter().map(Arc::new);
    Catalog::new(
        1,
        Site::default(),
        LoaderInventory::default(),
        machines,
        profiles,
    )
    .with_rules(rules)
}

fn names(changes: &[Changed]) -> Vec<String> {
    let line = |c: &Changed| format!("{}: {} -> {}", c.machine.name, c.from.gets, c.to.gets);
    changes.iter().map(line).collect()
}

#[test]
fn an_edit_among_ten_thousand_names_those_that_get_something_else() {
    let mut machines: Vec<Machine> = (1..=10_000).map(machine).collect();
    // Rack 7 has a hundred machines; of these one is assigned and one is not adopted.
    machines[6].profile = Some("own".parse().expect("a name"));
    machines[106].state = MachineState::Discovered;
    let all = rule("all", json!({"mac": ["52:54"]}), "a");
    let before = catalog(machines, vec![all.clone()]);
    let narrow = rule(
        "rack-7",
        json!({"mac": ["52:54"], "label": {"rack": ["7"]}}),
        "b",
    );
    let after = with_rule(&before, narrow.clone());
    let found = changes(&before, &after);
    assert_eq!(found.len(), 99);
    assert_eq!(
        names(&found)[..2],
        [
            "node-107: 'a' once it is adopted -> 'b' once it is adopted",
            "node-207: profile 'a' -> profile 'b'",
        ]
    );
    assert_eq!(matching(&narrow, &after).len(), 100);
    let shares = shares(&after);
    let share = |name: &str| shares[&name.parse::<RuleName>().expect("a name")];
    assert_eq!(
        share("all"),
        Share {
            matching: 10_000,
            deciding: 9_900
        }
    );
    assert_eq!(
        share("rack-7"),
        Share {
            matching: 100,
            deciding: 99
        }
    );
    // And back.
    let gone = without_rule(&after, &narrow.name);
    assert_eq!(changes(&after, &gone).len(), 99);
    assert!(changes(&before, &gone).is_empty());
}

#[test]
fn each_outcome_in_words() {
    let once = Rule {
        mode: Mode::InstallOnce,
        ..rule("r", json!({"mac": ["52"]}), "a")
    };
    let always = rule("r", json!({"mac": ["52"]}), "a");
    let registering = Rule {
        new_machines: Some(NewMachines::Register),
        ..once.clone()
    };
    let ignoring = Rule {
        new_machines: Some(NewMachines::Ignore),
        ..always.clone()
    };
    let known = machine(1);
    let new = Machine {
        state: MachineState::Discovered,
        ..machine(1)
    };
    let gone = rule("r", json!({"mac": ["52"]}), "gone");
    let cases = [
        (&known, Some(&always), "profile 'a'"),
        (
            &known,
            Some(&once),
            "its local disk; 'a' once somebody orders it",
        ),
        (&new, Some(&always), "'a' once it is adopted"),
        (&new, Some(&registering), "'a', installed once"),
        (&new, Some(&ignoring), "no answer"),
        (&known, Some(&gone), "no answer"),
        (&known, None, "a menu"),
    ];
    for (machine, rule, expected) in cases {
        let mut catalog = catalog([machine.clone()], rule.cloned().into_iter().collect());
        catalog.site.unassigned = UnassignedPolicy::Menu;
        let found = decided(machine, &catalog);
        assert_eq!(
            found.gets.to_string(),
            expected,
            "{rule:?} {:?}",
            found.because
        );
    }
}

#[test]
fn each_rule_says_why_it_did_or_did_not_decide() {
    let rules = vec![
        rule(
            "far",
            json!({"subnet": ["10.9.0.0/16"], "arch": ["efi-x64"], "mac": ["52"]}),
            "a",
        ),
        rule(
            "near",
            json!({"subnet": ["10.1.0.0/16"], "arch": ["efi-x64"]}),
            "b",
        ),
        rule("serial", json!({"serial": ["X*"]}), "a"),
        rule("wide", json!({"mac": ["52"]}), "a"),
        Rule {
            enabled: false,
            ..rule("off", json!({"mac": ["52"]}), "a")
        },
    ];
    let stands = |machine: Machine, client: BootClient| -> Vec<(String, Stand)> {
        let catalog = catalog([machine], rules.clone());
        let told = account(&client, &catalog);
        let told = told.into_iter().map(|a| (a.rule.name.to_string(), a.stand));
        told.collect()
    };
    let asks = asking(&machine(1));
    let expected = |list: [(&str, Stand); 4]| list.map(|(name, stand)| (name.to_owned(), stand));
    use Stand::*;
    assert_eq!(
        stands(machine(1), asks.clone()),
        expected([
            ("far", NoMatch),
            ("near", Decides),
            ("serial", Unknown),
            ("wide", Later)
        ])
    );
    let own = Machine {
        profile: Some("own".parse().expect("a name")),
        ..machine(1)
    };
    assert_eq!(
        stands(own, asks),
        expected([
            ("far", NoMatch),
            ("near", Overruled),
            ("serial", Unknown),
            ("wide", Overruled)
        ])
    );
    // A card that asks DHCP for the first time: its serial number is not known, and the rule that
    // wants it stands before one that matches for certain.
    let stranger = BootClient {
        platform: Some(Platform::Bios),
        place: Some([10, 1, 0, 1].into()),
        ..BootClient::asking(MacAddr([0x52, 0, 0, 0, 0, 9]), Stage::Firmware)
    };
    let found = stands(machine(1), stranger);
    assert_eq!(
        found,
        expected([
            ("far", NoMatch),
            ("near", NoMatch),
            ("serial", MayDecide),
            ("wide", Later)
        ])
    );
}

#[test]
fn what_a_rule_would_install_is_said_before_anybody_acts() {
    let once = Rule {
        mode: Mode::InstallOnce,
        ..rule("r", json!({"mac": ["52:54"]}), "a")
    };
    let narrow = Rule {
        mode: Mode::Always,
        ..rule("n", json!({"mac": ["52:54"], "serial": ["X*"]}), "b")
    };
    let registering = Rule {
        new_machines: Some(NewMachines::Register),
        ..once.clone()
    };
    let labelled = Rule {
        new_machines: Some(NewMachines::Register),
        ..Rule {
            mode: Mode::InstallOnce,
            ..rule("l", json!({"label": {"rack": ["1"]}}), "a")
        }
    };
    let known = machine(1);
    let new = Machine {
        state: MachineState::Discovered,
        ..machine(1)
    };
    let own = Machine {
        profile: Some("own".parse().expect("a name")),
        ..machine(1)
    };
    let off = Profile {
        enabled: false,
        ..profile("a")
    };
    let told = |machine: &Machine, rules: Vec<Rule>, profiles: Vec<Profile>| -> String {
        let site = Site::default();
        let all = [machine.clone()];
        let rules = rules.into_iter().map(Arc::new);
        let catalog = Catalog::new(1, site, LoaderInventory::default(), all, profiles);
        let catalog = catalog.with_rules(rules);
        let names = [
            ("adopted", adopted(machine, &catalog)),
            ("forgotten", forgotten(machine, &catalog)),
            ("ordered", waits_for_order(machine, &catalog)),
        ];
        let found = names.into_iter().filter_map(|(when, rule)| {
            let rule = rule?;
            Some(format!("{when} {}", rule.name))
        });
        found.collect::<Vec<_>>().join(", ")
    };
    let all = || vec![profile("a"), profile("b"), profile("own")];
    for (machine, rules, expected) in [
        (&new, vec![once.clone()], "adopted r"),
        (&known, vec![once.clone()], "ordered r"),
        (&own, vec![once.clone()], ""),
        (&own, vec![registering.clone()], "forgotten r"),
        (&new, vec![registering], "adopted r, forgotten r"),
        // Its serial number is not known, and the narrower rule may be the one.
        (&new, vec![once.clone(), narrow], ""),
        // A forgotten machine has no labels any more.
        (&known, vec![labelled], "ordered l"),
    ] {
        assert_eq!(told(machine, rules.clone(), all()), expected, "{rules:?}");
    }
    assert_eq!(told(&new, vec![once], vec![off]), "");
}
