//! Rules and orders to install; on SQLite and on a real PostgreSQL.

mod common;

use bootplan::run::{Happening, Order, Report};
use bootplan::{
    Arming, EventKind, LocalBoot, MachineId, MachineState, Mode, ProfileName, Rule, RunKind,
    RunState, Site, Timestamp, Turn,
};
use common::{Place, at, install, mac, machine, on_both, profile, with_profile};
use store::{EventQuery, MachineChange, Sighting, Step, Store, StoreError};

on_both!(
    rules_are_kept_and_published_in_order,
    a_profile_in_use_by_a_rule_or_an_order_stays,
    an_order_is_kept_with_its_assignment,
    an_order_goes_to_its_end_across_restarts,
    what_is_at_work_is_not_replaced,
    assigning_something_else_calls_it_off,
    a_rack_shares_the_slots,
    waiting_orders_begin_by_time,
    what_people_write_of_a_machine_is_kept,
);

fn name(text: &str) -> ProfileName {
    text.parse().expect("a slug")
}

fn rule(name: &str, selector: serde_json::Value) -> Rule {
    let written = serde_json::json!({"name": name, "selector": selector, "profile": "debian-12"});
    serde_json::from_value(written).expect("a rule")
}

async fn happen(store: &Store, id: MachineId, happening: Happening) -> usize {
    let changed = store.happen(&[id], happening, "machine").await;
    changed.expect("stored")
}

fn state(store: &Store, id: MachineId) -> RunState {
    let machine = store.machine(id).expect("there").machine;
    machine.run.as_ref().expect("a run").state.clone()
}

async fn rules_are_kept_and_published_in_order(place: Place) {
    let store = place.open().await;
    let wide = rule("wide", serde_json::json!({"mac": ["02"]}));
    let error = store.put_rule(wide.clone(), "ann").await;
    let error = error.expect_err("no such profile").to_string();
    assert_eq!(error, "profile 'debian-12' does not exist");
    let narrow = serde_json::json!({"mac": ["02"], "label": {"role": ["web"]}});
    let steps = vec![
        Step::PutProfile(profile("debian-12")),
        Step::PutRule(wide.clone()),
        Step::PutRule(rule("narrow", narrow)),
        Step::PutRule(Rule {
            enabled: false,
            ..rule("off", serde_json::json!({"mac": ["02"]}))
        }),
    ];
    store.apply(steps, "ann").await.expect("applied");
    let store = place.reopen(store).await;
    let order = |store: &Store| -> Vec<String> {
        let catalog = store.catalog();
        catalog.rules().iter().map(|r| r.name.to_string()).collect()
    };
    assert_eq!(order(&store), ["narrow", "wide"]);
    assert_eq!(store.rules().len(), 3);
    let before = store.catalog().revision;
    store.put_rule(wide.clone(), "ann").await.expect("the same");
    assert_eq!(store.catalog().revision, before, "nothing changed");
    let narrow = "narrow".parse().expect("a name");
    store.delete_rule(&narrow, "ann").await.expect("deleted");
    let gone = store.delete_rule(&narrow, "ann").await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
    let store = place.reopen(store).await;
    assert_eq!(order(&store), ["wide"]);
    store.close().await;
}

async fn a_profile_in_use_by_a_rule_or_an_order_stays(place: Place) {
    let store = with_profile(&place).await;
    let wide = rule("wide", serde_json::json!({"mac": ["02"]}));
    store.put_rule(wide.clone(), "ann").await.expect("stored");
    let refused = store.delete_profile(&name("debian-12"), "ann").await;
    let refused = refused.expect_err("in use").to_string();
    assert!(refused.starts_with("rule 'wide' gives profile 'debian-12'"));
    store.delete_rule(&wide.name, "ann").await.expect("deleted");
    let id = machine(&store, "a", &[1]).await;
    let other = Arming {
        kind: RunKind::NextBoot,
        ..install()
    };
    store.arm(&[id], other, "ann").await.expect("ordered");
    let refused = store.delete_profile(&name("debian-12"), "ann").await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    happen(&store, id, Happening::Ordered(Order::Cancel)).await;
    let deleted = store.delete_profile(&name("debian-12"), "ann").await;
    deleted.expect("nothing needs it");
    store.close().await;
}

