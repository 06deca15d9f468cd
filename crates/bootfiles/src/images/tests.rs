//! Images come whole or not at all, and are recognised when they are there.

use super::*;
use crate::BootFiles;
use bootplan::{Profile, RelPath};
use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::image::{self, Flavour, pattern};

struct Bench {
    dir: TempDir,
    store: ImageStore,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open(dir.path());
        Bench { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("images").join(name)
    }

    /// An ISO with a kernel and an initial RAM disk, outside of the images directory.
    fn iso(&self) -> Vec<u8> {
        let (tree, iso) = (self.dir.path().join("tree"), self.dir.path().join("made"));
        if !iso.exists() {
            fs::create_dir_all(&tree).expect("made");
            fs::write(tree.join("vmlinuz"), pattern(300_001, 1)).expect("written");
            fs::write(tree.join("initrd.gz"), pattern(700_001, 2)).expect("written");
            image::make(Flavour::RockRidge, &tree, &iso);
        }
        fs::read(iso).expect("readable")
    }

    /// Puts a file as a copy does, and looks until it is taken for whole.
    fn settled(&self, name: &str) -> Arc<ImageInfo> {
        let until = Instant::now() + Duration::from_secs(30);
        while self.store.look().expect("readable").unsettled {
            assert!(Instant::now() < until, "{:?}", self.store.list());
            std::thread::sleep(Duration::from_millis(200));
        }
        self.store.get(name).expect("there")
    }

    fn upload(&self, name: &str, bytes: &[u8]) -> Result<String, ImageError> {
        let staging = self.store.begin(wanted(name, bytes))?;
        staging.append(0, bytes)?;
        self.store.publish(&staging)
    }

    /// What lies in the hidden directories.
    fn hidden(&self) -> Vec<String> {
        let mut names: Vec<String> = [RECORDS, STAGING]
            .iter()
            .flat_map(|part| fs::read_dir(self.path(part)).expect("there"))
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .into_string()
                    .expect("plain")
            })
            .collect();
        names.sort();
        names
    }

    fn serves(&self, name: &str) -> bool {
        let files = BootFiles::open(&[], &self.path("")).expect("opened");
        files.has_image(&name.parse::<RelPath>().expect("plain"))
    }
}

