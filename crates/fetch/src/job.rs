//! One job: what was ordered, how far it is, and what is written down of it.

use crate::{FetchError, Order};
use reach::Request;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use tokio::sync::watch;

/// A job as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// What it is called in addresses.
    pub id: String,
    /// What the image will be called.
    pub name: String,
    /// Where it comes from, without what may be secret.
    pub from: String,
    /// Who wants it.
    pub by: String,
    /// When it was ordered, in milliseconds since 1970.
    pub made: i64,
    /// What it does.
    pub stage: Stage,
    /// Bytes that have come.
    pub got: u64,
    /// Bytes of the whole, if the server says.
    pub size: Option<u64>,
    /// Bytes in a second, lately.
    pub rate: u64,
    /// What it was compared with; nothing: with nothing.
    pub verified: Option<String>,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Others have their turn.
    Waiting,
    /// It fetches what vouches for the file.
    Asking,
    /// It fetches the file.
    Fetching,
    /// Something failed that may pass.
    Pausing {
        /// What, for people.
        why: String,
    },
    /// The file is whole and is being compared.
    Checking,
    /// It is an image.
    Done {
        /// Its SHA-256; none for a directory.
        sha256: Option<String>,
    },
    /// It has failed; what has come is kept.
    Failed {
        /// Why, and what to do.
        why: String,
    },
}

/// A job. Every clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Job(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    path: PathBuf,
    made: i64,
    order: Order,
    now: Mutex<Now>,
    cancelled: watch::Sender<bool>,
    /// Held by whoever works on it.
    busy: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Now {
    stage: Stage,
    part: Option<Part>,
    got: u64,
    size: Option<u64>,
    verified: Option<String>,
    measured: (Instant, u64),
    rate: u64,
}

/// Which version of the file has come so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Which of several.
    #[serde(default)]
    pub(crate) file: String,
    /// By which the server tells it from others.
    pub(crate) validator: Option<String>,
    /// Its whole length.
    pub(crate) size: Option<u64>,
}

/// What is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    order: Order,
    made: i64,
    part: Option<Part>,
    failed: Option<String>,
}

impl Job {
    pub(crate) fn new(directory: &Path, order: Order) -> Job {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let made = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let record = Record {
            order,
            made,
            part: None,
            failed: None,
        };
        Job::of(directory, format!("{:x}", since.as_nanos()), record)
    }

    /// One that was written down; `None` when it cannot be read.
    pub(crate) fn read(path: &Path) -> Option<Job> {
        let id = path.file_name()?.to_str()?.strip_suffix(".json")?;
        let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        Some(Job::of(path.parent()?, id.to_owned(), record))
    }

    /// Another try of it, with this order.
    pub(crate) fn like(&self, order: Order) -> Job {
        let record = Record {
            order,
            made: self.0.made,
            part: self.part(),
            failed: None,
        };
        let directory = self.0.path.parent().unwrap_or(Path::new("."));
        let fresh = Job::of(directory, self.0.id.clone(), record);
        fresh.has(self.got());
        fresh
    }

    fn of(directory: &Path, id: String, record: Record) -> Job {
        let now = Now {
            stage: match record.failed {
                Some(why) => Stage::Failed { why },
                None => Stage::Waiting,
            },
            size: record.part.as_ref().and_then(|part| part.size),
            part: record.part,
            got: 0,
            verified: None,
            measured: (Instant::now(), 0),
            rate: 0,
        };
        Job(Arc::new(Inner {
            path: directory.join(format!("{id}.json")),
            id,
            made: record.made,
            order: record.order,
            now: Mutex::new(now),
            cancelled: watch::Sender::new(false),
            busy: tokio::sync::Mutex::new(()),
        }))
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    pub(crate) fn order(&self) -> &Order {
        &self.0.order
    }

    pub(crate) fn made(&self) -> i64 {
        self.0.made
    }

    pub(crate) fn busy(&self) -> &tokio::sync::Mutex<()> {
        &self.0.busy
    }

    pub(crate) fn cancel(&self) {
        self.0.cancelled.send_replace(true);
    }

    /// Ends when somebody cancels it.
    pub(crate) async fn cancelled(&self) {
        let mut cancelled = self.0.cancelled.subscribe();
        // The sender is held by this very job.
        let _ = cancelled.wait_for(|cancelled| *cancelled).await;
    }

    /// Where it comes from, as people may see it.
    pub(crate) fn from(&self) -> String {
        Request::new(&self.0.order.url).map_or_else(|_| String::new(), |request| request.shown())
    }

    pub(crate) fn view(&self) -> JobView {
        let now = self.now();
        JobView {
            id: self.0.id.clone(),
            name: self.0.order.name.clone(),
            from: self.from(),
            by: self.0.order.by.clone(),
            made: self.0.made,
            stage: now.stage.clone(),
            got: now.got,
            size: now.size,
            rate: now.rate,
            verified: now.verified.clone(),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.now().stage.clone()
    }

    pub(crate) fn enter(&self, stage: Stage) {
        let mut now = self.now();
        now.stage = stage;
        now.measured = (Instant::now(), now.got);
        now.rate = 0;
    }

    pub(crate) fn verified(&self, by: Option<String>) {
        self.now().verified = by;
    }

    pub(crate) fn part(&self) -> Option<Part> {
        self.now().part.clone()
    }

    pub(crate) fn got(&self) -> u64 {
        self.now().got
    }

    /// So many bytes are here.
    pub(crate) fn has(&self, got: u64) {
        let mut now = self.now();
        let (since, before) = now.measured;
        now.got = got;
        let elapsed = since.elapsed();
        if elapsed.as_millis() >= 1000 || got < before {
            let millis = u64::try_from(elapsed.as_millis())
                .unwrap_or(u64::MAX)
                .max(1);
            now.rate = got.saturating_sub(before).saturating_mul(1000) / millis;
            now.measured = (Instant::now(), got);
        }
    }

    /// From now on this version of the file is the one that comes; it is written down first.
    pub(crate) async fn begins(&self, part: Part) -> Result<(), FetchError> {
        {
            let mut now = self.now();
            now.size = part.size;
            now.part = Some(part);
        }
        self.save(None).await
    }

    /// Writes it down, with why it has failed if it has.
    pub(crate) async fn save(&self, failed: Option<String>) -> Result<(), FetchError> {
        let record = {
            let now = self.now();
            Record {
                order: self.0.order.clone(),
                made: self.0.made,
                part: now.part.clone(),
                failed,
            }
        };
        let path = self.0.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&path, &record)).await;
        Ok(written.map_err(io::Error::other)??)
    }

    /// Nothing of it is written down any more.
    pub(crate) async fn forget(&self) {
        let path = self.0.path.clone();
        // What is left is taken up by the next start, and ends there.
        let _ = tokio::task::spawn_blocking(move || fs::remove_file(path)).await;
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is the old record or the new one, never a part; nobody else may read it: URLs hold secrets.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&serde_json::to_vec_pretty(record).map_err(io::Error::other)?)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(directory)?.sync_all()
}
