use super::*;
use proptest::prelude::*;

fn file(len: u64) -> What {
    let extents = [Extent { offset: 2048, len }];
    What::File {
        len,
        extents: if len == 0 {
            Arc::default()
        } else {
            extents.into()
        },
    }
}

fn link(target: &str) -> What {
    What::Link(target.into())
}

/// A listing from paths; directories are made as they are needed.
fn listing(files: Vec<(&str, What)>) -> Listing {
    let mut listing = Listing::new("TEST");
    for (path, what) in files {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = ROOT;
        for step in directory.split('/').filter(|step| !step.is_empty()) {
            let known = (0..listing.nodes.len() as u32).find(|&number| {
                let node = &listing.nodes[number as usize];
                number != ROOT && node.parent == at && &*node.name == step
            });
            at = known.unwrap_or_else(|| {
                let made = listing.add(at, step.as_bytes(), What::Directory(Vec::new()), 0);
                made.expect("few").expect("usable")
            });
        }
        listing
            .add(at, name.as_bytes(), what, 1_700_000_000)
            .expect("few");
    }
    listing.finish()
}

fn path_of(listing: &Listing, name: &str) -> Option<String> {
    listing.find(name).map(|entry| entry.path)
}

#[test]
fn files_and_directories_are_found_by_their_paths() {
    let listing = listing(vec![("a/b/c", file(5)), ("d", file(0)), ("a/e", file(7))]);
    let found = listing.find("a/b/c").expect("there");
    assert_eq!(
        (found.kind, found.len, &*found.path),
        (Kind::File, 5, "a/b/c")
    );
    assert_eq!(
        *found.extents,
        [Extent {
            offset: 2048,
            len: 5
        }]
    );
    assert_eq!(found.modified, 1_700_000_000);
    assert!(listing.find("d").expect("there").extents.is_empty());
    assert_eq!(listing.find("a/b").expect("there").kind, Kind::Directory);
    assert_eq!(listing.find("").expect("the root").kind, Kind::Directory);
    for absent in ["x", "a/x", "a/b/c/x", "d/..", "d/.", "d/", "a/b/c/.."] {
        assert_eq!(path_of(&listing, absent), None, "{absent}");
    }
    assert_eq!(listing.count(), 5);
}

#[test]
fn a_directory_is_listed_by_name() {
    let listing = listing(vec![
        ("d/b", file(1)),
        ("d/C", file(1)),
        ("d/a", link("../x")),
        ("d/dangling", link("nowhere")),
        ("x", file(9)),
    ]);
    let names: Vec<_> = listing
        .list("d")
        .into_iter()
        .map(|e| (e.path, e.len))
        .collect();
    let expected = [("d/a", 9), ("d/b", 1), ("d/C", 1)];
    assert_eq!(names, expected.map(|(path, len)| (path.to_owned(), len)));
    assert!(listing.list("x").is_empty(), "a file");
    assert!(listing.list("nothing").is_empty());
    assert_eq!(listing.list("").len(), 2);
}

#[test]
fn the_second_look_does_not_mind_case_unless_it_would_have_to_choose() {
    let listing = listing(vec![
        ("EFI/BOOT/BOOTX64.EFI", file(1)),
        ("efi/other", file(2)),
        ("Casper/vmlinuz", file(3)),
        ("Casper/VMLINUZ", file(4)),
        ("casper2/Initrd", file(5)),
    ]);
    assert_eq!(
        path_of(&listing, "EFI/boot/bootx64.efi").as_deref(),
        Some("EFI/BOOT/BOOTX64.EFI")
    );
    assert_eq!(
        path_of(&listing, "Efi/boot/bootx64.efi"),
        None,
        "two directories could be meant"
    );
    assert_eq!(listing.find("casper/vmlinuz").expect("exact").len, 3);
    assert_eq!(listing.find("casper/VMLINUZ").expect("exact").len, 4);
    assert_eq!(path_of(&listing, "casper/Vmlinuz"), None);
    assert_eq!(
        path_of(&listing, "CASPER2/INITRD").as_deref(),
        Some("casper2/Initrd")
    );
}

#[test]
fn links_are_followed_inside() {
    let listing = listing(vec![
        ("dists/bookworm/Release", file(3)),
        ("dists/stable", link("bookworm")),
        ("debian", link(".")),
        ("deep/down/up", link("../../dists/stable/Release")),
        ("chain", link("deep/down/up")),
    ]);
    for name in [
        "dists/stable/Release",
        "debian/dists/stable/Release",
        "debian/debian/debian/dists/bookworm/Release",
        "deep/down/up",
        "chain",
        "debian/chain",
    ] {
        let found = path_of(&listing, name);
        assert_eq!(found.as_deref(), Some("dists/bookworm/Release"), "{name}");
    }
}

