//! The command line, as an admin and as a script use it.

use crate::common::farrier::PROFILE;
use crate::common::wire::{receive, rrq, tftp_get, udp};
use crate::common::{Farrier, Netns, SERVER, eventually};
use serde_json::Value;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn help_tells_what_there_is() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farrier"));
    // The width of the terminal is not the program's.
    let help = command.arg("--help").env("COLUMNS", "100").output();
    let help = String::from_utf8(help.expect("it starts").stdout).expect("text");
    insta::assert_snapshot!(help);
}

#[test]
fn every_command_has_help_and_a_wrong_one_says_so() {
    for words in [
        "serve",
        "check",
        "assets sync",
        "machine list",
        "machine show",
        "machine assign",
        "machine label",
        "machine adopt",
        "machine forget",
        "machine import",
        "machine export",
        "machine install",
        "machine power",
        "hook list",
        "hook add",
        "hook test",
        "profile list",
        "profile show",
        "profile render",
        "explain",
        "apply",
        "export",
        "boots",
        "status",
        "tftp get",
        "tftp put",
        "completions",
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farrier"));
        let output = command
            .args(words.split(' '))
            .arg("--help")
            .output()
            .expect("it starts");
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && help.contains("Usage:"),
            "{words}: {help}"
        );
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_farrier"));
    let output = command.arg("machines").output().expect("it starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(words.contains("machine"), "{words}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farrier"));
        let output = command
            .args(["completions", shell])
            .output()
            .expect("it starts");
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).expect("text");
        assert!(
            script.contains("completions") && script.contains("explain"),
            "{shell}"
        );
        if shell == "bash" {
            let mut bash = Command::new("bash")
                .arg("-n")
                .stdin(Stdio::piped())
                .spawn()
                .expect("bash is installed");
            let mut stdin = bash.stdin.take().expect("piped");
            stdin.write_all(script.as_bytes()).expect("read");
            drop(stdin);
            assert!(bash.wait().expect("ends").success(), "no valid script");
        }
    }
}

#[test]
fn check_says_where_a_file_is_wrong() {
    let netns = Netns::new();
    let farrier = Farrier::prepared(&netns);
    let check = || {
        let output = farrier.command(&["check"]).output().expect("it starts");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            out,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, out, err) = check();
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    assert!(
        out.contains(": ok") && out.contains("every suitable one"),
        "{out}"
    );

    for (yaml, fault) in [
        ("ftp: {}\n", ":2:1: unknown key 'ftp', did you mean 'tftp'?"),
        (
            "tftp:\n  max_window: 0\n",
            ":3:3: tftp.max_window: 0 is outside 1 to 64",
        ),
        ("interfaces: eth0\n", ":2:13: interfaces: "),
        ("log: {level: [}\n", ":2:"),
    ] {
        farrier.configure(yaml);
        let (code, out, err) = check();
        assert_eq!((code, &*out), (Some(1), ""), "{err}");
        let fault = format!("farrier: {}{fault}", farrier.config().display());
        assert!(err.starts_with(&fault), "{err} is not {fault}");
    }
    let mut missing = farrier.command(&["check", "--config", "/nonexistent/f.yaml"]);
    let output = missing.output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/f.yaml"));
}

