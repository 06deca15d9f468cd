//! Installing by the pages: the panel of a machine, many at once, the queue.

mod support;

use bootplan::run::Happening;
use bootplan::{Lifecycle, Machine, MachineId, Mode, RunState, Site as Settings};
use http::StatusCode;
use std::sync::Arc;
use support::site::{Answer, Site};

fn machine(site: &Site, id: i64) -> Arc<Machine> {
    site.store
        .machine(MachineId(id))
        .expect("it exists")
        .machine
}

async fn order(site: &Site, id: i64, form: &str, cookie: &str) -> Answer {
    let path = format!("/machines/{id}/order");
    let answer = site.post(&path, form, cookie).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert_eq!(answer.location(), format!("/machines/{id}"));
    answer
}

fn failed(answer: &Answer) -> bool {
    let lines = answer.headers.get_all("set-cookie").iter();
    let mut texts = lines.filter_map(|l| l.to_str().ok());
    texts.any(|text| text.starts_with("farrier_notice=no-"))
}

/// The buttons of the panel.
async fn buttons(site: &Site, id: i64, cookie: &str) -> Vec<&'static str> {
    let page = site.get(&format!("/machines/{id}"), cookie).await;
    let all = [
        "install-once",
        "next-boot",
        "release",
        "finish",
        "hold",
        "cancel",
    ];
    let shown = |word: &&str| {
        page.body
            .contains(&format!("name=\"order\" value=\"{word}\""))
    };
    all.into_iter().filter(shown).collect()
}

async fn happen(site: &Site, id: i64, happening: Happening) {
    let ids = [MachineId(id)];
    let happened = site.store.happen(&ids, happening, "test").await;
    happened.expect("stored");
}

#[tokio::test]
async fn only_what_is_possible_has_a_button() {
    let (site, cookie) = Site::full().await;
    let id = 7;
    assert_eq!(
        buttons(&site, id, &cookie).await,
        ["install-once", "next-boot"]
    );
    assert!(failed(
        &order(&site, id, "order=install-once", &cookie).await
    ));
    assert!(failed(&order(&site, id, "order=cancel", &cookie).await));
    let form = "order=install-once&profile=debian-12";
    assert!(!failed(&order(&site, id, form, &cookie).await));
    assert_eq!(machine(&site, id).mode, Mode::InstallOnce);
    assert_eq!(
        buttons(&site, id, &cookie).await,
        ["finish", "hold", "cancel"]
    );
    happen(&site, id, Happening::Asked).await;
    happen(&site, id, Happening::HandedOver).await;
    let page = site.get(&format!("/machines/{id}"), &cookie).await.body;
    assert!(
        page.contains("try 1 of 3") && page.contains("handed over, "),
        "{page}"
    );
    order(&site, id, "order=hold&note=PSU", &cookie).await;
    assert_eq!(machine(&site, id).lifecycle(), Lifecycle::Held);
    assert_eq!(
        buttons(&site, id, &cookie).await,
        ["release", "finish", "cancel"]
    );
    order(&site, id, "order=release", &cookie).await;
    assert_eq!(machine(&site, id).lifecycle(), Lifecycle::Armed);
    order(&site, id, "order=finish", &cookie).await;
    assert_eq!(machine(&site, id).lifecycle(), Lifecycle::Installed);
    assert_eq!(
        buttons(&site, id, &cookie).await,
        ["install-once", "next-boot"]
    );
}

#[tokio::test]
async fn one_boot_of_an_installer_is_warned_of() {
    let (site, cookie) = Site::full().await;
    let warned = async || {
        let page = site.get("/machines/7", &cookie).await;
        page.body.contains("data-testid=\"next-boot-warning\"")
    };
    assert!(!warned().await, "nothing here installs");
    let written = serde_json::json!({"name": "auto", "title": "Auto",
        "boot": {"kind": "linux", "kernel": "d/linux"}, "install": {"tries": 3, "minutes": 60}});
    let profile = serde_json::from_value(written).expect("a profile");
    let stored = site.store.put_profile(profile, "ann").await;
    stored.expect("stored");
    assert!(warned().await);
}

#[tokio::test]
async fn an_order_for_the_night() {
    let (site, cookie) = Site::full().await;
    let form = "order=install-once&profile=debian-12&not_before=2031-01-01T22:00&from=22:00\
                &to=05:00&day=mon&day=tue";
    assert!(!failed(&order(&site, 7, form, &cookie).await));
    let run = machine(&site, 7).run.clone().expect("a run");
    assert_eq!(run.state, RunState::Waiting);
    assert_eq!(run.window.as_ref().map(|window| window.days.len()), Some(2));
    assert!(run.not_before.is_some_and(|at| at.0 > 1_900_000_000_000));
    for wrong in [
        "not_before=soon",
        "from=22:00&to=05:00",
        "day=mon",
        "day=mon&from=9&to=17:00",
    ] {
        let form = format!("order=next-boot&profile=debian-12&{wrong}");
        assert!(failed(&order(&site, 6, &form, &cookie).await), "{wrong}");
        assert_eq!(machine(&site, 6).run, None, "{wrong}");
    }
}

