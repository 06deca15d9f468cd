use super::*;
use proptest::prelude::*;

fn key(octet: u8) -> LinkKey {
    LinkKey::new([octet; 32])
}

fn link() -> VerifiedLink {
    VerifiedLink {
        purpose: LinkPurpose::Answers,
        machine: MachineId(7),
        run: 12,
        try_number: 1,
        expires: Timestamp(1_800_000_000_000),
    }
}

const BEFORE: Timestamp = Timestamp(1_799_999_999_999);

fn check(key: &LinkKey, text: &str) -> Result<VerifiedLink, LinkFault> {
    verify(key, LinkPurpose::Answers, text, BEFORE)
}

#[test]
fn a_link_reads_back_until_it_expires() {
    let text = mint(&key(1), &link());
    assert!(text.starts_with("7-12-1-1800000000-"), "{text}");
    assert_eq!(text.len(), "7-12-1-1800000000-".len() + SIGNATURE);
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    assert!(text.bytes().all(plain), "{text}");
    assert_eq!(check(&key(1), &text), Ok(link()));
    let late = |now| verify(&key(1), LinkPurpose::Answers, &text, Timestamp(now));
    assert_eq!(late(1_800_000_000_000), Err(LinkFault::Expired(link())));
    assert_eq!(late(i64::MAX), Err(LinkFault::Expired(link())));
    // No secret in what people read, and the same text at any time and place.
    assert_eq!(format!("{:?}", key(1)), "(link key)");
    assert_eq!(text, mint(&key(1), &link()));
}

#[test]
fn what_was_not_minted_here_is_unknown() {
    let text = mint(&key(1), &link());
    let (claims, signature) = text.rsplit_once('-').expect("a signature");
    let of_another = mint(
        &key(1),
        &VerifiedLink {
            machine: MachineId(8),
            ..link()
        },
    );
    let (_, foreign) = of_another.rsplit_once('-').expect("a signature");
    let zeros = "a".repeat(SIGNATURE);
    for made_up in [
        String::new(),
        "-".to_owned(),
        "----".to_owned(),
        claims.to_owned(),
        format!("{claims}-"),
        format!("{claims}-{zeros}"),
        format!("{claims}-{foreign}"),
        format!("{claims}-{}", &signature[1..]),
        format!("{text}a"),
        format!("{text}-"),
        format!(" {text}"),
        text.to_ascii_uppercase(),
        format!("8-12-1-1800000000-{signature}"),
        format!("7-13-1-1800000000-{signature}"),
        format!("7-12-2-1800000000-{signature}"),
        format!("7-12-1-1800000001-{signature}"),
        format!("07-12-1-1800000000-{signature}"),
        format!("+7-12-1-1800000000-{signature}"),
        format!("7-12-257-1800000000-{signature}"),
        format!("7-12-1-9999999999999999999-{signature}"),
        format!("7-12-1-9223372036854775807-{signature}"),
    ] {
        assert_eq!(
            check(&key(1), &made_up),
            Err(LinkFault::Unknown),
            "{made_up}"
        );
    }
    assert_eq!(check(&key(2), &text), Err(LinkFault::Unknown));
    let report = verify(&key(1), LinkPurpose::Report, &text, BEFORE);
    assert_eq!(
        report,
        Err(LinkFault::Unknown),
        "one purpose is not the other"
    );
}

#[test]
fn a_link_opens_only_its_own_try_of_its_own_open_run() {
    let standing = |run, open, tries| Some(Standing { run, open, tries });
    for (now, expected) in [
        (standing(12, true, 0), Ok(())), // the menu was made, the try is not counted yet
        (standing(12, true, 1), Ok(())),
        (standing(12, true, 2), Err(Gone::OtherTry)),
        (standing(12, false, 1), Err(Gone::NotOpen)),
        (standing(13, true, 0), Err(Gone::OtherRun)),
        (standing(0, true, 0), Err(Gone::OtherRun)),
        (None, Err(Gone::OtherRun)),
    ] {
        assert_eq!(admit(&link(), now), expected, "{now:?}");
    }
    let always = VerifiedLink {
        run: 0,
        try_number: 0,
        ..link()
    };
    assert_eq!(admit(&always, standing(0, true, 0)), Ok(()));
    assert_eq!(admit(&always, standing(12, true, 0)), Err(Gone::OtherRun));
    let last = VerifiedLink {
        try_number: u8::MAX,
        ..link()
    };
    assert_eq!(admit(&last, standing(12, true, u8::MAX)), Ok(()));
}

#[test]
fn an_expiry_is_a_whole_minute() {
    for (now, minutes, expected) in [
        (0, 30, 1_800_000),
        (1, 30, 1_860_000),
        (59_999, 0, 60_000),
        (60_000, 0, 60_000),
        (-5, 0, 0),
        (i64::MAX, 30, i64::MAX),
    ] {
        assert_eq!(
            expiry(Timestamp(now), minutes),
            Timestamp(expected),
            "{now} {minutes}"
        );
    }
}

#[test]
fn a_hidden_path_has_no_link() {
    for (path, expected) in [
        ("/a/7-12-1-9-abc/user-data", "/a/.../user-data"),
        ("a/7-12-1-9-abc/sub/x", "a/.../sub/x"),
        ("/a/7-12-1-9-abc", "/a/.../"),
        ("/a/", "/a/.../"),
        ("/images/a/b", "/images/a/b"),
        ("/ab/c", "/ab/c"),
        ("", ""),
    ] {
        assert_eq!(hidden(path), expected, "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Nobody gets in by trying: ten thousand texts of the right shape.
    #[test]
    fn texts_of_the_right_shape_open_nothing(
        text in "[0-9]{1,4}-[0-9]{1,4}-[0-9]{1,2}-18[0-9]{8}-[a-z2-7]{26}",
    ) {
        prop_assert_eq!(check(&key(1), &text), Err(LinkFault::Unknown));
    }
}

proptest! {
    #[test]
    fn every_minted_link_reads_back(
        machine in 0..i64::MAX, run in 0..i64::MAX, try_number: u8, seconds in 0..9_000_000_000i64,
        report: bool,
    ) {
        let purpose = if report { LinkPurpose::Report } else { LinkPurpose::Answers };
        let expires = Timestamp(seconds * 1000);
        let link = VerifiedLink { purpose, machine: MachineId(machine), run, try_number, expires };
        let text = mint(&key(1), &link);
        prop_assert_eq!(verify(&key(1), purpose, &text, Timestamp(-1)), Ok(link));
    }

    #[test]
    fn one_changed_character_spoils_it(at in 0usize..44, with in "[a-z0-9-]") {
        let text = mint(&key(1), &link());
        let mut other = text.clone();
        other.replace_range(at..=at, &with);
        prop_assert_eq!(check(&key(1), &other).is_ok(), other == text);
    }

    #[test]
    fn any_text_is_handled(text in "(?s).{0,120}") {
        prop_assert_eq!(check(&key(1), &text), Err(LinkFault::Unknown));
        let _ = hidden(&text);
    }
}
