//! Who may do what: users and tokens.

use super::*;

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
