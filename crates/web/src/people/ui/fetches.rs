//! The part of `/images` where the server fetches images itself.

use super::error::{PageError, PageResult, page, sentence};
use super::form::{Fields, Path};
use super::frame::{Visit, done, failed};
use super::images::images_page;
use super::story::{printable, size};
use crate::people::PeopleState;
use axum::extract::State;
use axum::response::IntoResponse;
use fetch::{FetchError, Fetcher, Given, JobView, Octets, Order, Proof, Stage};
use http::StatusCode;

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

/// The forms as typed, and why what they ask for is not fetched.
#[derive(Default)]
pub(super) struct FetchForm {
    pub(super) name: String,
    pub(super) url: String,
    /// Of the form for a mirror, which this then is.
    pub(super) mirror: String,
    pub(super) sha256: String,
    pub(super) sums: String,
    pub(super) signature: String,
    pub(super) keyring: String,
    pub(super) keyring_file: String,
    pub(super) allow_older: bool,
    /// Empty when nothing was asked.
    pub(super) problem: String,
}

impl FetchForm {
    fn typed(fields: &Fields) -> FetchForm {
        let text = |name: &str| fields.get(name).to_owned();
        FetchForm {
            name: text("name"),
            url: text("url"),
            mirror: text("mirror"),
            sha256: text("sha256"),
            sums: text("sums"),
            signature: text("signature"),
            keyring: fields.raw("keyring").to_owned(),
            keyring_file: text("keyring_file"),
            allow_older: fields.has("allow_older"),
            problem: String::new(),
        }
    }

    /// What the form for a URL holds.
    pub(super) fn of_url(&self) -> Option<&FetchForm> {
        Some(self).filter(|form| !form.problem.is_empty() && form.mirror.is_empty())
    }

    /// What the form for a mirror holds.
    pub(super) fn of_mirror(&self) -> Option<&FetchForm> {
        Some(self).filter(|form| !form.mirror.is_empty())
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
    let form = FetchForm::typed(&fields);
    let begun = match order(&state, &form, &visit.actor.name) {
        Ok(order) => fetcher(&state)?.begin(order).await,
        Err(error) => Err(error),
    };
    match begun {
        Ok(job) => {
            let told = format!("Fetching {}; it appears below when it is whole.", job.name);
            Ok(done("/images", told))
        }
        Err(FetchError::Io(error)) => told(FetchError::Io(error)),
        Err(error) => {
            let problem = sentence(&error.to_string());
            let shown = images_page(&state, &visit, FetchForm { problem, ..form }).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)?).into_response())
        }
    }
}

fn order(state: &PeopleState, form: &FetchForm, by: &str) -> Result<Order, FetchError> {
    let given = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let keyring = match (given(&form.keyring_file), given(&form.keyring)) {
        (Some(name), _) => {
            let fetcher = state.fetcher.as_ref();
            let none = || FetchError::Order("this server fetches no images".to_owned());
            Some(fetcher.ok_or_else(none)?.keyring(&name)?)
        }
        (None, Some(text)) => {
            let octets = Octets::try_from(text);
            Some(octets.map_err(|why| FetchError::Order(format!("the keyring is {why}")))?)
        }
        (None, None) => None,
    };
    Ok(Order {
        name: form.name.clone(),
        url: form.url.clone(),
        mirror: given(&form.mirror),
        allow_older: form.allow_older,
        proof: Proof {
            sha256: given(&form.sha256),
            sums: given(&form.sums),
            signature: given(&form.signature).map(Given::Url),
            keyring,
        },
        by: by.to_owned(),
    })
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
