//! Images over the API: brought in, offered, used, deleted.

use super::*;
use std::path::PathBuf;
use testkit::image::{self, Flavour, pattern};

/// An ISO with a kernel and an initial RAM disk of some MiB.
fn iso(api: &Api) -> Vec<u8> {
    let (tree, iso) = (api.dir.path().join("tree"), api.dir.path().join("made"));
    std::fs::create_dir(&tree).expect("made");
    std::fs::write(tree.join("vmlinuz"), pattern(300_001, 1)).expect("written");
    std::fs::write(tree.join("initrd.gz"), pattern(9_000_001, 2)).expect("written");
    image::make(Flavour::RockRidge, &tree, &iso);
    std::fs::read(iso).expect("readable")
}

impl Api {
    async fn put(&self, path: &str, octets: &[u8]) -> (StatusCode, Value) {
        let request = Request::put(path)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Body::from(octets.to_vec()))
            .expect("a request");
        let router = self.router.clone().layer(Extension(Actor::cli()));
        let response = router.oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body");
        (
            status,
            serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null),
        )
    }

    fn image(&self, name: &str) -> PathBuf {
        self.dir.path().join("images").join(name)
    }
}

#[tokio::test]
async fn an_image_is_brought_in_offers_profiles_and_is_kept_while_one_uses_it() {
    let api = Api::open().await;
    let bytes = iso(&api);
    let new = json!({"name": "debian.iso", "size": bytes.len(), "mark": "today"});
    let (status, begun) = api.ask("POST", "/images/uploads", Some(new.clone())).await;
    assert_eq!((status, &begun["offset"]), (StatusCode::OK, &json!(0)));
    let upload = format!("/images/uploads/{}", begun["id"].as_str().expect("an id"));
    // More than any other body may have.
    let (status, state) = api
        .put(&format!("{upload}?offset=0"), &bytes[..7_000_000])
        .await;
    assert_eq!(
        (status, &state["offset"]),
        (StatusCode::OK, &json!(7_000_000))
    );
    let (status, problem) = api.put(&format!("{upload}?offset=5"), b"x").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|d| d.contains("7000000")),
        "{problem}"
    );
    let (status, _) = api.ask("POST", &format!("{upload}/finish"), None).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is not whole");
    // Whoever begins again goes on.
    let (_, resumed) = api.ask("POST", "/images/uploads", Some(new)).await;
    assert_eq!(
        (&resumed["id"], &resumed["offset"]),
        (&begun["id"], &json!(7_000_000))
    );
    assert_eq!(api.get("/images/uploads").await["uploads"][0], resumed);
    assert_eq!(api.get(&upload).await, resumed);
    api.put(&format!("{upload}?offset=7000000"), &bytes[7_000_000..])
        .await;
    let (status, problem) = api.ask("POST", &format!("{upload}/finish"), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{problem}");
    assert_eq!(
        std::fs::read(api.image("debian.iso")).expect("there"),
        bytes
    );

    let image = api.get("/images/debian.iso").await;
    assert_eq!(image["state"], "ready");
    assert_eq!(image["recognised"][0]["offers"][0]["name"], "debian");
    let checked = api.ask("POST", "/images/debian.iso/check", None).await.1;
    assert_eq!(
        (&checked["sound"], &checked["sha256"]),
        (&json!(true), &image["sha256"])
    );
    let offers = "/images/debian.iso/profiles";
    let none = json!({"profiles": ["other"]});
    assert_eq!(
        api.ask("POST", offers, Some(none)).await.0,
        StatusCode::NOT_FOUND
    );
    let (status, made) = api.ask("POST", offers, Some(json!({}))).await;
    assert_eq!(
        (status, &made["profiles"][0]["name"]),
        (StatusCode::CREATED, &json!("debian"))
    );
    assert_eq!(
        api.get("/profiles/debian").await["boot"]["kernel"],
        "debian/vmlinuz"
    );
    let (status, problem) = api.ask("POST", offers, Some(json!({}))).await;
    assert_eq!(
        status,
        StatusCode::CONFLICT,
        "what people may have changed stays: {problem}"
    );

    assert_eq!(
        api.get("/images/debian.iso").await["used_by"],
        json!(["debian"])
    );
    let (status, problem) = api.ask("DELETE", "/images/debian.iso", None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|d| d.contains("debian")),
        "{problem}"
    );
    api.ask("DELETE", "/profiles/debian", None).await;
    assert_eq!(
        api.ask("DELETE", "/images/debian.iso", None).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(api.get("/images").await["images"], json!([]));
    assert!(!api.image("debian.iso").exists());
}

#[tokio::test]
async fn an_image_that_machines_read_or_a_template_names_is_kept() {
    let api = Api::open().await;
    std::fs::create_dir(api.image("live")).expect("made");
    std::fs::write(api.image("live/root.squashfs"), [7; 900]).expect("written");
    let refused = async |words: &str| {
        let (status, problem) = api.ask("DELETE", "/images/live", None).await;
        assert_eq!(status, StatusCode::CONFLICT);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(words), "{problem}");
    };
    let seed = json!({"kind": "template", "name": "seed", "text": "wget {{ file('live/root.squashfs') }}"});
    let (status, problem) = api.ask("PUT", "/objects/template/seed", Some(seed)).await;
    assert!(status.is_success(), "{problem}");
    let seen = api.get("/images/live").await;
    assert_eq!(
        (&seen["bytes"], &seen["named_by"], &seen["last_served"]),
        (&json!(900), &json!(["template seed"]), &Value::Null)
    );
    refused("image live is used by template seed").await;
    api.ask("DELETE", "/objects/template/seed", None).await;

    let images = api.state.image_store.clone().expect("there");
    let read = "live/root.squashfs".parse().expect("a path");
    images.exported([read].into(), 5000);
    assert_eq!(api.get("/images/live").await["last_served"], 5000);
    refused("machines read live by NBD now").await;
    let forced = api.ask("DELETE", "/images/live?force=true", None).await;
    assert_eq!(forced.0, StatusCode::NO_CONTENT);
    assert!(!api.image("live").exists());
}

#[tokio::test]
async fn what_cannot_become_an_image_is_refused_with_the_reason() {
    let api = Api::open().await;
    for name in [
        "../evil.iso",
        "/etc/passwd",
        ".staging/x",
        "a b.iso",
        "a\nb",
        "<script>.iso",
        "",
    ] {
        let new = json!({"name": name, "size": 1});
        let (status, problem) = api.ask("POST", "/images/uploads", Some(new)).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{name}: {problem}"
        );
    }
    let huge = json!({"name": "x.iso", "size": 1_u64 << 60});
    let (status, problem) = api.ask("POST", "/images/uploads", Some(huge)).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{problem}");
    let page = json!({"name": "page.iso", "size": 5});
    let (_, begun) = api.ask("POST", "/images/uploads", Some(page)).await;
    let upload = format!("/images/uploads/{}", begun["id"].as_str().expect("an id"));
    let (status, _) = api.put(&format!("{upload}?offset=0"), b"<html>").await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    api.put(&format!("{upload}?offset=0"), b"<html").await;
    let (status, problem) = api.ask("POST", &format!("{upload}/finish"), None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(api.get("/images").await["images"], json!([]));
    let (status, _) = api.ask("DELETE", &upload, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "it is gone already");
    for path in [
        "/images/none.iso",
        "/images/..%2f..%2fetc",
        "/images/.farrier",
    ] {
        assert_eq!(
            api.ask("GET", path, None).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
        assert_eq!(
            api.ask("DELETE", path, None).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}
