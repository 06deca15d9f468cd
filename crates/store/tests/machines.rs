//! Machines, profiles and settings that people enter; on SQLite and on a real PostgreSQL.

mod common;

use bootplan::{LoaderKind, MachineId, MachineState, ProfileName, Site, UnassignedPolicy};
use common::{Place, at, mac, machine, named, on_both, profile};
use std::collections::BTreeMap;
use store::{MachineChange, Sighting, StoreError};

on_both!(
    changes_are_published_and_survive_a_restart,
    names_and_macs_are_unique,
    a_machine_that_asked_before_is_adopted_by_entering_it,
    illegal_machines_are_refused,
    assigning_is_all_or_nothing_and_adopts,
    profiles_in_use_stay,
    settings_are_clamped_and_kept,
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

fn name(text: &str) -> ProfileName {
    text.parse().expect("a profile name")
}
