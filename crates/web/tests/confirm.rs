//! What would install is said before it is done: at every boot, by a rule, after forgetting.

mod support;

use bootplan::{
    Lifecycle, Machine, MachineId, MachineState, Mode, NewMachines, RunKind, Site as Settings,
};
use http::StatusCode;
use std::sync::Arc;
use store::Sighting;
use support::site::{Answer, Site};

const INSTALLER: &str = r#"{"name": "auto", "title": "Debian, unattended",
    "boot": {"kind": "linux", "kernel": "d/linux"}, "install": {"tries": 2, "minutes": 90},
    "answers": [{"name": "preseed.cfg", "text": "x"}]}"#;
const RULE: &str = r#"{"name": "rack", "selector": {"mac": ["02:00:00:00:07"]}, "profile": "auto",
    "mode": "install-once"}"#;

fn machine(site: &Site, id: i64) -> Arc<Machine> {
    let record = site.store.machine(MachineId(id));
    record.expect("it exists").machine
}

/// With a profile that installs, and a rule that installs once what one of two new machines is.
async fn with_installer() -> (Site, String, i64) {
    let (site, cookie) = Site::full().await;
    let profile = serde_json::from_str(INSTALLER).expect("a profile");
    site.store.put_profile(profile, "ann").await.expect("saved");
    // A narrower rule that may match, when more is known of a machine, would keep the other back.
    let narrow = "lab".parse().expect("a name");
    site.store.delete_rule(&narrow, "ann").await.expect("gone");
    let rule = serde_json::from_str(RULE).expect("a rule");
    site.store.put_rule(rule, "ann").await.expect("saved");
    let mac = "02:00:00:00:07:01".parse().expect("a MAC");
    let seen = site.store.sight(Sighting::of(mac, bootplan::Timestamp(0)));
    let id = seen.await.expect("seen").machine.machine.id.0;
    (site, cookie, id)
}

/// Where an action leads that has to be confirmed.
async fn asked(site: &Site, answer: &Answer, cookie: &str) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let to = answer.location();
    assert!(to.starts_with("/machines/confirm?"), "{to}");
    let page = site.get(to, cookie).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    page.body
}

