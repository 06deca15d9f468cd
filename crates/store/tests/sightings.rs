//! Machines as the boot network sees them; on SQLite and on a real PostgreSQL.

mod common;

use bootplan::{EventKind, MachineState, Platform};
use common::{Place, at, mac, machine, on_both};
use store::{NewMachine, Sighting, Store, StoreOptions};

on_both!(
    the_first_asking_makes_a_discovered_machine,
    a_uuid_finds_only_what_was_entered_by_it,
    last_seen_is_coalesced,
    strangers_are_capped,
);

async fn the_first_asking_makes_a_discovered_machine(place: Place) {
    let store = place.open().await;
    let mut live = store.live().subscribe();
    let sighting = Sighting {
        platform: Some(Platform::EfiX64),
        uuid: "12345678-9abc-def0-1122-334455667788".parse().ok(),
        serial: Some(" S\n1 ".to_owned()),
        product: Some("Standard PC".to_owned()),
        ..Sighting::of(mac(1), at(0))
    };
    let seen = store.sight(sighting.clone()).await.expect("seen");
    assert!(seen.new);
    let stored = live.try_recv().expect("its event is live at once");
    assert_eq!(stored.machine, Some(seen.machine.machine.id));
    assert!(matches!(
        stored.event.kind,
        EventKind::Discovered {
            platform: Some(Platform::EfiX64)
        }
    ));
    let again = store.sight(sighting).await.expect("seen");
    assert!(!again.new);
    let store = place.reopen(store).await;
    let record = store.machine(seen.machine.machine.id).expect("recorded");
    assert_eq!(record, again.machine);
    assert_eq!(record.machine.name, "02-00-00-00-00-01");
    assert_eq!(record.machine.serial.as_deref(), Some("S1"));
    assert_eq!(record.machine.facts.product.as_deref(), Some("Standard PC"));
    assert_eq!(record.machine.state, MachineState::Discovered);
    assert_eq!(store.catalog().find(mac(1), None), Some(&record.machine));
    let mut broadcast = Sighting::of(mac(1), at(0));
    broadcast.mac.0 = [0xff; 6];
    assert!(store.sight(broadcast).await.is_err());
    store.close().await;
}

async fn a_uuid_finds_only_what_was_entered_by_it(place: Place) {
    let store = place.open().await;
    let with = |card: u32, uuid: &str, serial: Option<&str>| Sighting {
        uuid: uuid.parse().ok(),
        serial: serial.map(str::to_owned),
        ..Sighting::of(mac(card), at(0))
    };
    const BOARD: &str = "12345678-9abc-def0-1122-334455667788";
    const NOTHING: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    let by_uuid = |uuid: &str| NewMachine {
        uuid: uuid.parse().ok(),
        serial: Some("S-A".into()),
        ..NewMachine::default()
    };
    assert!(store.create_machine(by_uuid(NOTHING), "ada").await.is_err());
    let entered = store.create_machine(by_uuid(BOARD), "ada").await;
    let entered = entered.expect("entered").machine.id;

    // Another serial: another board of a careless vendor.
    assert!(
        store
            .sight(with(9, BOARD, Some("S-B")))
            .await
            .expect("seen")
            .new
    );
    store
        .delete_machine(store.catalog().find(mac(9), None).expect("seen").id, "ada")
        .await
        .expect("gone");

    // Two cards in one batch: the first is the machine's, the other may be another's.
    let both = vec![with(1, BOARD, None), with(2, BOARD, None)];
    let both = store.sight_all(both).await.expect("seen");
    let new: Vec<bool> = both.iter().map(|s| s.new).collect();
    assert_eq!(new, [false, true]);
    assert_eq!(both[0].machine.machine.id, entered);
    assert_eq!(both[0].machine.machine.macs, [mac(1)]);

    // Who only claims the UUID of a machine whose MACs are known gets nothing of it.
    let claims = store.sight(with(3, BOARD, None)).await.expect("seen");
    assert!(claims.new);
    assert_eq!(claims.machine.machine.uuid, None);
    assert_eq!(
        store.machine(entered).expect("there").machine.macs,
        [mac(1)]
    );
    let doubted: Vec<_> = store.conflicts().iter().map(|c| c.mac).collect();
    assert_eq!(doubted, [mac(2), mac(3)]);
    // A value that many machines share joins nothing.
    assert!(store.sight(with(4, NOTHING, None)).await.expect("seen").new);
    assert!(store.sight(with(5, NOTHING, None)).await.expect("seen").new);

    let store = place.reopen(store).await;
    let found = store.catalog().find(mac(1), None).map(|m| m.id);
    assert_eq!(found, Some(entered));
    store.close().await;
}

