//! From what the boot network reports to orders and their ends: by the journal's own way in, on
//! SQLite and on a real PostgreSQL.

mod common;

use bootplan::{
    Arming, BootClient, Event, Lifecycle, Machine, MachineId, MachineState, Mode, NewMachines,
    Origin, Outcome, Rule, RunKind, Site, Stage, Turn, decide,
};
use common::{Place, at, install, mac, machine, named, on_both, run, with_profile};
use std::sync::Arc;
use store::{MachineChange, Sighting, Step, Store};

on_both!(
    a_machine_that_never_reports_is_held,
    a_restart_keeps_counting,
    one_other_boot_is_over_when_its_last_file_is_sent,
    a_storm_shares_the_slots,
    a_rule_orders_once_when_a_machine_is_adopted,
    no_edit_no_entry_and_no_batch_orders_by_a_rule,
    new_machines_are_held_registered_or_ignored,
    a_rule_waits_for_what_it_asks_for,
    another_card_of_a_machine_does_not_have_it_installed_again,
);

fn event(n: u32, kind: serde_json::Value) -> Event {
    Event {
        at: at(0),
        origin: Origin {
            mac: Some(mac(n)),
            ..Origin::default()
        },
        kind: serde_json::from_value(kind).expect("an event"),
    }
}

fn because() -> serde_json::Value {
    serde_json::json!({"reason": "site-default", "policy": "wait"})
}

fn asks(n: u32) -> Event {
    let kind = serde_json::json!({"event": "offered", "stage": "firmware", "platform": "efi-x64",
        "class": "pxe", "file": "snponly.efi", "because": because()});
    event(n, kind)
}

fn menu(n: u32) -> Event {
    let kind = serde_json::json!({"event": "menu-served", "stage": "ipxe", "transport": "http",
        "path": "/boot.ipxe", "intent": "assigned", "profile": "debian-12",
        "because": because()});
    event(n, kind)
}

fn file(n: u32, path: &str) -> Event {
    let kind = serde_json::json!({"event": "file-served", "transport": "http", "path": path,
        "bytes": 1, "millis": 1});
    event(n, kind)
}

/// What a machine does from its power button to the installer's first line.
fn boots(n: u32) -> Vec<Event> {
    let (kernel, initrd) = ("/images/debian-12/linux", "/images/debian-12/initrd.gz");
    vec![asks(n), menu(n), file(n, kernel), file(n, initrd)]
}

async fn told(store: &Store, events: Vec<Event>) {
    store.append(events).await.expect("stored");
}

fn known(store: &Store, id: MachineId) -> Arc<Machine> {
    store.machine(id).expect("there").machine
}

/// Whether its menu would install it now.
fn installs(store: &Store, n: u32) -> bool {
    let decision = decide(&BootClient::asking(mac(n), Stage::Ipxe), &store.catalog());
    let booted = decision.because.profile().is_some();
    matches!(decision.outcome, Outcome::Boot(plan) if !plan.entries.is_empty()) && booted
}

async fn a_machine_that_never_reports_is_held(place: Place) {
    let store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    store.arm(&[id], install(), "ann").await.expect("ordered");
    for attempt in 1..=3 {
        told(&store, vec![asks(1), asks(1)]).await;
        assert!(installs(&store, 1), "try {attempt}");
        told(&store, boots(1).split_off(1)).await;
        assert_eq!(run(&store, id).tries, attempt);
        // Files are fetched twice, and events come twice: it is one try all the same.
        told(&store, vec![file(1, "/images/debian-12/initrd.gz")]).await;
        assert_eq!(run(&store, id).tries, attempt, "counted once");
    }
    assert!(!installs(&store, 1), "before anything says that it is held");
    assert_eq!(known(&store, id).lifecycle(), Lifecycle::Installing);
    told(&store, vec![asks(1)]).await;
    let held = known(&store, id);
    assert_eq!(held.lifecycle(), Lifecycle::Held);
    let line = held.progress(&store.catalog(), at(0)).expect("a line");
    assert_eq!(line, "3 tries without a report");
    assert!(!installs(&store, 1));
    store.close().await;
}

async fn a_restart_keeps_counting(place: Place) {
    let mut store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    store.arm(&[id], install(), "ann").await.expect("ordered");
    for attempt in 1..=3 {
        for event in boots(1) {
            told(&store, vec![event]).await;
            store = place.reopen(store).await;
        }
        assert_eq!(run(&store, id).tries, attempt);
    }
    assert!(!installs(&store, 1));
    store.close().await;
}

async fn one_other_boot_is_over_when_its_last_file_is_sent(place: Place) {
    let store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    let once = Arming {
        kind: RunKind::NextBoot,
        ..install()
    };
    store.arm(&[id], once, "ann").await.expect("ordered");
    told(&store, vec![asks(1), menu(1)]).await;
    assert!(installs(&store, 1));
    assert_eq!(known(&store, id).profile, None, "no assignment");
    told(&store, boots(1)).await;
    assert!(!installs(&store, 1));
    assert_eq!(known(&store, id).lifecycle(), Lifecycle::Ready);
    store.close().await;
}

