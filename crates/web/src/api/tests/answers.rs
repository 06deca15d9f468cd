//! Secrets, and what a machine will fetch.

use super::*;

const CANARY: &str = "k7Qz-canary-Wp31";

fn profile(template: &str) -> Value {
    json!({
        "name": "debian-12", "title": "Debian 12",
        "boot": {"kind": "linux", "kernel": "debian-12/linux",
                 "args": "url={{ answer('preseed.cfg') }}"},
        "variables": {"domain": "example.org"},
        "answers": [{"name": "preseed.cfg", "kind": "preseed", "text": template}],
    })
}

async fn with_machine(api: &Api) -> Value {
    let key = api.dir.path().join("key");
    api.state.store.unlock(&key).await.expect("a key is made");
    let entered = json!({"name": "node-1", "macs": ["52-54-00-12-34-56"]});
    let (status, machine) = api.ask("POST", "/machines", Some(entered)).await;
    assert_eq!(status, StatusCode::CREATED, "{machine}");
    machine["id"].clone()
}

#[tokio::test]
async fn a_secret_is_set_listed_and_never_read_back() {
    let api = Api::open().await;
    with_machine(&api).await;
    let body = json!({"value": CANARY});
    let (status, told) = api.ask("PUT", "/secrets/root", Some(body)).await;
    assert_eq!((status, told), (StatusCode::NO_CONTENT, Value::Null));
    let listed = api.get("/secrets").await;
    assert_eq!(listed["secrets"][0]["name"], "root");
    let everything = [
        listed.to_string(),
        api.get("/events").await.to_string(),
        api.send("GET", "/export", "", String::new()).await.1,
    ];
    for text in &everything {
        assert!(!text.contains(CANARY), "{text}");
    }
    assert!(everything[1].contains("secret 'root' set"));
    for (method, path, body, expected) in [
        ("PUT", "/secrets/root", json!({"value": ""}), 422),
        ("PUT", "/secrets/root", json!({}), 422),
        ("PUT", "/secrets/UPPER", json!({"value": "x"}), 400),
        ("GET", "/secrets/root", Value::Null, 405),
        ("DELETE", "/secrets/root", Value::Null, 204),
        ("DELETE", "/secrets/root", Value::Null, 404),
    ] {
        let (status, told) = api.ask(method, path, Some(body)).await;
        assert_eq!(status, expected, "{method} {path}: {told}");
    }
}

#[tokio::test]
async fn a_review_comes_before_arming() {
    let api = Api::open().await;
    let id = with_machine(&api).await;
    let good = "d-i netcfg/get_domain string {{ domain }}\n\
                d-i passwd/root-password-crypted password {{ secret('root') }}\n";
    let bad = "d-i netcfg/get_domain string {{ domain }}\nd-i time/zone string {{ nobody }}\n";
    let path = format!("/machines/{id}/review?profile=debian-12");
    let arm = format!("/machines/{id}/arm");

    api.ask("PUT", "/profiles/debian-12", Some(profile(bad)))
        .await;
    let seen = api.get(&path).await;
    assert_eq!(seen["good"], false);
    let fault = &seen["documents"][1]["faults"][0];
    assert_eq!(
        (&fault["template"], &fault["line"]),
        (&json!("preseed.cfg"), &json!(2))
    );
    let order = json!({"profile": "debian-12"});
    let (status, told) = api.ask("POST", &arm, Some(order.clone())).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = told["detail"].as_str().expect("a text");
    assert!(detail.contains("node-1: preseed.cfg:2:"), "{detail}");

    api.ask("PUT", "/secrets/root", Some(json!({"value": CANARY})))
        .await;
    api.ask("PUT", "/profiles/debian-12", Some(profile(good)))
        .await;
    let seen = api.get(&path).await;
    assert_eq!(seen["good"], true, "{seen}");
    let text = seen["documents"][1]["text"].as_str().expect("a text");
    assert!(text.starts_with("d-i netcfg/get_domain string example.org\n"));
    assert!(!seen.to_string().contains(CANARY));
    let variable = &seen["variables"][0];
    assert_eq!(
        (&variable["name"], &variable["origin"]),
        (&json!("domain"), &json!("profile debian-12"))
    );
    let (status, told) = api.ask("POST", &arm, Some(order)).await;
    assert_eq!(status, StatusCode::OK, "{told}");

    api.ask("PUT", "/profiles/debian-12", Some(profile(bad)))
        .await;
    let forced = json!({"profile": "debian-12", "despite_faults": true});
    let (status, told) = api.ask("POST", &arm, Some(forced)).await;
    assert_eq!(status, StatusCode::OK, "{told}");
}

#[tokio::test]
async fn an_order_is_refused_while_its_kernel_is_not_there() {
    let mut api = Api::open().await;
    let id = with_machine(&api).await;
    let text = "d-i netcfg/get_domain string {{ domain }}\n";
    api.ask("PUT", "/profiles/debian-12", Some(profile(text)))
        .await;
    let order = json!({"profile": "debian-12"});
    let arm = format!("/machines/{id}/arm");
    for (there, expected) in [
        (false, StatusCode::UNPROCESSABLE_ENTITY),
        (true, StatusCode::OK),
    ] {
        let state = api.state.clone().with_images(Arc::new(move |_| there));
        api.router = router(state);
        let (status, told) = api.ask("POST", &arm, Some(order.clone())).await;
        assert_eq!(status, expected, "{told}");
        let said = "profile debian-12: debian-12/linux is not in the images directory";
        assert_eq!(told.to_string().contains(said), !there, "{told}");
    }
}

#[tokio::test]
async fn what_answers_are_made_of_is_put_listed_and_deleted() {
    let api = Api::open().await;
    let group = json!({"selector": {"label": {"rack": ["1"]}}, "variables": {"x": 1}});
    for (path, body, expected) in [
        ("/objects/template/seed", json!({"text": "{{ x }}"}), 204),
        (
            "/objects/snippet/seed",
            json!({"kind": "snippet", "name": "seed", "text": "S"}),
            204,
        ),
        ("/objects/group/rack1", group, 204),
        (
            "/objects/template/seed",
            json!({"name": "other", "text": ""}),
            422,
        ),
        ("/objects/template/seed", json!({}), 422),
        ("/objects/template/seed", json!([]), 422),
        ("/objects/profile/seed", json!({"text": ""}), 422),
        (
            "/objects/group/rack2",
            json!({"selector": {"label": {}}, "x": 1}),
            422,
        ),
    ] {
        let (status, told) = api.ask("PUT", path, Some(body)).await;
        assert_eq!(status, expected, "{path}: {told}");
    }
    let listed = api.get("/objects").await;
    let named = |n: usize| {
        (
            listed["objects"][n]["kind"].clone(),
            listed["objects"][n]["name"].clone(),
        )
    };
    assert_eq!(named(0), (json!("template"), json!("seed")));
    assert_eq!(named(2), (json!("group"), json!("rack1")));
    for expected in [204, 404] {
        let (status, _) = api.ask("DELETE", "/objects/snippet/seed", None).await;
        assert_eq!(status, expected);
    }
    assert_eq!(
        api.get("/objects").await["objects"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}
