mod queue;

use super::*;
use crate::{
    Because, Catalog, IpxeFeatures, LoaderInventory, LoaderRole, MacAddr, Machine, Platform, Site,
    Stage, UnassignedPolicy, decide,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn mac() -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56])
}

fn server() -> Endpoint {
    Endpoint {
        ip: std::net::Ipv4Addr::new(10, 0, 0, 2),
        http_port: 80,
        ui_port: 8080,
    }
}

fn profiles() -> Vec<Value> {
    vec![
        json!({"name": "debian-12", "title": "Debian 12 installer", "in_menu": true,
            "boot": {"kind": "linux", "kernel": "debian-12/linux",
                "initrds": ["debian-12/initrd.gz", "firmware.cpio.gz"],
                "args": "priority=low dyndbg=\"file ucode.c +p\" --- quiet",
                "console": "ttyS0,115200"}}),
        json!({"name": "memtest", "title": "Memtest86+", "in_menu": true,
            "boot": {"kind": "program", "files": {
                "bios": "memtest86+/memtest86+x64.bin",
                "efi-x64": "memtest86+/memtest86+x64.efi"}}}),
        json!({"name": "elsewhere", "title": "The other boot server", "in_menu": true,
            "boot": {"kind": "chain", "url": "http://10.0.0.9/menu.ipxe"}}),
        json!({"name": "mirror", "title": "Debian from a mirror",
            "boot": {"kind": "linux", "kernel": "http://10.0.0.9/linux",
                "initrds": ["http://10.0.0.9/initrd.gz"]}}),
        json!({"name": "extras", "title": "With lines of the loaders' own",
            "boot": {"kind": "linux", "kernel": "a/linux", "args": "quiet"},
            "extras": {
                "ipxe": "set net0/mtu 1400\niseq ${platform} efi && set a b\nimgfetch http://10.0.0.9/a.dtb ||\n",
                "pxelinux": "  SYSAPPEND 3\n\n",
                "grub": "insmod tpm\nif [ \"$grub_cpu\" = arm64 ]; then\n  devicetree /a.dtb\nfi\n"}}),
        json!({"name": "disk", "title": "Local disk", "boot": {"kind": "local-disk"}}),
    ]
}

fn platform(language: Language) -> Platform {
    match language {
        Language::Grub => Platform::EfiX64,
        Language::Pxelinux | Language::Ipxe => Platform::Bios,
    }
}

fn stage(language: Language) -> Stage {
    match language {
        Language::Ipxe => Stage::Ipxe,
        Language::Pxelinux => Stage::Pxelinux,
        Language::Grub => Stage::Grub,
    }
}

struct Case {
    assigned: Option<&'static str>,
    site: Site,
    profiles: Vec<Value>,
    name: String,
}

fn case(assigned: Option<&'static str>) -> Case {
    Case {
        assigned,
        site: Site::default(),
        profiles: profiles(),
        name: "node-7".to_owned(),
    }
}

impl Case {
    fn unassigned(mut self, policy: UnassignedPolicy) -> Self {
        self.site.unassigned = policy;
        self
    }

    fn client(language: Language) -> BootClient {
        let mut client = BootClient::asking(mac(), stage(language));
        client.platform = Some(platform(language));
        client
    }

    fn decision(&self, language: Language) -> Decision {
        let machine: Machine = serde_json::from_value(json!({
            "id": 1, "name": self.name, "macs": [mac()], "uuid": null, "serial": null,
            "labels": {}, "state": "registered", "loader": null, "profile": self.assigned,
            "facts": {},
        }))
        .expect("a machine");
        let profiles = self
            .profiles
            .iter()
            .map(|p| serde_json::from_value(p.clone()).expect("a profile"));
        let mut loaders = LoaderInventory::default();
        loaders.add(Platform::Bios, LoaderRole::Ipxe, "undionly.kpxe");
        let catalog = Catalog::new(1, self.site.clone(), loaders, [machine], profiles);
        decide(&Case::client(language), &catalog)
    }

    fn render(&self, language: Language, round: u32) -> String {
        let decision = self.decision(language);
        render(
            language,
            &Case::client(language),
            &decision,
            &server(),
            round,
        )
    }
}

const LANGUAGES: [Language; 3] = [Language::Ipxe, Language::Pxelinux, Language::Grub];

/// Everything a firmware reads, once in every language.
macro_rules! snapshots {
    ($($name:ident: $case:expr, $round:expr;)*) => {$(
        #[test]
        fn $name() {
            let case = $case;
            for language in LANGUAGES {
                let name = format!("{}_{}", stringify!($name), format!("{language:?}").to_lowercase());
                insta::assert_snapshot!(name, case.render(language, $round));
            }
        }
    )*};
}

