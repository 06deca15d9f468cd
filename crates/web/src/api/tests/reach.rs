//! Hooks, power switches, and followers that come back.

use super::*;

#[tokio::test]
async fn a_follower_goes_on_where_it_stopped() {
    let api = Api::open().await;
    for n in 1..=3 {
        let body = json!({"macs": [format!("52:54:00:00:00:0{n}")]});
        api.ask("POST", "/machines", Some(body)).await;
    }
    let (_, history) = api.ask("GET", "/events", None).await;
    let ids: Vec<i64> = history["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter_map(|e| e["id"].as_i64())
        .collect();
    let [newest, middle, _] = ids[..] else {
        panic!("three events: {history}")
    };
    // As a browser asks whose connection broke after the first.
    let request = Request::get("/events/stream")
        .header("last-event-id", (middle - 1).to_string())
        .body(Body::empty())
        .expect("a request");
    let router = api.router.clone().layer(Extension(Actor::cli()));
    let mut body = router
        .oneshot(request)
        .await
        .expect("infallible")
        .into_body();
    let mut text = String::new();
    while !text.contains(&format!("id: {newest}\n")) && !text.contains(&format!("id:{newest}\n")) {
        let frame = body.frame().await.expect("never ends").expect("no error");
        text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8"));
    }
    let seen: Vec<i64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id:")?.trim().parse().ok())
        .collect();
    assert_eq!(
        seen,
        [middle, newest],
        "nothing twice, nothing left out: {text}"
    );
}

#[tokio::test]
async fn hooks_are_made_changed_and_deleted() {
    let api = Api::open().await;
    let hook =
        json!({"url": "https://chat.example/x", "events": ["powered"], "secret": "hook.chat"});
    let (status, made) = api.ask("PUT", "/hooks/chat", Some(hook)).await;
    assert_eq!(
        (status, &made["name"], &made["enabled"]),
        (StatusCode::OK, &json!("chat"), &json!(true))
    );
    for (path, body, text) in [
        ("/hooks/Chat", json!({"url": "https://h"}), "lower-case"),
        ("/hooks/chat", json!({"url": "gopher://h"}), "http://"),
        (
            "/hooks/chat",
            json!({"url": "https://h", "events": ["powerd"]}),
            "'powerd' is no kind of event",
        ),
    ] {
        let (status, problem) = api.ask("PUT", path, Some(body)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(
            problem["detail"].as_str().is_some_and(|d| d.contains(text)),
            "{problem}"
        );
    }
    let (_, list) = api.ask("GET", "/hooks", None).await;
    assert_eq!(list["hooks"][0]["name"], "chat");
    assert_eq!(
        list["hooks"][0]["waiting"], 0,
        "it is not told of what it does not want"
    );
    let (status, tested) = api.ask("POST", "/hooks/chat/test", None).await;
    assert_eq!(
        (status, &tested["told"], &tested["problem"]),
        (
            StatusCode::OK,
            &json!(false),
            &json!("this server asks nothing of others")
        )
    );
    let (status, _) = api.ask("DELETE", "/hooks/chat", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = api.ask("POST", "/hooks/chat/test", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = api.ask("DELETE", "/hooks/chat", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_switch_that_nobody_described_says_so() {
    let api = Api::open().await;
    let (_, machine) = api
        .ask(
            "POST",
            "/machines",
            Some(json!({"macs": ["52:54:00:00:00:01"]})),
        )
        .await;
    let path = format!("/machines/{}/power", machine["id"]);
    let (status, problem) = api.ask("POST", &path, Some(json!({"action": "off"}))).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|d| d.contains("no way to do this is known")),
        "{problem}"
    );
    let (status, _) = api
        .ask("POST", &path, Some(json!({"action": "explode"})))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = api
        .ask("POST", "/machines/99/power", Some(json!({"action": "on"})))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = api
        .ask(
            "PUT",
            &path,
            Some(json!({"ipmi": {"host": "h", "password": "x"}})),
        )
        .await;
    assert_eq!(
        status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "a password is no field"
    );
    let (status, all) = api
        .ask(
            "POST",
            "/machines/power",
            Some(json!({"filter": {}, "action": "status"})),
        )
        .await;
    assert_eq!(
        (status, all["results"].as_array().map(Vec::len)),
        (StatusCode::OK, Some(1))
    );
    let (_, history) = api.ask("GET", "/events?limit=1", None).await;
    assert_eq!(
        (
            &history["events"][0]["event"],
            &history["events"][0]["action"]
        ),
        (&json!("powered"), &json!("status"))
    );
}
