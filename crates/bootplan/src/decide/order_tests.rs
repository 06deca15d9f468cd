//! Who comes first: every state of a run with every assignment, rule and site default.

use super::*;
use crate::{
    Arming, Doubts, Limit, LoaderInventory, MacAddr, NewMachines, Rule, Run, RunId, RunKind,
    RunState, Timestamp, Turn, Unstored,
};
use serde_json::json;

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);

#[rustfmt::skip]
const RUNS: [&str; 12] = [
    "no-run", "waiting", "armed", "granted", "installing", "used-up", "slot-lost", "to-disk",
    "installed", "failed", "held", "cancelled",
];
const ASSIGNMENTS: [&str; 3] = ["unassigned", "always", "once"];
const RULES: [&str; 3] = ["no-rule", "rule-always", "rule-once"];

fn run(word: &str) -> Option<Arc<Run>> {
    let why = || "no disk".to_owned();
    let (state, tries, turn) = match word {
        "no-run" => return None,
        "waiting" => (RunState::Waiting, 0, Turn::None),
        "armed" => (RunState::Armed, 0, Turn::None),
        "granted" => (RunState::Armed, 0, Turn::Granted),
        "installing" | "to-disk" => (RunState::Installing, 1, Turn::Granted),
        "used-up" => (RunState::Installing, 3, Turn::Granted),
        "slot-lost" => (RunState::Installing, 1, Turn::None),
        "installed" => (RunState::Installed, 1, Turn::None),
        "failed" => (RunState::Failed { why: why() }, 1, Turn::None),
        "held" => {
            let why = crate::HeldWhy::Person { note: why() };
            (RunState::Held { why }, 1, Turn::None)
        }
        _ => (RunState::Cancelled, 1, Turn::None),
    };
    let order = Arming {
        kind: RunKind::Install,
        profile: "run-os".parse().expect("a slug"),
        limit: Limit {
            tries: 3,
            minutes: 240,
        },
        not_before: None,
        window: None,
        force: false,
    };
    Some(Arc::new(Run {
        state,
        tries,
        turn,
        to_disk: word == "to-disk",
        ..order.run(RunId(1), "anna", Timestamp(0))
    }))
}

fn machine(words: &str) -> Machine {
    let has = |word: &str| words.split(' ').any(|w| w == word);
    let run_word = RUNS.iter().find(|word| has(word)).unwrap_or(&"no-run");
    let own = has("always") || has("once");
    Machine {
        macs: vec![MAC],
        // An order to install is for what is assigned to be installed once.
        profile: own.then(|| match has("once") {
            true => "run-os".parse().expect("a slug"),
            false => "own-os".parse().expect("a slug"),
        }),
        mode: match has("once") {
            true => Mode::InstallOnce,
            false => Mode::Always,
        },
        run: run(run_word),
        ..Machine::named(MachineId(1), "node-1")
    }
}

#[test]
fn what_cannot_be_counted_boots_its_disk() {
    let asks = |word: &str, handed_over: Option<i64>, failing| {
        let unstored = Unstored {
            handed_over: handed_over
                .map(|run| (MachineId(1), RunId(run)))
                .into_iter()
                .collect(),
            failing,
        };
        let site = site(UnassignedPolicy::Wait, NewMachines::Hold);
        let machines = vec![machine(&format!("once {word}"))];
        let catalog = catalog("", site, machines).with_unstored(Arc::new(unstored));
        let client = BootClient {
            platform: Some(Platform::EfiX64),
            arch: Some(crate::Arch(7)),
            ..BootClient::asking(MAC, Stage::Firmware)
        };
        let decision = decide(&client, &catalog);
        match decision.because {
            Because::Unstored { .. } => {
                assert_eq!(decision.outcome, Outcome::LocalDisk);
                "disk"
            }
            Because::Run { .. } => "boot",
            _ => "other",
        }
    };
    for (word, handed_over, failing, expected) in [
        ("granted", None, false, "boot"),
        ("granted", Some(1), false, "disk"),
        ("granted", Some(2), false, "boot"),
        ("granted", None, true, "boot"),
        ("installing", None, false, "boot"),
        ("installing", None, true, "disk"),
        ("installing", Some(1), true, "disk"),
        ("installed", Some(1), true, "other"),
    ] {
        let got = asks(word, handed_over, failing);
        assert_eq!(got, expected, "{word} {handed_over:?} {failing}");
    }
}

