use super::*;
use crate::SecretBook;
use bootplan::{Arming, Because, LoaderInventory, Object, Outcome, RunId, Secret, Site, decide};
use serde_json::json;
use std::net::Ipv4Addr;
use std::sync::Arc;

const SERVER: Endpoint = Endpoint {
    ip: Ipv4Addr::new(10, 0, 0, 1),
    http_port: 8080,
    ui_port: 8081,
};

fn profile(args: &str) -> Profile {
    serde_json::from_value(json!({
        "name": "debian", "title": "Debian",
        "boot": {"kind": "linux", "kernel": "d/linux", "args": args},
        "variables": {"domain": "profile.example"},
        "answers": [
            {"name": "preseed.cfg", "kind": "preseed", "template": "seed", "minutes": 10},
            {"name": "gone", "template": "nobody"},
        ],
    }))
    .expect("a profile")
}

fn machine(run: Option<Arming>) -> Machine {
    let run = run.map(|arming| Arc::new(arming.run(RunId(9), "me", Timestamp(0))));
    Machine {
        macs: vec!["52:54:00:12:34:56".parse().expect("a MAC")],
        labels: [("rack".to_owned(), "1".to_owned())].into(),
        profile: Some("debian".parse().expect("a name")),
        run,
        ..Machine::named(MachineId(3), "web3")
    }
}

fn catalog(machine: Machine, args: &str) -> Catalog {
    let objects: Vec<Object> = serde_json::from_value(json!([
        {"kind": "template", "name": "seed",
         "text": "d-i netcfg/get_domain string {{ domain }} {{ rack }}\n\
                  d-i passwd/root-password-crypted password {{ secret('root') }}\n"},
        {"kind": "group", "name": "rack1", "selector": {"label": {"rack": ["1"]}},
         "variables": {"rack": "one", "domain": "group.example"}},
        {"kind": "group", "name": "rack2", "selector": {"label": {"rack": ["2"]}},
         "variables": {"rack": "two"}},
    ]))
    .expect("objects");
    let site = Site {
        variables: serde_json::from_value(json!({"domain": "site.example", "rack": "?"}))
            .expect("variables"),
        ..Site::default()
    };
    Catalog::new(
        1,
        site,
        LoaderInventory::default(),
        [machine],
        [profile(args)],
    )
    .with_objects(Arc::new(objects.into_iter().collect()))
}

fn arming() -> Arming {
    Arming {
        kind: RunKind::Install,
        profile: "debian".parse().expect("a name"),
        limit: Site::default().install_limit,
        not_before: None,
        window: None,
        force: false,
    }
}

fn secrets() -> Secrets {
    let root = ("root".to_owned(), Secret::new("$6$CANARY"));
    Secrets::Plain(Arc::new(SecretBook::from_iter([root])))
}

#[test]
fn an_answer_is_made_of_site_group_profile_and_machine() {
    let mut own = machine(None);
    let catalog = catalog(own.clone(), "");
    let profile = profile("");
    let text = |machine: &Machine| {
        let case = Case::new(&catalog, machine, &profile, &SERVER, Links::Hidden);
        case.answer(&profile.answers[0], &secrets())
            .expect("rendered")
            .text
    };
    assert!(text(&own).starts_with("d-i netcfg/get_domain string profile.example one\n"));
    assert!(text(&own).ends_with("password $6$CANARY\n"));
    own.variables = serde_json::from_value(json!({"domain": "own.example"})).expect("variables");
    own.labels.clear();
    assert!(text(&own).starts_with("d-i netcfg/get_domain string own.example ?\n"));
}

#[test]
fn a_review_shows_all_that_is_fetched_and_no_secret() {
    let machine = machine(None);
    let args = "url={{ answer('preseed.cfg') }}";
    let catalog = catalog(machine.clone(), args);
    let profile = profile(args);
    let case = Case::new(&catalog, &machine, &profile, &SERVER, Links::Hidden);
    let seen = case.review(&secrets());
    let names: Vec<&str> = seen.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["args", "preseed.cfg", "gone"]);
    assert_eq!(seen[0].text, "url=http://10.0.0.1:8080/a/link/preseed.cfg");
    assert!(seen[1].faults.is_empty() && seen[1].text.contains("$0$secret"));
    let said = seen[2].faults[0].to_string();
    assert_eq!(said, "nobody:1:1: there is no such template");
    assert!(!format!("{seen:?}").contains("CANARY"));
}

