//! Machines without a disk, with the real program and its nbdkit: nobody takes a disk away under a
//! machine, and what becomes of what is kept is said.

use crate::common::{Farrier, Netns, eventually};
use serde_json::Value;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use testkit::nbd::Disk;

const LONG: Duration = Duration::from_secs(60);
const DESKS: &str = "kind: machine\nname: ws1\nmacs: ['52:54:00:cc:00:01']\nprofile: room\n---\n\
    kind: machine\nname: ws2\nmacs: ['52:54:00:cc:00:02']\nprofile: room\n";

/// A profile by NBD whose machines keep what they write, or by HTTP with nothing kept.
fn room(kept: bool) -> String {
    let more = match kept {
        true => "  access: nbd\n  overlay: per-machine\n  overlay_gib: 1\n",
        false => "",
    };
    format!(
        "kind: profile\nname: room\ntitle: Room\nboot:\n  kind: diskless\n  kernel: test/linux\n  \
         root: test/initrd.gz\n{more}"
    )
}

impl Farrier<'_> {
    /// What is kept, with the machines' names.
    fn kept(&self) -> Vec<Value> {
        let rows = self.json(&["diskless", "list"]);
        rows.as_array().expect("rows").clone()
    }

    fn overlay(&self, machine: &Value) -> PathBuf {
        let prefix = format!("m{machine}-");
        let mut files = std::fs::read_dir(self.data().join("overlays"))
            .expect("there")
            .flatten();
        let found = files.find(|f| f.file_name().to_string_lossy().starts_with(&prefix));
        found.expect("its overlay").path()
    }

    fn refused(&self, args: &[&str], words: &str) {
        let ran = self.cli(args);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn a_machine_that_is_on_keeps_its_disk_whatever_becomes_of_its_profile() {
    let netns = Netns::new();
    netns.ip("link set lo up");
    let farrier = Farrier::started(&netns);
    farrier.apply(&format!("{}---\n{DESKS}", room(true)));
    let rows = eventually(LONG, "two overlays", || {
        Some(farrier.kept()).filter(|rows| rows.len() == 2)
    });
    assert_eq!(
        (&rows[0]["name"], &rows[1]["name"]),
        (&"ws1".into(), &"ws2".into())
    );
    let overlay = farrier.overlay(&rows[0]["machine"]);
    let export = overlay
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let connect = |port: u16, export: &str| {
        let server = format!("127.0.0.1:{port}").parse().expect("an address");
        eventually(LONG, export, || {
            netns.run(|| Disk::connect(server, export).ok())
        })
    };
    let (mut own, mut root) = (connect(10810, &export), connect(10809, "test%2Finitrd.gz"));
    own.write(&[7; 512]).expect("written");
    let begins = root.read().expect("read");
    let served = || {
        let images = farrier.json(&["image", "list"]);
        let all = images["images"].as_array().cloned().unwrap_or_default();
        all.into_iter()
            .find(|i| i["name"] == "test" && !i["last_served"].is_null())
    };
    eventually(LONG, "what is read counts as served", served);

    own.write(&[7; 512]).expect("written");
    farrier.refused(&["diskless", "reset", "ws1"], "is on");
    farrier.refused(&["machine", "forget", "--discard-kept", "ws1"], "ws1 is on");
    farrier.apply(&room(false));
    let waiting = || {
        let status = farrier.ok(&["status"]);
        (status.matches("machines are connected").count() == 2).then_some(())
    };
    eventually(LONG, "nbdkit waits for them", waiting);
    own.write(&[8; 512]).expect("still there");
    assert_eq!(own.read().expect("still there"), [8; 512]);
    assert_eq!(root.read().expect("still there"), begins);
    // Who loses the connection for a moment finds the same again.
    let again = connect(10809, "test%2Finitrd.gz").read();
    assert_eq!(again.expect("still exported"), begins);
    drop(root);

    // Forgotten while it is on, it goes on; what it keeps is said to stay.
    let told = farrier.ok(&["machine", "forget", "ws1"]);
    assert!(told.contains("on the server still: 1"), "{told}");
    own.write(&[9; 512]).expect("still there");
    assert_eq!(farrier.kept()[0]["name"], Value::Null);
    drop(own);
    eventually(LONG, "both ports close", || {
        (!farrier.ok(&["status"]).contains("NBD")).then_some(())
    });
    // Its plug was pulled a while ago.
    let long_ago = SystemTime::now() - Duration::from_secs(60);
    let file = File::options().write(true).open(&overlay).expect("there");
    file.set_modified(long_ago).expect("ours");
    drop(file);
    let number = rows[0]["machine"].to_string();
    farrier.ok(&["diskless", "reset", &number]);
    let told = farrier.ok(&["machine", "forget", "--discard-kept", "ws2"]);
    assert_eq!(told, "forgotten: 1\n");
    assert_eq!(farrier.kept(), Vec::<Value>::new());
}
