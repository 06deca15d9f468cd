//! The people's pages with sample machines, to look at while working on templates and styles:
//! `cargo run -p web --example ui_demo [port]`. Prints where to go and how to log in. With
//! `empty` as second argument nothing is filled in; with `open` nobody needs to log in (for
//! screenshots); with `live` new machines appear every few seconds.

#[path = "../tests/support/mod.rs"]
mod support;

use bootplan::run::{Happening, Order, Report};
use bootplan::{Arming, MachineId, RunKind, Timestamp, Transport};
use std::time::Duration;
use store::Sighting;
use tokio::net::TcpListener;
use web::listen::{Budget, serve};
use web::people::{Actor, Via, auth, router};
use web::transfers::{Beginning, Direction, Ending, Transfers};

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().and_then(|p| p.parse().ok()).unwrap_or(0);
    let mode = args.next().unwrap_or_default();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = support::empty(dir.path()).await;
    if mode != "empty" {
        support::fill(&store).await;
        orders(&store).await;
        questions(&store).await;
        switches(&store).await;
    }
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("the port is free");
    let address = listener.local_addr().expect("bound");
    let token = auth::setup_token(&store).await.expect("the store answers");
    println!(
        "http://{address}/setup?token={}",
        token.expect("a new store has no user")
    );
    let client = reach::Client::new(reach::Allowed(Vec::new()));
    let none = std::sync::Arc::new(|_: &str| None);
    let state = support::state(&store).with_power(client, "ipmitool", none);
    let app = router(match mode.as_str() {
        "empty" => state,
        _ => {
            let transfers = Transfers::default();
            tokio::spawn(transfer(transfers.clone()));
            let images = support::images(dir.path());
            state
                .with_fetcher(support::fetcher(dir.path(), &images))
                .with_image_store(images)
                .with_drop_boxes(support::drop_boxes(dir.path()))
                .with_transfers(transfers)
        }
    });
    let visitor = Actor {
        name: "morgan".to_owned(),
        via: Via::Session,
    };
    let app = match mode.as_str() {
        "open" | "empty" => app.layer(axum::Extension(visitor)),
        _ => app,
    };
    if mode == "live" {
        tokio::spawn(async move {
            for n in 20.. {
                tokio::time::sleep(Duration::from_secs(4)).await;
                let sighting = Sighting::of(support::mac(n), Timestamp(support::now()));
                let _ = store.sight(sighting).await;
            }
        });
    }
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(listener, app, Budget::people(), stop).await;
}

/// Machines in each state of an installation, and a queue.
async fn orders(store: &store::Store) {
    let site = bootplan::Site {
        install_slots: 2,
        ..store.site()
    };
    store.set_site(site, "morgan").await.expect("stored");
    let ids: Vec<MachineId> = (2..=7).map(MachineId).collect();
    let arming = Arming {
        kind: RunKind::Install,
        profile: "debian-12".parse().expect("a slug"),
        limit: store.site().install_limit,
        not_before: None,
        window: None,
        force: false,
    };
    store.arm(&ids, arming, "morgan").await.expect("ordered");
    let phase = Happening::Reported(Report::Phase {
        text: "partitioning".to_owned(),
        to_disk: false,
    });
    let hold = Happening::Ordered(Order::Hold {
        note: "PSU 2 is dead".to_owned(),
    });
    for (id, happening) in [
        (2, Happening::Asked),
        (2, Happening::HandedOver),
        (2, Happening::Reported(Report::Done)),
        (3, hold),
        (4, Happening::Asked),
        (4, Happening::HandedOver),
        (4, phase),
        (5, Happening::Asked),
        (6, Happening::Asked),
        (7, Happening::Asked),
    ] {
        let ids = [MachineId(id)];
        store.happen(&ids, happening, "demo").await.expect("stored");
    }
}

/// A controller that nobody has, a card that wakes, and what people wrote about them.
async fn switches(store: &store::Store) {
    let notes = "PSU 2 is dead\nspare: shelf 4, <b>left</b>";
    let change = store::MachineChange {
        notes: Some(notes.to_owned()),
        ..store::MachineChange::default()
    };
    let id = MachineId(1);
    let saved = store.update_machine(id, change, "morgan");
    saved.await.expect("stored");
    for (id, power) in [
        (
            1,
            r#"{"redfish": {"url": "http://127.0.0.1:9", "user": "admin"}}"#,
        ),
        (2, r#"{"wake": true}"#),
    ] {
        let power = serde_json::from_str(power).expect("a power switch");
        let set = store.set_power(MachineId(id), power, "morgan");
        set.await.expect("stored");
    }
}

/// A second card, and an adapter that three laptops used.
async fn questions(store: &store::Store) {
    let said = [
        (120, 1),
        (120, 1),
        (121, 1),
        (122, 2),
        (122, 2),
        (122, 3),
        (122, 4),
    ];
    for (card, board) in said {
        let uuid = format!("{board}2345678-9abc-def0-1122-334455667788");
        let sighting = Sighting {
            uuid: uuid.parse().ok(),
            product: Some("Latitude 7440".to_owned()),
            ..Sighting::of(support::mac(card), Timestamp(support::now()))
        };
        store.sight(sighting).await.expect("seen");
    }
}

/// Three transfers that go on and on: a sound one, a lossy one, an upload without an announced length.
async fn transfer(transfers: Transfers) {
    let begin = |n: usize, direction, transport, path: &str, total| {
        let last = support::mac(n).0[5];
        transfers.begin(Beginning {
            direction,
            transport,
            peer: ([192, 168, 77, last], 2070).into(),
            mac: Some(support::mac(n)),
            path: path.to_owned(),
            total,
        })
    };
    let (read, write) = (Direction::Read, Direction::Write);
    let (tftp, http) = (Transport::Tftp, Transport::Http);
    loop {
        let sound = begin(
            0,
            read,
            http,
            "images/debian-12/initrd.gz",
            Some(41_120_334),
        );
        let lossy = begin(1, read, tftp, "images/debian-12/linux", Some(8_231_872));
        let upload = begin(40, write, tftp, "configs/core/sw1.cfg", None);
        for tick in 1..60 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            sound.advance(tick * 680_000);
            lossy.advance(tick * 130_000);
            lossy.repeated(tick, tick * 9);
            lossy.round_trip(Duration::from_micros(4_200));
            upload.advance(tick * 512);
        }
        sound.finish(Ending::Completed);
        lossy.finish(Ending::Vanished);
        upload.finish(Ending::Completed);
    }
}