fn rules(words: &str) -> Vec<Arc<Rule>> {
    let mode = match words {
        w if w.contains("rule-always") => "always",
        w if w.contains("rule-once") => "install-once",
        _ => return Vec::new(),
    };
    let written = json!({"name": "all", "selector": {"mac": ["52"]}, "profile": "rule-os",
        "mode": mode});
    vec![Arc::new(serde_json::from_value(written).expect("a rule"))]
}

fn profiles() -> Vec<Profile> {
    let profile = |name: &str| {
        let boot = json!({"kind": "linux", "kernel": "d/linux"});
        let written = json!({"name": name, "title": name, "boot": boot});
        serde_json::from_value(written).expect("a profile")
    };
    ["run-os", "own-os", "rule-os"]
        .into_iter()
        .map(profile)
        .collect()
}

fn catalog(words: &str, site: Site, machines: Vec<Machine>) -> Catalog {
    let mut loaders = LoaderInventory::default();
    loaders.add(Platform::EfiX64, LoaderRole::Ipxe, "snponly.efi");
    Catalog::new(1, site, loaders, machines, profiles()).with_rules(rules(words))
}

fn site(unassigned: UnassignedPolicy, new_machines: NewMachines) -> Site {
    Site {
        unassigned,
        new_machines,
        ..Site::default()
    }
}

/// As its firmware asks, and as its iPXE asks for the menu.
fn clients() -> [BootClient; 2] {
    let menu = BootClient::asking(MAC, Stage::Ipxe);
    let arch = crate::Arch(7);
    let firmware = BootClient {
        arch: Some(arch),
        platform: arch.platform(),
        ..BootClient::asking(MAC, Stage::Firmware)
    };
    [firmware, menu]
}

fn got(client: &BootClient, catalog: &Catalog) -> String {
    match decide(client, catalog).outcome {
        Outcome::LocalDisk => "disk".to_owned(),
        Outcome::Silent => "silence".to_owned(),
        Outcome::Boot(plan) => match plan.intent {
            Intent::Assigned => plan.entries[0].name.to_string(),
            Intent::Queue => "queue".to_owned(),
            Intent::Wait => "wait".to_owned(),
            Intent::Menu => "menu".to_owned(),
        },
    }
}

#[test]
fn who_comes_first() {
    let cases = [
        ("no-run unassigned", "wait"),
        ("no-run always", "own-os"),
        ("no-run once", "disk"),
        ("no-run unassigned rule-always", "rule-os"),
        ("no-run unassigned rule-once", "disk"),
        ("no-run always rule-always", "own-os"),
        ("no-run once rule-always", "disk"),
        ("waiting once rule-always", "disk"),
        ("waiting always", "own-os"),
        ("armed once", "queue"),
        ("armed always rule-always", "queue"),
        ("granted once", "run-os"),
        ("granted always rule-always", "run-os"),
        ("granted unassigned", "run-os"),
        ("installing once", "run-os"),
        ("slot-lost once", "queue"),
        ("used-up once", "disk"),
        ("used-up always rule-always", "disk"),
        ("to-disk always rule-always", "disk"),
        ("held always rule-always", "disk"),
        ("installed once rule-always", "disk"),
        ("failed once rule-always", "disk"),
        ("cancelled once rule-always", "disk"),
        ("installed always", "own-os"),
        ("cancelled unassigned rule-always", "rule-os"),
    ];
    for (words, expected) in cases {
        let site = site(UnassignedPolicy::Wait, NewMachines::Hold);
        let catalog = catalog(words, site, vec![machine(words)]);
        for client in clients() {
            let found = got(&client, &catalog);
            assert_eq!(found, expected, "{words}, {}", client.stage);
        }
    }
}

/// All of them: a profile is booted only by an order in force, else by an assignment for every
/// boot, else by a rule for every boot; whatever else there is ends on the disk, in the queue, or
/// with the site default.
#[test]
fn nothing_else_writes_to_a_disk() {
    for run in RUNS {
        for assignment in ASSIGNMENTS {
            for rule in RULES {
                for policy in UnassignedPolicy::ALL {
                    let words = format!("{run} {assignment} {rule}");
                    let site = site(policy, NewMachines::Hold);
                    let catalog = catalog(&words, site, vec![machine(&words)]);
                    let blocks = ["armed", "used-up", "slot-lost", "to-disk", "held"];
                    let expected = match (run, assignment, rule) {
                        ("granted" | "installing", ..) => "run-os",
                        ("armed" | "slot-lost", ..) => "queue",
                        (run, ..) if blocks.contains(&run) => "disk",
                        (_, "always", _) => "own-os",
                        (_, "once", _) => "disk",
                        (.., "rule-always") => "rule-os",
                        (.., "rule-once") => "disk",
                        _ => policy.slug(),
                    };
                    for client in clients() {
                        let found = got(&client, &catalog);
                        assert_eq!(found, expected, "{words}, {policy}, {}", client.stage);
                    }
                }
            }
        }
    }
}

