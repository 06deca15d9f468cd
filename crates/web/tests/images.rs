//! Images as the page shows them.

mod support;

use bootplan::ProfileName;
use http::StatusCode;
use std::time::{Duration, Instant};
use support::site::Site;
use testkit::image::{self, Flavour};
use testkit::web::Web;

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
        refused
            .header("set-cookie")
            .contains("no-Image%20rescue%20is%20used%20by%20profile%20rescue"),
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

/// Looks at the page until it says something.
async fn until(site: &Site, cookie: &str, words: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let body = site.get("/images", cookie).await.body;
        if body.contains(words) {
            return body;
        }
        assert!(Instant::now() < deadline, "{words}: {body}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The address that a form of the page has.
fn action<'a>(page: &'a str, ending: &str) -> &'a str {
    let actions = page.split("action=\"").skip(1);
    let mut actions = actions.filter_map(|rest| rest.split('"').next());
    let found =
        actions.find(|action| action.starts_with("/images/fetches/") && action.ends_with(ending));
    found.expect("there is such a form")
}

#[tokio::test]
async fn a_url_becomes_an_image_without_any_script() {
    let (site, cookie) = Site::full().await;
    let page = site.get("/images", &cookie).await.body;
    assert!(
        page.contains("action=\"/images/fetches\"") && page.contains("outgoing.allow"),
        "{page}"
    );
    let (tree, iso) = (site.dir.path().join("tree"), site.dir.path().join("made"));
    std::fs::create_dir(&tree).expect("made");
    std::fs::write(tree.join("vmlinuz"), "x").expect("written");
    image::make(Flavour::RockRidge, &tree, &iso);
    let web = Web::start();
    web.file("/fresh.iso", &std::fs::read(iso).expect("readable"), "v1");
    web.change("/fresh.iso", |page| page.gate = Some(1000));
    let url = web.url("/fresh.iso?key=secret");
    let form = format!("url={url}&name=&sha256=&sums=");
    let answer = site.post("/images/fetches", &form, &cookie).await;
    assert_eq!(
        (answer.status, answer.location()),
        (StatusCode::SEE_OTHER, "/images")
    );
    let page = until(&site, &cookie, "Fetched of fresh.iso").await;
    assert!(
        page.contains("data-busy") && page.contains("for morgan"),
        "{page}"
    );
    assert!(!page.contains("secret"), "{page}");
    web.let_go();
    let page = until(&site, &cookie, "data-testid=\"not-verified\"").await;
    assert!(page.contains("fetched by morgan"), "{page}");
}

#[tokio::test]
async fn what_is_not_fetched_says_why_and_can_be_tried_again() {
    let (site, cookie) = Site::full().await;
    let web = Web::start();
    let form = format!("url={}", web.url("/gone.iso"));
    site.post("/images/fetches", &form, &cookie).await;
    let page = until(&site, &cookie, "answered 404").await;
    let retry = action(&page, "/retry").to_owned();
    let answer = site.post(&retry, "x=", &cookie).await;
    assert_eq!(answer.location(), "/images");
    let page = until(&site, &cookie, "answered 404").await;
    let cancel = action(&page, "/cancel").to_owned();
    site.post(&cancel, "x=", &cookie).await;
    let page = site.get("/images", &cookie).await.body;
    assert!(!page.contains("gone.iso"), "{page}");
    let gone = site.post(&cancel, "x=", &cookie).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_refused_stays_as_it_was_typed() {
    let (site, cookie) = Site::full().await;
    let form = "url=ftp%3A%2F%2Fx%2Fy.iso&name=%22mine%22.iso&sha256=12&sums=https%3A%2F%2Fx%2FSUMS\
                &signature=https%3A%2F%2Fx%2FSIG&keyring=-----BEGIN%20x%0A%3Cb%3E&keyring_file=";
    let answer = site.post("/images/fetches", form, &cookie).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    for text in [
        "data-testid=\"fetch-refused\"",
        "only http",
        "<details class=\"more\" open><summary data-testid=\"fetch-open\">",
        "value=\"ftp://x/y.iso\"",
        "value=\"&#34;mine&#34;.iso\"",
        "value=\"12\"",
        "value=\"https://x/SUMS\"",
        "value=\"https://x/SIG\"",
        "-----BEGIN x\n&#60;b&#62;</textarea>",
    ] {
        assert!(answer.body.contains(text), "{text}: {}", answer.body);
    }
    assert!(
        !answer
            .body
            .contains("open><summary data-testid=\"mirror-open\"")
    );
    // The other form, and a name that the API has other plans for.
    let form = "mirror=nobody&url=http%3A%2F%2Fx%2Fdebian&name=";
    let answer = site.post("/images/fetches", form, &cookie).await;
    let page = &answer.body;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.contains("open><summary data-testid=\"mirror-open\""),
        "{page}"
    );
    assert!(page.contains("value=\"http://x/debian\""), "{page}");
    let form = "url=http%3A%2F%2Fx%2Fy&name=uploads%2Fvmlinuz";
    let answer = site.post("/images/fetches", form, &cookie).await;
    assert!(answer.body.contains("cannot be called"), "{}", answer.body);
    assert_eq!(
        site.get("/images", &cookie)
            .await
            .body
            .matches("fetch-refused")
            .count(),
        0
    );
}
