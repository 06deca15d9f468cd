//! A server that is made anew from its export is the same, whatever there was; and secrets in files.

use super::site::Site;
use crate::documents::kinds::KINDS;
use crate::documents::{ApplyError, Options};
use bootplan::Secret;
use std::collections::BTreeSet;
use store::EventQuery;

const EVERY: &str = r#"
kind: site
new_machines: register
variables: {domain: example.org}
windows:
  nights: {days: [mon, tue], from: "22:00", to: "05:00"}
---
kind: secret
name: power.rack1
---
kind: secret
name: hook.chat
value: "canary 'one': #"
---
kind: snippet
name: ssh-keys
labels: {team: web}
text: "ssh-ed25519 AAAA\n\n\n"
---
kind: template
name: seed
labels: {team: web}
text: |
  d-i passwd/root-password-crypted password {{ secret("root") }}
  {% include "ssh-keys" %}
---
kind: group
name: rack1
labels: {team: web}
selector: {label: {rack: ["1"]}}
variables: {gateway: 10.1.0.1, dns: [10.0.0.1, 10.0.0.2]}
---
kind: profile
name: debian
title: Debian
labels: {team: web}
boot: {kind: linux, kernel: debian/linux, initrds: [debian/initrd.gz], args: "url={{ answer('preseed.cfg') }}"}
answers: [{name: preseed.cfg, kind: preseed, template: seed}]
install: {tries: 2, minutes: 90}
---
kind: machine
name: rack1-u3
macs: [52:54:00:12:34:56, 52:54:00:12:34:57]
uuid: 12345678-9abc-def0-1122-334455667788
serial: S123
asset: "0042"
notes: "PSU 2 is dead\n"
labels: {rack: "1", team: web}
variables: {hostname: web3}
local_boot: exit
assign: {profile: debian, mode: install-once}
power:
  redfish: {url: "https://10.9.0.3/redfish/v1/Systems/1", user: admin, password_secret: power.rack1}
  wake: true
---
kind: machine
name: rack1-u4
macs: [52:54:00:12:34:58]
power: {ipmi: {host: 10.9.0.4, user: admin, password_secret: power.rack1}}
---
kind: machine
name: 52-54-00-12-34-59
macs: [52:54:00:12:34:59]
uuid: 12345678-9abc-def0-1122-334455667788
state: discovered
---
kind: adapter
mac: 00:e0:4c:68:00:01
shared: "dongle of room 2: \"blue\""
labels: {team: web}
---
kind: rule
name: rack-one
labels: {team: web}
selector: {all: [{mac: ["52:54:00"]}, {not: {serial: ["OLD*"]}}]}
profile: debian
mode: install-once
new_machines: register
---
kind: hook
name: chat
labels: {team: web}
url: https://chat.example/T0/B0
events: [run-changed, assigned]
secret: hook.chat
"#;

impl Site {
    async fn told(&self, text: &str) -> String {
        self.done(text, &Options::default()).await
    }

    async fn set(&self, name: &str, value: &str) {
        let name = name.parse().expect("a name");
        let set = self.store.put_secret(&name, Secret::new(value), "ann");
        set.await.expect("set");
    }

    fn value(&self, name: &str) -> Option<String> {
        let secrets = self.store.secrets();
        secrets.get(name).map(|secret| secret.expose().to_owned())
    }
}

#[tokio::test]
async fn a_server_made_anew_from_its_export_is_the_same() {
    let site = Site::of(EVERY).await;
    site.set("power.rack1", "canary two").await;
    let yaml = site.export(false).await;
    let said: BTreeSet<&str> = yaml
        .lines()
        .filter_map(|l| l.strip_prefix("kind: "))
        .collect();
    let all: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(said, all, "every kind is exported, and tried here");
    assert!(!yaml.contains("canary"), "{yaml}");
    insta::assert_snapshot!(yaml);

    let again = Site::of(&yaml).await;
    assert_eq!(again.export(false).await, yaml);
    // Nothing was ordered by it, though a rule would have every one of them installed.
    let machines = again.store.machines();
    assert_eq!(machines.len(), 3);
    assert!(machines.iter().all(|m| m.machine.run.is_none()));
    assert_eq!(again.value("power.rack1"), None, "named alone");
    let unchanged = again.told(&yaml).await;
    assert!(
        unchanged.lines().all(|line| line.starts_with('=')),
        "{unchanged}"
    );

    let whole = site.export(true).await;
    let again = Site::of(&whole).await;
    assert_eq!(again.export(true).await, whole);
    assert_eq!(again.value("power.rack1").as_deref(), Some("canary two"));
    assert_eq!(again.value("hook.chat").as_deref(), Some("canary 'one': #"));
}

