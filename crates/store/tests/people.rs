//! People, their sessions and tokens; on SQLite and on a real PostgreSQL.

mod common;

use common::{Place, on_both};
use std::time::Duration;
use store::StoreError;

on_both!(
    the_first_user_uses_up_the_link,
    sessions_end,
    tokens_are_shown_once,
);

async fn the_first_user_uses_up_the_link(place: Place) {
    let store = place.open().await;
    let old = store
        .create_setup_secret()
        .await
        .expect("made")
        .expect("nobody yet");
    let link = store
        .create_setup_secret()
        .await
        .expect("made")
        .expect("nobody yet");
    assert!(
        !store.check_setup_secret(&old).await.expect("checked"),
        "void"
    );
    assert!(store.check_setup_secret(&link).await.expect("checked"));
    let error = store
        .create_first_user("guess", "ann", "$argon2$")
        .await
        .expect_err("wrong");
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    let error = store
        .create_first_user(&link, "a\0b", "$argon2$")
        .await
        .expect_err("illegal");
    assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    // A refused attempt does not use it up.
    store
        .create_first_user(&link, "Ann", "$argon2$")
        .await
        .expect("created");
    assert!(
        store
            .create_first_user(&link, "eve", "$argon2$")
            .await
            .is_err(),
        "used up"
    );
    assert!(!store.check_setup_secret(&link).await.expect("checked"));
    let store = place.reopen(store).await;
    assert_eq!(store.create_setup_secret().await.expect("asked"), None);
    assert_eq!(store.user_count().await.expect("counted"), 1);
    let ann = store.user("ANN").await.expect("read").expect("there");
    assert_eq!(
        (ann.name.as_str(), ann.password_hash.as_str()),
        ("Ann", "$argon2$")
    );
    let error = store
        .create_user("ann", "x", "Ann")
        .await
        .expect_err("taken");
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert!(
        store.delete_user("Ann", "Ann").await.is_err(),
        "the last one stays"
    );
    store.create_user("bob", "x", "Ann").await.expect("created");
    store.delete_user("Ann", "bob").await.expect("deleted");
    assert_eq!(store.users().await.expect("read").len(), 1);
    assert_eq!(store.user("no\0body").await.expect("read"), None);
    store.close().await;
}

async fn sessions_end(place: Place) {
    let store = place.open().await;
    store
        .create_user("ann", "x", "set-up")
        .await
        .expect("created");
    let hour = Duration::from_secs(3600);
    let one = store.create_session("Ann", hour).await.expect("begun");
    let two = store.create_session("ann", hour).await.expect("begun");
    let over = store
        .create_session("ann", Duration::ZERO)
        .await
        .expect("begun");
    assert!(store.create_session("eve", hour).await.is_err());
    let store = place.reopen(store).await;
    let session = store.session(&one).await.expect("read").expect("goes on");
    assert_eq!(session.user, "ann");
    assert_eq!(session.expires.0 - session.created.0, 3_600_000);
    assert_eq!(store.session(&over).await.expect("read"), None);
    assert_eq!(store.session("guess").await.expect("read"), None);
    store.delete_session(&one).await.expect("ended");
    store.delete_session(&one).await.expect("no error");
    assert_eq!(store.session(&one).await.expect("read"), None);
    assert!(store.session(&two).await.expect("read").is_some());
    store
        .set_password("ann", "y", "ann")
        .await
        .expect("changed");
    assert_eq!(
        store.session(&two).await.expect("read"),
        None,
        "a new password ends them"
    );
    let three = store.create_session("ann", hour).await.expect("begun");
    store.delete_sessions("ann").await.expect("ended");
    assert_eq!(store.session(&three).await.expect("read"), None);
    store.close().await;
}

async fn tokens_are_shown_once(place: Place) {
    let store = place.open().await;
    store
        .create_user("ann", "x", "set-up")
        .await
        .expect("created");
    let (made, secret) = store
        .create_token("ann", "backup", None)
        .await
        .expect("made");
    let (_, over) = store
        .create_token("ann", "old", Some(Duration::ZERO))
        .await
        .expect("made");
    let store = place.reopen(store).await;
    let used = store.token(&secret).await.expect("read").expect("known");
    assert_eq!(used, made);
    assert_eq!(store.token(&over).await.expect("read"), None);
    let listed = store.tokens().await.expect("read");
    assert_eq!(listed.len(), 2);
    assert!(listed[0].last_used.is_some(), "its use was noted");
    store.delete_token(made.id, "ann").await.expect("deleted");
    assert_eq!(store.token(&secret).await.expect("read"), None);
    assert!(store.delete_token(made.id, "ann").await.is_err());
    store.close().await;
}
