//! Whose address it is: conflicts and their ends, shared adapters, merge and split.

use super::*;
use store::Sighting;

/// A board of two cards by which nobody has told yet that they are one machine's.
async fn with_question() -> Api {
    let api = Api::open().await;
    for card in [1, 1, 2] {
        let sighting = Sighting {
            uuid: "12345678-9abc-def0-1122-334455667788".parse().ok(),
            ..Sighting::of(bootplan::MacAddr([2, 0, 0, 0, 0, card]), Timestamp(1000))
        };
        api.state.store.sight(sighting).await.expect("seen");
    }
    api
}

async fn conflicts(api: &Api) -> Vec<Value> {
    let answer = api.get("/conflicts").await;
    answer["conflicts"].as_array().cloned().expect("a list")
}

#[tokio::test]
async fn a_question_is_told_and_answered() {
    let api = with_question().await;
    let open = conflicts(&api).await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0]["mac"], "02:00:00:00:00:02");
    assert_eq!(
        open[0]["suspects"],
        json!([
            {"machine": 1, "name": "02-00-00-00-00-01", "evidence": ["has its UUID"], "owner": false},
            {"machine": 2, "name": "02-00-00-00-00-02", "evidence": ["has its MAC"], "owner": true},
        ])
    );
    let claims = json!([{"uuid": "12345678-9abc-def0-1122-334455667788"}]);
    assert_eq!(
        (&open[0]["claims"], &open[0]["quiet"]),
        (&claims, &json!(false))
    );
    assert_eq!(api.get("/machines/2").await["in_conflict"], true);
    assert_eq!(api.get("/machines/1").await.get("in_conflict"), None);

    let here = "/conflicts/02-00-00-00-00-02";
    for (body, status) in [
        (json!({}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"how": "maybe"}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"how": "is"}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"how": "is", "machine": 9}), StatusCode::NOT_FOUND),
        (
            json!({"how": "shared", "why": ""}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let (got, problem) = api.ask("POST", here, Some(body.clone())).await;
        assert_eq!(got, status, "{body}: {problem}");
    }
    assert_eq!(conflicts(&api).await.len(), 1);
    let same = json!({"how": "is", "machine": 1});
    let (status, settled) = api.ask("POST", here, Some(same.clone())).await;
    assert_eq!((status, settled), (StatusCode::OK, json!({"machine": 1})));
    let macs = json!(["02:00:00:00:00:01", "02:00:00:00:00:02"]);
    assert_eq!(api.get("/machines/1").await["macs"], macs);
    assert!(conflicts(&api).await.is_empty());
    let (status, _) = api.ask("POST", here, Some(same)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn machines_are_put_together_and_taken_apart() {
    let api = with_question().await;
    let merge = json!({"from": 2});
    let (status, one) = api
        .ask("POST", "/machines/1/merge", Some(merge.clone()))
        .await;
    assert_eq!(status, StatusCode::OK, "{one}");
    assert_eq!(one["macs"].as_array().map(Vec::len), Some(2));
    assert!(conflicts(&api).await.is_empty());
    let (status, _) = api.ask("POST", "/machines/1/merge", Some(merge)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let split = json!({"macs": ["02:00:00:00:00:02"]});
    let (status, two) = api
        .ask("POST", "/machines/1/split", Some(split.clone()))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{two}");
    assert_eq!(
        (&two["macs"], &two["state"], &two["run"]),
        (&split["macs"], &json!("registered"), &Value::Null)
    );
    let (status, _) = api.ask("POST", "/machines/1/split", Some(split)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn shared_adapters_are_marked_and_unmarked() {
    let api = with_question().await;
    let here = "/shared-macs/02:00:00:00:00:02";
    let why = json!({"why": "dongle of the workshop"});
    let (status, _) = api.ask("PUT", here, Some(why)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(
        conflicts(&api).await.is_empty(),
        "it tells nothing any more"
    );
    let shared = api.get("/shared-macs").await;
    assert_eq!(shared["shared"][0]["why"], "dongle of the workshop");
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        assert_eq!(api.ask("DELETE", here, None).await.0, status);
    }
    let (status, _) = api.ask("DELETE", "/shared-macs/nonsense", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
