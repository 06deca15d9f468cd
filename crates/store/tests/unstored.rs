//! Installations while the database fails or the journal is full: no disk is written once more
//! because nobody could count.

mod common;

use bootplan::run::Report;
use bootplan::{
    Arch, Because, BootClient, ClientClass, EventKind, LinkPurpose, LoaderInventory, LoaderRole,
    MachineId, Origin, Outcome, Platform, RunState, Stage, Timestamp, Transport, VerifiedLink,
    decide,
};
use common::{Place, install, mac, machine, run, with_profile};
use std::sync::Arc;
use std::time::Duration;
use store::journal::{Journal, JournalOptions};
use store::{Heard, MachineSide, Store, StoreError};

/// One machine with a slot, whose menu was sent.
async fn granted(place: &Place) -> (Store, Journal, MachineId) {
    let store = with_profile(place).await;
    let mut loaders = LoaderInventory::default();
    loaders.add(Platform::EfiX64, LoaderRole::Ipxe, "snponly.efi");
    store.set_loaders(loaders);
    let id = machine(&store, "a", &[1]).await;
    store.arm(&[id], install(), "ann").await.expect("ordered");
    let options = JournalOptions {
        arp: Arc::new(|| None),
        ..JournalOptions::default()
    };
    let journal = Journal::spawn(store.clone(), options);
    journal.sink.emit(from(1), asks());
    until(&store, |store| gets(store) == "boot").await;
    (store, journal, id)
}

fn from(n: u32) -> Origin {
    Origin {
        mac: Some(mac(n)),
        ..Origin::default()
    }
}

fn asks() -> EventKind {
    EventKind::Offered {
        stage: Stage::Firmware,
        platform: Platform::EfiX64,
        class: ClientClass::Pxe,
        file: "snponly.efi".to_owned(),
        because: Because::NoMachineAddress,
    }
}

fn last_file() -> EventKind {
    EventKind::FileServed {
        transport: Transport::Http,
        path: "images/debian-12/initrd.gz".to_owned(),
        bytes: 1,
        millis: 1,
        transfer: None,
    }
}

/// What the machine would get now.
fn gets(store: &Store) -> &'static str {
    let client = BootClient {
        arch: Some(Arch(7)),
        platform: Some(Platform::EfiX64),
        ..BootClient::asking(mac(1), Stage::Firmware)
    };
    let decision = decide(&client, &store.catalog());
    match (decision.because, decision.outcome) {
        (Because::Unstored { .. }, Outcome::LocalDisk) => "disk",
        (Because::Run { .. }, Outcome::Boot(_)) => "boot",
        _ => "other",
    }
}

async fn until(store: &Store, holds: impl Fn(&Store) -> bool) {
    let mut published = store.watch();
    let waiting = async {
        while !holds(store) {
            published.changed().await.expect("the store is open");
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    waited.expect("it comes to hold");
}

async fn sql(place: &Place, text: &'static str) {
    let pool = sqlx::AnyPool::connect(&place.url).await.expect("opens");
    sqlx::raw_sql(text).execute(&pool).await.expect("done");
    pool.close().await;
}

/// As a full disk does.
async fn break_it(place: &Place) {
    let events = "CREATE TRIGGER no_events BEFORE INSERT ON events \
                  BEGIN SELECT RAISE(ABORT, 'full'); END";
    sql(place, events).await;
}

async fn mend_it(place: &Place) {
    sql(place, "DROP TRIGGER no_events").await;
}

fn link(store: &Store, machine: MachineId, try_number: u8) -> VerifiedLink {
    VerifiedLink {
        purpose: LinkPurpose::Report,
        machine,
        run: run(store, machine).id.0,
        try_number,
        expires: Timestamp(i64::MAX),
    }
}

#[tokio::test]
async fn what_is_handed_over_is_known_at_once() {
    let place = Place::sqlite();
    let (store, journal, id) = granted(&place).await;
    journal.sink.emit(from(1), last_file());
    assert_eq!(gets(&store), "disk", "before the journal has even looked");
    until(&store, |store| gets(store) == "boot").await;
    assert_eq!(run(&store, id).tries, 1);
    journal.shutdown().await;
    store.close().await;
}

#[tokio::test]
async fn while_nothing_can_be_stored_nobody_is_installed_twice() {
    let place = Place::sqlite();
    let (store, journal, id) = granted(&place).await;
    let mut live = journal.live.subscribe();
    break_it(&place).await;
    journal.sink.emit(from(1), last_file());
    let shown = live.recv().await.expect("shown");
    assert_eq!(shown.id, 0, "not stored");
    for boot in 0..5 {
        assert_eq!(gets(&store), "disk", "boot {boot}");
        journal.sink.emit(from(1), asks());
        live.recv().await.expect("shown");
    }
    assert_eq!(run(&store, id).tries, 0, "in the database");
    mend_it(&place).await;
    until(&store, |store| run(store, id).tries == 1).await;
    until(&store, |store| gets(store) == "boot").await;
    assert_eq!(run(&store, id).state, RunState::Installing);
    journal.shutdown().await;
    let store = place.reopen(store).await;
    assert_eq!(run(&store, id).tries, 1);
    store.close().await;
}

#[tokio::test]
async fn a_report_that_could_not_be_stored_is_heard_later() {
    let place = Place::sqlite();
    let (store, journal, id) = granted(&place).await;
    journal.sink.emit(from(1), last_file());
    until(&store, |store| run(store, id).tries == 1).await;
    let side = MachineSide::from(store.clone());
    break_it(&place).await;
    let done = side.report(&link(&store, id, 1), Report::Done).await;
    assert!(matches!(done, Err(StoreError::Database { .. })), "{done:?}");
    assert_eq!(gets(&store), "disk");
    mend_it(&place).await;
    until(&store, |store| run(store, id).state == RunState::Installed).await;
    let again = side.report(&link(&store, id, 1), Report::Done).await;
    assert_eq!(again.expect("heard"), Heard::Again);
    journal.shutdown().await;
    store.close().await;
}

#[tokio::test]
async fn who_was_handed_over_before_is_not_installed_while_nothing_can_be_counted() {
    let place = Place::sqlite();
    let (store, journal, id) = granted(&place).await;
    journal.sink.emit(from(1), last_file());
    until(&store, |store| run(store, id).tries == 1).await;
    until(&store, |store| gets(store) == "boot").await;
    break_it(&place).await;
    journal.sink.emit(from(1), asks());
    until(&store, |store| gets(store) == "disk").await;
    mend_it(&place).await;
    journal.sink.emit(from(1), asks());
    until(&store, |store| gets(store) == "boot").await;
    assert_eq!(run(&store, id).tries, 1);
    journal.shutdown().await;
    store.close().await;
}

/// On one thread the journal does nothing until somebody waits: its queue fills.
#[tokio::test]
async fn a_full_queue_loses_no_hand_over() {
    let place = Place::sqlite();
    let (store, journal, id) = granted(&place).await;
    let dropped = journal.sink.dropped();
    while journal.sink.dropped() == dropped {
        journal.sink.emit(from(1), asks());
    }
    let dropped = journal.sink.dropped();
    journal.sink.emit(from(1), last_file());
    assert_eq!(journal.sink.dropped(), dropped + 1);
    assert_eq!(gets(&store), "disk");
    until(&store, |store| run(store, id).tries == 1).await;
    until(&store, |store| gets(store) == "boot").await;
    journal.shutdown().await;
    store.close().await;
}
