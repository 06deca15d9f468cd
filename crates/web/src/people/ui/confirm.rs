//! `/machines/confirm`: what an action would install, before it is done. A page with an address of
//! its own, so that it asks with and without a script.

use super::error::{PageResult, page};
use super::form::{Fields, Query};
use super::frame::{Frame, Visit, failed, local};
use super::machine_list::{chosen, counted};
use super::story::printable;
use crate::orders::AtEveryBoot;
use crate::people::PeopleState;
use crate::people::auth::form_encode;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use bootplan::{Catalog, MachineId, ProfileName, effect};
use std::collections::BTreeMap;

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    frame: Frame,
    back: String,
    question: Question,
    /// What the form sends once more.
    hidden: Vec<(String, String)>,
}

/// What has to be said before an action is done.
struct Question {
    title: &'static str,
    lines: Vec<String>,
    /// The machines it is about, by name.
    names: Vec<(i64, String)>,
    more: usize,
    /// Action, label and class of each way out, the careful one first.
    ways: [(&'static str, &'static str, &'static str); 2],
}

/// A page that asks, if what these fields say would install something and nobody has confirmed it.
pub(super) fn asks(state: &PeopleState, fields: &Fields, ids: &[MachineId]) -> Option<Response> {
    if fields.has("sure") {
        return None;
    }
    question(&state.store.catalog(), fields, ids)?;
    let pairs = FIELDS.iter().flat_map(|name| {
        let values = fields.all(name);
        values.map(move |value| format!("{name}={}", form_encode(value)))
    });
    let query: Vec<String> = pairs.collect();
    let to = format!("/machines/confirm?{}", query.join("&"));
    Some(Redirect::to(&to).into_response())
}

/// [`asks`] about one machine.
pub(super) fn asks_about(
    state: &PeopleState,
    id: MachineId,
    action: &str,
    profile: &str,
    back: &str,
) -> Option<Response> {
    let number = id.0.to_string();
    let fields = Fields::from_iter([
        ("action", action),
        ("profile", profile),
        ("scope", "selected"),
        ("id", &number),
        ("back", back),
    ]);
    asks(state, &fields, &[id])
}

/// `GET /machines/confirm`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
    Query(pairs): Query<Vec<(String, String)>>,
) -> PageResult {
    let fields: Fields = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let back = local(fields.get("back")).to_owned();
    let ids = match chosen(&state, &fields) {
        Ok(ids) => ids,
        Err(problem) => return Ok(failed(&back, problem)),
    };
    let Some(question) = question(&state.store.catalog(), &fields, &ids) else {
        let text = "nothing of it has to be confirmed any more; look again, then repeat";
        return Ok(failed(&back, text));
    };
    let sent = pairs.into_iter();
    let hidden = sent.filter(|(name, _)| name != "action" && FIELDS.contains(&name.as_str()));
    page(&ConfirmPage {
        frame: visit.frame(&state, "machines"),
        back,
        question,
        hidden: hidden.collect(),
    })
}

fn question(catalog: &Catalog, fields: &Fields, ids: &[MachineId]) -> Option<Question> {
    match fields.get("action") {
        "assign" => at_every_boot(catalog, fields.get("profile"), ids),
        "adopt" => by_rule(catalog, ids),
        _ => None,
    }
}

fn at_every_boot(catalog: &Catalog, profile: &str, ids: &[MachineId]) -> Option<Question> {
    let profile: ProfileName = profile.parse().ok()?;
    let asked = AtEveryBoot::of(catalog, Some(&profile), ids)?;
    let (names, more) = named(catalog, ids);
    let orders = "An order to install once is counted, waits for its turn, and ends on the disk.";
    Some(Question {
        title: "Install at every boot?",
        lines: vec![
            super::error::sentence(&asked.to_string()),
            orders.to_owned(),
        ],
        names,
        more,
        ways: [
            ("install", "Install once instead", "primary"),
            ("assign", "Boot always: install at every boot", "danger"),
        ],
    })
}

fn by_rule(catalog: &Catalog, ids: &[MachineId]) -> Option<Question> {
    let mut by_rule: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut installed = Vec::new();
    for id in ids {
        let rule = catalog.machine(*id).map(|m| effect::adopted(m, catalog));
        if let Some(rule) = rule.flatten() {
            let of = (rule.name.to_string(), rule.profile.to_string());
            *by_rule.entry(of).or_default() += 1;
            installed.push(*id);
        }
    }
    if installed.is_empty() {
        return None;
    }
    let line = |((rule, profile), count): ((String, String), usize)| {
        let many = counted(count);
        format!("Rule {rule} installs {many} with {profile}, once, at the next boot.")
    };
    let (names, more) = named(catalog, &installed);
    Some(Question {
        title: "Adopt and install?",
        lines: by_rule.into_iter().map(line).collect(),
        names,
        more,
        ways: [
            ("register", "Adopt only", "primary"),
            ("adopt", "Adopt and install", "danger"),
        ],
    })
}

fn named(catalog: &Catalog, ids: &[MachineId]) -> (Vec<(i64, String)>, usize) {
    let machines = ids.iter().filter_map(|id| catalog.machine(*id));
    let names = machines.map(|m| (m.id.0, printable(&m.name)));
    let mut names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    (names, more)
}

/// What says which machines are meant, and what is done to them.
const FIELDS: [&str; 8] = [
    "action", "profile", "scope", "q", "state", "expect", "id", "back",
];
/// Machines listed by name; of more only the number is told.
const SHOWN: usize = 40;
