//! Profiles, settings and documents: what is checked before it is stored.

use super::*;

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

/// A file registers what was discovered, by whatever labels, and a rule orders nothing by it.
#[tokio::test]
async fn no_rule_orders_what_a_file_describes() {
    let api = Api::open().await;
    api.ask("PUT", "/profiles/debian-12", Some(debian())).await;
    let rule = json!({"name": "all", "profile": "debian-12", "mode": "install-once",
        "selector": {"all": [{"mac": ["52:54"]}, {"not": {"label": {"keep": ["yes"]}}}]}});
    let (status, told) = api.ask("PUT", "/rules/all", Some(rule)).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let mac = |n: u8| bootplan::MacAddr([0x52, 0x54, 0, 0, 0, n]);
    for n in 1..=2 {
        let seen = store::Sighting::of(mac(n), Timestamp(0));
        api.state.store.sight(seen).await.expect("seen");
    }
    let text = "kind: machine\nmacs: [52:54:00:00:00:01]\nlabels: {keep: 'yes'}\n---\n\
                kind: machine\nmacs: [52:54:00:00:00:02]\n---\n\
                kind: machine\nname: entered\nmacs: [52:54:00:00:00:03]\n";
    for path in ["/apply?dry_run=true", "/apply"] {
        let (status, told) = api
            .send("POST", path, "application/yaml", text.to_owned())
            .await;
        assert_eq!(status, StatusCode::OK, "{told}");
    }
    for n in 1..=3 {
        let catalog = api.state.store.catalog();
        let machine = catalog.find(mac(n), None).expect("described");
        assert_eq!(machine.state, bootplan::MachineState::Registered, "{n}");
        assert_eq!((&machine.run, &machine.profile), (&None, &None), "{n}");
    }
}
