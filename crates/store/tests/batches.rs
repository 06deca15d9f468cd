//! Many changes as one, and one change of many machines; on SQLite and on a real PostgreSQL.

mod common;

use bootplan::{EventKind, MachineId, MachineState, ProfileName, Site, UnassignedPolicy};
use common::{Place, at, mac, machine, named, on_both, profile};
use store::{EventQuery, MachineChange, Sighting, Step, Store, StoreError};

on_both!(
    a_batch_is_one_change,
    a_refused_batch_leaves_nothing,
    a_batch_that_changes_nothing_is_no_change,
    many_machines_are_assigned_and_adopted_at_once,
);

async fn a_batch_is_one_change(place: Place) {
    let store = place.open().await;
    let old = machine(&store, "old", &[1]).await;
    let seen = discovered(&store, 2).await;
    let mut live = store.live().subscribe();
    let revision = store.catalog().revision;
    let mut watch = store.watch();
    watch.mark_unchanged();
    let mut new = named("old", &[3, 4]);
    new.profile = Some(name("debian-12"));
    let steps = vec![
        Step::PutProfile(profile("debian-12")),
        Step::SetSite(waiting()),
        rename(old, "older"),
        // Possible only because of the steps before it: the name is free, the profile there.
        Step::CreateMachine(new),
        registered(seen),
        Step::Assign(vec![old, seen], Some(name("debian-12"))),
    ];
    store.apply(steps, "ann").await.expect("applied");
    assert_eq!(store.catalog().revision, revision + 1, "published once");
    assert!(watch.has_changed().expect("open"));
    let mut told = Vec::new();
    let mut ids = Vec::new();
    while let Ok(stored) = live.try_recv() {
        let of = stored.event.origin.mac.map(|mac| mac.to_string());
        let of = of.unwrap_or_default();
        ids.push(stored.id);
        told.push(match &stored.event.kind {
            EventKind::Changed { what, .. } => format!("{of} {what}"),
            EventKind::Assigned { profile, .. } => {
                format!("{of} {}", profile.as_ref().map_or("", |p| p.as_str()))
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(
        told,
        [
            " profile 'debian-12' created",
            " site settings changed: machines without an assignment get 'wait'",
            "02:00:00:00:00:01 machine 'old' (now 'older') changed: name",
            "02:00:00:00:00:03 machine 'old' created",
            "02:00:00:00:00:03 debian-12",
            "02:00:00:00:00:02 machine '02-00-00-00-00-02' changed: state",
            "02:00:00:00:00:01 debian-12",
            "02:00:00:00:00:02 debian-12",
        ]
    );
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
    let before = store.machines();
    let store = place.reopen(store).await;
    assert_eq!(store.machines(), before);
    assert_eq!(store.site().unassigned, UnassignedPolicy::Wait);
    for record in before {
        assert_eq!(record.machine.profile, Some(name("debian-12")));
        assert_eq!(record.machine.state, MachineState::Registered);
    }
    store.close().await;
}

async fn a_refused_batch_leaves_nothing(place: Place) {
    let mut store = place.open().await;
    let ours = machine(&store, "ours", &[1]).await;
    let seen = discovered(&store, 2).await;
    let mut untitled = profile("bad");
    untitled.title = "two\nlines".to_owned();
    let last_steps = [
        // What is there from before, and what only this batch made.
        Step::CreateMachine(named("ours-2", &[9])),
        Step::CreateMachine(named("new", &[9])),
        Step::CreateMachine(named("other", &[3])),
        Step::CreateMachine(named("control\n", &[9])),
        Step::PutProfile(untitled),
        Step::Assign(vec![ours], Some(name("nowhere"))),
        Step::Assign(vec![ours, MachineId(999)], None),
        rename(MachineId(999), "nobody"),
        rename(seen, "NEW"),
    ];
    for last in last_steps {
        let shown = format!("{last:?}");
        let mut new = named("new", &[3]);
        new.profile = Some(name("debian-12"));
        let steps = vec![
            Step::PutProfile(profile("debian-12")),
            Step::SetSite(waiting()),
            Step::CreateMachine(new),
            rename(ours, "ours-2"),
            registered(seen),
            Step::Assign(vec![ours, seen], Some(name("debian-12"))),
            last,
        ];
        let (machines, events) = (store.machines(), history(&store).await);
        let mut live = store.live().subscribe();
        let catalog = store.catalog();
        let refused = store.apply(steps, "ann").await.expect_err(&shown);
        assert_eq!(refused.step, Some(6), "{shown}: {refused}");
        assert!(
            !matches!(refused.cause, StoreError::Database { .. }),
            "{shown}: {refused}"
        );
        assert_eq!(store.catalog().revision, catalog.revision, "{shown}");
        assert!(live.try_recv().is_err(), "{shown}");
        for reopened in [false, true] {
            if reopened {
                store = place.reopen(store).await;
            }
            assert_eq!(store.machines(), machines, "{shown}");
            assert_eq!(store.catalog().profiles().count(), 0, "{shown}");
            assert_eq!(store.site(), Site::default(), "{shown}");
            assert_eq!(history(&store).await, events, "{shown}");
        }
    }
    store.close().await;
}

async fn a_batch_that_changes_nothing_is_no_change(place: Place) {
    let store = place.open().await;
    let ours = machine(&store, "ours", &[1]).await;
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("stored");
    let (revision, events) = (store.catalog().revision, history(&store).await);
    let steps = vec![
        Step::PutProfile(profile("debian-12")),
        Step::SetSite(store.site()),
        rename(ours, "ours"),
        registered(ours),
        Step::Assign(vec![ours], None),
        Step::Assign(Vec::new(), Some(name("debian-12"))),
    ];
    store.apply(steps, "ann").await.expect("applied");
    store.apply(Vec::new(), "ann").await.expect("applied");
    assert_eq!(store.catalog().revision, revision);
    assert_eq!(history(&store).await, events);
    store.close().await;
}

/// More than go into one statement.
async fn many_machines_are_assigned_and_adopted_at_once(place: Place) {
    const MANY: u32 = 1203;
    let store = place.open().await;
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("stored");
    let target = Some(name("debian-12"));
    let sightings = (0..MANY).map(|n| Sighting::of(mac(n), at(0))).collect();
    let seen = store.sight_all(sightings).await.expect("seen");
    let ids: Vec<_> = seen.iter().map(|s| s.machine.machine.id).collect();
    store.adopt(&ids[..700], "ann").await.expect("adopted");
    store
        .assign(&ids[..10], target.clone(), "ann")
        .await
        .expect("assigned");
    let mut live = store.live().subscribe();
    let twice = [ids.clone(), ids.clone()].concat();
    store
        .assign(&twice, target.clone(), "ann")
        .await
        .expect("assigned");
    let mut told = Vec::new();
    while let Ok(stored) = live.try_recv() {
        assert!(
            matches!(&stored.event.kind, EventKind::Assigned { profile, .. } if *profile == target)
        );
        told.push(stored.machine.expect("a machine's"));
    }
    assert_eq!(told, ids[10..], "one event for each that changed, in order");
    let store = place.reopen(store).await;
    assert!(store.machines().iter().all(|record| {
        record.machine.profile == target && record.machine.state == MachineState::Registered
    }));
    store.assign(&ids[1..], None, "ann").await.expect("taken");
    let store = place.reopen(store).await;
    let left = store.machines();
    let left: Vec<_> = left
        .iter()
        .filter(|r| r.machine.profile.is_some())
        .collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].machine.id, ids[0]);
    store.close().await;
}

async fn discovered(store: &Store, card: u32) -> MachineId {
    let seen = store.sight(Sighting::of(mac(card), at(0))).await;
    seen.expect("seen").machine.machine.id
}

async fn history(store: &Store) -> Vec<store::StoredEvent> {
    store.events(EventQuery::default()).await.expect("read")
}

fn rename(id: MachineId, name: &str) -> Step {
    let change = MachineChange {
        name: Some(name.to_owned()),
        ..MachineChange::default()
    };
    Step::UpdateMachine(id, change)
}

fn registered(id: MachineId) -> Step {
    Step::UpdateMachine(id, MachineChange::default())
}

fn waiting() -> Site {
    Site {
        unassigned: UnassignedPolicy::Wait,
        ..Site::default()
    }
}

fn name(text: &str) -> ProfileName {
    text.parse().expect("a profile name")
}
