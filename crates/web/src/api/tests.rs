//! The API over its own router: the route table, who may ask, and what is answered.

use super::{openapi_json, router, table};
use crate::people::{Actor, PeopleOptions, PeopleState, ServerStatus, Via};
use ::reach::{Allowed, Client};
use axum::body::Body;
use axum::{Extension, Router};
use bootfiles::images::ImageStore;
use bootplan::Timestamp;
use fetch::{Fetcher, Means, Patience};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::Store;
use tower::ServiceExt;

mod answers;
mod configuration;
mod every_boot;
mod fetches;
mod identity;
mod images;
mod machines;
mod orders;
mod people;
mod reach;
mod rules;

struct Api {
    router: Router,
    state: PeopleState,
    dir: tempfile::TempDir,
}

impl Api {
    async fn open() -> Api {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("farrier.db").display());
        let store = Store::open(&url).await.expect("a fresh database");
        let live = store.live();
        let status = Arc::new(|| ServerStatus {
            version: "0".to_owned(),
            started: Timestamp(0),
            interfaces: Vec::new(),
            ports: Vec::new(),
            loaders: Vec::new(),
            ignored: Default::default(),
            requests: Vec::new(),
            events_dropped: 0,
            events_left_out: 0,
            events_failed: 0,
            foreign_servers: Vec::new(),
            unassigned: Default::default(),
            files: None,
        });
        let images = ImageStore::open(&dir.path().join("images"), &dir.path().join("recipes"));
        let images = images.expect("a fresh directory");
        let means = Means {
            images: images.clone(),
            client: Client::new(Allowed(vec!["127.0.0.1".parse().expect("an address")])),
            tell: Arc::new(|_| {}),
            patience: Patience::USUAL,
            keyrings: vec![dir.path().join("keyrings")],
            recipes: dir.path().join("mirrors"),
            mirrors: Default::default(),
            releases: fetch::Releases::at(&dir.path().join("releases.json")),
        };
        let fetcher = Fetcher::open(&dir.path().join("fetches"), means);
        let state = PeopleState::new(store, live, status, PeopleOptions::default())
            .with_image_store(images)
            .with_fetcher(fetcher.expect("a fresh directory"));
        Api {
            router: router(state.clone()),
            state,
            dir,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let body = body.map_or_else(String::new, |value| value.to_string());
        let answer = self.send(method, path, "application/json", body).await;
        (
            answer.0,
            serde_json::from_str(&answer.1).unwrap_or(Value::Null),
        )
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: String,
    ) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .expect("a request");
        let signed_in = self.router.clone().layer(Extension(Actor::cli()));
        let response = signed_in.oneshot(request).await.expect("infallible");
        let status = response.status();
        if status.is_client_error() {
            assert_eq!(
                response
                    .headers()
                    .get(header::CONTENT_TYPE)
                    .map(|v| v.as_bytes()),
                Some(b"application/problem+json".as_slice()),
                "{method} {path}"
            );
        }
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }
}

/// Method and path of everything that is described.
fn described() -> Vec<(String, String)> {
    let description: Value = serde_json::from_str(&openapi_json()).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("operations").keys();
            methods.map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

fn filled(path: &str) -> String {
    path.replace("{id}", "1")
        .replace("{name}", "x")
        .replace("{kind}", "snippet")
        .replace("{mac}", "02:00:00:00:00:01")
}

#[tokio::test]
async fn every_route_is_described() {
    // The router prints its own table; nothing else in axum tells it.
    let (router, _) = table().split_for_parts();
    let printed = format!("{router:?}");
    let routed: BTreeSet<&str> = printed
        .split('"')
        // "/" and the private one are the fallback's.
        .filter(|text| text.len() > 1 && text.starts_with('/') && !text.contains("__private"))
        .collect();
    let described: BTreeSet<String> = described().into_iter().map(|(_, path)| path).collect();
    let described: BTreeSet<&str> = described.iter().map(String::as_str).collect();
    assert_eq!(routed, described);
    assert!(described.len() > 15, "{described:?}");
}

#[tokio::test]
async fn every_described_route_needs_an_actor() {
    let api = Api::open().await;
    for (method, path) in described() {
        let request = Request::builder()
            .method(method.as_str())
            .uri(filled(&path))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from("{}"))
            .expect("a request");
        let response = api
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let status = response.status();
        if path == "/openapi.json" {
            assert_eq!(status, StatusCode::OK);
            continue;
        }
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
        let kind = response.headers().get(header::CONTENT_TYPE);
        assert_eq!(
            kind.map(|v| v.as_bytes()),
            Some(b"application/problem+json".as_slice())
        );
    }
}

