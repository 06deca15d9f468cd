//! The templates in `configs/templates` and the profiles in `configs/installs`: each renders and
//! passes the check of its installer, with honest values and with hostile ones.

use answers::{
    About, Addresses, Document, Fault, Library, Material, Rendered, Scope, SecretBook, Secrets,
    Server, Try, check, render,
};
use bootplan::{AnswerKind, Machine, MachineId, Secret, Variables};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// One YAML document as `farrier apply` will read it; what this test does not need is skipped.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Sample {
    Template { name: String, text: String },
    Snippet { name: String, text: String },
    Profile(Box<Profile>),
}

#[derive(Deserialize)]
struct Profile {
    name: String,
    boot: serde_yaml::Value,
    #[serde(default)]
    variables: Variables,
    #[serde(default)]
    answers: Vec<Answer>,
    install: Option<serde_yaml::Value>,
}

#[derive(Deserialize)]
struct Answer {
    name: String,
    kind: AnswerKind,
    template: String,
    sealed: bool,
}

/// Everything in the two directories.
struct Samples {
    templates: BTreeMap<String, String>,
    snippets: Library,
    profiles: Vec<Profile>,
}

fn samples() -> Samples {
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

const CANARY: &str = "CANARY77";

fn secrets() -> Arc<SecretBook> {
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
struct Case<'a> {
    samples: &'a Samples,
    machine_name: &'a str,
    variables: serde_json::Value,
    secrets: Secrets,
}

impl Case<'_> {
    fn render(&self, profile: &Profile, document: &Document<'_>) -> Result<Rendered, Fault> {
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

    fn answer(&self, profile: &Profile, answer: &Answer) -> Result<Rendered, Fault> {
        let text = self.samples.templates.get(&answer.template);
        let document = Document {
            name: &answer.template,
            text: text.unwrap_or_else(|| panic!("{}: no such template", answer.template)),
            sealed: answer.sealed,
        };
        self.render(profile, &document)
    }
}

fn honest(samples: &Samples) -> Case<'_> {
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

#[test]
fn every_answer_renders_and_passes_its_check() {
    let samples = samples();
    let plain = honest(&samples);
    let masked = Case {
        secrets: Secrets::Masked(secrets()),
        ..honest(&samples)
    };
    let mut seen = 0;
    for profile in &samples.profiles {
        for answer in &profile.answers {
            for (case, shown) in [(&plain, true), (&masked, false)] {
                let made = case.answer(profile, answer);
                let made = made.unwrap_or_else(|fault| panic!("{}: {fault}", profile.name));
                let faults = check(answer.kind, &answer.name, &made.text);
                assert!(
                    faults.is_empty(),
                    "{}: {faults:?}\n{}",
                    profile.name,
                    made.text
                );
                let holds = made.text.contains(CANARY);
                assert_eq!(
                    holds,
                    shown && !made.secrets_used.is_empty(),
                    "{}",
                    answer.name
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 2 * 14, "{seen}");
}

#[test]
fn every_kind_of_installer_has_a_sample() {
    let samples = samples();
    let kinds: Vec<AnswerKind> = samples
        .profiles
        .iter()
        .flat_map(|profile| profile.answers.iter().map(|answer| answer.kind))
        .collect();
    let generic = [
        AnswerKind::Script,
        AnswerKind::Yaml,
        AnswerKind::Json,
        AnswerKind::Xml,
    ];
    for kind in AnswerKind::ALL {
        let any = generic.contains(&kind) || kind == AnswerKind::Generic;
        assert!(any || kinds.contains(&kind), "{kind:?}");
    }
    let used = |name: &String| {
        let mut answers = samples.profiles.iter().flat_map(|profile| &profile.answers);
        answers.any(|answer| answer.template == *name)
    };
    assert!(
        samples.templates.keys().all(used),
        "a template without a profile"
    );
}

#[test]
fn every_install_reports_but_that_of_talos() {
    let samples = samples();
    let case = honest(&samples);
    for profile in samples
        .profiles
        .iter()
        .filter(|profile| profile.install.is_some())
    {
        let texts = profile
            .answers
            .iter()
            .map(|answer| case.answer(profile, answer));
        let reports = texts
            .map(|made| made.expect("rendered").text)
            .any(|text| text.contains("/a/LINK-R/report") && text.contains("state=done"));
        assert_eq!(reports, profile.name != "talos-worker", "{}", profile.name);
    }
}

#[test]
fn arguments_are_one_line_and_name_answers_by_link() {
    let samples = samples();
    let case = honest(&samples);
    for profile in &samples.profiles {
        let Some(args) = profile.boot.get("args").and_then(serde_yaml::Value::as_str) else {
            continue;
        };
        let document = Document {
            name: "args",
            text: args,
            sealed: false,
        };
        let made = case.render(profile, &document).expect("rendered");
        let line = made.into_line("args").expect("one line");
        assert!(
            line.contains("http://10.0.0.1:8080/a/LINK-A/"),
            "{}: {line}",
            profile.name
        );
        // What iPXE would act on (vector R47), and the kernel's limit.
        let acted_on = |word: &str| word.contains("${") || ["||", "&&", ";"].contains(&word);
        assert!(
            !line.split(' ').any(acted_on) && line.len() < 1900,
            "{line}"
        );
    }
}

/// Device files go to whoever asks by name: none is sealed, so none can name a secret.
#[test]
fn device_files_have_no_secrets() {
    let samples = samples();
    for profile in &samples.profiles {
        for answer in &profile.answers {
            let device = answer.kind == AnswerKind::DeviceFile;
            assert_eq!(answer.sealed, !device, "{}", answer.name);
        }
    }
    let case = honest(&samples);
    let onie = samples
        .profiles
        .iter()
        .find(|profile| profile.name == "onie-switch");
    let onie = onie.expect("a sample for ONIE");
    let made = case.answer(onie, &onie.answers[0]).expect("rendered");
    assert!(check(AnswerKind::Script, "onie-installer", &made.text).is_empty());
}

/// A machine that is called like a command: refused, or confined to the place of its name.
#[test]
fn hostile_names_stay_in_their_place() {
    let samples = samples();
    let keys = json!({"ssh_keys": ["ssh-ed25519 AAAA x"], "hostname": "web3"});
    for hostile in [
        "x'; reboot; '",
        "x\"; reboot; \"",
        "$(reboot) `reboot` ${IFS}",
        "x: y # z",
        "- a",
        "</hostname><script>",
        "]]> &amp; <!--",
        "*/ system { */",
        "%end",
        "{{ secret('root-password-hash') }}",
        "x\\",
        "\u{2028}x",
    ] {
        for profile in &samples.profiles {
            for answer in &profile.answers {
                let lines = |name: &str, variables: serde_json::Value| {
                    let case = Case {
                        samples: &samples,
                        machine_name: name,
                        variables,
                        secrets: Secrets::Masked(secrets()),
                    };
                    let made = case.answer(profile, answer).ok()?;
                    let faults = check(answer.kind, &answer.name, &made.text);
                    assert!(faults.is_empty(), "{name}: {faults:?}\n{}", made.text);
                    Some(made.text.lines().count())
                };
                let normal = lines("web3", keys.clone());
                assert!(normal.is_some(), "{}", answer.name);
                // By its own name, and by a variable with that text.
                let without_hostname = json!({"ssh_keys": ["ssh-ed25519 AAAA x"]});
                let with_hostname = json!({"ssh_keys": [hostile], "hostname": hostile});
                for variables in [without_hostname, with_hostname] {
                    if let Some(count) = lines(hostile, variables) {
                        assert_eq!(Some(count), normal, "{} {hostile}", answer.name);
                    }
                }
            }
        }
    }
}
