//! What people do on the pages, and what packets may say about themselves there.

mod support;

use bootplan::{EventKind, MachineId, MachineState, Timestamp, Transport};
use http::StatusCode;
use store::{MachineChange, Sighting};
use support::site::{Answer, Site};

/// The lines of a page from the one with `from` to the one with `to`, without what changes from
/// run to run: times and addresses of static files.
fn fragment(answer: &Answer, from: &str, to: &str) -> String {
    let lines = answer.body.lines().map(str::trim).filter(|l| !l.is_empty());
    let mut shown: Vec<String> = lines
        .skip_while(|l| !l.contains(from))
        .map(str::to_owned)
        .collect();
    let end = shown
        .iter()
        .position(|l| l.contains(to))
        .expect("the fragment ends");
    shown.truncate(end + 1);
    let mut text = shown.join("\n");
    while let Some(start) = text.find("<time ") {
        let end = start + text[start..].find("</time>").expect("closed") + "</time>".len();
        text.replace_range(start..end, "[time]");
    }
    if let Some(start) = text.find("data-key=\"a") {
        let end = start + text[start..].find(' ').expect("more attributes");
        text.replace_range(start..end, "data-key=\"[start]\"");
    }
    text
}

fn machine(site: &Site, id: i64) -> std::sync::Arc<bootplan::Machine> {
    site.store
        .machine(MachineId(id))
        .expect("it exists")
        .machine
}

/// The notice that an action left for the next page.
fn notice(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let lines = answer.headers.get_all("set-cookie").iter();
    let mut texts = lines.filter_map(|l| l.to_str().ok()?.strip_prefix("farrier_notice="));
    texts
        .next()
        .expect("a notice")
        .split(';')
        .next()
        .expect("text")
        .replace("%20", " ")
}

