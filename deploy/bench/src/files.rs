//! The files that everybody serves: the same bytes for every server, on a tmpfs.

use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::Path;

/// One file: its name below the served directory, and what is in it.
pub(crate) struct Content {
    /// Name as a client asks for it.
    pub name: &'static str,
    /// Every byte.
    pub bytes: Vec<u8>,
}

impl Content {
    fn new(name: &'static str, length: usize) -> Self {
        let seed = name
            .bytes()
            .fold(7, |s: u64, b| s.wrapping_mul(31) + u64::from(b));
        Self {
            name,
            bytes: bytes(seed, length),
        }
    }

    /// Writes it below `root`.
    ///
    /// # Errors
    /// Names the file.
    pub(crate) fn put(&self, root: &Path) -> Result<()> {
        let path = root.join(self.name);
        let dir = path.parent().unwrap_or(root);
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        fs::write(&path, &self.bytes).with_context(|| format!("write {}", path.display()))
    }
}

/// All files of the benchmark.
pub(crate) struct Files {
    /// The loader that proxyDHCP names.
    pub loader: Content,
    /// 4 KiB: a configuration, a script.
    pub small: Content,
    /// 256 KiB, for the flood's real client.
    pub quarter: Content,
    /// 1 MiB: a loader.
    pub mib: Content,
    /// 4 MiB: a small kernel.
    pub kernel: Content,
    /// 16 MiB: a small initial RAM disk.
    pub ramdisk: Content,
    /// 64 MiB: an initial RAM disk.
    pub initrd: Content,
}

impl Files {
    /// Makes them in memory.
    pub(crate) fn make() -> Self {
        Self {
            loader: Content::new("snponly.efi", 1 << 20),
            small: Content::new("images/4k", 4 << 10),
            quarter: Content::new("images/256k", 256 << 10),
            mib: Content::new("images/1m", 1 << 20),
            kernel: Content::new("images/4m", 4 << 20),
            ramdisk: Content::new("images/16m", 16 << 20),
            initrd: Content::new("images/64m", 64 << 20),
        }
    }

    /// Writes them below `root`.
    ///
    /// # Errors
    /// Names the file.
    pub(crate) fn put(&self, root: &Path) -> Result<()> {
        let all = [
            &self.loader,
            &self.small,
            &self.quarter,
            &self.mib,
            &self.kernel,
            &self.ramdisk,
            &self.initrd,
        ];
        all.into_iter().try_for_each(|content| content.put(root))
    }

    /// Writes [`IMAGE`], too: 512 MiB, the initial RAM disk again and again.
    ///
    /// # Errors
    /// Names the file.
    pub(crate) fn put_image(&self, root: &Path) -> Result<()> {
        let path = root.join(IMAGE);
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create(&path)?;
            (0..IMAGE_TIMES).try_for_each(|_| file.write_all(&self.initrd.bytes))
        };
        write().with_context(|| format!("write {}", path.display()))
    }
}

/// An installer's root.
pub(crate) const IMAGE: &str = "images/512m";
/// How often the initial RAM disk stands in it.
pub(crate) const IMAGE_TIMES: usize = 8;

/// Bytes in which no two blocks are alike, so that a block at the wrong place is noticed.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut mix = Mix(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&mix.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// SplitMix64: a small generator of numbers that look random and repeat with the seed.
#[derive(Clone, Debug)]
pub(crate) struct Mix(pub u64);

impl Mix {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True `permille` times in a thousand.
    pub(crate) fn chance(&mut self, permille: u16) -> bool {
        permille > 0 && self.next() % 1000 < u64::from(permille)
    }
}