async fn last_seen_is_coalesced(place: Place) {
    let store = place.open().await;
    let id = store
        .sight(Sighting::of(mac(1), at(0)))
        .await
        .expect("seen")
        .machine
        .machine
        .id;
    let revision = store.catalog().revision;
    let last = |store: &Store| store.machine(id).expect("there").last_seen;
    store
        .sight(Sighting::of(mac(1), at(9)))
        .await
        .expect("seen");
    assert_eq!(last(&store), Some(at(9)), "people see it to the moment");
    let store = place.reopen(store).await;
    assert_eq!(last(&store), Some(at(0)), "the disk does not, yet");
    store
        .sight(Sighting::of(mac(1), at(10)))
        .await
        .expect("seen");
    store
        .sight(Sighting::of(mac(1), at(5)))
        .await
        .expect("seen");
    let reopened = place.reopen(store).await;
    assert_eq!(last(&reopened), Some(at(10)));
    // The Catalog does not hold it, so nothing is published for it.
    let before = reopened.catalog().revision;
    reopened
        .sight(Sighting::of(mac(1), at(60)))
        .await
        .expect("seen");
    assert_eq!(reopened.catalog().revision, before);
    assert!(revision > 0);
    // A rack at once: more than one statement takes, and each machine keeps its own time.
    let rack = |from: i64| (10..=240).map(move |n| (mac(n), at(from + i64::from(n))));
    for from in [0, 100] {
        let seen = rack(from).map(|(mac, at)| Sighting::of(mac, at)).collect();
        reopened.sight_all(seen).await.expect("seen");
    }
    let store = place.reopen(reopened).await;
    for (mac, at) in rack(100) {
        let id = store.catalog().find(mac, None).expect("there").id;
        assert_eq!(
            store.machine(id).expect("there").last_seen,
            Some(at),
            "{mac}"
        );
    }
    store.close().await;
}

async fn strangers_are_capped(place: Place) {
    let options = StoreOptions {
        discovered_limit: 5,
    };
    let store = place.open_with(options.clone()).await;
    let ours = machine(&store, "ours", &[1]).await;
    let kept = store
        .sight(Sighting::of(mac(2), at(0)))
        .await
        .expect("seen")
        .machine
        .machine
        .id;
    store.adopt(&[kept], "ann").await.expect("adopted");
    for n in 0..40 {
        let seconds = i64::from(n);
        store
            .sight(Sighting::of(mac(100 + n), at(seconds)))
            .await
            .expect("seen");
    }
    let flood: Vec<_> = (0..40)
        .map(|n| Sighting::of(mac(200 + n), at(100)))
        .collect();
    store.sight_all(flood).await.expect("seen");
    store
        .sight(Sighting::of(mac(300), at(200)))
        .await
        .expect("seen");
    store.close().await;
    drop(store);
    let store = place.open_with(options).await;
    assert!(store.machine(ours).is_some() && store.machine(kept).is_some());
    assert_eq!(store.machines().len(), 2 + 5);
    assert!(
        store.catalog().find(mac(300), None).is_some(),
        "the newest is there"
    );
    assert!(
        store.catalog().find(mac(100), None).is_none(),
        "the oldest gave way"
    );
    store.close().await;
}
