//! One file from a URL into the images directory, going on where it stopped.

use crate::FetchError;
use crate::fetcher::Site;
use crate::job::{Job, Part};
use bootfiles::images::{ImageError, Staging, Wanted};
use reach::{Answer, Fault, Limits, Request, Resume};

/// Fetches what is missing of a job's file. What has come before a failure stays.
pub(crate) async fn file(site: &Site, job: &Job) -> Result<Staging, FetchError> {
    let request = Request::new(&job.order().url)?.limits(Limits::file(LARGEST));
    let before = site.staging(job);
    job.has(before.as_ref().map_or(0, Staging::offset));
    if let Some(staging) = &before
        && staging.wanted().len == Some(staging.offset())
    {
        return Ok(staging.clone());
    }
    let resume = before.as_ref().zip(job.part()).and_then(|(staging, part)| {
        Some(Resume {
            offset: staging.offset(),
            validator: part.validator?,
        })
    });
    let answer = match site.client.get(&request.resume(resume.clone())).await {
        Err(error) if resume.is_some() && is_beyond(&error) => {
            throw_away(site, job).await;
            let what = "the file is shorter than what has come of it".to_owned();
            let asked = error.asked;
            return Err(FetchError::Changed { asked, what });
        }
        answer => answer?,
    };
    let staging = match before {
        Some(staging) if answer.begins > 0 => {
            let known = job.part().and_then(|part| part.size);
            if let (Some(known), Some(size)) = (known, answer.size)
                && known != size
            {
                throw_away(site, job).await;
                let what = format!("the file had {known} bytes and has {size} now");
                let asked = format!("GET {}", answer.from);
                return Err(FetchError::Changed { asked, what });
            }
            staging
        }
        before => {
            // The server sends all of it: the file has changed, or it knows no ranges.
            if before.is_some() {
                throw_away(site, job).await;
            }
            begin(site, job, &answer).await?
        }
    };
    let part = staging.clone();
    let append = move |offset, piece: &[u8]| part.append(offset, piece);
    pour(site, job, append, answer, 0).await?;
    Ok(staging)
}

async fn begin(site: &Site, job: &Job, answer: &Answer) -> Result<Staging, FetchError> {
    let part = Part {
        file: String::new(),
        validator: answer.validator.clone(),
        size: answer.size,
    };
    let wanted = Wanted {
        name: job.order().name.clone(),
        len: part.size,
        sha256: None,
        mark: part.validator.clone().unwrap_or_default(),
        source: format!("fetched by {}", job.order().by),
        job: Some(job.id().to_owned()),
    };
    // Its validator first: what came of a version that nobody can name cannot be gone on with.
    job.begins(part).await?;
    site.blocking(move |images| images.begin(wanted)).await
}

/// Writes a body to the end of what is there; `others` bytes of other files have come as well.
pub(crate) async fn pour(
    site: &Site,
    job: &Job,
    append: impl Fn(u64, &[u8]) -> Result<u64, ImageError> + Clone + Send + 'static,
    answer: Answer,
    others: u64,
) -> Result<(), FetchError> {
    let mut offset = answer.begins;
    let mut body = answer.into_body();
    let mut held = Vec::with_capacity(PIECE);
    loop {
        let piece = body.chunk().await;
        if let Ok(Some(piece)) = &piece {
            held.extend_from_slice(piece);
        }
        let ended = !matches!(piece, Ok(Some(_)));
        if held.len() >= PIECE || ended && !held.is_empty() {
            let (append, piece) = (append.clone(), std::mem::take(&mut held));
            offset = site.blocking(move |_| append(offset, &piece)).await?;
            job.has(others + offset);
        }
        if ended {
            piece?;
            return Ok(());
        }
    }
}

pub(crate) async fn throw_away(site: &Site, job: &Job) {
    if let Some(staging) = site.staging(job) {
        // It may be over already.
        let _ = site.blocking(move |images| images.cancel(&staging)).await;
    }
    let id = job.id().to_owned();
    if let Err(error) = site.blocking(move |images| images.drop_bundle(&id)).await {
        tracing::warn!(%error, "what had come of an image is still on the disk");
    }
    job.has(0);
}

/// Whether the server says that there is nothing behind what we have.
pub(crate) fn is_beyond(error: &reach::Error) -> bool {
    matches!(error.fault, Fault::Status { status: 416, .. })
}

/// Whether the server says that there is no such file.
pub(crate) fn is_absent(error: &reach::Error) -> bool {
    matches!(
        error.fault,
        Fault::Status {
            status: 404 | 410,
            ..
        }
    )
}

/// A small text, such as a list of checksums.
pub(crate) async fn text(site: &Site, url: &str) -> Result<Vec<u8>, FetchError> {
    let limits = Limits {
        body: TEXT,
        ..Limits::SMALL
    };
    let request = Request::new(url)?.limits(limits);
    Ok(site.client.get(&request).await?.bytes().await?)
}

/// Written at once.
const PIECE: usize = 1 << 20;
/// No image has more bytes.
const LARGEST: u64 = 1 << 40;
/// Nor a list of checksums.
const TEXT: u64 = 4 << 20;

impl Site {
    /// What has come of a job.
    pub(crate) fn staging(&self, job: &Job) -> Option<Staging> {
        let mut all = self.images.fetched().into_iter();
        all.find(|staging| staging.wanted().job.as_deref() == Some(job.id()))
    }

    /// Does something with the images directory on a thread that may wait.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&bootfiles::images::ImageStore) -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, FetchError> {
        let images = self.images.clone();
        let done = tokio::task::spawn_blocking(move || work(&images)).await;
        Ok(done.map_err(std::io::Error::other)??)
    }
}
