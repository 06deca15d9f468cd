//! Templates, variables, secrets and links; on SQLite and on a real PostgreSQL.

mod common;

use bootplan::run::{Happening, Order, Report};
use bootplan::{
    Arming, LinkPurpose, MachineId, Object, ObjectKind, RunKind, RunState, Secret, Site, Timestamp,
    Variables, VerifiedLink,
};
use common::{Place, mac, on_both, profile};
use serde_json::json;
use std::net::Ipv4Addr;
use store::{
    EventQuery, Heard, MachineChange, MachineSide, NewMachine, Step, Store, StoreError, UnlockError,
};

on_both!(
    objects_are_kept_and_published,
    variables_are_kept,
    secrets_come_back_with_the_key_and_only_with_it,
    a_secret_that_is_only_named_waits_for_its_value,
    a_secret_stands_in_no_row_and_no_event,
    a_report_is_taken_as_the_run_stands,
    a_report_belongs_to_one_run,
    an_answer_for_one_use_is_fetched_once_a_try,
);

const CANARY: &str = "k7Qz-canary-Wp31";

fn object(value: serde_json::Value) -> Object {
    serde_json::from_value(value).expect("an object")
}

fn variables(value: serde_json::Value) -> Variables {
    serde_json::from_value(value).expect("variables")
}

async fn objects_are_kept_and_published(place: Place) {
    let store = place.open().await;
    let seed = object(json!({"kind": "template", "name": "seed", "text": "{{ x }}"}));
    let keys = object(json!({"kind": "snippet", "name": "seed", "text": "KEY"}));
    let rack = object(json!({"kind": "group", "name": "rack1",
        "selector": {"label": {"rack": ["1"]}}, "variables": {"x": 1}}));
    let steps = [&seed, &keys, &rack].map(|o| Step::PutObject(o.clone()));
    store.apply(steps.to_vec(), "ann").await.expect("applied");
    let revision = store.catalog().revision;
    store
        .put_object(seed.clone(), "ann")
        .await
        .expect("the same");
    assert_eq!(store.catalog().revision, revision, "nothing was different");
    let store = place.reopen(store).await;
    let objects = store.catalog().objects().clone();
    assert_eq!(objects.templates["seed"], "{{ x }}");
    assert_eq!(objects.snippets["seed"], "KEY");
    assert_eq!(objects.of(ObjectKind::Group), [rack]);

    let name = "seed".parse().expect("a name");
    let gone = store.delete_object(ObjectKind::Snippet, &name, "ann").await;
    gone.expect("deleted");
    assert!(store.catalog().objects().snippets.is_empty());
    assert_eq!(store.catalog().objects().templates.len(), 1);
    let again = store.delete_object(ObjectKind::Snippet, &name, "ann").await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })));
    let large = "x".repeat(256 * 1024 + 1);
    let large = object(json!({"kind": "template", "name": "large", "text": large}));
    let refused = store.put_object(large, "ann").await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })));
}

async fn variables_are_kept(place: Place) {
    let store = place.open().await;
    let new = NewMachine {
        variables: variables(json!({"disk": "/dev/sda"})),
        ..common::named("a", &[1])
    };
    let id = store
        .create_machine(new, "ann")
        .await
        .expect("created")
        .machine
        .id;
    let site = Site {
        variables: variables(json!({"domain": "example"})),
        ..Site::default()
    };
    store.set_site(site, "ann").await.expect("set");
    let store = place.reopen(store).await;
    let of = |store: &Store| store.machine(id).expect("there").machine.variables.clone();
    assert_eq!(of(&store), variables(json!({"disk": "/dev/sda"})));
    assert_eq!(
        store.site().variables,
        variables(json!({"domain": "example"}))
    );
    let change = MachineChange {
        variables: Some(variables(json!({"disk": ["x", 1]}))),
        ..MachineChange::default()
    };
    store
        .update_machine(id, change, "ann")
        .await
        .expect("changed");
    let store = place.reopen(store).await;
    assert_eq!(of(&store), variables(json!({"disk": ["x", 1]})));
}

