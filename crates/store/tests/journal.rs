//! The journal: from a packet handler's report to the history, the live feed and the Catalog.

mod common;

use bootplan::{
    Because, ClientClass, EventKind, Intent, MacAddr, Origin, Platform, Stage, Timestamp,
    Transport, UnassignedPolicy,
};
use common::{Place, at, mac, machine};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::journal::{EventSink, Journal, JournalCounts, JournalOptions, Report};
use store::{EventQuery, Sighting, Store, StoredEvent};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

const IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);

#[tokio::test]
async fn a_first_asking_is_recorded_and_live_at_once() {
    let place = Place::sqlite();
    let store = place.open().await;
    let journal = Journal::spawn(store.clone(), no_arp());
    let mut live = journal.live.subscribe();
    journal.sink.emit(from(mac(1)), offered());
    let first = next(&mut live).await;
    assert!(matches!(
        first.event.kind,
        EventKind::Discovered {
            platform: Some(Platform::EfiX64)
        }
    ));
    let second = next(&mut live).await;
    assert_eq!(second.event.kind, offered());
    assert!(second.id > first.id);
    assert_eq!(second.machine, first.machine);
    let catalog = store.catalog();
    let known = catalog.find(mac(1), None).expect("published");
    assert_eq!(Some(known.id), second.machine);
    // Asking again is no first asking.
    journal.sink.emit(from(mac(1)), offered());
    assert_eq!(next(&mut live).await.event.kind, offered());
    assert_eq!(journal.counts().stored, 2);
    journal.shutdown().await;
    store.close().await;
}

#[tokio::test]
async fn of_one_heard_on_two_interfaces_the_first_place_counts() {
    let place = Place::sqlite();
    let store = place.open().await;
    let journal = Journal::spawn(store.clone(), no_arp());
    let mut live = journal.live.subscribe();
    let (first, second) = (Ipv4Addr::new(10, 0, 1, 1), Ipv4Addr::new(10, 0, 2, 1));
    for local in [first, second, first, second] {
        journal.sink.facts(Sighting {
            place: Some(local),
            ..Sighting::of(mac(1), Timestamp(0))
        });
    }
    journal.sink.emit(from(mac(1)), offered());
    next(&mut live).await;
    next(&mut live).await;
    let known = store.catalog().find(mac(1), None).cloned();
    assert_eq!(known.expect("published").facts.place, Some(first));
    journal.shutdown().await;
    store.close().await;
}

#[tokio::test]
async fn what_names_no_mac_finds_its_machine_by_address() {
    let place = Place::sqlite();
    let store = place.open().await;
    let a = machine(&store, "a", &[1]).await;
    let b = machine(&store, "b", &[2]).await;
    let arp = Arc::new(Mutex::new(String::new()));
    let shown = Arc::clone(&arp);
    let options = JournalOptions {
        arp: Arc::new(move || Some(shown.lock().expect("whole").clone())),
        ..JournalOptions::default()
    };
    let journal = Journal::spawn(store.clone(), options);
    let mut live = journal.live.subscribe();
    let by_ip = || Origin {
        ip: Some(IP),
        ..Origin::default()
    };
    journal.sink.emit(by_ip(), served("nobody-yet"));
    assert_eq!(next(&mut live).await.machine, None);
    // A packet that says both.
    let both = Origin {
        mac: Some(mac(1)),
        ..by_ip()
    };
    journal.sink.emit(both, served("snponly.efi"));
    journal.sink.emit(by_ip(), served("autoexec.ipxe"));
    assert_eq!(next(&mut live).await.machine, Some(a));
    let found = next(&mut live).await;
    assert_eq!(
        (found.machine, found.event.origin.mac),
        (Some(a), Some(mac(1)))
    );
    assert_eq!(
        journal.sink.neighbours().lookup(IP),
        Some(mac(1)),
        "for the packet path too"
    );
    // The address was leased to another; the system knows first.
    *arp.lock().expect("whole") = format!("IP …\n{IP} 0x1 0x2 {} * br0\n", mac(2));
    tokio::time::sleep(Duration::from_millis(10)).await;
    journal.sink.emit(by_ip(), served("autoexec.ipxe"));
    assert_eq!(next(&mut live).await.machine, Some(b));
    // Another server on the LAN is no machine of ours.
    let server = EventKind::ForeignServer {
        server: IP,
        boots: true,
    };
    journal.sink.emit(by_ip(), server);
    assert_eq!(next(&mut live).await.machine, None);
    journal.shutdown().await;
    store.close().await;
}