snapshots! {
    assigned_linux: case(Some("debian-12")), 0;
    assigned_program: case(Some("memtest")), 0;
    assigned_chain: case(Some("elsewhere")), 0;
    assigned_with_extras: case(Some("extras")), 0;
    assigned_from_elsewhere: case(Some("mirror")), 0;
    assigned_while_waiting: case(Some("debian-12")), 3;
    assigned_without_a_menu: Case { site: Site { menu_timeout_s: 0, ..Site::default() }, ..case(Some("debian-12")) }, 0;
    unassigned_menu: case(None).unassigned(UnassignedPolicy::Menu), 0;
    waiting: case(None).unassigned(UnassignedPolicy::Wait), 0;
    waiting_longer: case(None).unassigned(UnassignedPolicy::Wait), 7;
    waited_too_long: case(None).unassigned(UnassignedPolicy::Wait), 120;
    local_disk: case(Some("disk")), 0;
    refused: case(Some("gone")), 0;
}

#[test]
fn bootstraps() {
    insta::assert_snapshot!("bootstrap_ipxe", ipxe_bootstrap(&server()));
    insta::assert_snapshot!("bootstrap_grub", grub_bootstrap(&server()));
}

#[test]
fn a_build_without_http_is_given_tftp_urls() {
    let case = case(Some("debian-12"));
    let mut client = Case::client(Language::Ipxe);
    client.ipxe = Some(IpxeFeatures::default());
    let decision = case.decision(Language::Ipxe);
    let script = render(Language::Ipxe, &client, &decision, &server(), 0);
    assert!(script.contains("kernel --name linux tftp://10.0.0.2/images/debian-12/linux "));
    assert!(!script.contains("http://10.0.0.2/images"), "{script}");
}

#[test]
fn other_ports_are_named() {
    let server = Endpoint {
        http_port: 8069,
        ..server()
    };
    let script = ipxe_bootstrap(&server);
    assert!(script.contains("http://10.0.0.2:8069/${netX/mac:hexhyp}/boot.ipxe?"));
}

#[test]
fn the_default_entry_names_its_files() {
    let files = |assigned| default_files(&case(Some(assigned)).decision(Language::Ipxe));
    assert_eq!(
        files("debian-12"),
        [
            "images/debian-12/linux",
            "images/debian-12/initrd.gz",
            "images/firmware.cpio.gz"
        ]
    );
    assert_eq!(files("memtest"), ["images/memtest86+/memtest86+x64.bin"]);
    for nothing_of_ours in ["elsewhere", "mirror", "disk", "gone"] {
        assert_eq!(files(nothing_of_ours), [""; 0], "{nothing_of_ours}");
    }
    let menu = case(None).unassigned(UnassignedPolicy::Menu);
    assert_eq!(default_files(&menu.decision(Language::Ipxe)), [""; 0]);
}

#[test]
fn a_long_wait_ends_in_time_in_every_language() {
    let mut case = case(None).unassigned(UnassignedPolicy::Wait);
    case.site.wait_limit_s = 86_400;
    case.site.wait_poll_s = 2;
    assert!(case.render(Language::Ipxe, 43_199).contains("still waits"));
    assert!(
        case.render(Language::Ipxe, 43_200)
            .contains("nobody assigned it")
    );
    // PXELINUX: so few rounds, but as long a time.
    let mut waited = 0;
    for round in 0.. {
        let page = case.render(Language::Pxelinux, round);
        if page.contains("nobody assigned it") {
            break;
        }
        let pause = page.lines().find_map(|l| l.strip_prefix("TIMEOUT "));
        waited += pause.and_then(|p| p.parse::<u32>().ok()).expect("a pause") / 10;
        assert!(round <= pxelinux::ROUND_LIMIT);
    }
    assert!((86_400..86_600).contains(&waited), "{waited}");
    // GRUB: its two loops together.
    let page = case.render(Language::Grub, 0);
    let laps: Vec<usize> = page
        .lines()
        .filter(|l| l.contains(" in 1"))
        .map(|l| l.split_whitespace().count() - 4)
        .collect();
    let rounds: usize = laps.iter().product();
    assert!((43_200..43_700).contains(&rounds), "{laps:?}");
}

/// Vector R47 of reliability.md: what a name, a serial number or an argument may try.
const HOSTILE: &[&str] = &[
    "x\nchain http://evil",
    "x\r\nreboot",
    "x ; reboot",
    "x && shell",
    "x || shell",
    "${net0/mac}",
    "$(reboot)",
    "`reboot`",
    "x' ; reboot ; echo '",
    "x\"; reboot; echo \"",
    "'\\''",
    "x }\nreboot\nmenuentry 'y' {",
    "init=/bin/sh",
    "# comment || reboot",
    "x \\",
    "\u{1b}[2J",
    "日本語 \u{2028} \u{85}",
    "-n --autofree",
    "LABEL local",
];