async fn an_order_is_kept_with_its_assignment(place: Place) {
    let store = with_profile(&place).await;
    let known = machine(&store, "a", &[1]).await;
    let seen = store.sight(Sighting::of(mac(2), at(0))).await;
    let seen = seen.expect("seen").machine.machine.id;
    let nobody = MachineId(99);
    let refused = store.arm(&[known, nobody], install(), "ann").await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })));
    assert_eq!(store.machine(known).expect("there").machine.run, None);
    let armed = store.arm(&[known, seen], install(), "ann").await;
    armed.expect("ordered");
    let before = store.machines();
    let store = place.reopen(store).await;
    let after = store.machines();
    assert_eq!(
        after.iter().map(|r| &r.machine).collect::<Vec<_>>(),
        before.iter().map(|r| &r.machine).collect::<Vec<_>>()
    );
    for id in [known, seen] {
        let machine = store.machine(id).expect("there").machine;
        assert_eq!(machine.profile, Some(name("debian-12")));
        assert_eq!(machine.mode, Mode::InstallOnce);
        assert_eq!(machine.state, MachineState::Registered);
        assert_eq!(state(&store, id), RunState::Armed);
    }
    let query = EventQuery {
        machine: Some(known),
        limit: 10,
        ..EventQuery::default()
    };
    let events = store.events(query).await.expect("read");
    assert!(matches!(
        events[0].event.kind,
        EventKind::RunChanged {
            state: RunState::Armed,
            ..
        }
    ));
    assert!(matches!(events[1].event.kind, EventKind::Assigned { .. }));
    store.close().await;
}

async fn an_order_goes_to_its_end_across_restarts(place: Place) {
    let mut store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    store.arm(&[id], install(), "ann").await.expect("ordered");
    let report = Report::Phase {
        text: "partitioning".to_owned(),
        to_disk: false,
    };
    for (happening, expected) in [
        (Happening::Asked, "armed"),
        (Happening::HandedOver, "installing"),
        (Happening::Reported(report), "installing"),
        (Happening::Asked, "installing"),
        (Happening::HandedOver, "installing"),
        (Happening::Reported(Report::Done), "installed"),
    ] {
        assert_eq!(happen(&store, id, happening).await, 1, "{expected}");
        let before = store.machine(id).expect("there").machine;
        store = place.reopen(store).await;
        assert_eq!(store.machine(id).expect("there").machine, before);
        assert_eq!(state(&store, id).slug(), expected);
    }
    let run = store.machine(id).expect("there").machine.run.clone();
    assert_eq!(run.expect("a run").tries, 2);
    for late in [Happening::Asked, Happening::Reported(Report::Done)] {
        assert_eq!(happen(&store, id, late).await, 0, "it is over");
    }
    store.arm(&[id], install(), "ann").await.expect("once more");
    assert_eq!(state(&store, id), RunState::Armed);
    store.close().await;
}

async fn what_is_at_work_is_not_replaced(place: Place) {
    let store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    store.arm(&[id], install(), "ann").await.expect("ordered");
    store.arm(&[id], install(), "bob").await.expect("replaced");
    happen(&store, id, Happening::Asked).await;
    happen(&store, id, Happening::HandedOver).await;
    let refused = store.arm(&[id], install(), "bob").await;
    let refused = refused.expect_err("at work").to_string();
    assert_eq!(
        refused,
        "machine 'a' is being installed; cancel that first, or order it with `force`"
    );
    assert_eq!(state(&store, id), RunState::Installing);
    store.close().await;
}

