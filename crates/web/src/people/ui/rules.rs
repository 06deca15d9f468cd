//! `/rules`: what machines get that have no assignment of their own, seen through before it is
//! saved.

use super::error::{PageError, PageResult, page};
use super::form::{Fields, Path};
use super::frame::{Frame, Visit, done, failed};
use super::machine_list::{Choice, choices};
use super::rule_form::{ROWS, Row, RuleForm};
use super::story::printable;
use crate::every_boot::Question;
use crate::people::PeopleState;
use crate::rules::{self, Edit, Preview};
use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use bootplan::effect::{self, Share};
use bootplan::{Catalog, Machine, Mode, NewMachines, Platform, Rule, RuleName};
use http::StatusCode;
use store::StoreError;

#[derive(Template)]
#[template(path = "rules.html")]
struct ListPage {
    frame: Frame,
    lines: Vec<ListLine>,
    new_machines: &'static str,
}

struct ListLine {
    /// `None` while it is disabled.
    place: Option<usize>,
    name: String,
    conditions: String,
    profile: String,
    once: bool,
    new_machines: Option<&'static str>,
    share: Share,
}

#[derive(Template)]
#[template(path = "rule.html")]
struct EditPage {
    frame: Frame,
    /// The saved name; `None` for a new rule.
    saved: Option<String>,
    form: RuleForm,
    profiles: Vec<Choice>,
    rows: &'static [Row],
    platforms: [Platform; 5],
    /// What saving the form would change; `None` until somebody asks.
    shown: Option<Shown>,
    /// True when somebody wanted to save, and sees first what that changes.
    held: bool,
    /// What has to be confirmed before it is saved.
    asks: Option<Question>,
    /// What deleting would change.
    without: Shown,
}

/// A preview as the page lists it.
#[derive(Default)]
struct Shown {
    matches: Vec<(i64, String, bool)>,
    /// Machines matched beyond those listed.
    more_matches: usize,
    changes: Vec<ChangeLine>,
    more_changes: usize,
    sentence: String,
    mark: String,
}

struct ChangeLine {
    id: i64,
    name: String,
    from: String,
    to: String,
    because: String,
}

impl Shown {
    fn matching(&self) -> usize {
        self.matches.len() + self.more_matches
    }
}

impl From<Preview> for Shown {
    fn from(preview: Preview) -> Self {
        let matches = preview.matches.iter().take(SHOWN);
        let changes = preview.changes.iter().take(SHOWN);
        Shown {
            matches: matches
                .map(|m| {
                    let new = m.state == bootplan::MachineState::Discovered;
                    (m.id.0, printable(&m.name), new)
                })
                .collect(),
            more_matches: preview.matches.len().saturating_sub(SHOWN),
            changes: changes
                .map(|change| ChangeLine {
                    id: change.machine.id.0,
                    name: printable(&change.machine.name),
                    from: change.from.gets.to_string(),
                    to: change.to.gets.to_string(),
                    because: printable(&change.to.because.to_string()),
                })
                .collect(),
            more_changes: preview.changes.len().saturating_sub(SHOWN),
            sentence: preview.sentence(),
            mark: preview.mark(),
        }
    }
}

