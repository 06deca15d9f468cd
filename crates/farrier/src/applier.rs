//! The watched directory (`apply.directory`): its documents are put into force as they are saved,
//! all of them or none.

use crate::config::ApplyFiles;
use crate::documents::Stream;
use crate::watcher::Watch;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use store::Store;
use web::documents::{self, ApplyError, Options};
use web::people::FilesStatus;

/// What came of the watched directory last.
pub(crate) type Told = Arc<Mutex<Option<FilesStatus>>>;

/// Follows the directory.
pub(crate) struct Applier {
    /// The configuration's `apply`; its directory is not empty.
    pub settings: ApplyFiles,
    /// What is brought to what the files say.
    pub store: Store,
    /// What the status page shows.
    pub told: Told,
}

impl Applier {
    /// Follows it for ever.
    pub(crate) async fn run(self) {
        let mut last = None;
        loop {
            // Watched before it is read: what is saved in between is seen.
            let dir = self.settings.directory.clone();
            let watch = Watch::on(&[&dir], &[]);
            self.apply(&mut last).await;
            match watch {
                // Looked at again from time to time: a directory may be another one by now (a
                // moved mount, a swapped link), which no watch tells.
                Ok(mut watch) => {
                    let _ = tokio::time::timeout(LOOK_AGAIN, watch.changed()).await;
                }
                Err(_) => tokio::time::sleep(TRY_AGAIN).await,
            }
        }
    }

    /// Applies what is there, unless it is what was applied (or refused) last.
    async fn apply(&self, last: &mut Option<String>) {
        let stream = match settled(self.settings.directory.clone()).await {
            Ok(stream) => stream,
            Err(error) => {
                let fault = format!("{error:#}");
                if last.as_ref() != Some(&fault) {
                    self.tell("nothing was applied".to_owned(), vec![fault.clone()]);
                }
                *last = Some(fault);
                return;
            }
        };
        if last.as_ref() == Some(&stream.text) {
            return;
        }
        let options = Options {
            own: self.settings.owner(),
            prune: self.settings.prune,
            ..Options::default()
        };
        let done = documents::apply(&self.store, &stream.text, &options, "files").await;
        // What the database failed is tried again; everything else would only fail again.
        let again = matches!(&done, Err(ApplyError::Refused { fault: None, .. }));
        *last = (!again).then(|| stream.text.clone());
        match done {
            Ok(done) => {
                let changed = done
                    .changes
                    .iter()
                    .filter(|c| c.action != "unchanged")
                    .count();
                let total = done.changes.len();
                let unchanged = total - changed;
                self.tell(
                    format!("{changed} changed, {unchanged} unchanged"),
                    Vec::new(),
                );
            }
            Err(error) => {
                let place = |f: &documents::Fault| {
                    let problem = match f.field.as_str() {
                        "" => f.problem.clone(),
                        field => format!("{field}: {}", f.problem),
                    };
                    stream.place(f.line, f.column, &problem)
                };
                let mut faults: Vec<String> = error.faults().iter().map(place).collect();
                if faults.is_empty() {
                    faults.push(error.to_string());
                }
                self.tell("nothing was applied".to_owned(), faults);
            }
        }
    }

    fn tell(&self, summary: String, faults: Vec<String>) {
        let directory = self.settings.directory.display().to_string();
        match faults.is_empty() {
            true => tracing::info!(directory, "files applied: {summary}"),
            false => {
                for fault in faults.iter().take(LOGGED) {
                    tracing::error!("{fault}; nothing of {directory} was applied");
                }
            }
        }
        let status = FilesStatus {
            directory,
            owner: self.settings.owner.clone(),
            prune: self.settings.prune,
            at: SystemTime::now().into(),
            summary,
            faults,
        };
        *self.told.lock().expect("no panic while held") = Some(status);
    }
}

/// The directory once two looks at it agree: somebody may be in the middle of writing many files,
/// and half of them must not be taken for all.
async fn settled(dir: PathBuf) -> anyhow::Result<Stream> {
    let mut before = read(&dir).await?;
    for _ in 0..LOOKS {
        tokio::time::sleep(SETTLE).await;
        let now = read(&dir).await?;
        if now.text == before.text {
            return Ok(now);
        }
        before = now;
    }
    anyhow::bail!("{} changes all the time", dir.display())
}

async fn read(dir: &Path) -> anyhow::Result<Stream> {
    let dir = dir.to_owned();
    // A directory may lie on a file server that has gone away.
    tokio::task::spawn_blocking(move || Stream::read_directory(&dir)).await?
}

const SETTLE: Duration = Duration::from_millis(500);
/// Looks at a directory that changes all the time.
const LOOKS: u32 = 60;
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Between two looks for a directory that is not there.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Faults of one apply that the log takes; the status has them all.
const LOGGED: usize = 50;
