//! One machine with two cards, from its packets to what a person says of them.

use crate::common::farrier::PROFILE;
use crate::common::firmware::{discover, relayed};
use crate::common::{Farrier, Lan, eventually};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::time::Duration;
use testkit::firmware::BiosRom;
use testkit::packet::Packet;

/// A relay's far side, so that answers come back to one known address.
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 44, 0, 1);
/// Every new machine is registered and installed once.
const EAGER: &str = "kind: site\nnew_machines: register\n---\n\
    kind: rule\nname: all\nselector: {subnet: [10.44.0.0/24]}\nprofile: test\nmode: install-once\n";
/// As option 97 has it: the UUID of one board, whichever card asks.
const BOARD: [u8; 17] = [
    0, 0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xf0, 0xde, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
    0x88,
];

/// What the card is answered.
fn asks(lan: &Lan, card: u8, patience: Duration) -> Option<Packet> {
    let mut packet = Packet::decode(&discover(BiosRom::new([2, 0, 0, 0, 7, card])));
    packet.options.retain(|(code, _)| *code != 97);
    packet.options.push((97, BOARD.to_vec()));
    relayed(lan, packet, RELAY, patience)
}

/// The machine with this card, as the server lists it, once it is so.
fn listed(farrier: &Farrier<'_>, card: u8, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mac = format!("02:00:00:00:07:{card:02x}");
    eventually(Duration::from_secs(5), &format!("{mac}: {what}"), || {
        let list = farrier.json(&["machine", "list"]);
        let machines = list["machines"].as_array().expect("a list").iter();
        let has = |machine: &&Value| {
            let macs = machine["macs"].as_array().expect("a list");
            macs.iter().any(|known| known == mac.as_str())
        };
        machines.filter(has).find(|machine| is_so(machine)).cloned()
    })
}

const SOON: Duration = Duration::from_secs(3);
const SILENCE: Duration = Duration::from_millis(400);

#[test]
fn the_second_card_of_an_installed_machine_is_not_a_machine_to_install() {
    let lan = Lan::new();
    lan.client.ip("addr add 10.44.0.1/24 dev eth0");
    lan.server.ip("route add 10.44.0.0/24 via 10.77.0.50");
    let farrier = Farrier::started(&lan.server);
    farrier.apply(PROFILE);
    farrier.apply(EAGER);

    // Its first card: new, so it is registered and ordered. Installed, it boots its disk.
    asks(&lan, 1, SOON).expect("a new machine is answered");
    listed(&farrier, 1, "ordered", |m| m["lifecycle"] == "armed");
    asks(&lan, 1, SOON).expect("its UUID is said once more");
    farrier.ok(&["machine", "done", "02:00:00:00:07:01"]);
    assert_eq!(asks(&lan, 1, SILENCE), None, "its disk");

    // Its second card says the same UUID: left to its disk at once, and nothing is ordered.
    assert_eq!(asks(&lan, 2, SILENCE), None);
    let card = listed(&farrier, 2, "in conflict", |m| m["in_conflict"] == true);
    assert_eq!(asks(&lan, 2, SILENCE), None);
    assert_eq!(
        (&card["state"], &card["run"]),
        (&"discovered".into(), &Value::Null)
    );
    let told = farrier.ok(&["machine", "conflicts"]);
    assert!(told.contains("02:00:00:00:07:02"), "{told}");
    assert!(told.contains("has its UUID"), "{told}");
    let why = farrier.ok(&["explain", "--mac", "02:00:00:00:07:02"]);
    assert!(why.contains("what fits no one machine"), "{why}");

    // A person says that it is the same machine.
    let (one, two) = ("02:00:00:00:07:01", "02:00:00:00:07:02");
    farrier.ok(&["machine", "settle", two, "--is", one]);
    let whole = listed(&farrier, 2, "one machine", |m| m["macs"][0] == one);
    assert_eq!(whole["lifecycle"], "installed");
    assert_eq!(asks(&lan, 2, SILENCE), None, "it is installed");
    assert!(
        farrier
            .ok(&["machine", "conflicts"])
            .contains("no conflicts")
    );

    // Taken apart again, the card is a machine that nothing is ordered for.
    let split = farrier.ok(&["machine", "split", one, two]);
    assert!(split.contains("registered"), "{split}");
    asks(&lan, 2, SILENCE);
    let apart = listed(&farrier, 2, "alone", |m| m["macs"][0] == two);
    assert_eq!(apart["run"], Value::Null);
    farrier.ok(&["machine", "merge", one, two]);
    let whole = listed(&farrier, 2, "one machine", |m| m["macs"][0] == one);
    assert_eq!(whole["lifecycle"], "installed");
}
