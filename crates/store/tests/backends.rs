//! One suite, run on SQLite and on a real PostgreSQL.

mod common;

use bootplan::{
    EventKind, LoaderKind, MachineId, MachineState, Platform, ProfileName, Site, UnassignedPolicy,
};
use common::{Place, at, mac, machine, named, on_both, profile};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{EventQuery, MachineChange, NewMachine, Sighting, Store, StoreError, StoreOptions};

on_both!(
    changes_are_published_and_survive_a_restart,
    names_and_macs_are_unique,
    a_machine_that_asked_before_is_adopted_by_entering_it,
    illegal_machines_are_refused,
    assigning_is_all_or_nothing_and_adopts,
    profiles_in_use_stay,
    settings_are_clamped_and_kept,
    the_first_asking_makes_a_discovered_machine,
    a_uuid_finds_only_what_was_entered_by_it,
    last_seen_is_coalesced,
    strangers_are_capped,
    history_is_paged_and_filtered,
    every_change_has_its_event,
    the_first_user_uses_up_the_link,
    sessions_end,
    tokens_are_shown_once,
);

async fn changes_are_published_and_survive_a_restart(place: Place) {
    let store = place.open().await;
    let mut watch = store.watch();
    let before = store.catalog().revision;
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("stored");
    let mut new = named("rack1-u3", &[1, 2]);
    new.uuid = Some(
        "12345678-9abc-def0-1122-334455667788"
            .parse()
            .expect("a UUID"),
    );
    new.serial = Some("SN 1".to_owned());
    new.labels = BTreeMap::from([("rack".to_owned(), "1 'ü'".to_owned())]);
    new.loader = Some(LoaderKind::Grub);
    new.profile = Some(name("debian-12"));
    let created = store.create_machine(new, "ann").await.expect("created");
    // Published before the method returned.
    let catalog = store.catalog();
    assert!(catalog.revision > before);
    assert!(watch.has_changed().expect("open"));
    assert_eq!(watch.borrow_and_update().revision, catalog.revision);
    assert_eq!(catalog.find(mac(2), None), Some(&created.machine));
    assert!(catalog.profile(&name("debian-12")).is_some());

    let store = place.reopen(store).await;
    assert_eq!(store.machines(), std::slice::from_ref(&created));
    assert_eq!(store.machine_named("RACK1-U3"), Some(created.clone()));
    let kept = store.catalog();
    assert_eq!(
        kept.profile(&name("debian-12")).map(|p| (**p).clone()),
        Some(profile("debian-12"))
    );
    let change = MachineChange {
        name: Some("rack1-u4".to_owned()),
        macs: Some(vec![mac(2), mac(3)]),
        serial: Some(None),
        loader: Some(None),
        profile: Some(None),
        ..MachineChange::default()
    };
    let id = created.machine.id;
    let changed = store
        .update_machine(id, change, "bob")
        .await
        .expect("changed");
    let store = place.reopen(store).await;
    assert_eq!(store.machine(id), Some(changed.clone()));
    assert_eq!(changed.machine.macs, [mac(2), mac(3)]);
    assert_eq!(changed.machine.serial, None);
    assert_eq!(changed.machine.uuid, created.machine.uuid);
    assert!(store.catalog().find(mac(1), None).is_none());

    store.delete_machine(id, "bob").await.expect("deleted");
    assert!(store.catalog().machine(id).is_none());
    let store = place.reopen(store).await;
    assert_eq!(store.machines(), []);
    let next = machine(&store, "rack1-u4", &[2]).await;
    assert!(next > id, "an identity is never used again");
    store.close().await;
}

