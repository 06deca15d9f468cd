//! What files say of profiles, machines and the site beyond their fields, as a browser without a
//! script edits it: answers, variables, limits, the way to the disk.

mod support;

use http::StatusCode;
use support::site::Site;

/// Percent-encoded for a form.
fn enc(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// What the text area of this name holds, as its page shows it.
fn edited(page: &str, name: &str) -> String {
    let area = page.split(&format!("name=\"{name}\"")).nth(1);
    // The line break after the tag is no part of the text.
    let text = area.expect("a text area").split_once(">\n").expect("a tag");
    let text = text.1.split("</textarea>").next().expect("it ends");
    text.replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let found = page.split(&format!("name=\"{name}\" value=\"")).nth(1);
    let found = found.expect("a field").split('"').next();
    found.expect("it ends").to_owned()
}

const ANSWERS: &str = "answers:\n- name: preseed.cfg\n  kind: preseed\n  template: debian-12\n\
                       variables:\n  gateway: 10.0.0.1\ninstall: {tries: 2, minutes: 90}\n";

#[tokio::test]
async fn a_profile_is_given_its_answers_on_its_page() {
    let (site, cookie) = Site::full().await;
    let form = "title=Auto&enabled=1&kind=linux&kernel=debian-12/linux\
                &args=preseed/url%3D%7B%7B+answer%28%22preseed.cfg%22%29+%7D%7D";
    let made = format!(
        "{form}&name=auto&more={}",
        enc(&ANSWERS.replace('\n', "\r\n"))
    );
    let made = site.post("/profiles/new", &made, &cookie).await;
    assert_eq!(made.location(), "/profiles/auto", "{}", made.body);
    let stored = || {
        let name = "auto".parse().expect("a slug");
        let profile = site.store.catalog().profile(&name).cloned();
        profile.expect("it is stored")
    };
    assert_eq!(stored().answers[0].name, "preseed.cfg");
    assert_eq!(
        stored().install.map(|limit| (limit.tries, limit.minutes)),
        Some((2, 90))
    );
    assert!(stored().installs());

    // What the page shows is what it takes.
    let before = stored();
    let page = site.get("/profiles/auto", &cookie).await.body;
    let (shown, was) = (edited(&page, "more"), hidden(&page, "was_more"));
    assert!(shown.contains("template: debian-12"), "{shown}");
    let save = |more: &str| format!("{form}&was_more={was}&more={}", enc(more));
    site.post(
        "/profiles/auto",
        &format!("{form}&more={}", enc(&shown)),
        &cookie,
    )
    .await;
    assert_eq!(stored(), before);

    // What was left alone is not saved over what files have changed since.
    let name = before.name.clone();
    let mut newer = before.as_ref().clone();
    newer.install = None;
    site.store.put_profile(newer, "files").await.expect("saved");
    site.post("/profiles/auto", &save(&shown), &cookie).await;
    assert_eq!(stored().install, None);
    site.post("/profiles/auto", form, &cookie).await;
    assert_eq!(
        stored().answers.len(),
        1,
        "a form without the field takes nothing away"
    );

    // What is wrong says where, and nothing that was typed is lost.
    for (text, says) in [
        (
            "answers:\n- name: x\n  text: a\n  hours: 3\n",
            "4:3: answers[0]: unknown field `hours`",
        ),
        (
            "install: {tries: 50, minutes: 60}\n",
            "1:1: install: tries go from 1 to 20",
        ),
        (
            "answers:\n- name: x\n",
            "2:3: answer 'x': it has either a template or a text",
        ),
    ] {
        let refused = site.post("/profiles/auto", &save(text), &cookie).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        let problem = refused
            .body
            .split("id=\"error-more\">")
            .nth(1)
            .expect("said");
        assert!(
            problem.replace("&#39;", "'").starts_with(says),
            "{text}: {problem}"
        );
        assert_eq!(edited(&refused.body, "more"), text);
    }
    site.post("/profiles/auto", &save(""), &cookie).await;
    assert!(stored().answers.is_empty() && stored().variables.is_empty());
    assert!(site.store.catalog().profile(&name).is_some());
}

#[tokio::test]
async fn a_profiles_page_shows_what_a_machine_would_fetch() {
    let (site, cookie) = Site::full().await;
    let form = format!(
        "title=A&kind=linux&kernel=a&name=auto&more={}",
        enc(ANSWERS)
    );
    site.post("/profiles/new", &form, &cookie).await;
    let look = async |query: &str| {
        site.get(&format!("/profiles/auto{query}"), &cookie)
            .await
            .body
    };
    let page = look("").await;
    assert!(
        page.contains("name one to see what it would fetch"),
        "{page}"
    );
    let page = look("?machine=forge-02").await;
    assert!(
        page.contains("d-i netcfg/get_hostname string forge-02"),
        "{page}"
    );
    assert!(!page.contains("$6$rounds"), "secrets are masked");
    assert!(
        look("?machine=nobody")
            .await
            .contains("There is no machine nobody")
    );
    // Before it is saved, too, and with the place of what is wrong.
    let broken = enc("answers:\n- {name: x, text: 'a {{ nowhere }}'}\n");
    let form = format!("title=A&kind=linux&kernel=a&machine=forge-02&action=preview&more={broken}");
    let page = site.post("/profiles/auto", &form, &cookie).await.body;
    assert!(page.contains("1 fault"), "{page}");
    assert!(page.contains("nowhere"), "{page}");
    // One that it is assigned to needs no question.
    let assigned = "profile=auto";
    site.post("/machines/3/assign", assigned, &cookie).await;
    let plain = site.get("/profiles/memtest86", &cookie).await.body;
    assert!(plain.contains("boot files alone"), "{plain}");
}

#[tokio::test]
async fn a_machine_is_given_variables_and_its_way_to_the_disk() {
    let (site, cookie) = Site::full().await;
    let page = site.get("/machines/1", &cookie).await.body;
    let was = hidden(&page, "was_variables");
    let post = |variables: &str, rest: &str| {
        format!("was_variables={was}&variables={}&{rest}", enc(variables))
    };
    let machine = || {
        let record = site.store.machine(bootplan::MachineId(1));
        record.expect("it is there").machine
    };
    let text = "hostname: ws1\r\ndisks: [sda, sdb]\r\n";
    let rest = "asset=A-77&was_asset=&local_boot=first-disk&was_local_boot=";
    let saved = site
        .post("/machines/1/more", &post(text, rest), &cookie)
        .await;
    assert_eq!(saved.location(), "/machines/1", "{}", saved.body);
    assert_eq!(machine().asset.as_deref(), Some("A-77"));
    assert_eq!(machine().local_boot, Some(bootplan::LocalBoot::FirstDisk));
    assert_eq!(
        machine().variables.get("disks"),
        Some(&serde_json::json!(["sda", "sdb"]))
    );
    let page = site.get("/machines/1", &cookie).await.body;
    assert!(
        edited(&page, "variables").contains("hostname: ws1"),
        "{page}"
    );
    assert!(page.contains("value=\"first-disk\" selected"), "{page}");

    let before = machine();
    let wrong = "hostname: ws1\nHost: x\n";
    let refused = site
        .post("/machines/1/more", &post(wrong, rest), &cookie)
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.body.contains("2:1: variable name"),
        "{}",
        refused.body
    );
    assert_eq!(edited(&refused.body, "variables"), wrong);
    assert_eq!(machine(), before);
    // Back to what the site says.
    let rest = "asset=&was_asset=A-77&local_boot=&was_local_boot=first-disk";
    site.post("/machines/1/more", &post(text, rest), &cookie)
        .await;
    assert_eq!(
        (machine().local_boot, machine().asset.clone()),
        (None, None)
    );
}

#[tokio::test]
async fn the_site_is_given_variables() {
    let (site, cookie) = Site::full().await;
    let page = site.get("/settings", &cookie).await.body;
    let was = hidden(&page, "was_variables");
    let post = |text: &str| format!("was_variables={was}&variables={}", enc(text));
    let path = "/settings/variables";
    let saved = site.post(path, &post("timezone: UTC\n"), &cookie).await;
    assert_eq!(saved.location(), "/settings", "{}", saved.body);
    let known = || site.store.site().variables;
    assert_eq!(known().get("timezone"), Some(&"UTC".into()));
    let wrong = "timezone: UTC\n  x: [\n";
    let refused = site.post(path, &post(wrong), &cookie).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.body.contains("data-testid=\"variables-problem\""),
        "{}",
        refused.body
    );
    assert_eq!(edited(&refused.body, "variables"), wrong);
    assert_eq!(known().get("timezone"), Some(&"UTC".into()));
    // The page was opened before: what is not changed on it stays as it is now.
    site.post(path, &post(""), &cookie).await;
    assert_eq!(known().get("timezone"), Some(&"UTC".into()));
}
