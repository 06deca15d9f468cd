//! The part of `/images` where the server fetches images itself.

use super::error::{PageError, PageResult};
use super::form::{Fields, Path};
use super::frame::{Visit, done, failed};
use super::story::{printable, size};
use crate::people::PeopleState;
use axum::extract::State;
use fetch::{FetchError, Fetcher, Given, JobView, Octets, Order, Proof, Stage};

/// A file that is being fetched, or has failed.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) from: String,
    pub(super) by: String,
    /// What it does, for people.
    pub(super) says: String,
    /// Why it pauses or has failed.
    pub(super) why: String,
    pub(super) failed: bool,
    pub(super) done: u64,
    pub(super) total: u64,
    /// Nothing will vouch for it.
    pub(super) unverified: bool,
}

/// What a form can offer to choose from.
#[derive(Default)]
pub(super) struct Choices {
    pub(super) keyrings: Vec<String>,
    pub(super) mirrors: Vec<MirrorChoice>,
    /// Why there are fewer than there might be.
    pub(super) fault: String,
}

/// Netboot files that can be taken from a mirror.
pub(super) struct MirrorChoice {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) from: String,
}

/// Keyrings and mirrors of this server.
pub(super) fn choices(state: &PeopleState) -> Choices {
    let Some(fetcher) = &state.fetcher else {
        return Choices::default();
    };
    let (mirrors, fault) = match fetcher.mirrors() {
        Ok(mirrors) => (mirrors, String::new()),
        Err(error) => (Vec::new(), error.to_string()),
    };
    let choice = |(mirror, from): (fetch::Mirror, Option<String>)| MirrorChoice {
        name: mirror.name,
        title: mirror.title,
        from: from.unwrap_or_default(),
    };
    Choices {
        keyrings: fetcher.keyrings(),
        mirrors: mirrors.into_iter().map(choice).collect(),
        fault,
    }
}

/// Those that are no images yet.
pub(super) fn jobs(state: &PeopleState) -> Vec<Job> {
    let fetcher = state.fetcher.iter();
    let all = fetcher.flat_map(Fetcher::list);
    all.filter_map(Job::of).collect()
}

/// `POST /images/fetches`
pub(crate) async fn begin(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> PageResult {
    let given = |name: &str| Some(fields.get(name).to_owned()).filter(|text| !text.is_empty());
    let fetcher = fetcher(&state)?;
    let keyring = match (given("keyring_file"), given("keyring")) {
        (Some(name), _) => fetcher.keyring(&name).map(Some),
        (None, Some(text)) => Octets::try_from(text)
            .map(Some)
            .map_err(|why| FetchError::Order(format!("the keyring is {why}"))),
        (None, None) => Ok(None),
    };
    let keyring = match keyring {
        Ok(keyring) => keyring,
        Err(error) => return told(error),
    };
    let order = Order {
        name: fields.get("name").to_owned(),
        url: fields.get("url").to_owned(),
        mirror: given("mirror"),
        allow_older: given("allow_older").is_some(),
        proof: Proof {
            sha256: given("sha256"),
            sums: given("sums"),
            signature: given("signature").map(Given::Url),
            keyring,
        },
        by: visit.actor.name.clone(),
    };
    match fetcher.begin(order).await {
        Ok(job) => {
            let told = format!("Fetching {}; it appears below when it is whole.", job.name);
            Ok(done("/images", told))
        }
        Err(error) => told(error),
    }
}

/// `POST /images/fetches/{id}/cancel`
pub(crate) async fn cancel(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<String>,
) -> PageResult {
    match fetcher(&state)?.cancel(&id, &visit.actor.name).await {
        Ok(job) => Ok(done("/images", format!("{} is not fetched.", job.name))),
        Err(error) => told(error),
    }
}

/// `POST /images/fetches/{id}/retry`
pub(crate) async fn retry(
    State(state): State<PeopleState>,
    _: Visit,
    Path(id): Path<String>,
) -> PageResult {
    match fetcher(&state)?.retry(&id).await {
        Ok(job) => Ok(done("/images", format!("Fetching {} again.", job.name))),
        Err(error) => told(error),
    }
}

fn fetcher(state: &PeopleState) -> Result<&Fetcher, PageError> {
    let fetcher = state.fetcher.as_ref();
    fetcher.ok_or_else(|| PageError::NotFound("this server fetches no images".to_owned()))
}

/// What people can mend is said where they are.
fn told(error: FetchError) -> PageResult {
    match error {
        FetchError::NotFound(_) => Err(PageError::NotFound(error.to_string())),
        FetchError::Io(_) => Err(PageError::Unreadable(error.to_string())),
        error => Ok(failed("/images", error)),
    }
}

impl Job {
    fn of(job: JobView) -> Option<Job> {
        let come = match job.size {
            Some(whole) => format!("{} of {}", size(job.got), size(whole)),
            None => size(job.got),
        };
        let (says, why) = match job.stage {
            Stage::Done { .. } => return None,
            Stage::Waiting => ("waits for its turn".to_owned(), String::new()),
            Stage::Asking => ("asking for what vouches for it".to_owned(), String::new()),
            Stage::Fetching if job.rate > 0 => {
                (format!("{come}, {}/s", size(job.rate)), String::new())
            }
            Stage::Fetching => (come, String::new()),
            Stage::Checking => ("comparing its checksum".to_owned(), String::new()),
            Stage::Pausing { ref why } => (format!("{come}, trying again"), why.clone()),
            Stage::Failed { ref why } if job.got == 0 => ("failed".to_owned(), why.clone()),
            Stage::Failed { ref why } => (format!("failed; {come} are kept"), why.clone()),
        };
        Some(Job {
            id: job.id,
            name: printable(&job.name),
            from: printable(&job.from),
            by: printable(&job.by),
            says,
            why: printable(&why),
            failed: matches!(job.stage, Stage::Failed { .. }),
            done: job.got,
            total: job.size.unwrap_or(job.got).max(1),
            unverified: job.verified.is_none()
                && matches!(job.stage, Stage::Fetching | Stage::Checking),
        })
    }
}
