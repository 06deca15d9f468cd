//! Files inside an untouched image, over HTTP.

use super::Plane;
use super::transfers::{long, version};
use bootfiles::PIECE;
use std::fs;
use std::path::PathBuf;
use testkit::image::{self, Flavour};

impl Plane {
    /// Makes `images/sample.iso` of the sample tree and of a file of many MiB; gives the tree.
    fn with_image(&self, long: Option<&[u8]>) -> PathBuf {
        let tree = self.dir.path().join("tree");
        fs::create_dir(&tree).expect("made");
        image::sample_tree(&tree);
        if let Some(long) = long {
            fs::write(tree.join("long"), long).expect("written");
        }
        let iso = self.dir.path().join("images/sample.iso");
        image::make(Flavour::RockRidge, &tree, &iso);
        tree
    }
}

#[tokio::test]
async fn ranges_of_a_file_inside_an_image() {
    let plane = Plane::start().await;
    let tree = plane.with_image(None);
    let name = "/images/sample/casper/initrd";
    let bytes = fs::read(tree.join("casper/initrd")).expect("there");
    let whole = plane.get(name).await;
    assert_eq!(whole.status(), 200);
    assert!(whole.body == bytes, "of {} bytes", whole.body.len());
    let piece = PIECE as usize;
    let last = bytes.len() - 1;
    for (from, to) in [(0, 0), (piece - 1, piece), (100_000, 900_000), (last, last)] {
        let reply = plane
            .get_with(name, &format!("Range: bytes={from}-{to}"))
            .await;
        assert_eq!(reply.status(), 206);
        let shown = format!("bytes {from}-{to}/{}", bytes.len());
        assert_eq!(reply.header("Content-Range"), Some(&*shown));
        assert!(reply.body == bytes[from..=to], "{from}-{to}");
    }
    let tail = plane.get_with(name, "Range: bytes=-7").await;
    assert!(tail.body == bytes[bytes.len() - 7..]);
    for absent in [
        "absolute",
        "climbing",
        "loop",
        "casper",
        ".disk/info",
        "none",
        "../s",
    ] {
        let reply = plane.get(&format!("/images/sample/{absent}")).await;
        assert_ne!(reply.status(), 200, "{absent}");
    }
}

/// Its pages go from the kernel's memory of the image into the socket, from where they lie in it.
#[tokio::test]
async fn a_long_file_inside_an_image_equals_the_one_it_was_made_of() {
    let plane = Plane::with_memory(64 * PIECE).await;
    let bytes = version(1);
    plane.with_image(Some(&bytes));
    let whole = plane.get("/images/sample/long").await;
    assert!(whole.body == bytes, "of {} bytes", whole.body.len());
    let (read, all) = (plane.cache.stats().misses, long() / PIECE);
    assert!(read < all - 50, "only its end: {read} of {all} pieces");
    let reply = plane
        .get_with("/images/sample/long", "Range: bytes=1000001-67000000")
        .await;
    assert!(reply.body == bytes[1_000_001..=67_000_000]);
}
