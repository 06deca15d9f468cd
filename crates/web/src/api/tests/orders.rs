//! Orders: from install-once to done, held and released, many at once, and the list of runs.

use super::*;
use bootplan::MachineId;
use bootplan::run::Happening;

async fn with_machines(count: i64) -> Api {
    let api = Api::open().await;
    api.ask("PUT", "/profiles/debian-12", Some(debian())).await;
    for n in 1..=count {
        let body = json!({"name": format!("node-{n}"), "macs": [format!("52:54:00:00:00:{n:02}")]});
        let (status, _) = api.ask("POST", "/machines", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    api
}

async fn happen(api: &Api, id: i64, happening: Happening) {
    let ids = [MachineId(id)];
    let happened = api.state.store.happen(&ids, happening, "test");
    happened.await.expect("stored");
}

#[tokio::test]
async fn an_order_to_its_end() {
    let api = with_machines(1).await;
    let (status, problem) = api.ask("POST", "/machines/1/arm", Some(json!({}))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        problem["detail"],
        "machine 'node-1' has no profile assigned: say which one"
    );
    let order = json!({"profile": "debian-12", "tries": 2});
    let (status, armed) = api
        .ask("POST", "/machines/1/arm", Some(order.clone()))
        .await;
    assert_eq!(status, StatusCode::OK, "{armed}");
    assert_eq!(
        (&armed["lifecycle"], &armed["mode"], &armed["progress"]),
        (
            &json!("armed"),
            &json!("install-once"),
            &json!("debian-12 at its next boot")
        )
    );
    assert_eq!(
        (&armed["run"]["of"], &armed["run"]["by"]),
        (&json!(2), &json!("cli"))
    );
    happen(&api, 1, Happening::Asked).await;
    happen(&api, 1, Happening::HandedOver).await;
    let (status, problem) = api
        .ask("POST", "/machines/1/arm", Some(order.clone()))
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let (status, problem) = api.ask("POST", "/machines/1/release", None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        problem["detail"],
        "not possible for machine 'node-1' now: installing"
    );
    let note = json!({"note": "PSU"});
    let (_, held) = api.ask("POST", "/machines/1/hold", Some(note)).await;
    assert_eq!(
        (&held["lifecycle"], &held["run"]["why"]),
        (&json!("held"), &json!("somebody stopped it: PSU"))
    );
    let (_, released) = api.ask("POST", "/machines/1/release", None).await;
    assert_eq!(
        (&released["lifecycle"], &released["run"]["tries"]),
        (&json!("armed"), &json!(0))
    );
    let failed = json!({"result": "failed", "why": "no disk"});
    let (_, failed) = api.ask("POST", "/machines/1/finish", Some(failed)).await;
    assert_eq!(
        (&failed["lifecycle"], &failed["progress"]),
        (&json!("failed"), &json!("no disk"))
    );
    api.ask("POST", "/machines/1/arm", Some(order)).await;
    let (_, done) = api
        .ask(
            "POST",
            "/machines/1/finish",
            Some(json!({"result": "done"})),
        )
        .await;
    assert_eq!(done["lifecycle"], "installed");
    let list = api.get("/machines?lifecycle=installed").await;
    assert_eq!(list["total"], 1);
    let (status, _) = api.ask("POST", "/machines/1/cancel", None).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is over");
    assert_eq!(api.get("/runs").await["runs"], json!([]));
    assert_eq!(
        api.get("/runs?ended=true").await["runs"][0]["run"]["state"],
        "installed"
    );
}

#[tokio::test]
async fn many_at_once_and_their_queue() {
    let api = with_machines(4).await;
    let site = json!({"install_slots": 1});
    assert_eq!(api.ask("PUT", "/site", Some(site)).await.0, StatusCode::OK);
    for wrong in [
        json!({"profile": "debian-12"}),
        json!({"ids": [1], "filter": {}, "profile": "debian-12"}),
        json!({"ids": [1], "profile": "debian-12", "tries": 0}),
        json!({"ids": [1], "profile": "debian-12", "window": {"days": ["mon"]}}),
        json!({"ids": [1], "profile": "debian-12", "window": "nights"}),
        json!({"ids": [1, 2], "profil": "debian-12"}),
    ] {
        let (status, _) = api.ask("POST", "/machines/arm", Some(wrong.clone())).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    let missing = json!({"ids": [1, 99], "profile": "debian-12"});
    let (status, _) = api.ask("POST", "/machines/arm", Some(missing)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/runs").await["runs"], json!([]), "all or none");
    let inside = json!({"ids": [2], "profile": "debian-12"});
    let (status, _) = api.ask("POST", "/machines/1/arm", Some(inside)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let order = json!({"filter": {"q": "node"}, "profile": "debian-12"});
    let (status, body) = api.ask("POST", "/machines/arm", Some(order)).await;
    assert_eq!(
        (status, &body["ids"]),
        (StatusCode::OK, &json!([1, 2, 3, 4]))
    );
    for id in [3, 1, 2] {
        happen(&api, id, Happening::Asked).await;
    }
    let runs = api.get("/runs").await;
    assert_eq!(
        (&runs["slots"], &runs["slots_taken"], &runs["queued"]),
        (&json!(1), &json!(1), &json!(2))
    );
    let order: Vec<&Value> = runs["runs"].as_array().expect("runs").iter().collect();
    let told: Vec<String> = order
        .iter()
        .map(|of| {
            format!(
                "{} {}",
                of["name"].as_str().unwrap_or("-"),
                of["run"]["queue"]
            )
        })
        .collect();
    assert_eq!(
        told,
        ["node-1 [1,2]", "node-2 [2,2]", "node-4 null", "node-3 null"]
    );
    assert_eq!(
        api.get("/machines/2").await["progress"],
        "place 2 of 2 in the queue"
    );
    let all = json!({"filter": {}});
    let (status, _) = api.ask("POST", "/machines/cancel", Some(all)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(api.get("/runs").await["runs"], json!([]));
    let once = json!({"mode": "next-boot", "profile": "debian-12"});
    let (_, armed) = api.ask("POST", "/machines/1/arm", Some(once)).await;
    assert_eq!(
        (&armed["run"]["kind"], &armed["lifecycle"]),
        (&json!("next-boot"), &json!("armed"))
    );
    happen(&api, 1, Happening::Asked).await;
    assert_eq!(api.get("/runs").await["queued"], 0, "it waits for nobody");
}

#[tokio::test]
async fn an_installer_at_every_boot_must_be_meant() {
    let api = with_machines(2).await;
    let mut installer = debian();
    installer["install"] = json!({"tries": 2, "minutes": 60});
    let (status, told) = api.ask("PUT", "/profiles/debian-12", Some(installer)).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    api.ask(
        "POST",
        "/machines/arm",
        Some(json!({"ids": [1], "profile": "debian-12"})),
    )
    .await;
    let assign = json!({"ids": [1, 2], "profile": "debian-12"});
    let create = json!({"macs": ["52:54:00:00:00:77"], "profile": "debian-12"});
    let patch = json!({"profile": "debian-12"});
    for (method, path, body) in [
        ("POST", "/machines/assign", &assign),
        ("POST", "/machines", &create),
        ("PATCH", "/machines/2", &patch),
    ] {
        let (status, problem) = api.ask(method, path, Some(body.clone())).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(
            detail.contains("profile 'debian-12' installs"),
            "{path}: {detail}"
        );
        let twice = path == "/machines/assign";
        let counted = "; 1 of these has it to be installed once";
        assert_eq!(detail.contains(counted), twice, "{path}: {detail}");
    }
    assert_eq!(
        api.get("/machines").await["total"],
        2,
        "nothing was entered"
    );
    assert_eq!(api.get("/machines/1").await["lifecycle"], "armed");
    // The profile it has, named once more, changes nothing.
    let (status, same) = api.ask("PATCH", "/machines/1", Some(patch.clone())).await;
    assert_eq!(
        (status, &same["mode"]),
        (StatusCode::OK, &json!("install-once"))
    );
    for (method, path, body, answer) in [
        ("POST", "/machines/assign", assign, StatusCode::OK),
        ("POST", "/machines", create, StatusCode::CREATED),
        ("PATCH", "/machines/2", patch, StatusCode::OK),
    ] {
        let mut body = body;
        body["always"] = json!(true);
        let (status, told) = api.ask(method, path, Some(body)).await;
        assert_eq!(status, answer, "{path}: {told}");
    }
    assert_eq!(api.get("/machines/1").await["mode"], "always");
}

#[tokio::test]
async fn what_a_rule_waits_to_install_is_ordered_without_naming_it() {
    let api = with_machines(3).await;
    let rule = json!({"name": "all", "selector": {"mac": ["52:54"]}, "profile": "debian-12",
        "mode": "install-once"});
    let (status, _) = api.ask("PUT", "/rules/all", Some(rule)).await;
    assert_eq!(status, StatusCode::OK);
    let waiting = api.get("/machines/2").await;
    assert_eq!(
        (&waiting["lifecycle"], &waiting["progress"]),
        (
            &json!("ready"),
            &json!("rule 'all' would install debian-12 once, when ordered")
        )
    );
    let (status, _) = api
        .ask("POST", "/machines/arm", Some(json!({"filter": {}})))
        .await;
    assert_eq!(status, StatusCode::OK);
    for id in 1..=3 {
        let armed = api.get(&format!("/machines/{id}")).await;
        assert_eq!(
            (&armed["lifecycle"], &armed["run"]["by"]),
            (&json!("armed"), &json!("cli"))
        );
    }
}

#[tokio::test]
async fn ordered_and_booted_at_once_with_what_each_switch_did() {
    let api = with_machines(3).await;
    let wake = json!({"wake": true});
    api.ask("PUT", "/machines/2/power", Some(wake)).await;
    let unfit = json!({"name": "unfit", "title": "Unfit",
        "boot": {"kind": "linux", "kernel": "d/linux"},
        "answers": [{"name": "preseed.cfg", "text": "{{ nobody_says }}"}]});
    api.ask("PUT", "/profiles/unfit", Some(unfit)).await;
    let ask = async |body| api.ask("POST", "/machines/install-now", Some(body)).await;
    for (body, status) in [
        (json!({"ids": [1, 2], "profile": "unfit"}), 422),
        (json!({"ids": [1, 2]}), 422),
        (json!({"ids": [1, 99], "profile": "debian-12"}), 404),
        (
            json!({"ids": [1], "profile": "debian-12", "not_before": 7}),
            422,
        ),
    ] {
        let (said, problem) = ask(body.clone()).await;
        assert_eq!(said.as_u16(), status, "{body}: {problem}");
    }
    let touched = async || {
        let history = api.get("/events?limit=1000").await.to_string();
        history.matches("\"event\":\"powered\"").count()
    };
    assert_eq!(api.get("/runs").await["runs"], json!([]), "all or none");
    assert_eq!(touched().await, 0, "no power before an order");

    let (status, told) = ask(json!({"ids": [2, 1, 1], "profile": "debian-12"})).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let lines: Vec<_> = told["results"]
        .as_array()
        .expect("results")
        .iter()
        .collect();
    assert_eq!(lines.len(), 2, "each once");
    assert_eq!(
        (
            &lines[0]["profile"],
            &lines[0]["switched"],
            &lines[0]["steps"][0]["action"]
        ),
        (&json!("debian-12"), &json!(false), &json!("wake")),
        "there is nothing to send by here: {told}"
    );
    assert_eq!(
        (&lines[1]["steps"], &lines[1]["switched"]),
        (&json!([]), &json!(false))
    );
    assert_eq!(touched().await, 1);
    assert_eq!(api.get("/machines?lifecycle=armed").await["total"], 2);
}

#[tokio::test]
async fn an_order_names_a_window_and_keeps_its_hours() {
    let api = with_machines(1).await;
    let hours = |from: &str| json!({"days": ["mon"], "from": from, "to": "05:00"});
    let site = |from: &str| Some(json!({"windows": {"nights": hours(from)}}));
    let (status, told) = api.ask("PUT", "/site", site("22:00")).await;
    assert_eq!(
        (status, &told["windows"]["nights"]),
        (StatusCode::OK, &hours("22:00"))
    );
    let order = json!({"ids": [1], "profile": "debian-12", "window": "nights"});
    let (status, told) = api.ask("POST", "/machines/arm", Some(order)).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(
        api.get("/runs").await["runs"][0]["run"]["window"],
        hours("22:00")
    );
    // What is ordered stays ordered, whatever becomes of the name.
    for site in [site("23:00"), Some(json!({}))] {
        assert_eq!(api.ask("PUT", "/site", site).await.0, StatusCode::OK);
        assert_eq!(
            api.get("/runs").await["runs"][0]["run"]["window"],
            hours("22:00")
        );
    }
    let never = json!({"windows": {"never": {"days": [], "from": "22:00", "to": "05:00"}}});
    let (status, _) = api.ask("PUT", "/site", Some(never)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}
