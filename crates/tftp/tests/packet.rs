//! Octets and packets, the hostile ones first.

use proptest::prelude::*;
use tftp::packet::{ERROR_TEXT_CAP, OptionPair, Packet, REQUEST_CAP};
use tftp::{ErrorCode, ErrorPacket, Malformed, Mode, RequestKind, parse_request};

fn pair(name: &str, value: &str) -> OptionPair {
    OptionPair {
        name: name.into(),
        value: value.into(),
    }
}

#[test]
fn what_gets_no_answer_on_the_well_known_port() {
    let cases: [(&[u8], Malformed); 13] = [
        (b"", Malformed::TooShort { length: 0 }),
        (b"\0", Malformed::TooShort { length: 1 }),
        (b"\0\x01", Malformed::NameUnterminated),
        (b"\0\x01\0octet\0", Malformed::NameEmpty),
        (b"\0\x01abc", Malformed::NameUnterminated),
        (b"\0\x01abc\0", Malformed::ModeUnterminated),
        (b"\0\x01abc\0octet", Malformed::ModeUnterminated),
        (b"\0\x01abc\0\0", Malformed::ModeEmpty),
        (b"\0\x03\0\x01data", Malformed::NotARequest { opcode: 3 }),
        (b"\0\x04\0\x01", Malformed::NotARequest { opcode: 4 }),
        (b"\0\x05\0\0", Malformed::NotARequest { opcode: 5 }),
        (b"\0\x06tsize\x000\0", Malformed::NotARequest { opcode: 6 }),
        (b"\xff\xff", Malformed::NotARequest { opcode: 0xffff }),
    ];
    for (datagram, expected) in cases {
        let shown = datagram.escape_ascii();
        assert_eq!(parse_request(datagram), Err(expected), "{shown}");
    }
}

#[test]
fn requests_up_to_a_frame_are_read_and_longer_ones_are_not() {
    for (length, readable) in [
        (500, true),
        (REQUEST_CAP, true),
        (REQUEST_CAP + 1, false),
        (60_000, false),
    ] {
        let name = vec![b'A'; length - 9];
        let datagram = [b"\0\x01", name.as_slice(), b"\0octet\0"].concat();
        assert_eq!(datagram.len(), length);
        let parsed = parse_request(&datagram);
        if readable {
            assert_eq!(parsed.expect("short enough").name, name);
        } else {
            assert_eq!(parsed, Err(Malformed::TooLong { length }));
        }
    }
}

#[test]
fn names_stay_as_they_are_and_modes_lose_their_case() {
    for name in [
        &b"\xff\xfe\x80"[..],
        b"\n\x1b[31m",
        b"%s%n%x",
        b"lpxelinux.0\x7f\xff",
    ] {
        let datagram = [b"\0\x01", name, b"\0NetASCII\0"].concat();
        let request = parse_request(&datagram).expect("it is well-formed");
        assert_eq!(
            (request.name.as_slice(), request.mode),
            (name, Mode::Netascii)
        );
        assert_eq!(request.kind, RequestKind::Read);
        assert_eq!(request.wire_len, datagram.len());
    }
}

#[test]
fn a_broken_option_list_ends_where_it_breaks() {
    let cases: [(&[u8], &[OptionPair]); 7] = [
        (b"", &[]),
        (b"BlkSize\x001468\0", &[pair("BlkSize", "1468")]),
        (b"tsize\x000\0blksize\0", &[pair("tsize", "0")]),
        (b"tsize\x000\0blksize\x001468", &[pair("tsize", "0")]),
        (b"tsize\x000\0blksize", &[pair("tsize", "0")]),
        (
            b"tsize\x000\0\x00value\0blksize\x008\0",
            &[pair("tsize", "0")],
        ),
        (b"multicast\0\0", &[pair("multicast", "")]),
    ];
    for (options, expected) in cases {
        let datagram = [b"\0\x01f\0octet\0", options].concat();
        let request = parse_request(&datagram).expect("it is well-formed");
        assert_eq!(request.options, expected, "{}", options.escape_ascii());
    }
}

#[test]
fn short_or_senseless_datagrams_of_a_transfer_are_ignored() {
    for datagram in [
        &b""[..],
        b"\0",
        b"\0\x05",
        b"\0\x05\0",
        b"\0\x04\x01",
        b"\0\x07\0\0",
        b"default send string",
    ] {
        assert_eq!(Packet::parse(datagram), None, "{}", datagram.escape_ascii());
    }
    // An ERROR needs neither text nor its NUL.
    assert_eq!(
        Packet::parse(b"\0\x05\0\x08"),
        Some(Packet::Error(ErrorPacket::new(
            ErrorCode::OptionRefused,
            ""
        )))
    );
}

#[test]
fn error_texts_are_printable_and_short() {
    let datagram = [b"\0\x05\0\0", &b"a\n\x1b[31m\xff%s\0hidden"[..]].concat();
    let Some(Packet::Error(error)) = Packet::parse(&datagram) else {
        panic!("it is an ERROR");
    };
    assert_eq!(error.text, "a??[31m?%s");
    let long = ErrorPacket::new(ErrorCode::Undefined, &"x".repeat(5_000));
    assert_eq!(long.text.len(), ERROR_TEXT_CAP);
    assert_eq!(long.to_datagram().len(), 4 + ERROR_TEXT_CAP + 1);
}

proptest! {
    #[test]
    fn any_octets_are_handled(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse_request(&octets);
        let _ = Packet::parse(&octets);
    }

    #[test]
    fn what_parses_encodes_to_a_request_that_parses_the_same(
        opcode in 1_u8..=2,
        rest in prop::collection::vec(prop::sample::select(b"\0\0ab1octet".to_vec()), 0..60),
    ) {
        let datagram = [&[0, opcode], rest.as_slice()].concat();
        if let Ok(mut request) = parse_request(&datagram) {
            prop_assume!(request.mode != Mode::Unknown);
            let mut encoded = Vec::new();
            request.encode(&mut encoded);
            request.wire_len = encoded.len();
            prop_assert_eq!(parse_request(&encoded), Ok(request));
        }
    }

    #[test]
    fn error_codes_keep_their_number(number: u16) {
        prop_assert_eq!(ErrorCode::from_wire(number).to_wire(), number);
    }
}
