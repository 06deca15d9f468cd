//! An order that is carried out at once: against OpenStack's Redfish emulator on another host.

use crate::common::{Farrier, Lan, Netns, eventually};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const UUID: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
const PORT: &str = "8000";
const URL: &str = "http://10.77.0.50:8000/redfish/v1/Systems/27946b59-9e44-4fa7-8e91-f3527a1ef094";

/// The emulator with one pretended machine, which is off, behind a password.
struct Sushy<'a> {
    host: &'a Netns,
    process: Child,
    _dir: TempDir,
}

impl<'a> Sushy<'a> {
    fn started(host: &'a Netns) -> Sushy<'a> {
        let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.lab/sushy/bin");
        let dir = tempfile::tempdir().expect("a directory");
        let hash = "import bcrypt; print(bcrypt.hashpw(b'hunter2', bcrypt.gensalt(4)).decode())";
        let mut python = Command::new(bin.join("python3"));
        let hashed = python.args(["-c", hash]).output();
        let hashed = hashed
            .expect("sushy-tools is here: deploy/setup.sh test installs it into .lab/sushy")
            .stdout;
        let hashed = String::from_utf8(hashed).expect("text");
        let auth = dir.path().join("auth");
        std::fs::write(&auth, format!("admin:{hashed}")).expect("written");
        let config = dir.path().join("sushy.conf");
        let text = format!(
            "SUSHY_EMULATOR_FAKE_SYSTEMS = [{{'uuid': '{UUID}', 'name': 'fake', 'power_state': 'Off', \
             'external_notifier': False, 'nics': []}}]\n\
             SUSHY_EMULATOR_AUTH_FILE = '{}'\nSUSHY_EMULATOR_STATE_DIR = '{}'\n",
            auth.display(),
            dir.path().display()
        );
        std::fs::write(&config, text).expect("written");
        let log = File::create(dir.path().join("log")).expect("created");
        let mut emulator = Command::new(bin.join("sushy-emulator"));
        emulator.args(["--fake", "-i", "10.77.0.50", "-p", PORT, "--config"]);
        emulator.arg(&config).stdout(Stdio::null()).stderr(log);
        let process = host.run(|| emulator.spawn()).expect("it starts");
        let sushy = Sushy {
            host,
            process,
            _dir: dir,
        };
        eventually(Duration::from_secs(60), "the emulator answers", || {
            sushy.says().is_object().then_some(())
        });
        sushy
    }

    /// What it says of the machine, read without our code for Redfish.
    fn says(&self) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-u", "admin:hunter2", URL]);
        let said = self.host.run(|| curl.output()).expect("curl starts");
        serde_json::from_slice(&said.stdout).unwrap_or(Value::Null)
    }
}

impl Drop for Sushy<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A machine behind the emulator, one that only hears magic packets, one that nothing is known of;
/// a profile that installs, and one whose answer cannot be made.
fn site(farrier: &Farrier<'_>) {
    let mut set = farrier.command(&["secret", "set", "power.bmc", "--socket"]);
    set.arg(farrier.control_socket()).stdin(Stdio::piped());
    let mut set = set.stdout(Stdio::null()).spawn().expect("it starts");
    let mut input = set.stdin.take().expect("piped");
    input.write_all(b"hunter2\n").expect("read");
    drop(input);
    assert!(set.wait().expect("it ends").success());
    let power = json!({"redfish": {"url": URL, "user": "admin", "password_secret": "power.bmc"}});
    let boot = "boot: {kind: linux, kernel: test/linux, initrds: [test/initrd.gz]}";
    farrier.apply(&format!(
        "kind: machine\nname: node-1\nmacs: ['52:54:00:12:34:56']\npower: {power}\n---\n\
         kind: machine\nname: node-2\nmacs: ['52:54:00:12:34:57']\npower: {{wake: true}}\n---\n\
         kind: machine\nname: node-3\nmacs: ['52:54:00:12:34:58']\n---\n\
         kind: profile\nname: good\ntitle: Good\n{boot}\ninstall: {{tries: 2, minutes: 60}}\n\
         answers: [{{name: preseed.cfg, kind: preseed, text: 'd-i debian-installer/locale string C'}}]\n---\n\
         kind: profile\nname: bad\ntitle: Bad\n{boot}\n\
         answers: [{{name: preseed.cfg, kind: preseed, text: 'd-i {{{{ nobody_says }}}}'}}]\n"
    ));
}