async fn names_and_macs_are_unique(place: Place) {
    let store = place.open().await;
    let one = machine(&store, "One", &[1]).await;
    machine(&store, "two", &[2]).await;
    let error = store
        .create_machine(named("ONE", &[3]), "ann")
        .await
        .expect_err("taken");
    assert!(
        error
            .to_string()
            .contains("the name 'ONE' belongs to machine"),
        "{error}"
    );
    let error = store
        .create_machine(named("three", &[3, 2]), "ann")
        .await
        .expect_err("taken");
    assert!(
        error
            .to_string()
            .contains("belongs to machine 'two'; take it away"),
        "{error}"
    );
    let rename = MachineChange {
        name: Some("TWO".to_owned()),
        ..MachineChange::default()
    };
    let error = store
        .update_machine(one, rename, "ann")
        .await
        .expect_err("taken");
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    // Its own name in another case is no conflict, and nothing of the refused ones is there.
    let rename = MachineChange {
        name: Some("ONE".to_owned()),
        ..MachineChange::default()
    };
    store
        .update_machine(one, rename, "ann")
        .await
        .expect("renamed");
    let store = place.reopen(store).await;
    let names: Vec<_> = store
        .machines()
        .iter()
        .map(|m| m.machine.name.clone())
        .collect();
    assert_eq!(names, ["ONE", "two"]);
    store.close().await;
}

async fn a_machine_that_asked_before_is_adopted_by_entering_it(place: Place) {
    let store = place.open().await;
    let sighting = Sighting {
        serial: Some("S1".to_owned()),
        ..Sighting::of(mac(1), at(0))
    };
    let seen = store.sight(sighting).await.expect("seen");
    let entered = store
        .create_machine(named("rack1-u3", &[2, 1]), "ann")
        .await;
    let machine = entered.expect("adopted").machine;
    assert_eq!(machine.id, seen.machine.machine.id);
    assert_eq!(machine.state, MachineState::Registered);
    assert_eq!(machine.macs, [mac(2), mac(1)]);
    assert_eq!(machine.serial.as_deref(), Some("S1"));
    // Now it is somebody's.
    let again = store.create_machine(named("rack1-u4", &[1]), "ann").await;
    assert!(
        matches!(again, Err(StoreError::Conflict { .. })),
        "{again:?}"
    );
    store.close().await;
}

async fn illegal_machines_are_refused(place: Place) {
    let store = place.open().await;
    let mut bad = vec![
        named("", &[1]),
        named("a\nb", &[1]),
        named("no-mac", &[]),
        named("x", &[1, 1]),
    ];
    let mut broadcast = named("b", &[1]);
    broadcast.macs[0].0 = [0xff; 6];
    bad.push(broadcast);
    let mut labelled = named("l", &[1]);
    labelled.labels.insert("a b".to_owned(), String::new());
    bad.push(labelled);
    let mut valued = named("v", &[1]);
    valued.labels.insert("a".to_owned(), "1\n2".to_owned());
    bad.push(valued);
    for new in bad {
        let shown = format!("{new:?}");
        let error = store.create_machine(new, "ann").await.expect_err(&shown);
        assert!(
            matches!(error, StoreError::Invalid { .. }),
            "{shown}: {error}"
        );
    }
    let mut unknown = named("u", &[1]);
    unknown.profile = Some(name("nowhere"));
    let error = store
        .create_machine(unknown, "ann")
        .await
        .expect_err("no such profile");
    assert_eq!(error.to_string(), "profile 'nowhere' does not exist");
    assert_eq!(store.machines(), []);
    store.close().await;
}

async fn assigning_is_all_or_nothing_and_adopts(place: Place) {
    let store = place.open().await;
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("stored");
    let a = machine(&store, "a", &[1]).await;
    let b = store
        .sight(Sighting::of(mac(2), at(0)))
        .await
        .expect("seen")
        .machine
        .machine
        .id;
    let target = Some(name("debian-12"));
    let nobody = MachineId(99);
    let error = store
        .assign(&[a, b, nobody], target.clone(), "ann")
        .await
        .expect_err("unknown");
    assert_eq!(error.to_string(), "machine 99 does not exist");
    assert!(store.machines().iter().all(|m| m.machine.profile.is_none()));
    store
        .assign(&[a, b, a], target.clone(), "ann")
        .await
        .expect("assigned");
    let store = place.reopen(store).await;
    for record in store.machines() {
        assert_eq!(record.machine.profile, target);
        assert_eq!(record.machine.state, MachineState::Registered);
    }
    store.assign(&[b], None, "ann").await.expect("taken away");
    assert_eq!(store.machine(b).expect("there").machine.profile, None);
    let c = store
        .sight(Sighting::of(mac(3), at(0)))
        .await
        .expect("seen")
        .machine
        .machine
        .id;
    store.adopt(&[c], "ann").await.expect("adopted");
    let store = place.reopen(store).await;
    assert_eq!(
        store.machine(c).expect("there").machine.state,
        MachineState::Registered
    );
    store.close().await;
}