#[test]
fn no_link_leads_out_and_none_runs_for_ever() {
    let long = "x/../".repeat(2000);
    let listing = listing(vec![
        ("secret", file(1)),
        ("absolute", link("/etc/passwd")),
        ("inside", link("/secret")),
        ("out", link("../secret")),
        ("winding", link("d/../../secret")),
        ("loop", link("loop")),
        ("ping", link("pong")),
        ("pong", link("ping")),
        ("d/e", file(1)),
        ("deeper", link("deeper/deeper")),
        ("long", link(&long)),
        ("empty", link("")),
    ]);
    for name in [
        "absolute",
        "inside",
        "out",
        "winding",
        "loop",
        "ping",
        "deeper",
        "long",
        "../secret",
        "d/../../secret",
        "out/x",
    ] {
        assert_eq!(path_of(&listing, name), None, "{name}");
    }
    assert_eq!(path_of(&listing, "d/../secret").as_deref(), Some("secret"));
    assert_eq!(
        path_of(&listing, "empty").as_deref(),
        Some(""),
        "where it stands"
    );
}

#[test]
fn sixteen_links_are_followed_and_seventeen_are_not() {
    let names: Vec<String> = (0..=17).map(|n| format!("l{n}")).collect();
    let mut files = vec![("l0", file(1))];
    files.extend((1..=17).map(|n| (names[n].as_str(), link(&names[n - 1]))));
    let listing = listing(files);
    assert!(listing.find("l16").is_some());
    assert!(listing.find("l17").is_none());
}

#[test]
fn names_that_cannot_be_served_are_left_out_and_noted() {
    let mut listing = Listing::new("L\u{1b}[31mabel");
    let long = [b'n'; 256];
    let bad: [&[u8]; 8] = [
        b"",
        b".",
        b"..",
        b"a/b",
        b"a\0",
        b"a\nb",
        b"\xff\xfe",
        &long,
    ];
    for name in bad {
        assert_eq!(listing.add(ROOT, name, file(1), 0).expect("few"), None);
    }
    for name in ["..;", "\u{2025}", "C:", "a\\b", ".hidden", "nul"] {
        assert!(
            listing
                .add(ROOT, name.as_bytes(), file(1), 0)
                .expect("few")
                .is_some()
        );
    }
    let listing = listing.finish();
    assert_eq!(listing.label(), "L[31mabel");
    assert_eq!((listing.flaws().len(), listing.count()), (8, 6));
    assert!(
        listing
            .flaws()
            .iter()
            .all(|flaw| !flaw.chars().any(char::is_control))
    );
}

#[test]
fn the_first_of_two_equal_names_stays() {
    let listing = listing(vec![("a", file(1)), ("b", file(2)), ("a", file(3))]);
    assert_eq!(listing.find("a").expect("there").len, 1);
    assert_eq!(listing.list("").len(), 2);
}

#[test]
fn memory_is_bounded() {
    let mut listing = Listing::new("");
    let text = "t".repeat(4096);
    let failed = (0..).find_map(|n| {
        let name = format!("{n}");
        listing.add(ROOT, name.as_bytes(), link(&text), 0).err()
    });
    assert!(
        matches!(failed, Some(MediaError::TooLong { .. })),
        "{failed:?}"
    );
    let mut listing = Listing::new("");
    let failed = (0..).find_map(|n: u32| {
        let name = format!("{n}");
        listing.add(ROOT, name.as_bytes(), file(1), 0).err()
    });
    assert!(
        matches!(failed, Some(MediaError::TooMany { .. })),
        "{failed:?}"
    );
    assert!(listing.finish().weight() < 32 << 20);
}

#[test]
fn only_the_first_flaws_are_told_one_by_one() {
    let mut listing = Listing::new("");
    for n in 0..25 {
        listing.flaw(ROOT, &n.to_string(), "is broken");
    }
    let flaws = listing.flaws();
    assert_eq!(flaws.len(), 21);
    assert_eq!(flaws[0], "0 is broken");
    assert_eq!(flaws[20], "and 5 more");
}

proptest! {
    /// Whatever the links say and whatever is asked for: an answer, and from inside.
    #[test]
    fn any_links_and_any_question(
        targets in prop::collection::vec("[ab./]{0,12}", 2),
        question in "[ab./]{0,16}",
    ) {
        let listing = listing(vec![
            ("a/a", link(&targets[0])),
            ("a/b", link(&targets[1])),
            ("b/a", file(1)),
            ("b/b/a", file(2)),
        ]);
        if let Some(found) = listing.find(&question) {
            prop_assert_eq!(path_of(&listing, &found.path), Some(found.path.clone()));
        }
    }
}