fn hostile_case(text: &str, everywhere: bool) -> Case {
    let mut profile = profiles().remove(0);
    profile["title"] = json!(text);
    profile["description"] = json!(text);
    if everywhere {
        profile["boot"]["args"] = json!(text);
        profile["boot"]["console"] = json!(text);
    }
    let mut other = profiles().remove(1);
    other["title"] = json!(text);
    Case {
        profiles: vec![profile, other],
        name: text.to_owned(),
        ..case(Some("debian-12"))
    }
}

/// What the loader would do, word for word, with the texts left out: the commands of a page.
fn commands(language: Language, page: &str) -> Vec<String> {
    match language {
        Language::Ipxe => page.lines().flat_map(ipxe_commands).collect(),
        Language::Pxelinux => page
            .lines()
            .map(|line| line.split_whitespace().next().unwrap_or("").to_owned())
            .collect(),
        Language::Grub => grub_commands(page),
    }
}

/// As iPXE's `system()` splits a line (core/exec.c), and the settings it would expand.
fn ipxe_commands(line: &str) -> Vec<String> {
    assert!(!line.ends_with('\\'), "continued: {line}");
    let mut found: Vec<String> = vec![format!("{} settings", line.matches("${").count())];
    let mut first = true;
    for word in line.split_whitespace() {
        if word.starts_with('#') {
            found.push("# comment".to_owned());
            break;
        }
        if first || ["||", "&&", ";"].contains(&word) {
            found.push(word.to_owned());
        }
        first = ["||", "&&", ";"].contains(&word);
    }
    found
}

/// As GRUB's lexer sees a page: each statement's first word, and every expansion.
fn grub_commands(page: &str) -> Vec<String> {
    let mut bare = String::new();
    let mut quoted = false;
    let mut chars = page.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                bare.push('Q');
            }
            '\\' if !quoted => {
                chars.next();
                bare.push('Q');
            }
            _ if quoted => assert_ne!(c, '\n', "a quote over the end of a line"),
            c => bare.push(c),
        }
    }
    assert!(!quoted, "an open quote");
    // Words of quoted text are arguments: only how statements begin and what expands counts.
    bare.split(['\n', ';'])
        .map(|s| {
            let first = s.split_whitespace().next().unwrap_or("");
            format!(
                "{first} {} {}",
                s.matches('$').count(),
                s.matches(['{', '}']).count()
            )
        })
        .collect()
}

fn same_commands(text: &str) -> Result<(), TestCaseError> {
    for language in LANGUAGES {
        for everywhere in [false, true] {
            let hostile = hostile_case(text, everywhere).render(language, 0);
            let plain = hostile_case("x", everywhere).render(language, 0);
            prop_assert_eq!(
                commands(language, &hostile),
                commands(language, &plain),
                "{:?} in {}",
                text,
                hostile
            );
            prop_assert!(
                hostile
                    .bytes()
                    .all(|b| b == b'\n' || (b' '..=b'~').contains(&b)),
                "not plain ASCII: {}",
                hostile
            );
        }
    }
    Ok(())
}

#[test]
fn no_text_becomes_a_command() {
    for text in HOSTILE {
        same_commands(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
    }
    same_commands(&"x".repeat(5000)).expect("only long");
}

#[test]
fn lines_for_people_fit_a_screen() {
    for language in LANGUAGES {
        let page = hostile_case(&"word ".repeat(50), false).render(language, 0);
        for line in page.lines() {
            let said = ["echo ", "SAY "]
                .iter()
                .find_map(|p| line.trim().strip_prefix(p));
            if let Some(said) = said {
                let said = said.replace("'\\''", "\"");
                assert!(said.trim_matches('\'').len() <= 79, "{line}");
            }
        }
    }
}

#[test]
fn a_reason_may_hold_anything() {
    let decision = Decision {
        outcome: Outcome::LocalDisk,
        because: Because::Assignment {
            machine: "x\n:local\nreboot ${mac} ' || ;".to_owned(),
            profile: "disk".parse().expect("a slug"),
        },
        machine: None,
        local_boot: LocalBoot::Auto,
    };
    for language in LANGUAGES {
        let page = render(language, &Case::client(language), &decision, &server(), 0);
        assert!(
            !page.lines().any(|l| l.trim().starts_with("reboot")),
            "{page}"
        );
        assert!(
            !page.contains("${mac}") || language != Language::Ipxe,
            "{page}"
        );
    }
}

#[test]
fn grub_gets_arguments_as_the_kernel_reads_them() {
    assert_eq!(
        text::grub_args("a=1  b=\"c d\" \"e=f g\" h='i'"),
        r"'a=1' 'b=c d' 'e=f g' 'h='\''i'\'''"
    );
    assert_eq!(text::grub_args(""), "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_only_text(text in "([ -~]|\\$\\{|\\|\\||&&| ; | # |\n|\\\\|'|\"|é){1,40}") {
        prop_assume!(!text.trim().is_empty());
        same_commands(&text)?;
    }
}