#[tokio::test]
async fn an_order_for_a_maintenance_window() {
    let (site, cookie) = Site::full().await;
    let page = site.get("/machines/7", &cookie).await.body;
    assert!(!page.contains("data-testid=\"window\""), "none is named");
    let form = "install_slots=10&tries=3&minutes=60&windows=nights+%3D+mon%2Ctue%2F22%3A00-05%3A00";
    assert!(!failed(
        &site.post("/settings/installing", form, &cookie).await
    ));
    let settings = site.get("/settings", &cookie).await.body;
    assert!(
        settings.contains("nights = mon,tue/22:00-05:00"),
        "{settings}"
    );
    let page = site.get("/machines/7", &cookie).await.body;
    assert!(
        page.contains("<option value=\"nights\">nights (mon,tue/22:00-05:00)"),
        "{page}"
    );
    let form = "order=install-once&profile=debian-12&from=&to=&window=";
    assert!(failed(
        &order(&site, 7, &format!("{form}days"), &cookie).await
    ));
    assert_eq!(machine(&site, 7).run, None);
    assert!(!failed(
        &order(&site, 7, &format!("{form}nights"), &cookie).await
    ));
    let run = machine(&site, 7).run.clone().expect("a run");
    let window = run.window.as_ref().map(ToString::to_string);
    assert_eq!(window.as_deref(), Some("mon,tue/22:00-05:00"));
    // A form of before the field was there takes no window away; an emptied one does.
    let form = "install_slots=10&tries=3&minutes=60";
    site.post("/settings/installing", form, &cookie).await;
    assert_eq!(site.store.site().windows.len(), 1);
    let wrong = format!("{form}&windows=nights");
    assert!(failed(
        &site.post("/settings/installing", &wrong, &cookie).await
    ));
    site.post("/settings/installing", &format!("{form}&windows="), &cookie)
        .await;
    assert_eq!(site.store.site().windows.len(), 0);
}

#[tokio::test]
async fn the_settings_of_installing() {
    let (site, cookie) = Site::full().await;
    let form = "new_machines=register&install_slots=4&tries=2&minutes=90&local_boot=exit&\
                models=Dell*+%7C+OptiPlex+*+%3D+next-entry%0D%0A+%7C+X9*+%3D+first-disk";
    site.post("/settings/installing", form, &cookie).await;
    let settings = site.store.site();
    assert_eq!(settings.new_machines, bootplan::NewMachines::Register);
    assert_eq!(
        (settings.install_slots, settings.install_limit.tries),
        (4, 2)
    );
    assert_eq!(settings.local_boot_models.len(), 2);
    let anvil = machine(&site, 4);
    let way = settings.local_boot_of(Some(&anvil));
    assert_eq!(way, bootplan::LocalBoot::FirstDisk, "{:?}", anvil.facts);
    let page = site.get("/settings", &cookie).await.body;
    assert!(page.contains("Dell* | OptiPlex * = next-entry\n | X9* = first-disk"));
    for wrong in [
        "tries=0",
        "minutes=1",
        "install_slots=-1",
        "models=Dell",
        "models=Dell+%7C+%3D+x",
    ] {
        let form = form
            .split('&')
            .filter(|pair| pair.split('=').next() != wrong.split('=').next());
        let form = form.chain([wrong]).collect::<Vec<_>>().join("&");
        assert!(
            failed(&site.post("/settings/installing", &form, &cookie).await),
            "{wrong}"
        );
        assert_eq!(site.store.site(), settings, "{wrong}");
    }
}

#[tokio::test]
async fn many_are_ordered_shown_and_called_off() {
    let (site, cookie) = Site::full().await;
    let settings = Settings {
        install_slots: 1,
        ..site.store.site()
    };
    site.store.set_site(settings, "ann").await.expect("stored");
    let form = "action=install&profile=debian-12&scope=selected&id=6&id=7&id=8&back=/machines";
    let answer = site.post("/machines/bulk", form, &cookie).await;
    assert!(!failed(&answer));
    for id in [6, 7, 8] {
        assert_eq!(machine(&site, id).lifecycle(), Lifecycle::Armed);
        happen(&site, id, Happening::Asked).await;
    }
    let list = site.get("/machines?state=armed", &cookie).await.body;
    assert_eq!(list.matches("data-testid=\"machine-row\"").count(), 3);
    assert!(
        list.contains("place 2 of 2 in the queue")
            && list.contains("Armed <span class=\"muted\">3")
    );
    let boots = site.get("/boots", &cookie).await.body;
    assert!(boots.contains("1 of 1 slots, 2 wait"), "{boots}");
    let form = "action=cancel&scope=selected&id=5&id=6&id=7&id=8&back=/machines";
    site.post("/machines/bulk", form, &cookie).await;
    assert_eq!(machine(&site, 8).lifecycle(), Lifecycle::Ready);
    let boots = site.get("/boots", &cookie).await.body;
    assert!(boots.contains("0 of 1 slots, 0 wait"));
}

#[tokio::test]
async fn a_person_says_why() {
    let (site, cookie) = Site::full().await;
    let form = "order=install-once&profile=debian-12";
    order(&site, 7, form, &cookie).await;
    order(&site, 7, "order=hold&note=PSU+2+is+dead", &cookie).await;
    let page = site.get("/machines/7", &cookie).await.body;
    assert!(
        page.contains("somebody stopped it: PSU 2 is dead"),
        "{page}"
    );
    assert!(
        !page.contains("data-testid=\"hold\"") && page.contains("data-testid=\"fail\""),
        "{page}"
    );
    order(&site, 7, "order=fail&note=no+disk", &cookie).await;
    assert_eq!(machine(&site, 7).lifecycle(), Lifecycle::Failed);
    let page = site.get("/machines/7", &cookie).await.body;
    assert!(page.contains("data-testid=\"progress\">no disk<"), "{page}");
    // Without a word it is still said who.
    order(&site, 7, form, &cookie).await;
    happen(&site, 7, Happening::Asked).await;
    order(&site, 7, "order=fail&note=", &cookie).await;
    let page = site.get("/machines/7", &cookie).await.body;
    assert!(
        page.contains("data-testid=\"progress\">morgan says so<"),
        "{page}"
    );
    assert!(failed(&order(&site, 7, "order=fail", &cookie).await));
}