async fn profiles_in_use_stay(place: Place) {
    let store = place.open().await;
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("stored");
    let a = machine(&store, "a", &[1]).await;
    let b = machine(&store, "b", &[2]).await;
    store
        .assign(&[a, b], Some(name("debian-12")), "ann")
        .await
        .expect("assigned");
    let error = store
        .delete_profile(&name("debian-12"), "ann")
        .await
        .expect_err("in use");
    assert_eq!(
        error.to_string(),
        "profile 'debian-12' is assigned to 'a' and 1 more; \
         assign them another profile or none first"
    );
    store
        .assign(&[a, b], None, "ann")
        .await
        .expect("taken away");
    store
        .delete_profile(&name("debian-12"), "ann")
        .await
        .expect("deleted");
    let error = store
        .delete_profile(&name("debian-12"), "ann")
        .await
        .expect_err("gone");
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    let mut bad = profile("bad");
    bad.title = "two\nlines".to_owned();
    let error = store.put_profile(bad, "ann").await.expect_err("illegal");
    assert!(matches!(error, StoreError::Profile { .. }), "{error}");
    assert_eq!(place.reopen(store).await.catalog().profiles().count(), 0);
}

async fn settings_are_clamped_and_kept(place: Place) {
    let store = place.open().await;
    assert_eq!(store.site(), Site::default());
    let wanted = Site {
        unassigned: UnassignedPolicy::Wait,
        wait_poll_s: 0,
        ..Site::default()
    };
    store.set_site(wanted.clone(), "ann").await.expect("stored");
    let store = place.reopen(store).await;
    assert_eq!(store.site(), wanted.clamped());
    assert_eq!(store.catalog().site.wait_poll_s, 2);
    store.close().await;
}

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
    assert_eq!(record, seen.machine);
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
        serial: Some("A".into()),
        ..NewMachine::default()
    };
    assert!(store.create_machine(by_uuid(NOTHING), "ada").await.is_err());
    let entered = store.create_machine(by_uuid(BOARD), "ada").await;
    let entered = entered.expect("entered").machine.id;

    // Another serial: another board of a careless vendor.
    assert!(
        store
            .sight(with(9, BOARD, Some("B")))
            .await
            .expect("seen")
            .new
    );
    store
        .delete_machine(store.catalog().find(mac(9), None).expect("seen").id, "ada")
        .await
        .expect("gone");

    // Two cards in one batch: the first is the machine's, the other is a machine of its own.
    let both = vec![with(1, BOARD, None), with(2, BOARD, None)];
    let both = store.sight_all(both).await.expect("seen");
    let new: Vec<bool> = both.iter().map(|s| s.new).collect();
    assert_eq!(new, [false, true]);
    assert_eq!(both[0].machine.machine.id, entered);
    assert_eq!(both[0].machine.machine.macs, [mac(1)]);

    // Who only claims the UUID of a machine whose MACs are known gets nothing of it.
    let claims = store.sight(with(3, BOARD, None)).await.expect("seen");
    assert!(claims.new);
    assert_eq!(
        store.machine(entered).expect("there").machine.macs,
        [mac(1)]
    );
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

