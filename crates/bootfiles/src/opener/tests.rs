//! Everything hostile or odd that a directory can hold (protocol.md G.2, vectors of R18).

use super::*;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// `<temp>/outside/secret` and a served root beside it with one plain file.
struct Yard {
    temp: tempfile::TempDir,
}

impl Yard {
    fn new() -> Yard {
        let temp = tempfile::tempdir().expect("a temporary directory");
        for dir in ["outside/dir", "root/dir"] {
            std::fs::create_dir_all(temp.path().join(dir)).expect("mkdir");
        }
        std::fs::write(temp.path().join("outside/secret"), "SECRET").expect("write");
        std::fs::write(temp.path().join("outside/dir/secret"), "SECRET").expect("write");
        std::fs::write(temp.path().join("root/f"), "plain").expect("write");
        std::fs::write(temp.path().join("root/dir/f"), "deeper").expect("write");
        Yard { temp }
    }

    fn root(&self) -> std::path::PathBuf {
        self.temp.path().join("root")
    }

    fn open(&self, name: &str) -> Result<OpenFile, Refused> {
        open_beneath(&self.root(), &rel(name))
    }

    fn read(&self, name: &str) -> String {
        let mut text = String::new();
        let mut open = self.open(name).expect("served");
        open.file.read_to_string(&mut text).expect("readable");
        text
    }

    /// Not served, and said so at once: a FIFO must not hold the server (R18: 50 ms).
    fn refuses(&self, name: &str) {
        let begin = Instant::now();
        let opened = self.open(name);
        assert!(opened.is_err(), "{name} was opened");
        assert!(begin.elapsed().as_millis() < 1000, "{name} took long");
    }
}

fn rel(name: &str) -> RelPath {
    name.parse().expect("a plain relative path")
}

#[test]
fn plain_files_open_with_length_and_time() {
    let yard = Yard::new();
    assert_eq!(yard.read("f"), "plain");
    assert_eq!(yard.read("dir/f"), "deeper");
    let open = yard.open("f").expect("served");
    assert_eq!(open.identity.len(), 5);
    let age = open.identity.modified().elapsed().unwrap_or_default();
    assert!(age.as_secs() < 60, "{age:?}");
}

#[test]
fn what_is_absent_is_absent() {
    let yard = Yard::new();
    for name in ["g", "dir/g", "none/g", "f/g", &"n".repeat(255)] {
        assert!(matches!(yard.open(name), Err(Refused::Absent)), "{name}");
    }
}

#[test]
fn links_out_of_the_root_are_refused_in_every_form() {
    let yard = Yard::new();
    let outside = yard.temp.path().join("outside");
    let root = yard.root();
    let link = |target: &Path, name: &str| symlink(target, root.join(name)).expect("symlink");
    link(&outside.join("secret"), "absolute");
    link(Path::new("../outside/secret"), "relative");
    link(Path::new("dir/../../outside/secret"), "winding");
    link(&outside, "directory");
    link(Path::new("absolute"), "second");
    link(Path::new("/proc/self/environ"), "environ");
    link(Path::new("/proc/self/root"), "procroot");
    link(Path::new("/proc/self/fd/0"), "descriptor");
    link(Path::new("/dev/zero"), "zero");
    link(Path::new("loop"), "loop");
    // Absolute, although it points inside: only relative links are known to stay.
    link(&root.join("f"), "absolute-inside");
    for name in [
        "absolute",
        "relative",
        "winding",
        "directory/secret",
        "directory/dir/secret",
        "second",
        "environ",
        "procroot/etc/passwd",
        "descriptor",
        "zero",
        "loop",
        "absolute-inside",
    ] {
        yard.refuses(name);
    }
}

#[test]
fn links_that_stay_inside_are_followed() {
    let yard = Yard::new();
    symlink("dir", yard.root().join("stable")).expect("symlink");
    symlink("../f", yard.root().join("dir/up")).expect("symlink");
    assert_eq!(yard.read("stable/f"), "deeper");
    assert_eq!(yard.read("dir/up"), "plain");
    assert_eq!(yard.read("stable/up"), "plain");
}

