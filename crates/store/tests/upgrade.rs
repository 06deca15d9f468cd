//! Databases of every release so far, with rows in each of their tables as that release wrote them:
//! opened by this one, nothing is missing, and work goes on.

mod common;

use bootplan::{EventKind, HeldWhy, Mode, RunState, Secret};
use common::{Place, at, install, mac};
use sha2::{Digest, Sha256};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyPool, SqlStr};
use std::borrow::Cow;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use store::{EventQuery, MasterKey, Sealer, Store};

/// What a release added to the schema, and rows that it filled it with.
struct Release {
    version: i64,
    what: &'static str,
    schema: &'static str,
    rows: &'static str,
}

macro_rules! release {
    ($version:literal, $what:literal) => {
        Release {
            version: $version,
            what: $what,
            schema: include_str!(concat!("../migrations/000", $version, "_", $what, ".sql")),
            rows: include_str!(concat!("upgrade/000", $version, "_", $what, ".sql")),
        }
    };
}

/// Those whose schema came before today's. A new migration gets its line here, and its rows beside
/// the others; without them it is upgraded to, and not from.
const RELEASES: [Release; 7] = [
    release!(1, "initial"),
    release!(2, "orders"),
    release!(3, "answers"),
    release!(4, "power"),
    release!(5, "hooks"),
    release!(7, "identity"),
    release!(8, "applied"),
];

#[tokio::test]
async fn every_release_is_upgraded_in_sqlite() {
    for releases in 1..=RELEASES.len() {
        upgraded(&Place::sqlite(), &RELEASES[..releases]).await;
    }
}

#[tokio::test]
async fn every_release_is_upgraded_in_postgres() {
    let mut server = common::postgres::Postgres::start();
    for releases in 1..=RELEASES.len() {
        let place = Place::at(server.database().await);
        upgraded(&place, &RELEASES[..releases]).await;
    }
}

async fn upgraded(place: &Place, releases: &[Release]) {
    filled(place, releases).await;
    let newest = releases.last().expect("one").version;
    eprintln!("a database of version {newest}");
    let mut store = place.open().await;
    for round in ["as it was", "once more"] {
        for release in releases {
            eprintln!("version {}, {round}", release.version);
            match release.version {
                1 => first_release(&store).await,
                2 => orders(&store),
                3 => answers(&store).await,
                4 => power(&store).await,
                5 => hooks(&store).await,
                7 => identity(&store),
                8 => applied(&store).await,
                other => panic!("nobody looks for the rows of version {other}"),
            }
        }
        store = place.reopen(store).await;
    }
    goes_on(place, store).await;
}

/// As the release with these migrations left it.
async fn filled(place: &Place, releases: &[Release]) {
    sqlx::any::install_default_drivers();
    let url = place.url.replace("sqlite:", "sqlite://");
    if let Some(path) = place.url.strip_prefix("sqlite:") {
        std::fs::File::create(path).expect("made");
    }
    let pool = AnyPool::connect(&url).await.expect("opens");
    for count in 1..=releases.len() {
        let migrations = releases[..count].iter().map(|release| {
            Migration::new(
                release.version,
                Cow::Borrowed(release.what),
                MigrationType::Simple,
                SqlStr::from_static(release.schema),
                false,
            )
        });
        let migrator = Migrator::with_migrations(migrations.collect());
        migrator.run(&pool).await.expect("migrated");
        let release = &releases[count - 1];
        let rows = release.rows.replace("SEALED", &sealed());
        let rows = rows.replace("SESSION", &hash("session-secret"));
        let rows = rows.replace("TOKEN", &hash("token-secret"));
        for statement in rows.split(";\n").filter(|s| !s.trim().is_empty()) {
            let statement = sqlx::AssertSqlSafe(statement.to_owned());
            let run = sqlx::query(statement).execute(&pool).await;
            run.unwrap_or_else(|error| panic!("{}: {error}", release.what));
        }
    }
    pool.close().await;
}

const KEY: [u8; 32] = [7; 32];

fn sealed() -> String {
    let sealer = Sealer::new(&MasterKey::new(KEY));
    let sealed = sealer.seal("root-password-hash", "site", &Secret::new("$6$salt$abc"));
    sealed.expect("short")
}

