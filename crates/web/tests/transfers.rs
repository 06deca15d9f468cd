//! What people and programs are told about transfers.

mod support;

use bootplan::{MacAddr, Transport};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::site::{Answer, Site, request};
use web::transfers::{Beginning, Direction, Ending, Running};

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
    let all = async || -> Value {
        let answer = site.get("/api/v1/transfers", &cookie).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    };
    let list = async || all().await["transfers"].as_array().expect("a list").clone();
    let mut listed = list().await;
    for transfer in &mut listed {
        let started = transfer["started"].take().as_i64().expect("milliseconds");
        assert!((support::now() - started).abs() < 60_000, "{started}");
        let rate = transfer["bytes_per_second"].take();
        assert_eq!(rate.as_u64() > Some(0), transfer["bytes"] != 0, "{rate}");
    }
    let expected = json!([
        {"id": 0, "direction": "read", "transport": "tftp", "ip": "192.168.77.100",
            "mac": support::mac(0), "machine": "forge-01", "path": "images/debian-12/initrd.gz",
            "started": null, "bytes": 10_000_000, "bytes_per_second": null, "total": 41_120_334, "windows_repeated": 3,
            "retransmits": 48, "round_trip_micros": 420},
        {"id": 1, "direction": "write", "transport": "tftp", "ip": "192.168.77.100",
            "mac": null, "machine": null, "path": "images/debian-12/initrd.gz",
            "started": null, "bytes": 0, "bytes_per_second": null, "total": 41_120_334, "windows_repeated": 0,
            "retransmits": 0, "round_trip_micros": null},
    ]);
    assert_eq!(Value::Array(listed), expected);
    first.finish(Ending::Completed);
    drop(second);
    assert!(list().await.is_empty());
    let totals = |direction, completed: u64, failed: u64, bytes: u64, again: (u64, u64)| {
        json!({"transport": "tftp", "direction": direction, "completed": completed,
            "size_probes": 0, "aborted": 0, "vanished": 0, "cut": 0, "failed": failed, "bytes": bytes,
            "windows_repeated": again.0, "retransmits": again.1})
    };
    assert_eq!(
        all().await["totals"],
        json!([
            totals("read", 1, 0, 10_000_000, (3, 48)),
            totals("write", 0, 1, 0, (0, 0)),
        ])
    );

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

/// The rows of the transfers on a page, as text between tags.
fn rows(page: &str) -> Vec<String> {
    let rows = page
        .split("<li")
        .filter(|row| row.contains("data-testid=\"transfer\""));
    let text = |row: &str| {
        let row = row.split("</li>").next().unwrap_or_default();
        let pieces = row.split('<').skip(1).filter_map(|tag| tag.split_once('>'));
        let words: Vec<&str> = pieces.map(|(_, text)| text.trim()).collect();
        words
            .join(" ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    rows.map(text).collect()
}

#[tokio::test]
async fn people_see_how_far_transfers_are() {
    let (site, cookie) = Site::full().await;
    let idle = site.get("/boots", &cookie).await.body;
    assert!(
        idle.contains("aria-labelledby=\"h-moving\" hidden>"),
        "nothing to see"
    );
    let read = begin(&site, Direction::Read, Some(support::mac(0)));
    read.advance(10_280_084);
    read.repeated(3, 48);
    read.round_trip(Duration::from_micros(420));
    let hostile = site.transfers.begin(Beginning {
        direction: Direction::Write,
        transport: Transport::Tftp,
        peer: ([192, 168, 77, 101], 2070).into(),
        mac: None,
        path: "configs/<img src=x>\u{202e}".to_owned(),
        total: None,
    });
    // A rate is measured against the clock.
    let without_rate = |row: String| {
        let (before, after) = row.split_once(", ").expect("amount, rate");
        let (_, after) = after.split_once("/s").expect("a rate");
        format!("{before}{after}")
    };
    let forge = "TFTP forge-01 images/debian-12/initrd.gz 10.3 MB of 41.1 MB \
        round trip 0.4 ms, 3 windows repeated";
    let switch = "TFTP 192.168.77.101 stores configs/&#60;img src=x&#62;\u{fffd} 0 B";
    for (path, expected) in [
        ("/boots", &[forge, switch][..]),
        ("/status", &[forge, switch]),
        // Whose page it is stands above.
        ("/machines/1", &[&*forge.replace("forge-01 ", "")]),
        ("/machines/2", &[]),
    ] {
        let page = site.get(path, &cookie).await.body;
        let shown: Vec<String> = rows(&page).into_iter().map(without_rate).collect();
        assert_eq!(shown, expected, "{path}");
        let known = page.matches("<progress max=\"100\" value=\"25\"").count();
        assert_eq!(known, usize::from(!expected.is_empty()), "{path}");
    }
    let storm: Vec<Running> = (0..30)
        .map(|_| begin(&site, Direction::Read, None))
        .collect();
    let page = site.get("/status", &cookie).await.body;
    assert_eq!(rows(&page).len(), 20);
    assert!(page.contains("and 12 more") && page.contains("32 under way, "));
    drop(hostile);
    read.finish(Ending::Completed);
    drop(storm);
    let over = site.get("/status", &cookie).await.body;
    assert!(over.contains("TFTP, stored") && !over.contains("under way, "));
}

/// Samples by series, and which families there are, from the text exposition format 0.0.4; what
/// it does not allow is a panic.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_numeric())
    };
    assert!(text.ends_with('\n'), "the last line ends, too");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut helped, mut family) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a name and words");
            assert!(is_name(name) && !words.is_empty(), "{line}");
            assert!(families.insert(name.to_owned()), "begun twice: {line}");
            helped = name.to_owned();
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a type");
            assert_eq!(name, helped, "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            family = name.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a series and a value");
        let name = match series.split_once('{') {
            None => series,
            Some((name, labels)) => {
                let labels = labels.strip_suffix('}').expect("closed");
                for label in labels.split(',') {
                    let (label, value) = label.split_once('=').expect("a label and a value");
                    assert!(is_name(label) && !label.starts_with("__"), "{line}");
                    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                    let value = value.expect("quoted");
                    assert!(!value.contains(['"', '\\']), "{line}");
                }
                name
            }
        };
        assert!(is_name(name), "{line}");
        assert_eq!(name, family, "outside its family: {line}");
        let value: f64 = value.parse().expect("a number");
        let before = samples.insert(series.to_owned(), value);
        assert_eq!(before, None, "told twice: {line}");
    }
    samples
}

