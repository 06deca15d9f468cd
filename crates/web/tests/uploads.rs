//! What network hardware has stored, as pages show it.

mod support;

use bootplan::{EventKind, Transport};
use http::StatusCode;
use support::site::Site;

/// The cells of the rows of a table as text.
fn rows(page: &str, testid: &str) -> Vec<String> {
    let mark = format!("data-testid=\"{testid}\"");
    let rows = page.split("<tr").filter(|row| row.contains(&mark));
    rows.map(|row| {
        let row = row.split("</tr>").next().unwrap_or_default();
        let row = &row[row.find('>').expect("the tag ends") + 1..];
        let mut text = String::new();
        let mut inside = false;
        for c in row.chars() {
            match c {
                '<' => {
                    inside = true;
                    text.push(' ');
                }
                '>' => inside = false,
                c if !inside => text.push(c),
                _ => {}
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    })
    .collect()
}

#[tokio::test]
async fn the_list_says_who_stored_what_and_what_it_changed() {
    let (site, cookie) = Site::full().await;
    let page = site.get("/uploads", &cookie).await;
    assert_eq!(page.status, StatusCode::OK);
    let shown: Vec<String> = rows(&page.body, "upload-row")
        .iter()
        .map(|row| {
            row.rsplit_once(' ')
                .expect("a checksum at the end")
                .0
                .to_owned()
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    configs/core/sw1.cfg forge-01 192.168.77.16 1 min ago 114 B as before
    configs/&#60;i&#62;tricks&#60;/i&#62;�.cfg 192.168.77.42 52:54:00:a1:17:2a 10 min ago 2 B first of its name
    configs/core/sw1.cfg forge-01 192.168.77.16 2 h ago 114 B +1 −3 lines
    configs/phone-7.bin 192.168.77.41 52:54:00:a1:17:29 1 d ago 9.0 kB first of its name
    configs/core/sw1.cfg 192.168.77.40 52:54:00:a1:17:28 2 d ago 138 B +2 −0 lines
    configs/core/sw1.cfg 192.168.77.40 52:54:00:a1:17:28 9 d ago 110 B first of its name
    ");
    assert!(page.body.contains("of 1.0 MB, every version kept"));
}

#[tokio::test]
async fn one_upload_shows_its_difference_and_all_versions() {
    let (site, cookie) = Site::full().await;
    let newest = site
        .get("/uploads/file?name=configs/core/sw1.cfg", &cookie)
        .await;
    assert!(newest.body.contains("The same content as before."));
    let versions = rows(&newest.body, "version-row");
    assert_eq!(versions.len(), 4);

    let second = versions[2].split(' ').next().expect("a version");
    let path = format!("/uploads/file?name=configs%2Fcore%2Fsw1.cfg&version={second}");
    let page = site.get(&path, &cookie).await.body;
    assert!(page.contains("not the newest"));
    assert!(
        page.contains("<span class=\"add\">+ name &#60;b&#62;guests&#60;/b&#62;</span>"),
        "escaped: {page}"
    );
    let first = site
        .get("/uploads/file?name=configs/phone-7.bin", &cookie)
        .await;
    assert!(first.body.contains("There is none before it."));
}

#[tokio::test]
async fn the_timeline_leads_to_the_upload() {
    let (site, cookie) = Site::full().await;
    let list = site.get("/uploads", &cookie).await.body;
    let link = list.split("href=\"/uploads/file?").nth(1).expect("a link");
    let link = link.split('"').next().expect("it ends");
    let version = link.rsplit("version=").next().expect("a version");
    let stored = EventKind::FileStored {
        transport: Transport::Tftp,
        path: "configs/core/sw1.cfg".to_owned(),
        bytes: 114,
        millis: 7,
        sha256: String::new(),
        version: version.to_owned(),
        transfer: None,
    };
    let event = support::event(support::mac(0), support::now(), stored);
    site.store.append(vec![event]).await.expect("stored");
    let page = site.get("/boots", &cookie).await.body;
    let expected = format!("<a href=\"/uploads/file?{link}\">Stored configs/core/sw1.cfg</a>");
    assert!(page.contains(&expected), "{page}");
}

#[tokio::test]
async fn content_is_saved_and_never_shown() {
    let (site, cookie) = Site::full().await;
    let page = site
        .get("/uploads/file?name=configs/core/sw1.cfg", &cookie)
        .await;
    let link = page
        .body
        .split("href=\"/uploads/content?")
        .nth(1)
        .expect("a link");
    let query = link
        .split('"')
        .next()
        .expect("it ends")
        .replace("&amp;", "&")
        .replace("&#38;", "&");
    let content = site
        .get(&format!("/uploads/content?{query}"), &cookie)
        .await;
    assert_eq!(content.status, StatusCode::OK);
    assert!(content.body.starts_with("version 15.2\nhostname sw1-new\n"));
    assert_eq!(content.header("content-type"), "application/octet-stream");
    assert_eq!(
        content.header("content-disposition"),
        "attachment; filename=\"sw1.cfg\""
    );
    assert_eq!(content.header("x-content-type-options"), "nosniff");
    assert_eq!(
        content.header("content-length"),
        content.body.len().to_string()
    );
    let stranger = site.get(&format!("/uploads/content?{query}"), "").await;
    assert!(
        stranger.location().starts_with("/login"),
        "{}",
        stranger.status
    );
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_no_uploads() {
    let (site, cookie) = Site::full().await;
    for (path, status) in [
        ("/uploads/file?name=configs/none", StatusCode::NOT_FOUND),
        ("/uploads/file?name=etc/passwd", StatusCode::NOT_FOUND),
        (
            "/uploads/file?name=configs/../../etc/passwd",
            StatusCode::BAD_REQUEST,
        ),
        (
            "/uploads/file?name=configs/.farrier/uploads",
            StatusCode::BAD_REQUEST,
        ),
        ("/uploads/file", StatusCode::BAD_REQUEST),
        ("/uploads/content", StatusCode::BAD_REQUEST),
        (
            "/uploads/content?name=configs/core/sw1.cfg&version=../../x",
            StatusCode::BAD_REQUEST,
        ),
        (
            "/uploads/content?name=configs/core/sw1.cfg&version=2026-01-01T00-00-00.000Z",
            StatusCode::NOT_FOUND,
        ),
        ("/uploads?before=nonsense", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(site.get(path, &cookie).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn without_drop_boxes_the_page_says_how_to_have_one() {
    let site = Site::empty().await;
    let cookie = site.set_up().await;
    let page = site.get("/uploads", &cookie).await;
    assert!(page.body.contains("Writing is off"));
    assert!(page.body.contains("drop_boxes:"));
}

#[tokio::test]
async fn the_api_tells_the_same() {
    let (site, cookie) = Site::full().await;
    let get = async |path: &str| -> serde_json::Value {
        let answer = site.get(&format!("/api/v1{path}"), &cookie).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    };
    let first = get("/uploads?limit=4").await;
    assert_eq!(first["uploads"].as_array().map(Vec::len), Some(4));
    assert_eq!(first["uploads"][0]["machine"], "forge-01");
    assert_eq!(first["uploads"][0]["change"]["kind"], "same");
    assert_eq!(first["drop_boxes"][0]["overwrite"], "version");
    let older = first["older"].as_str().expect("there are older ones");
    let rest = get(&format!("/uploads?before={}", older.replace(' ', "+"))).await;
    assert_eq!(rest["uploads"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest["older"], serde_json::Value::Null);

    let all = get("/uploads/versions?name=configs/core/sw1.cfg").await;
    let version = all["uploads"][2]["version"].as_str().expect("text");
    let query = format!("name=configs/core/sw1.cfg&version={version}");
    let difference = get(&format!("/uploads/diff?{query}")).await;
    assert_eq!(difference["change"]["added"], 2);
    let unified = difference["unified"].as_str().expect("text");
    assert!(unified.contains("\n+vlan 20\n"), "{unified}");
    let content = site
        .get(&format!("/api/v1/uploads/content?{query}"), &cookie)
        .await;
    assert!(content.body.contains("guests"));
}