/// A machine that nobody has adopted, known or never seen, under each choice.
#[test]
fn new_machines() {
    use NewMachines::{Hold, Ignore, Register};
    let cases = [
        (Hold, "no-rule", "menu"),
        (Hold, "rule-always", "menu"),
        (Hold, "rule-once", "menu"),
        (Register, "no-rule", "menu"),
        (Register, "rule-always", "rule-os"),
        (Register, "rule-once", "wait"),
        (Ignore, "no-rule", "silence"),
        (Ignore, "rule-always", "silence"),
    ];
    for (choice, words, expected) in cases {
        let discovered = Machine {
            state: crate::MachineState::Discovered,
            ..machine(words)
        };
        for machines in [vec![], vec![discovered]] {
            let site = site(UnassignedPolicy::Menu, choice);
            let catalog = catalog(words, site, machines);
            for client in clients() {
                let found = got(&client, &catalog);
                assert_eq!(found, expected, "{choice:?} {words} {}", client.stage);
            }
        }
    }
    // What a rule says of new machines counts for more than what the site says.
    let mut rule = Rule::clone(&rules("rule-always")[0]);
    rule.new_machines = Some(Register);
    let site = site(UnassignedPolicy::Silence, Ignore);
    let catalog = catalog("", site, vec![]).with_rules([Arc::new(rule)]);
    assert_eq!(got(&clients()[0], &catalog), "rule-os");
}

#[test]
fn doubt_ends_on_the_disk() {
    let uuid = |text: &str| -> crate::SystemUuid { text.parse().expect("a UUID") };
    let known = Machine {
        uuid: Some(uuid("12345678-9abc-def0-1122-334455667788")),
        ..machine("granted always rule-always")
    };
    let site = site(UnassignedPolicy::Menu, NewMachines::Register);
    let other = Machine {
        uuid: Some(uuid("bbbbbbbb-9abc-def0-1122-334455667788")),
        ..Machine::named(MachineId(2), "node-2")
    };
    let plain = catalog("rule-always", site, vec![known, other]);
    let [firmware, _] = clients();
    for (said, expected) in [
        ("12345678-9abc-def0-1122-334455667788", "run-os"),
        // The same with its first groups turned round, and one that is none.
        ("78563412-bc9a-f0de-1122-334455667788", "run-os"),
        ("00000000-0000-0000-0000-000000000000", "run-os"),
        // Nobody's: the one that we know may have been forged.
        ("aaaaaaaa-9abc-def0-1122-334455667788", "run-os"),
        ("bbbbbbbb-9abc-def0-1122-334455667788", "disk"),
    ] {
        let client = BootClient {
            uuid: Some(uuid(said)),
            ..firmware.clone()
        };
        assert_eq!(got(&client, &plain), expected, "{said}");
    }
    // A card that nobody has seen, in a machine that we know: no rule takes it for a new one.
    let second_card = BootClient {
        mac: "52:54:00:99:99:99".parse().expect("a MAC"),
        uuid: Some(uuid("78563412-bc9a-f0de-1122-334455667788")),
        ..firmware.clone()
    };
    assert_eq!(got(&second_card, &plain), "disk");
    assert_eq!(
        decide(&second_card, &plain).because,
        Because::IdentityConflict
    );
    let conflict = Doubts {
        conflicts: [MAC].into(),
        ..Doubts::default()
    };
    let in_conflict = plain.clone().with_doubts(Arc::new(conflict));
    assert_eq!(got(&firmware, &in_conflict), "disk");
    assert_eq!(
        decide(&firmware, &in_conflict).because,
        Because::IdentityConflict
    );
    // Its own UUID is no doubt; a loader that says none counts as the one that asked last.
    let own = BootClient {
        uuid: Some(uuid("12345678-9abc-def0-1122-334455667788")),
        ..firmware.clone()
    };
    assert_eq!(got(&own, &in_conflict), "run-os");
    let quiet = Doubts {
        conflicts: [MAC].into(),
        quiet: [MAC].into(),
        ..Doubts::default()
    };
    let quiet = plain.clone().with_doubts(Arc::new(quiet));
    assert_eq!(got(&firmware, &quiet), "run-os");
    let another = BootClient {
        uuid: Some(uuid("aaaaaaaa-9abc-def0-1122-334455667788")),
        ..firmware.clone()
    };
    assert_eq!(got(&another, &quiet), "disk");
    let twin = Doubts {
        conflicts: [MAC].into(),
        twins: [MAC].into(),
        ..Doubts::default()
    };
    let twin = plain.clone().with_doubts(Arc::new(twin));
    assert_eq!(got(&own, &twin), "disk", "it may be another one");
    // A shared adapter finds nobody, and its owner by the UUID.
    let shared = Doubts {
        shared_macs: [MAC].into(),
        ..Doubts::default()
    };
    let shared = plain.with_doubts(Arc::new(shared));
    assert_eq!(decide(&firmware, &shared).machine, None);
    let told = BootClient {
        uuid: Some(uuid("12345678-9abc-def0-1122-334455667788")),
        ..firmware
    };
    assert_eq!(decide(&told, &shared).machine, Some(MachineId(1)));
}

