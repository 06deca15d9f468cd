//! Files served from inside an untouched image, against xorriso's own extraction.

use bootfiles::{Asker, BootFiles, FileCache, Found, PIECE, SharedFile};
use bootplan::{BootPath, Catalog, Endpoint};
use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use testkit::image::{self, Flavour};

const SERVER: Endpoint = Endpoint {
    ip: Ipv4Addr::new(192, 168, 77, 2),
    http_port: 80,
    ui_port: 8080,
};

struct Server {
    files: BootFiles,
    temp: tempfile::TempDir,
}

/// A server with `images/sample.iso`; `budget` as in [`FileCache::new`].
fn server(budget: u64) -> Server {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = |name: &str| temp.path().join(name);
    let files = BootFiles::open(&[dir("loaders")], &dir("images")).expect("made");
    fs::create_dir(dir("tree")).expect("mkdir");
    image::sample_tree(&dir("tree"));
    image::make(Flavour::RockRidge, &dir("tree"), &dir("images/sample.iso"));
    Server {
        files: files.with_cache(FileCache::new(budget)),
        temp,
    }
}

impl Server {
    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn find(&self, name: &str) -> Option<SharedFile> {
        let path = BootPath::parse(format!("images/{name}").as_bytes()).ok()?;
        let asker = Asker::at(Ipv4Addr::new(192, 168, 77, 50));
        match self
            .files
            .lookup(&path, &asker, &Catalog::default(), &SERVER)
        {
            Found::File(file) => Some(file),
            _ => None,
        }
    }

    /// Without waiting; the outer `None`: it would have to wait.
    fn find_at_once(&self, name: &str) -> Option<Option<SharedFile>> {
        let path = BootPath::parse(format!("images/{name}").as_bytes()).expect("a path");
        let asker = Asker::at(Ipv4Addr::new(192, 168, 77, 50));
        let found = self
            .files
            .lookup_cached(&path, &asker, &Catalog::default(), &SERVER)?;
        Some(match found {
            Found::File(file) => Some(file),
            _ => None,
        })
    }
}

fn content(file: &SharedFile, from: u64, to: u64) -> Vec<u8> {
    let mut got = Vec::new();
    while from + (got.len() as u64) < to {
        let at = from + got.len() as u64;
        let piece = match file.cached(at) {
            Some(piece) => piece,
            None => file.load(at).expect("readable"),
        };
        let wanted = (to - at).min(piece.len() as u64) as usize;
        got.extend_from_slice(&piece[..wanted]);
    }
    got
}

/// The same through a socket, without our memory.
fn sent(file: &SharedFile, from: u64, to: u64) -> Vec<u8> {
    let (ours, mut theirs) = UnixStream::pair().expect("sockets");
    let mut got = Vec::new();
    let mut at = from;
    while at < to {
        let most = (to - at).min(64 << 10) as usize;
        let count = file.send(&ours, at, most).expect("sent");
        assert!(count > 0 && count <= most);
        at += count as u64;
        let begin = got.len();
        got.resize(begin + count, 0);
        theirs.read_exact(&mut got[begin..]).expect("received");
    }
    got
}

/// Numbers of chance that are the same each time.
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

