//! Images that are damaged, cut off, or made to do harm (R44): an answer, soon, and nothing
//! outside the image.

#[path = "common/model.rs"]
mod model;

use media::{Kind, MediaError, Source, list};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// A generator of our own, so that a failure can be repeated from its number.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, below: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % below
    }
}

#[test]
fn the_sound_images_are_read() {
    for (number, image) in model::images().into_iter().enumerate() {
        let listing = model::check(&image).unwrap_or_else(|error| panic!("{number}: {error}"));
        let kernel = listing.find("casper/vmlinuz").expect("there");
        assert_eq!((kernel.kind, kernel.len), (Kind::File, 5000), "{number}");
        let mut first = [0; 2];
        image
            .fetch(&mut first, kernel.extents[0].offset)
            .expect("there");
        assert_eq!(first, [0x4d; 2], "{number}");
        assert_eq!(listing.find("EMPTY").expect("there").len, 0, "{number}");
        assert!(
            listing.flaws().is_empty(),
            "{number}: {:?}",
            listing.flaws()
        );
    }
}

#[test]
fn links_are_those_of_the_image() {
    let listing = model::check(&model::image_with_links()).expect("sound");
    let kernel = listing.find("stable/vmlinuz").expect("there");
    assert_eq!(kernel.path, "casper/vmlinuz");
    assert_eq!(listing.find("out"), None);
    assert_eq!(listing.find("absolute"), None);
}

#[test]
fn the_kept_seeds_of_the_fuzz_target() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/iso");
    let images = model::images();
    let mut count = 0;
    for seed in std::fs::read_dir(seeds).expect("committed") {
        let seed = std::fs::read(seed.expect("readable").path()).expect("readable");
        model::run(&images, &seed);
        count += 1;
    }
    assert!(count >= 12, "{count}");
}

#[test]
fn four_hundred_flipped_bits() {
    let mut random = Seeded(0x9e37_79b9_7f4a_7c15);
    let images = model::images();
    let begin = Instant::now();
    for round in 0..400_usize {
        let mut image = images[round % images.len()].clone();
        for _ in 0..=round % 5 {
            // Where the structures are, three times out of four.
            let below = if random.next(4) == 0 {
                image.len() as u64
            } else {
                60 * 2048
            };
            let at = random.next(below.min(image.len() as u64)) as usize;
            image[at] ^= 1 << random.next(8);
        }
        let _ = model::check(&image);
    }
    assert!(
        begin.elapsed() < Duration::from_secs(60),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn an_image_cut_off_anywhere_is_refused_or_read_in_part() {
    for image in model::images() {
        for part in 0..40 {
            let mut cut = image.clone();
            cut.truncate(image.len() * part / 40);
            match model::check(&cut) {
                Ok(listing) => assert!(listing.count() <= 9),
                Err(MediaError::NotAnImage | MediaError::Volume { .. } | MediaError::Read(_)) => {}
                Err(other) => panic!("{part}: {other}"),
            }
        }
    }
}

/// The records of a plain image's root, which stand in one sector.
fn root_of(image: &[u8]) -> usize {
    // ECMA-119, 8.4.18: the root's record is at 156 in the primary descriptor; 9.1.3: its extent.
    let record = &image[16 * 2048 + 156..];
    let sector = u32::from_le_bytes([record[2], record[3], record[4], record[5]]);
    sector as usize * 2048
}

/// Puts a record for a directory at `sector`, `len` octets long, behind the root's own two.
fn add_directory(image: &mut [u8], name: u8, sector: u32, len: u32) {
    let root = root_of(image);
    let mut at = root;
    while image[at] != 0 {
        at += usize::from(image[at]);
    }
    let record = &mut image[at..at + 34];
    record[0] = 34;
    record[2..6].copy_from_slice(&sector.to_le_bytes());
    record[6..10].copy_from_slice(&sector.to_be_bytes());
    record[10..14].copy_from_slice(&len.to_le_bytes());
    record[14..18].copy_from_slice(&len.to_be_bytes());
    record[25] = 2; // a directory
    record[28..32].copy_from_slice(&[1, 0, 0, 1]);
    record[32] = 1;
    record[33] = name;
}

#[test]
fn a_directory_that_contains_itself_ends() {
    let mut image = model::images().remove(2);
    let root = root_of(&image) as u32 / 2048;
    add_directory(&mut image, b'Z', root, 2048);
    let listing = model::check(&image).expect("the rest is sound");
    assert!(listing.find("casper/vmlinuz").is_some());
    assert!(listing.find("Z/Z/Z/casper/vmlinuz").is_none());
    let flaws = listing.flaws();
    assert!(
        flaws.iter().any(|flaw| flaw.contains("leads back")),
        "{flaws:?}"
    );
}

#[test]
fn a_directory_outside_the_image_and_one_that_is_giant() {
    for (sector, len) in [(u32::MAX / 2, 2048), (u32::MAX, u32::MAX), (16, u32::MAX)] {
        let mut image = model::images().remove(2);
        add_directory(&mut image, b'Z', sector, len);
        let begin = Instant::now();
        // One bad directory may cost itself; never the time.
        let _ = model::check(&image);
        assert!(begin.elapsed() < Duration::from_secs(20), "{sector} {len}");
    }
}

#[test]
fn a_file_that_claims_more_than_there_is_is_left_out() {
    let mut image = model::images().remove(2);
    let root = root_of(&image);
    let mut at = root;
    while image[at] != 0 {
        if image[at + 25] & 2 == 0 {
            // 9.1.4: 3 GiB.
            let len = 3_u32 << 30;
            image[at + 10..at + 14].copy_from_slice(&len.to_le_bytes());
            image[at + 14..at + 18].copy_from_slice(&len.to_be_bytes());
        }
        at += usize::from(image[at]);
    }
    let listing = model::check(&image).expect("the rest is sound");
    assert!(listing.find("empty").is_none());
    assert!(listing.find("casper/initrd").is_some());
    assert!(!listing.flaws().is_empty());
}

#[test]
fn what_is_no_image_is_none() {
    for bytes in [
        vec![],
        vec![0; 40_000],
        vec![0xff; 700_000],
        b"MZ".repeat(100_000),
    ] {
        assert!(
            matches!(list(&bytes), Err(MediaError::NotAnImage)),
            "{}",
            bytes.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The fuzz target's own step, with octets of chance.
    #[test]
    fn any_patches(data in prop::collection::vec(any::<u8>(), 0..300)) {
        static IMAGES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
        model::run(IMAGES.get_or_init(model::images), &data);
    }
}
