//! Rules: what is told before they are saved, and the order they are asked in.

use super::*;

async fn with_machines(count: u32) -> Api {
    let api = Api::open().await;
    for name in ["debian-12", "rescue"] {
        let profile =
            json!({"name": name, "title": name, "boot": {"kind": "linux", "kernel": "d/linux"}});
        let (status, told) = api
            .ask("PUT", &format!("/profiles/{name}"), Some(profile))
            .await;
        assert_eq!(status, StatusCode::OK, "{told}");
    }
    let machine = |n: u32| {
        let [_, a, b, c] = n.to_be_bytes();
        format!(
            "---\nkind: machine\nname: node-{n}\nmacs: ['52:54:00:{a:02x}:{b:02x}:{c:02x}']\nlabels: {{rack: r{}}}\n",
            n % 100
        )
    };
    let text: String = (0..count).map(machine).collect();
    let (status, told) = api.send("POST", "/apply", "application/yaml", text).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    api
}

fn rule(name: &str, selector: Value, profile: &str) -> Value {
    json!({"name": name, "selector": selector, "profile": profile})
}

async fn put(api: &Api, rule: &Value) {
    let path = format!("/rules/{}", rule["name"].as_str().expect("a name"));
    let (status, told) = api.ask("PUT", &path, Some(rule.clone())).await;
    assert_eq!((status, &told), (StatusCode::OK, rule));
}

