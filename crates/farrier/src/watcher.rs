//! Files that change while the server runs: the configuration, and the loaders.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// Tells when something below the watched directories changed.
pub(crate) struct Watch {
    // Dropping it ends the watching.
    _watcher: RecommendedWatcher,
    changes: mpsc::Receiver<PathBuf>,
}

impl Watch {
    /// Watches directories, not files: an editor saves by renaming a new file over the old one,
    /// and only the directory sees that.
    ///
    /// # Errors
    /// When the system refuses (too many watches, no such directory).
    /// Of `trees` everything below is watched, of `dirs` only what lies in them.
    pub(crate) fn on(dirs: &[&Path], trees: &[&Path]) -> notify::Result<Watch> {
        let (sender, changes) = mpsc::channel(256);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let Ok(event) = event else { return };
                if matches!(event.kind, notify::EventKind::Access(_)) {
                    return;
                }
                for path in event.paths {
                    // A full queue already says that something changed.
                    let _ = sender.try_send(path);
                }
            })?;
        for dir in dirs {
            watcher.watch(dir, RecursiveMode::NonRecursive)?;
        }
        for tree in trees {
            watcher.watch(tree, RecursiveMode::Recursive)?;
        }
        Ok(Watch {
            _watcher: watcher,
            changes,
        })
    }

    /// Waits for changes and lets them settle; the paths that changed.
    pub(crate) async fn changed(&mut self) -> Vec<PathBuf> {
        let mut paths = match self.changes.recv().await {
            Some(path) => vec![path],
            None => std::future::pending().await,
        };
        tokio::time::sleep(SETTLE).await;
        while let Ok(path) = self.changes.try_recv() {
            paths.push(path);
        }
        paths
    }
}

/// A save is several events within a few milliseconds.
const SETTLE: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_renamed_over_another_is_seen() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("farrier.yaml");
        std::fs::write(&file, "a").expect("written");
        let mut watch = Watch::on(&[dir.path()], &[]).expect("watched");
        std::fs::write(dir.path().join("new"), "b").expect("written");
        std::fs::rename(dir.path().join("new"), &file).expect("renamed");
        let paths = tokio::time::timeout(Duration::from_secs(10), watch.changed())
            .await
            .expect("seen");
        assert!(paths.contains(&file), "{paths:?}");
    }
}