async fn the_first_user_uses_up_the_link(place: Place) {
    let store = place.open().await;
    let old = store
        .create_setup_secret()
        .await
        .expect("made")
        .expect("nobody yet");
    let link = store
        .create_setup_secret()
        .await
        .expect("made")
        .expect("nobody yet");
    assert!(
        !store.check_setup_secret(&old).await.expect("checked"),
        "void"
    );
    assert!(store.check_setup_secret(&link).await.expect("checked"));
    let error = store
        .create_first_user("guess", "ann", "$argon2$")
        .await
        .expect_err("wrong");
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    let error = store
        .create_first_user(&link, "a\0b", "$argon2$")
        .await
        .expect_err("illegal");
    assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    // A refused attempt does not use it up.
    store
        .create_first_user(&link, "Ann", "$argon2$")
        .await
        .expect("created");
    assert!(
        store
            .create_first_user(&link, "eve", "$argon2$")
            .await
            .is_err(),
        "used up"
    );
    assert!(!store.check_setup_secret(&link).await.expect("checked"));
    let store = place.reopen(store).await;
    assert_eq!(store.create_setup_secret().await.expect("asked"), None);
    assert_eq!(store.user_count().await.expect("counted"), 1);
    let ann = store.user("ANN").await.expect("read").expect("there");
    assert_eq!(
        (ann.name.as_str(), ann.password_hash.as_str()),
        ("Ann", "$argon2$")
    );
    let error = store
        .create_user("ann", "x", "Ann")
        .await
        .expect_err("taken");
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert!(
        store.delete_user("Ann", "Ann").await.is_err(),
        "the last one stays"
    );
    store.create_user("bob", "x", "Ann").await.expect("created");
    store.delete_user("Ann", "bob").await.expect("deleted");
    assert_eq!(store.users().await.expect("read").len(), 1);
    assert_eq!(store.user("no\0body").await.expect("read"), None);
    store.close().await;
}

async fn sessions_end(place: Place) {
    let store = place.open().await;
    store
        .create_user("ann", "x", "set-up")
        .await
        .expect("created");
    let hour = Duration::from_secs(3600);
    let one = store.create_session("Ann", hour).await.expect("begun");
    let two = store.create_session("ann", hour).await.expect("begun");
    let over = store
        .create_session("ann", Duration::ZERO)
        .await
        .expect("begun");
    assert!(store.create_session("eve", hour).await.is_err());
    let store = place.reopen(store).await;
    let session = store.session(&one).await.expect("read").expect("goes on");
    assert_eq!(session.user, "ann");
    assert_eq!(session.expires.0 - session.created.0, 3_600_000);
    assert_eq!(store.session(&over).await.expect("read"), None);
    assert_eq!(store.session("guess").await.expect("read"), None);
    store.delete_session(&one).await.expect("ended");
    store.delete_session(&one).await.expect("no error");
    assert_eq!(store.session(&one).await.expect("read"), None);
    assert!(store.session(&two).await.expect("read").is_some());
    store
        .set_password("ann", "y", "ann")
        .await
        .expect("changed");
    assert_eq!(
        store.session(&two).await.expect("read"),
        None,
        "a new password ends them"
    );
    let three = store.create_session("ann", hour).await.expect("begun");
    store.delete_sessions("ann").await.expect("ended");
    assert_eq!(store.session(&three).await.expect("read"), None);
    store.close().await;
}

async fn tokens_are_shown_once(place: Place) {
    let store = place.open().await;
    store
        .create_user("ann", "x", "set-up")
        .await
        .expect("created");
    let (made, secret) = store
        .create_token("ann", "backup", None)
        .await
        .expect("made");
    let (_, over) = store
        .create_token("ann", "old", Some(Duration::ZERO))
        .await
        .expect("made");
    let store = place.reopen(store).await;
    let used = store.token(&secret).await.expect("read").expect("known");
    assert_eq!(used, made);
    assert_eq!(store.token(&over).await.expect("read"), None);
    let listed = store.tokens().await.expect("read");
    assert_eq!(listed.len(), 2);
    assert!(listed[0].last_used.is_some(), "its use was noted");
    store.delete_token(made.id, "ann").await.expect("deleted");
    assert_eq!(store.token(&secret).await.expect("read"), None);
    assert!(store.delete_token(made.id, "ann").await.is_err());
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
