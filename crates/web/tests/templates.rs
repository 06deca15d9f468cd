//! Templates, snippets, groups and secrets on their pages, as a browser without a script edits them.

mod support;

use http::StatusCode;
use support::site::Site;

/// Percent-encoded for a form.
fn enc(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// What the page's text area holds.
fn edited(page: &str) -> String {
    let area = page.split("<textarea").nth(1).expect("a text area");
    // The line break after the tag is no part of the text.
    let text = area.split_once(">\n").expect("a tag").1;
    let text = text.split("</textarea>").next().expect("it ends");
    text.replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
}

#[tokio::test]
async fn a_template_is_made_changed_and_deleted() {
    let (site, cookie) = Site::full().await;
    let list = site.get("/templates", &cookie).await.body;
    for name in ["debian-12", "ssh-keys", "rack-10"] {
        assert!(
            list.contains(&format!("/{name}\">{name}</a>")),
            "{name}: {list}"
        );
    }
    let text = "a {{ machine.name }}\r\n\r\n";
    let form = format!("name=seed&text={}", enc(text));
    let made = site.post("/templates/template", &form, &cookie).await;
    assert_eq!(made.location(), "/templates/template/seed");
    let templates = || site.store.catalog().objects().templates.clone();
    assert_eq!(templates()["seed"], "a {{ machine.name }}\n\n", "as typed");
    let again = site.post("/templates/template", &form, &cookie).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        again.body.contains("of this name already"),
        "{}",
        again.body
    );

    // What was labelled stays so when its text is changed.
    let form = format!("text={}", enc("other\n"));
    let path = "/templates/template/debian-12";
    let saved = site.post(path, &form, &cookie).await;
    assert_eq!(saved.location(), path);
    let page = site.get(path, &cookie).await.body;
    assert!(
        page.contains("<span class=\"tag\">team=web</span>"),
        "{page}"
    );
    assert_eq!(edited(&page), "other\n");
    let gone = site.post(&format!("{path}/delete"), "", &cookie).await;
    assert_eq!(gone.location(), "/templates");
    assert!(!templates().contains_key("debian-12"));
    assert_eq!(site.get(path, &cookie).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_saved_and_says_where() {
    let (site, cookie) = Site::full().await;
    let before = site.store.catalog().objects().clone();
    for (path, form, says) in [
        ("template/debian-12", "ok\n  {{ x y }}\n", "debian-12:2:8: "),
        ("snippet/ssh-keys", "{% if a %}\n", "ssh-keys:1:9: "),
        ("group/rack-10", "selector: 7\n", "rack-10:1:11: "),
        (
            "group/rack-10",
            "selector:\n  colour: [red]\n",
            "rack-10:2:3: ",
        ),
        (
            "group/rack-10",
            "variables: {}\n",
            "missing field `selector`",
        ),
    ] {
        let path = format!("/templates/{path}");
        let refused = site
            .post(&path, &format!("text={}", enc(form)), &cookie)
            .await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{form}");
        let problem = refused.body.split("data-testid=\"problem\"").nth(1);
        let problem = problem
            .expect("a problem")
            .split("</div>")
            .next()
            .expect("it ends");
        assert!(problem.contains(says), "{form}: {problem}");
        assert_eq!(edited(&refused.body), form, "what was typed is kept");
    }
    let refused = site
        .post("/templates/snippet", "name=A+b&text=x", &cookie)
        .await;
    assert!(refused.body.contains("not usable"), "{}", refused.body);
    assert_eq!(*site.store.catalog().objects(), before);
    assert_eq!(
        site.get("/templates/role", &cookie).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_group_is_edited_below_its_name_and_shows_its_machines() {
    let (site, cookie) = Site::full().await;
    let path = "/templates/group/rack-10";
    let page = site.get(path, &cookie).await.body;
    let members = page.matches("<a href=\"/machines/").count();
    assert_eq!(members, 3, "{page}");
    // What the page shows is what it takes.
    let before = site.store.catalog().objects().clone();
    let text = edited(&page).replace("&amp;", "&");
    site.post(path, &format!("text={}", enc(&text)), &cookie)
        .await;
    assert_eq!(*site.store.catalog().objects(), before);
    let text = "selector: {label: {rack: [\"99\"]}}\nvariables: {gateway: 10.99.0.1}\n";
    site.post(path, &format!("text={}", enc(text)), &cookie)
        .await;
    let page = site.get(path, &cookie).await.body;
    assert!(page.contains("None as it is saved"), "{page}");
}

#[tokio::test]
async fn secrets_are_set_and_shown_by_name_alone() {
    let (site, cookie) = Site::full().await;
    let path = "/settings/secrets";
    let page = site.get(path, &cookie).await.body;
    assert!(
        page.contains("template debian-12") && page.contains("no value yet"),
        "{page}"
    );
    let form = format!("name=power.rack10&value={}", enc(" canary\r\nline 2 "));
    let set = site.post(path, &form, &cookie).await;
    assert_eq!((set.status, set.location()), (StatusCode::SEE_OTHER, path));
    let value = || {
        site.store
            .secrets()
            .get("power.rack10")
            .map(|s| s.expose().to_owned())
    };
    assert_eq!(value().as_deref(), Some(" canary\nline 2 "));
    let page = site.get(path, &cookie).await.body;
    assert!(
        !page.contains("no value yet") && !page.contains("canary"),
        "{page}"
    );
    site.post(path, "name=Bad+name&value=x", &cookie).await;
    site.post(path, "name=empty&value=", &cookie).await;
    assert_eq!(site.store.secrets().len(), 2);
    site.post("/settings/secrets/power.rack10/delete", "", &cookie)
        .await;
    assert_eq!(value(), None);
}
