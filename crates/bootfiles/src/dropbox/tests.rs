use super::*;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

fn settings(directory: &Path, overwrite: Overwrite) -> DropBoxSettings {
    DropBoxSettings {
        prefix: "configs/lab".parse().expect("a path"),
        directory: directory.to_owned(),
        networks: Networks::from_iter(["10.0.0.0/24".parse().expect("a network")]),
        quota: 1 << 20,
        max_file: 100_000,
        overwrite,
        readable: true,
    }
}

fn boxes(settings: DropBoxSettings) -> DropBoxes {
    DropBoxes::open(vec![settings]).expect("opens")
}

fn with(overwrite: Overwrite) -> (TempDir, DropBoxes) {
    let dir = tempfile::tempdir().expect("a directory");
    let boxes = boxes(settings(dir.path(), overwrite));
    (dir, boxes)
}

fn device() -> Device {
    Device {
        ip: CLIENT,
        mac: Some("52:54:00:00:00:07".parse().expect("a MAC")),
        interface: Some("eth0".to_owned()),
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000 + seconds)
}

fn put(boxes: &DropBoxes, name: &str, content: &[u8], seconds: u64) -> Result<Stored, NotTaken> {
    let mut upload = boxes.begin(name.as_bytes(), CLIENT, None)?;
    for piece in content.chunks(1_000) {
        upload.write(piece)?;
    }
    upload.commit(device(), at(seconds))
}

fn path(name: &str) -> RelPath {
    name.parse().expect("a path")
}

/// Every file with its content, by its path.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(root: &Path, dir: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                let name = path.strip_prefix(root).expect("below").display();
                let content = std::fs::read(&path).expect("readable");
                found.insert(name.to_string(), content);
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(dir, dir, &mut found);
    found
}

fn visible(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = files(dir);
    found.retain(|name, _| !name.starts_with(".farrier"));
    found
}

#[test]
fn an_upload_is_there_whole_with_its_record() {
    let (dir, boxes) = with(Overwrite::Version);
    let stored = put(&boxes, "/configs/lab/site-a/sw1.cfg", b"hostname sw1\n", 0).expect("taken");
    assert_eq!(stored.name.as_str(), "configs/lab/site-a/sw1.cfg");
    assert_eq!(stored.version.as_str(), "2026-11-18T11-06-40.000Z");
    assert_eq!(stored.record.bytes, 13);
    assert_eq!(
        stored.record.sha256,
        "44b8b61ad7ca4a01e6f0903bbf3458c3cbfd933b28118361a1a5ceae56108e3c"
    );
    let content = BTreeMap::from([("site-a/sw1.cfg".to_owned(), b"hostname sw1\n".to_vec())]);
    assert_eq!(visible(dir.path()), content);
    assert_eq!(boxes.versions(&stored.name, 9).expect("read"), [stored]);
    assert_eq!(
        files(dir.path()).len(),
        3,
        "the name, the version, its record"
    );
}

#[test]
fn every_version_is_kept_and_the_name_means_the_newest() {
    let (dir, boxes) = with(Overwrite::Version);
    // Twice in one millisecond, and once after the clock was set back.
    for (content, seconds) in [("one", 5), ("two", 5), ("three", 1)] {
        put(&boxes, "configs/lab/sw1", content.as_bytes(), seconds).expect("taken");
    }
    assert_eq!(visible(dir.path())["sw1"], b"three");
    let name = "configs/lab/sw1".parse().expect("a path");
    let versions = boxes.versions(&name, 9).expect("read");
    let contents: Vec<String> = versions
        .iter()
        .map(|stored| {
            let file = boxes.open_version(&name, &stored.version).expect("opens");
            let mut text = String::new();
            file.expect("is there")
                .read_to_string(&mut text)
                .expect("text");
            text
        })
        .collect();
    assert_eq!(contents, ["three", "two", "one"]);
}

#[test]
fn replaced_content_goes_and_its_room_with_it() {
    let (dir, boxes) = with(Overwrite::Replace);
    let mut used = 0;
    for round in 0..50 {
        put(&boxes, "configs/lab/sw1", &[round; 50_000], 0).expect("taken");
        let now = boxes.iter().map(DropBox::used).sum();
        assert!(round == 0 || now == used, "round {round}: {used} to {now}");
        used = now;
    }
    assert_eq!(visible(dir.path())["sw1"], [49; 50_000]);
    assert_eq!(files(dir.path()).len(), 3);
    let name = "configs/lab/sw1".parse().expect("a path");
    assert_eq!(boxes.versions(&name, 9).expect("read").len(), 1);
}