#[test]
fn apply_is_idempotent_and_what_is_exported_applies_to_nothing_new() {
    let netns = Netns::new();
    let farrier = Farrier::started(&netns);
    let documents = farrier.home().join("documents");
    std::fs::create_dir(&documents).expect("made");
    std::fs::write(documents.join("1-profile.yaml"), PROFILE).expect("written");
    std::fs::write(documents.join("2-site.yaml"), SITE).expect("written");
    let documents = documents.display().to_string();

    let dry = farrier.ok(&["apply", "--dry-run", "-f", &documents]);
    assert!(dry.ends_with("would change: 3, unchanged: 0\n"), "{dry}");
    let profiles = farrier.json(&["profile", "list"]);
    assert_eq!(
        profiles["profiles"],
        Value::Array(Vec::new()),
        "a dry run changed something"
    );

    let first = farrier.ok(&["apply", "-f", &documents]);
    assert!(first.ends_with("\nchanged: 3, unchanged: 0\n"), "{first}");
    let again = farrier.ok(&["apply", "-f", &documents]);
    assert!(again.ends_with("changed: 0, unchanged: 3\n"), "{again}");

    let exported = farrier.ok(&["export"]);
    for words in ["rack1-u3", "Test system", "52:54:00:cc:00:01", "wait"] {
        assert!(exported.contains(words), "no {words} in:\n{exported}");
    }
    let back = piped(&farrier, &exported);
    assert!(back.ends_with("changed: 0, unchanged: 3\n"), "{back}");
    // And into an empty server, from which the same comes out again.
    let elsewhere = Netns::new();
    let fresh = Farrier::started(&elsewhere);
    let into = piped(&fresh, &exported);
    assert!(into.contains("unchanged: 0\n"), "{into}");
    assert_eq!(fresh.ok(&["export"]), exported);

    let bad = farrier.home().join("bad.yaml");
    std::fs::write(
        &bad,
        "kind: profile\nname: x\ntitel: X\nboot: {kind: local-disk}\n",
    )
    .expect("written");
    let refused = farrier.cli(&["apply", "-f", &documents, "-f", &bad.display().to_string()]);
    assert_eq!(refused.code, Some(1));
    let fault = format!("{}:3:1: titel: unknown field", bad.display());
    assert!(
        refused.stderr.contains(&fault),
        "{} has no {fault}",
        refused.stderr
    );
}

