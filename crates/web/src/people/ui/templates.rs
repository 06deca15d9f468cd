//! `/templates`: what answers are made of: templates, the snippets that they include, and the groups
//! that give machines variables.

use super::error::{PageError, PageResult, page};
use super::form::{Fields, Path};
use super::frame::{Frame, Visit, done};
use super::story::printable;
use crate::documents;
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use bootplan::{
    BootClient, Catalog, Group, Machine, Object, ObjectKind, ObjectName, Seen, Stage, Text,
};
use http::StatusCode;
use serde::Serialize;
use store::StoreError;

#[derive(Template)]
#[template(path = "templates.html")]
struct ListPage {
    frame: Frame,
    parts: Vec<Part>,
}

/// All of one kind.
struct Part {
    slug: &'static str,
    title: &'static str,
    none: &'static str,
    lines: Vec<Line>,
}

struct Line {
    name: String,
    /// Size, or whose variables.
    about: String,
    users: Vec<String>,
    labels: Vec<String>,
}

#[derive(Template)]
#[template(path = "template.html")]
struct EditPage {
    frame: Frame,
    slug: &'static str,
    /// The saved name; `None` for a new one.
    saved: Option<String>,
    name: String,
    text: String,
    /// Why it was not saved.
    problem: Option<String>,
    users: Vec<String>,
    labels: Vec<String>,
    machines: Vec<(i64, String)>,
    more_machines: usize,
}

/// `GET /templates`
pub(crate) async fn list(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    let catalog = state.store.catalog();
    let part = |kind: ObjectKind| {
        let (title, none) = match kind {
            ObjectKind::Template => ("Templates", "Texts that profiles' answers are made from."),
            ObjectKind::Snippet => ("Snippets", "Texts that templates include by name."),
            ObjectKind::Group => ("Groups", "Variables of all machines that a selector finds."),
        };
        let all = catalog.objects().of(kind).into_iter();
        let line = |object: Object| Line {
            name: object.name().to_string(),
            about: about(&object),
            users: users(&catalog, &object),
            labels: labels(&object),
        };
        Part {
            slug: kind.slug(),
            title,
            none,
            lines: all.map(line).collect(),
        }
    };
    page(&ListPage {
        frame: visit.frame(&state, "profiles"),
        parts: ObjectKind::ALL.into_iter().map(part).collect(),
    })
}

/// `GET /templates/{kind}`: a new one.
pub(crate) async fn new(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(kind): Path<String>,
) -> PageResult {
    let kind = kind_of(&kind)?;
    page(&EditPage::blank(&state, &visit, kind))
}

/// `GET /templates/{kind}/{name}`
pub(crate) async fn edit(
    State(state): State<PeopleState>,
    visit: Visit,
    Path((kind, name)): Path<(String, String)>,
) -> PageResult {
    let object = find(&state, &kind, &name)?;
    page(&EditPage::of(&state, &visit, &object))
}

/// `POST /templates/{kind}`
pub(crate) async fn create(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(kind): Path<String>,
    fields: Fields,
) -> PageResult {
    let kind = kind_of(&kind)?;
    let shown = EditPage {
        name: fields.get("name").to_owned(),
        text: typed(&fields),
        ..EditPage::blank(&state, &visit, kind)
    };
    let name: ObjectName = match shown.name.parse() {
        Ok(name) => name,
        Err(error) => return shown.refused(&error),
    };
    if find(&state, kind.slug(), &shown.name).is_ok() {
        let taken = format!("there is a {} of this name already", kind.slug());
        return shown.refused(&taken);
    }
    put(&state, &visit, kind, name, shown).await
}

/// `POST /templates/{kind}/{name}`
pub(crate) async fn save(
    State(state): State<PeopleState>,
    visit: Visit,
    Path((kind, name)): Path<(String, String)>,
    fields: Fields,
) -> PageResult {
    let object = find(&state, &kind, &name)?;
    let shown = EditPage {
        text: typed(&fields),
        ..EditPage::of(&state, &visit, &object)
    };
    let name = object.name().clone();
    put(&state, &visit, object.kind(), name, shown).await
}

/// `POST /templates/{kind}/{name}/delete`
pub(crate) async fn delete(
    State(state): State<PeopleState>,
    visit: Visit,
    Path((kind, name)): Path<(String, String)>,
) -> PageResult {
    let object = find(&state, &kind, &name)?;
    let by = &visit.actor.name;
    let deleted = state.store.delete_object(object.kind(), object.name(), by);
    deleted.await?;
    Ok(done("/templates", format!("Deleted {kind} {name}.")))
}

