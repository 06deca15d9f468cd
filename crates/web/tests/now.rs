//! Power switches on the pages: installing at once, and many switches at a time.

mod support;

use bootplan::{Lifecycle, MachineId, Power};
use http::StatusCode;
use support::site::{Answer, Site};

/// Machine 1 has a controller that does not answer, machine 2 wakes, machine 3 has nothing.
async fn with_switches() -> (Site, String) {
    let (site, cookie) = Site::full().await;
    for (id, power) in [
        (
            1,
            serde_json::json!({"redfish": {"url": "https://10.9.0.1"}}),
        ),
        (2, serde_json::json!({"wake": true})),
    ] {
        let power: Power = serde_json::from_value(power).expect("a power switch");
        let set = site.store.set_power(MachineId(id), power, "ann");
        set.await.expect("stored");
    }
    (site, cookie)
}

fn lifecycle(site: &Site, id: i64) -> Lifecycle {
    let record = site.store.machine(MachineId(id));
    record.expect("it exists").machine.lifecycle()
}

async fn page_of(site: &Site, answer: &Answer, begins: &str, cookie: &str) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let to = answer.location();
    assert!(to.starts_with(begins), "{to}");
    let page = site.get(to, cookie).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    page.body
}

/// What the page says once everything was tried.
async fn outcome(site: &Site, answer: &Answer, cookie: &str) -> String {
    for _ in 0..200 {
        let page = page_of(site, answer, "/machines/power?batch=", cookie).await;
        if !page.contains("under way") {
            return page;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("it does not end");
}

/// A page says something once the journal has stored it.
async fn told_in(site: &Site, path: &str, text: &str, cookie: &str) {
    for _ in 0..200 {
        if site.get(path, cookie).await.body.contains(text) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{path} does not say {text:?}");
}

#[tokio::test]
async fn installing_now_is_asked_about_and_each_step_is_told() {
    let (site, cookie) = with_switches().await;
    let button = "value=\"install-now\" data-testid=\"install-now\"";
    for (id, offered) in [(1, true), (2, true), (3, false)] {
        let page = site.get(&format!("/machines/{id}"), &cookie).await.body;
        assert_eq!(page.contains(button), offered, "{id}");
    }
    let form = "order=install-now&profile=debian-12";
    let later = format!("{form}&not_before=2031-01-01T22:00");
    let answer = site.post("/machines/1/order", &later, &cookie).await;
    assert_eq!(answer.location(), "/machines/1", "now, or then");
    let answer = site.post("/machines/1/order", form, &cookie).await;
    let page = page_of(&site, &answer, "/machines/confirm?", &cookie).await;
    for text in [
        "debian-12 is installed on 1 machine, now: what is on its disk is lost.",
        "It is told to boot by PXE once and restarted at once, whatever it is doing",
        "forge-01",
        "data-testid=\"sure-install-now\"",
        "name=\"profile\" value=\"debian-12\"",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert_eq!(lifecycle(&site, 1), Lifecycle::Ready, "only asked");

    let sure = "action=install-now&sure=yes&profile=debian-12&scope=selected&id=1&id=2&id=3\
                &back=/machines";
    let answer = site.post("/machines/bulk", sure, &cookie).await;
    let page = outcome(&site, &answer, &cookie).await;
    for text in [
        "Install now: 3 machines",
        "3 not done",
        "ordered; next boot by PXE failed (Redfish): ",
        "the order stands, power it on by hand",
        "ordered; no power switch of it is known",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    for id in [1, 2, 3] {
        assert_eq!(lifecycle(&site, id), Lifecycle::Armed, "{id}");
    }
}

#[tokio::test]
async fn what_cannot_be_fetched_is_neither_ordered_nor_switched() {
    let (site, cookie) = with_switches().await;
    let profile = serde_json::json!({"name": "unfit", "title": "Unfit",
        "boot": {"kind": "linux", "kernel": "d/linux"},
        "answers": [{"name": "preseed.cfg", "text": "{{ nobody_says }}"}]});
    let profile = serde_json::from_value(profile).expect("a profile");
    site.store.put_profile(profile, "ann").await.expect("saved");
    for form in [
        "action=install&profile=unfit&scope=selected&id=1&back=/machines",
        "action=install-now&sure=yes&profile=unfit&scope=selected&id=1&back=/machines",
    ] {
        let answer = site.post("/machines/bulk", form, &cookie).await;
        assert_eq!(answer.location(), "/machines", "{form}");
        let notice = answer.header("set-cookie");
        assert!(
            notice.starts_with("farrier_notice=no-") && notice.contains("nobody_says"),
            "{notice}"
        );
        assert_eq!(lifecycle(&site, 1), Lifecycle::Ready, "{form}");
    }
    let page = site.get("/machines/power", &cookie).await.body;
    assert!(page.contains("Nothing is remembered"), "{page}");
}

#[tokio::test]
async fn many_switches_are_asked_at_once_by_selection_and_by_filter() {
    let (site, cookie) = with_switches().await;
    let nothing = "action=power&power=&scope=selected&id=1&back=/machines";
    let answer = site.post("/machines/bulk", nothing, &cookie).await;
    assert_eq!(answer.location(), "/machines");

    let form = "action=power&power=status&scope=selected&id=1&id=3&back=/machines";
    let answer = site.post("/machines/bulk", form, &cookie).await;
    let page = outcome(&site, &answer, &cookie).await;
    assert!(page.contains("Power status: 2 machines"), "{page}");
    assert_eq!(page.matches("data-testid=\"batch-row\"").count(), 2);

    // What cuts off what is running is asked about; the filter is what was seen.
    let list = site.get("/machines?q=forge", &cookie).await.body;
    let expect = list.split("name=\"expect\" value=\"").nth(1);
    let expect = expect.and_then(|rest| rest.split('"').next());
    let expect = expect.expect("a mark");
    let form = format!("action=power&power=off&scope=all&q=forge&expect={expect}&back=/machines");
    let answer = site.post("/machines/bulk", &form, &cookie).await;
    let page = page_of(&site, &answer, "/machines/confirm?", &cookie).await;
    assert!(
        page.contains("3 machines, at once, whatever is running"),
        "{page}"
    );
    assert!(page.contains("name=\"power\" value=\"off\""), "{page}");
    let sure = format!("{form}&sure=yes");
    let answer = site.post("/machines/bulk", &sure, &cookie).await;
    let page = outcome(&site, &answer, &cookie).await;
    assert!(page.contains("Switch off: 3 machines"), "{page}");
    assert!(page.contains("Power status: 2 machines"), "the others, too");
    told_in(&site, "/machines/3", "switch off failed", &cookie).await;
}