#[test]
fn never_means_never_also_for_two_at_once() {
    let (dir, boxes) = with(Overwrite::Never);
    let mut first = boxes.begin(b"configs/lab/x", CLIENT, None).expect("begins");
    let mut second = boxes.begin(b"configs/lab/x", CLIENT, None).expect("begins");
    first.write(b"first").expect("room");
    second.write(b"second").expect("room");
    first.commit(device(), at(0)).expect("taken");
    let refused = second.commit(device(), at(1)).expect_err("it exists");
    assert!(matches!(refused, NotTaken::Exists), "{refused}");
    let refused = boxes
        .begin(b"configs/lab/x", CLIENT, None)
        .expect_err("it exists");
    assert!(matches!(refused, NotTaken::Exists), "{refused}");
    assert_eq!(visible(dir.path())["x"], b"first");
    assert_eq!(files(dir.path()).len(), 3, "nothing of the second");

    // An operator removes it: then it is gone from the list, and there is room for a new one.
    std::fs::remove_file(dir.path().join("x")).expect("removed");
    let name = "configs/lab/x".parse().expect("a path");
    assert!(boxes.versions(&name, 9).expect("read").is_empty());
    put(&boxes, "configs/lab/x", b"third", 2).expect("taken");
    assert_eq!(boxes.versions(&name, 9).expect("read").len(), 1);
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let (dir, boxes) = with(Overwrite::Version);
    let before = boxes.iter().map(DropBox::used).sum::<u64>();
    let mut upload = boxes
        .begin(b"configs/lab/new/dir/x", CLIENT, Some(90_000))
        .expect("begins");
    upload.write(&[1; 50_000]).expect("room");
    assert!(visible(dir.path()).is_empty(), "nothing is half visible");
    assert!(boxes.iter().map(DropBox::used).sum::<u64>() > before + 90_000);
    drop(upload);
    assert!(files(dir.path()).is_empty());
    assert!(!dir.path().join("new").exists());
    assert_eq!(boxes.iter().map(DropBox::used).sum::<u64>(), before);
}

#[test]
fn the_quota_counts_what_is_kept_what_is_under_way_and_empty_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let boxes = boxes(DropBoxSettings {
        quota: 200_000,
        ..settings(dir.path(), Overwrite::Version)
    });
    let quota = |refused: NotTaken| assert!(matches!(refused, NotTaken::Quota { .. }), "{refused}");
    put(&boxes, "configs/lab/a", &[1; 90_000], 0).expect("taken");
    let running = boxes
        .begin(b"configs/lab/b", CLIENT, Some(60_000))
        .expect("begins");
    quota(
        boxes
            .begin(b"configs/lab/c", CLIENT, Some(40_000))
            .expect_err("no room"),
    );
    // Without an announcement it ends where the room ends.
    quota(put(&boxes, "configs/lab/c", &[1; 40_000], 1).expect_err("no room"));
    drop(running);
    put(&boxes, "configs/lab/c", &[1; 40_000], 1).expect("taken");
    let taken = (0..100)
        .take_while(|n| put(&boxes, &format!("configs/lab/empty-{n}"), b"", *n).is_ok())
        .count();
    assert!(taken < 10, "{taken} empty files");
}

fn used(boxes: &DropBoxes) -> u64 {
    boxes.iter().map(DropBox::used).sum()
}

fn directories(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).expect("readable");
    let below = entries.map(|entry| entry.expect("readable").path());
    below
        .filter(|path| path.is_dir())
        .map(|path| 1 + directories(&path))
        .sum()
}

