use super::*;
use proptest::prelude::*;

const AUTOYAST: &str = "<?xml version=\"1.0\"?>\n<!DOCTYPE profile>\n\
    <profile xmlns=\"http://www.suse.com/1.0/yast2ns\"><general/></profile>\n";
const UNATTEND: &str = "<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\
    <settings pass=\"specialize\"><component name=\"a\" processorArchitecture=\"amd64\" \
    publicKeyToken=\"b\" language=\"neutral\" versionScope=\"nonSxS\"/></settings></unattend>";

#[test]
fn good_texts_have_no_faults() {
    use AnswerKind::*;
    for (kind, text) in [
        (Preseed, "# comment\n\nd-i time/zone string Europe/Berlin\n"),
        (Preseed, "d-i netcfg/get_domain string\n"),
        (
            Preseed,
            "d-i preseed/late_command string \\\n  in-target true; \\\n  wget x\n",
        ),
        (
            Preseed,
            "popularity-contest popularity-contest/participate boolean false\n",
        ),
        (
            Kickstart,
            "#x\nlang en_US\n\n%packages\n@core\n-plymouth\n%end\n%post\nA=1\n%end\n",
        ),
        (Kickstart, "%include /tmp/disks\nautopart\n"),
        (CloudConfig, "#cloud-config\n"),
        (
            CloudConfig,
            "#cloud-config\nruncmd: [[true]]\nautoinstall: {version: 1}\n",
        ),
        (NocloudMeta, "instance-id: farrier-7\n"),
        (NocloudNetwork, "network: {version: 2, ethernets: {}}\n"),
        (NocloudNetwork, "version: 1\nconfig: []\n"),
        (NocloudNetwork, ""),
        (NocloudVendor, "\n"),
        (
            Ignition,
            r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/a"}]}}"#,
        ),
        (Autoyast, AUTOYAST),
        (Unattend, UNATTEND),
        (
            Talos,
            "version: v1alpha1\nmachine: {type: worker}\ncluster: {id: x}\n",
        ),
        (Script, "#!/bin/sh\ntrue\n"),
        (Yaml, "a: 1\n---\nb: 2\n"),
        (Json, "[1]"),
        (Xml, "<a/>"),
        (DeviceFile, "hostname switch1\n"),
        (Generic, ""),
    ] {
        assert_eq!(
            check(kind, "x", text),
            Vec::<Fault>::new(),
            "{kind:?}: {text}"
        );
    }
}

#[test]
fn each_fault_has_its_place_and_words() {
    use AnswerKind::*;
    for (kind, text, expected) in [
        (
            Preseed,
            "d-i time/zone\n",
            "x:1:1: expected `owner question type value`",
        ),
        (
            Preseed,
            "#\nd-i zone string UTC\n",
            "x:2:1: the second word must be a question",
        ),
        (
            Preseed,
            "d-i a/b strng UTC\n",
            "x:1:1: the third word must be a type",
        ),
        (Preseed, "d-i a/b boolean yes\n", "x:1:1: a boolean is"),
        (
            Preseed,
            "d-i a/b string x \\",
            "x:1:1: the last line is joined to nothing",
        ),
        (
            Kickstart,
            "lang C\n%post\ntrue\n",
            "x:2:1: this section has no %end",
        ),
        (Kickstart, "%post\n%pre\n%end\n", "x:2:1: a section begins"),
        (Kickstart, "%end\n", "x:1:1: %end without a section"),
        (Kickstart, "%pots\n", "x:1:1: expected a command"),
        (
            CloudConfig,
            "runcmd: []\n",
            "x:1:1: the first line must be `#cloud-config`",
        ),
        (
            CloudConfig,
            "#cloud-config\na: 1\nruncmd: reboot\n",
            "x:3:1: `runcmd` must be a list",
        ),
        (
            CloudConfig,
            "#cloud-config\nautoinstall: {}\n",
            "x:2:1: `autoinstall` needs",
        ),
        (
            CloudConfig,
            "#cloud-config\n- a\n",
            "x:1:1: keys with values",
        ),
        (CloudConfig, "#cloud-config\na: b: c\n", "x:2:"),
        (NocloudVendor, "a: 1\n", "x:1:1: the first line"),
        (
            NocloudMeta,
            "local-hostname: a\n",
            "x:1:1: `instance-id` is missing",
        ),
        (NocloudNetwork, "version: 3\n", "x:1:1: `version: 1` or"),
        (Ignition, "{\n", "x:"),
        (Ignition, "{}", "x:1:1: `ignition.version` must be"),
        (
            Ignition,
            r#"{"ignition":{"version":"3.4.0"},"systemd":{"units":[{"name":"a"}]}}"#,
            "x:1:1: `systemd.units[0].name`",
        ),
        (
            Ignition,
            r#"{"ignition":{"version":"3.4.0"},"storage":{"links":[{"path":"a"}]}}"#,
            "x:1:1: `storage.links[0].path`",
        ),
        (Autoyast, "<profile/>", "x:1:1: the root must be"),
        (Unattend, "<a>\n</b>", "x:2:"),
        (
            Unattend,
            UNATTEND.replace("specialize", "x").as_str(),
            "x:1:",
        ),
        (
            Unattend,
            UNATTEND.replace("language", "lang").as_str(),
            "x:1:",
        ),
        (
            Talos,
            "version: v1beta1\nmachine: {a: 1}\n",
            "x:1:1: `version` must be v1alpha1",
        ),
        (Talos, "{}", "x:1:1: no document"),
        (Script, "true\n", "x:1:1: the first line must say"),
        (Script, "#!/bin/sh\r\n", "x:1:1: lines end as on Windows"),
        (Yaml, "a: [\n", "x:"),
        (Yaml, "a: 1\na: 2\n", "x:"),
        (Json, "{\"a\" 1}", "x:1:"),
        (Xml, "<a>&nbsp;</a>", "x:1:"),
        (
            Xml,
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            "x:1:1: a document type",
        ),
        (Generic, "a\n\0", "x:2:1: a NUL character"),
    ] {
        let faults = check(kind, "x", text);
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            said.iter().any(|s| s.starts_with(expected)),
            "{kind:?} {text:?}: {said:?}"
        );
    }
}

/// Wherever a secret breaks the syntax around it, the fault does not repeat it.
#[test]
fn no_fault_repeats_the_text() {
    for kind in AnswerKind::ALL {
        for around in [
            ("#cloud-config\na: ", "\na: 1\n"),
            ("#cloud-config\nCANARY: 1\n", ": x: y\n"),
            ("{\"ignition\": {\"version\": ", "}}"),
            ("<", "></b>"),
            ("<a ", "='1' CANARY='2'>"),
            ("<a>&", ";</a>"),
            ("d-i ", " string x\n"),
            ("%", "\n"),
            ("- &", " *CANARY2\n"),
            ("!", " x"),
        ] {
            for secret in [
                "CANARY",
                "\"CANARY",
                "CANARY\"",
                "CANARY\n  CANARY: 1",
                "`CANARY'",
            ] {
                let text = format!("{}{secret}{}", around.0, around.1);
                for fault in check(kind, "x", &text) {
                    assert!(!fault.text.contains("CANARY"), "{kind:?} {text:?}: {fault}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_handled(kind in 0..AnswerKind::ALL.len(), text in "(?s).{0,200}") {
        for fault in check(AnswerKind::ALL[kind], "x", &text) {
            prop_assert!(fault.line >= 1 && fault.column >= 1);
            prop_assert!(!fault.text.is_empty());
        }
    }
}
