//! What people are told about a transfer by HTTP whose packets were lost.

use crate::common::wire::http_ask;
use crate::common::{Farrier, Lan, SERVER, eventually};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

const LENGTH: u64 = 1 << 30;
const PATIENCE: Duration = Duration::from_secs(30);

fn json(farrier: &Farrier<'_>, path: &str) -> Value {
    serde_json::from_str(&farrier.page(path)).expect("JSON")
}

/// The client hears, and for a while nothing that it says arrives: TCP sends again what it has.
#[test]
fn what_tcp_sends_again_is_listed_and_told() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    let big = File::create(farrier.data().join("images/test/big.iso")).expect("made");
    big.set_len(LENGTH).expect("sparse");
    farrier.start();
    let listed = || json(&farrier, "/api/v1/transfers")["transfers"][0].clone();
    // The client takes its time until then, so that the transfer is still under way when the wire fails.
    let told = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            lan.client.run(|| {
                let mut stream = http_ask(SERVER, "/images/test/big.iso");
                stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
                let (mut taken, mut piece) = (0, vec![0; 1 << 18]);
                while let Ok(read @ 1..) = stream.read(&mut piece) {
                    taken += read as u64;
                    if !told.load(Relaxed) {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                taken
            })
        });
        eventually(PATIENCE, "it is under way", || {
            (listed()["bytes"].as_u64()? > 1 << 20).then_some(())
        });
        lan.client.ip(&format!("route add blackhole {SERVER}/32"));
        eventually(PATIENCE, "repeats are listed", || {
            (listed()["retransmits"].as_u64()? >= 3).then_some(())
        });
        told.store(true, Relaxed);
        lan.client.ip(&format!("route del blackhole {SERVER}/32"));
        reader.join().expect("reads")
    });
    assert!(taken > LENGTH, "a header, and all of it: {taken}");

    let event = eventually(PATIENCE, "its event is stored", || {
        let history = json(&farrier, "/api/v1/events");
        let events = history["events"].as_array().expect("a list").clone();
        let mut events = events.into_iter();
        events.find(|event| event["path"] == "images/test/big.iso")
    });
    assert_eq!(event["event"], "file-served", "{event}");
    let way = &event["transfer"];
    assert!(way["windows_repeated"].as_u64() >= Some(3), "{event}");
    assert!(way["round_trip_micros"].as_u64() > Some(0), "{event}");
    let metrics = farrier.page("/metrics");
    let mut lines = metrics.lines();
    let repeated = lines.find_map(|line| line.strip_prefix("farrier_http_retransmits_total "));
    let repeated = repeated.and_then(|count| count.parse::<u64>().ok());
    assert!(repeated >= Some(3), "{event}\n{metrics}");
}
