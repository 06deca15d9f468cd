use super::*;
use crate::opener::open_beneath;
use bootplan::RelPath;
use media::{Entry, Extent, Kind};
use proptest::prelude::*;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

struct Dir {
    dir: tempfile::TempDir,
}

impl Dir {
    fn new() -> Dir {
        Dir {
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file that was written a while ago, so that nothing waits for the clock to tick.
    fn put(&self, name: &str, bytes: &[u8]) {
        let mut file = File::create(self.path(name)).expect("a file");
        file.write_all(bytes).expect("written");
    }

    fn open(&self, cache: &FileCache, name: &str) -> SharedFile {
        let name: RelPath = name.parse().expect("a plain name");
        cache.adopt(open_beneath(self.dir.path(), &name).expect("it is there"))
    }
}

fn pattern(len: u64) -> Vec<u8> {
    (0..len)
        .map(|n| (n % 251) as u8 ^ (n >> 11) as u8)
        .collect()
}

fn read_all(file: &SharedFile) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while (all.len() as u64) < file.len() {
        all.extend_from_slice(&file.load(all.len() as u64)?);
    }
    Ok(all)
}

#[test]
fn what_was_loaded_is_in_memory_for_everybody_who_has_that_version() {
    let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
    let bytes = pattern(PIECE + 1000);
    dir.put("a", &bytes);
    let (one, other) = (dir.open(&cache, "a"), dir.open(&cache, "a"));
    assert_eq!(one.cached(0), None, "nothing is read before it is wanted");
    assert_eq!(one.load(0).expect("readable"), bytes[..PIECE as usize]);
    assert_eq!(
        other.cached(100).expect("shared"),
        bytes[100..PIECE as usize]
    );
    assert_eq!(other.cached(PIECE), None);
    assert_eq!(
        other.load(PIECE + 5).expect("readable"),
        bytes[PIECE as usize + 5..]
    );
    assert_eq!(one.cached(bytes.len() as u64).expect("the end"), "");
    let stats = cache.stats();
    assert_eq!((stats.bytes, stats.pieces), (bytes.len() as u64, 2));
    assert_eq!((stats.files, stats.misses), (1, 2));
}

#[test]
fn each_piece_that_a_reader_takes_is_one_hit_or_one_miss() {
    let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
    dir.put("a", &pattern(3 * PIECE));
    let file = dir.open(&cache, "a");
    let counted = || (cache.stats().hits, cache.stats().misses);
    // Somebody alone who reads ahead finds nothing in memory that he did not bring there.
    file.load(0).expect("readable");
    for piece in 1..3 {
        assert!(!file.is_cached(piece * PIECE));
        file.load_ahead(piece * PIECE).expect("readable");
        assert!(file.is_cached(piece * PIECE));
        file.load_ahead(piece * PIECE).expect("there");
        assert!(file.cached(piece * PIECE).is_some());
    }
    assert_eq!(counted(), (0, 3));
    // Whoever comes later does.
    for piece in 0..3 {
        file.load_ahead(piece * PIECE).expect("there");
        assert!(file.cached(piece * PIECE).is_some());
    }
    assert_eq!(counted(), (3, 3));
}

#[test]
fn a_file_replaced_by_renaming_is_read_to_its_end_as_it_was() {
    let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
    let (old, new) = (pattern(3 * PIECE), vec![9; 2 * PIECE as usize]);
    dir.put("a", &old);
    let before = dir.open(&cache, "a");
    before.load(0).expect("readable");
    dir.put("b", &new);
    std::fs::rename(dir.path("b"), dir.path("a")).expect("renamed");
    let after = dir.open(&cache, "a");
    assert!(read_all(&before).expect("readable") == old, "the old one");
    assert!(read_all(&after).expect("readable") == new, "the new one");
    assert_ne!(before.etag(), after.etag());
}

#[test]
fn a_file_changed_in_place_is_an_error_and_never_a_mixture() {
    let changes: [fn(&File); 3] = [
        |file| file.set_len(PIECE).expect("truncated"),
        |file| file.set_len(5 * PIECE).expect("grown"),
        |file| file.write_all_at(b"x", 2 * PIECE).expect("overwritten"),
    ];
    for change in changes {
        let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
        let old = pattern(3 * PIECE);
        dir.put("a", &old);
        let file = dir.open(&cache, "a");
        file.load(0).expect("readable");
        let writer = File::options()
            .write(true)
            .open(dir.path("a"))
            .expect("there");
        change(&writer);
        // On a file system with coarse times the change would not show at once.
        let past = SystemTime::now() + Duration::from_secs(5);
        writer.set_modified(past).expect("touched");
        assert!(file.load(2 * PIECE).is_err(), "a piece of another version");
        let kept = file.cached(0).expect("read before the change");
        assert_eq!(kept, old[..PIECE as usize], "still the old content");
    }
}

#[test]
fn a_file_read_once_from_end_to_end_does_not_push_out_what_is_in_use() {
    let (dir, cache) = (Dir::new(), FileCache::new(4 * PIECE));
    dir.put("hot", &pattern(PIECE));
    dir.put("once", &pattern(40 * PIECE));
    let (hot, once) = (dir.open(&cache, "hot"), dir.open(&cache, "once"));
    hot.load(0).expect("readable");
    for index in 0..40 {
        assert!(hot.cached(0).is_some(), "pushed out before piece {index}");
        once.load(index * PIECE).expect("readable");
        assert!(cache.stats().bytes <= 4 * PIECE);
    }
}

#[test]
fn a_budget_below_a_piece_serves_all_the_same() {
    let (dir, cache) = (Dir::new(), FileCache::new(1000));
    let bytes = pattern(PIECE * 2 + 7);
    dir.put("a", &bytes);
    assert!(read_all(&dir.open(&cache, "a")).expect("readable") == bytes);
    assert_eq!(cache.stats().bytes, 7, "only the short last piece fits");
}

#[test]
fn an_idle_file_is_closed_and_one_in_use_is_not() {
    let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
    dir.put("used", &pattern(10));
    dir.put("idle", &pattern(10));
    let used = dir.open(&cache, "used");
    used.load(0).expect("readable");
    dir.open(&cache, "idle").load(0).expect("readable");
    cache.tidy();
    assert_eq!(cache.stats().files, 2, "one more round of grace");
    cache.tidy();
    let stats = cache.stats();
    assert_eq!((stats.files, stats.pieces, stats.bytes), (1, 1, 10));
    assert!(used.cached(0).is_some());
}

#[test]
fn the_number_of_open_files_is_bounded() {
    let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
    let names: Vec<String> = (0..OPEN_FILES + 20).map(|n| format!("f{n}")).collect();
    for name in &names {
        dir.put(name, b"x");
    }
    for name in &names {
        dir.open(&cache, name);
    }
    assert!(cache.stats().files <= OPEN_FILES as u64);
}

#[test]
fn eight_readers_of_one_file_read_each_piece_from_the_disk_once() {
    let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
    let bytes = pattern(9 * PIECE + 3);
    dir.put("a", &bytes);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let file = dir.open(&cache, "a");
                assert!(read_all(&file).expect("readable") == bytes);
            });
        }
    });
    assert_eq!(cache.stats().misses, 10);
}

