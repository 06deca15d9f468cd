//! Rules, from packets that a relay forwards to the menu they lead to.

use crate::common::farrier::PROFILE;
use crate::common::firmware::{discover, relayed};
use crate::common::wire::http_get;
use crate::common::{Farrier, Lan, SERVER, eventually};
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
