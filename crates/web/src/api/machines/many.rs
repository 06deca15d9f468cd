//! Assigning, adopting, labelling and forgetting many machines at once.

use super::views::Filter;
use crate::api::problem::{Answer, Json, Problem};
use crate::kept;
use crate::orders::{AtEveryBoot, ByRules};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use bootplan::{MachineId, MachineState, ProfileName};
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Which machines, by identity or by filter: exactly one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct AssignBody {
    /// These machines.
    #[serde(default)]
    ids: Option<Vec<i64>>,
    /// All machines that match; `{}` means all machines.
    #[serde(default)]
    filter: Option<Filter>,
    /// How many machines are meant; if it is another number now, nothing is changed.
    #[serde(default)]
    expect: Option<usize>,
    /// The profile; `null` takes the assignment away.
    #[schema(value_type = Option<String>)]
    #[serde(deserialize_with = "required")]
    profile: Option<ProfileName>,
    /// Says that a profile which installs is meant to install at every boot.
    #[serde(default)]
    always: bool,
}

/// `null` must be written: leaving the profile out of a request must not unassign anything.
fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ProfileName>, D::Error> {
    Option::deserialize(deserializer)
}

/// Which machines, by identity or by filter: exactly one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct AdoptBody {
    /// These machines.
    #[serde(default)]
    ids: Option<Vec<i64>>,
    /// All machines that match; only discovered ones are changed.
    #[serde(default)]
    filter: Option<Filter>,
    /// How many machines are meant; if it is another number now, nothing is changed.
    #[serde(default)]
    expect: Option<usize>,
    /// Says that it is meant where rules install some of them. Where neither this nor `only` is
    /// said, that is refused, and the refusal says what would be installed.
    #[serde(default)]
    install: bool,
    /// Adopts them and orders nothing, whatever rules say.
    #[serde(default)]
    only: bool,
}

/// What was adopted.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Adopted {
    /// The machines.
    ids: Vec<i64>,
    /// What rules ordered.
    ordered: Vec<OrderedByRule>,
}

/// A machine that a rule ordered to be installed.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct OrderedByRule {
    /// Which one.
    id: i64,
    /// The rule.
    rule: String,
    /// What is installed.
    profile: String,
}

/// What was changed.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Changed {
    /// The machines.
    ids: Vec<i64>,
}

/// Assigns a profile to machines: to all of them or, on an error, to none.
#[utoipa::path(post, path = "/machines/assign", tag = "machines", request_body = AssignBody,
    responses((status = OK, body = Changed), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn assign_machines(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<AssignBody>,
) -> Answer<Json<Changed>> {
    let ids = meant_exactly(&state, body.ids, body.filter, body.expect)?;
    let asked = AtEveryBoot::of(&state.store.catalog(), body.profile.as_ref(), &ids);
    confirmed(asked, body.always)?;
    state.store.assign(&ids, body.profile, &actor.name).await?;
    Ok(Json(changed(&ids)))
}

/// What installs at every boot is assigned only by those who say so.
pub(super) fn confirmed(asked: Option<AtEveryBoot>, always: bool) -> Answer<()> {
    match asked.filter(|_| !always) {
        None => Ok(()),
        Some(asked) => Err(Problem::refused(format!(
            "{asked}; nothing was changed: order it to be installed once, or say 'always' if it is \
             meant so"
        ))),
    }
}

/// Adopts discovered machines: all of them or, on an error, none. A rule with mode `install-once`
/// orders what it is for now, where `install` says that it is meant.
#[utoipa::path(post, path = "/machines/adopt", tag = "machines", request_body = AdoptBody,
    responses((status = OK, body = Adopted), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn adopt_machines(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<AdoptBody>,
) -> Answer<Json<Adopted>> {
    let filter = body.filter.map(|filter| Filter {
        state: Some(MachineState::Discovered),
        ..filter
    });
    let ids = meant_exactly(&state, body.ids, filter, body.expect)?;
    let by = &actor.name;
    let mut rules = ByRules::adopting(&state.store.catalog(), &ids);
    match (body.install, body.only) {
        (true, true) => return Err(Problem::refused("say either 'install' or 'only'")),
        (false, true) => {
            state.register(&ids, by).await?;
            rules.machines.clear();
        }
        (false, false) if !rules.is_empty() => {
            let lines = rules.adopted().join(" ");
            return Err(Problem::refused(format!(
                "{lines} Nothing was changed: say 'install' if that is meant, or 'only' to adopt \
                 and order nothing"
            )));
        }
        _ => state.adopt(&ids, by).await?,
    }
    let ordered = rules.machines.into_iter();
    let ordered = ordered.map(|(id, rule, profile)| OrderedByRule {
        id: id.0,
        rule: rule.to_string(),
        profile: profile.to_string(),
    });
    Ok(Json(Adopted {
        ids: changed(&ids).ids,
        ordered: ordered.collect(),
    }))
}

/// Which machines, by identity or by filter: exactly one of the two; and their labels.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct LabelBody {
    /// These machines.
    #[serde(default)]
    ids: Option<Vec<i64>>,
    /// All machines that match.
    #[serde(default)]
    filter: Option<Filter>,
    /// How many machines are meant; if it is another number now, nothing is changed.
    #[serde(default)]
    expect: Option<usize>,
    /// Labels they get.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Names of labels that are taken away.
    #[serde(default)]
    remove: BTreeSet<String>,
}

/// Which machines, by identity or by filter: exactly one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ForgetBody {
    /// These machines.
    #[serde(default)]
    ids: Option<Vec<i64>>,
    /// All machines that match.
    #[serde(default)]
    filter: Option<Filter>,
    /// How many machines are meant; if it is another number now, nothing is changed.
    #[serde(default)]
    expect: Option<usize>,
    /// Says that it is meant where a rule would install some of them anew at their next boot.
    #[serde(default)]
    anew: bool,
    /// Throw away what they keep on the server; else that stays, as nobody's.
    #[serde(default)]
    discard_kept: bool,
}