/// Reads all that a socket has.
fn received(socket: &mut std::os::unix::net::UnixStream) -> Vec<u8> {
    use std::io::Read;
    let mut all = Vec::new();
    let _ = socket.read_to_end(&mut all); // ends with "would block"
    all
}

fn sockets() -> [std::os::unix::net::UnixStream; 2] {
    let (one, other) = std::os::unix::net::UnixStream::pair().expect("two ends");
    for end in [&one, &other] {
        end.set_nonblocking(true).expect("set");
    }
    [one, other]
}

#[test]
fn a_file_goes_into_a_socket_by_either_way() {
    let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
    let bytes = pattern(3 * PIECE);
    dir.put("a", &bytes);
    for copied in [false, true] {
        let file = dir.open(&cache, "a");
        file.version.refused.store(copied, Relaxed);
        let [socket, mut peer] = sockets();
        let (mut at, mut got) = (1000, Vec::new());
        while at < file.len() {
            let most = usize::try_from(file.len() - at).expect("small");
            at += file.send(&socket, at, most).expect("sent") as u64;
            got.extend(received(&mut peer));
        }
        assert!(got == bytes[1000..], "copied: {copied}");
        let end = file
            .send(&socket, file.len(), 1)
            .expect_err("nothing there");
        assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(cache.stats().bytes, 0, "nothing of it is kept");
    }
}

