//! Who reads or writes an export is asked of the kernel: nbdkit opens the file once for each
//! connection, and closes it with the connection.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// The files that a process has open, beside its standard streams. Of one that was deleted the
/// path is the one that it had.
///
/// # Errors
/// When the process is gone, or is not ours to look at.
pub(super) fn of_process(pid: u32) -> io::Result<BTreeSet<PathBuf>> {
    let dir = PathBuf::from(format!("/proc/{pid}/fd"));
    Ok(descriptors(&dir)?
        .filter(|(number, at)| *number > 2 && at.metadata().is_ok_and(|m| m.is_file()))
        .filter_map(|(_, at)| target(&at))
        .collect())
}

/// Whether a process that we may look at has a file of this name open. For names that no other
/// file in the world has.
pub(super) fn by_anybody(name: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut opened = processes
        .filter(|p| p.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|p| descriptors(&p.path().join("fd")).ok())
        .flatten()
        .filter_map(|(_, at)| target(&at));
    opened.any(|file| file.file_name().is_some_and(|n| n == name))
}

/// What `/proc/PID/fd` lists, with the numbers.
fn descriptors(dir: &Path) -> io::Result<impl Iterator<Item = (u32, PathBuf)> + use<>> {
    Ok(std::fs::read_dir(dir)?.flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path()))
    }))
}

fn target(at: &Path) -> Option<PathBuf> {
    let text = std::fs::read_link(at).ok()?.into_os_string();
    // The kernel's word for a file without a name.
    let whole = text.into_string().ok()?;
    let path = whole.strip_suffix(" (deleted)").unwrap_or(&whole);
    Some(path.into())
}
