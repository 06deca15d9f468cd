//! What the journal makes of a rack that boots: machines and events of a burst together; on SQLite
//! and on a real PostgreSQL.

mod common;

use bootplan::{
    Because, ClientClass, EventKind, Origin, Platform, Stage, Transport, UnassignedPolicy,
};
use common::{Place, mac, machine, on_both};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::journal::{Journal, JournalOptions};
use store::{EventQuery, Store};

on_both!(a_rack_at_once_is_stored_whole, lone_machines_are_stored_too);

/// Known machines and strangers mixed; their number is no round one, so that statements of every
/// length are needed.
async fn a_rack_at_once_is_stored_whole(place: Place) {
    const RACK: u32 = 333;
    let store = place.open().await;
    for n in (0..RACK).step_by(3) {
        machine(&store, &format!("node-{n}"), &[n]).await;
    }
    let events = told_by(&store, |journal| {
        for n in 0..RACK {
            journal.sink.emit(from(n), offered());
            journal.sink.emit(from(n), served(n));
        }
    })
    .await;
    let store = place.reopen(store).await;
    assert_eq!(store.machines().len(), RACK as usize);
    for n in 0..RACK {
        let id = store.catalog().find(mac(n), None).expect("known").id;
        let theirs: Vec<_> = events.iter().filter(|e| e.machine == Some(id)).collect();
        assert_eq!(theirs.len(), 3, "{n}");
        assert_eq!(theirs[0].event.kind, served(n), "newest first");
        assert_eq!(theirs[1].event.kind, offered());
        let seen = store.machine(id).expect("there").last_seen;
        assert_eq!(seen, Some(theirs[1].event.at), "{n}");
        match &theirs[2].event.kind {
            EventKind::Changed { .. } => assert_eq!(n % 3, 0, "entered"),
            EventKind::Discovered { platform } => {
                assert!(n % 3 != 0, "{n}");
                assert_eq!(*platform, Some(Platform::EfiX64));
            }
            other => panic!("{other:?}"),
        }
    }
    let ids: BTreeSet<i64> = events.iter().map(|e| e.id).collect();
    assert_eq!(ids.len(), events.len());
    store.close().await;
}

async fn lone_machines_are_stored_too(place: Place) {
    let store = place.open().await;
    let ours = machine(&store, "ours", &[1]).await;
    for (round, file) in [(1, 10), (2, 20)] {
        let events = told_by(&store, |journal| journal.sink.emit(from(1), served(file))).await;
        assert_eq!(events[0].machine, Some(ours), "{round}");
        assert_eq!(events[0].event.kind, served(file), "{round}");
    }
    store.close().await;
}

/// Another program of a shared database may have made what cannot be made twice.
#[tokio::test]
async fn a_machine_that_cannot_be_recorded_costs_no_events() {
    let place = Place::sqlite();
    let store = place.open().await;
    let ours = machine(&store, "ours", &[1]).await;
    let pool = sqlx::AnyPool::connect(&place.url).await.expect("opens");
    sqlx::raw_sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON machines BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .execute(&pool)
    .await
    .expect("made");
    pool.close().await;
    let events = told_by(&store, |journal| {
        journal.sink.emit(from(2), offered());
        journal.sink.emit(from(1), offered());
    })
    .await;
    let told: Vec<_> = events
        .iter()
        .filter(|e| e.event.kind == offered())
        .map(|e| (e.machine, e.event.origin.mac))
        .collect();
    assert_eq!(told, [(Some(ours), Some(mac(1))), (None, Some(mac(2)))]);
    assert_eq!(store.machines().len(), 1);
    store.close().await;
}

/// The history, newest first, when a journal was told this and has ended.
async fn told_by(store: &Store, tell: impl FnOnce(&Journal)) -> Vec<store::StoredEvent> {
    let options = JournalOptions {
        arp: Arc::new(|| None),
        ..JournalOptions::default()
    };
    let journal = Journal::spawn(store.clone(), options);
    tell(&journal);
    journal.shutdown().await;
    let mut events = Vec::new();
    loop {
        let query = EventQuery {
            before: events.last().map(|e: &store::StoredEvent| e.id),
            limit: 1000,
            ..EventQuery::default()
        };
        let page = store.events(query).await.expect("read");
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

fn from(n: u32) -> Origin {
    Origin {
        mac: Some(mac(n)),
        ..Origin::default()
    }
}

fn offered() -> EventKind {
    EventKind::Offered {
        stage: Stage::Firmware,
        platform: Platform::EfiX64,
        class: ClientClass::Pxe,
        file: "snponly.efi".to_owned(),
        because: Because::SiteDefault {
            policy: UnassignedPolicy::Wait,
        },
    }
}

fn served(bytes: u32) -> EventKind {
    EventKind::FileServed {
        transport: Transport::Tftp,
        path: "snponly.efi".to_owned(),
        bytes: u64::from(bytes),
        millis: 1,
        transfer: None,
    }
}
