//! Files and browser as equals, with the real program: owning, conflicts, tables, a watched
//! directory.

use crate::common::farrier::PROFILE;
use crate::common::{Farrier, Netns, eventually};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const NODES: &str = "kind: machine\nname: node-1\nmacs: ['52:54:00:cc:00:01']\nserial: A\n---\n\
    kind: machine\nname: node-2\nmacs: ['52:54:00:cc:00:02']\nprofile: test\n";

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).expect("written");
    path.display().to_string()
}

#[test]
fn files_own_what_they_describe_and_do_not_undo_edits() {
    let netns = Netns::new();
    let farrier = Farrier::started(&netns);
    let dir = farrier.home().join("site");
    std::fs::create_dir(&dir).expect("made");
    write(&dir.join("profile.yaml"), PROFILE);
    let nodes = dir.join("nodes.yaml");
    write(&nodes, &format!("# mine\n{NODES}"));
    let files = dir.display().to_string();
    let own = ["apply", "-f", &files, "--own", "team=web", "--prune"];
    farrier.ok(&own);

    // A person edits; the file does not know.
    let edit = "name,serial\nnode-1,B\n";
    let table = write(&farrier.home().join("edit.csv"), edit);
    let told = farrier.ok(&["machine", "import", &table]);
    assert!(told.contains("serial: \"A\" -> \"B\""), "{told}");
    for args in [&own[..], &[&own[..], &["--dry-run"]].concat()] {
        let ran = farrier.cli(args);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        let place = format!(
            "{}:5:1: serial: machine 'node-1': serial was edited",
            nodes.display()
        );
        assert!(ran.stderr.contains(&place), "{}", ran.stderr);
    }
    farrier.ok(&[&own[..], &["--force"]].concat());
    // What is described no more goes, and only that.
    farrier.ok(&["machine", "assign", "--none", "52:54:00:cc:00:09"]);
    let one: &str = NODES.split("---").next().expect("the first");
    write(&nodes, one);
    let dry = farrier.ok(&[&own[..], &["--dry-run"]].concat());
    assert!(dry.starts_with("- machine node-2\n"), "{dry}");
    let done = farrier.ok(&own);
    assert!(done.starts_with("- machine node-2\n"), "{done}");
    let names = farrier.ok(&["machine", "list"]);
    assert!(
        !names.contains("node-2") && names.contains("52-54-00-cc-00-09"),
        "{names}"
    );
}

#[test]
fn an_export_is_a_file_for_each_object_and_overwrites_nothing() {
    let netns = Netns::new();
    let farrier = Farrier::started(&netns);
    farrier.apply(&format!("{PROFILE}---\n{NODES}"));
    let dir = farrier.home().join("out");
    let out = dir.display().to_string();
    farrier.ok(&["export", "-o", &out]);
    for name in [
        "site.yaml",
        "profile-test.yaml",
        "machine-node-1.yaml",
        "machine-node-2.yaml",
    ] {
        assert!(dir.join(name).exists(), "{name}");
    }
    let again = farrier.ok(&["apply", "-f", &out]);
    assert!(again.ends_with("changed: 0, unchanged: 4\n"), "{again}");
    write(&dir.join("site.yaml"), "# mine\nkind: site\n");
    let ran = farrier.cli(&["export", "-o", &out]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("site.yaml"), "{}", ran.stderr);
}

#[test]
fn machines_travel_as_a_table_and_are_changed_by_filter() {
    let netns = Netns::new();
    let farrier = Farrier::started(&netns);
    farrier.apply(&format!("{PROFILE}---\n{NODES}"));
    let file = farrier.home().join("m.csv");
    let path = file.display().to_string();
    farrier.ok(&["machine", "export", &path]);
    let told = farrier.ok(&["machine", "import", "--dry-run", &path]);
    assert_eq!(
        told.lines().last(),
        Some("would change: 0, unchanged: 2"),
        "{told}"
    );
    let table = std::fs::read_to_string(&file).expect("readable");
    write(
        &file,
        &table
            .replace("node-2", "=HYPERLINK(1)")
            .replace("test", "nosuch"),
    );
    let ran = farrier.cli(&["machine", "import", &path]);
    assert_eq!(ran.code, Some(1));
    let fault = format!("{path}:3: profile: profile 'nosuch' does not exist");
    assert!(ran.stderr.contains(&fault), "{}", ran.stderr);

    let shown = farrier.ok(&[
        "machine",
        "label",
        "--filter",
        "serial:A*",
        "--set",
        "rack=1",
    ]);
    assert!(
        shown.ends_with("node-1\nwould label these 1; --yes does it\n"),
        "{shown}"
    );
    farrier.ok(&[
        "machine",
        "label",
        "--filter",
        "serial:A*",
        "--set",
        "rack=1",
        "--yes",
    ]);
    let list = farrier.json(&["machine", "list", "label:rack=1", "!profile:test"]);
    assert_eq!(list["machines"][0]["name"], "node-1");
    assert_eq!(list["total"], 1);
    let ran = farrier.cli(&["machine", "list", "colour:red"]);
    assert!(
        ran.stderr
            .contains("'colour:' is no key; there are asset, label"),
        "{}",
        ran.stderr
    );
    farrier.ok(&["machine", "forget", "node-1"]);
    assert_eq!(farrier.json(&["machine", "list"])["total"], 1);
}

