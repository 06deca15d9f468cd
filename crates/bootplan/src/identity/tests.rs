use super::*;
use proptest::prelude::*;

fn mac(n: u8) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0, 0, n])
}

/// `u0` is junk, `u1r` is `u1` with its first groups turned round.
fn uuid(token: &str) -> SystemUuid {
    let (number, turned) = match token.strip_suffix('r') {
        Some(number) => (number, true),
        None => (token, false),
    };
    let text = match number {
        "0" => "00000000-0000-0000-0000-000000000000".to_owned(),
        n => format!("1234567{n}-9abc-def0-1122-334455667788"),
    };
    let uuid: SystemUuid = text.parse().expect("a UUID");
    if turned { uuid.swapped() } else { uuid }
}

fn text(token: &str) -> String {
    match token {
        "-" => "To be filled by O.E.M.".to_owned(),
        token => format!("number {token}"),
    }
}

/// `A m1 u1 s1 p1 a1`: a name, then MACs, UUID (`u1?`: said once), serial, product, asset tag.
fn machine(words: &str) -> Machine {
    let (name, words) = words.split_once(' ').expect("a name and more");
    let id = i64::from(name.as_bytes()[0]);
    let mut machine = Machine::named(MachineId(id), name);
    for word in words.split(' ') {
        let (kind, token) = word.split_at(1);
        match kind {
            "m" => machine.macs.push(mac(token.parse().expect("a number"))),
            "u" => {
                let said = token.trim_end_matches('?');
                machine.facts.uuid_said_once = said != token;
                machine.uuid = Some(uuid(said));
            }
            "s" => machine.serial = Some(text(token)),
            "p" => machine.facts.product = Some(text(token)),
            _ => machine.asset = Some(text(token)),
        }
    }
    machine
}

fn concluded(seen: &Machine, known: &[Machine], shared: &[u8]) -> String {
    let observation = Observation {
        mac: seen.macs[0],
        uuid: seen.uuid,
        serial: seen.serial.as_deref(),
        product: seen.facts.product.as_deref(),
        asset: seen.asset.as_deref(),
    };
    let shared = shared.iter().copied().map(mac).collect();
    let name = |id: MachineId| char::from(id.0 as u8).to_string();
    match conclude(&observation, known, &shared) {
        Conclusion::Is(id) => name(id),
        Conclusion::New => "new".to_owned(),
        Conclusion::Untold => "untold".to_owned(),
        Conclusion::Conflict(suspects) => {
            let names: Vec<String> = suspects.iter().map(|s| name(s.machine)).collect();
            format!("conflict {}", names.join(" "))
        }
    }
}

/// Name, known machines, shared adapters, what is seen, what is concluded.
type Case<'a> = (&'a str, &'a [&'a str], &'a [u8], &'a str, &'a str);

