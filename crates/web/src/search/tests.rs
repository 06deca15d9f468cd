//! Which words find which machines.

use super::*;
use bootplan::{Facts, MacAddr, MachineId, MachineState};
use proptest::prelude::*;

fn machine() -> Machine {
    Machine {
        macs: vec![
            MacAddr([0x52, 0x54, 0, 0, 0, 0xab]),
            MacAddr([0xaa, 0xbb, 0xcc, 0, 0, 1]),
        ],
        serial: Some("S3R1AL".to_owned()),
        labels: [("rack", "12"), ("site", "Büro 7"), ("blade", "")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        notes: "PSU 2 is \"dead\"".to_owned(),
        state: MachineState::Discovered,
        profile: Some("debian-12".parse().expect("a slug")),
        facts: Facts {
            platform: Some(Platform::EfiX64),
            manufacturer: Some("Dell Inc.".to_owned()),
            product: Some("PowerEdge R640".to_owned()),
            ..Facts::default()
        },
        ..Machine::named(MachineId(1), "Node-7")
    }
}

fn finds(text: &str) -> bool {
    let query = Query::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    query.matches(&machine())
}

#[test]
fn every_word_must_match_somewhere() {
    for yes in [
        "",
        " ",
        "node",
        "NODE 7",
        "52:54:00",
        "aa:bb:cc",
        "5254000000ab",
        "52-54-00-00-00-ab",
        "rack=12",
        "s3r",
        "discovered",
        "\"büro 7\"",
        "\"is \\\"dead\\\"\"",
        "!nonsense",
        "!",
    ] {
        assert!(finds(yes), "{yes}");
    }
    for no in ["node 8", "rack=13", "fedora", "!node", "node !rack=12"] {
        assert!(!finds(no), "{no}");
    }
}

#[test]
fn a_key_asks_for_one_thing() {
    for yes in [
        "label:rack",
        "label:rack=12",
        "label:rack=1*",
        "label:rack=?2",
        "label:site=\"Büro 7\"",
        "label:blade=",
        "!label:row",
        "state:discovered",
        "STATE:Discovered",
        "mac:52:54",
        "mac:52-54-00",
        "mac:AABBCC*",
        "product:Power*",
        "product:edge",
        "maker:dell",
        "serial:S3*",
        "!serial:OLD*",
        "profile:debian-12",
        "profile:debian*",
        "!profile:debian",
        "asset:",
        "!serial:",
        "platform:efi-x64",
        "name:node",
        "notes:dead",
        "loader: uuid:",
        "rack state:discovered !label:rack=13 product:\"PowerEdge R640\"",
    ] {
        assert!(finds(yes), "{yes}");
    }
    for no in [
        "label:rack=1",
        "label:rack=",
        "label:row",
        "!label:rack",
        "state:registered",
        "mac:54",
        "product:edge*",
        "profile:debian",
        "profile:",
        "serial:\"S3*\"",
        "node serial:X",
    ] {
        assert!(!finds(no), "{no}");
    }
}

#[test]
fn what_can_never_hold_is_said() {
    let told = |text: &str| Query::parse(text).expect_err(text).to_string();
    insta::assert_snapshot!(told("colour:red"), @"filter: 'colour:' is no key; there are asset, label, loader, mac, maker, name, notes, platform, product, profile, serial, state, uuid; put the word in quotes to look for it as text");
    insta::assert_snapshot!(told("!state:broken"), @"filter: state:broken never holds; a machine's states are discovered, registered, ready, waiting, armed, installing, installed, failed, held, cancelled");
    insta::assert_snapshot!(told("mac:zz"), @"filter: mac:zz never holds; expected the first octets, such as 52:54:00");
    insta::assert_snapshot!(told("a \"b c"), @"filter: the quotes before 'b c' do not end");
    assert!(!finds("\"colour:red\""), "in quotes it is text");
}

proptest! {
    /// Any text in quotes is looked for as it is, so that a program can ask for any name.
    #[test]
    fn quoted_text_is_literal(text in "\\PC{1,20}") {
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let named = Machine::named(MachineId(1), format!("<{text}>"));
        prop_assert!(Query::parse(&quoted).expect("well-formed").matches(&named));
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}") {
        if let Ok(query) = Query::parse(&text) {
            query.matches(&machine());
        }
    }
}
