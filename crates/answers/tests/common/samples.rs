//! The templates and profiles of `configs`, and a machine to render them for.

use answers::{
    About, Addresses, Document, Fault, Library, Material, Rendered, Scope, SecretBook, Secrets,
    Server, Try, render,
};
use bootplan::{Answer, Machine, MachineId, Profile, Secret, Variables};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// One YAML document as `farrier apply` reads it.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Sample {
    Template { name: String, text: String },
    Snippet { name: String, text: String },
    Profile(Box<Profile>),
}

/// Everything in the two directories.
pub(crate) struct Samples {
    pub(crate) templates: BTreeMap<String, String>,
    pub(crate) snippets: Library,
    pub(crate) profiles: Vec<Profile>,
}

pub(crate) fn samples() -> Samples {
    let (mut templates, mut snippets, mut profiles) = (BTreeMap::new(), BTreeMap::new(), vec![]);
    for folder in ["templates", "installs"] {
        let dir = format!("{}/../../configs/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(&dir).expect("the samples are there") {
            let path = entry.expect("listed").path();
            let text = std::fs::read_to_string(&path).expect("readable");
            for document in serde_yaml::Deserializer::from_str(&text) {
                let sample = Sample::deserialize(document)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                match sample {
                    Sample::Template { name, text } => drop(templates.insert(name, text)),
                    Sample::Snippet { name, text } => drop(snippets.insert(name, text)),
                    Sample::Profile(profile) => profiles.push(*profile),
                }
            }
        }
    }
    Samples {
        templates,
        snippets: Arc::new(snippets),
        profiles,
    }
}

pub(crate) const CANARY: &str = "CANARY77";

pub(crate) fn secrets() -> Arc<SecretBook> {
    let hash = format!("$6$salt${CANARY}/abc.");
    let secret = |(name, value): (&str, &str)| (name.to_owned(), Secret::new(value));
    let book = [
        ("root-password-hash", hash.as_str()),
        ("user-password-hash", hash.as_str()),
        ("core-password-hash", hash.as_str()),
        ("windows-admin-password", "<CANARY77 & 'more' \"of\" it>"),
        ("talos-machine-token", "CANARY77.abc"),
        ("talos-machine-ca", "CANARY77=="),
        ("talos-cluster-id", "CANARY77=="),
        ("talos-cluster-secret", "CANARY77: # x"),
        ("talos-cluster-token", "CANARY77.abc"),
        ("talos-cluster-ca", "CANARY77=="),
    ];
    Arc::new(SecretBook::from_iter(book.map(secret)))
}

/// A machine with a name and variables of its own.
pub(crate) struct Case<'a> {
    pub(crate) samples: &'a Samples,
    pub(crate) machine_name: &'a str,
    pub(crate) variables: serde_json::Value,
    pub(crate) secrets: Secrets,
}

impl Case<'_> {
    pub(crate) fn render(
        &self,
        profile: &Profile,
        document: &Document<'_>,
    ) -> Result<Rendered, Fault> {
        let machine = Machine {
            macs: vec!["52:54:00:12:34:56".parse().expect("a MAC")],
            ..Machine::named(MachineId(7), self.machine_name)
        };
        let server = Server {
            ip: Ipv4Addr::new(10, 0, 0, 1),
            http: "http://10.0.0.1:8080".to_owned(),
        };
        let own = serde_json::from_value(self.variables.clone()).expect("usable variables");
        let of_profile = (profile.name.as_str(), profile.variables.clone());
        let scope = Scope::new(Variables::default(), Vec::new(), of_profile, own);
        let names = profile.answers.iter().map(|answer| answer.name.clone());
        let material = Material {
            scope: &scope,
            about: &About::new(&machine, &server, Try { number: 1, of: 3 }),
            addresses: &Addresses::new(&server, "LINK-A", "LINK-R", names.collect()),
            library: &self.samples.snippets,
            secrets: &self.secrets,
        };
        render(document, &material)
    }

    pub(crate) fn answer(&self, profile: &Profile, answer: &Answer) -> Result<Rendered, Fault> {
        let name = answer.template.as_ref().expect("samples name templates");
        let text = self.samples.templates.get(name.as_str());
        let document = Document {
            name: name.as_str(),
            text: text.unwrap_or_else(|| panic!("{name}: no such template")),
            sealed: answer.sealed,
        };
        self.render(profile, &document)
    }
}

pub(crate) fn honest(samples: &Samples) -> Case<'_> {
    Case {
        samples,
        machine_name: "web3",
        variables: json!({
            "hostname": "web3",
            "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample admin@example.org"],
            "packages": ["curl", "vim"],
        }),
        secrets: Secrets::Plain(secrets()),
    }
}
