//! All jobs: begun, taken up after a restart, cancelled.

use crate::job::{Job, Stage};
use crate::{FetchError, JobView, Mirror, Octets, Order, Releases, download, recipe, work};
use bootfiles::images::{ImageError, ImageStore};
use bootplan::EventKind;
use reach::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Who is told how jobs ended.
pub type Tell = Arc<dyn Fn(EventKind) + Send + Sync>;

/// How long what may pass is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Before the second try; later ones wait longer, up to a minute.
    pub first: Duration,
    /// Tries without progress.
    pub tries: u32,
}

/// Fetches images. Cheap to clone; every clone is the same one.
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    site: Site,
    jobs: Mutex<BTreeMap<String, Job>>,
    /// One that is slow keeps one other from its turn, not all.
    turns: Semaphore,
    tasks: Mutex<JoinSet<()>>,
    /// Held while a job is begun: two of one name at once are one.
    beginning: tokio::sync::Mutex<()>,
}

/// What jobs work with.
pub struct Means {
    /// Where images go.
    pub images: ImageStore,
    /// Who is asked.
    pub client: Client,
    /// Who is told.
    pub tell: Tell,
    /// How long what may pass is waited for.
    pub patience: Patience,
    /// Directories with keyrings that people may choose by name; the first one that has it counts.
    pub keyrings: Vec<PathBuf>,
    /// The operator's own recipes of mirrors.
    pub recipes: PathBuf,
    /// The root of the mirror of each site.
    pub mirrors: BTreeMap<String, String>,
    /// How new the releases were that mirrors have shown.
    pub releases: Releases,
}

pub(crate) type Site = Means;

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetcher({})", self.0.directory.display())
    }
}

impl Patience {
    /// Some minutes.
    pub const USUAL: Patience = Patience {
        first: Duration::from_secs(1),
        tries: 10,
    };

    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let factor = 1 << failures.saturating_sub(1).min(6);
        (self.first * factor).min(Duration::from_secs(60))
    }
}

