//! What a machine gets of a sample profile, by the way that the machine takes.

use crate::common::wire::{http_ask, http_get, http_read, tftp_file};
use crate::common::{Farrier, Lan, SERVER, eventually};
use serde::Deserialize;
use serde_yaml::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The answers of a profile, in files of their own.
pub(super) struct Served(TempDir);

impl Served {
    pub(super) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).expect("served as text")
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.file(name), bytes).expect("written");
    }
}

/// What a checker that must be content printed, on both channels.
pub(super) fn checked(command: &mut Command) -> String {
    let ran = command.output().unwrap_or_else(|error| {
        let program = command.get_program().display();
        panic!("not checked: {program}: {error}; run deploy/setup.sh test")
    });
    let said = [&ran.stdout[..], &ran.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ran.status.success(), "{command:?}: {said}");
    said
}

const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");

/// Every variable that a template asks for or knows, with values that need their quotes.
const MACHINE: &str = r#"
variables:
  hostname: web3
  locale: de_DE.UTF-8
  keymap: de
  timezone: Europe/Berlin
  domain: example.org
  mirror_host: mirror.example.org
  security_host: mirror.example.org
  suite: bookworm
  username: admin
  packages: [curl, vim-enhanced]
  ssh_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample 'the' \"admin\" # of it"]
"#;

/// Fetched by the link in the machine's menu, after an order to install.
pub(super) fn served(profile: &str) -> Served {
    let lan = Lan::new();
    let (farrier, mac) = site(&lan);
    farrier.ok(&["machine", "install", "web3", "--profile", profile]);
    let menu = format!("/{}/boot.ipxe", mac.replace(':', "-"));
    // The first question may come before its turn is given.
    let base = eventually(Duration::from_secs(5), "a menu with links", || {
        let menu = lan.client.run(|| http_get(SERVER, &menu));
        let menu = String::from_utf8(menu).expect("text");
        let link = menu.split("http://10.77.0.2/a/").nth(1)?;
        Some(format!("/a/{}/", link.split('/').next()?))
    });
    let served = Served(tempfile::tempdir().expect("a directory"));
    for name in answers(profile) {
        let bytes = lan
            .client
            .run(|| http_get(SERVER, &format!("{base}{name}")));
        served.put(&name, &bytes);
    }
    served
}

/// Fetched by plain name, once the profile is the machine's.
pub(super) fn device(profile: &str, names: &[(&str, &str)]) -> Served {
    let lan = Lan::new();
    let (farrier, mac) = site(&lan);
    for (_, name) in names {
        let status = || http_read(http_ask(SERVER, &format!("/{name}"))).status;
        assert_eq!(lan.client.run(status), 404, "{name} before it is assigned");
    }
    farrier.ok(&["machine", "assign", "--profile", profile, &mac]);
    let served = Served(tempfile::tempdir().expect("a directory"));
    for (way, name) in names {
        let bytes = lan.client.run(|| match *way {
            "tftp" => tftp_file(SERVER, name),
            _ => http_get(SERVER, &format!("/{name}")),
        });
        served.put(name, &bytes);
    }
    served
}

/// The menu that GRUB reads for each sample profile, with the profile's name.
pub(super) fn menus() -> Vec<(String, String)> {
    let lan = Lan::new();
    let (farrier, mac) = site(&lan);
    let path = format!("/grub/grub.cfg-01-{}", mac.replace(':', "-"));
    let mut menus = Vec::new();
    for profile in profiles() {
        let name = profile["name"].as_str().expect("a name");
        farrier.ok(&["machine", "assign", "--always", "--profile", name, &mac]);
        let menu = lan.client.run(|| http_get(SERVER, &path));
        menus.push((name.to_owned(), String::from_utf8(menu).expect("text")));
    }
    menus
}

/// A server with all samples, their secrets and a machine that has the client's card.
fn site(lan: &Lan) -> (Farrier<'_>, String) {
    let farrier = Farrier::started(&lan.server);
    for profile in profiles() {
        let boot = &profile["boot"];
        let initrds = boot["initrds"].as_sequence().into_iter().flatten();
        for file in initrds.chain([&boot["kernel"]]).filter_map(Value::as_str) {
            farrier.put(
                &format!("images/{file}"),
                b"stands for a file of the medium",
            );
        }
    }
    let directory = |name: &str| format!("{CONFIGS}/{name}");
    for name in ["templates", "installs", "profiles"] {
        farrier.ok(&["apply", "-f", &directory(name)]);
    }
    let hash = "$6$salt$Wd6y/abcdefghijklmnopqrstuvwxyz.";
    let base64 = "TFMwdExTMUNSVWRKVGlCRFJWSlVTVVpKUTBGVVJTMHRMUzB0Q2c9PQ==";
    let secrets = [
        ("root-password-hash", hash),
        ("user-password-hash", hash),
        ("core-password-hash", hash),
        ("windows-admin-password", "<a & 'b' \\\"c\\\">"),
        ("talos-machine-token", "abcdef.0123456789abcdef"),
        ("talos-machine-ca", base64),
        ("talos-cluster-id", base64),
        ("talos-cluster-secret", base64),
        ("talos-cluster-token", "abcdef.0123456789abcdef"),
        ("talos-cluster-ca", base64),
    ];
    let secret = |(name, value)| format!("---\nkind: secret\nname: {name}\nvalue: \"{value}\"\n");
    farrier.apply(&secrets.map(secret).concat());
    let mac = lan.client.mac("eth0");
    farrier.apply(&format!(
        "kind: machine\nname: web3\nmacs: ['{mac}']{MACHINE}"
    ));
    (farrier, mac)
}

/// The names of a profile's answers.
fn answers(profile: &str) -> Vec<String> {
    let all = profiles();
    let found = all.iter().find(|p| p["name"].as_str() == Some(profile));
    let answers = &found.expect("a sample")["answers"];
    let names = answers.as_sequence().expect("answers").iter();
    names
        .map(|a| a["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// The profiles of `configs`, as they stand there.
fn profiles() -> Vec<Value> {
    let mut all = Vec::new();
    for folder in ["installs", "profiles"] {
        for entry in std::fs::read_dir(format!("{CONFIGS}/{folder}")).expect("the samples") {
            let text = std::fs::read_to_string(entry.expect("listed").path()).expect("text");
            let documents = serde_yaml::Deserializer::from_str(&text);
            all.extend(documents.map(|one| Value::deserialize(one).expect("YAML")));
        }
    }
    all
}