#[test]
fn links_name_the_run_and_the_try_and_end() {
    let key = LinkKey::new([7; 32]);
    let machine = machine(Some(arming()));
    let args = "url={{ answer('preseed.cfg') }} r={{ report }}";
    let catalog = catalog(machine.clone(), args);
    let profile = profile(args);
    let now = Timestamp(600_000);
    let case = Case::new(
        &catalog,
        &machine,
        &profile,
        &SERVER,
        Links::Minted(&key, now),
    );
    let args = case.args(args).expect("filled");
    let link = |purpose, start: &str, end: &str| {
        let from = args.find(start).expect("there") + start.len();
        let text = args[from..].split('/').nth(4).expect("a link");
        assert!(args.contains(end));
        links::verify(&key, purpose, text, now).expect("ours")
    };
    let answers = link(LinkPurpose::Answers, "url=", "/preseed.cfg");
    assert_eq!(
        (answers.machine, answers.run, answers.try_number),
        (MachineId(3), 9, 1)
    );
    // The longest of its answers: half an hour.
    assert_eq!(answers.expires, Timestamp(600_000 + 30 * 60_000));
    let report = link(LinkPurpose::Report, "r=", "/report");
    assert_eq!(report.expires, Timestamp(600_000 + 300 * 60_000));
}

#[test]
fn arguments_are_filled_before_a_menu_is_made_of_them() {
    for (args, expected) in [
        (
            "a={{ domain }} rack={{ rack }}",
            Ok("a=profile.example rack=one"),
        ),
        ("a={{ nobody }}", Err("args:1:")),
        ("a={{ '|' ~ '| shell' }}", Ok("a=|| shell")),
        (
            "a {{ '|' ~ '|' }} shell",
            Err("a word that a loader would act on"),
        ),
        ("{{ 'a\nb' }}", Err("must stay on one line")),
        ("{{ secret('root') }}", Err("args:1:")),
    ] {
        let machine = machine(None);
        let catalog = catalog(machine.clone(), args);
        let client = BootClient::asking(machine.macs[0], Stage::Ipxe);
        let mut decision = decide(&client, &catalog);
        crate::fill(&mut decision, &client, &catalog, &SERVER, Links::Hidden);
        match (&decision.outcome, expected) {
            (Outcome::Boot(plan), Ok(text)) => match &plan.entries[0].boot {
                BootMethod::Linux { args, .. } => assert_eq!(args, text),
                other => panic!("{other:?}"),
            },
            (Outcome::LocalDisk, Err(text)) => {
                assert!(matches!(decision.because, Because::Template { .. }));
                let said = decision.because.to_string();
                assert!(said.contains(text), "{said}");
            }
            other => panic!("{args}: {other:?}"),
        }
    }
}

#[test]
fn a_machine_without_a_disk_has_its_arguments_filled_too() {
    let machine = machine(None);
    let catalog = catalog(machine.clone(), "");
    let room = |args: &str| Profile {
        boot: serde_json::from_value(json!({
            "kind": "diskless", "kernel": "l/linux", "root": "l/root.squashfs", "args": args,
        }))
        .expect("a method"),
        ..profile("")
    };
    for (args, expected) in [
        ("printer={{ rack }}", Ok("printer=one")),
        ("quiet", Ok("quiet")),
        ("a={{ nobody }}", Err("args:1:")),
        ("{{ '#' ~ rack }}", Err("a word that a loader would act on")),
    ] {
        let profile = room(args);
        assert_eq!(profile.has_template(), args.contains("{{"), "{args}");
        let case = Case::new(&catalog, &machine, &profile, &SERVER, Links::Hidden);
        match (case.filled(), expected) {
            (Ok(filled), Ok(text)) => assert_eq!(filled.boot.args(), Some(text)),
            (Err(fault), Err(text)) => {
                assert!(fault.to_string().contains(text), "{fault}");
                assert_eq!(case.review(&secrets())[0].faults, [fault]);
            }
            other => panic!("{args}: {other:?}"),
        }
    }
}

