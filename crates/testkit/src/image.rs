//! Images as other people's programs make them: xorriso and genisoimage.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How an image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Rock Ridge and Joliet, as distributions make them (xorriso).
    RockRidge,
    /// Joliet without Rock Ridge (genisoimage).
    Joliet,
    /// Neither: names in capitals, 31 characters (genisoimage).
    Plain,
    /// UDF beside ISO 9660, as Windows' disks are (genisoimage).
    Udf,
}

/// A directory tree with what is hard in it: deep directories, long and foreign names, an empty
/// file, lengths around a sector, symbolic links inside and out.
///
/// # Panics
/// When the disk does not let us.
pub fn sample_tree(root: &Path) {
    let put = |name: &str, len: usize| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("mkdir");
        fs::write(path, pattern(len, name.len() as u8)).expect("write");
    };
    put("casper/vmlinuz", 300_001);
    put("casper/initrd", 1_200_000);
    put(".disk/info", 60);
    put("empty", 0);
    for len in [1, 2047, 2048, 2049, 4096] {
        put(&format!("sizes/{len}.bin"), len);
    }
    put("a/b/c/d/e/f/g/h/i/deep.txt", 5000);
    put(&format!("{}.txt", "long".repeat(12)), 10);
    put("Grüße aus Köln.txt", 10);
    put("EFI/BOOT/BOOTX64.EFI", 70_000);
    for n in 0..200 {
        put(&format!("pool/many/file-{n:03}.deb"), 100 + n);
    }
    let link = |target: &str, name: &str| symlink(target, root.join(name)).expect("symlink");
    link("casper", "stable");
    link("../casper/vmlinuz", "pool/kernel");
    link("/etc/passwd", "absolute");
    link("../../../etc/passwd", "climbing");
    link("loop", "loop");
}

/// Makes an image of a directory.
///
/// # Panics
/// When the program is missing (`deploy/setup.sh test` installs it) or fails.
pub fn make(flavour: Flavour, tree: &Path, image: &Path) {
    let mut command = match flavour {
        Flavour::RockRidge => {
            let mut command = Command::new("xorriso");
            command.args(["-as", "mkisofs", "-quiet", "-iso-level", "3", "-r", "-J"]);
            command.args(["-joliet-long", "-V", "SAMPLE"]);
            command
        }
        Flavour::Joliet | Flavour::Plain | Flavour::Udf => {
            let mut command = Command::new("genisoimage");
            command.args(["-quiet", "-D", "-iso-level", "3", "-V", "SAMPLE"]);
            command.args(["-input-charset", "utf-8"]);
            command.args(match flavour {
                Flavour::Joliet => &["-J", "-joliet-long"][..],
                Flavour::Udf => &["-udf", "-allow-limited-size"],
                _ => &[],
            });
            command
        }
    };
    run(command.arg("-o").arg(image).arg(tree));
}

/// Takes all files out of an image with xorriso.
///
/// # Panics
/// As [`make`].
pub fn extract(image: &Path, into: &Path) {
    let mut command = Command::new("xorriso");
    command.args(["-osirrox", "on", "-indev"]).arg(image);
    command.args(["-extract", "/"]).arg(into);
    run(&mut command);
    // The image's directories are not writable, and then a temporary directory cannot be removed.
    run(Command::new("chmod").args(["-R", "u+rwX"]).arg(into));
}

/// A file with a few octets at each of these places and holes between, so that it takes no room.
///
/// # Panics
/// When the disk does not let us.
pub fn sparse(path: &Path, len: u64, marks: &[(u64, &[u8])]) {
    let mut file = File::create(path).expect("a file");
    file.set_len(len).expect("a hole");
    for (at, octets) in marks {
        file.seek(SeekFrom::Start(*at)).expect("seek");
        file.write_all(octets).expect("write");
    }
}

/// The regular files below a directory, by relative path, without links.
///
/// # Panics
/// When the disk does not let us.
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).expect("readable") {
            let entry = entry.expect("readable");
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                found.push(path.strip_prefix(root).expect("below").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Octets that differ from place to place and from seed to seed.
pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let octet = |n: usize| (n % 251) as u8 ^ (n >> 11) as u8 ^ seed;
    (0..len).map(octet).collect()
}

fn run(command: &mut Command) {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            panic!("{command:?}: {error} (deploy/setup.sh test installs what is missing)")
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
