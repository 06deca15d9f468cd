//! Images that the server fetches, over the API.

use super::*;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use testkit::gpg::Gpg;
use testkit::image::{self, Flavour, pattern};
use testkit::web::Web;

async fn ended(api: &Api, path: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let job = api.get(path).await;
        if ["done", "failed"].map(Value::from).contains(&job["stage"]) {
            return job;
        }
        assert!(Instant::now() < deadline, "{job}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_fetch_is_ordered_followed_and_ends_as_an_image() {
    let api = Api::open().await;
    let (tree, iso) = (api.dir.path().join("tree"), api.dir.path().join("made"));
    std::fs::create_dir(&tree).expect("made");
    std::fs::write(tree.join("vmlinuz"), pattern(300_001, 1)).expect("written");
    image::make(Flavour::RockRidge, &tree, &iso);
    let bytes = std::fs::read(iso).expect("readable");
    let sum = HEXLOWER.encode(&Sha256::digest(&bytes));
    let web = Web::start();
    web.file("/x.iso", &bytes, "v1");
    let wanted = json!({"url": web.url("/x.iso?key=secret"), "sha256": sum});
    let (status, begun) = api.ask("POST", "/images/fetches", Some(wanted)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
    assert_eq!(
        (&begun["name"], &begun["by"]),
        (&json!("x.iso"), &json!("cli"))
    );
    assert!(!begun.to_string().contains("secret"), "{begun}");
    let path = format!("/images/fetches/{}", begun["id"].as_str().expect("an id"));
    let job = ended(&api, &path).await;
    assert_eq!(
        (&job["stage"], &job["sha256"]),
        (&json!("done"), &json!(sum))
    );
    let shown = api.get("/images/x.iso").await;
    assert_eq!(shown["verified"], "the SHA-256 that cli gave");
    assert_eq!(shown["from"], web.url("/x.iso"));
    assert_eq!(api.get("/images/fetches").await["fetches"][0], job);
    let (status, _) = api.ask("POST", &format!("{path}/retry"), None).await;
    assert_eq!(status, StatusCode::CONFLICT, "it has not failed");
    let (status, _) = api.ask("DELETE", &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(api.get("/images/fetches").await["fetches"], json!([]));
    let (status, _) = api.ask("GET", &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        api.dir.path().join("images/x.iso").exists(),
        "that was the list only"
    );
}

#[tokio::test]
async fn what_cannot_be_fetched_is_refused_or_says_why() {
    let api = Api::open().await;
    std::fs::write(api.dir.path().join("images/there.iso"), "x").expect("written");
    for (wanted, status) in [
        (
            json!({"url": "file:///etc/shadow"}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({"url": "http://127.0.0.1/"}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({"url": "http://127.0.0.1/vmlinuz"}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({"url": "http://127.0.0.1/x.iso", "sha256": "abc"}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({"url": "http://127.0.0.1/x.iso", "name": "../x.iso"}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({"url": "http://127.0.0.1/there.iso"}),
            StatusCode::CONFLICT,
        ),
    ] {
        let (got, problem) = api
            .ask("POST", "/images/fetches", Some(wanted.clone()))
            .await;
        assert_eq!(got, status, "{wanted}: {problem}");
    }
    assert_eq!(api.get("/images/fetches").await["fetches"], json!([]));
    let inner = json!({"url": "http://10.1.2.3/x.iso"});
    let (_, begun) = api.ask("POST", "/images/fetches", Some(inner)).await;
    let job = ended(
        &api,
        &format!("/images/fetches/{}", begun["id"].as_str().expect("an id")),
    )
    .await;
    let why = job["why"].as_str().unwrap_or_default();
    assert!(why.contains("outgoing.allow"), "{job}");
}

#[tokio::test]
async fn a_signed_list_and_a_keyring_are_taken_as_they_come() {
    let api = Api::open().await;
    let ann = Gpg::with("Ann");
    let web = Web::start();
    let sums = ann.clearsigned(format!("{}  x.iso\n", "a".repeat(64)).as_bytes());
    web.file("/x.iso", b"not what the list says", "v1");
    web.file("/SHA256SUMS", &sums, "v1");
    let keyrings = api.dir.path().join("keyrings");
    std::fs::create_dir(&keyrings).expect("made");
    std::fs::write(keyrings.join("ann.gpg"), ann.keyring(false)).expect("written");
    let choices = api.get("/images/fetches/choices").await;
    assert_eq!(choices["keyrings"], json!(["ann.gpg"]));
    assert_eq!(choices["mirrors"][0]["name"], "debian-12-netboot");
    let armoured = String::from_utf8(ann.keyring(true)).expect("text");
    let base64 = data_encoding::BASE64.encode(&ann.keyring(false));
    for keys in [
        json!({"keyring": armoured}),
        json!({"keyring": base64}),
        json!({"keyring_file": "ann.gpg"}),
    ] {
        let mut wanted = json!({"url": web.url("/x.iso"), "sha256sums": web.url("/SHA256SUMS")});
        wanted
            .as_object_mut()
            .expect("an object")
            .extend(keys.as_object().expect("an object").clone());
        let (status, begun) = api.ask("POST", "/images/fetches", Some(wanted)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
        let path = format!("/images/fetches/{}", begun["id"].as_str().expect("an id"));
        let job = ended(&api, &path).await;
        // The list was believed, and the file was not.
        let why = job["why"].as_str().unwrap_or_default();
        assert!(
            why.contains(&format!("announced was {}", "a".repeat(64))),
            "{job}"
        );
        assert!(
            job["verified"]
                .as_str()
                .is_some_and(|by| by.contains("signed by Ann")),
            "{job}"
        );
        api.ask("DELETE", &path, None).await;
    }
    for wanted in [
        json!({"url": web.url("/x.iso"), "keyring": "?", "sha256sums": web.url("/SHA256SUMS")}),
        json!({"url": web.url("/x.iso"), "keyring_file": "../../etc/x.gpg"}),
        json!({"url": web.url("/x.iso"), "signature_url": web.url("/x.sig")}),
        json!({"mirror": "debian-12-netboot"}),
    ] {
        let (status, problem) = api.ask("POST", "/images/fetches", Some(wanted)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    }
}
