//! `/settings/files`: documents and tables, shown as a difference before they are applied.

use super::error::{PageError, page, sentence};
use super::form::Fields;
use super::frame::{Frame, Visit, done};
use super::story::printable;
use crate::documents::{self, ApplyError, Change, Done, Fault, Options};
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::StatusCode;
use sha2::{Digest, Sha256};

#[derive(Template)]
#[template(path = "files.html")]
struct FilesPage {
    frame: Frame,
    text: String,
    own: String,
    prune: bool,
    force: bool,
    always: bool,
    /// Why it was not, or cannot be, applied.
    problem: Option<String>,
    faults: Vec<FaultLine>,
    difference: Option<Difference>,
}

struct FaultLine {
    place: String,
    field: String,
    problem: String,
}

/// What would change.
struct Difference {
    lines: Vec<Line>,
    more: usize,
    changed: usize,
    unchanged: usize,
    deleted: usize,
    /// Says what was seen, to be sent back with the order to apply it.
    expect: String,
}

struct Line {
    class: &'static str,
    text: String,
}

/// `GET /settings/files`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
) -> Result<Response, PageError> {
    page(&FilesPage::empty(&state, &visit))
}

/// `POST /settings/files`: shows the difference, or applies the one that was seen.
pub(crate) async fn submit(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> Result<Response, PageError> {
    let mut shown = FilesPage {
        text: fields.raw("text").replace("\r\n", "\n"),
        own: fields.get("own").to_owned(),
        prune: fields.has("prune"),
        force: fields.has("force"),
        always: fields.has("always"),
        ..FilesPage::empty(&state, &visit)
    };
    let options = match shown.options() {
        Ok(options) => options,
        Err(problem) => return refused(shown, problem),
    };
    if shown.text.trim().is_empty() {
        return refused(shown, "paste or choose a file first".to_owned());
    }
    let by = &visit.actor.name;
    let dry = Options {
        dry_run: true,
        ..options.clone()
    };
    let seen = match run(&state, &shown.text, &dry, by).await {
        Ok(seen) => seen,
        Err(error) => return wrong(shown, error),
    };
    let difference = Difference::of(&shown, &seen);
    let asked = fields.get("action") == "apply";
    let agreed = fields.get("expect") == difference.expect;
    if asked && agreed && seen.conflicts.is_empty() {
        return match run(&state, &shown.text, &options, by).await {
            Ok(told) => Ok(done("/settings/files", summary(&told))),
            Err(error) => wrong(shown, error),
        };
    }
    if !seen.conflicts.is_empty() {
        let problem = "somebody edited since what files had made; this would undo it";
        shown.problem = Some(sentence(problem));
        shown.faults = seen.conflicts.iter().map(FaultLine::from).collect();
    } else if asked {
        let problem = "nothing was changed: this is not the difference that you saw; look again";
        shown.problem = Some(sentence(problem));
    }
    shown.difference = Some(difference);
    page(&shown)
}

async fn run(
    state: &PeopleState,
    text: &str,
    options: &Options,
    by: &str,
) -> Result<Done, ApplyError> {
    match documents::is_table(text) {
        true => documents::import(&state.store, text, options.dry_run, by).await,
        false => documents::apply(&state.store, text, options, by).await,
    }
}

fn wrong(mut shown: FilesPage, error: ApplyError) -> Result<Response, PageError> {
    if let ApplyError::Refused {
        cause: cause @ store::StoreError::Database { .. },
        ..
    } = error
    {
        return Err(cause.into());
    }
    shown.faults = error.faults().iter().map(FaultLine::from).collect();
    let problem = match shown.faults.is_empty() {
        true => error.to_string(),
        false => "nothing was changed".to_owned(),
    };
    refused(shown, problem)
}

fn refused(shown: FilesPage, problem: String) -> Result<Response, PageError> {
    let shown = FilesPage {
        problem: Some(sentence(&problem)),
        ..shown
    };
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)?).into_response())
}

fn summary(told: &Done) -> String {
    let changed = told.changes.iter().filter(|c| c.action != "unchanged");
    match changed.count() {
        0 => "Everything was so already; nothing was changed.".to_owned(),
        1 => "Applied: 1 thing changed.".to_owned(),
        n => format!("Applied: {n} things changed."),
    }
}

impl FilesPage {
    fn empty(state: &PeopleState, visit: &Visit) -> FilesPage {
        FilesPage {
            frame: visit.frame(state, "settings"),
            text: String::new(),
            own: String::new(),
            prune: false,
            force: false,
            always: false,
            problem: None,
            faults: Vec::new(),
            difference: None,
        }
    }

    fn options(&self) -> Result<Options, String> {
        let own = match self.own.as_str() {
            "" => None,
            own => Some(own.parse().map_err(|e: documents::NoLabel| e.to_string())?),
        };
        Ok(Options {
            dry_run: false,
            own,
            prune: self.prune,
            force: self.force,
            always: self.always,
        })
    }
}

impl Difference {
    fn of(shown: &FilesPage, seen: &Done) -> Difference {
        let with = |action| {
            seen.changes
                .iter()
                .filter(move |c| c.action == action)
                .count()
        };
        let different = seen.changes.iter().filter(|c| c.action != "unchanged");
        let mut lines: Vec<Line> = different.flat_map(told).collect();
        let more = lines.len().saturating_sub(LINES);
        lines.truncate(LINES);
        let mut hash = Sha256::new();
        for part in [&shown.text, &shown.own, &seen.text] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let ticked = [shown.prune, shown.force, shown.always];
        hash.update(ticked.map(u8::from));
        Difference {
            lines,
            more,
            changed: with("create") + with("update"),
            unchanged: with("unchanged"),
            deleted: with("delete"),
            expect: HEXLOWER.encode(&hash.finalize()[..16]),
        }
    }
}

fn told(change: &Change) -> Vec<Line> {
    let class = match change.sign() {
        '+' => "add",
        '-' => "del",
        _ => "hunk",
    };
    let head = format!("{} {} {}", change.sign(), change.kind, change.name);
    let mut lines = vec![Line {
        class,
        text: printable(&head),
    }];
    for field in &change.fields {
        let text = match field.from.is_null() {
            true => format!("    {}: {}", field.field, field.to),
            false => format!("    {}: {} → {}", field.field, field.from, field.to),
        };
        let text = printable(&text);
        lines.push(Line { class: "", text });
    }
    lines
}

impl From<&Fault> for FaultLine {
    fn from(fault: &Fault) -> Self {
        FaultLine {
            place: match fault.line {
                0 => String::new(),
                line => format!("line {line}, column {}", fault.column),
            },
            field: printable(&fault.field),
            problem: printable(&fault.problem),
        }
    }
}

/// Nobody reads more of a difference than this on a page.
const LINES: usize = 2000;
/// The largest form: a text of 4 MiB with each octet written as three.
pub(crate) const FORM_LIMIT: usize = 12 * 1024 * 1024;
