//! Uploads as people see them, for pages and API alike: who brought what, and how it differs from what was there
//! before. Everything here waits for the file system: for threads that may.

mod compare;

pub(crate) use compare::{Change, Comparison, DiffLine};

use crate::people::PeopleState;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bootfiles::dropbox::{self, Cursor, DropBoxes, Stored, Version};
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

/// Uploads of one name, newest first.
pub(crate) struct Versions {
    /// The uploads.
    pub(crate) uploads: Vec<Stored>,
    /// Older than this there are more.
    pub(crate) older: Option<Version>,
}

/// One upload, the difference that it made, and others of its name.
pub(crate) struct Shown {
    /// The one.
    pub(crate) stored: Stored,
    /// Whether its name means this one.
    pub(crate) is_newest: bool,
    /// How many of that name there are.
    pub(crate) count: usize,
    /// A page of them.
    pub(crate) versions: Versions,
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

/// The newest uploads of a name; only those older than `before` if that is given.
pub(crate) async fn versions(
    state: &PeopleState,
    name: RelPath,
    before: Option<Version>,
    limit: usize,
) -> Result<(Vec<Listed>, Option<Version>), UploadError> {
    blocking(state, move |boxes| {
        let absent = || UploadError::NotFound(name.to_string());
        let of_name = boxes.of_name(&name)?.ok_or_else(absent)?;
        let page = page(&of_name, before.as_ref(), limit);
        if page.uploads.is_empty() && before.is_none() {
            return Err(absent());
        }
        Ok((listed(&boxes, page.uploads)?, page.older))
    })
    .await
}

fn listed(boxes: &DropBoxes, uploads: Vec<Stored>) -> Result<Vec<Listed>, UploadError> {
    let before = boxes.before(&uploads)?;
    let until = Instant::now() + LIST_BUDGET;
    let pairs = uploads.into_iter().zip(before);
    let listed = pairs.map(|(stored, before)| Listed {
        change: compare::change(boxes, &stored, before.as_ref(), until),
        stored,
    });
    Ok(listed.collect())
}

fn page(of_name: &dropbox::Versions, before: Option<&Version>, limit: usize) -> Versions {
    let mut rest = of_name.older_than(before);
    let uploads: Vec<Stored> = rest.by_ref().take(limit).collect();
    let last = uploads.last().map(|stored| stored.version.clone());
    Versions {
        older: last.filter(|_| rest.next().is_some()),
        uploads,
    }
}

/// One upload (the newest of its name, if no version is given), what it changed, and of all of its name those older
/// than `before`, at most `limit`.
pub(crate) async fn show(
    state: &PeopleState,
    name: RelPath,
    version: Option<Version>,
    before: Option<Version>,
    limit: usize,
) -> Result<Shown, UploadError> {
    blocking(state, move |boxes| {
        let absent = || UploadError::NotFound(name.to_string());
        let of_name = boxes.of_name(&name)?.ok_or_else(absent)?;
        let newest = of_name.older_than(None).next().ok_or_else(absent)?;
        let stored = match version {
            Some(version) => of_name.get(&version).ok_or_else(absent)?,
            None => newest.clone(),
        };
        let one_before = of_name.older_than(Some(&stored.version)).next();
        Ok(Shown {
            comparison: compare::compare(&boxes, &stored, one_before.as_ref())?,
            is_newest: stored.version == newest.version,
            count: of_name.count(),
            versions: page(&of_name, before.as_ref(), limit),
            stored,
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
/// For all differences of one page of a list together: nobody is to wait for them.
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
