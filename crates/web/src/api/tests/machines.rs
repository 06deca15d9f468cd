//! Machines: from entry to assignment, their boots, and what they would get.

use super::*;

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