#[tokio::test]
async fn a_machine_is_adopted_and_assigned_with_one_click_each() {
    let (site, cookie) = Site::full().await;
    assert_eq!(machine(&site, 8).state, MachineState::Discovered);
    let adopted = site
        .post("/machines/8/adopt", "back=/machines", &cookie)
        .await;
    assert_eq!(adopted.location(), "/machines");
    assert_eq!(machine(&site, 8).state, MachineState::Registered);

    let form = "profile=memtest86&back=/machines%3Fq%3Da";
    let assigned = site.post("/machines/8/assign", form, &cookie).await;
    assert_eq!(assigned.location(), "/machines?q=a");
    let profile = machine(&site, 8).profile.clone();
    assert_eq!(
        profile.as_ref().map(ToString::to_string).as_deref(),
        Some("memtest86")
    );
    site.post("/machines/8/assign", "profile=", &cookie).await;
    assert_eq!(machine(&site, 8).profile, None);

    let wrong = site
        .post("/machines/8/assign", "profile=no-such", &cookie)
        .await;
    assert!(notice(&wrong).starts_with("no-"), "{}", notice(&wrong));
    let gone = site
        .post("/machines/999/assign", "profile=memtest86", &cookie)
        .await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn many_machines_are_changed_at_once_but_never_more_than_were_seen() {
    let (site, cookie) = Site::full().await;
    let assigned = |profile: &str| {
        let all = site.store.machines();
        all.iter()
            .filter(|r| {
                r.machine
                    .profile
                    .as_ref()
                    .is_some_and(|p| p.as_str() == profile)
            })
            .count()
    };
    let form = "action=assign&profile=memtest86&scope=selected&id=7&id=8&back=/machines";
    let answer = site.post("/machines/bulk", form, &cookie).await;
    assert_eq!(
        notice(&answer),
        "ok-Assigned 2 machines to memtest86%2C at every boot."
    );
    assert_eq!(assigned("memtest86"), 3);

    // As many as were seen, but not the same ones: rack 11 has three machines too.
    let seen = site.get("/machines?q=rack%3D11", &cookie).await.body;
    let mark = |page: &str| {
        let rest = page.split("name=\"expect\" value=\"").nth(1);
        let mark = rest.and_then(|rest| rest.split('"').next());
        mark.expect("it is carried").to_owned()
    };
    let form = "action=assign&profile=local-disk&scope=all&q=rack%3D10&state=&expect=";
    let stale = format!("{form}{}", mark(&seen));
    let answer = site.post("/machines/bulk", &stale, &cookie).await;
    assert!(
        notice(&answer).starts_with("no-Nothing was changed"),
        "{}",
        notice(&answer)
    );
    assert_eq!(assigned("local-disk"), 1);

    let seen = site.get("/machines?q=rack%3D10", &cookie).await.body;
    let all = format!("{form}{}", mark(&seen));
    let answer = site.post("/machines/bulk", &all, &cookie).await;
    assert_eq!(
        notice(&answer),
        "ok-Assigned 3 machines to local-disk%2C at every boot."
    );
    assert_eq!(assigned("local-disk"), 3);

    for (form, why) in [
        (
            "action=assign&profile=memtest86&scope=selected",
            "no-Select at least",
        ),
        (
            "action=assign&profile=&scope=selected&id=1",
            "no-Choose a profile",
        ),
        ("scope=selected&id=1", "no-Choose what"),
    ] {
        let answer = site.post("/machines/bulk", form, &cookie).await;
        assert!(notice(&answer).starts_with(why), "{}", notice(&answer));
    }
}

#[tokio::test]
async fn the_filter_is_in_the_address() {
    let (site, cookie) = Site::full().await;
    let rows = async |query: &str| {
        let page = site.get(&format!("/machines{query}"), &cookie).await;
        page.body.matches("data-testid=\"machine-row\"").count()
    };
    assert_eq!(rows("").await, 9);
    assert_eq!(rows("?q=PowerEdge+rack%3D10").await, 3);
    assert_eq!(rows("?q=52%3A54%3A00%3AA1%3A17%3A12").await, 1);
    assert_eq!(rows("?state=discovered").await, 3);
    assert_eq!(rows("?state=assigned&q=debian-12-grub").await, 2);
    assert_eq!(rows("?q=nothing-of-the-kind").await, 0);
    let sorted = site.get("/machines?sort=-name", &cookie).await.body;
    assert!(sorted.contains("aria-sort=\"descending\""));
    assert_eq!(
        site.get("/machines?page=18446744073709551615", &cookie)
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_row_as_it_is_served() {
    let (site, cookie) = Site::full().await;
    let page = site.get("/machines?q=forge-01", &cookie).await;
    insta::assert_snapshot!(
        "machine_row",
        fragment(&page, "data-testid=\"machine-row\"", "</tr>")
    );
}

#[tokio::test]
async fn a_machines_page_says_what_it_gets_and_what_it_did() {
    let (site, cookie) = Site::full().await;
    let page = site.get("/machines/1", &cookie).await;
    insta::assert_snapshot!("boots_next", fragment(&page, "id=\"m-next\"", "</section>"));
    insta::assert_snapshot!(
        "timeline",
        fragment(&page, "class=\"attempt\"", "41.1 MB in 1.1 s")
    );
    assert!(page.body.contains("#!ipxe"), "the menu as served");
    let silent = site.get("/machines/8", &cookie).await;
    assert!(silent.body.contains("does not offer it"), "and why");
    assert!(
        silent.body.contains("#!ipxe"),
        "who asks is sent to the disk"
    );
    let by_mac = site.get("/m/5254.00a1.1710", &cookie).await;
    assert_eq!(by_mac.location(), "/machines/1");
}

#[tokio::test]
async fn a_machine_is_edited_and_mistakes_stand_beside_their_field() {
    let (site, cookie) = Site::full().await;
    let good = "name=forge-one&macs=52:54:00:a1:17:10%0D%0A52-54-00-a1-17-99&uuid=&serial=X&labels=rack%3D7%0Aspare&loader=grub";
    let saved = site.post("/machines/1", good, &cookie).await;
    assert_eq!(saved.location(), "/machines/1", "{}", saved.body);
    let now = machine(&site, 1);
    assert_eq!(now.name, "forge-one");
    assert_eq!(now.macs.len(), 2);
    assert_eq!(now.uuid, None);
    assert_eq!(now.labels.get("rack").map(String::as_str), Some("7"));
    assert_eq!(now.loader.map(|l| l.slug()), Some("grub"));
    for (form, field) in [
        ("name=a&macs=nonsense", "macs"),
        ("name=a&macs=", "macs"),
        ("name=a&macs=52:54:00:a1:17:10&uuid=nonsense", "uuid"),
        ("name=forge-02&macs=52:54:00:a1:17:10", "name"),
        ("name=a&macs=52:54:00:a1:17:11", "macs"),
    ] {
        let refused = site.post("/machines/1", form, &cookie).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{form}");
        let marked = format!("id=\"error-{field}\"");
        assert!(refused.body.contains(&marked), "{form}");
    }
    assert_eq!(machine(&site, 1).name, "forge-one");
    let added = site
        .post(
            "/machines/new",
            "macs=525400000001&profile=memtest86",
            &cookie,
        )
        .await;
    assert!(added.location().starts_with("/machines/"), "{}", added.body);
    let forgotten = site.post("/machines/1/delete", "x=1", &cookie).await;
    assert_eq!(forgotten.location(), "/machines");
    assert_eq!(
        site.get("/machines/1", &cookie).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_profile_is_previewed_saved_and_kept_while_it_is_used() {
    let (site, cookie) = Site::full().await;
    let form = "name=rescue&title=Rescue&enabled=1&kind=linux&kernel=r/linux&initrds=r/a%0D%0Ar/b&args=quiet&console=other&console_other=ttyS7,9600";
    let preview = site
        .post("/profiles/new", &format!("{form}&action=preview"), &cookie)
        .await;
    assert_eq!(preview.status, StatusCode::OK);
    assert!(preview.body.contains("console=ttyS7,9600"), "rendered");
    for loader in ["ipxe", "pxelinux", "grub"] {
        assert!(
            preview
                .body
                .contains(&format!("data-testid=\"menu-{loader}\"")),
            "{loader}"
        );
    }
    let slug = "rescue".parse().expect("slug");
    assert!(
        site.store.catalog().profile(&slug).is_none(),
        "a preview saves nothing"
    );

    let saved = site
        .post("/profiles/new", &format!("{form}&action=save"), &cookie)
        .await;
    assert_eq!(saved.location(), "/profiles/rescue", "{}", saved.body);
    let twice = site
        .post("/profiles/new", &format!("{form}&action=save"), &cookie)
        .await;
    assert_eq!(twice.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(twice.body.contains("id=\"error-name\""));

    let used = site
        .post("/profiles/debian-12/delete", "x=1", &cookie)
        .await;
    assert_eq!(used.status, StatusCode::CONFLICT);
    assert!(used.body.contains("forge-01"), "names who uses it");
    let deleted = site.post("/profiles/rescue/delete", "x=1", &cookie).await;
    assert_eq!(deleted.location(), "/profiles");
    assert!(site.store.catalog().profile(&slug).is_none());
}

#[tokio::test]
async fn settings_are_checked_and_kept() {
    let (site, cookie) = Site::full().await;
    let good = "unassigned=&menu_timeout_s=9&wait_poll_s=3&wait_limit_s=60&loader=grub";
    let saved = site.post("/settings/site", good, &cookie).await;
    assert_eq!(notice(&saved), "ok-Settings saved.");
    assert_eq!(site.store.site().menu_timeout_s, 9);
    assert_eq!(
        site.store.site().unassigned.slug(),
        "silence",
        "not touched"
    );
    let bad = "menu_timeout_s=9999&wait_poll_s=3&wait_limit_s=60&loader=grub";
    let refused = site.post("/settings/site", bad, &cookie).await;
    assert!(
        notice(&refused).starts_with("no-Menu timeout"),
        "{}",
        notice(&refused)
    );
    assert_eq!(site.store.site().menu_timeout_s, 9);
}

/// R42: whatever a packet says about itself is text.
#[tokio::test]
async fn hostile_names_are_text_on_every_page() {
    let (site, cookie) = Site::full().await;
    let hostile = [
        "<img src=x onerror=alert(1)>",
        "\"><svg onload=alert(1)>",
        "javascript:alert(1)",
        "{{7*7}}",
        "a\u{202e}b",
        "\r\n2026-01-01 ERROR forged",
        "\x1b]0;x\x07",
    ];
    for (n, text) in hostile.iter().enumerate() {
        let mac = support::mac(100 + n);
        let sighting = Sighting {
            serial: Some((*text).to_owned()),
            manufacturer: Some((*text).to_owned()),
            product: Some((*text).to_owned()),
            ..Sighting::of(mac, Timestamp(support::now()))
        };
        let seen = site.store.sight(sighting).await.expect("sighted");
        // Whether the store takes such a name is its business; if it does, pages must stand it.
        let change = MachineChange {
            name: Some(format!("n{n} {text}")),
            labels: Some([("note".to_owned(), (*text).to_owned())].into()),
            ..MachineChange::default()
        };
        let id = seen.machine.machine.id;
        let _ = site.store.update_machine(id, change, text).await;
        let failed = EventKind::refused(Transport::Tftp, (*text).to_owned(), text, false);
        let event = support::event(mac, support::now(), failed);
        site.store.append(vec![event]).await.expect("stored");
    }
    let mut pages = vec!["/machines".to_owned(), "/boots?all=1".to_owned()];
    pages.extend(
        site.store
            .machines()
            .iter()
            .map(|r| format!("/machines/{}", r.machine.id.0)),
    );
    pages.push("/machines?q=%22%3E%3Csvg+onload%3Dalert(1)%3E".to_owned());
    pages.push("/login?next=%22%3E%3Csvg+onload%3Dalert(1)%3E".to_owned());
    for path in pages {
        let session = if path.starts_with("/login") {
            ""
        } else {
            &cookie
        };
        let body = site.get(&path, session).await.body;
        for active in [
            "<img src=x",
            "<svg onload",
            "href=\"javascript:",
            "\u{202e}",
            "\x1b",
            "\x07",
        ] {
            assert!(!body.contains(active), "{path}: {active:?}");
        }
    }
    let boots = site.get("/boots", &cookie).await.body;
    assert!(boots.contains("{{7*7}}"), "left as it is, and not computed");
}

#[tokio::test]
async fn live_updates_are_announced_as_they_happen() {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let (site, cookie) = Site::full().await;
    let app = web::people::router(support::state(&site.store));
    let asked = support::site::request(http::Method::GET, "/live", "", &cookie);
    let answer = app.oneshot(asked).await.expect("infallible");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(std::time::Duration::from_secs(5), body.frame()).await;
        let frame = frame.expect("in time").expect("open").expect("frame");
        String::from_utf8(frame.into_data().expect("data").into()).expect("text")
    };
    let hello = next().await;
    assert!(hello.contains("boots machines profiles status"), "{hello}");
    let sighting = Sighting::of(support::mac(77), Timestamp(support::now()));
    site.store.sight(sighting).await.expect("sighted");
    let changed = next().await;
    assert!(
        changed.contains("event: changed") && changed.contains("machines"),
        "{changed}"
    );
}

#[tokio::test]
async fn streams_end_at_once_when_the_server_goes_down() {
    use tower::ServiceExt;
    let (site, cookie) = Site::full().await;
    let state = support::state(&site.store);
    let app = web::people::router(state.clone());
    for path in ["/live", "/api/v1/events/stream"] {
        let asked = support::site::request(http::Method::GET, path, "", &cookie);
        let answer = app.clone().oneshot(asked).await.expect("infallible");
        assert_eq!(answer.status(), StatusCode::OK);
        let body = http_body_util::BodyExt::collect(answer.into_body());
        let closer = async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            state.close();
        };
        let limit = std::time::Duration::from_secs(2);
        let (ended, ()) = tokio::join!(tokio::time::timeout(limit, body), closer);
        assert!(ended.is_ok(), "{path}");
    }
}

#[tokio::test]
async fn files_that_are_not_there_are_warned_of() {
    use tower::ServiceExt;
    let (site, cookie) = Site::full().await;
    let has = |path: &bootplan::RelPath| path.to_string() == "debian-12/linux";
    let state = support::state(&site.store).with_images(std::sync::Arc::new(has));
    let app = web::people::router(state);
    for (path, missing) in [
        ("/profiles/debian-12", "<code>debian-12/initrd.gz</code>"),
        ("/machines/1", "<code>debian-12/initrd.gz</code>"),
        ("/profiles/local-disk", ""),
        ("/machines/3", ""),
    ] {
        let asked = support::site::request(http::Method::GET, path, "", &cookie);
        let answer = app.clone().oneshot(asked).await.expect("infallible");
        let body = http_body_util::BodyExt::collect(answer.into_body()).await;
        let body = body.expect("body").to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert_eq!(
            text.contains("data-testid=\"missing\""),
            !missing.is_empty()
        );
        assert!(text.contains(missing), "{path}");
    }
}

#[tokio::test]
async fn saving_an_old_page_keeps_what_was_learned_since_and_what_was_left_alone() {
    let (site, cookie) = Site::full().await;
    let change = MachineChange {
        uuid: Some(None),
        serial: Some(None),
        ..MachineChange::default()
    };
    let saved = site.store.update_machine(MachineId(1), change, "morgan");
    saved.await.expect("saved");
    let opened = site.get("/machines/1", &cookie).await.body;
    let hidden = |field: &str| {
        let start = format!("name=\"was_{field}\" value=\"");
        let rest = opened.split(&start).nth(1).expect("carried");
        rest.split('"').next().expect("closed").to_owned()
    };
    let macs = hidden("macs");
    let form = format!(
        "name=renamed&macs={macs}&uuid=&serial=&labels=rack%3D10&loader=&was_name={}\
         &was_macs={macs}&was_uuid={}&was_serial={}&was_labels=rack%3D10&was_loader=",
        hidden("name"),
        hidden("uuid"),
        hidden("serial"),
    );
    let learned = Sighting {
        serial: Some("LEARNED".to_owned()),
        uuid: "4c4c4544-0042-3510-8047-b2c04f3832aa".parse().ok(),
        ..Sighting::of(support::mac(0), Timestamp(support::now()))
    };
    site.store.sight(learned).await.expect("sighted");
    let saved = site.post("/machines/1", &form, &cookie).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    let now = machine(&site, 1);
    assert_eq!(now.name, "renamed");
    assert_eq!(now.serial.as_deref(), Some("LEARNED"));
    assert!(now.uuid.is_some(), "the UUID was left alone");
    assert_eq!(now.labels.len(), 1);

    // A field that was emptied on purpose is emptied.
    let form = form
        .replace("was_serial=", "was_serial=LEARNED")
        .replace("labels=rack%3D10&loader", "labels=&loader");
    let saved = site.post("/machines/1", &form, &cookie).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    assert_eq!(machine(&site, 1).serial, None);
    assert!(machine(&site, 1).labels.is_empty());
}

#[tokio::test]
async fn notes_are_kept_as_typed_found_and_told_of() {
    let (site, cookie) = Site::full().await;
    let note = "\nPSU 2 is <b>dead</b>\n\n  spare: shelf 4";
    let save = async |was: &str, notes: &str| {
        let fields = [
            ("name", "forge-01"),
            ("was_name", "forge-01"),
            ("macs", "52-54-00-a1-17-10"),
            ("was_macs", "52-54-00-a1-17-10"),
            ("was_uuid", ""),
            ("was_serial", ""),
            ("was_labels", ""),
            ("was_loader", ""),
            ("was_notes", was),
            ("notes", notes),
        ];
        let sent = |(name, text): (&str, &str)| format!("{name}={}", encoded(text));
        let form = fields.map(sent).join("&");
        site.post("/machines/1", &form, &cookie).await
    };
    // A browser sends each line with a carriage return.
    let answer = save("", &format!("{}\r\n", note.replace('\n', "\r\n"))).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert_eq!(machine(&site, 1).notes, note);
    let page = site.get("/machines/1", &cookie).await.body;
    let escaped = note.replace('<', "&#60;").replace('>', "&#62;");
    assert!(
        page.contains(&format!("data-testid=\"notes\">{escaped}</dd>")),
        "{page}"
    );
    // HTML drops the first line break of a text area.
    assert!(page.contains(&format!(">\n{escaped}</textarea>")), "{page}");
    let journal = site.get("/api/v1/events?limit=1", &cookie).await.body;
    assert!(journal.contains("'forge-01' changed: notes\""), "{journal}");
    let found = site.get("/machines?q=notes:%22shelf+4%22", &cookie).await;
    assert!(found.body.contains("forge-01") && !found.body.contains(">anvil<"));

    let untouched = save(note, note).await;
    assert_eq!(untouched.status, StatusCode::SEE_OTHER);
    assert_eq!(machine(&site, 1).notes, note);
    let refused = save("", &"x".repeat(4001)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.body.contains("At most 4000 printable"),
        "{}",
        refused.body
    );
    assert_eq!(machine(&site, 1).notes, note);
    save(note, "").await;
    assert_eq!(machine(&site, 1).notes, "");
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let one = |b: u8| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}
