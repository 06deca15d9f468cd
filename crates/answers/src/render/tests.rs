use super::*;
use crate::{SecretBook, Server, Try};
use bootplan::Variables;
use bootplan::{Machine, MachineId, Secret};
use proptest::prelude::*;
use serde_json::json;
use std::net::Ipv4Addr;

/// The value that must never be seen, in every secret and every variable of these tests.
const CANARY: &str = "CANARY-3f9c";

struct Bench {
    scope: Scope,
    about: About,
    addresses: Addresses,
    library: Library,
    secrets: Secrets,
}

impl Bench {
    fn new() -> Self {
        let machine = Machine {
            macs: vec!["52:54:00:12:34:56".parse().expect("a MAC")],
            serial: Some("S1\n: evil".to_owned()),
            labels: [("rack".to_owned(), "1".to_owned())].into(),
            ..Machine::named(MachineId(7), "web3")
        };
        let server = Server {
            ip: Ipv4Addr::new(10, 0, 0, 1),
            http: "http://10.0.0.1:8080".to_owned(),
        };
        let variables = |value| -> Variables { serde_json::from_value(value).expect("usable") };
        let private = variables(json!({
            "hostname": "web3", "disks": ["/dev/vda", "/dev/vdb"], "on": true,
            "private": CANARY, "items": {CANARY: CANARY},
        }));
        let snippets = [
            ("keys", "ssh-ed25519 AAAA {{ hostname }}\n"),
            ("word", "{{ hostname }}"),
            ("self-eater", "{% include 'self-eater' %}"),
            ("broken", "one\n  {{ nobody }}"),
            ("bad-syntax", "{% if %}"),
        ];
        let secret = |name: &str| (name.to_owned(), Secret::new(format!("$6${CANARY}")));
        let book = SecretBook::from_iter(["root-hash", "token"].map(secret));
        Bench {
            scope: Scope::new(
                Variables::default(),
                Vec::new(),
                ("p", private),
                Variables::default(),
            ),
            about: About::new(&machine, &server, Try { number: 1, of: 3 }),
            addresses: Addresses::new(&server, "LINK-A", "LINK-R", vec!["user-data".to_owned()]),
            library: Arc::new(snippets.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            secrets: Secrets::Plain(Arc::new(book)),
        }
    }

    fn render(&self, text: &str, sealed: bool) -> Result<Rendered, Fault> {
        let document = Document {
            name: "doc",
            text,
            sealed,
        };
        let material = Material {
            scope: &self.scope,
            about: &self.about,
            addresses: &self.addresses,
            library: &self.library,
            secrets: &self.secrets,
        };
        render(&document, &material)
    }
}

#[test]
fn a_template_says_what_is_known() {
    let bench = Bench::new();
    for (template, expected) in [
        ("{{ hostname }}\n", "web3\n"),
        ("{{ machine.mac }} {{ machine.id }}", "52:54:00:12:34:56 7"),
        ("{{ machine.serial|yaml }}", "\"S1: evil\""),
        ("{{ labels.rack }} {{ run.try }}/{{ run.of }}", "1 1/3"),
        ("{{ server.ip }} {{ on }}", "10.0.0.1 true"),
        (
            "{{ answer('user-data') }}",
            "http://10.0.0.1:8080/a/LINK-A/user-data",
        ),
        ("s={{ answers }}", "s=http://10.0.0.1:8080/a/LINK-A/"),
        ("{{ report }}", "http://10.0.0.1:8080/a/LINK-R/report"),
        ("{{ inventory }}", "http://10.0.0.1:8080/a/LINK-R/inventory"),
        (
            "{{ file('d/linux') }}",
            "http://10.0.0.1:8080/images/d/linux",
        ),
        // The tag takes its line with it: the line break is the snippet's.
        ("{% include 'keys' %}\nend", "ssh-ed25519 AAAA web3\nend"),
        ("'{% include 'word' %}'\n", "'web3'\n"),
        (
            "{% for d in disks %}\n{{ d }}\n{% endfor %}\nend\n",
            "/dev/vda\n/dev/vdb\nend\n",
        ),
        ("{{ proxy|default('none')|line }}", "none"),
        ("[{{ 'x' if not on }}]", "[]"),
        ("{% if proxy is defined %}x{% endif %}", ""),
        ("<b>&{{ '<' }}", "<b>&<"),
    ] {
        let made = bench.render(template, false);
        let made = made.unwrap_or_else(|fault| panic!("{template}: {fault}"));
        assert_eq!(made.text, expected, "{template}");
        assert!(made.secrets_used.is_empty() && !made.sealed);
    }
}

#[test]
fn a_fault_has_its_place_and_its_reason() {
    let bench = Bench::new();
    for (template, place, expected) in [
        ("a\n{{ nobody }}", "doc:2:", "`nobody` is not defined"),
        (
            "{{ machine.nobody }}",
            "doc:1:",
            "`machine.nobody` is not defined",
        ),
        ("x\n\n  {{ nobody|sh }}", "doc:3:", "not defined"),
        (
            "{% include 'broken' %}",
            "broken:2:",
            "`nobody` is not defined",
        ),
        ("{% include 'bad-syntax' %}", "bad-syntax:1:", "unexpected"),
        (
            "{% include 'nowhere' %}",
            "doc:1:",
            "no snippet by this name",
        ),
        ("{{ 1|nofilter }}", "doc:1:", "no such filter"),
        ("{{ answer('x') }}", "doc:1:", "no answer by this name"),
        ("{{ file('../x') }}", "doc:1:", "no plain path"),
        ("{{ disks }}", "doc:1:", "not a list"),
        ("{{ secret('root-hash') }}", "doc:1:", "sealed answers only"),
        ("\n{% if %}", "doc:2:", "unexpected"),
        ("{{ debug() }}", "doc:1:", "no such function"),
        ("{{ hostname|pprint }}", "doc:1:", "no such filter"),
    ] {
        let fault = bench
            .render(template, false)
            .expect_err(template)
            .to_string();
        assert!(
            fault.starts_with(place) && fault.contains(expected),
            "{template}: {fault}"
        );
    }
}

#[test]
fn work_depth_and_size_have_ends() {
    let bench = Bench::new();
    let huge = "x".repeat(TEMPLATE_LIMIT + 1);
    let doubling = "{% set ns = namespace(s='xxxxxxxx') %}\
        {% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}";
    let macro_loop = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    for (template, expected) in [
        ("{% for i in range(999999999) %}{% endfor %}", ""),
        (
            "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
            "work",
        ),
        (doubling, "work"),
        ("{{ 'x' * 99999999 }}", ""),
        ("{% include 'self-eater' %}", "nested too deep"),
        (macro_loop, "nested too deep"),
        ("{% include '/etc/passwd' %}", "no snippet"),
        ("{% include '../../etc/passwd' %}", "no snippet"),
        ("{{ ''.__class__.__mro__ }}", "not defined"),
        (huge.as_str(), "at most 262144 are allowed"),
    ] {
        let fault = bench
            .render(template, false)
            .expect_err("refused")
            .to_string();
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn the_output_is_bounded_before_the_work_is() {
    let mut bench = Bench::new();
    let piece = "x".repeat(TEMPLATE_LIMIT - 64);
    bench.library = Arc::new([("piece".to_owned(), piece)].into());
    let five = "{% include 'piece' %}".repeat(5);
    let fault = bench
        .render(&five, false)
        .expect_err("too long")
        .to_string();
    assert!(fault.contains("larger than 1048576 bytes"), "{fault}");
    let three = bench
        .render(&"{% include 'piece' %}".repeat(3), false)
        .expect("fits");
    assert_eq!(three.text.len(), 3 * (TEMPLATE_LIMIT - 64));
}

#[test]
fn a_sealed_answer_names_secrets_and_says_which() {
    let mut bench = Bench::new();
    let template = "root {{ secret('root-hash')|password_hash }}";
    let made = bench.render(template, true).expect("rendered");
    assert_eq!(made.text, format!("root $6${CANARY}"));
    assert_eq!(made.secrets_used, BTreeSet::from(["root-hash".to_owned()]));
    assert!(!format!("{made:?}{made:#?}").contains(CANARY));
    let Secrets::Plain(book) = bench.secrets else {
        panic!("plain secrets");
    };
    bench.secrets = Secrets::Masked(book);
    let masked = bench.render(template, true).expect("rendered");
    assert!(masked.text.starts_with("root $") && !masked.text.contains(CANARY));
}

#[test]
fn no_value_chooses_a_secret() {
    let mut bench = Bench::new();
    let snippets = [
        ("good", "{{ secret('root-hash') }}"),
        ("bad", "x\n{{ secret(hostname) }}"),
    ];
    let own = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
    bench.library = Arc::new(snippets.map(own).into());
    for (template, place, expected) in [
        ("{{ secret(hostname) }}", "doc:1:4", "is written out"),
        ("{{ secret('power.bmc') }}", "doc:1:4", "power switches"),
        ("{% include 'bad' %}", "doc:1:", "in this snippet"),
        // By another name, and out of a list: what is written out nowhere is not there.
        (
            "{% set f = secret %}{{ f('tok' ~ 'en') }}",
            "doc:1:",
            "no such secret",
        ),
        ("{{ ['token']|map(secret)|list }}", "doc:1:", ""),
    ] {
        let fault = bench
            .render(template, true)
            .expect_err(template)
            .to_string();
        let told = fault.starts_with(place) && fault.contains(expected);
        assert!(told && !fault.contains(CANARY), "{template}: {fault}");
    }
    let made = bench
        .render("{% include 'good' %}", true)
        .expect("its snippet writes it out");
    assert_eq!(made.secrets_used, BTreeSet::from(["root-hash".to_owned()]));
    let prose = "secret(s) are none here";
    assert_eq!(bench.render(prose, false).expect("no code").text, prose);
}

#[test]
fn no_fault_shows_a_value() {
    let bench = Bench::new();
    let mut faults = 0;
    for template in [
        "{{ secret('root-hash') + 1 }}",
        "{{ secret('root-hash') - secret('token') }}",
        "{{ -secret('root-hash') }}",
        "{{ secret(secret('root-hash')) }}",
        "{{ answer(secret('root-hash')) }}",
        "{{ file(secret('root-hash')) }}",
        "{% include secret('root-hash') %}",
        "{% include [secret('root-hash'), private] %}",
        "{% from secret('token') import x %}",
        "{{ secret('token')|int }}",
        "{{ secret('token')[secret('root-hash')] }}",
        "{{ {'a': 1}[secret('token')] }}",
        "{{ secret('token').nothing }}",
        "{{ secret('token')() }}",
        "{{ [secret('token')]|sh }}",
        "{{ private|password_hash }}",
        "{{ items[private].x.y }}",
        "{{ private|round }}",
        "{{ dict(private) }}",
        "{{ namespace(private) }}",
        "{{ (private ~ '\n')|line }}",
        "{{ private|format(1) }}{{ '%d'|format(private) }}",
        "{% set a, b = private %}{{ nobody }}",
        "{{ range(secret('token')) }}",
        "{{ secret('token') }}{{ nobody }}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(**items) }}",
    ] {
        // A few are legal: a sealed text may hold its secrets.
        let Err(fault) = bench.render(template, true) else {
            continue;
        };
        let said = format!("{fault} {fault:?} {fault:#?}");
        assert!(
            !said.contains(CANARY) && !said.contains("LINK-"),
            "{template}: {said}"
        );
        faults += 1;
    }
    assert!(faults >= 20, "only {faults} of them fail");
}

#[test]
fn a_line_stays_a_line() {
    let bench = Bench::new();
    let line = |template: &str| {
        let made = bench.render(template, false).expect("rendered");
        made.into_line("args")
    };
    assert_eq!(
        line(" auto=true host={{ hostname }}\n").as_deref(),
        Ok("auto=true host=web3")
    );
    let fault = line("a\nchain http://evil")
        .expect_err("two lines")
        .to_string();
    assert!(
        fault.starts_with("args:1:1: the result must stay on one line"),
        "{fault}"
    );
}

proptest! {
    /// Any piece of template code, around a secret: it renders or fails, and no fault shows it.
    #[test]
    fn hostile_templates_show_nothing(
        before in "(\\{\\{|\\{%|%\\}|\\}\\}|[ a-z0-9'\"|~+*/()\\[\\],.:=-]){0,12}",
        after in "(\\{\\{|\\{%|%\\}|\\}\\}|[ a-z0-9'\"|~+*/()\\[\\],.:=-]){0,12}",
    ) {
        let bench = Bench::new();
        let template = format!("{before}secret('token'){after}");
        if let Err(fault) = bench.render(&template, true) {
            prop_assert!(!format!("{fault:?}").contains(CANARY), "{template}: {fault}");
        }
        if let Ok(made) = bench.render(&template, false) {
            prop_assert!(!made.text.contains(CANARY), "{template}");
        }
    }
}
