//! The templates in `configs/templates` and the profiles in `configs/installs`: each renders and
//! passes the check of its installer, with honest values and with hostile ones.

#[path = "common/samples.rs"]
mod samples;

use answers::{Document, Secrets, check};
use bootplan::{AnswerKind, BootMethod};
use samples::{CANARY, Case, honest, samples, secrets};
use serde_json::json;

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
fn every_profile_may_be_stored() {
    for profile in samples().profiles {
        assert_eq!(profile.validate(), Ok(()), "{}", profile.name);
    }
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
        answers.any(|answer| answer.template.as_ref().is_some_and(|t| t.as_str() == name))
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
        assert_eq!(
            reports,
            profile.name.as_str() != "talos-worker",
            "{}",
            profile.name
        );
    }
}

/// A machine whose last report nobody took must not boot again: that would be the next try, and its
/// disk would be wiped once more.
#[test]
fn an_unheard_report_stops_an_installer_that_would_go_on() {
    let samples = samples();
    let case = honest(&samples);
    for (profile, answer, report, stops) in [
        (
            "rocky-9-auto",
            "ks.cfg",
            "state=done",
            "%post --erroronfail",
        ),
        ("fedora-auto", "ks.cfg", "state=done", "%post --erroronfail"),
        (
            "opensuse-leap-auto",
            "autoinst.xml",
            "state=phase",
            "until curl ",
        ),
    ] {
        let profile = samples.profiles.iter().find(|p| p.name.as_str() == profile);
        let profile = profile.expect("a sample");
        let answer = profile.answers.iter().find(|a| a.name.as_str() == answer);
        let made = case.answer(profile, answer.expect("its answers"));
        let text = made.expect("rendered").text;
        let (before, _) = text.split_once(report).expect("a report");
        assert!(before.contains(stops), "{}: {text}", profile.name);
    }
}

/// A stage is news: where it cannot be told, the installer goes on.
#[test]
fn stages_are_told_before_the_end_and_stop_nothing() {
    let samples = samples();
    let case = honest(&samples);
    for (profile, answer, stages) in [
        ("debian-12-auto", "preseed.cfg", 1),
        ("rocky-9-auto", "ks.cfg", 2),
        ("fedora-auto", "ks.cfg", 2),
        ("ubuntu-24-04-auto", "user-data", 2),
    ] {
        let profile = samples.profiles.iter().find(|p| p.name.as_str() == profile);
        let profile = profile.expect("a sample");
        let answer = profile.answers.iter().find(|a| a.name.as_str() == answer);
        let made = case.answer(profile, answer.expect("its answers"));
        let text = made.expect("rendered").text;
        let (before, _) = text.split_once("state=done").expect("a report");
        let told: Vec<&str> = before.split("state=phase").skip(1).collect();
        assert_eq!(told.len(), stages, "{}: {text}", profile.name);
        for stage in told {
            let line = stage.lines().next().expect("a line");
            assert!(line.contains("/a/LINK-R/report"), "{line}");
            assert!(line.contains(" || true"), "{line}");
        }
    }
}

#[test]
fn arguments_are_one_line_and_name_answers_by_link() {
    let samples = samples();
    let case = honest(&samples);
    for profile in &samples.profiles {
        let BootMethod::Linux { args, .. } = &profile.boot else {
            continue;
        };
        // Windows is given its answers as files.
        if args.is_empty() {
            continue;
        }
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

/// Where a block of the template swallows a line break, two questions become one with a strange
/// value, which no check of the syntax sees.
#[test]
fn a_preseed_with_every_variable_has_one_question_a_line() {
    let samples = samples();
    let profile = samples
        .profiles
        .iter()
        .find(|p| p.name.as_str() == "debian-12-auto")
        .expect("a sample for Debian");
    let case = Case {
        variables: json!({
            "mirror_host": "10.0.0.3", "security_host": "10.0.0.3", "suite": "bookworm",
            "disk": "/dev/vda", "tasks": ["ssh-server"], "ssh_keys": ["ssh-ed25519 AAAA x"],
        }),
        ..honest(&samples)
    };
    let made = case.answer(profile, &profile.answers[0]).expect("rendered");
    let question = |line: &&str| line.contains("d-i ") && !line.starts_with('#');
    let questions: Vec<&str> = made.text.lines().filter(question).collect();
    assert!(questions.len() > 25, "{}", made.text);
    for line in questions {
        assert!(
            line.starts_with("d-i ") && line.matches("d-i ").count() == 1,
            "{line}"
        );
        assert!(!line.contains('#'), "{line}");
    }
    for said in [
        "d-i mirror/http/directory string /debian",
        "d-i apt-setup/security_host string 10.0.0.3",
        "d-i mirror/suite string bookworm",
        "tasksel tasksel/first multiselect ssh-server",
    ] {
        assert!(
            made.text.lines().any(|line| line == said),
            "no {said:?} in\n{}",
            made.text
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
        .find(|profile| profile.name.as_str() == "onie-switch");
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