#[tokio::test]
async fn a_rule_is_seen_through_before_it_is_saved() {
    let api = with_machines(300).await;
    put(&api, &rule("all", json!({"mac": ["52:54"]}), "debian-12")).await;
    let narrow = rule(
        "rack-7",
        json!({"all": [{"mac": ["52:54"]}, {"label": {"rack": ["r7"]}}]}),
        "rescue",
    );
    let (status, told) = api
        .ask("POST", "/rules/preview", Some(json!({"put": narrow})))
        .await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(told["text"], "3 machines would get something else");
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|m| m["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(names(&told["matches"]), ["node-7", "node-107", "node-207"]);
    let change = &told["changes"][0];
    assert_eq!(change["machine"]["name"], "node-7");
    assert_eq!(
        (&change["from"]["gets"], &change["from"]["profile"]),
        (&json!("profile"), &json!("debian-12"))
    );
    assert_eq!(change["to"]["text"], "profile 'rescue'");
    assert_eq!(
        change["to"]["because"],
        "rule 'rack-7' gives it profile 'rescue'"
    );

    // Nothing was saved by it; saved, it does what was told, and so does its end.
    assert_eq!(
        api.get("/rules").await["rules"].as_array().map(Vec::len),
        Some(1)
    );
    put(&api, &narrow).await;
    let (_, same) = api
        .ask("POST", "/rules/preview", Some(json!({"put": narrow})))
        .await;
    assert_eq!(same["text"], "no machine would get something else");
    let (_, gone) = api
        .ask("POST", "/rules/preview", Some(json!({"delete": "rack-7"})))
        .await;
    assert_eq!(gone["text"], "3 machines would get something else");
    assert_eq!(gone["matches"], json!([]));
    assert_eq!(gone["changes"][0]["to"]["profile"], "debian-12");
    let (status, _) = api.ask("DELETE", "/rules/rack-7", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = api
        .ask("POST", "/rules/preview", Some(json!({"delete": "rack-7"})))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rules_are_listed_in_the_order_they_are_asked() {
    let api = with_machines(200).await;
    put(
        &api,
        &rule("a-wide", json!({"mac": ["52:54"]}), "debian-12"),
    )
    .await;
    put(&api, &rule("z-wide", json!({"mac": ["52:54"]}), "rescue")).await;
    put(
        &api,
        &rule(
            "z-narrow",
            json!({"all": [{"mac": ["52:54"]}, {"label": {"rack": ["r1", "r2"]}}]}),
            "rescue",
        ),
    )
    .await;
    let mut off = rule("b-off", json!({"mac": ["52:54"]}), "rescue");
    off["enabled"] = json!(false);
    put(&api, &off).await;
    let listed = api.get("/rules").await;
    let line = |line: &Value| {
        let of = |key: &str| line[key].to_string();
        let name = line["rule"]["name"].as_str().expect("a name").to_owned();
        (
            name,
            [
                of("place"),
                of("specificity"),
                of("matching"),
                of("deciding"),
            ]
            .join(" "),
        )
    };
    let lines: Vec<_> = listed["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .map(line)
        .collect();
    let expected = [
        ("z-narrow", "1 2 4 4"),
        ("a-wide", "2 1 200 196"),
        ("z-wide", "3 1 200 0"),
        ("b-off", "null 1 200 0"),
    ];
    assert_eq!(
        lines,
        expected.map(|(name, rest)| (name.to_owned(), rest.to_owned()))
    );
    // A profile that a rule gives is not deleted from under it.
    let (status, problem) = api.ask("DELETE", "/profiles/rescue", None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|d| d.contains("rule '")),
        "{problem}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_said() {
    let api = with_machines(1).await;
    let wrong = [
        (
            rule("x", json!({"subnet": ["10.1.0.5/16"]}), "debian-12"),
            "the subnet is 10.1.0.0/16",
        ),
        (
            rule("x", json!({"arch": []}), "debian-12"),
            "arch: must not be empty",
        ),
        (rule("x", json!({"colour": ["red"]}), "debian-12"), "colour"),
        (rule("x", json!({}), "debian-12"), "must not be empty"),
        (rule("x", json!({"mac": ["52"]}), "no-such"), "no-such"),
        (
            rule("y", json!({"mac": ["52"]}), "debian-12"),
            "the path names rule 'x'",
        ),
    ];
    for (body, expected) in wrong {
        let (status, problem) = api.ask("PUT", "/rules/x", Some(body.clone())).await;
        assert!(status.is_client_error(), "{body}: {status}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(expected), "{body}: {detail}");
    }
    assert_eq!(api.get("/rules").await["rules"], json!([]));
    let (status, problem) = api
        .ask(
            "POST",
            "/rules/preview",
            Some(json!({"put": rule("x", json!({"mac": ["52"]}), "no-such")})),
        )
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
}

/// With a new machine, and a rule that installs it once.
async fn with_newcomer() -> (Api, i64) {
    let api = with_machines(1).await;
    let once = json!({"name": "lab", "selector": {"mac": ["02:00"]}, "profile": "debian-12",
        "mode": "install-once"});
    put(&api, &once).await;
    let mac = "02:00:00:00:00:01".parse().expect("a MAC");
    let seen = store::Sighting::of(mac, Timestamp(0));
    let seen = api.state.store.sight(seen).await.expect("seen");
    (api, seen.machine.machine.id.0)
}

#[tokio::test]
async fn adopting_says_what_a_rule_would_install() {
    let (api, id) = with_newcomer().await;
    let adopt = async |more: Value| {
        let mut body = json!({ "ids": [id] });
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        api.ask("POST", "/machines/adopt", Some(body)).await
    };
    let lifecycle = async || api.get(&format!("/machines/{id}")).await["lifecycle"].clone();
    let (status, problem) = adopt(json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        problem["detail"],
        "Rule lab installs 1 machine with debian-12, once, at the next boot. Nothing was changed: \
         say 'install' if that is meant, or 'only' to adopt and order nothing"
    );
    let both = json!({"install": true, "only": true});
    assert_eq!(adopt(both).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(lifecycle().await, "discovered");
    let (status, told) = adopt(json!({"only": true})).await;
    assert_eq!((status, &told["ordered"]), (StatusCode::OK, &json!([])));
    assert_eq!(
        lifecycle().await,
        "ready",
        "registered, and nothing ordered"
    );
    let missing = json!({"ids": [99], "only": true});
    let (status, _) = api.ask("POST", "/machines/adopt", Some(missing)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let (api, id) = with_newcomer().await;
    let meant = json!({"ids": [id], "install": true});
    let (status, told) = api.ask("POST", "/machines/adopt", Some(meant)).await;
    assert_eq!(
        (status, &told["ordered"]),
        (
            StatusCode::OK,
            &json!([{"id": id, "rule": "lab", "profile": "debian-12"}])
        )
    );
    let machine = api.get(&format!("/machines/{id}")).await;
    assert_eq!(machine["lifecycle"], "armed");
}

#[tokio::test]
async fn forgetting_says_what_a_rule_would_install_anew() {
    let (api, id) = with_newcomer().await;
    let register = json!({"new_machines": "register"});
    let (status, told) = api.ask("PUT", "/site", Some(register)).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let forget = json!({ "ids": [id, 1] });
    let (status, problem) = api.ask("POST", "/machines/forget", Some(forget)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("1 machine would be installed anew with debian-12")
            && detail.contains("say 'anew'"),
        "{detail}"
    );
    assert_eq!(api.get("/machines").await["total"], 2, "all or none");
    let meant = json!({"ids": [id, 1], "anew": true});
    let (status, _) = api.ask("POST", "/machines/forget", Some(meant)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(api.get("/machines").await["total"], 0);
}