#[test]
fn a_full_socket_says_so() {
    let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
    dir.put("a", &pattern(16 * PIECE));
    for copied in [false, true] {
        let file = dir.open(&cache, "a");
        file.version.refused.store(copied, Relaxed);
        let [socket, _peer] = sockets();
        let full = (0..1000).find_map(|_| file.send(&socket, 0, 16 << 18).err());
        let kind = full.map(|error| error.kind());
        assert_eq!(kind, Some(std::io::ErrorKind::WouldBlock));
    }
}

#[test]
fn what_was_read_is_at_hand_and_what_lies_behind_the_end_is_not() {
    let (dir, cache) = (Dir::new(), FileCache::new(DEFAULT_BUDGET));
    dir.put("a", &pattern(4 * PIECE));
    let file = dir.open(&cache, "a");
    file.bring_to_hand(0, file.len()).expect("readable");
    let there = file.is_at_hand(0, file.len());
    // Where nobody can look (overlayfs), nothing is.
    assert_ne!(there, file.version.refused.load(Relaxed));
    let cut = File::options().write(true).open(dir.path("a"));
    cut.and_then(|file| file.set_len(PIECE)).expect("cut");
    assert!(!file.is_at_hand(0, file.len()));
    let error = file.bring_to_hand(0, file.len()).expect_err("too short");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn whether_a_file_is_unchanged_is_known_afterwards() {
    let (dir, cache) = (Dir::new(), FileCache::new(PIECE));
    dir.put("a", &pattern(PIECE));
    dir.put("b", &pattern(PIECE));
    let file = dir.open(&cache, "a");
    assert!(file.goes_direct());
    dir.put("small", &pattern(PIECE / 2));
    assert!(!dir.open(&cache, "small").goes_direct(), "it fits");
    file.unchanged().expect("as it was");
    std::fs::rename(dir.path("b"), dir.path("a")).expect("replaced");
    file.unchanged().expect("the old one is whole");
    let file = dir.open(&cache, "a");
    let mut writer = File::options().append(true).open(dir.path("a"));
    let written = writer.as_mut().map(|file| file.write_all(b"x"));
    written.expect("there").expect("written");
    assert!(file.unchanged().is_err());
}

/// A file whose content lies in these runs of `image`.
fn inside(dir: &Dir, cache: &FileCache, runs: &[(u64, u64)]) -> SharedFile {
    let extents = runs.iter().map(|&(offset, len)| Extent { offset, len });
    let entry = Entry {
        path: "f".to_owned(),
        kind: Kind::File,
        len: runs.iter().map(|(_, len)| len).sum(),
        extents: extents.collect(),
        modified: 0,
        number: 1,
    };
    let image: RelPath = "image".parse().expect("a plain name");
    let open = open_beneath(dir.dir.path(), &image).expect("it is there");
    cache.adopt(open.inside(&entry))
}

#[test]
fn a_file_inside_an_image_begins_and_ends_where_it_does() {
    let (dir, cache) = (Dir::new(), FileCache::new(PIECE));
    let bytes = pattern(5 * PIECE);
    dir.put("image", &bytes);
    let file = inside(&dir, &cache, &[(2048, 3 * PIECE + 5)]);
    assert_eq!(file.len(), 3 * PIECE + 5);
    let begin = 2048;
    assert!(read_all(&file).expect("readable") == bytes[begin..begin + file.len() as usize]);
    assert!(file.goes_direct(), "it is one long run");
    assert!(!inside(&dir, &cache, &[(0, PIECE), (PIECE * 2, PIECE)]).goes_direct());
    // Two names of one place are one file; other places are other files.
    let same = inside(&dir, &cache, &[(2048, 3 * PIECE + 5)]);
    assert_eq!(same.etag(), file.etag());
    for other in [&[(2048, PIECE)][..], &[(4096, 3 * PIECE + 5)]] {
        assert_ne!(inside(&dir, &cache, other).etag(), file.etag());
    }
    let whole = dir.open(&cache, "image");
    assert_ne!(whole.etag(), file.etag());
    assert_eq!(whole.len(), 5 * PIECE);
}

#[test]
fn the_image_becoming_shorter_is_an_error_and_not_another_file() {
    let (dir, cache) = (Dir::new(), FileCache::new(PIECE));
    dir.put("image", &pattern(5 * PIECE));
    let file = inside(&dir, &cache, &[(PIECE, 3 * PIECE)]);
    file.load(0).expect("readable");
    let cut = File::options().write(true).open(dir.path("image"));
    cut.and_then(|image| image.set_len(2 * PIECE)).expect("cut");
    assert!(file.load(PIECE).is_err());
    assert!(!file.is_at_hand(PIECE, PIECE));
    assert!(file.bring_to_hand(PIECE, PIECE).is_err());
    assert!(file.unchanged().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However a file is cut into runs of its image, it reads as one, also where a piece of ours
    /// is of many of them.
    #[test]
    fn runs_read_as_one_file(
        runs in prop::collection::vec((0..2 * PIECE, 1..PIECE / 2), 1..12),
        offset in 0..6 * PIECE,
    ) {
        let (dir, cache) = (Dir::new(), FileCache::new(2 * PIECE));
        let bytes = pattern(3 * PIECE);
        dir.put("image", &bytes);
        let joined: Vec<u8> = runs
            .iter()
            .flat_map(|&(at, len)| bytes[at as usize..(at + len) as usize].iter().copied())
            .collect();
        let file = inside(&dir, &cache, &runs);
        prop_assert!(read_all(&file).expect("readable") == joined);
        let start = joined.len().min(offset as usize);
        let got = file.load(offset).expect("readable");
        prop_assert!(joined[start..].starts_with(&got));
        file.bring_to_hand(0, file.len()).expect("readable");
        prop_assert!(file.is_at_hand(0, file.len()));
    }

    /// Whatever is read in whatever order, it is the file's, and the budget holds.
    #[test]
    fn reads_equal_the_files(
        budget in 0..6 * PIECE,
        reads in prop::collection::vec((0..3usize, 0..3 * PIECE + 10), 1..60),
    ) {
        let (dir, cache) = (Dir::new(), FileCache::new(budget));
        let contents = [pattern(3 * PIECE), pattern(PIECE - 1), Vec::new()];
        let names = ["a", "b", "c"];
        for (name, content) in names.iter().zip(&contents) {
            dir.put(name, content);
        }
        for (which, offset) in reads {
            let (file, content) = (dir.open(&cache, names[which]), &contents[which]);
            let start = content.len().min(offset as usize);
            let got = match file.cached(offset) {
                Some(bytes) => bytes,
                None => file.load(offset).expect("readable"),
            };
            prop_assert!(content[start..].starts_with(&got));
            prop_assert_eq!(got.is_empty(), start == content.len());
            prop_assert!(cache.stats().bytes <= budget);
        }
    }
}
