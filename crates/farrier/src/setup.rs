//! What the server makes for itself at its start.

use anyhow::Context;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes the data directory and what belongs in it, readable by nobody else: it holds password
/// hashes and, later, secrets of answer files.
pub(crate) fn make_directories(data: &Path) -> anyhow::Result<()> {
    for dir in ["", "loaders/local", "loaders/packaged", "images", "run"] {
        let path = data.join(dir);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).with_context(|| {
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