fn piped(farrier: &Farrier<'_>, yaml: &str) -> String {
    let mut command = farrier.command(&["apply", "-f", "-", "--socket"]);
    command.arg(farrier.control_socket());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(yaml.as_bytes()).expect("read");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn machines_are_assigned_before_they_are_ever_seen_and_explained() {
    let netns = Netns::new();
    let farrier = Farrier::started(&netns);
    farrier.apply(PROFILE);
    let said = farrier.ok(&[
        "machine",
        "assign",
        "--profile",
        "test",
        "52-54-00-DD-00-01",
    ]);
    assert!(
        said.contains("not seen yet; entered as a new machine"),
        "{said}"
    );
    assert!(
        said.contains("profile 'test' from the next request on"),
        "{said}"
    );

    let explained = farrier.ok(&["explain", "--mac", "52:54:00:dd:00:01", "--arch", "bios"]);
    let lines: Vec<&str> = explained.lines().collect();
    assert!(
        lines[1].starts_with("machine    52-54-00-dd-00-01 (id "),
        "{explained}"
    );
    assert_eq!(lines[0], "boots      Test system");
    assert_eq!(
        lines[2..],
        [
            "outcome    boot",
            "because    machine '52-54-00-dd-00-01' is assigned to profile 'test'",
            "boot file  undionly.kpxe",
            "loader     ipxe",
            "profiles   test",
        ]
    );
    let stranger = farrier.ok(&["explain", "--mac", "52:54:00:dd:00:99", "--arch", "efi-x64"]);
    assert!(
        stranger.starts_with("boots      no answer\nmachine    not known\noutcome    silent\n"),
        "{stranger}"
    );
    let menu = farrier.ok(&[
        "explain",
        "--mac",
        "52:54:00:dd:00:01",
        "--stage",
        "ipxe",
        "--menu",
    ]);
    assert!(
        menu.contains("#!ipxe") && menu.contains("images/test/linux"),
        "{menu}"
    );

    // Mistakes leave nothing behind.
    for mistake in [
        ["nosuch", "52:54:00:dd:00:02", "52:54:00:dd:00:03"],
        ["test", "52:54:00:dd:00:02", "nobody"],
    ] {
        let ran = farrier.cli(&[&["machine", "assign", "--profile"], &mistake[..]].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        let machines = farrier.json(&["machine", "list"]);
        assert_eq!(machines["machines"].as_array().map(Vec::len), Some(1));
    }

    let list = farrier.ok(&["machine", "list"]);
    assert!(
        list.starts_with("NAME") && list.contains("52:54:00:dd:00:01"),
        "{list}"
    );
    let shown = farrier.ok(&["machine", "show", "5254.00dd.0001"]);
    assert!(shown.contains("profile     test"), "{shown}");
    farrier.ok(&["machine", "assign", "--none", "52:54:00:dd:00:01"]);
    let shown = farrier.ok(&["machine", "show", "52:54:00:dd:00:01"]);
    assert!(shown.contains("profile     -"), "{shown}");

    for (args, says) in [
        (
            [
                "machine",
                "assign",
                "--profile",
                "nosuch",
                "52:54:00:dd:00:01",
            ]
            .as_slice(),
            "nosuch",
        ),
        (
            ["machine", "assign", "--profile", "test", "nobody"].as_slice(),
            "no machine is called 'nobody'",
        ),
        (
            ["machine", "show", "nobody"].as_slice(),
            "no machine is called 'nobody'",
        ),
        (["profile", "show", "nosuch"].as_slice(), "nosuch"),
    ] {
        let ran = farrier.cli(args);
        assert_eq!(ran.code, Some(1), "{args:?}: {}", ran.stdout);
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn profiles_are_shown_and_rendered_for_every_loader() {
    let netns = Netns::new();
    let farrier = Farrier::started(&netns);
    farrier.apply(PROFILE);
    let list = farrier.ok(&["profile", "list"]);
    insta::assert_snapshot!(list, @r"
    NAME  TITLE        BOOTS  PLATFORMS  ENABLED  IN MENU
    test  Test system  linux  any        yes      no
    ");
    for (language, platform, words) in [
        ("ipxe", "efi-x64", ["#!ipxe", "images/test/initrd.gz"]),
        ("pxelinux", "bios", ["LINUX", "images/test/initrd.gz"]),
        ("grub", "efi-x64", ["menuentry", "images/test/initrd.gz"]),
    ] {
        let args = ["profile", "render", "test", "-l", language, "-p", platform];
        let text = farrier.ok(&args);
        for word in words {
            let found = text.to_lowercase().contains(&word.to_lowercase());
            assert!(found, "no {word} for {language} in:\n{text}");
        }
    }
    let shown = farrier.ok(&["profile", "show", "test"]);
    let back = piped(&farrier, &shown);
    assert!(back.ends_with("changed: 0, unchanged: 1\n"), "{back}");
}

#[test]
fn json_logs_are_json_and_tell_of_the_first_login() {
    let netns = Netns::new();
    let mut farrier = Farrier::prepared(&netns);
    farrier.configure("log: {format: json, level: debug}\n");
    farrier.start();
    netns.run(|| {
        let socket = udp(0);
        socket
            .send_to(&rrq(b"nofile", &[]), (Ipv4Addr::LOCALHOST, 69))
            .expect("sent");
        // Loopback is not served unless it is named.
        assert_eq!(receive(&socket, Duration::from_millis(100)), None);
    });
    farrier.log_line("/setup?token=");
    let log = farrier.log();
    assert!(log.lines().count() > 2, "{log}");
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(
            value["level"].is_string() && value["message"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn tftp_get_fetches_and_explains_itself() {
    let lan = crate::common::Lan::new();
    let farrier = Farrier::started(&lan.server);
    let fetch = |args: &[&str]| {
        let mut command = farrier.command(&[&["tftp", "get"], args].concat());
        lan.client.run(|| command.output()).expect("it starts")
    };
    let whole = fetch(&["10.77.0.2", "snponly.efi", "-o", "got"]);
    let said = String::from_utf8_lossy(&whole.stderr);
    assert!(
        whole.status.success() && said.contains("block size 1468, window 4"),
        "{said}"
    );
    let got = std::fs::read(farrier.home().join("got")).expect("written");
    assert!(
        got == crate::common::farrier::content("snponly.efi"),
        "another file"
    );
    let measured = fetch(&["10.77.0.2", "snponly.efi", "--null", "--windowsize", "1"]);
    let said = String::from_utf8_lossy(&measured.stderr);
    assert!(
        measured.status.success()
            && said.contains("window 1, ")
            && said.contains(" repeated, round trip "),
        "{said}"
    );
    assert!(!said.contains('\r') && !farrier.home().join("snponly.efi").exists());
    let absent = fetch(&["10.77.0.2", "nofile", "-o", "none"]);
    let said = String::from_utf8_lossy(&absent.stderr);
    assert!(
        !absent.status.success() && said.contains("file not found"),
        "{said}"
    );
    assert!(!farrier.home().join("none").exists() && !farrier.home().join("none.part").exists());
}

#[test]
fn status_tells_what_is_being_transferred() {
    let lan = crate::common::Lan::new();
    let farrier = Farrier::started(&lan.server);
    let (mut sent, mut shown, mut listed) = (0, String::new(), Value::Null);
    let (_, outcome) = lan.client.run(|| {
        tftp_get(SERVER, tftp::Ask::plain("pxelinux.0"), || {
            sent += 1;
            if sent == 20 {
                shown = farrier.ok(&["status"]);
                listed = farrier.json(&["status"]);
            }
        })
    });
    assert_eq!(outcome.kind, tftp::OutcomeKind::Completed);
    let mut moving = shown.lines().filter(|line| line.starts_with("tftp read  "));
    let row = moving.next().expect("one is under way");
    assert!(row.contains("  pxelinux.0  9.2 kB of "), "{row}");
    assert_eq!(listed["transfers"][0]["path"], "pxelinux.0");
    // 18 blocks are acknowledged: the ACK of the 19th is what waits.
    assert_eq!(listed["transfers"][0]["bytes"], 18 * 512);
    let over = eventually(Duration::from_secs(5), "it is over", || {
        let status = farrier.json(&["status"]);
        (status["transfers"] == serde_json::json!([])).then_some(status)
    });
    assert_eq!(over["transfer_totals"][0]["completed"], 1);
}

/// The live feed ends when the server does, and says so.
#[test]
fn boots_can_be_followed() {
    let lan = crate::common::Lan::new();
    let mut farrier = Farrier::started(&lan.server);
    let out = farrier.home().join("followed");
    let file = std::fs::File::create(&out).expect("created");
    let mut command = farrier.command(&["boots", "--follow", "--socket"]);
    command.arg(farrier.control_socket()).stdout(file);
    let mut follower = command.stderr(Stdio::null()).spawn().expect("it starts");
    let line = eventually(Duration::from_secs(8), "an event is followed", || {
        lan.client.run(|| {
            let socket = udp(0);
            socket
                .send_to(&rrq(b"nofile", &[]), (Ipv4Addr::new(10, 77, 0, 2), 69))
                .expect("sent");
            receive(&socket, Duration::from_millis(200));
        });
        let text = std::fs::read_to_string(&out).expect("readable");
        text.lines().next().map(str::to_owned)
    });
    assert!(line.contains("nofile"), "{line}");
    farrier.signal(nix::sys::signal::Signal::SIGTERM);
    farrier.wait_exit(Duration::from_secs(6));
    let ended = eventually(Duration::from_secs(3), "the follower ends", || {
        follower.try_wait().expect("our own child")
    });
    assert!(ended.success(), "{ended}");
}

const SITE: &str = "kind: site\nunassigned: wait\n---\nkind: machine\nname: rack1-u3\n\
    macs: ['52:54:00:cc:00:01']\nlabels: {rack: '1'}\nprofile: test\n";

#[test]
fn the_script_for_live_images_came_with_the_program() {
    let printed = Command::new(env!("CARGO_BIN_EXE_farrier"))
        .args(["image", "build-live", "--print"])
        .output()
        .expect("the program starts");
    let script = include_str!("../../../../deploy/build-live.sh");
    assert_eq!(String::from_utf8_lossy(&printed.stdout), script);

    // Run here it is the same one: without a suite that anybody has it fails in mmdebstrap's or apt's words,
    // makes nothing, and leaves no parts behind.
    let home = tempfile::tempdir().expect("temporary directory");
    let out = home.path().join("images");
    let ran = Command::new(env!("CARGO_BIN_EXE_farrier"))
        .args(["image", "build-live", "no-such-suite"])
        .arg(&out)
        .env("TMPDIR", home.path())
        .env("MIRROR", "file:/nowhere")
        .output()
        .expect("the program starts");
    assert!(!ran.status.success());
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("build-live --print"), "{said}");
    assert_eq!(std::fs::read_dir(&out).expect("made").count(), 0);
    let left = std::fs::read_dir(home.path()).expect("there").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["images"], "{said}");
}