#[test]
fn directories_take_of_the_quota_and_count_the_same_after_a_restart() {
    let (dir, boxes) = with(Overwrite::Version);
    put(&boxes, "configs/lab/a/b/c/x", b"1", 0).expect("taken");
    put(&boxes, "configs/lab/a/b/x", b"1", 1).expect("taken");
    put(&boxes, "configs/lab/a/b/x", b"2", 2).expect("taken");
    let before = used(&boxes);
    // a, a/b, a/b/c; the same with the uploads, and one for each name's versions; three contents with their records.
    assert_eq!(before, (3 + 3 + 2 + 3 + 3) * 4096);
    assert_eq!(directories(dir.path()), 3 + 3 + 3 + 2);
    let again = super::tests::boxes(settings(dir.path(), Overwrite::Version));
    assert_eq!(used(&again), before);
    // What is reserved for an upload is what it then takes.
    let upload = boxes
        .begin(b"configs/lab/a/new/x", CLIENT, None)
        .expect("begins");
    let reserved = used(&boxes);
    upload.commit(device(), at(3)).expect("taken");
    assert_eq!(used(&boxes), reserved);
}

#[test]
fn names_have_so_many_directories_and_no_more() {
    let (dir, boxes) = with(Overwrite::Version);
    put(&boxes, "configs/lab/1/2/3/4/5/6/7/x", b"", 0).expect("taken");
    let before = directories(dir.path());
    let refused = put(&boxes, "configs/lab/1/2/3/4/5/6/7/8/x", b"", 1).expect_err("too deep");
    assert!(matches!(refused, NotTaken::Name(_)), "{refused}");
    assert_eq!(directories(dir.path()), before);
}

#[test]
fn an_upload_that_cannot_get_its_name_leaves_no_directories() {
    let (dir, boxes) = with(Overwrite::Version);
    let mut upload = boxes
        .begin(b"configs/lab/new/x", CLIENT, None)
        .expect("begins");
    upload.write(b"content").expect("room");
    std::fs::create_dir_all(dir.path().join("new/x")).expect("made"); // meanwhile, by an operator
    let (before, free) = (directories(dir.path()), used(&boxes));
    upload.commit(device(), at(0)).expect_err("a directory");
    assert_eq!(directories(dir.path()), before);
    assert!(files(dir.path()).is_empty());
    assert!(used(&boxes) < free);
}

/// In netascii a line end has two bytes on the wire, and a client may announce what it likes.
#[test]
fn what_was_announced_and_did_not_come_takes_no_room_on_the_disk() {
    use std::os::unix::fs::MetadataExt;
    let (dir, boxes) = with(Overwrite::Version);
    let mut upload = boxes
        .begin(b"configs/lab/x", CLIENT, Some(100_000))
        .expect("begins");
    upload.write(b"x").expect("room");
    upload.commit(device(), at(0)).expect("taken");
    let stat = std::fs::metadata(dir.path().join("x")).expect("it is there");
    assert_eq!(stat.len(), 1);
    assert!(stat.blocks() * 512 <= 4096, "{} blocks", stat.blocks());
}

#[test]
fn a_check_changes_nothing_and_what_it_lets_pass_is_counted_when_it_begins() {
    let dir = tempfile::tempdir().expect("a directory");
    let boxes = boxes(DropBoxSettings {
        quota: 100_000,
        ..settings(dir.path(), Overwrite::Version)
    });
    put(&boxes, "configs/lab/a", &[1; 50_000], 0).expect("taken");
    let before = used(&boxes);
    std::fs::remove_dir_all(dir.path().join(".farrier/uploads/a")).expect("removed");
    std::fs::remove_file(dir.path().join("a")).expect("removed");
    let check = || boxes.check(b"configs/lab/b", CLIENT, Some(80_000));
    assert_eq!(check().expect("it may be"), 100_000);
    assert_eq!(used(&boxes), before, "neither counted nor reserved");
    let upload = boxes.begin(b"configs/lab/b", CLIENT, Some(80_000));
    upload.expect("counted anew, there is room");
}

#[test]
fn one_file_has_its_own_limit() {
    let (_dir, boxes) = with(Overwrite::Version);
    let refused = boxes.begin(b"configs/lab/x", CLIENT, Some(100_001));
    assert!(matches!(refused, Err(NotTaken::TooLarge { cap: 100_000 })));
    let refused = put(&boxes, "configs/lab/x", &[0; 100_001], 0);
    assert!(matches!(refused, Err(NotTaken::TooLarge { cap: 100_000 })));
    put(&boxes, "configs/lab/x", &[0; 100_000], 0).expect("taken");
}

