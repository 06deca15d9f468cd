//! The API over its own router: the route table, who may ask, and what is answered.

use super::{openapi_json, router, table};
use crate::people::{Actor, PeopleOptions, PeopleState, ServerStatus, Via};
use axum::body::Body;
use axum::{Extension, Router};
use bootplan::Timestamp;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::Store;
use tower::ServiceExt;

struct Api {
    router: Router,
    state: PeopleState,
    _dir: tempfile::TempDir,
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
        });
        let state = PeopleState::new(store, live, status, PeopleOptions::default());
        Api {
            router: router(state.clone()),
            state,
            _dir: dir,
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
    path.replace("{id}", "1").replace("{name}", "x")
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
async fn a_machine_from_entry_to_assignment() {
    let api = Api::open().await;
    let (status, _) = api.ask("PUT", "/profiles/debian-12", Some(debian())).await;
    assert_eq!(status, StatusCode::OK);
    let (status, machine) = api
        .ask(
            "POST",
            "/machines",
            Some(json!({"name": "node-1", "macs": ["52-54-00-12-34-56"]})),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{machine}");
    assert_eq!(machine["macs"], json!(["52:54:00:12:34:56"]));
    let path = format!("/machines/{}", machine["id"]);
    let (status, body) = api
        .ask(
            "PATCH",
            &path,
            Some(json!({"labels": {"rack": "r1"}, "loader": "pxelinux"})),
        )
        .await;
    assert_eq!(
        (status, &body["loader"]),
        (StatusCode::OK, &json!("pxelinux"))
    );
    let (_, body) = api.ask("PATCH", &path, Some(json!({"loader": null}))).await;
    assert_eq!(
        (&body["loader"], &body["labels"]["rack"]),
        (&Value::Null, &json!("r1"))
    );

    // Neither a typo nor a forgotten field may change anything.
    for wrong in [
        json!({"ids": [1], "profil": "debian-12"}),
        json!({"ids": [1]}),
        json!({"profile": "debian-12"}),
        json!({"ids": [1], "filter": {}, "profile": null}),
        json!({"filter": {"rack": "r1"}, "profile": null}),
    ] {
        let (status, _) = api
            .ask("POST", "/machines/assign", Some(wrong.clone()))
            .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    let (status, body) = api
        .ask(
            "POST",
            "/machines/assign",
            Some(json!({"filter": {"q": "RACK=r1"}, "profile": "debian-12"})),
        )
        .await;
    assert_eq!(
        (status, &body["ids"]),
        (StatusCode::OK, &json!([machine["id"]]))
    );
    assert_eq!(api.get(&path).await["profile"], "debian-12");

    let (status, problem) = api.ask("DELETE", "/profiles/debian-12", None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let page = api.get("/machines?q=5254.00&per_page=1").await;
    assert_eq!(page["total"], 0, "{page}");
    let page = api
        .get("/machines?q=52:54:00&profile=debian-12&state=registered")
        .await;
    assert_eq!(
        (&page["total"], &page["machines"][0]["name"]),
        (&json!(1), &json!("node-1"))
    );
    assert_eq!(api.get(&format!("{path}/boots")).await["boots"], json!([]));
    let events = api.get("/events?limit=1000").await;
    let assigned = events["events"].as_array().expect("a list");
    assert!(
        assigned
            .iter()
            .any(|e| e["event"] == "assigned" && e["by"] == "cli"),
        "{events}"
    );
    let (status, _) = api.ask("DELETE", &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn boots_of_all_machines_are_told_newest_first() {
    let api = Api::open().await;
    let body = json!({"name": "node-1", "macs": ["52:54:00:00:00:01", "52:54:00:00:00:02"]});
    let (_, machine) = api.ask("POST", "/machines", Some(body)).await;
    let event = |at: i64, mac: &str, kind: Value| {
        let mut event = kind;
        event["at"] = at.into();
        event["origin"] = json!({ "mac": mac });
        serde_json::from_value::<bootplan::Event>(event).expect("an event")
    };
    let policy = json!({"reason": "site-default", "policy": "wait"});
    let asked = json!({"event": "offered", "stage": "firmware", "platform": "bios",
        "class": "pxe", "file": "undionly.kpxe", "because": policy});
    let fetched = json!({"event": "file-served", "transport": "tftp", "path": "undionly.kpxe",
        "bytes": 70_000, "millis": 90});
    let (one, two, stranger) = (
        "52:54:00:00:00:01",
        "52:54:00:00:00:02",
        "52:54:00:00:00:09",
    );
    let told = vec![
        event(1_000, one, asked.clone()),
        event(2_000, one, fetched),
        event(5_000, stranger, asked.clone()),
        event(900_000, two, asked),
    ];
    api.state.store.append(told).await.expect("stored");
    let boots = api.get("/boots").await;
    let boots = boots["boots"].as_array().expect("a list");
    let shown: Vec<Value> = boots
        .iter()
        .map(|b| {
            json!([
                b["machine"],
                b["name"],
                b["mac"],
                b["milestone"],
                b["started"],
                b["last"]
            ])
        })
        .collect();
    let id = &machine["id"];
    assert_eq!(
        shown,
        [
            json!([id, "node-1", two, "asked", 900_000, 900_000]),
            json!([null, null, stranger, "asked", 5_000, 5_000]),
            json!([id, "node-1", one, "loader", 1_000, 2_000]),
        ]
    );
    assert_eq!(
        boots[0]["summary"],
        "offered undionly.kpxe, not fetched yet"
    );
    let newest = api.get("/boots?limit=1").await;
    assert_eq!(newest["boots"], json!([boots[0]]));
    let (status, _) = api.ask("GET", "/boots?limt=1", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let of_it = api.get(&format!("/machines/{id}/boots")).await;
    let events = of_it["boots"][1]["events"].as_array().expect("a list");
    assert_eq!(events[1]["headline"], "TFTP undionly.kpxe 68 KiB in 0.0 s");
    assert_eq!(of_it["boots"][1]["milestone"], "loader");
    let history = api.get("/events?limit=1").await;
    let headline = history["events"][0]["headline"].as_str();
    assert!(
        headline.is_some_and(|line| line.starts_with("OFFER: undionly.kpxe")),
        "{history}"
    );
}

#[tokio::test]
async fn explain_asks_the_deciding_function() {
    let api = Api::open().await;
    let told = api.get("/explain?mac=52:54:00:12:34:56&arch=efi-x64").await;
    assert_eq!(told["outcome"], "silent");
    assert_eq!(
        told["reason"],
        json!({"reason": "site-default", "policy": "silence"})
    );
    api.ask("PUT", "/profiles/debian-12", Some(debian())).await;
    let body = json!({"macs": ["52:54:00:12:34:56"], "profile": "debian-12"});
    api.ask("POST", "/machines", Some(body)).await;
    let told = api.get("/explain?mac=52:54:00:12:34:56&arch=0x0007").await;
    assert_eq!(told["reason"]["reason"], "loader-missing", "{told}");
    let told = api
        .get("/explain?mac=52:54:00:12:34:56&arch=7&stage=ipxe")
        .await;
    assert_eq!(told["outcome"], "boot", "{told}");
    assert_eq!(told["boot_file"], "http://127.0.0.1/boot.ipxe");
    assert_eq!(told["profiles"], json!(["debian-12"]));
    assert_eq!(told["intent"], "assigned");
    assert_eq!(told["boots"], debian()["title"]);
    assert!(
        told["because"]
            .as_str()
            .is_some_and(|b| b.contains("is assigned to")),
        "{told}"
    );
    let menu = told["menu"]["text"].as_str().expect("a menu");
    assert!(
        menu.starts_with("#!ipxe\n") && menu.contains("debian-12/linux"),
        "{menu}"
    );
    let (status, _) = api
        .ask("GET", "/explain?mac=52:54:00:12:34:56&arch=toaster", None)
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn profiles_are_rendered_before_they_are_stored() {
    let api = Api::open().await;
    for (query, begin) in [
        ("language=ipxe", "#!ipxe"),
        ("language=pxelinux&platform=bios", ""),
        ("language=grub&platform=efi-x64", ""),
    ] {
        let path = format!("/profiles/render?{query}");
        let (status, told) = api.ask("POST", &path, Some(debian())).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        let text = told["text"].as_str().expect("a text");
        assert!(
            text.starts_with(begin) && text.contains("debian-12/linux"),
            "{query}: {text}"
        );
    }
    assert_eq!(api.get("/profiles").await["profiles"], json!([]));
    let mut wrong = debian();
    wrong["boot"]["args"] = json!("quiet\nreboot");
    for (method, path) in [("POST", "/profiles/render"), ("PUT", "/profiles/debian-12")] {
        let (status, problem) = api.ask(method, path, Some(wrong.clone())).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|d| d.contains("args")),
            "{problem}"
        );
    }
    let (status, _) = api.ask("PUT", "/profiles/other", Some(debian())).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn site_settings_have_ranges() {
    let api = Api::open().await;
    let (status, site) = api
        .ask("PUT", "/site", Some(json!({"unassigned": "wait"})))
        .await;
    assert_eq!(
        (status, &site["unassigned"]),
        (StatusCode::OK, &json!("wait"))
    );
    for wrong in [
        json!({"wait_poll_s": 1}),
        json!({"menu_timeout": 3}),
        json!({"unassigned": "wipe"}),
    ] {
        let (status, _) = api.ask("PUT", "/site", Some(wrong)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(api.get("/site").await["unassigned"], "wait");
}

#[tokio::test]
async fn documents_are_applied_and_exported() {
    let api = Api::open().await;
    let text = "kind: profile\nname: debian-12\ntitle: Debian 12\nboot: {kind: linux, kernel: debian-12/linux}\n\
                ---\nkind: machine\nname: node-1\nmacs: [52:54:00:12:34:56]\nprofile: debian-12\n\
                ---\nkind: site\nunassigned: menu\n";
    let apply = async |path: &str, text: &str| {
        let (status, body) = api
            .send("POST", path, "application/yaml", text.to_owned())
            .await;
        (status, serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    let (_, dry) = apply("/apply?dry_run=true", text).await;
    assert_eq!(
        (&dry["changed"], &dry["dry_run"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(api.get("/profiles").await["profiles"], json!([]));
    let (status, done) = apply("/apply", text).await;
    assert_eq!(
        (status, &done["changes"]),
        (StatusCode::OK, &dry["changes"]),
        "{done}"
    );
    assert_eq!(
        api.get("/machines").await["machines"][0]["profile"],
        "debian-12"
    );
    let (_, again) = apply("/apply", text).await;
    assert_eq!(again["changed"], false, "{again}");
    let (_, yaml) = api.send("GET", "/export", "", String::new()).await;
    let (_, same) = apply("/apply", &yaml).await;
    assert_eq!(same["changed"], false, "{same}\n{yaml}");

    // One fault, and nothing is changed at all.
    let (status, problem) = apply(
        "/apply",
        "kind: site\nunassigned: wait\n---\nkind: machine\nname: x\nprofil: y\n",
    )
    .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"][0]["document"], 2);
    assert_eq!(
        (
            &problem["errors"][0]["line"],
            &problem["errors"][0]["column"]
        ),
        (&json!(6), &json!(1))
    );
    assert_eq!(problem["errors"][0]["field"], "profil");
    // What only the store finds wrong (a name too long for it) leaves nothing behind either.
    let long = "n".repeat(300);
    let text = format!(
        "kind: profile\nname: other\ntitle: Other\nboot: {{kind: local-disk}}\n---\n\
         kind: site\nunassigned: wait\n---\nkind: machine\nname: {long}\nmacs: [52:54:00:00:00:07]\n"
    );
    let before = api.get("/events").await;
    let (status, problem) = apply("/apply", &text).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let fault = &problem["errors"][0];
    assert_eq!(
        (&fault["document"], &fault["line"], &fault["field"]),
        (&json!(3), &json!(10), &json!("name")),
        "{problem}"
    );
    assert_eq!(api.get("/events").await, before, "no trace in the history");
    let (status, _) = api.ask("GET", "/profiles/other", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/site").await["unassigned"], "menu");
}

#[tokio::test]
async fn people_are_managed_by_the_socket_alone() {
    let api = Api::open().await;
    let body = json!({"name": "ann", "password": "correct horse"});
    let short = json!({"name": "ann", "password": "short"});
    let (status, told) = api.ask("POST", "/users", Some(short)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    let (status, told) = api.ask("POST", "/users", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    let hash = |user: Option<store::User>| user.expect("was added").password_hash;
    let first = hash(api.state.store.user("ann").await.expect("readable"));
    let new = json!({"password": "battery staple"});
    let path = "/users/ann/password";
    let (status, told) = api.ask("PUT", path, Some(new.clone())).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{told}");
    let second = hash(api.state.store.user("ann").await.expect("readable"));
    assert_ne!(first, second);
    assert!(second.starts_with("$argon2id$"), "{second}");
    let (status, _) = api
        .ask("PUT", "/users/bob/password", Some(new.clone()))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let list = api.get("/users").await;
    assert_eq!(list["users"][0]["name"], "ann", "{list}");
    assert!(!list.to_string().contains("argon2"), "{list}");

    for via in [Via::Session, Via::Token] {
        let name = "ann".to_owned();
        for (method, path) in [("GET", "/users"), ("PUT", path)] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(new.to_string()))
                .expect("a request");
            let actor = Actor {
                name: name.clone(),
                via,
            };
            let router = api.router.clone().layer(Extension(actor));
            let response = router.oneshot(request).await.expect("infallible");
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {path}");
        }
    }
    let third = hash(api.state.store.user("ann").await.expect("readable"));
    assert_eq!(second, third);
}

#[tokio::test]
async fn tokens_are_not_made_by_tokens() {
    let api = Api::open().await;
    let by_token = Actor {
        name: "ci".to_owned(),
        via: crate::people::Via::Token,
    };
    let request = Request::post("/tokens")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(r#"{"name": "more"}"#))
        .expect("a request");
    let router = api.router.clone().layer(Extension(by_token));
    let response = router.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);

    api.state
        .store
        .create_user("ada", "$argon2id$x", "test")
        .await
        .expect("created");
    let (status, new) = api
        .ask(
            "POST",
            "/tokens",
            Some(json!({"name": "ci", "user": "ada", "days": 30})),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{new}");
    let secret = new["secret"].as_str().expect("shown once").to_owned();
    let list = api.get("/tokens").await;
    assert_eq!(list["tokens"][0]["name"], "ci");
    assert!(!list.to_string().contains(&secret));
    let (status, _) = api
        .ask("DELETE", &format!("/tokens/{}", new["token"]["id"]), None)
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(api.get("/tokens").await["tokens"], json!([]));
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