#[tokio::test]
async fn metrics_are_for_prometheus_with_a_token_and_for_no_stranger() {
    let (site, cookie) = Site::full().await;
    let done = begin(&site, Direction::Read, Some(support::mac(0)));
    done.advance(1_000);
    done.repeated(2, 16);
    done.finish(Ending::Completed);
    let running = begin(&site, Direction::Write, None);
    running.advance(24);

    for (path, answer) in [
        ("no login", site.get("/metrics", "").await),
        ("guessed", with_token(&site, "/metrics", "guess").await),
    ] {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(!answer.body.contains("farrier_"), "{path}");
    }
    site.transfers.set_half_open(3);
    site.transfers.refuse(Transport::Tftp, "not-found");
    let token = site.store.create_token("morgan", "prometheus", None).await;
    let (_, secret) = token.expect("created");
    let answer = with_token(&site, "/metrics", &secret).await;
    assert_eq!(answer.status, StatusCode::OK);
    let kind = answer.header("content-type");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let samples = parsed(&answer.body);
    let tftp = "transport=\"tftp\",direction";
    for (series, value) in [
        (
            format!("farrier_transfers_total{{{tftp}=\"read\",outcome=\"completed\"}}"),
            1.0,
        ),
        (
            format!("farrier_transfers_total{{{tftp}=\"write\",outcome=\"failed\"}}"),
            0.0,
        ),
        (
            format!("farrier_transfer_bytes_total{{{tftp}=\"read\"}}"),
            1_000.0,
        ),
        (
            format!("farrier_transfer_bytes_total{{{tftp}=\"write\"}}"),
            24.0,
        ),
        ("farrier_transfers_active".to_owned(), 1.0),
        ("farrier_tftp_half_open".to_owned(), 3.0),
        (
            "farrier_requests_refused_total{transport=\"tftp\",reason=\"not-found\"}".to_owned(),
            1.0,
        ),
        (
            "farrier_requests_refused_total{transport=\"http\",reason=\"not-found\"}".to_owned(),
            0.0,
        ),
        (
            "farrier_requests_refused_total{transport=\"tftp\",reason=\"upload-quota\"}".to_owned(),
            0.0,
        ),
        ("farrier_tftp_retransmits_total".to_owned(), 16.0),
        ("farrier_http_retransmits_total".to_owned(), 0.0),
        ("farrier_tftp_windows_repeated_total".to_owned(), 2.0),
        (
            "farrier_transfers_total{transport=\"http\",direction=\"read\",outcome=\"vanished\"}"
                .to_owned(),
            0.0,
        ),
        ("farrier_cache_budget_bytes".to_owned(), 1_048_576.0),
        ("farrier_cache_hits_total".to_owned(), 0.0),
        (
            "farrier_requests_ignored_total{port=\"67\",reason=\"no-pxe-class\"}".to_owned(),
            412.0,
        ),
        ("farrier_dhcp_answers_total{port=\"4011\"}".to_owned(), 31.0),
        (
            "farrier_events_lost_total{reason=\"queue\"}".to_owned(),
            0.0,
        ),
        (
            "farrier_events_lost_total{reason=\"strangers\"}".to_owned(),
            7.0,
        ),
        ("farrier_build_info{version=\"0.1.0\"}".to_owned(), 1.0),
    ] {
        assert_eq!(
            samples.get(&series),
            Some(&value),
            "{series}\n{}",
            answer.body
        );
    }
    let tftp = "farrier_dhcp_answers_total{port=\"69\"}";
    assert_eq!(samples.get(tftp), None, "its answers are transfers");
    let age = support::now() as f64 / 1000.0 - samples["farrier_start_time_seconds"];
    assert!((7_400.0..7_500.0).contains(&age), "{age}");
    for private in ["192.168.77.100", "initrd", "forge-01"] {
        assert!(!answer.body.contains(private), "{private}");
    }
    let person = site.get("/metrics", &cookie).await;
    assert_eq!(person.status, StatusCode::OK);
}
