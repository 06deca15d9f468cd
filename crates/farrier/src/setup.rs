//! What the server makes for itself at its start.

use anyhow::Context;
use std::fs::Permissions;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Makes the data directory, closed to everybody else (it holds password hashes and, later,
/// secrets of answer files), and what belongs in it.
pub(crate) fn make_directories(data: &Path) -> anyhow::Result<()> {
    let private = 0o700;
    // Root may run 'assets sync' in a data directory that belongs to the service's own user.
    let readable = 0o755;
    for (dir, mode) in [
        ("", private),
        ("run", private),
        ("loaders", readable),
        ("loaders/local", readable),
        ("loaders/packaged", readable),
        ("images", readable),
        // URLs may hold secrets.
        ("fetches", private),
    ] {
        let path = data.join(dir);
        if path.is_dir() {
            continue;
        }
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(private)
            .create(&path);
        let made =
            made.and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(mode)));
        made.with_context(|| {
            format!(
                "cannot make {}: make it yourself, or choose another 'data_dir' in the configuration",
                path.display()
            )
        })?;
    }
    Ok(())
}

/// Raises the limit of open files to what we may have: each transfer and each connection is one,
/// and the usual soft limit of 1024 is less than one boot storm.
pub(crate) fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    let wanted = hard.min(OPEN_FILES);
    if soft < wanted
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    {
        tracing::warn!(soft, wanted, %error, "cannot raise the limit of open files");
    }
}

/// The names people may reach the pages by: this host's own, and the configured ones.
pub(crate) fn host_names(configured: &[String]) -> Vec<String> {
    let own = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    own.into_iter().chain(configured.iter().cloned()).collect()
}

/// 4,096 TFTP transfers, 2,048 + 512 HTTP connections with a file each, and the rest.
const OPEN_FILES: u64 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_machines_are_served_is_readable_by_others() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let data = temp.path().join("data");
        make_directories(&data).expect("made");
        let mode = |dir: &str| {
            let meta = std::fs::metadata(data.join(dir)).expect("there");
            meta.permissions().mode() & 0o777
        };
        for (dir, expected) in [
            ("", 0o700),
            ("run", 0o700),
            ("images", 0o755),
            ("loaders/local", 0o755),
        ] {
            assert_eq!(mode(dir), expected, "{dir}");
        }
        make_directories(&data).expect("again");
    }
}
