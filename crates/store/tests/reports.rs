//! What machines report of their installations; on SQLite and on a real PostgreSQL.

mod common;

use bootplan::run::{Happening, Report};
use bootplan::{EventKind, Hardware, MachineId, RunId, RunState, Site, Turn};
use common::{Place, install, machine, on_both, run, with_profile};
use store::{EventQuery, Heard, Store, StoreError};

on_both!(
    a_report_is_kept_and_known_when_it_comes_again,
    only_the_try_in_force_reports,
    a_report_frees_the_slot,
    an_inventory_is_kept_beside_the_run,
);

async fn happen(store: &Store, id: MachineId, happening: Happening) {
    let changed = store.happen(&[id], happening, "test").await;
    changed.expect("stored");
}

fn failed(why: &str) -> Report {
    Report::Failed {
        why: why.to_owned(),
    }
}

fn phase(text: &str) -> Report {
    Report::Phase {
        text: text.to_owned(),
        to_disk: false,
    }
}

async fn a_report_is_kept_and_known_when_it_comes_again(place: Place) {
    let mut store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    store.arm(&[id], install(), "ann").await.expect("ordered");
    happen(&store, id, Happening::Asked).await;
    let attempt = run(&store, id).attempt();
    happen(&store, id, Happening::HandedOver).await;
    let order = run(&store, id).id;
    for (report, heard) in [
        (phase("partitioning"), Heard::Stored),
        (failed("no disk"), Heard::Stored),
        (failed("no disk"), Heard::Again),
        (Report::Done, Heard::OutOfDate),
        (phase("late"), Heard::OutOfDate),
    ] {
        let answer = store.report(id, order, attempt, report.clone()).await;
        assert_eq!(answer.expect("heard"), heard, "{report:?}");
        let before = run(&store, id);
        store = place.reopen(store).await;
        assert_eq!(run(&store, id), before, "{report:?}");
    }
    let why = "no disk".to_owned();
    assert_eq!(run(&store, id).state, RunState::Failed { why });
    let query = EventQuery {
        machine: Some(id),
        limit: 10,
        ..EventQuery::default()
    };
    let events = store.events(query).await.expect("read");
    let told = events.iter().filter(|e| {
        let kind = &e.event.kind;
        matches!(kind, EventKind::RunChanged { state, .. } if state.slug() == "failed")
    });
    assert_eq!(told.count(), 1);
    store.close().await;
}

async fn only_the_try_in_force_reports(place: Place) {
    let store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    store.arm(&[id], install(), "ann").await.expect("ordered");
    let order = run(&store, id).id;
    let said = async |run, attempt, report| {
        let heard = store.report(id, run, attempt, report).await;
        heard.expect("heard")
    };
    let early = said(order, 1, Report::Done).await;
    assert_eq!(early, Heard::OutOfDate, "it was never given a slot");
    happen(&store, id, Happening::Asked).await;
    assert_eq!(said(RunId(99), 1, Report::Done).await, Heard::OutOfDate);
    for attempt in [0, 2, 200] {
        let heard = said(order, attempt, Report::Done).await;
        assert_eq!(heard, Heard::OutOfDate, "try {attempt}");
    }
    // The last file's event is still on its way.
    assert_eq!(said(order, 1, phase("loading")).await, Heard::Stored);
    assert_eq!(run(&store, id).tries, 1);
    happen(&store, id, Happening::HandedOver).await;
    assert_eq!(run(&store, id).tries, 1, "the same try");
    happen(&store, id, Happening::Asked).await;
    happen(&store, id, Happening::HandedOver).await;
    assert_eq!(run(&store, id).tries, 2);
    assert_eq!(said(order, 1, Report::Done).await, Heard::OutOfDate);
    assert_eq!(said(order, 2, Report::Done).await, Heard::Stored);
    let nobody = store.report(MachineId(99), order, 1, Report::Done).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
    store.close().await;
}

async fn a_report_frees_the_slot(place: Place) {
    let store = with_profile(&place).await;
    let site = Site {
        install_slots: 1,
        ..store.site()
    };
    store.set_site(site, "ann").await.expect("stored");
    let ids = [
        machine(&store, "a", &[1]).await,
        machine(&store, "b", &[2]).await,
    ];
    store.arm(&ids, install(), "ann").await.expect("ordered");
    for id in ids {
        happen(&store, id, Happening::Asked).await;
    }
    assert!(matches!(run(&store, ids[1]).turn, Turn::Queued { .. }));
    let order = run(&store, ids[0]).id;
    let heard = store.report(ids[0], order, 1, phase("partitioning")).await;
    assert_eq!(heard.expect("heard"), Heard::Stored);
    assert!(matches!(run(&store, ids[1]).turn, Turn::Queued { .. }));
    let heard = store.report(ids[0], order, 1, Report::Done).await;
    assert_eq!(heard.expect("heard"), Heard::Stored);
    assert_eq!(run(&store, ids[1]).turn, Turn::Granted);
    store.close().await;
}

async fn an_inventory_is_kept_beside_the_run(place: Place) {
    let store = with_profile(&place).await;
    let id = machine(&store, "a", &[1]).await;
    store.arm(&[id], install(), "ann").await.expect("ordered");
    let before = run(&store, id);
    let told = Hardware {
        cpu: Some("EPYC".to_owned()),
        ..Hardware::default()
    };
    let tell = async |store: &Store, of| store.tell_hardware(id, of, told.clone()).await;
    assert!(!tell(&store, RunId(99)).await.expect("another run"));
    assert_eq!(
        store.machine(id).expect("there").machine.facts.hardware,
        None
    );
    for _ in 0..2 {
        assert!(tell(&store, before.id).await.expect("stored"));
    }
    let store = place.reopen(store).await;
    let kept = store.machine(id).expect("there").machine;
    assert_eq!(kept.facts.hardware, Some(told));
    assert_eq!(run(&store, id), before);
    store.close().await;
}