fn open(dir: &Path) -> ImageStore {
    ImageStore::open(&dir.join("images"), &dir.join("distributions")).expect("opened")
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn wanted(name: &str, bytes: &[u8]) -> Wanted {
    Wanted {
        name: name.to_owned(),
        len: Some(bytes.len() as u64),
        sha256: Some(sha256(bytes)),
        mark: String::new(),
        source: "uploaded by morgan".to_owned(),
        job: None,
    }
}

#[test]
fn an_upload_is_an_image_when_it_is_whole_and_not_before() {
    let bench = Bench::new();
    let bytes = bench.iso();
    let staging = bench
        .store
        .begin(wanted("debian.iso", &bytes))
        .expect("room");
    let (first, rest) = bytes.split_at(100_000);
    assert_eq!(staging.append(0, first).expect("room"), 100_000);
    assert!(bench.store.list().is_empty() && !bench.serves("debian/vmlinuz"));
    let early = bench.store.publish(&staging);
    assert!(
        matches!(early, Err(ImageError::Incomplete { have: 100_000, .. })),
        "{early:?}"
    );
    for wrong in [0, 99_999, 100_001] {
        let refused = staging.append(wrong, rest);
        assert!(matches!(
            refused,
            Err(ImageError::Offset {
                expected: 100_000,
                ..
            })
        ));
    }
    let too_long = staging.append(100_000, &bytes);
    assert!(matches!(too_long, Err(ImageError::TooLong { .. })));
    staging.append(100_000, rest).expect("room");
    assert_eq!(
        bench.store.publish(&staging).expect("whole"),
        sha256(&bytes)
    );
    let info = bench.store.get("debian.iso").expect("there at once");
    assert_eq!(info.state, ImageState::Ready);
    assert_eq!(info.sha256, Some(sha256(&bytes)));
    assert_eq!(info.source, "uploaded by morgan");
    let offers: Vec<_> = info
        .offers()
        .map(|profile| profile.name.to_string())
        .collect();
    assert_eq!(offers, ["debian"]);
    assert!(info.offers().all(|profile| info.is_used_by(profile)));
    assert!(bench.serves("debian/vmlinuz"));
    assert_eq!(bench.hidden(), ["debian.iso.json"]);
    assert!(
        matches!(staging.append(0, b"x"), Err(ImageError::NotFound(_))),
        "it is over"
    );
    let again = bench.store.begin(wanted("debian.iso", &bytes));
    assert!(matches!(again, Err(ImageError::Exists(_))));
}

#[test]
fn an_upload_goes_on_after_a_restart_where_it_stopped() {
    let bench = Bench::new();
    let bytes = bench.iso();
    let begun = bench
        .store
        .begin(wanted("debian.iso", &bytes))
        .expect("room");
    begun.append(0, &bytes[..400_000]).expect("room");
    // As kill -9 leaves it: nobody closed or wrote anything down.
    let after = open(bench.dir.path());
    let staging = after.begin(wanted("debian.iso", &bytes)).expect("the same");
    assert_eq!((staging.id(), staging.offset()), (begun.id(), 400_000));
    staging.append(400_000, &bytes[400_000..]).expect("room");
    after
        .publish(&staging)
        .expect("whole, and the checksum is of all of it");
    assert_eq!(fs::read(bench.path("debian.iso")).expect("readable"), bytes);
}

/// R26: whatever a crash leaves, the next start has whole images and nothing else.
#[test]
fn what_a_crash_left_is_swept() {
    let bench = Bench::new();
    let bytes = bench.iso();
    let staging = bench.store.begin(wanted("a.iso", &bytes)).expect("room");
    let of = bench.path(STAGING);
    // In the middle of beginning: before the file, before the state, with half a state.
    fs::create_dir(of.join("1")).expect("made");
    fs::create_dir(of.join("2")).expect("made");
    fs::write(of.join("2/part"), "x").expect("written");
    fs::create_dir(of.join("3")).expect("made");
    fs::write(of.join("3/part"), "x").expect("written");
    fs::write(of.join("3/state.json"), "{\"name\": \"b.is").expect("written");
    // After the image got its name, before the rest was removed; in the middle of a deletion.
    fs::create_dir(of.join("4")).expect("made");
    fs::write(of.join("4/state.json"), "{}").expect("written");
    fs::create_dir_all(of.join("gone-1/deep/er")).expect("made");
    fs::write(of.join("gone-2"), "x").expect("written");
    // One that nobody goes on with, and one whose name leads elsewhere.
    let old = bench.store.begin(wanted("old.iso", &bytes)).expect("room");
    let part = File::options()
        .write(true)
        .open(of.join(old.id()).join("part"));
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(4 * 24 * 3600);
    part.and_then(|part| part.set_modified(long_ago))
        .expect("set");
    let evil = bench.store.begin(wanted("evil.iso", &bytes)).expect("room");
    let state = of.join(evil.id()).join("state.json");
    let text = fs::read_to_string(&state).expect("there");
    fs::write(&state, text.replace("evil.iso", "../evil.iso")).expect("written");
    let after = open(bench.dir.path());
    let left: Vec<_> = after.stagings().iter().map(|s| s.id().to_owned()).collect();
    assert_eq!(left, [staging.id()]);
    assert_eq!(bench.hidden(), [staging.id()]);
}

#[test]
fn what_is_not_what_was_announced_is_thrown_away() {
    let bench = Bench::new();
    let mut bytes = bench.iso();
    let announced = wanted("debian.iso", &bytes);
    bytes[200_000] ^= 1;
    let staging = bench.store.begin(announced).expect("room");
    staging.append(0, &bytes).expect("room");
    let refused = bench.store.publish(&staging);
    assert!(
        matches!(refused, Err(ImageError::Checksum { .. })),
        "{refused:?}"
    );
    // A page that says "not found", saved as an image.
    let page = bench.upload("page.iso", b"<!doctype html>");
    assert!(matches!(page, Err(ImageError::NotAnImage(_))), "{page:?}");
    assert!(bench.hidden().is_empty() && bench.store.list().is_empty());
    let sum = Wanted {
        sha256: Some("ABC".to_owned()),
        ..wanted("x.iso", b"x")
    };
    assert!(matches!(
        bench.store.begin(sum),
        Err(ImageError::Checksum { .. })
    ));
}

#[test]
fn two_files_of_one_name_do_not_mix() {
    let bench = Bench::new();
    let bytes = bench.iso();
    let one = bench.store.begin(wanted("x.iso", &bytes)).expect("room");
    let same = bench
        .store
        .begin(wanted("x.iso", &bytes))
        .expect("the same");
    assert_eq!(one.id(), same.id());
    let marked = Wanted {
        mark: "yesterday's".to_owned(),
        ..wanted("x.iso", &bytes)
    };
    assert!(matches!(
        bench.store.begin(marked),
        Err(ImageError::UnderWay(_))
    ));
    one.append(0, &bytes).expect("room");
    // Somebody copies one of that name meanwhile: theirs stays.
    fs::write(bench.path("x.iso"), "theirs").expect("written");
    let refused = bench.store.publish(&one);
    assert!(matches!(refused, Err(ImageError::Exists(_))), "{refused:?}");
    assert_eq!(fs::read(bench.path("x.iso")).expect("readable"), b"theirs");
    bench.store.cancel(&one).expect("under way");
    assert!(bench.store.stagings().is_empty());
}

#[test]
fn pairs_come_into_directories_and_never_outside() {
    let bench = Bench::new();
    for (name, len) in [("rescue/vmlinuz", 5000), ("rescue/initrd.img", 7000)] {
        bench.upload(name, &pattern(len, 3)).expect("taken");
    }
    let info = bench.settled("rescue");
    assert_eq!(info.kind, ImageKind::Directory);
    assert_eq!(info.offers().count(), 1, "{info:?}");
    assert_eq!((info.len, info.larger), (12_000, false));
    let outside = tempfile::tempdir().expect("a directory");
    symlink(outside.path(), bench.path("link")).expect("a link");
    let refused = bench.upload("link/evil", b"x");
    assert!(matches!(refused, Err(ImageError::Name(_))), "{refused:?}");
    assert_eq!(fs::read_dir(outside.path()).expect("readable").count(), 0);
    let alone = bench.upload("vmlinuz", b"x");
    assert!(matches!(alone, Err(ImageError::Alone(_))), "{alone:?}");
    for evil in ["../evil", "/etc/evil", ".farrier/x", "a/../../b", ""] {
        assert!(
            matches!(bench.upload(evil, b"x"), Err(ImageError::Name(_))),
            "{evil}"
        );
        assert!(bench.store.delete(evil).is_err(), "{evil}");
    }
}

#[test]
fn every_text_that_names_a_file_of_an_image_uses_it() {
    let bench = Bench::new();
    bench.upload("nos/a.bin", &pattern(5000, 3)).expect("taken");
    let info = bench.settled("nos");
    for (text, named) in [
        ("wget {{ file('nos/a.bin')|sh }}", true),
        ("devicetree /images/nos/a.dtb", true),
        ("{{ server.http }}/images/nos/a.bin", true),
        ("{{ file('nos2/a.bin') }} /images/nos2/a", false),
        ("nos/a.bin", false),
    ] {
        assert_eq!(info.is_named_in(text), named, "{text}");
        let profile = |field: serde_json::Value| -> Profile {
            let mut profile = json!({"name": "x", "title": "X", "boot": {"kind": "local-disk"}});
            let fields = profile.as_object_mut().expect("fields");
            fields.extend(field.as_object().expect("fields").clone());
            serde_json::from_value(profile).expect("a profile")
        };
        let by_answer = json!({"answers": [{"name": "a", "text": text}]});
        let by_extra = json!({"extras": {"grub": text}});
        let by_args =
            json!({"boot": {"kind": "diskless", "kernel": "k", "root": "r", "args": text}});
        for field in [by_answer, by_extra, by_args] {
            assert_eq!(info.is_used_by(&profile(field.clone())), named, "{field}");
        }
    }
    for (value, named) in [("nos/a.bin", true), ("nos", false), ("nos2/a", false)] {
        let variables = serde_json::from_value(json!({"nos_image": value})).expect("variables");
        assert_eq!(info.is_named_by(&variables), named, "{value}");
    }

    assert!(!bench.store.is_read("nos"));
    bench
        .store
        .exported(["nos/a.bin".parse().expect("a path")].into(), 77);
    assert!(bench.store.is_read("nos") && !bench.store.is_read("no"));
    assert_eq!(bench.store.get("nos").expect("there").last_served, Some(77));
    bench.store.exported(Default::default(), 99);
    assert!(!bench.store.is_read("nos"));
    assert_eq!(bench.store.get("nos").expect("there").last_served, Some(77));
}

#[test]
fn no_room_is_said_before_anything_is_sent() {
    let bench = Bench::new();
    let huge = Wanted {
        len: Some(1 << 60),
        ..wanted("x.iso", b"")
    };
    let refused = bench.store.begin(huge);
    assert!(
        matches!(refused, Err(ImageError::NoSpace { free }) if free > 0),
        "{refused:?}"
    );
    assert!(bench.hidden().is_empty());
}

/// R27. The disk is a file system in memory that only this test's child sees.
#[test]
fn a_full_disk_takes_nothing_and_keeps_what_is_there() {
    let temp = tempfile::tempdir().expect("a directory");
    let script = "mount -t tmpfs -o size=8m none \"$0\" && exec \"$1\" --exact --ignored \
                  images::tests::inside_a_small_disk";
    let mut child = Command::new("unshare");
    child.args(["--mount", "sh", "-c", script]).arg(temp.path());
    child.arg(std::env::current_exe().expect("this test"));
    let output = child
        .env("SMALL_DISK", temp.path())
        .output()
        .expect("util-linux is there");
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{output:?}"
    );
}