async fn secrets_come_back_with_the_key_and_only_with_it(place: Place) {
    let dir = tempfile::tempdir().expect("a directory");
    let (key, other) = (dir.path().join("key"), dir.path().join("other"));
    let store = place.open().await;
    let name = "root".parse().expect("a name");
    let locked = store.put_secret(&name, Secret::new(CANARY), "ann").await;
    assert!(
        matches!(locked, Err(StoreError::Invalid { .. })),
        "no key yet"
    );
    store.unlock(&key).await.expect("a key is made");
    store
        .put_secret(&name, Secret::new("old"), "ann")
        .await
        .expect("set");
    store
        .put_secret(&name, Secret::new(CANARY), "bob")
        .await
        .expect("set");
    assert_eq!(store.secrets()["root"].expose(), CANARY);
    let links = store.link_key();

    let store = place.reopen(store).await;
    assert!(store.secrets().is_empty() && store.link_key().is_none());
    let missing = store.unlock(&other).await.expect_err("no such file");
    assert!(matches!(missing, UnlockError::File(_)), "{missing}");
    assert!(!other.exists(), "a key that opens nothing is not made");
    std::fs::write(&other, [7; 32]).expect("written");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).expect("set");
    let wrong = store.unlock(&other).await.expect_err("another key");
    let said = wrong.to_string();
    assert!(said.contains("other") && said.contains("'root'"), "{said}");
    assert!(store.secrets().is_empty());

    store.unlock(&key).await.expect("the right key");
    assert_eq!(store.secrets()["root"].expose(), CANARY);
    assert_eq!(store.link_key(), links, "links last across restarts");
    let records = store.secret_records().await.expect("listed");
    assert_eq!(
        (records[0].name.as_str(), records[0].by.as_str()),
        ("root", "bob")
    );
    store.delete_secret(&name, "ann").await.expect("deleted");
    assert!(store.secrets().is_empty());
}

async fn a_secret_that_is_only_named_waits_for_its_value(place: Place) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = place.open().await;
    let name: bootplan::ObjectName = "root".parse().expect("a name");
    let named = || Step::PutSecret(name.clone(), None);
    store.apply(vec![named()], "git").await.expect("named");
    // A name opens nothing, so a key may still be made; and no key opens it.
    let key = dir.path().join("key");
    store.unlock(&key).await.expect("a key is made");
    let held = async || {
        let records = store.secret_records().await.expect("listed");
        let value = store.decided().await.expect("read").secrets["root"]
            .value
            .clone();
        let value = value.map(|value| value.expose().to_owned());
        (records.len(), records[0].has_value, value)
    };
    assert_eq!(held().await, (1, false, None));
    let set = Step::PutSecret(name.clone(), Some(Secret::new(CANARY)));
    // All or nothing, in memory as on disk.
    let nowhere = Step::DeleteHook("nowhere".to_owned());
    let steps = vec![set.clone(), nowhere];
    let refused = store.apply(steps, "git").await.expect_err("no such hook");
    assert_eq!(refused.step, Some(1));
    assert_eq!(held().await, (1, false, None));
    store.apply(vec![set, named()], "git").await.expect("set");
    assert_eq!(held().await, (1, true, Some(CANARY.to_owned())));
    let events = store.events(EventQuery::default()).await.expect("read");
    let said: Vec<String> = events.iter().map(|e| e.event.kind.headline()).collect();
    assert_eq!(said.len(), 2, "{said:?}");
}

async fn a_secret_stands_in_no_row_and_no_event(place: Place) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = place.open().await;
    store.unlock(&dir.path().join("key")).await.expect("a key");
    let name = "root".parse().expect("a name");
    store
        .put_secret(&name, Secret::new(CANARY), "ann")
        .await
        .expect("set");
    let events = store.events(EventQuery::default()).await.expect("events");
    let told = format!("{events:?} {:?}", store.catalog());
    assert!(told.contains("secret 'root' set") && !told.contains(CANARY));
    store.close().await;
    // Everything that SQLite wrote; PostgreSQL got the same statements.
    if let Some(file) = place.url.strip_prefix("sqlite:") {
        for suffix in ["", "-wal"] {
            let octets = std::fs::read(format!("{file}{suffix}")).unwrap_or_default();
            let found = octets.windows(CANARY.len()).any(|w| w == CANARY.as_bytes());
            assert!(!found, "{file}{suffix}");
        }
    }
}

async fn installing(place: &Place) -> (Store, MachineId) {
    let store = place.open().await;
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("stored");
    let new = common::named("a", &[1]);
    let id = store
        .create_machine(new, "ann")
        .await
        .expect("created")
        .machine
        .id;
    let arming = Arming {
        kind: RunKind::Install,
        profile: "debian-12".parse().expect("a name"),
        limit: Site::default().install_limit,
        not_before: None,
        window: None,
        force: false,
    };
    store.arm(&[id], arming, "ann").await.expect("armed");
    for happening in [Happening::Asked, Happening::HandedOver] {
        store
            .happen(&[id], happening, "machine")
            .await
            .expect("stored");
    }
    assert_eq!(store.machine(id).expect("there").machine.macs, [mac(1)]);
    (store, id)
}

fn link(store: &Store, machine: MachineId, try_number: u8) -> VerifiedLink {
    let record = store.machine(machine).expect("there");
    VerifiedLink {
        purpose: LinkPurpose::Report,
        machine,
        run: record.machine.run.as_ref().expect("a run").id.0,
        try_number,
        expires: Timestamp(i64::MAX),
    }
}

