//! Option negotiation, row by row.

mod common;

use std::time::Duration;

use common::{oack, rrq};
use proptest::prelude::*;
use tftp::options::{Agreed, Rollover, negotiate};
use tftp::packet::Packet;
use tftp::{Limits, parse_request};

fn answer_with(mode: &str, options: &str, len: u64, limits: &Limits) -> (Vec<u8>, Agreed) {
    let request = parse_request(&rrq("file", mode, options)).expect("it is well-formed");
    let mut datagram = Vec::new();
    let agreed = negotiate(&request, len, limits, &mut datagram);
    assert_eq!(agreed.options, !datagram.is_empty());
    (datagram, agreed)
}

/// The options of the OACK; `""` when there is none.
fn assert_answer(mode: &str, asked: &str, expected: &str) {
    let (datagram, _) = answer_with(mode, asked, 1500, &Limits::default());
    let wanted = if expected.is_empty() {
        Vec::new()
    } else {
        oack(expected)
    };
    assert_eq!(datagram, wanted, "{mode} {asked}");
}

#[test]
fn each_option_by_its_table() {
    for (asked, expected) in [
        ("blksize=8", "blksize=8"),
        ("blksize=7", ""),
        ("blksize=0", ""),
        ("blksize=-1", ""),
        ("blksize=+512", ""),
        ("blksize=0x200", ""),
        ("blksize=abc", ""),
        ("blksize=", ""),
        ("blksize=1468", "blksize=1468"),
        ("blksize=65464", "blksize=1468"),
        ("blksize=65465", ""),
        ("blksize=0000001024", "blksize=1024"),
        ("blksize=00000001024", ""),
        ("blksize=99999999999999999999", ""),
        ("tsize=0", "tsize=1500"),
        ("tsize=4711", "tsize=1500"),
        ("tsize=-5", ""),
        ("timeout=1", "timeout=1"),
        ("timeout=255", "timeout=255"),
        ("timeout=0", ""),
        ("timeout=256", ""),
        ("timeout=005", "timeout=005"),
        ("utimeout=10000", "utimeout=10000"),
        ("utimeout=9999", ""),
        ("utimeout=255000000", "utimeout=255000000"),
        ("utimeout=255000001", ""),
        ("windowsize=1", "windowsize=1"),
        ("windowsize=65535", "windowsize=16"),
        ("windowsize=65536", ""),
        ("windowsize=0", ""),
        ("rollover=0", "rollover=0"),
        ("rollover=1", "rollover=1"),
        ("rollover=2", ""),
        ("multicast=", ""),
        ("msftwindow=31416", ""),
    ] {
        assert_answer("octet", asked, expected);
    }
}

#[test]
fn spelling_order_and_repetition() {
    for (asked, expected) in [
        ("TSize=0 BLKSIZE=1024", "TSize=1500 BLKSIZE=1024"),
        ("blksize=1024 tsize=0", "blksize=1024 tsize=1500"),
        ("blksize=1024 blksize=512", "blksize=1024"),
        ("blksize=abc BlkSize=512 tsize=0", "tsize=1500"),
        ("foo=1 tsize=0 msftwindow=31416", "tsize=1500"),
        (
            "tsize=0 blksize=1468 windowsize=4",
            "tsize=1500 blksize=1468 windowsize=4",
        ),
    ] {
        assert_answer("octet", asked, expected);
    }
}

/// What the loaders of the world ask first, and what they want to hear: anything else and they do not boot.
#[test]
fn first_requests_of_known_clients() {
    for (client, asked, expected) in [
        ("Intel's ROM, probe", "tsize=0", "tsize=1500"),
        ("Intel's ROM", "blksize=1456", "blksize=1456"),
        (
            "EDK2, probe",
            "tsize=0 blksize=1468 windowsize=4",
            "tsize=1500 blksize=1468 windowsize=4",
        ),
        (
            "EDK2 on jumbo frames",
            "blksize=8968 windowsize=64",
            "blksize=1468 windowsize=16",
        ),
        (
            "shim",
            "blksize=512 windowsize=4",
            "blksize=512 windowsize=4",
        ),
        ("iPXE", "blksize=1432 tsize=0", "blksize=1432 tsize=1500"),
        (
            "PXELINUX",
            "tsize=0 blksize=1408",
            "tsize=1500 blksize=1408",
        ),
        ("GRUB", "blksize=1024 tsize=0", "blksize=1024 tsize=1500"),
        (
            "U-Boot",
            "timeout=5 tsize=0 blksize=1468 windowsize=1",
            "timeout=5 tsize=1500 blksize=1468 windowsize=1",
        ),
        (
            "Raspberry Pi 4",
            "tsize=0 blksize=1468",
            "tsize=1500 blksize=1468",
        ),
        (
            "Windows",
            "tsize=0 blksize=1456 windowsize=64 msftwindow=31416",
            "tsize=1500 blksize=1456 windowsize=16",
        ),
        (
            "tftp-hpa",
            "tsize=0 utimeout=1000000 rollover=0",
            "tsize=1500 utimeout=1000000 rollover=0",
        ),
        ("atftp", "multicast= blksize=1428", "blksize=1428"),
        ("a phone", "", ""),
    ] {
        let (datagram, _) = answer_with("octet", asked, 1500, &Limits::default());
        let wanted = if expected.is_empty() {
            Vec::new()
        } else {
            oack(expected)
        };
        assert_eq!(datagram, wanted, "{client}");
    }
}

