//! The Files page, and what is done to many machines on the list, as a browser without a script does it.

mod support;

use http::StatusCode;
use support::site::Site;

/// Percent-encoded for a form.
fn enc(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// The hidden field that says what was seen.
fn expect(page: &str) -> String {
    let rest = page.split("name=\"expect\" value=\"").nth(1);
    let rest = rest.expect("a difference is shown");
    rest.split('"').next().expect("it ends").to_owned()
}

const NODE: &str = "kind: machine\nname: new-1\nmacs: [52:54:00:cc:00:01]\nserial: A\n";
const PAGE: &str = "/settings/files";

#[tokio::test]
async fn a_difference_is_seen_before_it_is_applied() {
    let (site, cookie) = Site::full().await;
    let before = site.store.machines().len();
    // As a browser sends line ends.
    let text = enc(&NODE.replace('\n', "\r\n"));
    let shown = site
        .post(PAGE, &format!("text={text}&action=show"), &cookie)
        .await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
    assert!(shown.body.contains("+ machine new-1"), "{}", shown.body);
    let seen = expect(&shown.body);
    assert_eq!(site.store.machines().len(), before, "only shown");

    // Another text, or no look at all, is not what was agreed to.
    let other = text.replace(&enc("new-1"), &enc("new-2"));
    for form in [
        format!("text={other}&action=apply&expect={seen}"),
        format!("text={text}&action=apply"),
        format!(
            "text={text}&action=apply&expect={seen}&own={}",
            enc("team=web")
        ),
    ] {
        let again = site.post(PAGE, &form, &cookie).await;
        assert!(
            again.body.contains("not the difference that you saw"),
            "{form}"
        );
    }
    assert_eq!(site.store.machines().len(), before);
    let form = format!("text={text}&action=apply&expect={seen}");
    let done = site.post(PAGE, &form, &cookie).await;
    assert_eq!(
        (done.status, done.location()),
        (StatusCode::SEE_OTHER, PAGE)
    );
    assert!(site.store.machine_named("new-1").is_some());
}

#[tokio::test]
async fn edits_faults_and_tables_are_shown_in_the_page() {
    let (site, cookie) = Site::full().await;
    let post = async |text: &str, more: &str| {
        let form = format!("text={}&action=show{more}", enc(text));
        site.post(PAGE, &form, &cookie).await
    };
    let shown = post(NODE, "").await;
    let form = format!(
        "text={}&action=apply&expect={}",
        enc(NODE),
        expect(&shown.body)
    );
    site.post(PAGE, &form, &cookie).await;

    let table = post("name,serial\nnew-1,<script>alert(1)</script>\n", "").await;
    assert!(table.body.contains("~ machine new-1"), "{}", table.body);
    assert!(!table.body.contains("<script>alert"), "{}", table.body);
    let form = format!(
        "text={}&action=apply&expect={}",
        enc("name,serial\nnew-1,<script>alert(1)</script>\n"),
        expect(&table.body)
    );
    site.post(PAGE, &form, &cookie).await;
    // The table was an edit: the documents do not undo it unseen, by whatever button.
    for action in ["show", "apply"] {
        let form = format!("text={}&action={action}", enc(NODE));
        let shown = site.post(PAGE, &form, &cookie).await;
        assert!(shown.body.contains("this would undo it"), "{}", shown.body);
        assert!(
            shown.body.contains("<strong>line 4, column 1</strong>"),
            "{}",
            shown.body
        );
        assert!(
            !shown.body.contains("data-testid=\"apply\""),
            "{}",
            shown.body
        );
    }
    let forced = post(NODE, "&force=1").await;
    assert!(
        forced.body.contains("data-testid=\"apply\""),
        "{}",
        forced.body
    );

    for (text, more, says) in [
        ("kind: machine\nnam: x\n", "", "unknown field"),
        ("name,colour\nx,y\n", "", "is no column"),
        (" ", "", "Paste or choose a file first"),
        (NODE, "&own=team", "is no label"),
        (NODE, "&prune=1", "pruning needs an owner"),
    ] {
        let shown = post(text, more).await;
        assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        assert!(shown.body.contains(says), "{text}: {}", shown.body);
    }
    let name = "n".repeat(300);
    let text = format!("kind: machine\nmacs: [52:54:00:cc:00:02]\nname: {name}\n");
    let form = format!("text={}&action=apply", enc(&text));
    let shown = site.post(PAGE, &form, &cookie).await;
    let form = format!("{form}&expect={}", expect(&shown.body));
    let refused = site.post(PAGE, &form, &cookie).await;
    assert!(
        refused.body.contains("line 3, column 1"),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn a_big_file_fits_the_form() {
    let (site, cookie) = Site::full().await;
    let text = format!("# {}\n{NODE}", "x".repeat(1 << 20));
    let form = format!("text={}&action=show", enc(&text));
    let shown = site.post(PAGE, &form, &cookie).await;
    assert_eq!(shown.status, StatusCode::OK);
}

#[tokio::test]
async fn many_machines_are_labelled_and_forgotten_by_filter() {
    let (site, cookie) = Site::full().await;
    let list = site
        .get(&format!("/machines?q={}", enc("mac:52:54")), &cookie)
        .await;
    let seen = expect(&list.body);
    let matching = |word: &str| {
        let all = site.store.machines();
        let has = |key: &str| {
            all.iter()
                .filter(|r| r.machine.labels.contains_key(key))
                .count()
        };
        has(word)
    };
    let bulk = async |action: &str, labels: &str, expect: &str| {
        let form = format!(
            "scope=all&q={}&expect={expect}&action={action}&labels={}&back=/machines",
            enc("mac:52:54"),
            enc(labels)
        );
        site.post("/machines/bulk", &form, &cookie).await
    };
    bulk("label", "row=7 blade", &seen).await;
    let labelled = matching("row");
    assert!(labelled > 1 && matching("blade") == labelled, "{labelled}");
    bulk("unlabel", "blade", &seen).await;
    assert_eq!((matching("row"), matching("blade")), (labelled, 0));
    bulk("label", " ", &seen).await;
    bulk("forget", "", "0123").await;
    assert_eq!(matching("row"), labelled, "others match now than were seen");
    bulk("forget", "", &seen).await;
    assert_eq!(matching("row"), 0);
}

#[tokio::test]
async fn a_wrong_filter_word_is_said_and_means_no_machine() {
    let (site, cookie) = Site::full().await;
    let wrong = site
        .get(&format!("/machines?q={}", enc("colour:red")), &cookie)
        .await;
    assert_eq!(wrong.status, StatusCode::OK);
    assert!(
        wrong.body.contains("no key; there are asset, label"),
        "{}",
        wrong.body
    );
    let form = format!("scope=all&q={}&expect=0&action=forget", enc("colour:red"));
    let before = site.store.machines().len();
    site.post("/machines/bulk", &form, &cookie).await;
    assert_eq!(site.store.machines().len(), before);
}
