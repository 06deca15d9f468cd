//! Any octets written over a sound image: it is listed or refused, in bounded time and memory, and
//! every file that is listed lies inside. Used by the test `hostile` and the fuzz target `iso`.

use hadris_fs::{Content, Node, Tree};
use hadris_iso::IsoOptions;
use hadris_storage::{BlockSize, MemDevice};
use hadris_udf::UdfOptions;
use media::{Kind, Listing, MediaError, list};

/// A small image of each kind that is read: Rock Ridge with Joliet, Joliet, plain, UDF.
pub(crate) fn images() -> Vec<Vec<u8>> {
    let plain = IsoOptions::default;
    let mut images: Vec<Vec<u8>> = [
        plain().with_rock_ridge().with_joliet(),
        plain().with_joliet(),
        plain(),
    ]
    .iter()
    .map(|options| {
        let tree = tree(false);
        let size = hadris_iso::plan(&tree, options).expect("it fits").size();
        let mut device = memory(size);
        hadris_iso::sync::write(&mut device, &tree, options).expect("written");
        device.into_inner()
    })
    .collect();
    let (tree, options) = (tree(false), UdfOptions::new());
    let size = hadris_udf::plan(&tree, &options).expect("it fits").size();
    let mut device = memory(size);
    hadris_udf::sync::write(&mut device, &tree, &options).expect("written");
    images.push(device.into_inner());
    images
}

/// The same with symbolic links, as only Rock Ridge has them.
pub(crate) fn image_with_links() -> Vec<u8> {
    let (tree, options) = (tree(true), IsoOptions::default().with_rock_ridge());
    let size = hadris_iso::plan(&tree, &options).expect("it fits").size();
    let mut device = memory(size);
    hadris_iso::sync::write(&mut device, &tree, &options).expect("written");
    device.into_inner()
}

fn memory(size: u64) -> MemDevice<Vec<u8>> {
    let size = usize::try_from(size).expect("small");
    MemDevice::new(vec![0; size], BlockSize::new(2048).expect("not 0"))
}

fn tree(links: bool) -> Tree {
    let mut tree = Tree::new();
    let mut put = |path: &str, node: Node| {
        tree.insert(path, node).expect("a new name");
    };
    put(
        "casper/vmlinuz",
        Node::file(Content::bytes(vec![0x4d; 5000])),
    );
    put("casper/initrd", Node::file(Content::bytes(vec![0x1f; 100])));
    put("a/b/c/deep", Node::file(Content::bytes(vec![1; 2048])));
    put("empty", Node::file(Content::empty()));
    if links {
        put("stable", Node::symlink("casper"));
        put("out", Node::symlink("../../etc/passwd"));
        put("absolute", Node::symlink("/etc/passwd"));
    }
    tree
}

/// Patches as octets: offset (3, as a part of the image's length), length (1), then the octets;
/// a length of 255 cuts the image off there. Structures are where an image begins, so offsets are
/// squared: half of them fall into the first quarter.
pub(crate) fn patch(image: &mut Vec<u8>, mut patches: &[u8]) {
    while let [a, b, c, len, rest @ ..] = patches {
        let part = u64::from(u32::from_be_bytes([0, *a, *b, *c]));
        let at = ((image.len() as u64 * ((part * part) >> 24)) >> 24) as usize;
        if *len == 255 {
            image.truncate(at);
            patches = rest;
            continue;
        }
        let (octets, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        for (to, from) in image.iter_mut().skip(at).zip(octets) {
            *to = *from;
        }
        patches = rest;
    }
}

/// Reads an image and checks what must hold of it, whatever it is.
pub(crate) fn check(image: &Vec<u8>) -> Result<Listing, MediaError> {
    let listing = list(image)?;
    let size = image.len() as u64;
    assert!(listing.flaws().len() <= 21);
    let mut waiting = vec![String::new()];
    let mut left = 2000;
    while let Some(directory) = waiting.pop() {
        for entry in listing.list(&directory) {
            left -= 1;
            if left == 0 {
                return Ok(listing);
            }
            let fine = |c: char| !c.is_control();
            assert!(entry.path.chars().all(fine), "{:?}", entry.path);
            assert!(
                entry
                    .path
                    .split('/')
                    .all(|name| !matches!(name, "" | "." | ".."))
            );
            let sum: u64 = entry.extents.iter().map(|extent| extent.len).sum();
            assert_eq!(sum, entry.len, "{}", entry.path);
            for extent in entry.extents.iter() {
                let end = extent.offset.checked_add(extent.len);
                assert!(end.is_some_and(|end| end <= size), "{}", entry.path);
            }
            let itself = listing.find(&entry.path);
            let itself = itself.unwrap_or_else(|| panic!("{} is not found", entry.path));
            assert_eq!(itself.number, entry.number);
            if entry.kind == Kind::Directory && itself.path == entry.path {
                waiting.push(entry.path);
            }
        }
    }
    Ok(listing)
}

/// One run of the fuzz target: which image, then patches.
pub(crate) fn run(images: &[Vec<u8>], data: &[u8]) {
    let Some((which, patches)) = data.split_first() else {
        return;
    };
    let mut image = images[usize::from(*which) % images.len()].clone();
    patch(&mut image, patches);
    // A refusal is an answer.
    let _ = check(&image);
}