#[test]
fn a_rule_that_may_match_gets_the_loader_first() {
    let written = json!({"name": "narrow", "selector": {"mac": ["52"], "serial": ["A*"]},
        "profile": "rule-os"});
    let narrow = || {
        let rule: Rule = serde_json::from_value(written.clone()).expect("a rule");
        [Arc::new(rule)]
    };
    let site = || site(UnassignedPolicy::Silence, NewMachines::Hold);
    let [firmware, menu] = clients();
    let unknown = catalog("", site(), vec![machine("")]).with_rules(narrow());
    assert_eq!(got(&firmware, &unknown), "wait");
    assert_eq!(
        got(&menu, &unknown),
        "silence",
        "iPXE told no serial number"
    );
    let told = |serial: &str| Machine {
        serial: Some(serial.to_owned()),
        ..machine("")
    };
    let known = catalog("", site(), vec![told("A7")]).with_rules(narrow());
    assert_eq!(
        (got(&firmware, &known), got(&menu, &known)),
        ("rule-os".into(), "rule-os".into())
    );
    let other = catalog("", site(), vec![told("B7")]).with_rules(narrow());
    assert_eq!(got(&firmware, &other), "silence");
}

#[test]
fn reasons() {
    let queued = |last: u8, since: i64| {
        let mut run = Run::clone(&run("armed").expect("a run"));
        run.id = RunId(i64::from(last));
        run.turn = Turn::Queued {
            since: Timestamp(since),
        };
        Machine {
            id: MachineId(i64::from(last)),
            name: format!("node-{last}"),
            macs: vec![MacAddr([0x52, 0x54, 0, 0, 0, last])],
            run: Some(Arc::new(run)),
            ..machine("once")
        }
    };
    let site = || site(UnassignedPolicy::Wait, NewMachines::Hold);
    let told = |machines: Vec<Machine>, words: &str| {
        let catalog = catalog(words, site(), machines);
        let [firmware, _] = clients();
        decide(&firmware, &catalog).because.to_string()
    };
    assert_eq!(
        told(vec![queued(1, 30), queued(2, 20), queued(3, 40)], ""),
        "place 2 of 3 in the queue for 'run-os'"
    );
    for (words, expected) in [
        (
            "granted once",
            "machine 'node-1' is to boot profile 'run-os' (try 1 of 3)",
        ),
        (
            "installing once",
            "machine 'node-1' is to boot profile 'run-os' (try 2 of 3)",
        ),
        (
            "used-up once",
            "installing 'run-os' is held: 3 tries without a report",
        ),
        ("to-disk once", "the installer of 'run-os' wants the disk"),
        (
            "held once",
            "installing 'run-os' is held: somebody stopped it: no disk",
        ),
        ("failed once", "installing 'run-os' failed: no disk"),
        (
            "no-run once",
            "'run-os' is to be installed once, and nobody ordered it",
        ),
        ("installed once", "'run-os' is installed"),
        ("rule-always", "rule 'all' gives it profile 'rule-os'"),
    ] {
        assert_eq!(told(vec![machine(words)], words), expected, "{words}");
    }
    assert_eq!(
        told(vec![], "rule-always"),
        "rule 'all' gives it 'rule-os' once somebody adopts it; until then 'wait'"
    );
}