#[test]
fn netascii_has_no_size() {
    assert_answer("netascii", "tsize=0", "");
    assert_answer("netascii", "tsize=0 blksize=1024", "blksize=1024");
}

#[test]
fn sizes_beyond_32_bits_are_decimal() {
    let (datagram, _) = answer_with("octet", "tsize=0", 1 << 40, &Limits::default());
    assert_eq!(datagram, oack("tsize=1099511627776"));
}

#[test]
fn caps_of_the_operator() {
    for (cap, asked, given) in [
        (1024, 1468, 1024),
        (1024, 600, 600),
        (100, 1468, 512),
        (100, 64, 64),
    ] {
        let limits = Limits {
            blksize_cap: cap,
            ..Limits::default()
        };
        let (_, agreed) = answer_with("octet", &format!("blksize={asked}"), 0, &limits);
        assert_eq!(agreed.blksize, given, "cap {cap}, asked {asked}");
    }
    let limits = Limits {
        blksize_cap: 65_464,
        windowsize_cap: 64,
        ..Limits::default()
    };
    for (blksize, windowsize) in [(65_464, 1), (8_192, 8), (1_468, 44), (512, 64)] {
        let options = format!("windowsize=64 blksize={blksize}");
        let (datagram, agreed) = answer_with("octet", &options, 0, &limits);
        assert_eq!(agreed.windowsize, windowsize, "{blksize}: 64 KiB in flight");
        assert_eq!(
            datagram,
            oack(&format!("windowsize={windowsize} blksize={blksize}"))
        );
    }
}

#[test]
fn intervals() {
    for (options, expected) in [
        ("", None),
        ("timeout=3", Some(Duration::from_secs(3))),
        ("utimeout=250000", Some(Duration::from_millis(250))),
        (
            "timeout=3 utimeout=250000",
            Some(Duration::from_millis(250)),
        ),
        (
            "utimeout=250000 timeout=3",
            Some(Duration::from_millis(250)),
        ),
    ] {
        let (_, agreed) = answer_with("octet", options, 0, &Limits::default());
        assert_eq!(agreed.interval, expected, "{options}");
    }
}

#[test]
fn numbers_after_65535() {
    for (rollover, block, wire) in [
        (Rollover::Zero, 0, 0),
        (Rollover::Zero, 65_535, 65_535),
        (Rollover::Zero, 65_536, 0),
        (Rollover::Zero, 65_537, 1),
        (Rollover::One, 0, 0),
        (Rollover::One, 65_535, 65_535),
        (Rollover::One, 65_536, 1),
        (Rollover::One, 131_070, 65_535),
        (Rollover::One, 131_071, 1),
    ] {
        assert_eq!(rollover.wire(block), wire, "{rollover:?} {block}");
    }
}

proptest! {
    /// Distance is the inverse of counting on.
    #[test]
    fn distances(base in 0_u64..400_000, ahead in 0_u64..65_000, one: bool) {
        let rollover = if one { Rollover::One } else { Rollover::Zero };
        prop_assert_eq!(rollover.distance(base, rollover.wire(base + ahead)), Some(ahead));
    }

    /// Whatever is asked: only what was asked is answered, within its bounds, and never more than asked.
    #[test]
    fn any_options(
        pairs in prop::collection::vec(
            (prop::sample::select(vec!["blksize", "tsize", "timeout", "utimeout", "windowsize", "rollover", "multicast", "x"]),
             "[0-9]{0,11}|-?[0-9a-z]{1,4}"), 0..10),
        netascii: bool, len: u64,
    ) {
        let options: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mode = if netascii { "netascii" } else { "octet" };
        let (datagram, agreed) = answer_with(mode, &options.join(" "), len, &Limits::default());
        prop_assert!((8..=1468).contains(&agreed.blksize));
        prop_assert!((1..=16).contains(&agreed.windowsize));
        if let Some(Packet::Oack(answered)) = Packet::parse(&datagram) {
            let mut asked = pairs.iter();
            for pair in answered {
                let name = String::from_utf8(pair.name).expect("it was asked");
                let value = asked.find(|(asked, _)| *asked == name).map(|(_, value)| value);
                let value = value.expect("in the order of the request");
                if name == "blksize" || name == "windowsize" {
                    let given: u64 = String::from_utf8(pair.value).expect("digits").parse().expect("digits");
                    prop_assert!(given <= value.parse().expect("digits"));
                }
            }
        }
    }
}