#[test]
fn every_file_equals_xorrisos_extraction() {
    let server = server(PIECE * 2);
    let extracted = server.path("extracted");
    image::extract(&server.path("images/sample.iso"), &extracted);
    let mut compared = 0;
    for path in image::files(&extracted) {
        let name = path.to_str().expect("text");
        let Some(file) = server.find(&format!("sample/{name}")) else {
            // Clients have no spelling for these: see RelPath.
            assert!(
                name.split('/').any(|part| part.starts_with('.')),
                "{name} is absent"
            );
            continue;
        };
        let expected = fs::read(extracted.join(&path)).expect("readable");
        assert_eq!(file.len(), expected.len() as u64, "{name}");
        assert!(content(&file, 0, file.len()) == expected, "{name}");
        compared += 1;
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn two_hundred_ranges_equal_xorrisos_extraction_either_way() {
    let server = server(PIECE * 2);
    let extracted = server.path("extracted");
    image::extract(&server.path("images/sample.iso"), &extracted);
    let names = [
        "casper/initrd",
        "casper/vmlinuz",
        "sizes/2049.bin",
        "EFI/BOOT/BOOTX64.EFI",
    ];
    let mut state = 0x5eed_0000_0000_0001;
    for round in 0..200 {
        let name = names[round % names.len()];
        let expected = fs::read(extracted.join(name)).expect("readable");
        let len = expected.len() as u64;
        let from = random(&mut state, len);
        let to = from + 1 + random(&mut state, len - from);
        let file = server.find(&format!("sample/{name}")).expect("there");
        let expected = &expected[from as usize..to as usize];
        assert!(content(&file, from, to) == expected, "{name} {from}..{to}");
        assert!(
            sent(&file, from, to) == expected,
            "{name} {from}..{to} sent"
        );
    }
}

#[test]
fn a_file_ends_where_it_ends_in_the_image() {
    let server = server(PIECE);
    let file = server.find("sample/sizes/1.bin").expect("there");
    assert_eq!(file.len(), 1);
    assert_eq!(file.load(0).expect("readable").len(), 1);
    assert!(file.load(1).expect("the end").is_empty());
    assert!(file.load(1 << 40).expect("behind the end").is_empty());
    let (ours, _theirs) = UnixStream::pair().expect("sockets");
    assert!(
        file.send(&ours, 1, 100).is_err(),
        "the neighbour's octets are not its"
    );
    let empty = server.find("sample/empty").expect("there");
    assert!(empty.is_empty());
    assert!(empty.cached(0).expect("nothing is there").is_empty());
}

#[test]
fn names_links_and_case_inside() {
    let server = server(PIECE);
    let kernel = server.find("sample/casper/vmlinuz").expect("there");
    for same in [
        "sample/stable/vmlinuz",
        "sample/pool/kernel",
        "sample/CASPER/VMLINUZ",
    ] {
        let file = server.find(same).expect(same);
        assert_eq!(file.etag(), kernel.etag(), "{same}");
    }
    let other = server.find("sample/casper/initrd").expect("there");
    assert_ne!(other.etag(), kernel.etag());
    let whole = server.find("sample.iso").expect("the image itself");
    assert_ne!(whole.etag(), kernel.etag());
    for absent in [
        "sample/absolute",
        "sample/climbing",
        "sample/loop",
        "sample/casper",
        "sample/none",
        "sample",
        "other/casper/vmlinuz",
        "sample.iso/casper/vmlinuz",
    ] {
        assert!(server.find(absent).is_none(), "{absent}");
    }
}

#[test]
fn what_was_asked_for_once_is_answered_at_once() {
    let server = server(PIECE);
    assert!(
        server.find_at_once("sample/casper/vmlinuz").is_none(),
        "not read yet"
    );
    assert!(server.find("sample/casper/vmlinuz").is_some());
    // Some file systems (tmpfs) do not remember that a name is absent: there one who does not wait
    // cannot know that there is no directory `sample`, and the answer comes from another thread.
    if let Some(found) = server.find_at_once("sample/casper/vmlinuz") {
        assert!(found.is_some());
    }
    assert!(server.find("sample/none").is_none());
    if let Some(found) = server.find_at_once("sample/none") {
        assert!(found.is_none());
    }
}

#[test]
fn a_file_of_the_directory_goes_before_the_image() {
    let server = server(PIECE);
    fs::create_dir_all(server.path("images/sample/casper")).expect("mkdir");
    fs::write(server.path("images/sample/casper/vmlinuz"), "ours").expect("write");
    let ours = server.find("sample/casper/vmlinuz").expect("there");
    assert_eq!(content(&ours, 0, ours.len()), b"ours");
    assert!(
        server.find("sample/casper/initrd").is_some(),
        "the others come out of the image"
    );
}

#[test]
fn a_replaced_image_is_another_and_one_in_use_stays_whole() {
    let server = server(PIECE);
    let old = server.find("sample/casper/vmlinuz").expect("there");
    let before = content(&old, 0, 1000);
    fs::write(
        server.path("tree/casper/vmlinuz"),
        image::pattern(300_001, 99),
    )
    .expect("write");
    image::make(
        Flavour::RockRidge,
        &server.path("tree"),
        &server.path("new"),
    );
    fs::rename(server.path("new"), server.path("images/sample.iso")).expect("renamed");
    let new = server.find("sample/casper/vmlinuz").expect("there");
    assert_ne!(new.etag(), old.etag());
    assert_ne!(content(&new, 0, 1000), before);
    assert_eq!(content(&old, 0, 1000), before);
    old.unchanged().expect("as it was");
    fs::remove_file(server.path("images/sample.iso")).expect("removed");
    assert!(server.find("sample/casper/vmlinuz").is_none());
}

#[test]
fn an_image_that_is_changed_in_place_is_never_a_mixture() {
    let server = server(PIECE);
    let file = server.find("sample/casper/initrd").expect("there");
    assert!(file.load(0).is_ok());
    let image = fs::File::options()
        .append(true)
        .open(server.path("images/sample.iso"));
    image
        .and_then(|mut image| image.write_all(b"x"))
        .expect("longer");
    assert!(file.load(PIECE).is_err());
    assert!(file.unchanged().is_err());
}