/// Saves what was typed, or says at which line and column it cannot be understood.
async fn put(
    state: &PeopleState,
    visit: &Visit,
    kind: ObjectKind,
    name: ObjectName,
    shown: EditPage,
) -> PageResult {
    let catalog = state.store.catalog();
    let all = catalog.objects().of(kind);
    let old = all.iter().find(|old| *old.name() == name);
    let labels = old.map(|old| old.labels().clone()).unwrap_or_default();
    let text = Text {
        name: name.clone(),
        labels: labels.clone(),
        text: shown.text.clone(),
    };
    let object = match kind {
        ObjectKind::Template => Object::Template(text),
        ObjectKind::Snippet => Object::Snippet(text),
        ObjectKind::Group => match documents::group(&name, &shown.text) {
            Ok(group) => group.labelled(labels),
            Err(fault) => {
                let (line, column) = (fault.line, fault.column);
                return shown.refused(&format!("{name}:{line}:{column}: {}", fault.problem));
            }
        },
    };
    if let Err(fault) = documents::readable(&object) {
        return shown.refused(&fault);
    }
    match state.store.put_object(object, &visit.actor.name).await {
        Ok(()) => {
            let path = format!("/templates/{}/{name}", kind.slug());
            Ok(done(&path, format!("Saved {} {name}.", kind.slug())))
        }
        Err(error @ StoreError::Database { .. }) => Err(error.into()),
        Err(error) => shown.refused(&error),
    }
}

impl EditPage {
    fn blank(state: &PeopleState, visit: &Visit, kind: ObjectKind) -> EditPage {
        EditPage {
            frame: visit.frame(state, "profiles"),
            slug: kind.slug(),
            saved: None,
            name: String::new(),
            text: match kind {
                ObjectKind::Group => "selector:\n  label: {rack: [\"1\"]}\nvariables: {}\n",
                _ => "",
            }
            .to_owned(),
            problem: None,
            users: Vec::new(),
            labels: Vec::new(),
            machines: Vec::new(),
            more_machines: 0,
        }
    }

    fn of(state: &PeopleState, visit: &Visit, object: &Object) -> EditPage {
        let catalog = state.store.catalog();
        let mut machines = match object {
            Object::Group(group) => members(&catalog, group),
            _ => Vec::new(),
        };
        let more_machines = machines.len().saturating_sub(LISTED);
        machines.truncate(LISTED);
        EditPage {
            saved: Some(object.name().to_string()),
            name: object.name().to_string(),
            text: written(object),
            users: users(&catalog, object),
            labels: labels(object),
            machines,
            more_machines,
            ..EditPage::blank(state, visit, object.kind())
        }
    }

    fn refused(self, why: &impl ToString) -> PageResult {
        let shown = EditPage {
            problem: Some(printable(&why.to_string())),
            ..self
        };
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)?).into_response())
    }
}

/// As a browser sends it, without its line ends.
fn typed(fields: &Fields) -> String {
    fields.raw("text").replace("\r\n", "\n")
}

/// What is edited: a text, or the YAML of a group below its name.
fn written(object: &Object) -> String {
    #[derive(Serialize)]
    struct Below<'a> {
        selector: &'a bootplan::Selector,
        variables: &'a bootplan::Variables,
    }
    match object {
        Object::Template(text) | Object::Snippet(text) => text.text.clone(),
        Object::Group(group) => serde_yaml::to_string(&Below {
            selector: &group.selector,
            variables: &group.variables,
        })
        .unwrap_or_default(),
    }
}

fn about(object: &Object) -> String {
    match object {
        Object::Template(text) | Object::Snippet(text) => match text.text.lines().count() {
            1 => "1 line".to_owned(),
            n => format!("{n} lines"),
        },
        Object::Group(group) => printable(&group.selector.to_string()),
    }
}

fn labels(object: &Object) -> Vec<String> {
    let pairs = object.labels().iter();
    pairs
        .map(|(key, value)| printable(&format!("{key}={value}")))
        .collect()
}

/// Profiles whose answers are made from a template.
fn users(catalog: &Catalog, object: &Object) -> Vec<String> {
    let Object::Template(text) = object else {
        return Vec::new();
    };
    let uses = |answer: &bootplan::Answer| answer.template.as_ref() == Some(&text.name);
    let users = catalog.profiles().filter(|p| p.answers.iter().any(uses));
    users.map(|profile| profile.name.to_string()).collect()
}

/// The machines that have a group's variables.
fn members(catalog: &Catalog, group: &Group) -> Vec<(i64, String)> {
    let has = |machine: &Machine| {
        let mac = machine.macs.first();
        let client = mac.map(|mac| BootClient::asking(*mac, Stage::Firmware));
        client.is_some_and(|client| group.selector.matches(&Seen::of(&client, Some(machine))))
    };
    let found = catalog.machines().filter(|machine| has(machine));
    found
        .map(|machine| (machine.id.0, printable(&machine.name)))
        .collect()
}

fn kind_of(slug: &str) -> Result<ObjectKind, PageError> {
    let found = ObjectKind::ALL.into_iter().find(|kind| kind.slug() == slug);
    found.ok_or_else(|| PageError::NotFound("there is no page at this address".to_owned()))
}

fn find(state: &PeopleState, kind: &str, name: &str) -> Result<Object, PageError> {
    let all = state.store.catalog().objects().of(kind_of(kind)?);
    let found = all
        .into_iter()
        .find(|object| object.name().as_str() == name);
    found.ok_or_else(|| PageError::NotFound(format!("there is no such {kind}")))
}

/// Machines listed of a group.
const LISTED: usize = 50;
/// The largest text, with each octet written as three.
pub(crate) const FORM_LIMIT: usize = 1024 * 1024;
