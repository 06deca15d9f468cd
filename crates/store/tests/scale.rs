//! Ten thousand machines.

mod common;

use common::{Place, at, mac, profile};
use std::time::{Duration, Instant};
use store::{Sighting, StoreOptions};

#[tokio::test]
async fn ten_thousand_machines_open_and_change_fast() {
    const MACHINES: u32 = 10_000;
    let place = Place::sqlite();
    let options = StoreOptions {
        discovered_limit: MACHINES as usize,
    };
    let store = place.open_with(options.clone()).await;
    store
        .put_profile(profile("debian-12"), "ann")
        .await
        .expect("stored");
    for batch in 0..10 {
        let cards = batch * 1000..(batch + 1) * 1000;
        let batch = cards.map(|n| Sighting::of(mac(n), at(0))).collect();
        store.sight_all(batch).await.expect("seen");
    }
    let ids: Vec<_> = store.machines().iter().map(|m| m.machine.id).collect();
    let target: Option<bootplan::ProfileName> = "debian-12".parse().ok();
    let started = Instant::now();
    store
        .assign(&ids, target.clone(), "ann")
        .await
        .expect("assigned");
    let all = started.elapsed();
    store.close().await;
    drop(store);

    let started = Instant::now();
    let store = place.open_with(options).await;
    let opened = started.elapsed();
    assert_eq!(store.machines().len(), MACHINES as usize);
    let started = Instant::now();
    store
        .assign(&ids[..1], None, "ann")
        .await
        .expect("assigned");
    let one = started.elapsed();
    eprintln!("assign all {all:?}, open {opened:?}, assign one {one:?}");
    // Unoptimised and beside other tests; optimised it is a tenth of that.
    assert!(opened < Duration::from_secs(5), "{opened:?}");
    assert!(one < Duration::from_secs(1), "{one:?}");
    store.close().await;
}
