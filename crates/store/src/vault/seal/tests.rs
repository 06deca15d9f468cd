use super::*;

fn sealer(octet: u8) -> Sealer {
    Sealer::new(&MasterKey::new([octet; 32]))
}

const VALUE: &str = "CANARY-$6$salt$hash";

#[test]
fn a_secret_opens_with_its_key_name_and_scope_only() {
    let sealed = sealer(1)
        .seal("root", "site", &Secret::new(VALUE))
        .expect("sealed");
    assert!(
        sealed.starts_with("v1:") && !sealed.contains("CANARY"),
        "{sealed}"
    );
    let opened = sealer(1).open("root", "site", &sealed).expect("opened");
    assert_eq!(opened.expose(), VALUE);
    for (octet, name, scope) in [
        (2, "root", "site"),
        (1, "toor", "site"),
        (1, "root", "group"),
        (1, "roo", "tsite"),
        (1, "", "root\0site"),
    ] {
        let error = sealer(octet)
            .open(name, scope, &sealed)
            .expect_err("refused");
        let name = name.to_owned();
        assert_eq!(error, SealError::Key { name }, "{octet} {scope}");
    }
}

#[test]
fn the_same_secret_never_looks_the_same() {
    let seal = || {
        sealer(1)
            .seal("a", "b", &Secret::new(VALUE))
            .expect("sealed")
    };
    assert_ne!(seal(), seal());
}

/// Golden text: what is stored today must open for ever. If this fails, mend the code.
#[test]
fn the_stored_form_does_not_change() {
    let sealer = sealer(7);
    let sealed = sealer.seal_with("root", "site", &Secret::new("x"), [9; NONCE_LEN]);
    let sealed = sealed.expect("sealed");
    // 12 octets of nonce, 1 of text, 16 of tag: 29 octets are 40 characters of base64.
    assert_eq!(sealed.len(), FORM.len() + 40);
    assert!(sealed.starts_with("v1:CQkJCQkJCQkJCQkJ"), "{sealed}");
    assert_eq!(
        sealer
            .open("root", "site", &sealed)
            .expect("opened")
            .expose(),
        "x"
    );
}

#[test]
fn damaged_texts_say_so_and_show_nothing() {
    let sealer = sealer(1);
    let whole = sealer
        .seal("root", "site", &Secret::new(VALUE))
        .expect("sealed");
    let short = &whole[..whole.len() - 4];
    let name = || "root".to_owned();
    for (text, expected) in [
        ("", SealError::Form { name: name() }),
        ("v1:", SealError::Form { name: name() }),
        ("v1:****", SealError::Form { name: name() }),
        ("v1:AAAA", SealError::Form { name: name() }),
        (VALUE, SealError::Form { name: name() }),
        ("v0:AAAA", SealError::Form { name: name() }),
        ("v2:AAAA", SealError::Newer { name: name() }),
        ("v1:AAAAAAAAAAAAAAAA", SealError::Key { name: name() }),
        (short, SealError::Key { name: name() }),
    ] {
        let error = sealer.open("root", "site", text).expect_err(text);
        assert_eq!(error, expected, "{text}");
        assert!(!error.to_string().contains("CANARY"));
    }
}

#[test]
fn every_changed_octet_is_noticed() {
    let sealer = sealer(1);
    let sealed = sealer
        .seal("root", "site", &Secret::new(VALUE))
        .expect("sealed");
    let octets = BASE64
        .decode(&sealed.as_bytes()[FORM.len()..])
        .expect("base64");
    for at in 0..octets.len() {
        let mut other = octets.clone();
        other[at] ^= 1;
        let text = format!("{FORM}{}", BASE64.encode(&other));
        assert!(sealer.open("root", "site", &text).is_err(), "octet {at}");
    }
}

#[test]
fn a_secret_has_a_largest_size() {
    let sealer = sealer(1);
    let seal = |bytes| sealer.seal("a", "b", &Secret::new("x".repeat(bytes)));
    assert!(seal(SECRET_LIMIT).is_ok() && seal(0).is_ok());
    let error = seal(SECRET_LIMIT + 1).expect_err("too large").to_string();
    assert!(error.contains("at most 65536 are allowed"), "{error}");
}
