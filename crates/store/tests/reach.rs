//! Power switches and web hooks; on SQLite and on a real PostgreSQL.

mod common;

use bootplan::{EventKind, Hook, Power, PowerAction, PowerWay, Timestamp};
use common::{Place, mac, machine, named, on_both};
use store::{EventQuery, Refused, Step, Store, StoreError};

on_both!(
    a_power_switch_is_kept_and_goes_with_its_machine,
    what_a_switch_did_stands_in_the_machines_history,
    a_batch_describes_switches_of_machines_it_makes,
    hooks_are_told_in_order_and_after_a_restart,
    what_is_given_up_is_an_event,
    a_receiver_that_is_away_does_not_fill_the_disk,
);

fn power(json: serde_json::Value) -> Power {
    serde_json::from_value(json).expect("a power switch")
}

fn hook(name: &str, events: &[&str]) -> Hook {
    Hook {
        name: name.to_owned(),
        labels: Default::default(),
        url: "https://h/x".to_owned(),
        events: events.iter().map(ToString::to_string).collect(),
        secret: String::new(),
        enabled: true,
    }
}

async fn headlines(store: &Store) -> Vec<String> {
    let events = store.events(EventQuery::default()).await.expect("read");
    events
        .iter()
        .rev()
        .map(|e| e.event.kind.headline())
        .collect()
}

/// Later than everything.
const LATE: Timestamp = Timestamp(i64::MAX);

async fn a_power_switch_is_kept_and_goes_with_its_machine(place: Place) {
    let store = place.open().await;
    let id = machine(&store, "m1", &[1]).await;
    assert_eq!(store.power(id).await.expect("read"), Power::default());
    let wanted = power(
        serde_json::json!({"wake": true, "redfish": {"url": "https://10.0.0.9", "user": "a", "password_secret": "power.bmc"}}),
    );
    for _ in 0..2 {
        store
            .set_power(id, wanted.clone(), "ann")
            .await
            .expect("stored");
    }
    let store = place.reopen(store).await;
    assert_eq!(store.power(id).await.expect("read"), wanted);
    assert_eq!(store.powers().await.expect("read"), [(id, wanted)].into());
    let told = headlines(&store).await;
    let changes: Vec<_> = told.iter().filter(|line| line.contains("power")).collect();
    assert_eq!(
        changes.len(),
        1,
        "the second time nothing changed: {told:?}"
    );

    let bad = power(serde_json::json!({"ipmi": {"host": "-x"}}));
    let error = store
        .set_power(id, bad, "ann")
        .await
        .expect_err("an option")
        .to_string();
    assert!(error.contains("power.ipmi.host"), "{error}");
    store
        .set_power(id, Power::default(), "ann")
        .await
        .expect("taken away");
    assert!(store.powers().await.expect("read").is_empty());
    store
        .set_power(id, power(serde_json::json!({"wake": true})), "ann")
        .await
        .expect("stored");
    store.delete_machine(id, "ann").await.expect("forgotten");
    assert!(store.powers().await.expect("read").is_empty());
    let gone = store.set_power(id, Power::default(), "ann").await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
}

async fn what_a_switch_did_stands_in_the_machines_history(place: Place) {
    let store = place.open().await;
    let id = machine(&store, "m1", &[1]).await;
    let kind = EventKind::Powered {
        action: PowerAction::On,
        way: Some(PowerWay::Redfish),
        state: None,
        problem: Some("no connection".to_owned()),
        by: "ann".to_owned(),
    };
    store.powered(id, kind.clone()).await.expect("stored");
    let query = EventQuery {
        machine: Some(id),
        limit: 1,
        ..EventQuery::default()
    };
    let last = store.events(query).await.expect("read").remove(0);
    assert_eq!(
        (last.event.kind, last.event.origin.mac),
        (kind, Some(mac(1)))
    );
}

async fn a_batch_describes_switches_of_machines_it_makes(place: Place) {
    let store = place.open().await;
    let wake = power(serde_json::json!({"wake": true}));
    let name = "rack1".to_owned();
    let steps = vec![
        Step::CreateMachine(named(&name, &[1])),
        Step::SetPower(name, wake.clone()),
        Step::PutHook(hook("chat", &[])),
    ];
    store.apply(steps, "ann").await.expect("applied");
    let id = store.machine_named("rack1").expect("made").machine.id;
    assert_eq!(store.power(id).await.expect("read"), wake);
    assert_eq!(store.hooks().len(), 1);
    let steps = vec![Step::SetPower("nobody".to_owned(), wake)];
    let refused = store.apply(steps, "ann").await;
    assert!(matches!(refused, Err(Refused { step: Some(0), .. })));
}

