//! Everything a machine will fetch, rendered and checked before the first packet.

use crate::{Document, Fault, Material, Secrets, check, render};
use bootplan::AnswerKind;
use std::collections::BTreeSet;

/// One answer to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The name under which the machine fetches it.
    pub name: &'a str,
    /// What reads it.
    pub kind: AnswerKind,
    /// The template.
    pub document: Document<'a>,
}

/// What came of one answer, for people: no secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The name under which the machine fetches it.
    pub name: String,
    /// The text with a mask for each secret; empty if it could not be rendered.
    pub text: String,
    /// The secrets it names.
    pub secrets_used: BTreeSet<String>,
    /// What is wrong: with the template (its place there), else with the text (its place in
    /// it). Empty: the answer is good.
    pub faults: Vec<Fault>,
}

/// Renders and checks one answer.
///
/// It is rendered twice: with a mask for each secret, to be shown, and with `material`'s own
/// secrets, to be checked, because a quote in a password may be what breaks a file. Faults never
/// show values, so the second text leaves no trace.
pub fn review(asked: &Asked<'_>, material: &Material<'_>) -> Reviewed {
    let book = match material.secrets {
        Secrets::Plain(book) | Secrets::Masked(book) => book.clone(),
    };
    let masked = Material {
        secrets: &Secrets::Masked(book),
        ..*material
    };
    let shown = render(&asked.document, &masked);
    let real = render(&asked.document, material);
    let mut reviewed = Reviewed {
        name: asked.name.to_owned(),
        text: String::new(),
        secrets_used: BTreeSet::new(),
        faults: Vec::new(),
    };
    match real {
        Ok(real) => reviewed.faults = check(asked.kind, asked.name, &real.text),
        Err(fault) => reviewed.faults.push(fault),
    }
    match shown {
        Ok(shown) => {
            reviewed.text = shown.text;
            reviewed.secrets_used = shown.secrets_used;
        }
        // A template that looks into a secret may fail on the mask alone.
        Err(fault) if reviewed.faults.is_empty() => reviewed.faults.push(fault),
        Err(_) => {}
    }
    reviewed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{About, Addresses, Library, Scope, SecretBook, Server, Try};
    use bootplan::{Machine, MachineId, Secret};
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    fn look(text: &str, secret: &str) -> Reviewed {
        let machine = Machine::named(MachineId(1), "web1");
        let server = Server {
            ip: Ipv4Addr::LOCALHOST,
            http: "http://127.0.0.1".to_owned(),
        };
        let book = SecretBook::from_iter([("token".to_owned(), Secret::new(secret))]);
        let material = Material {
            scope: &Scope::default(),
            about: &About::new(&machine, &server, Try { number: 1, of: 1 }),
            addresses: &Addresses::new(&server, "A", "R", Vec::new()),
            library: &Library::default(),
            secrets: &Secrets::Plain(Arc::new(book)),
        };
        let document = Document {
            name: "template",
            text,
            sealed: true,
        };
        let asked = Asked {
            name: "user-data",
            kind: AnswerKind::CloudConfig,
            document,
        };
        review(&asked, &material)
    }

    #[test]
    fn a_good_answer_is_shown_with_its_secrets_masked() {
        let seen = look(
            "#cloud-config\ntoken: {{ secret('token')|yaml }}\n",
            "CANARY: \"1",
        );
        assert_eq!(seen.faults, Vec::<Fault>::new());
        assert_eq!(seen.text, "#cloud-config\ntoken: \"$0$secret\"\n");
        assert_eq!(seen.secrets_used, BTreeSet::from(["token".to_owned()]));
    }

    #[test]
    fn a_secret_that_breaks_the_file_is_found_and_not_shown() {
        let seen = look(
            "#cloud-config\ntoken: {{ secret('token') }}\n",
            "CANARY: x: 1",
        );
        assert_eq!(seen.faults.len(), 1);
        assert!(!format!("{seen:?}").contains("CANARY"), "{seen:?}");
    }

    #[test]
    fn a_fault_of_the_template_is_told_once() {
        let seen = look("#cloud-config\n{{ nobody }}\n", "x");
        let said: Vec<String> = seen.faults.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("template:2:"), "{said:?}");
        assert_eq!(seen.text, "");
    }
}