fn hash(secret: &str) -> String {
    let octets = Sha256::digest(secret.as_bytes());
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

async fn first_release(store: &Store) {
    assert_eq!(store.site().menu_timeout_s, 17);
    let catalog = store.catalog();
    let profile = catalog.profile(&"debian-12".parse().expect("a slug"));
    assert_eq!(profile.expect("kept").title, "Debian 12");
    let machine = store.machine_named("NODE-1").expect("kept");
    assert_eq!(machine.first_seen, at(0));
    assert_eq!(machine.last_seen, Some(at(5)));
    let machine = machine.machine;
    assert_eq!(machine.macs, [mac(1), mac(2)]);
    let uuid = machine.uuid.expect("kept").to_string();
    assert_eq!(uuid, "12345678-9abc-def0-1122-334455667788");
    assert_eq!(machine.serial.as_deref(), Some("S1"));
    assert_eq!(machine.labels["rack"], "1");
    assert_eq!(machine.profile, Some("debian-12".parse().expect("a slug")));
    assert_eq!(machine.mode, Mode::Always);
    assert_eq!(machine.facts.product.as_deref(), Some("T \"1\" 'é'"));
    let stranger = store.machine_named("02-00-00-00-00-03").expect("kept");
    assert_eq!(stranger.machine.macs, [mac(3)]);

    let events = store.events(EventQuery::default()).await.expect("readable");
    let oldest = events.last().expect("kept");
    assert_eq!(oldest.event.at, at(1));
    assert!(matches!(&oldest.event.kind, EventKind::Changed { by, .. } if by == "ann"));
    let user = store.user("Ann").await.expect("readable").expect("kept");
    assert_eq!(user.name, "ann");
    let session = store.session("session-secret").await.expect("readable");
    assert_eq!(session.expect("still signed in").user, "ann");
    let token = store.token("token-secret").await.expect("readable");
    assert_eq!(token.expect("kept").name, "backup");
}

fn orders(store: &Store) {
    let rules = store.rules();
    assert_eq!(rules[0].name.as_str(), "web");
    let machine = store.machine_named("db-1").expect("kept").machine;
    assert_eq!(machine.mode, Mode::InstallOnce);
    assert_eq!(
        (&*machine.notes, machine.asset.as_deref()),
        ("slow", Some("42"))
    );
    let run = machine.run.clone().expect("its order");
    let why = HeldWhy::Tries { tries: 3 };
    assert_eq!(run.state, RunState::Held { why });
    assert_eq!((run.tries, run.by.as_str()), (3, "ann"));
    assert_eq!(store.conflicts()[0].mac, mac(3));
    assert_eq!(store.shared_macs()[0].why, "the dock in room 7");
}

async fn answers(store: &Store) {
    let catalog = store.catalog();
    let objects = catalog.objects();
    let template = &objects.templates["preseed"];
    assert_eq!(template, "d-i passwd/root-login boolean {{ root }}\n");
    assert_eq!(objects.groups[0].name.as_str(), "rack1");
    let machine = store.machine_named("db-1").expect("kept").machine;
    assert_eq!(machine.variables.get("hostname"), Some(&"db".into()));
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("secret.key");
    std::fs::write(&key, KEY).expect("written");
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("private");
    store.unlock(&key).await.expect("the same key");
    assert_eq!(
        store.secrets()["root-password-hash"].expose(),
        "$6$salt$abc"
    );
}

async fn power(store: &Store) {
    let id = store.machine_named("db-1").expect("kept").machine.id;
    let power = store.power(id).await.expect("readable");
    assert_eq!(power.redfish.expect("kept").password_secret, "power.db-1");
    assert!(power.wake);
}

async fn hooks(store: &Store) {
    let hooks = store.hook_statuses().await.expect("readable");
    assert_eq!(hooks[0].hook.name, "chat");
    assert_eq!((hooks[0].told, hooks[0].waiting), (Some(at(3)), 1));
}

fn identity(store: &Store) {
    let conflicts = store.conflicts();
    assert!(conflicts[0].claims.iter().any(|claim| claim.uuid.is_some()));
}

async fn applied(store: &Store) {
    let marks = store.marks().await.expect("readable");
    let mark = marks.get("profile", "debian-12").expect("kept");
    assert_eq!((mark.by.as_str(), mark.at), ("ann", at(4)));
}

/// New rows find their place beside the old ones: identities go on where they were.
async fn goes_on(place: &Place, store: Store) {
    let before: Vec<_> = store.machines().iter().map(|m| m.machine.id).collect();
    let new = common::machine(&store, "new", &[77]).await;
    assert!(!before.contains(&new));
    let arming = install();
    store.arm(&[new], arming, "ann").await.expect("ordered");
    let store = place.reopen(store).await;
    assert!(store.machine(new).expect("there").machine.run.is_some());
    let events = store.events(EventQuery::default()).await.expect("readable");
    let newest = &events.first().expect("the newest").event;
    assert!(newest.at > at(10), "told after what was there: {newest:?}");
    store.close().await;
}