#[tokio::test]
async fn an_installer_at_every_boot_is_asked_about() {
    let (site, cookie, _) = with_installer().await;
    let install = "action=install&profile=auto&scope=selected&id=1&id=2&back=/machines";
    site.post("/machines/bulk", install, &cookie).await;
    let run = machine(&site, 1).run.clone().expect("ordered");
    assert_eq!(
        (run.kind, run.limit.tries),
        (RunKind::Install, 2),
        "its own limit"
    );

    let form = "action=assign&profile=auto&scope=selected&id=1&id=2&id=3&back=/machines%3Fq%3Dx";
    let answer = site.post("/machines/bulk", form, &cookie).await;
    let page = asked(&site, &answer, &cookie).await;
    for text in [
        "it would install these 3 machines at every boot",
        "2 of these have it to be installed once",
        "name=\"id\" value=\"3\"",
        "data-testid=\"sure-install\"",
        "href=\"/machines?q=x\"",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    for id in [1, 2] {
        assert_eq!(
            machine(&site, id).lifecycle(),
            Lifecycle::Armed,
            "nothing is changed"
        );
    }
    assert_eq!(machine(&site, 3).mode, Mode::Always);

    // The careful way out, and the other one.
    let once = "action=install&profile=auto&scope=selected&id=3&back=/machines&sure=yes";
    site.post("/machines/bulk", once, &cookie).await;
    assert_eq!(machine(&site, 3).mode, Mode::InstallOnce);
    let sure = format!("{form}&sure=yes");
    site.post("/machines/bulk", &sure, &cookie).await;
    for id in 1..=3 {
        let machine = machine(&site, id);
        assert_eq!(
            (machine.mode, machine.lifecycle()),
            (Mode::Always, Lifecycle::Ready)
        );
        assert_eq!(machine.profile.as_ref().map(|p| p.as_str()), Some("auto"));
    }
    // What is so already is not asked about, nor what installs nothing.
    let answer = site.post("/machines/bulk", form, &cookie).await;
    assert_eq!(answer.location(), "/machines?q=x");
    let harmless = "profile=memtest86&back=/machines/4";
    let answer = site.post("/machines/4/assign", harmless, &cookie).await;
    assert_eq!(answer.location(), "/machines/4");
    assert_eq!(
        machine(&site, 4).profile.as_ref().map(|p| p.as_str()),
        Some("memtest86")
    );
    let stale = site.get(
        "/machines/confirm?action=assign&profile=memtest86&id=4",
        &cookie,
    );
    assert_eq!(stale.await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn one_machine_is_asked_about_too() {
    let (site, cookie, _) = with_installer().await;
    let form = "profile=auto&back=/machines/4";
    let answer = site.post("/machines/4/assign", form, &cookie).await;
    let page = asked(&site, &answer, &cookie).await;
    assert!(
        page.contains("it would install this machine at every boot"),
        "{page}"
    );
    assert_ne!(
        machine(&site, 4).profile.as_ref().map(|p| p.as_str()),
        Some("auto")
    );

    // Entered by hand it is there, and what it boots is asked.
    let form = "name=late&macs=02%3A00%3A00%3A00%3A09%3A01&profile=auto";
    let answer = site.post("/machines/new", form, &cookie).await;
    asked(&site, &answer, &cookie).await;
    let late = site.store.machine_named("late").expect("entered").machine;
    assert_eq!((&late.profile, &late.run), (&None, &None));
}

#[tokio::test]
async fn adopting_says_what_a_rule_installs() {
    let (site, cookie, id) = with_installer().await;
    let page = site.get(&format!("/machines/{id}"), &cookie).await.body;
    assert!(page.contains("Adopt and install by rule rack"), "{page}");
    let list = site.get("/machines?q=02:00:00:00:07", &cookie).await.body;
    assert!(list.contains("Adopt and install"), "{list}");

    let form = format!("action=adopt&scope=selected&id=8&id={id}&back=/machines");
    let answer = site.post("/machines/bulk", &form, &cookie).await;
    let page = asked(&site, &answer, &cookie).await;
    assert!(
        page.contains("Rule rack installs 1 machine with auto, once, at the next boot."),
        "{page}"
    );
    assert_eq!(machine(&site, id).state, MachineState::Discovered);

    let only = format!("action=register&scope=selected&id=8&id={id}&sure=yes");
    site.post("/machines/bulk", &only, &cookie).await;
    let adopted = machine(&site, id);
    assert_eq!(
        (adopted.state, &adopted.run),
        (MachineState::Registered, &None)
    );
    assert_eq!(machine(&site, 8).state, MachineState::Registered);
    // Its page says what the rule would do, and an order without a profile does that.
    let page = site.get(&format!("/machines/{id}"), &cookie).await.body;
    let says = "rule &#39;rack&#39; would install auto once, when ordered";
    assert!(page.contains(says), "{page}");
    assert!(page.contains("<option value=\"auto\" selected>"), "{page}");
    let form = format!("action=install&scope=selected&id={id}&profile=");
    site.post("/machines/bulk", &form, &cookie).await;
    assert_eq!(machine(&site, id).lifecycle(), Lifecycle::Armed);
}

#[tokio::test]
async fn one_click_on_a_button_that_says_so_adopts_and_installs() {
    let (site, cookie, id) = with_installer().await;
    let sure = format!("action=adopt&scope=selected&id={id}&sure=yes&back=/machines");
    site.post("/machines/bulk", &sure, &cookie).await;
    let ordered = machine(&site, id);
    assert_eq!(ordered.lifecycle(), Lifecycle::Armed);
    assert_eq!(
        ordered.run.as_ref().map(|run| run.by.as_str()),
        Some("rule 'rack'")
    );
}

#[tokio::test]
async fn nothing_is_adopted_to_install_what_cannot_be_made() {
    let (site, cookie, id) = with_installer().await;
    let broken = INSTALLER.replace(r#""text": "x""#, r#""text": "{{ nobody }}""#);
    let profile = serde_json::from_str(&broken).expect("a profile");
    site.store.put_profile(profile, "ann").await.expect("saved");
    let sure = format!("action=adopt&scope=selected&id={id}&sure=yes&back=/machines");
    site.post("/machines/bulk", &sure, &cookie).await;
    site.post(&format!("/machines/{id}/adopt"), "rule=rack", &cookie)
        .await;
    assert_eq!(machine(&site, id).state, MachineState::Discovered);
    // It may be adopted without that.
    let only = format!("action=register&scope=selected&id={id}&sure=yes");
    site.post("/machines/bulk", &only, &cookie).await;
    assert_eq!(machine(&site, id).lifecycle(), Lifecycle::Ready);
}

#[tokio::test]
async fn forgetting_says_what_comes_back() {
    let (site, cookie, id) = with_installer().await;
    let path = format!("/machines/{id}");
    let text = "forgotten, this one would be installed anew";
    assert!(!site.get(&path, &cookie).await.body.contains(text));
    let settings = Settings {
        new_machines: NewMachines::Register,
        ..site.store.site()
    };
    site.store.set_site(settings, "ann").await.expect("saved");
    let page = site.get(&path, &cookie).await.body;
    assert!(page.contains(text), "{page}");

    // In the list, too, and nothing is forgotten before somebody says so.
    let form = format!("action=forget&scope=selected&id={id}&id=1&back=/machines");
    let answer = site.post("/machines/bulk", &form, &cookie).await;
    let page = asked(&site, &answer, &cookie).await;
    let text = "forgotten, 1 machine would be installed anew with auto at the next boot";
    assert!(page.contains(text), "{page}");
    assert!(site.store.machine(MachineId(id)).is_some());
    let sure = format!("{form}&sure=yes");
    site.post("/machines/bulk", &sure, &cookie).await;
    assert!(site.store.machine(MachineId(id)).is_none());
}

#[tokio::test]
async fn a_rule_that_came_after_the_page_is_asked_about() {
    let (site, cookie, id) = with_installer().await;
    let (adopt, page) = (format!("/machines/{id}/adopt"), format!("/machines/{id}"));
    // The page was opened before the rule was there, or when another one had the word.
    for shown in ["x=", "rule=rack-2"] {
        let answer = site.post(&adopt, shown, &cookie).await;
        let page = asked(&site, &answer, &cookie).await;
        assert!(page.contains("Adopt only"), "{page}");
        assert_eq!(machine(&site, id).state, MachineState::Discovered);
    }
    let shown = site.get(&page, &cookie).await.body;
    assert!(shown.contains("name=\"rule\" value=\"rack\""), "{shown}");
    let answer = site.post(&adopt, "rule=rack", &cookie).await;
    assert_eq!(answer.location(), page);
    assert!(machine(&site, id).run.is_some());
}

/// The value of the box that says that it is meant so.
fn box_of(answer: &Answer) -> Option<String> {
    let rest = answer.body.split("name=\"always\" value=\"").nth(1)?;
    rest.split('"').next().map(str::to_owned)
}

fn seen(answer: &Answer) -> String {
    let rest = answer.body.split("name=\"seen\" value=\"").nth(1);
    let value = rest.and_then(|rest| rest.split('"').next());
    value.expect("the form says what it shows").to_owned()
}

#[tokio::test]
async fn a_rule_that_installs_at_every_boot_is_asked_about() {
    let (site, cookie, _) = with_installer().await;
    site.store
        .assign(&[MachineId(1)], None, "test")
        .await
        .expect("unassigned");
    let name = machine(&site, 1).name.clone();
    let macs = &machine(&site, 1).macs;
    let mac = macs[0].to_string().replace(':', "%3A");
    let form = format!("name=a-wipe&profile=auto&mode=always&enabled=1&mac={mac}");
    let saved = || {
        site.store
            .rules()
            .iter()
            .any(|r| r.name.as_str() == "a-wipe")
    };

    let preview = format!("{form}&action=preview");
    let shown = site.post("/rules/new", &preview, &cookie).await;
    let told = format!(
        "1 machine would be erased at its next boot, and again at every one after it: {name}"
    );
    assert!(shown.body.contains(&told), "{}", shown.body);
    let always = box_of(&shown).expect("there is a box");
    // Neither what was seen nor another box is enough.
    for more in ["", "&always=1"] {
        let form = format!("{form}&action=save&seen={}{more}", seen(&shown));
        let held = site.post("/rules/new", &form, &cookie).await;
        assert_eq!((held.status, saved()), (StatusCode::OK, false));
        assert!(
            held.body.contains("data-testid=\"erases\""),
            "{}",
            held.body
        );
    }
    let sure = format!("{form}&action=save&seen={}&always={always}", seen(&shown));
    let done = site.post("/rules/new", &sure, &cookie).await;
    assert_eq!((done.location(), saved()), ("/rules", true));
    // As it stands it is not asked about again.
    let form = format!("{form}&action=save");
    let again = site.post("/rules/a-wipe", &form, &cookie).await;
    assert_eq!(again.location(), "/rules", "{}", again.body);
}

#[tokio::test]
async fn a_rule_that_installs_strangers_is_seen_before_it_is_saved() {
    let (site, cookie, _) = with_installer().await;
    let form = "name=strangers&profile=auto&mode=install-once&enabled=1&mac=02%3Aaa\
                &new_machines=register&action=save";
    let saved = || {
        let rules = site.store.rules();
        rules.iter().any(|rule| rule.name.as_str() == "strangers")
    };
    let held = site.post("/rules/new", form, &cookie).await;
    let said = "no machine would get something else; new machines that match would be registered \
                and installed without asking";
    assert!(held.body.contains(said), "{}", held.body);
    assert!(!saved());
    let sure = format!("{form}&seen={}", seen(&held));
    let done = site.post("/rules/new", &sure, &cookie).await;
    assert_eq!((done.location(), saved()), ("/rules", true));
    // As it stands it is not asked about again.
    let again = site.post("/rules/strangers", form, &cookie).await;
    assert_eq!(again.location(), "/rules", "{}", again.body);
}

#[tokio::test]
async fn switching_an_installer_on_again_is_asked_about() {
    let (site, cookie, _) = with_installer().await;
    let ids = [MachineId(1), MachineId(2)];
    let auto: bootplan::ProfileName = "auto".parse().expect("a name");
    let given = site.store.assign(&ids, Some(auto.clone()), "test").await;
    given.expect("assigned");
    let form = "title=Debian&kind=linux&kernel=d%2Flinux&action=save";
    let enabled = || {
        site.store
            .catalog()
            .profile(&auto)
            .is_some_and(|p| p.enabled)
    };
    let off = site.post("/profiles/auto", form, &cookie).await;
    assert_eq!((off.location(), enabled()), ("/profiles/auto", false));
    let on = format!("{form}&enabled=1");
    let asked = site.post("/profiles/auto", &on, &cookie).await;
    assert_eq!((asked.status, enabled()), (StatusCode::OK, false));
    for name in ids.map(|id| machine(&site, id.0).name.clone()) {
        assert!(asked.body.contains(&name), "{}", asked.body);
    }
    assert!(
        asked.body.contains("2 machines would be erased"),
        "{}",
        asked.body
    );
    assert!(
        asked.body.contains("value=\"Debian\""),
        "what was typed stays"
    );
    let always = box_of(&asked).expect("there is a box");
    let sure = format!("{on}&always={always}");
    let done = site.post("/profiles/auto", &sure, &cookie).await;
    assert_eq!((done.location(), enabled()), ("/profiles/auto", true));
}
