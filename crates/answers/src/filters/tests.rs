use super::*;
use proptest::prelude::*;

/// Renders one template with `v` bound to a text.
fn apply(filter: &str, text: &str) -> Result<String, Error> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    add_to(&mut engine);
    let source = format!("{{{{ v|{filter} }}}}");
    engine.render_str(&source, Value::from_pairs([("v", text)]))
}

#[test]
fn each_filter_writes_its_language() {
    for (filter, text, expected) in [
        ("sh", "it's", r"'it'\''s'"),
        ("sh", "$(reboot)", "'$(reboot)'"),
        ("sh", "", "''"),
        ("yaml", "a: \"b\" #c", r#""a: \"b\" #c""#),
        ("yaml", "no\nnew: key", r#""no\nnew: key""#),
        ("yaml", "\u{85}\u{7f}\u{ffff}", r#""\u0085\u007f\uffff""#),
        ("json", "a<b>'c", r#""a<b>'c""#),
        ("xml", "<a b='c'>&\n", "&lt;a b=&apos;c&apos;&gt;&amp;&#10;"),
        ("ps", "it's \u{2019}", "'it''s \u{2019}\u{2019}'"),
        ("line", "plain text", "plain text"),
        ("word", "web1.example.org", "web1.example.org"),
        ("b64", "hello", "aGVsbG8="),
        ("password_hash", "$6$salt$abc/DEF.", "$6$salt$abc/DEF."),
        (
            "password_hash",
            "$y$j9T$salt..1$made/up.",
            "$y$j9T$salt..1$made/up.",
        ),
        ("password_hash", crate::secrets::MASK, crate::secrets::MASK),
    ] {
        let made = apply(filter, text).unwrap_or_else(|error| panic!("{filter} {text:?}: {error}"));
        assert_eq!(made, expected, "{filter} of {text:?}");
    }
}

#[test]
fn what_a_language_cannot_hold_is_refused_without_showing_it() {
    for (filter, text) in [
        ("sh", "CANARY\0"),
        ("xml", "CANARY\u{1}"),
        ("ps", "CANARY\nshutdown"),
        ("line", "CANARY\nd-i next string x"),
        ("line", "CANARY\\"),
        ("word", "CANARY init=/bin/sh"),
        ("word", "CANARY\""),
        ("word", "${CANARY}"),
        ("word", ""),
        ("password_hash", "CANARY"),
        ("password_hash", "$6$"),
        ("password_hash", "$6$CANARY with space"),
        ("password_hash", "$6$CANARY\n"),
    ] {
        let error = apply(filter, text).expect_err(filter);
        let source = std::error::Error::source(&error).expect("a text of ours");
        let said = source
            .downcast_ref::<Said>()
            .expect("a text of ours")
            .to_string();
        assert!(!said.contains("CANARY"), "{said}");
    }
}

#[test]
fn lists_and_maps_have_a_form_in_yaml_only() {
    let mut engine = Environment::new();
    add_to(&mut engine);
    for (source, expected) in [
        ("{{ [1, 'a']|yaml }}", Some("[1,\"a\"]")),
        ("{{ {'a': true}|json }}", Some("{\"a\":true}")),
        ("{{ 3|sh }}", Some("'3'")),
        ("{{ true|line }}", Some("true")),
        ("{{ [1]|sh }}", None),
        ("{{ none|xml }}", None),
        ("{{ nobody|yaml }}", None),
        ("{{ nobody|sh }}", None),
    ] {
        let made = engine.render_str(source, ()).ok();
        assert_eq!(made.as_deref(), expected, "{source}");
    }
}

proptest! {
    #[test]
    fn a_yaml_text_reads_back(text in "(?s).{0,60}") {
        let made = apply("yaml", &text).expect("any text has a form");
        prop_assert_eq!(serde_yaml::from_str::<String>(&made).expect("YAML"), text.clone());
        prop_assert_eq!(serde_json::from_str::<String>(&made).expect("JSON"), text);
    }

    #[test]
    fn an_xml_text_reads_back(text in "[\\t\\n -\u{d7ff}]{0,60}") {
        let document = format!("<a b=\"{0}\">{0}</a>", apply("xml", &text).expect("writable"));
        let tree = roxmltree::Document::parse(&document).expect("well-formed");
        let root = tree.root_element();
        prop_assert_eq!(root.text().unwrap_or(""), text.as_str());
        prop_assert_eq!(root.attribute("b"), Some(text.as_str()));
    }

    #[test]
    fn a_shell_word_has_quotes_in_pairs(text in "[^\\x00]{0,60}") {
        let made = apply("sh", &text).expect("any text has a form");
        // Taken apart as a shell does: quoted runs, and \' between them.
        let mut read = String::new();
        let mut rest = made.as_str();
        while let Some(inside) = rest.strip_prefix('\'') {
            let (run, after) = inside.split_once('\'').expect("the quote ends");
            read.push_str(run);
            rest = after;
            while let Some(after) = rest.strip_prefix("\\'") {
                read.push('\'');
                rest = after;
            }
        }
        prop_assert_eq!((read.as_str(), rest), (text.as_str(), ""));
    }
}