#[test]
#[ignore = "run by the test above, on a small disk"]
fn inside_a_small_disk() {
    let small = PathBuf::from(std::env::var_os("SMALL_DISK").expect("set by the test above"));
    let store = open(&small);
    let big = store.begin(wanted("d/big", &vec![0; 9 << 20]));
    assert!(matches!(big, Err(ImageError::NoSpace { .. })), "{big:?}");
    // Nobody knows how long it will be.
    let growing = Wanted {
        len: None,
        sha256: None,
        ..wanted("d/growing", b"")
    };
    let growing = store.begin(growing).expect("room");
    let piece = vec![7; 1 << 20];
    let full = (0..9).find_map(|n| growing.append(n << 20, &piece).err());
    assert!(matches!(full, Some(ImageError::NoSpace { .. })), "{full:?}");
    assert!(growing.offset() < 9 << 20);
    // What came stays and can be given up; then there is room again, and nothing is left.
    store.cancel(&growing).expect("under way");
    let staging = store
        .begin(wanted("fits/file", &piece))
        .expect("room again");
    staging.append(0, &piece).expect("room");
    store.publish(&staging).expect("room");
    assert_eq!(
        fs::read(small.join("images/fits/file")).expect("readable"),
        piece
    );
    // Reserved for one is not there for another.
    let _reserved = store
        .begin(wanted("d/reserved", &vec![0; 6 << 20]))
        .expect("room");
    let second = store.begin(wanted("d/second", &vec![0; 3 << 20]));
    assert!(
        matches!(second, Err(ImageError::NoSpace { .. })),
        "{second:?}"
    );
}

