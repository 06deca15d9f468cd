//! What happened; on SQLite and on a real PostgreSQL.

mod common;

use bootplan::{EventKind, ProfileName};
use common::{Place, at, mac, machine, on_both, profile};
use store::{EventQuery, MachineChange};

on_both!(history_is_paged_and_filtered, every_change_has_its_event,);

async fn history_is_paged_and_filtered(place: Place) {
    let store = place.open().await;
    let a = machine(&store, "a", &[1]).await;
    let events = (0..250)
        .map(|n| heard(n, (n % 2 == 0).then_some(1)))
        .collect();
    let stored = store.append(events).await.expect("stored");
    assert!(stored.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert_eq!(stored[0].machine, Some(a));
    assert_eq!(stored[1].machine, None);
    let page = EventQuery {
        limit: 100,
        ..EventQuery::default()
    };
    let newest = store.events(page.clone()).await.expect("read");
    let expected: Vec<_> = stored
        .iter()
        .rev()
        .take(100)
        .map(|e| (**e).clone())
        .collect();
    assert_eq!(newest, expected);
    let before = Some(newest[99].id);
    let older = store
        .events(EventQuery {
            before,
            ..page.clone()
        })
        .await
        .expect("read");
    assert_eq!(older[0].id, newest[99].id - 1);
    let after = Some(stored[247].id);
    let resumed = store
        .events(EventQuery {
            after,
            ..page.clone()
        })
        .await
        .expect("read");
    assert_eq!(resumed.len(), 2);
    for query in [
        EventQuery {
            machine: Some(a),
            limit: 1000,
            ..EventQuery::default()
        },
        EventQuery {
            mac: Some(mac(1)),
            limit: 9999,
            ..EventQuery::default()
        },
        EventQuery {
            machine: Some(a),
            mac: Some(mac(1)),
            limit: 999,
            ..EventQuery::default()
        },
    ] {
        // 125 that were heard of it, and its creation.
        assert_eq!(
            store.events(query.clone()).await.expect("read").len(),
            126,
            "{query:?}"
        );
    }
    // The history outlives the machine.
    store.delete_machine(a, "ann").await.expect("deleted");
    let of_it = EventQuery {
        machine: Some(a),
        ..page
    };
    assert_eq!(store.events(of_it).await.expect("read").len(), 100);
    store.close().await;
}

async fn every_change_has_its_event(place: Place) {
    let store = place.open().await;
    let mut live = store.live().subscribe();
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("stored");
    let a = machine(&store, "a", &[1]).await;
    store
        .assign(&[a], Some(name("debian-12")), "bob")
        .await
        .expect("assigned");
    let rename = MachineChange {
        name: Some("b".to_owned()),
        profile: Some(None),
        ..MachineChange::default()
    };
    store
        .update_machine(a, rename, "api")
        .await
        .expect("changed");
    // What changes nothing is no event.
    store
        .update_machine(a, MachineChange::default(), "api")
        .await
        .expect("unchanged");
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("unchanged");
    store.delete_machine(a, "cli").await.expect("deleted");
    let mut told = Vec::new();
    while let Ok(stored) = live.try_recv() {
        told.push(match &stored.event.kind {
            EventKind::Changed { what, by } => format!("{by}: {what}"),
            EventKind::Assigned { profile, by } => format!("{by}: assigned {profile:?}"),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(
        told,
        [
            "ann: profile 'debian-12' created",
            "ann: machine 'a' created",
            "bob: assigned Some(ProfileName(\"debian-12\"))",
            "api: machine 'a' (now 'b') changed: name",
            "api: assigned None",
            "cli: machine 'b' deleted",
        ]
    );
    assert_eq!(
        store
            .events(EventQuery::default())
            .await
            .expect("read")
            .len(),
        told.len()
    );
    store.close().await;
}

fn name(text: &str) -> ProfileName {
    text.parse().expect("a profile name")
}

fn heard(seconds: i64, card: Option<u32>) -> bootplan::Event {
    bootplan::Event {
        at: at(seconds),
        origin: bootplan::Origin {
            mac: card.map(mac),
            ..bootplan::Origin::default()
        },
        kind: EventKind::ForeignServer {
            server: [10, 0, 0, 1].into(),
            boots: false,
        },
    }
}
