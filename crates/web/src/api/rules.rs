//! Rules: what machines get that have no assignment of their own.

use super::every_boot::{AlwaysQuery, confirmed};
use super::problem::{Answer, Json, Path, Problem, Query};
use crate::every_boot::Question;
use crate::people::{Actor, PeopleState};
use crate::rules::{self, Edit, Preview};
use axum::extract::State;
use bootplan::effect::{Decided, Gets, Share};
use bootplan::{Machine, MachineState, Mode, NewMachines, Rule, RuleName};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Selector to profile. (The description of what is really read and written by `bootplan::Rule`.)
#[derive(ToSchema)]
#[schema(as = Rule)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct RuleSchema {
    /// Identity: a-z, 0-9, '-', '_', '.'.
    name: String,
    /// Labels of the rule itself.
    #[schema(required = false)]
    labels: BTreeMap<String, String>,
    /// A disabled rule matches nothing.
    #[schema(required = false, default = true)]
    enabled: bool,
    /// Which machines: a mapping of `label`, `mac`, `arch`, `subnet`, `relay`, `circuit`,
    /// `manufacturer`, `product`, `serial` (lists of alternatives; several keys must all hold), and
    /// `all`, `any` (lists of selectors), `not` (a selector).
    #[schema(value_type = Object)]
    selector: (),
    /// What they get.
    profile: String,
    /// `always` or `install-once`.
    #[schema(required = false, value_type = String)]
    mode: Mode,
    /// What becomes of new machines that it matches: `hold`, `register`, `ignore`; left out: what
    /// the site says.
    #[schema(value_type = Option<String>)]
    new_machines: Option<NewMachines>,
}

/// Every rule.
#[derive(Serialize, ToSchema)]
pub(super) struct RuleList {
    /// In the order they are asked, the narrowest first; then the disabled ones.
    rules: Vec<RuleLine>,
}

/// A rule and how many machines it concerns.
#[derive(Serialize, ToSchema)]
pub(super) struct RuleLine {
    /// Its place, from 1; `null` while it is disabled.
    place: Option<usize>,
    /// How narrow it is: the conditions that must hold.
    specificity: usize,
    /// Machines that its selector fits.
    matching: usize,
    /// Those of them about which it decides: no assignment, no order, no narrower rule.
    deciding: usize,
    /// The rule.
    #[schema(value_type = RuleSchema)]
    rule: Rule,
}

/// Lists rules in the order they are asked.
#[utoipa::path(get, path = "/rules", tag = "rules",
    responses((status = OK, body = RuleList), (status = "4XX", body = Problem)))]
pub(super) async fn list_rules(_: Actor, State(state): State<PeopleState>) -> Json<RuleList> {
    let catalog = state.store.catalog();
    let shares = rules::shares(catalog.clone()).await;
    let line = |(place, rule): (usize, std::sync::Arc<Rule>)| {
        let Share { matching, deciding } = shares.get(&rule.name).copied().unwrap_or_default();
        RuleLine {
            place: rule.enabled.then_some(place),
            specificity: rule.selector.specificity(),
            matching,
            deciding,
            rule: Rule::clone(&rule),
        }
    };
    let placed = (1..).zip(rules::in_order(&catalog));
    Json(RuleList {
        rules: placed.map(line).collect(),
    })
}

/// Shows one rule.
#[utoipa::path(get, path = "/rules/{name}", tag = "rules",
    params(("name" = String, Path, description = "the rule")),
    responses((status = OK, body = RuleSchema), (status = "4XX", body = Problem)))]
pub(super) async fn get_rule(
    _: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<RuleName>,
) -> Answer<Json<Rule>> {
    one(&state, &name).map(Json)
}

fn one(state: &PeopleState, name: &RuleName) -> Answer<Rule> {
    let found = state.store.catalog().rule(name).map(|r| Rule::clone(r));
    found.ok_or_else(|| Problem::not_found(format!("rule '{name}'")))
}

/// Creates a rule or replaces it. What would change by it is told by `/rules/preview`. One that
/// comes to give a profile that installs at every boot is refused unless `always` says so.
#[utoipa::path(put, path = "/rules/{name}", tag = "rules",
    params(("name" = String, Path, description = "the rule; the body must name the same"),
        AlwaysQuery),
    request_body = RuleSchema,
    responses((status = OK, body = RuleSchema), (status = "4XX", body = Problem)))]
