//! The people's pages with sample machines, to look at while working on templates and styles:
//! `cargo run -p web --example ui_demo [port]`. Prints where to go and how to log in. With
//! `empty` as second argument nothing is filled in; with `open` nobody needs to log in (for
//! screenshots); with `live` new machines appear every few seconds.

#[path = "../tests/support/mod.rs"]
mod support;

use bootplan::Timestamp;
use std::time::Duration;
use store::Sighting;
use tokio::net::TcpListener;
use web::listen::{Budget, serve};
use web::people::{Actor, Via, auth, router};

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().and_then(|p| p.parse().ok()).unwrap_or(0);
    let mode = args.next().unwrap_or_default();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = support::empty(dir.path()).await;
    if mode != "empty" {
        support::fill(&store).await;
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
    let state = support::state(&store);
    let app = router(match mode.as_str() {
        "empty" => state,
        _ => state.with_drop_boxes(support::drop_boxes(dir.path())),
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