#[tokio::test]
async fn facts_reach_the_machine() {
    let place = Place::sqlite();
    let store = place.open().await;
    let journal = Journal::spawn(store.clone(), no_arp());
    journal.sink.facts(Sighting {
        serial: Some("S1".to_owned()),
        product: Some("Standard PC".to_owned()),
        ..Sighting::of(mac(1), at(0))
    });
    // What no machine can have is left out, and hurts nothing beside it.
    journal.sink.facts(Sighting::of(MacAddr([0xff; 6]), at(0)));
    journal.sink.emit(from(MacAddr([0xff; 6])), offered());
    journal.shutdown().await;
    let machines = store.machines();
    assert_eq!(machines.len(), 1);
    assert_eq!(machines[0].machine.serial.as_deref(), Some("S1"));
    assert_eq!(
        machines[0].machine.facts.product.as_deref(),
        Some("Standard PC")
    );
    store.close().await;
}

#[tokio::test]
async fn a_waiting_machine_is_one_line_a_minute() {
    let place = Place::sqlite();
    let store = place.open().await;
    let journal = Journal::spawn(store.clone(), no_arp());
    for _ in 0..10 {
        journal.sink.emit(from(mac(1)), menu(Some(Intent::Wait)));
    }
    journal
        .sink
        .emit(from(mac(1)), menu(Some(Intent::Assigned)));
    journal.sink.emit(from(mac(1)), menu(Some(Intent::Wait)));
    journal.sink.emit(from(mac(2)), menu(Some(Intent::Wait)));
    journal.shutdown().await;
    let events = store.events(EventQuery::default()).await.expect("read");
    let menus = events
        .iter()
        .filter(|e| matches!(e.event.kind, EventKind::MenuServed { .. }));
    assert_eq!(menus.count(), 4);
    store.close().await;
}

#[tokio::test]
async fn shutting_down_stores_what_is_queued() {
    let place = Place::sqlite();
    let store = place.open().await;
    machine(&store, "a", &[1]).await;
    let journal = Journal::spawn(store.clone(), no_arp());
    let sink = journal.sink.clone();
    for n in 0..2500 {
        sink.emit(from(mac(1)), served(&n.to_string()));
    }
    journal.shutdown().await;
    sink.emit(from(mac(1)), served("late"));
    let counts = JournalCounts {
        stored: 2500,
        dropped: 1,
        ..JournalCounts::default()
    };
    assert_eq!(sink.counts(), counts);
    let store = place.reopen(store).await;
    let newest = store.events(EventQuery::default()).await.expect("read");
    assert_eq!(newest[0].event.kind, served("2499"), "in order");
    store.close().await;
}

#[tokio::test]
async fn a_full_queue_costs_reports_never_time() {
    let (sink, mut reports) = EventSink::pair(2);
    for n in 0..5 {
        sink.emit(from(mac(1)), served(&n.to_string()));
    }
    assert_eq!(sink.dropped(), 3);
    assert_eq!(
        reports.try_next(),
        Some(Report::Event(from(mac(1)), served("0")))
    );
    assert!(reports.next().await.is_some());
    assert_eq!(reports.try_next(), None);
}

