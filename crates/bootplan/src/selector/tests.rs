use super::*;
use crate::{CircuitId, MachineId, Stage};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(written: Value) -> Selector {
    serde_json::from_value(written).expect("a selector")
}

fn client() -> BootClient {
    let mac = MacAddr([0x52, 0x54, 0, 0, 0, 1]);
    BootClient {
        platform: Some(Platform::EfiX64),
        place: Some(Ipv4Addr::new(10, 1, 2, 3)),
        relay: Some(Ipv4Addr::new(10, 1, 2, 3)),
        circuit: CircuitId::from_octets(b"ge-0/0/7"),
        ..BootClient::asking(mac, Stage::Firmware)
    }
}

fn machine() -> Machine {
    let mut machine = Machine {
        macs: vec![MacAddr([0xaa, 0, 0, 0, 0, 1])],
        serial: Some("OLD-17".to_owned()),
        labels: [("role".to_owned(), "web".to_owned())].into(),
        ..Machine::named(MachineId(1), "node-1")
    };
    machine.facts.manufacturer = Some("Dell Inc.".to_owned());
    machine.facts.product = Some("PowerEdge R750".to_owned());
    machine
}

/// Each condition on a machine that is known, on one that is a stranger by DHCP, and on one of
/// which only the MAC is known.
#[test]
fn each_condition() {
    let (yes, no, unknown) = (Some(true), Some(false), None);
    let cases = [
        (json!({"label": {"role": ["web", "api"]}}), [yes, no, no]),
        (json!({"label": {"role": ["db"]}}), [no, no, no]),
        (
            json!({"label": {"role": ["web"], "rack": ["1"]}}),
            [no, no, no],
        ),
        (json!({"mac": ["52:54:00"]}), [yes, yes, yes]),
        (json!({"mac": ["aa"]}), [yes, no, no]),
        (json!({"arch": ["bios", "efi-x64"]}), [yes, yes, unknown]),
        (json!({"subnet": ["10.1.0.0/16"]}), [yes, yes, unknown]),
        (json!({"subnet": ["10.2.0.0/16"]}), [no, no, unknown]),
        (json!({"relay": ["10.1.2.3"]}), [yes, yes, unknown]),
        (json!({"circuit": ["ge-0/0/*"]}), [yes, yes, unknown]),
        (json!({"manufacturer": ["dell*"]}), [yes, unknown, unknown]),
        (json!({"product": ["*R750"]}), [yes, unknown, unknown]),
        (json!({"serial": ["OLD*"]}), [yes, unknown, unknown]),
        (json!({"not": {"serial": ["OLD*"]}}), [no, unknown, unknown]),
        (json!({"not": {"label": {"role": ["db"]}}}), [yes, yes, yes]),
        (
            json!({"any": [{"serial": ["OLD*"]}, {"mac": ["52"]}]}),
            [yes, yes, yes],
        ),
        (
            json!({"any": [{"serial": ["NEW*"]}, {"mac": ["53"]}]}),
            [no, unknown, unknown],
        ),
        (
            json!({"all": [{"serial": ["OLD*"]}, {"mac": ["53"]}]}),
            [no, no, no],
        ),
        (
            json!({"serial": ["OLD*"], "arch": ["efi-x64"]}),
            [yes, unknown, unknown],
        ),
    ];
    let (client, machine) = (client(), machine());
    let bare = BootClient::asking(client.mac, Stage::Grub);
    let all = [
        Seen::of(&client, Some(&machine)),
        Seen::of(&client, None),
        Seen::of(&bare, None),
    ];
    for (written, expected) in cases {
        let selector = read(written.clone());
        assert_eq!(all.map(|seen| selector.holds(&seen)), expected, "{written}");
        let certain = expected.map(|held| held == Some(true));
        assert_eq!(all.map(|seen| selector.matches(&seen)), certain);
    }
}

#[test]
fn a_menu_s_question_is_placed_by_what_dhcp_said_before() {
    let selector = read(json!({"relay": ["10.1.2.3"], "subnet": ["10.1.0.0/16"]}));
    let mut machine = machine();
    machine.facts.place = Some(Ipv4Addr::new(10, 1, 2, 3));
    machine.facts.relay = machine.facts.place;
    let menu = BootClient::asking(client().mac, Stage::Ipxe);
    assert!(selector.matches(&Seen::of(&menu, Some(&machine))));
    // Moved: today's packet comes from elsewhere, without a relay.
    let moved = BootClient {
        place: Some(Ipv4Addr::new(10, 1, 9, 9)),
        ..menu
    };
    let seen = Seen::of(&moved, Some(&machine));
    assert_eq!(selector.holds(&seen), Some(false));
}

