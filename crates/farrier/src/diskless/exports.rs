//! The directory that nbdkit serves images from: links to those that profiles name, no others.

use bootplan::RelPath;
use bootplan::diskless::export_name;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Exported {
    /// Whether there is anything to serve.
    pub(super) any: bool,
    /// Images that cannot be exported, with the reason.
    pub(super) faults: Vec<String>,
}

/// Makes `dir` hold a link for each of `images`, and nothing else.
pub(super) fn link(dir: &Path, root: &Path, images: &[RelPath]) -> Exported {
    let mut exported = Exported::default();
    let mut names = BTreeSet::new();
    if let Err(error) = std::fs::create_dir_all(dir) {
        let fault = format!("{}: {error}", dir.display());
        exported.faults.push(fault);
        return exported;
    }
    for image in images {
        let name = export_name(image);
        match target(root, image).and_then(|file| refresh(&dir.join(&name), &file)) {
            Ok(()) => {
                names.insert(name);
            }
            Err(error) => exported.faults.push(format!("{image}: {error}")),
        }
    }
    exported.any = !names.is_empty();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let stays = entry
            .file_name()
            .to_str()
            .is_some_and(|n| names.contains(n));
        if !stays && let Err(error) = std::fs::remove_file(entry.path()) {
            let fault = format!("{}: {error}", entry.path().display());
            exported.faults.push(fault);
        }
    }
    exported
}

/// The plain file behind a name; links may not lead out of the images directory.
fn target(root: &Path, image: &RelPath) -> io::Result<PathBuf> {
    let file = root.join(image.as_str()).canonicalize()?;
    let plain = file.is_file() && file.starts_with(root.canonicalize()?);
    plain.then_some(file).ok_or_else(|| {
        io::Error::other(
            "no plain file below the images directory (what lies inside an ISO cannot be exported)",
        )
    })
}

fn refresh(link: &Path, file: &Path) -> io::Result<()> {
    if std::fs::read_link(link).is_ok_and(|at| at == file) {
        return Ok(());
    }
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(link)?;
    }
    std::os::unix::fs::symlink(file, link)
}
