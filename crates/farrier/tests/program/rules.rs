//! Rules, from packets that a relay forwards to the menu they lead to.

use crate::common::farrier::PROFILE;
use crate::common::firmware::{discover, relayed};
use crate::common::wire::http_get;
use crate::common::{Farrier, Lan, Netns, SERVER, eventually};
use std::net::Ipv4Addr;
use std::time::Duration;
use testkit::firmware::BiosRom;
use testkit::packet::Packet;

/// The relay's far side.
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 44, 0, 1);
const RULE: &str =
    "kind: rule\nname: far-side\nselector: {subnet: [10.44.0.0/24]}\nprofile: test\n";

/// What a machine behind a relay is answered.
fn asks(lan: &Lan, last: u8, relay: Ipv4Addr, patience: Duration) -> Option<Packet> {
    let packet = Packet::decode(&discover(BiosRom::new([2, 0, 0, 0, 7, last])));
    relayed(lan, packet, relay, patience)
}

/// A machine as the server lists it, once it is as wished.
fn listed(farrier: &Farrier<'_>, last: u8, state: &str) {
    let mac = format!("02:00:00:00:07:{last:02x}");
    eventually(Duration::from_secs(5), &format!("{mac} is {state}"), || {
        let list = farrier.json(&["machine", "list"]);
        let machines = list["machines"].as_array().expect("a list").iter();
        let mut found = machines.filter(|m| m["macs"][0] == mac.as_str());
        (found.next()?["state"] == state).then_some(())
    });
}

const SOON: Duration = Duration::from_secs(3);
const SILENCE: Duration = Duration::from_millis(400);

#[test]
fn a_machine_of_a_subnet_gets_what_the_subnet_s_rule_says() {
    let lan = Lan::new();
    lan.client
        .ip("addr add 10.44.0.1/24 dev eth0\naddr add 10.45.0.1/24 dev eth0");
    lan.server
        .ip("route add 10.44.0.0/24 via 10.77.0.50\nroute add 10.45.0.0/24 via 10.77.0.50");
    let farrier = Farrier::started(&lan.server);
    farrier.apply(PROFILE);
    let file = farrier.home().join("rule.yaml");
    std::fs::write(&file, RULE).expect("written");
    let file = file.to_str().expect("a path of ours");
    assert_eq!(
        farrier.ok(&["rule", "put", "-f", file]),
        "rule 'far-side' is saved\n"
    );

    // As shipped, new machines are held: remembered, told what they would get, not answered.
    assert_eq!(asks(&lan, 1, RELAY, SILENCE), None);
    listed(&farrier, 1, "discovered");
    let told = farrier.ok(&["explain", "--mac", "02:00:00:00:07:01"]);
    assert!(
        told.contains("rule 'far-side' gives it 'test' once somebody adopts it"),
        "{told}"
    );
    let preview = farrier.ok(&["rule", "preview", "--delete", "far-side"]);
    assert!(
        preview.contains("1 machine would get something else"),
        "{preview}"
    );
    farrier.apply("kind: machine\nname: far-1\nmacs: ['02:00:00:00:07:01']\n");
    let offer = asks(&lan, 1, RELAY, SOON).expect("adopted, it is answered");
    assert_eq!(offer.file, b"undionly.kpxe");
    let menu = lan
        .client
        .run(|| http_get(SERVER, "/02-00-00-00-07-01/boot.ipxe"));
    let menu = String::from_utf8(menu).expect("text");
    assert!(menu.contains("test/linux"), "{menu}");

    // Registered by themselves, they are answered at once; those of another subnet are not.
    farrier.apply("kind: site\nnew_machines: register\n");
    let offer = asks(&lan, 2, RELAY, SOON).expect("a new machine of the subnet");
    assert_eq!(offer.siaddr, SERVER);
    listed(&farrier, 2, "registered");
    let elsewhere = Ipv4Addr::new(10, 45, 0, 1);
    assert_eq!(asks(&lan, 3, elsewhere, SILENCE), None);

    farrier.apply("kind: site\nnew_machines: ignore\n");
    assert_eq!(asks(&lan, 4, RELAY, SILENCE), None);
    assert!(
        asks(&lan, 2, RELAY, SOON).is_some(),
        "a registered one stays served"
    );
    let told = farrier.ok(&["explain", "--mac", "02:00:00:00:07:02"]);
    assert!(told.contains("rules      far-side: decides"), "{told}");
}

