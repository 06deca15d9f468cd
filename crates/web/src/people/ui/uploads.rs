//! `/uploads`: what network hardware has stored, and what that changed.

use super::error::{PageError, PageResult, page};
use super::form::Query;
use super::frame::{Frame, Stamp, Visit, now};
use super::story::{printable, size};
use crate::people::PeopleState;
use crate::people::auth::form_encode;
use crate::uploads::{self, Change, Listed, UploadError};
use askama::Template;
use axum::extract::State;
use bootfiles::dropbox::{Cursor, DropBox, Overwrite, Stored, Version};
use bootplan::{Catalog, RelPath};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "uploads.html")]
struct UploadsPage {
    frame: Frame,
    rows: Vec<Row>,
    boxes: Vec<BoxLine>,
    older: Option<String>,
    paged: bool,
}

#[derive(Template)]
#[template(path = "upload.html")]
struct UploadPage {
    frame: Frame,
    name: String,
    row: Row,
    is_newest: bool,
    change: Change,
    diff: Vec<uploads::DiffLine>,
    why_not: &'static str,
    versions: Vec<Row>,
    count: usize,
    paged: bool,
    /// The address of the page with older versions.
    older: Option<String>,
}

/// One upload.
struct Row {
    name: String,
    version: String,
    href: String,
    content: String,
    who: String,
    who_href: Option<String>,
    address: String,
    ago: Stamp,
    size: String,
    bytes: u64,
    sha256: String,
    change: String,
    here: bool,
}

struct BoxLine {
    prefix: String,
    used: String,
    quota: String,
    percent: u64,
    rule: &'static str,
    readable: bool,
}

#[derive(Deserialize)]
pub(crate) struct Page {
    before: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct One {
    name: String,
    version: Option<String>,
    before: Option<String>,
}

/// `GET /uploads`
pub(crate) async fn list(
    State(state): State<PeopleState>,
    visit: Visit,
    Query(query): Query<Page>,
) -> PageResult {
    let before = query.before.as_deref().map(str::parse::<Cursor>);
    let before = before.transpose().map_err(|()| not_understood())?;
    let paged = before.is_some();
    let listed = uploads::list(&state, before, PAGE).await?;
    let catalog = state.store.catalog();
    let row = |Listed { stored, change }| Row::new(stored, &catalog).with(&change);
    page(&UploadsPage {
        frame: visit.frame(&state, "uploads"),
        rows: listed.uploads.into_iter().map(row).collect(),
        boxes: state.drop_boxes.iter().map(BoxLine::of).collect(),
        older: listed.older.map(|place| form_encode(&place.to_string())),
        paged,
    })
}

/// `GET /uploads/file`: one upload and others of its name, those older than `before`.
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
    Query(query): Query<One>,
) -> PageResult {
    let (name, version) = query.parse()?;
    let before = parse_version(query.before.as_deref())?;
    let paged = before.is_some();
    let shown = uploads::show(&state, name.clone(), version, before, VERSIONS).await?;
    let catalog = state.store.catalog();
    let row = Row::new(shown.stored, &catalog);
    let older = shown.versions.older.map(|version| {
        let before = form_encode(version.as_str());
        format!("{}&before={before}", row.href)
    });
    let versions = shown.versions.uploads.into_iter();
    let versions = versions.map(|stored| Row::new(stored, &catalog));
    let versions = versions.map(|other| Row {
        here: other.version == row.version,
        ..other
    });
    page(&UploadPage {
        frame: visit.frame(&state, "uploads"),
        name: printable(name.as_str()),
        is_newest: shown.is_newest,
        change: shown.comparison.change,
        diff: shown.comparison.lines,
        why_not: shown.comparison.why_not,
        count: shown.count,
        paged,
        older,
        versions: versions.collect(),
        row,
    })
}

/// `GET /uploads/content`: to be saved.
pub(crate) async fn content(
    State(state): State<PeopleState>,
    _: Visit,
    Query(query): Query<One>,
) -> PageResult {
    let (name, version) = query.parse()?;
    Ok(uploads::content(&state, name, version).await?)
}

impl One {
    fn parse(&self) -> Result<(RelPath, Option<Version>), PageError> {
        let name = self.name.parse().map_err(|_| not_understood())?;
        Ok((name, parse_version(self.version.as_deref())?))
    }
}

fn parse_version(text: Option<&str>) -> Result<Option<Version>, PageError> {
    let version = text.map(str::parse).transpose();
    version.map_err(|()| not_understood())
}

/// Of the page of one upload.
pub(super) fn address(name: &str, version: &str) -> String {
    format!("/uploads/file?{}", query(name, version))
}

fn query(name: &str, version: &str) -> String {
    format!(
        "name={}&version={}",
        form_encode(name),
        form_encode(version)
    )
}

fn not_understood() -> PageError {
    PageError::Address("no upload has such a name or time".to_owned())
}

impl From<UploadError> for PageError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::NotFound(_) => PageError::NotFound(error.to_string()),
            UploadError::Unreadable(_) => PageError::Unreadable(error.to_string()),
        }
    }
}

impl Row {
    fn new(stored: Stored, catalog: &Catalog) -> Row {
        let device = &stored.record.device;
        let machine = device.mac.and_then(|mac| catalog.find(mac, None));
        let (path, version) = (stored.name.as_str(), stored.version.as_str());
        Row {
            name: printable(stored.name.as_str()),
            href: address(path, version),
            content: format!("/uploads/content?{}", query(path, version)),
            who: match machine {
                Some(machine) => printable(&machine.name),
                None => device.ip.to_string(),
            },
            who_href: machine.map(|machine| format!("/machines/{}", machine.id.0)),
            address: match (machine, device.mac) {
                (Some(_), _) => device.ip.to_string(),
                (None, Some(mac)) => mac.to_string(),
                (None, None) => String::new(),
            },
            ago: Stamp::ago(stored.record.at, now()),
            size: size(stored.record.bytes),
            bytes: stored.record.bytes,
            sha256: stored.record.sha256,
            version: stored.version.to_string(),
            change: String::new(),
            here: false,
        }
    }

    fn with(self, change: &Change) -> Row {
        let change = match change {
            Change::First => "first of its name".to_owned(),
            Change::Same => "as before".to_owned(),
            Change::Lines { added, removed } => format!("+{added} −{removed} lines"),
            Change::Other { before } => match self.bytes.checked_sub(*before) {
                Some(0) => "other content, same size".to_owned(),
                Some(more) => format!("{} more", size(more)),
                None => format!("{} less", size(before - self.bytes)),
            },
        };
        Row { change, ..self }
    }
}

impl BoxLine {
    fn of(drop_box: &DropBox) -> BoxLine {
        let settings = drop_box.settings();
        let used = drop_box.used();
        BoxLine {
            prefix: settings.prefix.to_string(),
            used: size(used),
            quota: size(settings.quota),
            percent: used.saturating_mul(100) / settings.quota.max(1),
            rule: match settings.overwrite {
                Overwrite::Never => "never overwritten",
                Overwrite::Version => "every version kept",
                Overwrite::Replace => "replaced",
            },
            readable: settings.readable,
        }
    }
}

const PAGE: usize = 50;
/// Versions on one page.
const VERSIONS: usize = 100;
