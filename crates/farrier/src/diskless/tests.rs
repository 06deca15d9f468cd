use super::*;
use bootplan::Profile;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use testkit::site::one_machine;
use web::people::Kept;

fn files(dir: &std::path::Path, quota: &str) -> OverlayFiles {
    let text = format!(
        "data_dir: {}\ndiskless: {{overlay_quota: {quota}}}",
        dir.display()
    );
    OverlayFiles::of(&serde_yaml::from_str(&text).expect("a configuration"))
}

#[test]
fn exactly_the_machines_that_keep_something_get_an_overlay() {
    let room = json!({"kind": "diskless", "kernel": "k", "root": "a/b.squashfs"});
    let mut keeps = room.clone();
    keeps["access"] = json!("nbd");
    keeps["overlay"] = json!("per-machine");
    keeps["overlay_gib"] = json!(3);
    let wanted = |boot: &Value, enabled: bool| {
        let profile = json!({"name": "room", "title": "Room", "enabled": enabled, "boot": boot});
        let profile: Profile = serde_json::from_value(profile).expect("a profile");
        super::wanted(&one_machine([2, 0, 0, 0, 0, 1], profile))
    };
    let found = wanted(&keeps, true);
    assert_eq!(found.overlays, BTreeMap::from([(MachineId(1), 3)]));
    let images: Vec<String> = found.images.iter().map(ToString::to_string).collect();
    assert_eq!(images, ["a/b.squashfs"]);
    for nothing in [
        wanted(&room, true),
        wanted(&keeps, false),
        wanted(&json!({"kind": "local-disk"}), true),
    ] {
        assert_eq!(nothing, Wanted::default());
    }
}

#[test]
fn an_overlay_is_sparse_protected_and_made_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = files(dir.path(), "5 GiB");
    let wanted = BTreeMap::from([(MachineId(7), 2), (MachineId(8), 2)]);
    let first = files.provide(&wanted);
    assert_eq!(first.fault, None);
    let export = first.of(Some(MachineId(7))).expect("made");
    assert!(export.starts_with("m7-") && export.len() > 35, "{export}");
    assert_ne!(first.of(Some(MachineId(8))), Ok(Arc::clone(&export)));
    assert_eq!(files.provide(&wanted), first, "what is there is kept");

    let path = files.dir().join(&*export);
    let meta = std::fs::metadata(&path).expect("there");
    assert_eq!(meta.len(), 2 << 30);
    assert!(meta.blocks() * 512 < 64 << 20, "{} blocks", meta.blocks());
    let told = std::process::Command::new("/sbin/dumpe2fs")
        .arg("-h")
        .arg(&path)
        .output();
    let told = String::from_utf8(told.expect("dumpe2fs").stdout).expect("text");
    for word in ["persistence", " mmp", "MMP update interval:      1"] {
        assert!(told.contains(word), "{word} in {told}");
    }

    // The third would promise more than there is; the two go on.
    let more = BTreeMap::from([(MachineId(7), 2), (MachineId(9), 2)]);
    let third = files.provide(&more);
    assert!(third.of(Some(MachineId(7))).is_ok());
    let told = third.of(Some(MachineId(9))).expect_err("no room");
    assert!(told.contains("quota of 5 GiB"), "{told}");

    let connected = std::fs::OpenOptions::new().write(true).open(&path);
    let connected = connected.expect("there");
    assert!(files.is_in_use(MachineId(7)) && !files.is_in_use(MachineId(8)));
    let long_ago = SystemTime::now() - Duration::from_secs(40);
    connected.set_modified(long_ago).expect("ours");
    assert!(!files.is_in_use(MachineId(7)), "its plug was pulled");
    connected.set_modified(SystemTime::now()).expect("ours");
    drop(connected);
    assert!(!files.is_in_use(MachineId(7)));
    assert!(files.remove(MachineId(7)).expect("removable").is_some());
    assert_eq!(files.remove(MachineId(7)).expect("nothing to do"), None);
    let again = files.provide(&wanted).of(Some(MachineId(7))).expect("anew");
    assert_ne!(
        again, export,
        "nobody who knew the old name reads the new one"
    );
    let left: Vec<_> = files.list().iter().map(|f| f.machine.0).collect();
    assert_eq!(left, [7, 8]);

    // Two turn out to be one.
    assert!(!files.hand_over(MachineId(7), MachineId(8)).expect("asked"));
    assert_eq!(files.bytes(MachineId(9)), None);
    assert!(
        files
            .hand_over(MachineId(7), MachineId(9))
            .expect("renamed")
    );
    assert_eq!(files.bytes(MachineId(7)), None);
    let moved = files.provide(&BTreeMap::new()).of(Some(MachineId(9)));
    let moved = moved.expect("there");
    assert_eq!(again[3..], moved[3..], "the same file");
    assert!(files.bytes(MachineId(9)).is_some_and(|bytes| bytes > 0));
}

#[test]
fn only_plain_files_below_the_images_directory_are_exported() {
    let dir = tempfile::tempdir().expect("a directory");
    let (root, exports) = (dir.path().join("images"), dir.path().join("exports"));
    std::fs::create_dir_all(root.join("live")).expect("made");
    std::fs::write(root.join("live/a.squashfs"), "a").expect("written");
    std::fs::write(dir.path().join("secret"), "s").expect("written");
    std::os::unix::fs::symlink(dir.path().join("secret"), root.join("out")).expect("linked");
    let path = |text: &str| text.parse().expect("a path");

    let wanted = [
        path("live/a.squashfs"),
        path("out"),
        path("live"),
        path("gone"),
    ];
    let nobody = BTreeSet::new();
    let exported = exports::link(&exports, &root, &wanted, &nobody);
    assert!(exported.any && exported.read.is_empty());
    assert_eq!(exported.faults.len(), 3, "{:?}", exported.faults);
    let names = |dir: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("there").flatten();
        entries
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(names(&exports), ["live%2Fa.squashfs"]);
    let text = std::fs::read_to_string(exports.join("live%2Fa.squashfs"));
    assert_eq!(text.expect("readable"), "a");

    // Who reads it keeps it, though nobody else may begin.
    let file = root.join("live/a.squashfs");
    let elsewhere = dir.path().join("secret");
    let read: BTreeSet<_> = [file.canonicalize().expect("there"), elsewhere].into();
    let exported = exports::link(&exports, &root, &[], &read);
    assert_eq!(exported.read, [path("live/a.squashfs")]);
    assert!(!exported.any);
    assert_eq!(names(&exports), ["live%2Fa.squashfs"]);
    assert!(!exports::link(&exports, &root, &[], &nobody).any);
    assert!(names(&exports).is_empty());
}