async fn a_storm_shares_the_slots(place: Place) {
    let store = with_profile(&place).await;
    let site = Site {
        install_slots: 4,
        ..store.site()
    };
    store.set_site(site, "ann").await.expect("stored");
    let mut ids = Vec::new();
    for n in 1..=40 {
        ids.push(machine(&store, &format!("node-{n}"), &[n]).await);
    }
    store.arm(&ids, install(), "ann").await.expect("ordered");
    told(&store, (1..=40).map(asks).collect()).await;
    let granted = |store: &Store| -> Vec<u32> {
        let all = (1_u32..).zip(&ids);
        let has_slot = all.filter(|(_, id)| run(store, **id).turn == Turn::Granted);
        has_slot.map(|(n, _)| n).collect()
    };
    assert_eq!(granted(&store), [1, 2, 3, 4]);
    let mut done = 0;
    while let slots @ [_, ..] = &granted(&store)[..] {
        assert!(slots.len() <= 4);
        // The others ask again while they wait, and get no kernel.
        told(&store, (1..=40).map(menu).collect()).await;
        let fetching = (1..=40).filter(|n| installs(&store, *n));
        assert_eq!(fetching.collect::<Vec<_>>(), slots);
        for n in slots {
            told(&store, boots(*n)).await;
            let id = ids[*n as usize - 1];
            let order = run(&store, id);
            let report = bootplan::run::Report::Done;
            let heard = store.report(id, order.id, order.tries, report).await;
            assert_eq!(heard.expect("stored"), store::Heard::Stored);
            done += 1;
        }
        assert!(done <= 40);
    }
    assert_eq!(done, 40);
    store.close().await;
}

fn rule(selector: serde_json::Value, mode: &str) -> Rule {
    let written = serde_json::json!({"name": "web", "selector": selector, "mode": mode,
        "profile": "debian-12"});
    serde_json::from_value(written).expect("a rule")
}

async fn a_rule_orders_once_when_a_machine_is_adopted(place: Place) {
    let store = with_profile(&place).await;
    let all = serde_json::json!({"mac": ["02"]});
    let before = machine(&store, "before", &[1]).await;
    store
        .put_rule(rule(all.clone(), "install-once"), "ann")
        .await
        .expect("stored");
    told(&store, boots(1)).await;
    let there = known(&store, before);
    assert_eq!(there.run, None, "it was there before the rule");
    let catalog = store.catalog();
    let waits = bootplan::effect::waits_for_order(&there, &catalog);
    assert_eq!(waits.map(|rule| rule.name.as_str()), Some("web"));

    let seen = store.sight(Sighting::of(mac(2), at(0))).await;
    let id = seen.expect("seen").machine.machine.id;
    let catalog = store.catalog();
    let said = bootplan::effect::adopted(&known(&store, id), &catalog);
    assert_eq!(
        said.map(|rule| rule.name.as_str()),
        Some("web"),
        "said before"
    );
    store.adopt(&[id], "ann").await.expect("adopted");
    let ordered = known(&store, id);
    assert_eq!(ordered.lifecycle(), Lifecycle::Armed);
    assert_eq!(
        (ordered.mode, &run(&store, id).by[..]),
        (Mode::InstallOnce, "rule 'web'")
    );
    let order = run(&store, id).id;
    let finish = bootplan::run::Happening::Ordered(bootplan::run::Order::Finish);
    store.happen(&[id], finish, "ann").await.expect("done");
    let wider = rule(serde_json::json!({"mac": ["02:00"]}), "install-once");
    store.put_rule(wider, "ann").await.expect("edited");
    store.adopt(&[id, before], "ann").await.expect("as before");
    told(&store, [boots(1), boots(2)].concat()).await;
    assert_eq!(known(&store, before).run, None, "an edit installs nobody");
    assert_eq!(run(&store, id).id, order, "nor again");
    assert_eq!(known(&store, id).lifecycle(), Lifecycle::Installed);
    store.close().await;
}