#[test]
fn only_regular_files_and_never_a_wait() {
    let yard = Yard::new();
    let root = yard.root();
    mkfifo(&root.join("fifo"), Mode::from_bits_truncate(0o644)).expect("mkfifo");
    let _listener = UnixListener::bind(root.join("socket")).expect("bind");
    symlink("fifo", root.join("to-fifo")).expect("symlink");
    for name in ["fifo", "socket", "to-fifo", "dir"] {
        yard.refuses(name);
    }
    // Still at work afterwards.
    assert_eq!(yard.read("f"), "plain");
}

#[test]
fn devices_are_refused() {
    let begin = Instant::now();
    for name in ["zero", "null", "tty", "full"] {
        assert!(open_beneath(Path::new("/dev"), &rel(name)).is_err());
    }
    assert!(begin.elapsed().as_millis() < 1000);
}

#[test]
fn files_of_the_kernel_are_refused_even_below_the_root() {
    // As a bind mount of /proc/self below the root would look.
    for name in [
        "self/environ",
        "version",
        "self/fd/0",
        "self/root/etc/passwd",
    ] {
        assert!(
            open_beneath(Path::new("/proc"), &rel(name)).is_err(),
            "{name}"
        );
    }
}

#[test]
fn a_hard_link_is_a_file_like_any_other() {
    let yard = Yard::new();
    std::fs::hard_link(yard.root().join("f"), yard.root().join("hard")).expect("link");
    assert_eq!(yard.read("hard"), "plain");
}

#[test]
fn dot_files_and_climbing_have_no_spelling() {
    for name in [
        ".hidden",
        ".git/config",
        "a/.b",
        "..",
        ".",
        "../x",
        "a/../x",
        "/f",
        "a//b",
        "a\\b",
        "C:x",
        "a\0b",
        "a\nb",
        "",
    ] {
        assert!(name.parse::<RelPath>().is_err(), "{name:?}");
    }
}

#[test]
fn names_that_only_look_like_climbing_are_plain_names() {
    let yard = Yard::new();
    for name in [
        "..%2fs", "%2e%2e", "..;", "\u{2025}", "..%c0%af", "%s%n", "CON",
    ] {
        // Those beginning with a dot do not even parse.
        if let Ok(path) = name.parse::<RelPath>() {
            let opened = open_beneath(&yard.root(), &path);
            assert!(matches!(opened, Err(Refused::Absent)), "{name}");
        }
    }
}

#[test]
fn a_file_replaced_while_open_is_sent_as_it_was() {
    let yard = Yard::new();
    let before = yard.open("f").expect("served");
    std::fs::write(yard.root().join("new"), "other content").expect("write");
    std::fs::rename(yard.root().join("new"), yard.root().join("f")).expect("rename");
    let mut buf = [0; 5];
    before.file.read_exact_at(&mut buf, 0).expect("still there");
    assert_eq!(&buf, b"plain");
    assert_ne!(yard.open("f").expect("served").identity, before.identity);
}

#[test]
fn a_file_truncated_while_open_reads_short_and_never_stale() {
    let yard = Yard::new();
    let open = yard.open("f").expect("served");
    let truncated = File::create(yard.root().join("f")).expect("truncate");
    drop(truncated);
    let mut buf = [b'?'; 8];
    assert_eq!(open.file.read_at(&mut buf, 0).expect("readable"), 0);
}

#[test]
fn the_root_may_be_replaced_while_we_run() {
    let yard = Yard::new();
    std::fs::rename(yard.root(), yard.temp.path().join("old")).expect("rename");
    assert!(matches!(yard.open("f"), Err(Refused::Absent)));
    std::fs::create_dir(yard.root()).expect("mkdir");
    std::fs::write(yard.root().join("f"), "fresh").expect("write");
    assert_eq!(yard.read("f"), "fresh");
}

#[test]
fn tags_are_strong_stable_and_change_with_content_in_place() {
    let yard = Yard::new();
    let tag = yard.open("f").expect("served").identity.etag();
    assert_eq!(yard.open("f").expect("served").identity.etag(), tag);
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 34);
    // Same length, same modification time, other content.
    let path = yard.root().join("f");
    let modified = std::fs::metadata(&path).and_then(|m| m.modified());
    std::thread::sleep(Duration::from_millis(20)); // the kernel's clock ticks every 4 to 10 ms
    let mut file = File::options().write(true).open(&path).expect("open");
    file.write_all(b"PLAIN").expect("write");
    file.set_modified(modified.expect("times")).expect("utimes");
    drop(file);
    assert_ne!(yard.open("f").expect("served").identity.etag(), tag);
}