#[test]
fn what_a_killed_server_left_is_removed_and_what_it_had_kept_is_counted() {
    let (dir, boxes) = with(Overwrite::Version);
    put(&boxes, "configs/lab/kept", &[1; 10_000], 0).expect("taken");
    let mut upload = boxes
        .begin(b"configs/lab/lost", CLIENT, None)
        .expect("begins");
    upload.write(&[1; 50_000]).expect("room");
    let used = boxes.iter().map(DropBox::used).sum::<u64>();
    std::mem::forget(upload); // as a kill does

    let again = super::tests::boxes(settings(dir.path(), Overwrite::Version));
    assert_eq!(files(dir.path()).len(), 3);
    let after = again.iter().map(DropBox::used).sum::<u64>();
    assert!(
        after < used && after >= 10_000,
        "{used} before, {after} after"
    );
    assert_eq!(again.history(None, 10).expect("read").uploads.len(), 1);
}

#[test]
fn an_upload_killed_before_it_got_its_name_is_no_upload() {
    let (dir, boxes) = with(Overwrite::Replace);
    let stored = put(&boxes, "configs/lab/x", b"content", 0).expect("taken");
    // The content and its record are in place, the name is not yet.
    std::fs::remove_file(dir.path().join("x")).expect("removed");
    assert!(boxes.versions(&stored.name, 9).expect("read").is_empty());
    super::tests::boxes(settings(dir.path(), Overwrite::Replace));
    assert!(files(dir.path()).is_empty());
}

#[test]
fn only_those_of_the_networks_and_only_names_below_the_prefix() {
    let (_dir, boxes) = with(Overwrite::Version);
    let begin = |name: &[u8], ip: [u8; 4]| boxes.begin(name, ip.into(), None).map(drop);
    assert!(begin(b"configs/lab/x", [10, 0, 0, 200]).is_ok());
    assert!(begin(b"\\configs\\lab\\x", [10, 0, 0, 200]).is_ok());
    for (name, ip) in [
        (&b"configs/lab/x"[..], [10, 0, 1, 7]),
        (b"configs/x", [10, 0, 0, 7]),
        (b"configs/labor/x", [10, 0, 0, 7]),
        (b"x", [10, 0, 0, 7]),
        (b"configs/lab/../x", [10, 0, 0, 7]),
        (b"configs/lab/../../../etc/passwd", [10, 0, 0, 7]),
        (b"configs/lab/.farrier/uploads/x", [10, 0, 0, 7]),
    ] {
        let refused = begin(name, ip).expect_err("not for it");
        assert!(matches!(refused, NotTaken::NotHere), "{name:?}: {refused}");
    }
    for name in [
        &b"configs/lab/"[..],
        b"",
        b"configs/lab/a\nb",
        b"configs/lab/\xff",
    ] {
        let refused = begin(name, [10, 0, 0, 7]).expect_err("no name");
        assert!(matches!(refused, NotTaken::Name(_)), "{name:?}: {refused}");
    }
    let long = format!("configs/lab/{}", "x".repeat(300));
    assert!(matches!(
        begin(long.as_bytes(), [10, 0, 0, 7]),
        Err(NotTaken::Name(_))
    ));
}

#[test]
fn names_in_the_way_of_each_other_are_refused() {
    let (dir, boxes) = with(Overwrite::Version);
    put(&boxes, "configs/lab/a/b", b"1", 0).expect("taken");
    let refused = put(&boxes, "configs/lab/a", b"2", 1).expect_err("a directory");
    assert!(
        matches!(refused, NotTaken::Name("it is a directory")),
        "{refused}"
    );
    let refused = put(&boxes, "configs/lab/a/b/c", b"3", 2).expect_err("below a file");
    assert!(
        matches!(refused, NotTaken::Name("a part of it is a file")),
        "{refused}"
    );
    assert_eq!(visible(dir.path()).len(), 1);
    assert_eq!(files(dir.path()).len(), 3);
}

#[test]
fn links_that_lead_out_of_the_box_are_not_followed() {
    let (dir, boxes) = with(Overwrite::Version);
    let outside = tempfile::tempdir().expect("a directory");
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "precious").expect("written");
    std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).expect("made");
    std::os::unix::fs::symlink(&victim, dir.path().join("link")).expect("made");
    put(&boxes, "configs/lab/out/victim", b"1", 0).expect_err("it leads out");
    // The link itself is replaced, what it points at is not touched.
    put(&boxes, "configs/lab/link", b"2", 0).expect("taken");
    assert_eq!(std::fs::read(&victim).expect("read"), b"precious");
    assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 1);
    assert_eq!(visible(dir.path())["link"], b"2");
}

