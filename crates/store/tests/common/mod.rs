//! Databases to test on, and the words the tests share.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod postgres;

use bootplan::{Arming, Limit, MacAddr, MachineId, Profile, Run, RunKind, Timestamp};
use std::sync::Arc;
use store::{NewMachine, Store, StoreOptions};
use tempfile::TempDir;

/// A database of one test: opened as often as the test likes, gone afterwards.
pub(crate) struct Place {
    pub(crate) url: String,
    _dir: Option<TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Place {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Place {
            url: format!("sqlite:{}", dir.path().join("farrier.db").display()),
            _dir: Some(dir),
        }
    }

    pub(crate) fn at(url: String) -> Place {
        Place { url, _dir: None }
    }

    pub(crate) async fn open(&self) -> Store {
        self.open_with(StoreOptions::default()).await
    }

    pub(crate) async fn open_with(&self, options: StoreOptions) -> Store {
        Store::open_with(&self.url, options)
            .await
            .expect("the database opens")
    }

    /// Closes and opens again: what is there now came from the database alone.
    pub(crate) async fn reopen(&self, store: Store) -> Store {
        store.close().await;
        drop(store);
        self.open().await
    }
}

pub(crate) fn mac(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr([2, 0, a, b, c, d])
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 + seconds * 1000)
}

pub(crate) fn profile(name: &str) -> Profile {
    serde_json::from_value(serde_json::json!({
        "name": name, "title": format!("Profile {name}"), "in_menu": true,
        "boot": {"kind": "linux", "kernel": "debian-12/linux", "initrds": ["debian-12/initrd.gz"],
                 "args": "quiet priority=low"},
    }))
    .expect("well-formed")
}

pub(crate) fn named(name: &str, macs: &[u32]) -> NewMachine {
    NewMachine {
        name: Some(name.to_owned()),
        macs: macs.iter().map(|n| mac(*n)).collect(),
        ..NewMachine::default()
    }
}

pub(crate) async fn machine(store: &Store, name: &str, macs: &[u32]) -> MachineId {
    let created = store.create_machine(named(name, macs), "ann").await;
    created.expect("created").machine.id
}

/// With the profile that [`install`] orders.
pub(crate) async fn with_profile(place: &Place) -> Store {
    let store = place.open().await;
    let stored = store.put_profile(profile("debian-12"), "ann").await;
    stored.expect("stored");
    store
}

pub(crate) fn install() -> Arming {
    Arming {
        kind: RunKind::Install,
        profile: "debian-12".parse().expect("a slug"),
        limit: Limit {
            tries: 3,
            minutes: 60,
        },
        not_before: None,
        window: None,
        force: false,
    }
}

/// The run of a machine that has one.
pub(crate) fn run(store: &Store, id: MachineId) -> Arc<Run> {
    let machine = store.machine(id).expect("there").machine;
    machine.run.clone().expect("a run")
}

/// Runs each case on a fresh SQLite file, and all of them on one PostgreSQL.
#[allow(unused_macros, reason = "each test program uses its own part")]
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                super::$case($crate::common::Place::sqlite()).await;
            })*
        }

        #[tokio::test]
        async fn postgres() {
            let mut server = $crate::common::postgres::Postgres::start();
            $(
                eprintln!("on PostgreSQL: {}", stringify!($case));
                $case($crate::common::Place::at(server.database().await)).await;
            )*
        }
    };
}
#[allow(unused_imports, reason = "each test program uses its own part")]
pub(crate) use on_both;