/// What was forgotten.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Forgotten {
    /// The machines.
    ids: Vec<i64>,
    /// How many of them keep something on the server still.
    keeping: usize,
}

/// Sets labels of machines and takes labels away: of all of them or, on an error, of none.
#[utoipa::path(post, path = "/machines/label", tag = "machines", request_body = LabelBody,
    responses((status = OK, body = Changed), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn label_machines(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<LabelBody>,
) -> Answer<Json<Changed>> {
    if body.set.is_empty() && body.remove.is_empty() {
        return Err(Problem::refused(
            "send labels to 'set', or names to 'remove'",
        ));
    }
    let ids = meant_exactly(&state, body.ids, body.filter, body.expect)?;
    let (set, remove) = (body.set, body.remove);
    let store = &state.store;
    store.label_machines(&ids, set, remove, &actor.name).await?;
    Ok(Json(changed(&ids)))
}

/// Forgets machines: all of them or, on an error, none. One that asks again is discovered anew.
#[utoipa::path(post, path = "/machines/forget", tag = "machines", request_body = ForgetBody,
    responses((status = OK, body = Forgotten), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn forget_machines(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<ForgetBody>,
) -> Answer<Json<Forgotten>> {
    let ids = meant_exactly(&state, body.ids, body.filter, body.expect)?;
    let rules = ByRules::forgetting(&state.store.catalog(), &ids);
    if !rules.is_empty() && !body.anew {
        let lines = rules.forgotten().join(" ");
        return Err(Problem::refused(format!(
            "{lines} Nothing was changed: say 'anew' if that is meant"
        )));
    }
    let keeping = kept::forget(&state, &ids, body.discard_kept, &actor.name).await?;
    Ok(Json(Forgotten {
        ids: ids.iter().map(|id| id.0).collect(),
        keeping,
    }))
}

/// The machines that a body names by identity or by filter.
pub(in crate::api) fn meant(
    state: &PeopleState,
    ids: Option<Vec<i64>>,
    filter: Option<Filter>,
) -> Answer<Vec<MachineId>> {
    meant_exactly(state, ids, filter, None)
}

/// The same; refused when it is not the expected number of machines.
pub(in crate::api) fn meant_exactly(
    state: &PeopleState,
    ids: Option<Vec<i64>>,
    filter: Option<Filter>,
    expect: Option<usize>,
) -> Answer<Vec<MachineId>> {
    let ids: Vec<MachineId> = match (ids, filter) {
        (Some(ids), None) => ids.into_iter().map(MachineId).collect(),
        (None, Some(filter)) => {
            let found = super::matching(state, &filter)?;
            found.iter().map(|record| record.machine.id).collect()
        }
        _ => {
            return Err(Problem::refused(
                "send either 'ids' (a list) or 'filter' ({} means all machines), not both",
            ));
        }
    };
    match expect.filter(|count| *count != ids.len()) {
        None => Ok(ids),
        Some(expected) => Err(Problem::new(
            StatusCode::CONFLICT,
            format!(
                "nothing was changed: {expected} machines were expected, and it would be {}",
                ids.len()
            ),
        )),
    }
}

pub(super) fn changed(ids: &[MachineId]) -> Changed {
    Changed {
        ids: ids.iter().map(|id| id.0).collect(),
    }
}
