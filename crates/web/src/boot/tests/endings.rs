//! What is told of a transfer at its end: how the way to the client was, and who ended it.

use super::{Plane, next_event, sparse};
use crate::listen::Budget;
use crate::transfers::Ending;
use bootfiles::DEFAULT_BUDGET;
use bootplan::EventKind;
use std::time::Duration;

const BIG: u64 = 1 << 30;

/// A plane with one file, more than the kernel holds of a connection, and a client that has begun
/// to fetch it.
async fn begun(budget: Budget) -> (Plane, crate::listen::testing::Raw) {
    let plane = Plane::with(DEFAULT_BUDGET, budget).await;
    sparse(&plane.dir.path().join("images/big.iso"), BIG);
    let mut raw = plane.served.connect().await;
    let request = "GET /images/big.iso HTTP/1.1\r\nHost: x\r\n\r\n";
    raw.send(request).await;
    raw.stream.readable().await.expect("under way");
    (plane, raw)
}

fn reason(kind: EventKind) -> String {
    match kind {
        EventKind::FileFailed { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_kernel_says_how_the_way_is() {
    let (mut plane, mut raw) = begun(Budget::boot_plane()).await;
    let listed = plane.transfers.running();
    let round_trip = listed.first().expect("listed").round_trip;
    assert!(round_trip.is_some_and(|time| time > Duration::ZERO));
    assert_eq!(raw.reply(false).await.body.len() as u64, BIG);
    let EventKind::FileServed { transfer, .. } = plane.next_event().await.1 else {
        panic!("not served");
    };
    let way = transfer.expect("measured");
    assert_eq!(way.windowsize, 0, "{way:?}");
    assert!(way.round_trip_micros.is_some_and(|micros| micros > 0));
    // What the kernel has taken and not yet sent is not among them.
    let sent = way.windows * u64::from(way.blksize);
    assert!((BIG / 2..=BIG * 2).contains(&sent), "{way:?}");

    // The second file of a connection has figures of its own; a short one has none.
    raw.send("GET /images/debian-12/linux HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    raw.reply(false).await;
    let EventKind::FileServed { transfer, .. } = plane.next_event().await.1 else {
        panic!("not served");
    };
    let second = transfer.expect("measured").windows;
    assert!(second < way.windows / 10, "{second} of {way:?}");
    plane.get("/f1500").await;
    let EventKind::FileServed { transfer, .. } = plane.next_event().await.1 else {
        panic!("not served");
    };
    assert_eq!(transfer, None);
}

#[tokio::test]
async fn a_client_that_is_cut_off_did_not_go_away() {
    let (mut plane, raw) = begun(Budget {
        rate_window: Duration::from_millis(300),
        ..Budget::boot_plane()
    })
    .await;
    let (_, kind) = plane.next_event().await;
    let EventKind::FileFailed { transfer, .. } = &kind else {
        panic!("{kind:?}");
    };
    // The connection is closed by then.
    assert!(transfer.is_some_and(|way| way.windows > 0), "{kind:?}");
    let reason = reason(kind);
    let why = "the client took it too slowly and was cut off after ";
    assert!(reason.starts_with(why), "{reason}");
    assert_eq!(plane.ended(Ending::Cut), 1);
    drop(raw);
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let (plane, raw) = begun(Budget {
        drain: Duration::from_millis(100),
        ..Budget::boot_plane()
    })
    .await;
    let Plane {
        served,
        mut reports,
        transfers,
        ..
    } = plane;
    served.stop().await;
    let reason = reason(next_event(&mut reports).await.1);
    assert!(
        reason.starts_with("the server was stopped after "),
        "{reason}"
    );
    let ended = transfers.totals().ended;
    assert_eq!(ended.values().sum::<u64>(), 1);
    assert!(ended.keys().all(|(_, _, ending)| *ending == Ending::Cut));
    drop(raw);
}
