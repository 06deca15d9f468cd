//! What holds of any template: it ends, its text is bounded, and no secret leaves a sealed text.
//! The fuzz target `template_render` runs it.

use answers::{
    About, Addresses, Document, Library, Material, Scope, SecretBook, Secrets, Server, Try, check,
    render,
};
use bootplan::{AnswerKind, Machine, MachineId, Secret, Variables};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Renders a case: one octet for sealed and kind, then template, snippet and a variable's value,
/// with NUL between them. Whether the template was rendered.
pub fn run(data: &[u8]) -> bool {
    let Some((how, texts)) = data.split_first() else {
        return false;
    };
    let texts = String::from_utf8_lossy(texts);
    if texts.contains(CANARY) {
        return false;
    }
    let mut texts = texts.splitn(3, '\0');
    let mut text = || texts.next().unwrap_or("").to_owned();
    let (template, snippet, value) = (text(), text(), text());
    let sealed = how & 1 == 1;
    let kind = AnswerKind::ALL[usize::from(how >> 1) % AnswerKind::ALL.len()];

    let variables = BTreeMap::from([("v".to_owned(), serde_json::Value::from(value))]);
    let variables = Variables::try_from(variables).unwrap_or_default();
    let none = Variables::default;
    let server = Server {
        ip: Ipv4Addr::LOCALHOST,
        http: "http://127.0.0.1:8080".to_owned(),
    };
    let library: Library = Arc::new(BTreeMap::from([("s".to_owned(), snippet)]));
    let secret = ("x".to_owned(), Secret::new(CANARY));
    let made = render(
        &Document {
            name: "doc",
            text: &template,
            sealed,
        },
        &Material {
            scope: &Scope::new(none(), Vec::new(), ("p", variables), none()),
            about: &About::new(
                &Machine::named(MachineId(1), "m"),
                &server,
                Try { number: 1, of: 3 },
            ),
            addresses: &Addresses::new(&server, "A", "R", vec!["n".to_owned()]),
            library: &library,
            secrets: &Secrets::Plain(Arc::new(SecretBook::from_iter([secret]))),
        },
    );
    match made {
        Ok(made) => {
            assert!(made.text.len() <= 1024 * 1024, "a text without bounds");
            assert!(
                sealed || !made.text.contains(CANARY),
                "a secret in an open text"
            );
            for fault in check(kind, "doc", &made.text) {
                assert!(
                    !fault.to_string().contains(CANARY),
                    "a check shows a secret"
                );
            }
            true
        }
        Err(fault) => {
            assert!(
                !format!("{fault} {fault:?}").contains(CANARY),
                "a fault shows a secret"
            );
            false
        }
    }
}

/// Found in no input by chance.
const CANARY: &str = "k7Qz-canary-Wp31";