#[test]
fn a_watched_directory_is_in_force_as_it_is_saved() {
    let netns = Netns::new();
    let mut farrier = Farrier::prepared(&netns);
    let dir = farrier.home().join("site");
    // It is not even there yet.
    farrier.configure(&format!(
        "apply: {{directory: {}, owner: team=web, prune: true}}\n",
        dir.display()
    ));
    farrier.start();
    farrier.log_line("cannot read");
    std::fs::create_dir(&dir).expect("made");
    write(&dir.join("profile.yaml"), PROFILE);
    write(&dir.join("nodes.yaml"), NODES);
    let patience = Duration::from_secs(20);
    let total = |wanted: u64| {
        eventually(patience, "the files are in force", || {
            (farrier.json(&["machine", "list"])["total"] == wanted).then_some(())
        });
    };
    total(2);
    let status = farrier.json(&["status"]);
    assert_eq!(status["files"]["faults"], json!([]), "{status}");
    // One fault, and nothing is changed; it is said where.
    let bad =
        "kind: machine\nname: node-1\nmacs: ['52:54:00:cc:00:01']\n---\nkind: machine\nnam: x\n";
    write(&dir.join("nodes.yaml"), bad);
    let fault = format!(
        "{}:6:1: nam: unknown field",
        dir.join("nodes.yaml").display()
    );
    farrier.log_line(&fault);
    let status = eventually(patience, "the status says so", || {
        let status = farrier.ok(&["status"]);
        status.contains(&fault).then_some(status)
    });
    assert!(status.contains("nothing was applied"), "{status}");
    total(2);
    let one = NODES.split("---").next().expect("the first");
    write(&dir.join("nodes.yaml"), one);
    total(1);
}

#[test]
fn a_server_is_made_anew_from_its_export() {
    let netns = Netns::new();
    let farrier = Farrier::started(&netns);
    let dir = farrier.home().join("site");
    std::fs::create_dir(&dir).expect("made");
    write(&dir.join("root.hash"), "canary-7\n");
    let rest = "---\nkind: hook\nname: chat\nurl: https://chat.example/x\nsecret: hook.chat\n---\n\
        kind: secret\nname: hook.chat\n---\nkind: snippet\nname: keys\ntext: |+\n  ssh-ed25519 A\n\n";
    let secret = "kind: secret\nname: root\nvalue_file: root.hash\n";
    write(&dir.join("secrets.yaml"), secret);
    write(
        &dir.join("nodes.yaml"),
        &format!("{PROFILE}---\n{NODES}power: {{wake: true}}\n{rest}"),
    );
    let files = dir.display().to_string();
    let told = farrier.ok(&["apply", "-f", &files]);
    assert!(
        told.contains("+ secret root") && !told.contains("canary"),
        "{told}"
    );
    let listed = farrier.ok(&["secret", "list"]);
    assert!(listed.contains("no value yet"), "{listed}");
    let named = farrier.ok(&["export"]);
    assert!(
        named.contains("name: root\n") && !named.contains("canary"),
        "{named}"
    );
    assert!(!farrier.log().contains("canary"));

    let out = farrier.home().join("out");
    let out = out.display().to_string();
    farrier.ok(&["export", "-o", &out, "--with-secrets"]);
    let other = Netns::new();
    let anew = Farrier::started(&other);
    anew.ok(&["apply", "-f", &out]);
    assert_eq!(anew.ok(&["export"]), named);
    let whole = anew.ok(&["export", "--with-secrets"]);
    assert_eq!(whole, farrier.ok(&["export", "--with-secrets"]));
    assert!(whole.contains("value: canary-7"), "{whole}");
    std::fs::remove_file(dir.join("root.hash")).expect("removed");
    let ran = farrier.cli(&["apply", "-f", &files]);
    assert!(ran.stderr.contains("root.hash"), "{}", ran.stderr);
}