pub(super) async fn put_rule(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<RuleName>,
    Query(query): Query<AlwaysQuery>,
    Json(rule): Json<Rule>,
) -> Answer<Json<Rule>> {
    if rule.name != name {
        return Err(Problem::refused(format!(
            "the path names rule '{name}', the body '{}'; a rule is renamed by creating the new \
             one and deleting the old",
            rule.name
        )));
    }
    let preview = rules::preview(state.store.catalog(), Edit::Put(rule.clone())).await;
    confirmed(&preview.erased, query.always)?;
    state.store.put_rule(rule, &actor.name).await?;
    one(&state, &name).map(Json)
}

/// Deletes a rule. What was installed by it stays installed. Where its machines come to be installed
/// at every boot by another rule, `always` has to say so.
#[utoipa::path(delete, path = "/rules/{name}", tag = "rules",
    params(("name" = String, Path, description = "the rule"), AlwaysQuery),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_rule(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<RuleName>,
    Query(query): Query<AlwaysQuery>,
) -> Answer<StatusCode> {
    let preview = rules::preview(state.store.catalog(), Edit::Delete(name.clone())).await;
    confirmed(&preview.erased, query.always)?;
    state.store.delete_rule(&name, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A change of the rules that is not made yet: exactly one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EditBody {
    /// This rule is created, or replaces the one of its name.
    #[schema(value_type = RuleSchema)]
    Put(Rule),
    /// The rule of this name is deleted.
    #[schema(value_type = String)]
    Delete(RuleName),
}

/// What a change of the rules would change.
#[derive(Serialize, ToSchema)]
pub(super) struct PreviewView {
    /// The machines that the rule would fit; none when it is deleted.
    matches: Vec<MachineRef>,
    /// The machines that would get something else.
    changes: Vec<ChangeView>,
    /// How many those are, as a sentence.
    text: String,
    /// Which machines would be installed at every boot, so that the change has to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    erases: Option<String>,
}

/// A machine in short.
#[derive(Serialize, ToSchema)]
pub(super) struct MachineRef {
    /// Identity.
    id: i64,
    /// What people call it.
    name: String,
    /// `discovered` or `registered`.
    #[schema(value_type = String)]
    state: MachineState,
}

/// A machine that would get something else.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangeView {
    /// Which one.
    machine: MachineRef,
    /// What it gets now.
    from: GetsView,
    /// What it would get.
    to: GetsView,
}

/// What a machine gets.
#[derive(Serialize, ToSchema)]
pub(super) struct GetsView {
    /// `gets`: `profile`, `install-once`, `on-order`, `once-adopted` (each with its `profile`),
    /// `queue`, `local-disk`, `wait`, `menu` or `nothing`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    gets: Gets,
    /// The same for people.
    text: String,
    /// Because of what.
    because: String,
}

/// Tells which machines a rule fits before it is saved, and which would get something else by it
/// or without it. Nothing is changed.
#[utoipa::path(post, path = "/rules/preview", tag = "rules", request_body = EditBody,
    responses((status = OK, body = PreviewView), (status = "4XX", body = Problem)))]
pub(super) async fn preview_rule(
    _: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<EditBody>,
) -> Answer<Json<PreviewView>> {
    let catalog = state.store.catalog();
    let edit = match body {
        EditBody::Put(rule) if catalog.profile(&rule.profile).is_none() => {
            return Err(Problem::refused(format!(
                "profile: '{}' does not exist",
                rule.profile
            )));
        }
        EditBody::Put(rule) => Edit::Put(rule),
        EditBody::Delete(name) => {
            one(&state, &name)?;
            Edit::Delete(name)
        }
    };
    Ok(Json(rules::preview(catalog, edit).await.into()))
}

impl From<Preview> for PreviewView {
    fn from(preview: Preview) -> Self {
        let change = |change: &bootplan::effect::Changed| ChangeView {
            machine: MachineRef::from(change.machine.as_ref()),
            from: GetsView::from(&change.from),
            to: GetsView::from(&change.to),
        };
        PreviewView {
            matches: preview.matches.iter().map(|m| m.as_ref().into()).collect(),
            changes: preview.changes.iter().map(change).collect(),
            text: preview.sentence(),
            erases: Question::of(&preview.erased).map(|question| question.text),
        }
    }
}

impl From<&Machine> for MachineRef {
    fn from(machine: &Machine) -> Self {
        MachineRef {
            id: machine.id.0,
            name: machine.name.clone(),
            state: machine.state,
        }
    }
}

impl From<&Decided> for GetsView {
    fn from(decided: &Decided) -> Self {
        GetsView {
            text: decided.gets.to_string(),
            because: decided.because.to_string(),
            gets: decided.gets.clone(),
        }
    }
}
