//! What programs are told about transfers.

mod support;

use bootplan::{MacAddr, Transport};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use std::time::Duration;
use support::site::{Answer, Site, request};
use web::transfers::{Beginning, Direction, Running};

/// A transfer of the sample machine `forge-01`, or of nobody.
fn begin(site: &Site, direction: Direction, mac: Option<MacAddr>) -> Running {
    site.transfers.begin(Beginning {
        direction,
        transport: Transport::Tftp,
        peer: ([192, 168, 77, 100], 2070).into(),
        mac,
        path: "images/debian-12/initrd.gz".to_owned(),
        total: Some(41_120_334),
    })
}

async fn with_token(site: &Site, path: &str, secret: &str) -> Answer {
    let mut asked = request(Method::GET, path, "", "");
    let value = format!("Bearer {secret}").parse().expect("value");
    asked.headers_mut().insert(header::AUTHORIZATION, value);
    site.send(asked).await
}

#[tokio::test]
async fn transfers_are_listed_while_they_run() {
    let (site, cookie) = Site::full().await;
    let first = begin(&site, Direction::Read, Some(support::mac(0)));
    first.advance(10_000_000);
    first.repeated(3, 48);
    first.round_trip(Duration::from_micros(420));
    let second = begin(&site, Direction::Write, None);
    let list = async || {
        let answer = site.get("/api/v1/transfers", &cookie).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let value: Value = serde_json::from_str(&answer.body).expect("JSON");
        value["transfers"].as_array().expect("a list").clone()
    };
    let mut listed = list().await;
    for transfer in &mut listed {
        let started = transfer["started"].take().as_i64().expect("milliseconds");
        assert!((support::now() - started).abs() < 60_000, "{started}");
    }
    let expected = json!([
        {"id": 0, "direction": "read", "transport": "tftp", "ip": "192.168.77.100",
            "mac": support::mac(0), "machine": "forge-01", "path": "images/debian-12/initrd.gz",
            "started": null, "bytes": 10_000_000, "total": 41_120_334, "windows_repeated": 3,
            "round_trip_micros": 420},
        {"id": 1, "direction": "write", "transport": "tftp", "ip": "192.168.77.100",
            "mac": null, "machine": null, "path": "images/debian-12/initrd.gz",
            "started": null, "bytes": 0, "total": 41_120_334, "windows_repeated": 0,
            "round_trip_micros": null},
    ]);
    assert_eq!(Value::Array(listed), expected);
    drop((first, second));
    assert!(list().await.is_empty());

    let token = site.store.create_token("morgan", "ci", None).await;
    let (_, secret) = token.expect("created");
    for (secret, status) in [
        (secret.as_str(), StatusCode::OK),
        ("guess", StatusCode::UNAUTHORIZED),
    ] {
        let answer = with_token(&site, "/api/v1/transfers", secret).await;
        assert_eq!(answer.status, status);
    }
}