async fn no_edit_no_entry_and_no_batch_orders_by_a_rule(place: Place) {
    let store = with_profile(&place).await;
    let all = rule(serde_json::json!({"mac": ["02"]}), "install-once");
    store.put_rule(all, "ann").await.expect("stored");
    let mut ids = Vec::new();
    for n in 1..=4 {
        let seen = store.sight(Sighting::of(mac(n), at(0))).await;
        ids.push(seen.expect("seen").machine.machine.id);
    }
    let renamed = MachineChange {
        notes: Some("the file server".to_owned()),
        ..MachineChange::default()
    };
    let edited = store.update_machine(ids[0], renamed.clone(), "ann").await;
    edited.expect("edited");
    let entered = store.create_machine(named("entered", &[2]), "ann").await;
    entered.expect("it was seen before");
    let steps = vec![
        Step::UpdateMachine(ids[2], MachineChange::default()),
        Step::UpdateMachine(ids[3], renamed),
        Step::CreateMachine(named("new", &[5])),
    ];
    store.apply(steps, "ann").await.expect("applied");
    ids.push(store.machine_named("new").expect("there").machine.id);
    for id in &ids {
        let machine = known(&store, *id);
        assert_eq!(machine.state, MachineState::Registered, "{}", machine.name);
        assert_eq!((&machine.run, &machine.profile), (&None, &None));
    }
    // They have been registered: to adopt them now is no approval any more, and orders nothing.
    store.adopt(&ids, "ann").await.expect("nothing to adopt");
    told(&store, (1..=5).flat_map(boots).collect()).await;
    assert!(ids.iter().all(|id| known(&store, *id).run.is_none()));
    store.close().await;
}

async fn new_machines_are_held_registered_or_ignored(place: Place) {
    let store = with_profile(&place).await;
    let rule = rule(serde_json::json!({"mac": ["02"]}), "install-once");
    store.put_rule(rule, "ann").await.expect("stored");
    let policy = async |new_machines| {
        let site = Site {
            new_machines,
            ..store.site()
        };
        store.set_site(site, "ann").await.expect("stored");
    };
    for (n, choice) in [
        (1, NewMachines::Hold),
        (2, NewMachines::Ignore),
        (3, NewMachines::Register),
    ] {
        policy(choice).await;
        let seen = store.sight(Sighting::of(mac(n), at(0))).await;
        let id = seen.expect("seen").machine.machine.id;
        told(&store, vec![asks(n)]).await;
        let machine = known(&store, id);
        let registered = choice == NewMachines::Register;
        assert_eq!(
            machine.state == MachineState::Registered,
            registered,
            "{choice:?}"
        );
        assert_eq!(machine.run.is_some(), registered, "{choice:?}");
    }
    // One that was held is ordered when a person adopts it.
    let held = store.catalog().find(mac(1), None).expect("there").id;
    store.adopt(&[held], "ann").await.expect("adopted");
    assert_eq!(known(&store, held).lifecycle(), Lifecycle::Armed);
    store.close().await;
}

async fn another_card_of_a_machine_does_not_have_it_installed_again(place: Place) {
    let store = with_profile(&place).await;
    let site = Site {
        new_machines: NewMachines::Register,
        ..store.site()
    };
    store.set_site(site, "ann").await.expect("stored");
    let rule = rule(serde_json::json!({"mac": ["02"]}), "install-once");
    store.put_rule(rule, "ann").await.expect("stored");
    let uuid = "4c4c4544-0034-5010-8052-b4c04f4a3732".parse().ok();
    for (n, ordered) in [(1, true), (2, false)] {
        let seen = Sighting {
            uuid,
            ..Sighting::of(mac(n), at(0))
        };
        let id = store.sight(seen).await.expect("seen").machine.machine.id;
        told(&store, vec![asks(n)]).await;
        assert_eq!(known(&store, id).run.is_some(), ordered, "card {n}");
    }
    let hold = Site {
        new_machines: NewMachines::Hold,
        ..store.site()
    };
    store.set_site(hold, "ann").await.expect("stored");
    let seen = Sighting {
        uuid,
        ..Sighting::of(mac(3), at(0))
    };
    let third = store.sight(seen).await.expect("seen").machine.machine.id;
    store.adopt(&[third], "ann").await.expect("adopted");
    assert_eq!(
        known(&store, third).run,
        None,
        "nor when a person adopts it"
    );
    store.close().await;
}

async fn a_rule_waits_for_what_it_asks_for(place: Place) {
    let store = with_profile(&place).await;
    let site = Site {
        new_machines: NewMachines::Register,
        ..store.site()
    };
    store.set_site(site, "ann").await.expect("stored");
    let serial = rule(serde_json::json!({"serial": ["A*"]}), "install-once");
    store.put_rule(serial, "ann").await.expect("stored");
    for (n, said, ordered) in [
        (1, Some("A7"), true),
        (2, Some("B7"), false),
        (3, None, false),
    ] {
        let seen = store.sight(Sighting::of(mac(n), at(0))).await;
        let id = seen.expect("seen").machine.machine.id;
        told(&store, vec![asks(n)]).await;
        let state = known(&store, id).state;
        assert_eq!(state, MachineState::Discovered, "its loader tells more");
        let more = Sighting {
            serial: said.map(str::to_owned),
            ..Sighting::of(mac(n), at(1))
        };
        store.sight(more).await.expect("seen");
        told(&store, vec![menu(n)]).await;
        let machine = known(&store, id);
        assert_eq!(machine.state, MachineState::Registered, "{said:?}");
        assert_eq!(machine.run.is_some(), ordered, "{said:?}");
    }
    store.close().await;
}