#[test]
fn adopting_by_command_says_what_a_rule_installs() {
    let lan = Lan::new();
    lan.client.ip("addr add 10.44.0.1/24 dev eth0");
    lan.server.ip("route add 10.44.0.0/24 via 10.77.0.50");
    let farrier = Farrier::started(&lan.server);
    farrier.apply(PROFILE);
    let once = "kind: rule\nname: lab\nselector: {mac: ['02:00:00']}\nprofile: test\n\
                mode: install-once\n";
    farrier.apply(once);
    for last in [1, 2] {
        assert_eq!(asks(&lan, last, RELAY, SILENCE), None);
        listed(&farrier, last, "discovered");
    }
    let adopt = |more: &[&str]| farrier.cli(&[&["machine", "adopt"], more].concat());
    let refused = adopt(&["--filter", "state:discovered", "--yes"]);
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    let said = "Rule lab installs 2 machines with test, once, at the next boot. Nothing was \
                changed: say 'install' if that is meant";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
    listed(&farrier, 1, "discovered");
    let only = adopt(&["02:00:00:00:07:01", "--only"]);
    assert_eq!(only.stdout, "adopted: 1\n", "{}", only.stderr);
    let meant = adopt(&["--filter", "state:discovered", "--yes", "--install"]);
    assert_eq!(
        meant.stdout,
        "adopted: 1\n02-00-00-00-07-02: rule lab installs it with test, once, at the next boot\n",
        "{}",
        meant.stderr
    );
    let armed = farrier.json(&["machine", "list", "state:armed"]);
    assert_eq!(armed["total"], 1, "{armed}");
}

const INSTALLER: &str = "kind: profile\nname: auto\ntitle: Auto\nboot: {kind: linux, kernel: test/linux}\n\
    install: {tries: 2, minutes: 90}\n";

/// Refused, and it says so in these words; then done by saying that it is meant so.
fn only_always(farrier: &Farrier<'_>, args: &[&str], words: &[&str]) -> String {
    let ran = farrier.cli(args);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    for word in words {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    farrier.ok(&[args, &["--always"]].concat())
}

#[test]
fn what_would_be_installed_at_every_boot_has_to_be_said() {
    let netns = Netns::new();
    let farrier = Farrier::started(&netns);
    farrier.apply(PROFILE);
    farrier.apply(INSTALLER);
    farrier.apply(
        "kind: machine\nname: node-1\nmacs: ['52:54:00:cc:00:01']\n---\n\
         kind: machine\nname: node-2\nmacs: ['52:54:00:cc:00:02']\nprofile: test\n",
    );
    let file = |name: &str, text: &str| {
        let path = farrier.home().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let rule = "name: all\nselector: {mac: ['52:54:00:cc']}\nprofile: auto\n";
    let unsaid = file("rule.yaml", rule);
    let preview = farrier.ok(&["rule", "preview", "-f", &unsaid]);
    assert!(
        preview.contains("to be confirmed with --always: profile 'auto' installs"),
        "{preview}"
    );
    let erased = "1 machine would be erased at its next boot, and again at every one after it";
    let put = ["rule", "put", "-f", &unsaid];
    let saved = only_always(&farrier, &put, &[erased, "it: node-1"]);
    assert_eq!(saved, "rule 'all' is saved\n");
    farrier.ok(&["rule", "delete", "all"]);
    let said = file("said.yaml", &format!("{rule}mode: always\n"));
    farrier.ok(&["rule", "put", "-f", &said]);

    // A profile that becomes an installer, by file, line and column.
    let becomes = file("test.yaml", &INSTALLER.replace("auto", "test"));
    let apply = ["apply", "-f", &becomes];
    let place = format!("{becomes}:5:1: ");
    let told = only_always(&farrier, &apply, &[&place, erased, "it: node-2;"]);
    assert!(told.starts_with("~ profile test\n"), "{told}");

    // A window by its name.
    farrier
        .apply("kind: site\nwindows:\n  nights: {days: [mon, tue], from: '22:00', to: '05:00'}\n");
    let install = ["machine", "install", "node-2", "--window"];
    let ran = farrier.cli(&[&install[..], &["days"]].concat());
    assert!(ran.stderr.contains("there are nights"), "{}", ran.stderr);
    farrier.ok(&[&install[..], &["nights", "--force"]].concat());
    let shown = farrier.json(&["machine", "show", "node-2"]);
    let days = serde_json::json!(["mon", "tue"]);
    assert_eq!(shown["run"]["window"]["days"], days, "{shown}");
}
