//! The samples of `configs`, fetched as machines fetch them and given to the checkers of those who
//! make the installers: Anaconda's pykickstart, cloud-init, Ignition, debconf, GRUB, libxml2.
//! `deploy/setup.sh test` installs them; one that is absent fails its test.

mod served;

use served::{Served, checked, served};
use std::process::Command;

#[test]
fn anaconda_takes_the_kickstarts() {
    for (profile, version) in [("rocky-9-auto", "RHEL9"), ("fedora-auto", "F43")] {
        let served = served(profile);
        let mut validator = Command::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../.lab/checkers/bin/ksvalidator"
        ));
        // Also what is only deprecated in that version.
        validator.args(["--firsterror", "--version", version]);
        let file = served.file("ks.cfg");
        let said = checked(validator.arg(&file));
        // What it prints about a file in which it finds nothing.
        let nothing = format!("Checking kickstart file {}", file.display());
        assert_eq!(said.trim(), nothing, "{profile}: {}", served.text("ks.cfg"));
    }
}

#[test]
fn debconf_takes_the_preseed() {
    let served = served("debian-12-auto");
    let file = served.file("preseed.cfg");
    let said = checked(Command::new("debconf-set-selections").arg("-c").arg(file));
    assert_eq!(said, "", "{}", served.text("preseed.cfg"));
}

#[test]
fn cloud_init_takes_what_ubuntu_is_given() {
    let served = served("ubuntu-24-04-auto");
    for name in ["user-data", "vendor-data"] {
        let mut schema = Command::new("cloud-init");
        schema.args(["schema", "--config-file"]);
        let said = checked(schema.arg(served.file(name)));
        assert!(said.starts_with("Valid cloud-config"), "{said}");
    }
    let mut network = Command::new("cloud-init");
    network.args(["devel", "net-convert", "--kind", "yaml"]);
    network.args(["--distro", "ubuntu", "--output-kind", "netplan"]);
    network
        .arg("--network-data")
        .arg(served.file("network-config"));
    checked(network.arg("--directory").arg(served.dir()));
    let netplan = std::fs::read_to_string(served.dir().join("etc/netplan/50-cloud-init.yaml"));
    let netplan = netplan.expect("netplan's file");
    assert!(netplan.contains("dhcp4: true"), "{netplan}");
}

#[test]
fn ignition_takes_both_configurations_of_coreos() {
    let served = served("fedora-coreos-auto");
    for name in ["live.ign", "config.ign"] {
        let said = checked(Command::new("ignition-validate").arg(served.file(name)));
        assert_eq!(said, "", "{}", served.text(name));
    }
}

/// Neither Microsoft's nor SUSE's schema is in a package: the syntax only. What belongs into which
/// pass is looked at by `answers::check`, before a machine is armed.
#[test]
fn libxml_takes_the_xml_of_windows_and_autoyast() {
    let names = [
        ("windows-auto", "autounattend.xml"),
        ("opensuse-leap-auto", "autoinst.xml"),
    ];
    for (profile, name) in names {
        let served = served(profile);
        let mut lint = Command::new("xmllint");
        let said = checked(lint.args(["--noout", "--nonet"]).arg(served.file(name)));
        assert_eq!(said, "", "{}", served.text(name));
    }
}

/// Subiquity is a snap and Talos an image: their makers' schemas are in no package. With Subiquity's
/// `autoinstall-schema.json` and Talos' `config.schema.json` in a directory:
/// `FARRIER_SCHEMAS=DIR cargo test -p farrier schemas -- --ignored`
#[test]
#[ignore = "not checked: needs FARRIER_SCHEMAS, a directory with the schemas of Subiquity and Talos"]
fn the_schemas_of_subiquity_and_talos_take_theirs() {
    let schemas = std::env::var("FARRIER_SCHEMAS").expect("FARRIER_SCHEMAS names a directory");
    let names = [
        ("ubuntu-24-04-auto", "user-data", "autoinstall-schema"),
        ("talos-worker", "machine.yaml", "config.schema"),
    ];
    for (profile, name, schema) in names {
        let served = served(profile);
        let mut validate = Command::new("/usr/bin/python3");
        validate.args(["-c", VALIDATE]).arg(served.file(name));
        let said = checked(validate.arg(format!("{schemas}/{schema}.json")));
        assert_eq!(said, "valid\n", "{}", served.text(name));
    }
}

const VALIDATE: &str = "
import json, sys, yaml, jsonschema
schema = json.load(open(sys.argv[2]))
for answer in yaml.safe_load_all(open(sys.argv[1])):
    answer = answer.get('autoinstall', answer)
    jsonschema.validators.validator_for(schema)(schema).validate(answer)
print('valid')
";

#[test]
fn grub_takes_the_menu_of_every_profile() {
    let menus = served::menus();
    assert!(menus.len() > 15, "{}", menus.len());
    for (profile, menu) in menus {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &menu).expect("written");
        let said = checked(Command::new("grub-script-check").arg(file.path()));
        assert_eq!(said, "", "{profile}: {menu}");
    }
}

/// As their manuals say that they ask: ONIE for its installer and what that fetches, Cisco's
/// AutoInstall by TFTP, Junos by HTTP with the name that DHCP told it.
#[test]
fn switches_are_given_their_files_by_plain_name() {
    let onie: Served = served::device("onie-switch", &[("http", "onie-installer")]);
    let installer = onie.text("onie-installer");
    assert!(installer.starts_with("#!/bin/sh\n"), "{installer}");
    checked(
        Command::new("sh")
            .arg("-n")
            .arg(onie.file("onie-installer")),
    );
    let image = "http://10.77.0.2/images/nos/sonic-broadcom.bin";
    assert!(installer.contains(image), "{installer}");

    let cisco = served::device("cisco-ios-switch", &[("tftp", "network-confg")]);
    let config = cisco.text("network-confg");
    assert!(
        config.contains("\nhostname web3\n") && config.ends_with("\nend\n"),
        "{config}"
    );

    let juniper = served::device("juniper-switch", &[("http", "junos.conf")]);
    let config = juniper.text("junos.conf");
    assert!(config.contains("host-name \"web3\";"), "{config}");
    assert_eq!(
        config.matches('{').count(),
        config.matches('}').count(),
        "{config}"
    );
}