#[tokio::test]
async fn a_failing_database_stops_neither_the_journal_nor_the_live_feed() {
    let place = Place::sqlite();
    let store = place.open().await;
    let a = machine(&store, "a", &[1]).await;
    let journal = Journal::spawn(store.clone(), no_arp());
    let mut live = journal.live.subscribe();
    store.close().await;
    for file in ["one", "two"] {
        journal.sink.emit(from(mac(1)), served(file));
        let shown = next(&mut live).await;
        assert_eq!((shown.id, shown.machine), (0, Some(a)));
        assert_eq!(shown.event.kind, served(file));
    }
    assert_eq!(journal.counts().failed, 2);
    journal.shutdown().await;
}

#[tokio::test]
async fn a_flood_of_strangers_is_bounded_and_hides_nobody() {
    let place = Place::sqlite();
    let store = place.open().await;
    let ours = machine(&store, "ours", &[1]).await;
    let journal = Journal::spawn(store.clone(), no_arp());
    // Made-up MACs as fast as the queue takes them, and one machine of ours now and then.
    let mut sent = 0;
    for n in 0..100_000_u32 {
        journal.sink.emit(from(mac(1000 + n)), offered());
        if n % 1000 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            journal.sink.emit(from(mac(1)), served("snponly.efi"));
            sent += 1;
        }
    }
    let sink = journal.sink.clone();
    journal.shutdown().await;
    let counts = sink.counts();
    assert!(counts.dropped + counts.suppressed > 80_000, "{counts:?}");
    assert!(store.machines().len() < 10_000);
    let query = EventQuery {
        machine: Some(ours),
        limit: 1000,
        ..EventQuery::default()
    };
    let recorded = store.events(query).await.expect("read").len();
    assert!(recorded > 1, "{recorded} of {sent}");
    store.close().await;
    let file = place.url.strip_prefix("sqlite:").expect("a file");
    let bytes = std::fs::metadata(file).expect("there").len();
    assert!(bytes < 10 << 20, "{bytes} bytes for a flood");
}

fn no_arp() -> JournalOptions {
    JournalOptions {
        arp: Arc::new(|| None),
        ..JournalOptions::default()
    }
}

async fn next(live: &mut Receiver<Arc<StoredEvent>>) -> Arc<StoredEvent> {
    let event = timeout(Duration::from_secs(5), live.recv()).await;
    event.expect("prompt").expect("not behind")
}

fn from(mac: MacAddr) -> Origin {
    Origin {
        mac: Some(mac),
        ..Origin::default()
    }
}

fn because() -> Because {
    Because::SiteDefault {
        policy: UnassignedPolicy::Wait,
    }
}

fn offered() -> EventKind {
    EventKind::Offered {
        stage: Stage::Firmware,
        platform: Platform::EfiX64,
        class: ClientClass::Pxe,
        file: "snponly.efi".to_owned(),
        because: because(),
    }
}

fn menu(intent: Option<Intent>) -> EventKind {
    EventKind::MenuServed {
        stage: Stage::Ipxe,
        transport: Transport::Http,
        path: "/02-00-00-00-00-01/boot.ipxe".to_owned(),
        intent,
        profile: None,
        files: Vec::new(),
        because: because(),
    }
}

fn served(path: &str) -> EventKind {
    EventKind::FileServed {
        transport: Transport::Tftp,
        path: path.to_owned(),
        bytes: 1,
        millis: 1,
        transfer: None,
    }
}

#[test]
fn reports_carry_the_time_they_were_made() {
    // The clock is read where the packet was handled, not where it was stored.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let place = Place::sqlite();
        let store: Store = place.open().await;
        machine(&store, "a", &[1]).await;
        let journal = Journal::spawn(store.clone(), no_arp());
        let now = Timestamp::from(std::time::SystemTime::now());
        journal.sink.emit(from(mac(1)), served("x"));
        std::thread::sleep(Duration::from_millis(300));
        journal.shutdown().await;
        let events = store.events(EventQuery::default()).await.expect("read");
        let late = events[0].event.at.0 - now.0;
        assert!(
            events[0].event.kind == served("x") && late < 300,
            "{late} ms late"
        );
        store.close().await;
    });
}