#[test]
fn what_a_machine_claims_is_one_word_among_a_loaders_commands() {
    let text = |serial: &str| {
        format!("{{{{ '{serial}' }}}} {{% if rack == 'one' %}}\nset a=1\n{{% endif %}}\n")
    };
    for (value, expected) in [
        ("SN-1", Ok("SN-1 set a=1\n")),
        ("", Ok(" set a=1\n")),
        ("a || shell", Err("extras.ipxe:1:")),
        ("a;b", Err("extras.ipxe:1:")),
        ("${x}", Err("extras.ipxe:1:")),
        ("a\nshell", Err("extras.ipxe:1:")),
    ] {
        let machine = machine(None);
        let mut profile = profile("");
        profile.extras.ipxe = text(value);
        let catalog = catalog(machine.clone(), "");
        let case = Case::new(&catalog, &machine, &profile, &SERVER, Links::Hidden);
        match (case.filled(), expected) {
            (Ok(filled), Ok(text)) => {
                assert_eq!(filled.extras.ipxe, text);
                let shown = case.review(&Secrets::none());
                assert!(
                    shown
                        .iter()
                        .any(|r| r.name == "extras.ipxe" && r.text == text)
                );
            }
            (Err(fault), Err(text)) => {
                assert!(fault.to_string().starts_with(text), "{fault}");
                assert_eq!(case.review(&Secrets::none())[0].faults, [fault]);
            }
            other => panic!("{value}: {other:?}"),
        }
    }
}

#[test]
fn extras_that_would_leave_their_entry_once_they_are_filled_boot_nothing() {
    let machine = machine(None);
    let mut profile = profile("");
    profile.extras.grub = "{% if rack == 'one' %}\nif true; then\n{% endif %}\n".to_owned();
    let catalog = catalog(machine.clone(), "");
    let case = Case::new(&catalog, &machine, &profile, &SERVER, Links::Hidden);
    let fault = case.filled().expect_err("an if is left open");
    assert!(fault.to_string().contains("left open"), "{fault}");
}

#[test]
fn wimboot_is_given_the_answers_as_files() {
    let machine = machine(None);
    let mut profile = profile("");
    profile.boot = serde_json::from_value(json!({
        "kind": "linux", "kernel": "windows/wimboot", "initrds": ["windows/boot/bcd"],
    }))
    .expect("a method");
    let catalog = Catalog::new(
        1,
        Site::default(),
        LoaderInventory::default(),
        [machine],
        [profile],
    );
    let client = BootClient::asking("52:54:00:12:34:56".parse().expect("a MAC"), Stage::Ipxe);
    let mut decision = decide(&client, &catalog);
    crate::fill(&mut decision, &client, &catalog, &SERVER, Links::Hidden);
    let language = bootplan::menu::Language::Ipxe;
    let menu = bootplan::menu::render(language, &client, &decision, &SERVER, 0);
    for line in [
        "kernel --name linux http://10.0.0.1:8080/images/windows/wimboot || goto failed\n",
        "initrd --name bcd http://10.0.0.1:8080/images/windows/boot/bcd || goto failed\n",
        "initrd --name preseed.cfg http://10.0.0.1:8080/a/link/preseed.cfg || goto failed\n",
    ] {
        assert!(menu.contains(line), "{menu}");
    }
}

#[test]
fn links_are_open_while_a_run_is_at_work() {
    let at = |state: RunState, kind, turn, now| {
        let mut machine = machine(Some(arming()));
        let mut run = bootplan::Run::clone(machine.run.as_deref().expect("a run"));
        (run.state, run.kind, run.turn) = (state, kind, turn);
        machine.run = Some(Arc::new(run));
        standing(&machine, 9, Timestamp(now)).is_some_and(|s| s.open)
    };
    use bootplan::Turn::{Granted, None as NoTurn};
    assert!(at(RunState::Armed, RunKind::Install, Granted, 0));
    assert!(at(RunState::Installing, RunKind::Install, Granted, 0));
    for (state, turn) in [
        (RunState::Waiting, NoTurn),
        (RunState::Armed, NoTurn),
        (RunState::Installed, Granted),
        (RunState::Cancelled, Granted),
    ] {
        assert!(!at(state, RunKind::Install, turn, 0));
    }
    assert!(at(RunState::Installed, RunKind::NextBoot, NoTurn, 1000));
    assert!(!at(
        RunState::Installed,
        RunKind::NextBoot,
        NoTurn,
        31 * 60_000
    ));
    assert_eq!(standing(&machine(None), 9, Timestamp(0)), None);
}