/// What became of one rule for one machine, on the machine's page.
pub(crate) struct StandLine {
    pub(crate) name: String,
    pub(crate) profile: String,
    pub(crate) stand: String,
    pub(crate) decides: bool,
    /// Each condition with what is known of it, and how deep it is nested.
    pub(crate) conditions: Vec<(String, &'static str)>,
}

/// Which rule decides about a machine, and why the others do not.
pub(crate) fn stands(machine: &Machine, catalog: &Catalog) -> Vec<StandLine> {
    let accounts = effect::account_of(machine, catalog);
    let line = |account: effect::Account| StandLine {
        name: account.rule.name.to_string(),
        profile: account.rule.profile.to_string(),
        stand: account.stand.to_string(),
        decides: account.stand == effect::Stand::Decides,
        conditions: account
            .findings
            .iter()
            .map(|finding| {
                let word = match finding.holds {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "not known yet",
                };
                let text = printable(&finding.text);
                (format!("{}{text}", "· ".repeat(finding.depth)), word)
            })
            .collect(),
    };
    accounts.into_iter().map(line).collect()
}

/// `GET /rules`
pub(crate) async fn list(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    let catalog = state.store.catalog();
    let shares = rules::shares(catalog.clone()).await;
    let line = |(place, rule): (usize, std::sync::Arc<Rule>)| ListLine {
        place: rule.enabled.then_some(place),
        name: rule.name.to_string(),
        conditions: printable(&rule.selector.to_string()),
        profile: rule.profile.to_string(),
        once: rule.mode == Mode::InstallOnce,
        new_machines: rule.new_machines.map(NewMachines::slug),
        share: shares.get(&rule.name).copied().unwrap_or_default(),
    };
    let placed = (1..).zip(rules::in_order(&catalog));
    page(&ListPage {
        frame: visit.frame(&state, "rules"),
        lines: placed.map(line).collect(),
        new_machines: catalog.site.new_machines.slug(),
    })
}

/// `GET /rules/new`
pub(crate) async fn new(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    page(&edit_page(&state, &visit, None, RuleForm::blank()).await)
}

/// `GET /rules/{name}`
pub(crate) async fn edit(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
) -> PageResult {
    let rule = find(&state, &name)?;
    let mut shown = edit_page(&state, &visit, Some(&rule.name), RuleForm::of(&rule)).await;
    let as_saved = rules::preview(state.store.catalog(), Edit::Put(rule)).await;
    shown.shown = Some(as_saved.into());
    page(&shown)
}

/// `POST /rules/new`
pub(crate) async fn create(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> PageResult {
    let mut form = RuleForm::typed(&fields);
    let taken = form.name.parse::<RuleName>().ok();
    if taken.is_some_and(|name| state.store.catalog().rule(&name).is_some()) {
        let text = "There is a rule of this name already; choose another.";
        form.errors.insert("name".to_owned(), text.to_owned());
    }
    put(&state, &visit, None, form, &fields).await
}

/// `POST /rules/{name}`
pub(crate) async fn save(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
    fields: Fields,
) -> PageResult {
    let rule = find(&state, &name)?;
    let mut form = RuleForm::typed(&fields);
    form.name = name;
    form.labels = rule.labels;
    put(&state, &visit, Some(&rule.name), form, &fields).await
}

/// `POST /rules/{name}/delete`
pub(crate) async fn delete(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(name): Path<String>,
    fields: Fields,
) -> PageResult {
    let rule = find(&state, &name)?;
    let edit = Edit::Delete(rule.name.clone());
    let preview = rules::preview(state.store.catalog(), edit).await;
    if fields.get("seen") != preview.mark() {
        let text = format!(
            "nothing was deleted: meanwhile {}; look again, then repeat",
            preview.sentence()
        );
        return Ok(failed(&format!("/rules/{name}"), text));
    }
    let by = &visit.actor.name;
    state.store.delete_rule(&rule.name, by).await?;
    Ok(done("/rules", format!("Deleted the rule {name}.")))
}

/// Shows what would change, or saves; what changes for machines is saved only by somebody who was
/// shown just that.
async fn put(
    state: &PeopleState,
    visit: &Visit,
    saved: Option<&RuleName>,
    mut form: RuleForm,
    fields: &Fields,
) -> PageResult {
    let rule = match form.rule() {
        Some(rule) if state.store.catalog().profile(&rule.profile).is_some() => rule,
        wrong => {
            if wrong.is_some() {
                let text = "There is no profile of this name any more.".to_owned();
                form.errors.insert("profile".to_owned(), text);
            }
            let body = page(&edit_page(state, visit, saved, form).await)?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, body).into_response());
        }
    };
    let preview = rules::preview(state.store.catalog(), Edit::Put(rule.clone())).await;
    let wants = fields.get("action") != "preview";
    let asks = Question::of(&preview.erased);
    let agreed = asks
        .as_ref()
        .is_none_or(|asks| asks.mark == fields.get("always"));
    if wants && agreed && (preview.changes_nothing() || fields.get("seen") == preview.mark()) {
        let name = rule.name.to_string();
        return match state.store.put_rule(rule, &visit.actor.name).await {
            Ok(()) => Ok(done("/rules", format!("Saved the rule {name}."))),
            Err(error @ StoreError::Database { .. }) => Err(error.into()),
            Err(error) => Ok(failed("/rules", error)),
        };
    }
    let mut shown = edit_page(state, visit, saved, form).await;
    shown.shown = Some(preview.into());
    shown.held = wants;
    shown.asks = asks;
    page(&shown)
}

fn find(state: &PeopleState, name: &str) -> Result<Rule, PageError> {
    let name: Option<RuleName> = name.parse().ok();
    let found = name.and_then(|n| state.store.catalog().rule(&n).map(|r| Rule::clone(r)));
    found.ok_or_else(|| PageError::NotFound("there is no rule of this name".to_owned()))
}

async fn edit_page(
    state: &PeopleState,
    visit: &Visit,
    saved: Option<&RuleName>,
    form: RuleForm,
) -> EditPage {
    let catalog = state.store.catalog();
    let mut profiles = choices(&catalog);
    // A disabled one is not offered, but stays chosen where it is.
    if !form.profile.is_empty() && profiles.iter().all(|choice| choice.name != form.profile) {
        profiles.push(Choice {
            name: form.profile.clone(),
            label: printable(&form.profile),
        });
    }
    let without = match saved {
        Some(name) => rules::preview(catalog, Edit::Delete(name.clone())).await,
        None => Preview::default(),
    };
    EditPage {
        frame: visit.frame(state, "rules"),
        saved: saved.map(ToString::to_string),
        form,
        profiles,
        rows: &ROWS,
        platforms: Platform::ALL,
        shown: None,
        held: false,
        asks: None,
        without: without.into(),
    }
}

/// Machines listed by name; of more only the number is told.
const SHOWN: usize = 100;
