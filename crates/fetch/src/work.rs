//! The way of one job: ask who vouches, fetch, compare, publish; and again, when what fails may pass.

use crate::fetcher::Site;
use crate::job::{Job, Stage};
use crate::{FetchError, download, mirror, openpgp, proof};
use bootfiles::images::{ImageInfo, Origin};
use std::fs;
use std::sync::Arc;

/// Works on a job to its end; the SHA-256 of the image, if it is one file.
pub(crate) async fn run(site: &Site, job: &Job) -> Result<Option<String>, FetchError> {
    let mut failures = 0;
    let mut furthest = job.got();
    for _ in 0..ATTEMPTS {
        let error = match attempt(site, job).await {
            Err(error) if error.is_passing() => error,
            ended => return ended,
        };
        // Progress is what was never here before: a server that cuts at the same place each time
        // is not waited for without end.
        failures = if job.got() > furthest {
            1
        } else {
            failures + 1
        };
        furthest = furthest.max(job.got());
        if failures > site.patience.tries {
            return Err(FetchError::GaveUp {
                tries: failures,
                last: Box::new(error),
            });
        }
        tracing::info!(image = job.order().name, %error, "fetching an image is tried again");
        let why = error.to_string();
        job.enter(Stage::Pausing { why });
        tokio::time::sleep(site.patience.pause(failures)).await;
    }
    let told = format!("given up after {ATTEMPTS} tries");
    Err(FetchError::Order(told))
}

async fn attempt(site: &Site, job: &Job) -> Result<Option<String>, FetchError> {
    if let Some(image) = site.published(job).await? {
        return Ok(image.sha256.clone());
    }
    if let Some(name) = &job.order().mirror {
        mirror::run(site, job, name).await?;
        return Ok(None);
    }
    job.enter(Stage::Asking);
    let mut expected = proof::expected(site, job).await?;
    job.verified(expected.verified());
    job.enter(Stage::Fetching);
    let staging = download::file(site, job).await?;
    job.enter(Stage::Checking);
    if let Some((signature, keys)) = &expected.signature {
        let by = openpgp::detached(&keys.0, signature, &staging.part()).await;
        expected.said.push(format!("the signature of {}", by?));
        job.verified(expected.verified());
    }
    let origin = Origin {
        from: Some(job.from()),
        verified: expected.verified(),
        sha256: expected.sha256,
    };
    let published = site.blocking(move |images| images.publish_from(&staging, &origin));
    Ok(Some(published.await?))
}

impl Site {
    /// The image, if the server was stopped between its publication and the note that it is done.
    async fn published(&self, job: &Job) -> Result<Option<Arc<ImageInfo>>, FetchError> {
        let name = job.order().name.clone();
        let found = self.blocking(move |images| {
            if fs::symlink_metadata(images.directory().join(&name)).is_err() {
                return Ok(None);
            }
            images.look()?;
            Ok(images.get(&name))
        });
        let ours =
            |image: &Arc<ImageInfo>| image.from == Some(job.from()) && image.added >= job.made();
        Ok(found.await?.filter(ours))
    }
}

/// Of a server that sends a little more each time.
const ATTEMPTS: u32 = 1000;