#[tokio::test]
async fn a_secret_is_set_by_files_and_seen_nowhere() {
    let site = Site::of("kind: secret\nname: root\n").await;
    let told = site.told("kind: secret\nname: root\nvalue: canary\n").await;
    assert_eq!(told, "~ secret root\n    value: \"(another)\"\n");
    assert_eq!(site.value("root").as_deref(), Some("canary"));
    // Its name alone takes no value away.
    assert_eq!(
        site.told("kind: secret\nname: root\n").await,
        "= secret root\n"
    );
    site.told("kind: secret\nname: root\nvalue: canary 2\n")
        .await;
    site.told("kind: secret\nname: root\nvalue: canary 3\n")
        .await;
    assert_eq!(site.value("root").as_deref(), Some("canary 3"));
    // A person set another one since.
    site.set("root", "by hand").await;
    let problem = site
        .refused("kind: secret\nname: root\nvalue: canary 3\n")
        .await;
    assert!(
        problem.contains("was edited") && problem.contains("(set by ann)"),
        "{problem}"
    );
    assert!(
        !problem.contains("canary") && !problem.contains("by hand"),
        "{problem}"
    );
    assert_eq!(site.value("root").as_deref(), Some("by hand"));

    for (text, says) in [
        (
            "kind: secret\nname: root\nvalue: 815\n",
            "must be a text, in quotes",
        ),
        (
            "kind: secret\nname: root\nvalue: ''\n",
            "must be a text, in quotes",
        ),
        (
            "kind: secret\nname: root\nvalue_file: /etc/shadow\n",
            "the watched directory read files",
        ),
        ("kind: secret\nname: Root\n", "not usable"),
    ] {
        let problem = site.refused(text).await;
        assert!(
            problem.contains(says) && !problem.contains("815"),
            "{problem}"
        );
    }
    let events = site
        .store
        .events(EventQuery::default())
        .await
        .expect("read");
    let marks = site.store.marks().await.expect("read");
    let kept = format!("{events:?} {marks:?}");
    assert!(
        kept.contains("secret 'root' set") && !kept.contains("canary"),
        "{kept}"
    );
}

#[tokio::test]
async fn a_switch_belongs_to_its_machine() {
    let site = Site::of(EVERY).await;
    let power = |text: &str| format!("kind: machine\nname: rack1-u4\npower: {text}\n");
    let told = site.told(&power("{wake: true}")).await;
    assert!(
        told.starts_with("~ machine rack1-u4\n    power: {\"ipmi\""),
        "{told}"
    );
    // Left out, it stays.
    let told = site.told("kind: machine\nname: rack1-u4\nnotes: x\n").await;
    assert!(!told.contains("power"), "{told}");
    let id = site
        .store
        .machine_named("rack1-u4")
        .expect("known")
        .machine
        .id;
    assert!(site.store.power(id).await.expect("read").wake);
    // Somebody changes it in the browser.
    let none = bootplan::Power::default();
    site.store.set_power(id, none, "ann").await.expect("set");
    let problem = site.refused(&power("{wake: true}")).await;
    assert!(
        problem.contains("power was edited") && problem.contains("by ann"),
        "{problem}"
    );
    assert_eq!(site.told(&power("null")).await, "= machine rack1-u4\n");
    let problem = site.refused(&power("{redfish: {url: 'ftp://x'}}")).await;
    assert!(problem.contains("http://"), "{problem}");
}

#[tokio::test]
async fn windows_are_settings_and_order_nothing() {
    let site = Site::of(EVERY).await;
    let windows = |days: &str| {
        format!(
            "kind: site\nwindows:\n  nights: {{days: [{days}], from: \"22:00\", to: \"04:00\"}}\n"
        )
    };
    let told = site.told(&windows("mon")).await;
    insta::assert_snapshot!(told, @r#"
    ~ site site
        windows: {"nights":{"days":["mon","tue"],"from":"22:00","to":"05:00"}} -> {"nights":{"days":["mon"],"from":"22:00","to":"04:00"}}
    "#);
    assert!(
        site.store
            .machines()
            .iter()
            .all(|m| m.machine.run.is_none())
    );
    for (text, says) in [
        (windows(""), "opens on no day"),
        (windows("monday"), "unknown variant"),
        (windows("mon").replace("nights", "Nights"), "not usable"),
        (
            windows("mon").replace("22:00", "24:00"),
            "not a time of day",
        ),
    ] {
        let problem = site.refused(&text).await;
        assert!(problem.contains(says), "{text}: {problem}");
    }
    // Left out they stay.
    assert_eq!(
        site.told("kind: site\nnew_machines: register\n").await,
        "= site site\n"
    );
}

#[tokio::test]
async fn whatever_has_labels_is_owned_and_pruned() {
    let site = Site::of(EVERY).await;
    let own = Options {
        own: Some("team=web".parse().expect("a label")),
        prune: true,
        force: true,
        ..Options::default()
    };
    let done = site.apply("", &own).await.expect("pruned");
    let gone: BTreeSet<&str> = done.changes.iter().map(|change| change.kind).collect();
    let kinds = [
        "adapter", "group", "hook", "machine", "profile", "rule", "snippet", "template",
    ];
    assert_eq!(gone, kinds.into());
    let left = site.export(false).await;
    let left: Vec<&str> = left.lines().filter(|l| l.starts_with("kind: ")).collect();
    let kept = [
        "kind: site",
        "kind: secret",
        "kind: secret",
        "kind: machine",
        "kind: machine",
    ];
    assert_eq!(left, kept);
    // Labels that a document leaves out stay, as the owner's do.
    site.told(EVERY).await;
    let text = "kind: snippet\nname: ssh-keys\ntext: other\n";
    let told = site.told(text).await;
    assert!(told.contains("text") && !told.contains("labels"), "{told}");
    let stolen = Options {
        own: Some("team=db".parse().expect("a label")),
        ..Options::default()
    };
    match site.apply(text, &stolen).await {
        Err(ApplyError::Wrong(faults)) => {
            assert!(faults[0].problem.contains("belongs to team=web"))
        }
        other => panic!("{other:?}"),
    }
}