/// By the door that a machine's link opens, in whatever state its run is.
async fn a_report_is_taken_as_the_run_stands(place: Place) {
    let store = place.open().await;
    let stored = store.put_profile(profile("debian-12"), "ann").await;
    stored.expect("stored");
    let side = MachineSide::from(store.clone());
    let done = || Report::Done;
    let failed = || Report::Failed {
        why: "no disk".to_owned(),
    };
    let phase = || Report::Phase {
        text: "partitioning".to_owned(),
        to_disk: false,
    };
    let hold = || {
        let note = String::new();
        Happening::Ordered(Order::Hold { note })
    };
    let tick = || Happening::Tick { week_minute: 0 };
    use Happening::{Asked, HandedOver, Ordered, Reported};
    use Heard::{Again, OutOfDate, Stored};
    let cases = [
        ("never asked", vec![], 1, done(), OutOfDate, "armed"),
        ("granted", vec![Asked], 1, phase(), Stored, "installing"),
        ("granted", vec![Asked], 1, done(), Stored, "installed"),
        ("another try", vec![Asked], 2, done(), OutOfDate, "armed"),
        ("no try", vec![Asked], 0, done(), OutOfDate, "armed"),
        (
            "handed over",
            vec![Asked, HandedOver],
            1,
            done(),
            Stored,
            "installed",
        ),
        (
            "handed over",
            vec![Asked, HandedOver],
            1,
            failed(),
            Stored,
            "failed",
        ),
        (
            "its second try",
            vec![Asked, HandedOver, Asked],
            2,
            phase(),
            Stored,
            "installing",
        ),
        (
            "held",
            vec![Asked, HandedOver, hold()],
            1,
            done(),
            Stored,
            "installed",
        ),
        (
            "held",
            vec![Asked, HandedOver, hold()],
            1,
            phase(),
            OutOfDate,
            "held",
        ),
        (
            "done",
            vec![Asked, HandedOver, Reported(done())],
            1,
            done(),
            Again,
            "installed",
        ),
        (
            "done",
            vec![Asked, HandedOver, Reported(done())],
            1,
            failed(),
            OutOfDate,
            "installed",
        ),
        (
            "failed",
            vec![Asked, HandedOver, Reported(failed())],
            1,
            failed(),
            Again,
            "failed",
        ),
        (
            "failed",
            vec![Asked, HandedOver, Reported(failed())],
            1,
            done(),
            OutOfDate,
            "failed",
        ),
        (
            "called off",
            vec![Asked, Ordered(Order::Cancel)],
            1,
            done(),
            OutOfDate,
            "cancelled",
        ),
        (
            "nothing silent yet",
            vec![Asked, tick()],
            1,
            done(),
            Stored,
            "installed",
        ),
    ];
    for (n, (name, before, attempt, report, heard, state)) in (1..).zip(cases) {
        let id = common::machine(&store, &format!("node-{n}"), &[n]).await;
        let order = common::install();
        store.arm(&[id], order, "ann").await.expect("ordered");
        for happening in before {
            let changed = store.happen(&[id], happening, "test").await;
            changed.expect("stored");
        }
        let said = side
            .report(&link(&store, id, attempt), report.clone())
            .await;
        assert_eq!(said.expect("told"), heard, "{name}: {report:?}");
        let run = common::run(&store, id);
        assert_eq!(run.state.slug(), state, "{name}: {report:?}");
        if heard == Stored {
            assert_eq!(
                run.tries, attempt,
                "{name}: the try that reports is counted"
            );
        }
    }
    drop(side);
    let before: Vec<_> = store.machines().into_iter().map(|r| r.machine).collect();
    let store = place.reopen(store).await;
    let after: Vec<_> = store.machines().into_iter().map(|r| r.machine).collect();
    assert_eq!(after, before, "durable before it was acknowledged");
}

async fn a_report_belongs_to_one_run(place: Place) {
    let (store, id) = installing(&place).await;
    let side = MachineSide::from(store.clone());
    let mut foreign = link(&store, id, 1);
    foreign.run += 1;
    let said = side.report(&foreign, Report::Done).await;
    assert_eq!(said.expect("told"), Heard::OutOfDate);
    assert_eq!(common::run(&store, id).state, RunState::Installing);
    foreign.machine = MachineId(99);
    let nobody = side.report(&foreign, Report::Done).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
}

async fn an_answer_for_one_use_is_fetched_once_a_try(place: Place) {
    let (store, id) = installing(&place).await;
    let side = MachineSide::from(store.clone());
    let from = Some(Ipv4Addr::new(10, 0, 0, 9));
    for (attempt, name, first) in [
        (1, "user-data", true),
        (1, "user-data", false),
        (1, "meta-data", true),
        (2, "user-data", true),
    ] {
        let link = link(&store, id, attempt);
        let used = side.use_once(&link, name, from).await.expect("noted");
        assert_eq!(used, first, "{attempt} {name}");
    }
    drop(side);
    let store = place.reopen(store).await;
    let side = MachineSide::from(store.clone());
    assert!(
        !side
            .use_once(&link(&store, id, 1), "user-data", from)
            .await
            .expect("noted")
    );
}