#[test]
fn narrower_counts_more() {
    for (written, expected) in [
        (json!({"mac": ["52", "53"]}), 1),
        (json!({"label": {"role": ["web"], "rack": ["1"]}}), 2),
        (json!({"mac": ["52"], "arch": ["bios"]}), 2),
        (
            json!({"any": [{"mac": ["52"]}, {"mac": ["53"], "arch": ["bios"]}]}),
            1,
        ),
        (json!({"mac": ["52"], "not": {"serial": ["x"]}}), 1),
    ] {
        assert_eq!(read(written.clone()).specificity(), expected, "{written}");
    }
}

#[test]
fn what_is_refused_and_why() {
    let nested = (0..9).fold(json!({"mac": ["52"]}), |inner, _| json!({"not": inner}));
    let many: Vec<String> = (0..257).map(|n| format!("{n}")).collect();
    for (written, expected) in [
        (json!({}), "selector: must not be empty"),
        (json!({"any": []}), "any: must not be empty"),
        (json!({"label": {"role": []}}), "label: must not be empty"),
        (json!({"mac": ["5"]}), "'5' is not the beginning of a MAC"),
        (json!({"subnet": ["10.0.0.0"]}), "is not a subnet"),
        (json!({"serial": [""]}), "'' is not a pattern"),
        (json!({"colour": ["red"]}), "unknown field `colour`"),
        (json!({"serial": many}), "more than 256 conditions"),
        (nested, "nested more than 8 deep"),
    ] {
        let error = serde_json::from_value::<Selector>(written).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_explanation_names_every_condition() {
    let selector = read(json!({
        "label": {"role": ["web", "api"]}, "not": {"serial": ["OLD*"]},
        "any": [{"subnet": ["10.2.0.0/16"]}, {"arch": ["efi-x64"]}],
    }));
    let (client, machine) = (client(), machine());
    let findings = selector.explain(&Seen::of(&client, Some(&machine)));
    let lines: Vec<String> = findings
        .iter()
        .map(|f| format!("{}{}: {:?}", "  ".repeat(f.depth), f.text, f.holds))
        .collect();
    let expected = [
        "all of: Some(false)",
        "  any of: Some(true)",
        "    in subnet 10.2.0.0/16: Some(false)",
        "    architecture is UEFI x64: Some(true)",
        "  not: Some(false)",
        "    serial is like OLD*: Some(true)",
        "  label role is web or api: Some(true)",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_whole_selector_in_one_line() {
    let text = read(json!({
        "any": [{"mac": ["52:54"], "arch": ["bios", "efi-x64"]}, {"label": {"role": ["web"]}}],
        "not": {"serial": ["OLD*"]},
    }))
    .to_string();
    assert_eq!(
        text,
        "((MAC begins 52:54 and architecture is BIOS or UEFI x64), or label role is web) and not \
         (serial is like OLD*)"
    );
}

pub(crate) fn any_selector() -> impl Strategy<Value = Selector> {
    let leaf = prop_oneof![
        Just(json!({"label": {"role": ["web"]}})),
        Just(json!({"label": {"role": ["web"], "rack": ["1"]}})),
        Just(json!({"mac": ["52:54"]})),
        Just(json!({"arch": ["efi-x64"]})),
        Just(json!({"serial": ["OLD*"]})),
        Just(json!({"circuit": ["ge-*", "xe-*"]})),
    ];
    let leaf = leaf.prop_map(read);
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Selector::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Selector::Any),
            inner.prop_map(|part| Selector::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(selector in any_selector()) {
        let written = serde_json::to_value(&selector).expect("JSON");
        prop_assert_eq!(read(written), selector);
    }

    /// Whatever is learned later, what held for certain holds still.
    #[test]
    fn learning_more_changes_nothing_that_was_certain(selector in any_selector()) {
        let (client, mut machine) = (client(), machine());
        let known = selector.holds(&Seen::of(&client, Some(&machine)));
        machine.serial = None;
        let before = selector.holds(&Seen::of(&client, Some(&machine)));
        prop_assert!(before.is_none() || before == known);
    }
}
