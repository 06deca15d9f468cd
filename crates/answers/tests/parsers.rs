//! The rendered samples, read by the programs of the installers themselves: debconf, cloud-init,
//! Ignition, pykickstart and libxml2. `deploy/setup.sh test` installs them.

#[path = "common/samples.rs"]
#[allow(dead_code, reason = "the other test of the samples uses more of it")]
mod samples;

use bootplan::AnswerKind;
use samples::{honest, samples};
use std::io::Write;
use std::process::Command;

/// Every answer of a kind as its installer would get it, in a file of its own.
fn rendered(kind: AnswerKind) -> Vec<(String, tempfile::NamedTempFile)> {
    let samples = samples();
    let case = honest(&samples);
    let mut files = Vec::new();
    for profile in &samples.profiles {
        for answer in profile.answers.iter().filter(|a| a.kind == kind) {
            let made = case.answer(profile, answer).expect("rendered");
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(made.text.as_bytes()).expect("written");
            files.push((format!("{}: {}", profile.name, answer.name), file));
        }
    }
    assert!(!files.is_empty(), "no sample of {kind:?}");
    files
}

/// Runs a program over each answer; it must say that all is well.
fn accepted(kind: AnswerKind, program: &str, arguments: &[&str]) {
    for (name, file) in rendered(kind) {
        let ran = Command::new(program)
            .args(arguments)
            .arg(file.path())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; run deploy/setup.sh test"));
        let said = String::from_utf8_lossy(&ran.stderr).into_owned()
            + &String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{name}: {program}: {said}");
        // debconf's checker ends well even when it complains.
        assert!(!said.contains("error:"), "{name}: {program}: {said}");
    }
}

#[test]
fn debconf_takes_every_preseed() {
    accepted(AnswerKind::Preseed, "debconf-set-selections", &["-c"]);
}

#[test]
fn cloud_init_takes_every_cloud_config() {
    accepted(
        AnswerKind::CloudConfig,
        "cloud-init",
        &["schema", "--config-file"],
    );
}

#[test]
fn ignition_takes_every_configuration() {
    accepted(AnswerKind::Ignition, "ignition-validate", &[]);
}

#[test]
fn libxml_takes_every_xml() {
    for kind in [AnswerKind::Autoyast, AnswerKind::Unattend] {
        accepted(kind, "xmllint", &["--noout", "--nonet"]);
    }
}
