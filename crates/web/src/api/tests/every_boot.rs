//! What would be installed at every boot by another rule or profile has to be said.

use super::*;

const PROFILE: &str = "kind: profile\ntitle: x\nboot: {kind: linux, kernel: d/linux}\nname: ";
const NODES: &str = "kind: machine\nname: node-1\nmacs: ['52:54:00:00:00:01']\nprofile: rescue\n---\n\
                     kind: machine\nname: node-2\nmacs: ['52:54:00:00:00:02']\n";

async fn api() -> Api {
    let api = Api::open().await;
    let auto = format!("{PROFILE}auto\ninstall: {{tries: 3, minutes: 60}}\n");
    let text = format!("{PROFILE}rescue\n---\n{auto}---\n{NODES}");
    let (status, told) = api.send("POST", "/apply", "application/yaml", text).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    api
}

/// Refused with these words; and done when it is meant so.
async fn only_when_meant(api: &Api, method: &str, path: &str, body: Option<Value>, words: &str) {
    for always in ["", "?always=false"] {
        let path = format!("{path}{always}");
        let (status, told) = api.ask(method, &path, body.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
        let detail = told["detail"].as_str().expect("a sentence");
        assert!(detail.contains(words), "{detail}");
        assert!(detail.contains("nothing was changed"), "{detail}");
    }
    let (status, told) = api.ask(method, &format!("{path}?always=true"), body).await;
    assert!(status.is_success(), "{told}");
}

#[tokio::test]
async fn by_a_rule() {
    let api = api().await;
    let rule = json!({"name": "all", "selector": {"mac": ["52:54"]}, "profile": "auto"});
    let (_, preview) = api
        .ask("POST", "/rules/preview", Some(json!({"put": rule})))
        .await;
    let erases = preview["erases"].as_str().expect("it is said before");
    assert!(erases.ends_with("node-2"), "{erases}");
    only_when_meant(&api, "PUT", "/rules/all", Some(rule.clone()), "it: node-2").await;
    // As it is, it may be sent again; and another preview says nothing.
    let (status, _) = api.ask("PUT", "/rules/all", Some(rule.clone())).await;
    assert_eq!(status, StatusCode::OK);
    let put = json!({"put": rule});
    let (_, preview) = api.ask("POST", "/rules/preview", Some(put)).await;
    assert_eq!(preview.get("erases"), None);
    // A narrower one kept it back.
    let narrow = json!({"name": "one", "profile": "rescue",
        "selector": {"all": [{"mac": ["52:54"]}, {"mac": ["52:54:00:00:00:02"]}]}});
    let (status, told) = api.ask("PUT", "/rules/one", Some(narrow)).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    only_when_meant(&api, "DELETE", "/rules/one", None, "it: node-2").await;
}

#[tokio::test]
async fn by_a_profile() {
    let api = api().await;
    let profile = json!({"name": "rescue", "title": "x", "install": {"tries": 3, "minutes": 60},
        "boot": {"kind": "linux", "kernel": "d/linux"}});
    only_when_meant(&api, "PUT", "/profiles/rescue", Some(profile), "it: node-1").await;
}

#[tokio::test]
async fn by_documents() {
    let api = api().await;
    let text = format!("{PROFILE}rescue\ninstall: {{tries: 3, minutes: 60}}\n");
    let send = |path: &'static str| api.send("POST", path, "application/yaml", text.clone());
    for path in ["/apply", "/apply?dry_run=true&force=true"] {
        let (status, told) = send(path).await;
        let told: Value = serde_json::from_str(&told).expect("a problem");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
        let fault = &told["errors"][0];
        assert_eq!(
            (&fault["line"], &fault["field"]),
            (&json!(5), &json!("install"))
        );
        let problem = fault["problem"].as_str().expect("a sentence");
        assert!(problem.contains("it: node-1;"), "{problem}");
    }
    let (status, told) = send("/apply?always=true").await;
    let told: Value = serde_json::from_str(&told).expect("what was done");
    assert_eq!((status, &told["changed"]), (StatusCode::OK, &json!(true)));
}