async fn assigning_something_else_calls_it_off(place: Place) {
    let store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    store.arm(&[id], install(), "ann").await.expect("ordered");
    let target = Some(name("debian-12"));
    let assigned = store.assign(&[id], target.clone(), "ann").await;
    assigned.expect("for every boot");
    let store = place.reopen(store).await;
    let machine = store.machine(id).expect("there").machine;
    assert_eq!((&machine.profile, machine.mode), (&target, Mode::Always));
    assert_eq!(state(&store, id), RunState::Cancelled);
    store.arm(&[id], install(), "ann").await.expect("ordered");
    let change = MachineChange {
        profile: Some(None),
        ..MachineChange::default()
    };
    let edited = store.update_machine(id, change, "ann").await;
    edited.expect("taken away");
    let store = place.reopen(store).await;
    let machine = store.machine(id).expect("there").machine;
    assert_eq!((&machine.profile, machine.mode), (&None, Mode::Always));
    assert_eq!(state(&store, id), RunState::Cancelled);
    store.close().await;
}

async fn a_rack_shares_the_slots(place: Place) {
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
    let installing = |store: &Store| -> Vec<MachineId> {
        let machines = store.machines().into_iter().map(|record| record.machine);
        let has_slot = |m: &std::sync::Arc<bootplan::Machine>| {
            m.run.as_ref().is_some_and(|run| run.turn == Turn::Granted)
        };
        machines.filter(has_slot).map(|m| m.id).collect()
    };
    for id in ids.iter().rev() {
        happen(&store, *id, Happening::Asked).await;
    }
    let mut store = place.reopen(store).await;
    let mut done = 0;
    for round in 0.. {
        let slots = installing(&store);
        if slots.is_empty() {
            break;
        }
        assert!(slots.len() <= 4, "round {round}");
        let waiting = 40 - done - slots.len();
        let queued = ids.iter().filter(|id| {
            let run = store.machine(**id).expect("there").machine.run.clone();
            run.is_some_and(|run| matches!(run.turn, Turn::Queued { .. }))
        });
        let mut places: Vec<_> = queued.map(|id| store.catalog().queue_place(*id)).collect();
        places.sort_unstable();
        let expected: Vec<_> = (1..=waiting).map(|place| (place, waiting)).collect();
        assert_eq!(places, expected, "round {round}");
        for id in slots {
            happen(&store, id, Happening::HandedOver).await;
            let report = Happening::Reported(Report::Done);
            assert_eq!(happen(&store, id, report).await, 1);
            done += 1;
        }
        if round == 3 {
            store = place.reopen(store).await;
        }
    }
    assert_eq!(done, 40);
    store.close().await;
}

async fn waiting_orders_begin_by_time(place: Place) {
    let store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    let nights = serde_json::json!({"days": ["mon"], "from": "22:00", "to": "05:00"});
    let order = Arming {
        not_before: Some(Timestamp(0)),
        window: Some(serde_json::from_value(nights).expect("a window")),
        ..install()
    };
    store.arm(&[id], order, "ann").await.expect("ordered");
    assert_eq!(state(&store, id), RunState::Waiting);
    store.tick(12 * 60).await.expect("noon");
    assert_eq!(state(&store, id), RunState::Waiting);
    store.tick(23 * 60).await.expect("night");
    let store = place.reopen(store).await;
    assert_eq!(state(&store, id), RunState::Armed);
    store.tick(2 * 24 * 60).await.expect("the next day but one");
    assert_eq!(state(&store, id), RunState::Waiting);
    store.close().await;
}

async fn what_people_write_of_a_machine_is_kept(place: Place) {
    let store = place.open().await;
    let id = machine(&store, "a", &[1]).await;
    let change = MachineChange {
        asset: Some(Some("0042".to_owned())),
        notes: Some("PSU 2 is dead\nsince May".to_owned()),
        local_boot: Some(Some(LocalBoot::Exit)),
        ..MachineChange::default()
    };
    let changed = store.update_machine(id, change, "ann").await;
    let changed = changed.expect("stored");
    let store = place.reopen(store).await;
    let kept = store.machine(id).expect("there");
    assert_eq!(kept, changed);
    assert_eq!(kept.machine.asset.as_deref(), Some("0042"));
    assert_eq!(kept.machine.notes, "PSU 2 is dead\nsince May");
    assert_eq!(kept.machine.local_boot, Some(LocalBoot::Exit));
    let bell = MachineChange {
        notes: Some("\u{7}".to_owned()),
        ..MachineChange::default()
    };
    assert!(store.update_machine(id, bell, "ann").await.is_err());
    store.close().await;
}
