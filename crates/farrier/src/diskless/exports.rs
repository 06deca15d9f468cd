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
    /// Images that machines read at this moment, also those that no profile names any more.
    pub(super) read: Vec<RelPath>,
}

/// Makes `dir` hold a link for each of `images`, and nothing else but what is being `read`: a
/// machine that loses its connection for a moment asks for the same name again.
pub(super) fn link(
    dir: &Path,
    root: &Path,
    images: &[RelPath],
    read: &BTreeSet<PathBuf>,
) -> Exported {
    let mut exported = Exported {
        read: images_among(root, read),
        ..Exported::default()
    };
    let mut names: BTreeSet<String> = exported.read.iter().map(export_name).collect();
    let mut wanted = 0;
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
                wanted += 1;
            }
            Err(error) => exported.faults.push(format!("{image}: {error}")),
        }
    }
    exported.any = wanted > 0;
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

/// Those of these files that lie below the images directory, as profiles name them.
fn images_among(root: &Path, files: &BTreeSet<PathBuf>) -> Vec<RelPath> {
    let Ok(root) = root.canonicalize() else {
        return Vec::new();
    };
    let below = files
        .iter()
        .filter_map(|file| file.strip_prefix(&root).ok());
    below
        .filter_map(|path| path.to_str()?.parse().ok())
        .collect()
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