#[test]
fn stories() {
    let full = "A m1 u1 s1 p1 a1";
    let cases: [Case; 31] = [
        ("the same again", &[full], &[], "m1 u1 s1 p1", "A"),
        ("only its card is told", &[full], &[], "m1", "A"),
        ("nobody has seen it", &[full], &[], "m9 u9 s9 p1", "new"),
        (
            "its second card, by DHCP",
            &[full],
            &[],
            "m2 u1",
            "conflict A",
        ),
        ("its second card, by iPXE", &[full], &[], "m2 u1 s1 p1", "A"),
        (
            "the second card came first",
            &["A m2"],
            &[],
            "m1 u1 s1 p1",
            "new",
        ),
        (
            "serial number alone",
            &[full],
            &[],
            "m2 s1 p1",
            "conflict A",
        ),
        ("serial number and tag", &[full], &[], "m2 s1 p1 a1", "A"),
        ("tag alone", &[full], &[], "m2 a1", "new"),
        ("serial of another product", &[full], &[], "m2 s1 p2", "new"),
        (
            "the board was replaced",
            &[full],
            &[],
            "m1 u2 s2 p1",
            "conflict A",
        ),
        ("UUID turned round", &[full], &[], "m1 u1r s1 p1", "A"),
        (
            "A's card was put into B",
            &["A m1 u1", "B m2 u2"],
            &[],
            "m1 u2",
            "conflict A B",
        ),
        (
            "B's card says A's numbers",
            &[full, "B m2"],
            &[],
            "m2 u1 s1 p1",
            "conflict A B",
        ),
        (
            "a tag typed twice",
            &["A m1 a1", "B m2 a1"],
            &[],
            "m2 a1",
            "B",
        ),
        (
            "a dongle on another laptop",
            &["A m1 u1"],
            &[],
            "m1 u2",
            "conflict A",
        ),
        ("a dongle people know", &["A u1"], &[1], "m1 u1", "A"),
        (
            "the same on another laptop",
            &["A u1"],
            &[1],
            "m1 u2",
            "new",
        ),
        (
            "the same on a laptop with a card",
            &["A m5 u1", "B m1 u3"],
            &[1],
            "m1 u1",
            "A",
        ),
        (
            "the same, saying nothing",
            &["A m1 u1"],
            &[1],
            "m1",
            "untold",
        ),
        (
            "three boards with one UUID",
            &["A m1 u1", "B m2 u1"],
            &[],
            "m3 u1",
            "new",
        ),
        (
            "one of them by its card",
            &["A m1 u1", "B m2 u1"],
            &[],
            "m2 u1",
            "B",
        ),
        ("a UUID that is none", &["A m1 u0"], &[], "m2 u0", "new"),
        (
            "a serial that is none",
            &["A m1 s- p1"],
            &[],
            "m2 s- p1",
            "new",
        ),
        (
            "real after junk",
            &["A m1 u0 s- p1"],
            &[],
            "m1 u1 s1 p1",
            "A",
        ),
        ("entered by its UUID alone", &["A u1"], &[], "m1 u1", "A"),
        (
            "one UUID on two boards with serial numbers",
            &[full],
            &[],
            "m2 u1 s2 p1",
            "new",
        ),
        (
            "one serial number on two boards",
            &[full],
            &[],
            "m2 u2 s1 p1",
            "new",
        ),
        ("one packet was forged", &["A m1 u9?"], &[], "m1 u1 s1", "A"),
        (
            "it said another machine's UUID",
            &["A m1 u9?", "B m2 u2"],
            &[],
            "m1 u2",
            "conflict A B",
        ),
        (
            "the same with another serial",
            &["A u1 s1"],
            &[],
            "m1 u1 s2",
            "conflict A",
        ),
    ];
    for (story, known, shared, seen, expected) in cases {
        let known: Vec<Machine> = known.iter().map(|words| machine(words)).collect();
        let seen = machine(&format!("? {seen}"));
        assert_eq!(concluded(&seen, &known, shared), expected, "{story}");
    }
}

#[test]
fn what_makers_leave_in() {
    for junk in [
        "",
        " ",
        "0",
        "00000000",
        "XXXXXXX",
        "--",
        "none",
        "DEFAULT STRING",
        "N/A",
    ] {
        assert!(is_junk(junk), "{junk}");
    }
    for real in ["S123", "7CZ01", "0042", "VMware-56 4d"] {
        assert!(!is_junk(real), "{real}");
    }
}

fn any_words() -> impl Strategy<Value = String> {
    let number = || proptest::option::of(0u8..3);
    (number(), number(), number()).prop_map(|(uuid, serial, asset)| {
        let uuid = uuid.map(|n| format!(" u{n}"));
        let serial = serial.map(|n| format!(" s{n} p1"));
        let asset = asset.map(|n| format!(" a{n}"));
        [uuid, serial, asset].into_iter().flatten().collect()
    })
}

proptest! {
    /// One of several known machines, each with a card of its own, asks by one of these cards.
    #[test]
    fn a_card_is_its_machine_s_or_a_conflict(
        known in prop::collection::vec(any_words(), 1..4),
        seen in any_words(),
        card in 0usize..4,
    ) {
        let mut known: Vec<Machine> = known
            .iter()
            .zip(["A", "B", "C", "D"])
            .enumerate()
            .map(|(n, (words, name))| machine(&format!("{name} m{n}{words}")))
            .collect();
        let owner = known.get(card).map(|m| m.name.clone());
        let seen = machine(&format!("? m{card}{seen}"));
        let concluded_first = concluded(&seen, &known, &[]);
        match owner {
            Some(owner) => prop_assert!(
                concluded_first == owner || concluded_first.contains(&format!(" {owner}")),
                "{concluded_first}"
            ),
            None => prop_assert!(concluded_first != "untold"),
        }
        known.reverse();
        prop_assert_eq!(concluded(&seen, &known, &[]), concluded_first);
    }
}

#[test]
fn claims_of_one_machine_are_put_together() {
    let seen = |words: &str| {
        let seen = machine(&format!("? m1 {words}"));
        Claim::of(&Observation {
            mac: seen.macs[0],
            uuid: seen.uuid,
            serial: seen.serial.as_deref(),
            product: seen.facts.product.as_deref(),
            asset: seen.asset.as_deref(),
        })
    };
    let claim = |words: &str| seen(words).expect("it says something");
    assert_eq!(seen("u0 s- p1"), None, "junk");
    let mut known = claim("u1");
    assert!(known.agrees(&claim("u1r s1 p1")) && !known.agrees(&claim("u2 s1 p1")));
    known.complete(&claim("u1r s1 p1"));
    assert_eq!(known, claim("u1 s1 p1"));
    assert!(!known.agrees(&claim("u1 s2")));
}
