//! Images as the page shows them.

mod support;

use bootplan::ProfileName;
use http::StatusCode;
use support::site::Site;

#[tokio::test]
async fn an_offer_becomes_a_profile_with_one_click_and_then_keeps_the_image() {
    let (site, cookie) = Site::full().await;
    let page = site.get("/images", &cookie).await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in [
        "Debian installer for the network",
        "rescue",
        "firmware",
        "Copy ISO files",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let answer = site
        .post("/images/rescue/profiles", "profile=rescue", &cookie)
        .await;
    assert_eq!(
        (answer.status, answer.location()),
        (StatusCode::SEE_OTHER, "/images")
    );
    let name: ProfileName = "rescue".parse().expect("a name");
    assert!(site.store.catalog().profile(&name).is_some());
    let page = site.get("/images", &cookie).await.body;
    assert!(page.contains("href=\"/profiles/rescue\""), "{page}");
    let refused = site.post("/images/rescue/delete", "x=", &cookie).await;
    assert_eq!(refused.location(), "/images");
    assert!(
        refused.header("set-cookie").contains("no-Profile%20rescue"),
        "{:?}",
        refused.headers
    );
    assert!(site.dir.path().join("images/rescue").exists());
    let deleted = site.post("/images/firmware/delete", "x=", &cookie).await;
    assert_eq!(deleted.location(), "/images");
    assert!(!site.dir.path().join("images/firmware").exists());
    let gone = site.post("/images/firmware/delete", "x=", &cookie).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn names_and_labels_of_strangers_are_text() {
    let (site, cookie) = Site::full().await;
    for (n, name) in [
        "<img src=x onerror=alert(1)>",
        "a\u{202e}b",
        "\"><svg onload=alert(1)>",
    ]
    .iter()
    .enumerate()
    {
        std::fs::create_dir(site.dir.path().join("images").join(name)).expect("made");
        std::fs::write(site.dir.path().join(format!("images/{n}{name}.iso")), "x")
            .expect("written");
    }
    let body = site.get("/images", &cookie).await.body;
    for active in ["<img src=x", "<svg onload", "\u{202e}"] {
        assert!(!body.contains(active), "{active:?}");
    }
}