#[test]
fn what_is_copied_in_is_recognised_when_it_is_whole() {
    let bench = Bench::new();
    let bytes = bench.iso();
    fs::write(bench.path("half.iso"), &bytes[..bytes.len() / 2]).expect("written");
    fs::write(bench.path("fresh.iso"), &bytes).expect("written");
    fs::write(bench.path("nonsense.iso"), "no image").expect("written");
    fs::write(bench.path("bad,name.iso"), &bytes).expect("written");
    fs::write(bench.path(".fresh.iso.Xy12"), &bytes).expect("written");
    let first = bench.store.look().expect("readable");
    assert!(first.unsettled && first.fresh.is_empty(), "{first:?}");
    let until = Instant::now() + Duration::from_secs(30);
    let state = |name: &str| bench.store.get(name).map(|info| info.state.clone());
    while !matches!(state("fresh.iso"), Some(ImageState::Ready)) {
        assert!(Instant::now() < until, "{:?}", bench.store.list());
        bench.store.look().expect("readable");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(matches!(
        state("nonsense.iso"),
        Some(ImageState::Unreadable(_))
    ));
    match state("half.iso") {
        Some(ImageState::Arriving(why)) => assert!(why.contains("of the"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.store.list().len(), 3);
    assert_eq!(bench.store.unhashed().as_deref(), Some("fresh.iso"));
    let first = bench.store.verify("fresh.iso").expect("readable");
    assert_eq!(first, Verified::First(sha256(&bytes)));
    assert_eq!(bench.store.unhashed(), None);
    // The rest of the copy comes; the record is of the next start, too.
    fs::write(bench.path("half.iso"), &bytes).expect("written");
    assert_eq!(bench.settled("half.iso").state, ImageState::Ready);
    let after = open(bench.dir.path());
    after.look().expect("readable");
    let known = after.get("fresh.iso").expect("there");
    assert_eq!(
        (&known.state, &known.sha256),
        (&ImageState::Ready, &Some(sha256(&bytes)))
    );
}

/// R30.
#[test]
fn a_disk_that_loses_a_bit_is_found_out() {
    let bench = Bench::new();
    bench.upload("debian.iso", &bench.iso()).expect("taken");
    let sum = sha256(&bench.iso());
    assert_eq!(
        bench.store.verify("debian.iso").expect("readable"),
        Verified::Same(sum.clone())
    );
    let path = bench.path("debian.iso");
    let modified = fs::metadata(&path)
        .and_then(|m| m.modified())
        .expect("there");
    let file = File::options().write(true).open(&path).expect("there");
    std::os::unix::fs::FileExt::write_all_at(&file, b"!", 900_000).expect("written");
    file.set_modified(modified).expect("set");
    bench.store.look().expect("readable");
    match bench.store.verify("debian.iso").expect("readable") {
        Verified::Damaged { expected, found } => assert!(expected == sum && found != sum),
        other => panic!("{other:?}"),
    }
    let state = bench.store.get("debian.iso").expect("there").state.clone();
    assert!(matches!(state, ImageState::Damaged(_)), "{state:?}");
}

#[test]
fn deleting_leaves_nothing_and_what_was_served_is_remembered() {
    let bench = Bench::new();
    bench.upload("debian.iso", &bench.iso()).expect("taken");
    fs::create_dir_all(bench.path("tree/amd64")).expect("made");
    for name in ["linux", "initrd.gz", "pxelinux.0"] {
        fs::write(bench.path("tree/amd64").join(name), name).expect("written");
    }
    let tree = bench.settled("tree");
    let offers: Vec<_> = tree
        .offers()
        .map(|profile| profile.name.to_string())
        .collect();
    assert_eq!(offers, ["tree-amd64"], "recognised where it lies");
    bench.store.served("debian/vmlinuz", 5);
    bench.store.served("tree/amd64/linux", 6);
    bench.store.look().expect("readable");
    let after = open(bench.dir.path());
    after.look().expect("readable");
    assert_eq!(after.get("debian.iso").expect("there").last_served, Some(5));
    assert_eq!(after.get("tree").expect("there").last_served, Some(6));
    for name in ["debian.iso", "tree"] {
        after.delete(name).expect("there");
        assert!(after.get(name).is_none() && !bench.path(name).exists());
        assert!(matches!(after.delete(name), Err(ImageError::NotFound(_))));
    }
    assert!(bench.hidden().is_empty());
    assert!(!bench.serves("debian/vmlinuz"));
}

#[test]
fn capital_letters_keep_nobody_from_serving_an_image() {
    let bench = Bench::new();
    let bytes = bench.iso();
    fs::write(bench.path("WIN11.ISO"), &bytes).expect("copied");
    let info = bench.settled("WIN11.ISO");
    assert_eq!((info.prefix(), &info.state), ("WIN11", &ImageState::Ready));
    assert!(bench.serves("WIN11/vmlinuz") && bench.serves("WIN11.ISO"));
    // Arguments of offers name the whole disk by the usual spelling.
    assert!(bench.serves("WIN11.iso") && !bench.serves("win11/vmlinuz"));
    bench.store.served("WIN11/vmlinuz", 7);
    bench.store.served("WIN11.iso", 8);
    assert_eq!(bench.settled("WIN11.ISO").last_served, Some(8));
    let refused = bench.upload("WIN11.iso", &bytes);
    assert!(matches!(refused, Err(ImageError::Exists(name)) if name == "WIN11.ISO"));
    bench.upload("SECOND.ISO", &bytes).expect("room");
    assert!(bench.serves("SECOND/initrd.gz"));
}

#[test]
fn what_nobody_could_boot_by_its_name_is_listed() {
    let bench = Bench::new();
    let bytes = bench.iso();
    for name in ["Win11 (1).iso", "x.Iso", "a.iso", "a.ISO"] {
        fs::write(bench.path(name), &bytes).expect("copied");
    }
    fs::create_dir(bench.path("my files")).expect("made");
    // Files that profiles may name, or that nobody meant to boot.
    for name in ["memtest.bin", "notes on paper.txt", ".hidden.iso"] {
        fs::write(bench.path(name), "x").expect("written");
    }
    bench.settled("a.iso");
    let unusable = bench.store.unusable();
    let named: Vec<_> = unusable
        .iter()
        .map(|one| (one.name.as_str(), one.better.as_str()))
        .collect();
    let expected = [
        ("Win11 (1).iso", "Win11-1.iso"),
        ("a.ISO", "a-2.iso"),
        ("my files", "my-files"),
        ("x.Iso", "x.iso"),
    ];
    assert_eq!(named, expected);
    assert!(bench.store.get("a.ISO").is_none());
    fs::rename(bench.path("x.Iso"), bench.path("x.iso")).expect("renamed");
    bench.settled("x.iso");
    assert_eq!(bench.store.unusable().len(), 3);
}

#[test]
fn windows_is_offered_as_soon_as_wimboot_is_there() {
    let bench = Bench::new();
    let (tree, iso) = (bench.dir.path().join("windows"), bench.path("win11.iso"));
    for name in ["sources/boot.wim", "boot/bcd", "boot/boot.sdi", "bootmgr"] {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().expect("below the tree")).expect("made");
        fs::write(path, name).expect("written");
    }
    image::make(Flavour::RockRidge, &tree, &iso);
    let info = bench.settled("win11.iso");
    assert_eq!(info.offers().count(), 0);
    assert!(
        info.recognised[0].withheld[0].contains("needs wimboot"),
        "{info:?}"
    );
    fs::create_dir(bench.path("tools")).expect("made");
    fs::write(bench.path("tools/wimboot"), "wimboot").expect("written");
    let info = bench.settled("win11.iso");
    let offer = info.offers().next().expect("an offer");
    let bootplan::BootMethod::Linux {
        kernel, initrds, ..
    } = &offer.boot
    else {
        panic!("{offer:?}");
    };
    assert_eq!(kernel.to_string(), "tools/wimboot");
    for file in initrds.iter().chain([kernel]) {
        assert!(bench.serves(&file.to_string()), "{file}");
    }
}