fn lifecycles(farrier: &Farrier<'_>) -> Vec<String> {
    let of = |name| farrier.json(&["machine", "show", name])["lifecycle"].clone();
    let all = ["node-1", "node-2", "node-3"].map(of);
    all.map(|word| word.as_str().expect("a word").to_owned())
        .to_vec()
}

#[test]
fn one_command_orders_and_boots_and_says_what_each_switch_did() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    let sushy = Sushy::started(&lan.client);
    site(&farrier);
    let off = sushy.says();
    assert_eq!(off["PowerState"], "Off", "{off}");

    // What cannot be fetched is not ordered, and no power is touched.
    let install = ["machine", "install", "--now", "--profile"];
    let refused = farrier.cli(&[&install[..], &["bad", "node-1"]].concat());
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("nobody_says") && refused.stderr.contains("nothing was ordered"),
        "{}",
        refused.stderr
    );
    assert_eq!(lifecycles(&farrier), ["ready"; 3]);
    assert_eq!(sushy.says()["Boot"], off["Boot"]);
    assert!(!farrier.page("/api/v1/events").contains("\"powered\""));

    let asked = [&install[..], &["good", "node-1", "node-2", "node-3"]].concat();
    let ran = farrier.cli(&asked);
    assert_ne!(ran.code, Some(0), "one has nothing to be switched by");
    insta::assert_snapshot!(ran.stdout, @"
    node-1: good ordered; it boots by PXE next, and was restarted by Redfish
    node-2: good ordered, and woken by a magic packet; one that is on hears none: restart it by hand
    node-3: good ordered; no power switch of it is known, so power it on by hand, and have it boot from the network
    ");
    assert!(
        ran.stderr
            .contains("1 of 3 are ordered, but were not switched"),
        "{}",
        ran.stderr
    );
    assert_eq!(lifecycles(&farrier), ["armed"; 3]);
    let target = |said: &Value| said["Boot"]["BootSourceOverrideTarget"].clone();
    assert_eq!([target(&off), target(&sushy.says())], ["Hdd", "Pxe"]);
    // It takes its time, as hardware does.
    eventually(Duration::from_secs(30), "it is on", || {
        (sushy.says()["PowerState"] == "On").then_some(())
    });

    // A controller that does not answer: the order stands, and it is said.
    drop(sushy);
    farrier.ok(&["machine", "cancel", "node-1"]);
    let ran = farrier.cli(&[&install[..], &["good", "--filter", "node-1", "--yes"]].concat());
    assert_ne!(ran.code, Some(0));
    let begins = "node-1: good ordered; next boot by PXE failed (Redfish): ";
    let ends = "; the order stands, power it on by hand, and have it boot from the network\n";
    assert!(
        ran.stdout.starts_with(begins) && ran.stdout.ends_with(ends),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("10.77.0.50:8000"), "{}", ran.stdout);
    assert_eq!(lifecycles(&farrier)[0], "armed");
}

#[test]
fn a_filter_is_shown_before_switches_are_touched() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    site(&farrier);
    let shown = farrier.ok(&["machine", "power", "off", "--filter", "node"]);
    assert!(
        shown.ends_with("would ask 'off' of these 3; --yes does it\n"),
        "{shown}"
    );
    assert!(!farrier.page("/api/v1/events").contains("\"powered\""));
    let ran = farrier.cli(&["machine", "power", "wake", "--filter", "node-2", "--yes"]);
    assert_eq!(ran.stdout, "node-2: wake asked by wake-on-lan\n");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);

    // One boot of what is made to install is warned of, and ordered all the same.
    let ran = farrier.cli(&[
        "machine",
        "install",
        "node-3",
        "--profile",
        "good",
        "--next-boot",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("writes the disk, too"),
        "{}",
        ran.stderr
    );
}
