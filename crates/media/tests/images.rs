//! Images made by xorriso and genisoimage: each file where it is, and nothing else.

use media::{Entry, Image, Kind, Listing, Source, Tree, list};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use testkit::image::{self, Flavour};

struct Made {
    temp: tempfile::TempDir,
    image: PathBuf,
}

fn made(flavour: Flavour) -> Made {
    let temp = tempfile::tempdir().expect("a directory");
    let (tree, image) = (temp.path().join("tree"), temp.path().join("x.iso"));
    fs::create_dir(&tree).expect("mkdir");
    image::sample_tree(&tree);
    if flavour != Flavour::RockRidge {
        // Without Rock Ridge a link becomes what it points to, or is refused.
        for link in ["absolute", "climbing", "loop", "stable", "pool/kernel"] {
            fs::remove_file(tree.join(link)).expect("removed");
        }
    }
    image::make(flavour, &tree, &image);
    Made { temp, image }
}

impl Made {
    fn tree(&self) -> PathBuf {
        self.temp.path().join("tree")
    }

    fn open(&self) -> Image {
        Image::open(File::open(&self.image).expect("there")).expect("an image")
    }
}

fn content(image: &Image, path: &str) -> Option<Vec<u8>> {
    let entry = image.find(path)?;
    assert_eq!(entry.kind, Kind::File, "{path}");
    Some(image.read(&entry, usize::MAX).expect("readable"))
}

fn same_as(image: &Image, root: &Path, name: impl Fn(&str) -> String) {
    let files = image::files(root);
    assert!(files.len() > 200, "{}", files.len());
    for path in files {
        let path = path.to_str().expect("text");
        let expected = fs::read(root.join(path)).expect("readable");
        let got = content(image, &name(path));
        assert!(got.is_some_and(|got| got == expected), "{path}");
    }
}

#[test]
fn rock_ridge_equals_xorrisos_own_extraction() {
    let made = made(Flavour::RockRidge);
    let image = made.open();
    let extracted = made.temp.path().join("extracted");
    image::extract(&made.image, &extracted);
    same_as(&image, &extracted, str::to_owned);
    assert_eq!(image.listing().flaws(), Vec::<String>::new());
    assert_eq!(image.label(), "SAMPLE");
    let named = image::files(&extracted).len();
    assert!(
        image.listing().count() > named,
        "directories and links count, too"
    );
}

#[test]
fn links_of_an_image_stay_in_it() {
    let image = made(Flavour::RockRidge).open();
    let kernel = content(&image, "casper/vmlinuz");
    assert!(kernel.is_some());
    assert_eq!(content(&image, "stable/vmlinuz"), kernel);
    assert_eq!(content(&image, "pool/kernel"), kernel);
    assert_eq!(content(&image, "CASPER/VMLINUZ"), kernel, "the second look");
    for out in [
        "absolute",
        "climbing",
        "loop",
        "../casper/vmlinuz",
        "stable/../../x",
    ] {
        assert_eq!(image.find(out), None, "{out}");
    }
}

#[test]
fn joliet_and_udf_have_all_names() {
    for flavour in [Flavour::Joliet, Flavour::Udf] {
        let made = made(flavour);
        same_as(&made.open(), &made.tree(), str::to_owned);
    }
}

#[test]
fn plain_names_are_found_whatever_their_case() {
    let made = made(Flavour::Plain);
    let image = made.open();
    let expected = fs::read(made.tree().join("casper/vmlinuz")).expect("readable");
    assert_eq!(content(&image, "casper/vmlinuz"), Some(expected.clone()));
    assert_eq!(content(&image, "CASPER/VMLINUZ"), Some(expected));
}

/// A file over 4 GiB: two extents of ISO 9660, one run; and the one that Windows' images have,
/// which only UDF can say the length of. The image takes little room: its file is full of holes
/// where the file system of the test allows it.
#[test]
#[ignore = "writes 10 GiB; `cargo test -p media -- --ignored`"]
fn a_file_over_four_gibibytes_is_whole() {
    let len = (5 << 30) + 123;
    let marks: [(u64, &[u8]); 3] = [(0, b"begin"), ((4 << 30) - 3, b"border"), (len - 3, b"end")];
    for flavour in [Flavour::RockRidge, Flavour::Udf] {
        let temp = tempfile::tempdir().expect("a directory");
        let (tree, path) = (temp.path().join("tree"), temp.path().join("x.iso"));
        fs::create_dir_all(tree.join("sources")).expect("mkdir");
        image::sparse(&tree.join("sources/install.wim"), len, &marks);
        image::make(flavour, &tree, &path);
        let file = File::open(&path).expect("there");
        let listing = list(&file).expect("an image");
        let entry = listing.find("sources/install.wim").expect("there");
        assert_eq!(entry.len, len, "{flavour:?}");
        assert_eq!(entry.extents.len(), 1, "they touch: {:?}", entry.extents);
        for (at, octets) in marks {
            let mut got = vec![0; octets.len()];
            file.fetch(&mut got, entry.extents[0].offset + at)
                .expect("readable");
            assert_eq!(got, octets);
        }
    }
}

#[test]
fn an_image_that_is_cut_off_shows_what_is_whole() {
    let made = made(Flavour::RockRidge);
    let whole = fs::metadata(&made.image).expect("there").len();
    let all = made.open();
    let file = File::options()
        .write(true)
        .open(&made.image)
        .expect("there");
    let last = last_of(all.listing());
    file.set_len(last.extents[0].offset + 1).expect("cut");
    assert!(last.extents[0].offset + 1 < whole);
    let image = made.open();
    assert_eq!(image.find(&last.path), None);
    let flaws = image.listing().flaws();
    assert!(
        flaws.iter().any(|flaw| flaw.contains("beyond the end")),
        "{flaws:?}"
    );
    assert!(image.listing().count() > 100, "the others are there");
}

/// The file whose content stands last in the image and is longer than an octet.
fn last_of(listing: &Listing) -> Entry {
    let mut last: Option<Entry> = None;
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        for entry in listing.list(&directory) {
            let begin = |entry: &Entry| entry.extents.first().map_or(0, |extent| extent.offset);
            let later = last.as_ref().is_none_or(|last| begin(last) < begin(&entry));
            if entry.kind == Kind::Directory {
                // Through a link the same directories come again.
                if listing
                    .find(&entry.path)
                    .is_some_and(|found| found.path == entry.path)
                {
                    waiting.push(entry.path);
                }
            } else if entry.len > 1 && later {
                last = Some(entry);
            }
        }
    }
    last.expect("there are files")
}