#[tokio::test]
async fn every_described_route_answers() {
    let api = Api::open().await;
    for (method, path) in described() {
        if path == "/events/stream" {
            continue; // never ends; has a test of its own
        }
        let (status, body) = api
            .send(&method, &filled(&path), "application/json", "{}".to_owned())
            .await;
        assert!(
            !status.is_server_error(),
            "{method} {path}: {status} {body}"
        );
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert!(
            !body.contains("no such thing as"),
            "{method} {path}: {body}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let api = Api::open().await;
    for (method, path, status) in [
        (Method::GET, "/nonsense", StatusCode::NOT_FOUND),
        (Method::GET, "/machines/7", StatusCode::NOT_FOUND),
        (Method::GET, "/machines/seven", StatusCode::BAD_REQUEST),
        (
            Method::GET,
            "/profiles/Not%20A%20Name",
            StatusCode::BAD_REQUEST,
        ),
        (Method::POST, "/machines/7", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/machines?colour=red", StatusCode::BAD_REQUEST),
        (Method::GET, "/explain", StatusCode::BAD_REQUEST),
        (
            Method::GET,
            "/machines/assign",
            StatusCode::METHOD_NOT_ALLOWED,
        ),
    ] {
        let (got, problem) = api.ask(method.as_str(), path, None).await;
        assert_eq!(got, status, "{method} {path}: {problem}");
        assert_eq!(problem["status"], status.as_u16());
        assert!(
            problem["detail"].as_str().is_some_and(|d| !d.is_empty()),
            "{problem}"
        );
    }
}

fn debian() -> Value {
    json!({"name": "debian-12", "title": "Debian 12",
        "boot": {"kind": "linux", "kernel": "debian-12/linux", "initrds": ["debian-12/initrd.gz"]}})
}

#[tokio::test]
async fn events_are_followed_as_lines_and_as_server_sent_events() {
    let api = Api::open().await;
    for (accept, begin) in [
        ("application/x-ndjson", "{\"id\":"),
        ("text/event-stream", ""),
    ] {
        let request = Request::get("/events/stream?after=0")
            .header(header::ACCEPT, accept)
            .body(Body::empty())
            .expect("a request");
        let router = api.router.clone().layer(Extension(Actor::cli()));
        let response = router.oneshot(request).await.expect("infallible");
        assert_eq!(response.headers()[header::CONTENT_TYPE], accept);
        let mut body = response.into_body();
        api.ask("PUT", "/profiles/debian-12", Some(debian())).await;
        let (_, machine) = api
            .ask(
                "POST",
                "/machines",
                Some(json!({"macs": ["52:54:00:00:00:01"], "profile": "debian-12"})),
            )
            .await;
        let mut text = String::new();
        while !text.contains("\"assigned\"") {
            let frame = tokio::time::timeout(std::time::Duration::from_secs(10), body.frame());
            let frame = frame
                .await
                .expect("in time")
                .expect("never ends")
                .expect("no error");
            text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8"));
        }
        assert!(text.starts_with(begin), "{text}");
        assert!(text.contains("\"headline\":\""), "{text}");
        api.ask("DELETE", &format!("/machines/{}", machine["id"]), None)
            .await;
        api.ask("DELETE", "/profiles/debian-12", None).await;
    }
}