impl Fetcher {
    /// Reads the jobs that are written down in `directory`, which is made; what has come of jobs
    /// that nobody knows any more goes. Nothing runs before [`Fetcher::start`].
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(directory: &Path, site: Means) -> io::Result<Fetcher> {
        fs::create_dir_all(directory)?;
        let images = &site.images;
        let mut jobs = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            match Job::read(&path) {
                Some(job) => drop(jobs.insert(job.id().to_owned(), job)),
                // A half of a temporary file; it is ours alone.
                None => fs::remove_file(&path)?,
            }
        }
        for staging in images.fetched() {
            let job = staging.wanted().job.as_ref();
            if job.is_none_or(|job| !jobs.contains_key(job)) {
                let _ = images.cancel(&staging);
            }
        }
        for job in images.bundles()? {
            if !jobs.contains_key(&job) {
                let _ = images.drop_bundle(&job);
            }
        }
        for job in jobs.values() {
            job.has(site.staging(job).map_or(0, |staging| staging.offset()));
        }
        Ok(Fetcher(Arc::new(Inner {
            directory: directory.to_owned(),
            site,
            jobs: Mutex::new(jobs),
            turns: Semaphore::new(AT_ONCE),
            tasks: Mutex::default(),
            beginning: tokio::sync::Mutex::new(()),
        })))
    }

    /// Goes on with what a restart interrupted.
    pub fn start(&self) {
        let jobs: Vec<Job> = self.jobs().values().cloned().collect();
        for job in jobs {
            if job.stage() == Stage::Waiting {
                tracing::info!(image = job.order().name, "going on with fetching an image");
                self.spawn(job);
            }
        }
    }

    /// Ends all work at once; what has come stays, and the next start goes on.
    pub fn stop(&self) {
        self.tasks().abort_all();
    }

    /// Begins a job, or goes on with the one that wants the same.
    ///
    /// # Errors
    /// An order that cannot be carried out, a name that is taken.
    pub async fn begin(&self, order: Order) -> Result<JobView, FetchError> {
        let order = self.0.site.placed(order)?.checked()?;
        let _turn = self.0.beginning.lock().await;
        let same = |job: &&Job| job.order().name == order.name;
        let other = self.jobs().values().find(same).cloned();
        let over = |stage: Stage| matches!(stage, Stage::Done { .. } | Stage::Failed { .. });
        if let Some(job) = other.iter().find(|job| !over(job.stage())) {
            let same = Order {
                by: job.order().by.clone(),
                ..order.clone()
            };
            return match *job.order() == same {
                true => Ok(job.view()),
                false => Err(FetchError::UnderWay(order.name)),
            };
        }
        let taken = self.0.site.images.directory().join(&order.name);
        if fs::symlink_metadata(taken).is_ok() {
            return Err(ImageError::Exists(order.name).into());
        }
        match other {
            // What has come of the same file serves, whatever it is compared with now.
            Some(job) if job.order().url == order.url => return self.again(job, order).await,
            Some(job) => drop(self.cancel(job.id(), &order.by).await),
            None => {}
        }
        self.make_room()?;
        let job = Job::new(&self.0.directory, order);
        job.save(None).await?;
        self.jobs().insert(job.id().to_owned(), job.clone());
        self.spawn(job.clone());
        Ok(job.view())
    }

    /// Tries a job again that failed.
    ///
    /// # Errors
    /// There is none of this name, or it has not failed.
    pub async fn retry(&self, id: &str) -> Result<JobView, FetchError> {
        let _turn = self.0.beginning.lock().await;
        let job = self.job(id)?;
        let order = job.order().clone();
        match job.stage() {
            Stage::Failed { .. } => self.again(job, order).await,
            _ => Err(FetchError::State {
                name: order.name,
                why: "has not failed, so there is nothing to try again",
            }),
        }
    }

    /// Ends a job and throws away what has come; one that is done is only taken off the list.
    ///
    /// # Errors
    /// There is none of this name, or it is too late.
    pub async fn cancel(&self, id: &str, by: &str) -> Result<JobView, FetchError> {
        let job = self.job(id)?;
        if job.stage() == Stage::Checking {
            return Err(FetchError::State {
                name: job.order().name.clone(),
                why: "has come whole and is being compared; delete the image when it is there",
            });
        }
        job.cancel();
        // Whoever works on it lets go at once.
        let _idle = job.busy().lock().await;
        let stage = job.stage();
        if self.jobs().remove(id).is_none() {
            return Err(FetchError::NotFound(id.to_owned()));
        }
        job.forget().await;
        let view = job.view();
        download::throw_away(&self.0.site, &job).await;
        if !matches!(stage, Stage::Done { .. } | Stage::Failed { .. }) {
            self.tell(&job, view.got, 0, Err(format!("cancelled by {by}")));
        }
        Ok(view)
    }

    /// Every job, the oldest first; what is done stays for a while.
    pub fn list(&self) -> Vec<JobView> {
        self.jobs().values().map(Job::view).collect()
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<JobView> {
        self.jobs().get(id).map(Job::view)
    }

    /// The names of keyrings that are on this server.
    pub fn keyrings(&self) -> Vec<String> {
        let directories = self.0.site.keyrings.iter();
        let entries = directories.filter_map(|directory| fs::read_dir(directory).ok());
        let names = entries.flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|name| is_keyring(name))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn keyring(&self, name: &str) -> Result<Octets, FetchError> {
        self.0.site.keyring(name)
    }

    /// What can be taken from mirrors, and where each is taken from unless somebody says otherwise.
    ///
    /// # Errors
    /// A recipe of the operator's that cannot be read.
    pub fn mirrors(&self) -> Result<Vec<(Mirror, Option<String>)>, FetchError> {
        let all = recipe::load(&self.0.site.recipes)?;
        let placed = all.into_iter().map(|mirror| {
            let from = self.0.site.mirrors.get(&mirror.site).cloned();
            (mirror, from)
        });
        Ok(placed.collect())
    }

    /// A job like this one, which goes on where it stopped.
    async fn again(&self, job: Job, order: Order) -> Result<JobView, FetchError> {
        let fresh = job.like(order);
        // Whoever worked on it has just let go.
        let _idle = job.busy().lock().await;
        fresh.save(None).await?;
        self.jobs().insert(fresh.id().to_owned(), fresh.clone());
        self.spawn(fresh.clone());
        Ok(fresh.view())
    }

    /// Forgets the oldest that is done, when there are many.
    fn make_room(&self) -> Result<(), FetchError> {
        let mut jobs = self.jobs();
        if jobs.len() < MOST {
            return Ok(());
        }
        let done = |job: &&Job| matches!(job.stage(), Stage::Done { .. });
        let oldest = jobs.values().find(done).map(|job| job.id().to_owned());
        match oldest {
            Some(id) => drop(jobs.remove(&id)),
            None => return Err(FetchError::TooMany(jobs.len())),
        }
        Ok(())
    }

    fn spawn(&self, job: Job) {
        let fetcher = self.clone();
        let mut tasks = self.tasks();
        // Those that ended are let go of.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move { fetcher.run(&job).await });
    }

    async fn run(&self, job: &Job) {
        let _busy = job.busy().lock().await;
        let work = async {
            // Never closed.
            let _turn = self.0.turns.acquire().await;
            let began = Instant::now();
            (work::run(&self.0.site, job).await, began.elapsed())
        };
        let (ended, took) = tokio::select! {
            biased;
            () = job.cancelled() => return,
            ended = work => ended,
        };
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let got = job.got();
        match ended {
            Ok(sha256) => {
                job.forget().await;
                self.tell(job, got, millis, Ok(()));
                job.enter(Stage::Done { sha256 });
            }
            Err(error) => {
                let why = error.to_string();
                if let Err(error) = job.save(Some(why.clone())).await {
                    tracing::warn!(%error, "a failed job is tried again at the next start");
                }
                self.tell(job, got, millis, Err(why.clone()));
                job.enter(Stage::Failed { why });
            }
        }
    }

    fn tell(&self, job: &Job, bytes: u64, millis: u64, ended: Result<(), String>) {
        let view = job.view();
        (self.0.site.tell)(EventKind::ImageFetched {
            image: view.name,
            from: view.from,
            bytes,
            millis,
            verified: view.verified,
            problem: ended.err(),
            by: view.by,
        });
    }

    fn job(&self, id: &str) -> Result<Job, FetchError> {
        let found = self.jobs().get(id).cloned();
        found.ok_or_else(|| FetchError::NotFound(id.chars().take(80).collect()))
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Means {
    pub(crate) fn mirror(&self, name: &str) -> Result<Mirror, FetchError> {
        let all = recipe::load(&self.recipes)?;
        let known: Vec<&str> = all.iter().map(|mirror| mirror.name.as_str()).collect();
        let told = format!(
            "there is no recipe {name} of a mirror; there are {}",
            known.join(", ")
        );
        let found = all.iter().find(|mirror| mirror.name == name).cloned();
        found.ok_or(FetchError::Order(told))
    }

    /// An order that says where its mirror is.
    fn placed(&self, mut order: Order) -> Result<Order, FetchError> {
        order.mirror = order.mirror.filter(|name| !name.is_empty());
        let Some(name) = &order.mirror else {
            return Ok(order);
        };
        let mirror = self.mirror(name)?;
        if order.url.trim().is_empty() {
            let site = &mirror.site;
            let from = self.mirrors.get(site).cloned();
            order.url = from.ok_or_else(|| {
                FetchError::Order(format!(
                    "say where the mirror is (--from URL), or name it in the configuration as outgoing.mirrors.{site}"
                ))
            })?;
        }
        Ok(order)
    }

    pub(crate) fn keyring(&self, name: &str) -> Result<Octets, FetchError> {
        let places: Vec<String> = self
            .keyrings
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let absent = || {
            FetchError::Order(format!(
                "there is no keyring {name} in {}",
                places.join(" or ")
            ))
        };
        if !is_keyring(name) {
            return Err(absent());
        }
        let mut paths = self.keyrings.iter().map(|directory| directory.join(name));
        let octets = paths.find_map(|path| fs::read(path).ok());
        octets.map(Octets).ok_or_else(absent)
    }
}

/// A name that a keyring may have; nothing that leads elsewhere.
fn is_keyring(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let ending = [".gpg", ".asc", ".pgp"]
        .iter()
        .any(|end| name.ends_with(end));
    ending && !name.starts_with('.') && name.chars().all(plain)
}

const AT_ONCE: usize = 2;
/// With those that failed and those that are done.
const MOST: usize = 32;