#[test]
fn pages_of_the_history_follow_one_another() {
    let (_dir, boxes) = with(Overwrite::Version);
    for n in 0..25 {
        put(&boxes, &format!("configs/lab/sw{}", n % 3), b"x", n).expect("taken");
    }
    let mut seen = Vec::new();
    let mut before: Option<Cursor> = None;
    for _ in 0..10 {
        let page = boxes.history(before.as_ref(), 10).expect("read");
        seen.extend(page.uploads.into_iter().map(|stored| stored.version));
        let Some(older) = page.older else { break };
        before = Some(older.to_string().parse().expect("its own text"));
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted_by(|a, b| a > b));
}

#[test]
fn each_upload_knows_the_one_before_it() {
    let (_dir, boxes) = with(Overwrite::Version);
    for n in 0..3 {
        put(&boxes, "configs/lab/sw1", b"x", n).expect("taken");
        put(&boxes, "configs/lab/sw2", b"y", n).expect("taken");
    }
    let mut all = boxes.versions(&path("configs/lab/sw1"), 9).expect("read");
    let [newest, middle, oldest] = &all[..] else {
        panic!("three: {all:?}")
    };
    let before = boxes.before(&all).expect("read");
    assert_eq!(before, [Some(middle.clone()), Some(oldest.clone()), None]);
    let newest = std::slice::from_ref(newest);
    assert_eq!(boxes.versions(&newest[0].name, 1).expect("read"), newest);
    // A page of them, with what is left.
    let of_name = boxes
        .of_name(&newest[0].name)
        .expect("read")
        .expect("a box");
    assert_eq!(of_name.count(), 3);
    assert_eq!(of_name.get(&middle.version).as_ref(), Some(middle));
    let older: Vec<Stored> = of_name.older_than(Some(&newest[0].version)).collect();
    assert_eq!(older, [middle.clone(), oldest.clone()]);
    // Of two names at once, and one that no box has.
    all.extend(boxes.versions(&path("configs/lab/sw2"), 9).expect("read"));
    all[0].name = path("elsewhere/x");
    let before = boxes.before(&all).expect("read");
    let is_some: Vec<bool> = before.iter().map(Option::is_some).collect();
    assert_eq!(is_some, [false, true, false, true, true, false]);
}

#[test]
fn only_a_file_within_the_box_is_opened_as_an_upload() {
    let (dir, boxes) = with(Overwrite::Version);
    let name = path("configs/lab/sw1");
    let stored = put(&boxes, "configs/lab/sw1", b"mine", 0).expect("taken");
    let open = || boxes.open_version(&name, &stored.version).expect("answers");
    assert!(open().is_some());
    let place = dir.path().join(".farrier/uploads/sw1");
    let content = place.join(stored.version.as_str());
    std::fs::remove_file(&content).expect("removed");
    std::os::unix::fs::symlink("/etc/hostname", &content).expect("made");
    assert!(open().is_none(), "a link");
    std::fs::remove_file(&content).expect("removed");
    std::fs::create_dir(&content).expect("made");
    assert!(open().is_none(), "a directory");
    std::fs::remove_dir_all(&place).expect("removed");
    assert!(open().is_none(), "nothing");
    let outside = tempfile::tempdir().expect("a directory");
    std::fs::write(outside.path().join(stored.version.as_str()), "theirs").expect("written");
    std::os::unix::fs::symlink(outside.path(), &place).expect("made");
    assert!(open().is_none(), "a directory elsewhere");
}

#[test]
fn versions_are_only_what_we_write_ourselves() {
    let version = Version::after(at(0), None);
    assert_eq!(version.as_str().parse(), Ok(version));
    for text in [
        "",
        "../../../../etc/passwd..",
        "2026-11-18T10-26-40.000z",
        "2026-13-18T10-26-40.000Z",
        "2026-11-18T10-26-40.000Z/",
        "2026-11-18T10:26:40.000Z",
    ] {
        assert_eq!(text.parse::<Version>(), Err(()), "{text}");
    }
}
