//! Uploads as people see them, for pages and API alike: who brought what, and how it differs from what was there
//! before. Everything here waits for the file system: for threads that may.

mod compare;

pub(crate) use compare::{Change, Comparison, DiffLine};

use crate::people::PeopleState;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bootfiles::dropbox::{Cursor, DropBoxes, Stored, Version};
use bootplan::RelPath;
use bytes::Bytes;
use http::{HeaderValue, header};
use std::io;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

/// Why an upload cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// No such name, or not this version of it.
    #[error("there is no upload {0}")]
    NotFound(String),
    /// A directory or file cannot be read.
    #[error("uploads cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// One upload and what it changed.
pub(crate) struct Listed {
    /// The upload.
    pub(crate) stored: Stored,
    /// Against the one before.
    pub(crate) change: Change,
}

/// A page of uploads, newest first.
pub(crate) struct Page {
    /// The uploads.
    pub(crate) uploads: Vec<Listed>,
    /// Where the older ones begin.
    pub(crate) older: Option<Cursor>,
}

/// One name with all its uploads, newest first, and the difference that one of them made.
pub(crate) struct Shown {
    /// Every upload of that name.
    pub(crate) versions: Vec<Stored>,
    /// Which of them is shown.
    pub(crate) at: usize,
    /// Against the one before.
    pub(crate) comparison: Comparison,
}

/// The newest uploads of all boxes.
pub(crate) async fn list(
    state: &PeopleState,
    before: Option<Cursor>,
    limit: usize,
) -> Result<Page, UploadError> {
    blocking(state, move |boxes| {
        let history = boxes.history(before.as_ref(), limit)?;
        Ok(Page {
            uploads: listed(&boxes, history.uploads)?,
            older: history.older,
        })
    })
    .await
}

/// The newest uploads of a name.
pub(crate) async fn versions(
    state: &PeopleState,
    name: RelPath,
    limit: usize,
) -> Result<Vec<Listed>, UploadError> {
    blocking(state, move |boxes| {
        let versions = boxes.versions(&name, limit)?;
        if versions.is_empty() {
            return Err(UploadError::NotFound(name.to_string()));
        }
        listed(&boxes, versions)
    })
    .await
}

fn listed(boxes: &DropBoxes, uploads: Vec<Stored>) -> Result<Vec<Listed>, UploadError> {
    let until = Instant::now() + LIST_BUDGET;
    let before = boxes.before(&uploads)?;
    let pairs = uploads.into_iter().zip(before);
    let listed = pairs.map(|(stored, before)| Listed {
        change: compare::change(boxes, &stored, before.as_ref(), until),
        stored,
    });
    Ok(listed.collect())
}

/// One name, and what one of its uploads (the newest, if none is named) changed.
pub(crate) async fn show(
    state: &PeopleState,
    name: RelPath,
    version: Option<Version>,
) -> Result<Shown, UploadError> {
    blocking(state, move |boxes| {
        let versions = boxes.versions(&name, usize::MAX)?;
        let wanted = |stored: &Stored| version.as_ref().is_none_or(|v| stored.version == *v);
        let at = versions.iter().position(wanted);
        let at = at.ok_or_else(|| UploadError::NotFound(name.to_string()))?;
        let comparison = compare::compare(&boxes, &versions[at], versions.get(at + 1))?;
        Ok(Shown {
            versions,
            at,
            comparison,
        })
    })
    .await
}

/// The content of one upload (the newest, if none is named), to be saved and never to be shown: it came from the network.
pub(crate) async fn content(
    state: &PeopleState,
    name: RelPath,
    version: Option<Version>,
) -> Result<Response, UploadError> {
    let file_name = attachment(name.file_name());
    let opened = blocking(state, move |boxes| {
        let absent = || UploadError::NotFound(name.to_string());
        let newest = || -> io::Result<Option<Version>> {
            let first = boxes.versions(&name, 1)?.into_iter().next();
            Ok(first.map(|stored| stored.version))
        };
        let version = match version {
            Some(version) => version,
            None => newest()?.ok_or_else(absent)?,
        };
        let file = boxes.open_version(&name, &version)?.ok_or_else(absent)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    });
    let (file, len) = opened.await?;
    let pieces = futures_util::stream::try_unfold(
        (tokio::fs::File::from_std(file), len),
        async |(mut file, left)| {
            let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
            let read = file.read(&mut piece).await?;
            piece.truncate(read);
            let rest = (file, left - read as u64);
            io::Result::Ok((read > 0).then(|| (Bytes::from(piece), rest)))
        },
    );
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (header::CONTENT_DISPOSITION, file_name),
        (header::CONTENT_LENGTH, HeaderValue::from(len)),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// A file name as browsers may take it: plain characters only, whatever the device called it.
fn attachment(name: &str) -> HeaderValue {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let safe: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    HeaderValue::try_from(format!("attachment; filename=\"{safe}\""))
        .expect("plain characters are a header value")
}

async fn blocking<T: Send + 'static>(
    state: &PeopleState,
    work: impl FnOnce(DropBoxes) -> Result<T, UploadError> + Send + 'static,
) -> Result<T, UploadError> {
    let boxes = state.drop_boxes.clone();
    let done = tokio::task::spawn_blocking(move || work(boxes)).await;
    done.map_err(io::Error::other)?
}

const PIECE: usize = 64 << 10;
/// For all differences of one list together: a page must not wait for them.
const LIST_BUDGET: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_quotes() {
        for (name, expected) in [
            ("sw1.cfg", "attachment; filename=\"sw1.cfg\""),
            ("a\"b;c", "attachment; filename=\"a_b_c\""),
            ("ünï", "attachment; filename=\"_n_\""),
        ] {
            assert_eq!(attachment(name), expected);
        }
    }
}