async fn hooks_are_told_in_order_and_after_a_restart(place: Place) {
    let store = place.open().await;
    let faulty = store.put_hook(hook("chat", &["asigned"]), "ann").await;
    assert!(
        faulty
            .expect_err("no such kind")
            .to_string()
            .contains("is no kind of event")
    );
    store
        .put_hook(hook("chat", &[]), "ann")
        .await
        .expect("stored");
    store
        .put_hook(hook("deaf", &["discovered"]), "ann")
        .await
        .expect("stored");
    machine(&store, "m1", &[1]).await;
    let store = place.reopen(store).await;
    let mut told = Vec::new();
    // The first of each hook, until nothing is due.
    loop {
        let (due, next) = store.due_deliveries(LATE).await.expect("read");
        assert_eq!(next, None);
        let [first] = &due[..] else { break };
        let body: serde_json::Value = serde_json::from_str(&first.body).expect("json");
        assert_eq!(
            (&body["delivery"], &body["hook"]),
            (&first.id.into(), &"chat".into())
        );
        told.push(body["headline"].as_str().expect("a headline").to_owned());
        store.delivered(first).await.expect("noted");
    }
    assert_eq!(
        told,
        [
            "hook 'chat' created by ann",
            "hook 'deaf' created by ann",
            "machine 'm1' created by ann"
        ]
    );
    let statuses = store.hook_statuses().await.expect("read");
    let [chat, deaf] = &statuses[..] else {
        panic!("two hooks: {statuses:?}")
    };
    assert!(chat.told.is_some() && chat.problem.is_none() && deaf.told.is_none());

    // One that is not taken waits, and what comes after it waits behind it.
    store.delete_hook("deaf", "ann").await.expect("deleted");
    machine(&store, "m2", &[2]).await;
    let (due, _) = store.due_deliveries(LATE).await.expect("read");
    let soon = Timestamp(due[0].made.0 + 1_000_000);
    store
        .not_delivered(&due[0], "no connection", soon)
        .await
        .expect("noted");
    let store = place.reopen(store).await;
    let (none, next) = store.due_deliveries(due[0].made).await.expect("read");
    assert_eq!((none.len(), next), (0, Some(soon)));
    let (again, _) = store.due_deliveries(soon).await.expect("read");
    assert_eq!(
        (again[0].id, &again[0].body, again[0].tries),
        (due[0].id, &due[0].body, 1)
    );
    let status = store.hook_statuses().await.expect("read").remove(0);
    assert_eq!(
        (status.waiting, status.problem.as_deref()),
        (2, Some("no connection"))
    );

    // What waits for a hook that is off is kept for later; a deleted one takes it along.
    store
        .put_hook(
            Hook {
                enabled: false,
                ..hook("chat", &[])
            },
            "ann",
        )
        .await
        .expect("stored");
    assert!(store.due_deliveries(LATE).await.expect("read").0.is_empty());
    store.delete_hook("chat", "ann").await.expect("deleted");
    assert!(store.hooks().is_empty());
    assert!(matches!(
        store.delete_hook("chat", "ann").await,
        Err(StoreError::NotFound { .. })
    ));
    store
        .put_hook(hook("chat", &["discovered"]), "ann")
        .await
        .expect("stored");
    assert!(store.due_deliveries(LATE).await.expect("read").0.is_empty());
}

async fn what_is_given_up_is_an_event(place: Place) {
    let store = place.open().await;
    let chat = hook("chat", &[]);
    store.put_hook(chat.clone(), "ann").await.expect("stored");
    machine(&store, "m1", &[1]).await;
    store
        .give_up(&chat, Timestamp(0), "no connection")
        .await
        .expect("nothing is that old");
    assert_eq!(store.hook_statuses().await.expect("read")[0].waiting, 2);
    store
        .give_up(&chat, LATE, "no connection")
        .await
        .expect("given up");
    assert_eq!(
        store.hook_statuses().await.expect("read")[0].waiting,
        0,
        "and it is not told of that itself"
    );
    let told = headlines(&store).await;
    assert_eq!(
        told.last().map(String::as_str),
        Some("hook 'chat': 2 events given up: no connection")
    );
}

async fn a_receiver_that_is_away_does_not_fill_the_disk(place: Place) {
    let store = place.open().await;
    store
        .put_hook(hook("chat", &["discovered"]), "ann")
        .await
        .expect("stored");
    let events = (0..10_050).map(|n| bootplan::Event {
        at: common::at(n),
        origin: bootplan::Origin::default(),
        kind: EventKind::Discovered { platform: None },
    });
    let events: Vec<_> = events.collect();
    for piece in events.chunks(1_000) {
        assert_eq!(
            store.append(piece.to_vec()).await.expect("stored").len(),
            piece.len()
        );
    }
    assert_eq!(
        store.hook_statuses().await.expect("read")[0].waiting,
        10_000
    );
}
