//! Machines: list, look at, enter, change, assign.

use super::problem::{Answer, Json, Path, Problem, Query};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bootplan::timeline::{self, BootAttempt};
use bootplan::{
    Facts, LoaderKind, MacAddr, MachineId, MachineState, Platform, ProfileName, SystemUuid,
    Timestamp,
};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use store::{EventQuery, MachineChange, MachineRecord, NewMachine};
use utoipa::{IntoParams, ToSchema};

/// A machine and when it was seen.
#[derive(Serialize, ToSchema)]
pub(super) struct MachineView {
    /// Identity.
    #[schema(value_type = i64)]
    id: MachineId,
    /// What people call it.
    name: String,
    /// Its network cards.
    #[schema(value_type = Vec<String>)]
    macs: Vec<MacAddr>,
    /// SMBIOS UUID.
    #[schema(value_type = Option<String>)]
    uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    serial: Option<String>,
    /// Labels.
    labels: BTreeMap<String, String>,
    /// `discovered` or `registered`.
    #[schema(value_type = String)]
    state: MachineState,
    /// Loader preference: `ipxe`, `pxelinux`, `grub`.
    #[schema(value_type = Option<String>)]
    loader: Option<LoaderKind>,
    /// The profile it is assigned to.
    #[schema(value_type = Option<String>)]
    profile: Option<ProfileName>,
    /// What it said about itself: `platform`, `manufacturer`, `product`.
    #[schema(value_type = Object)]
    facts: Facts,
    /// When it first asked, in milliseconds since the Unix epoch.
    #[schema(value_type = i64)]
    first_seen: Timestamp,
    /// When it last asked.
    #[schema(value_type = Option<i64>)]
    last_seen: Option<Timestamp>,
}

impl From<MachineRecord> for MachineView {
    fn from(record: MachineRecord) -> Self {
        let machine = record.machine.as_ref().clone();
        MachineView {
            id: machine.id,
            name: machine.name,
            macs: machine.macs,
            uuid: machine.uuid,
            serial: machine.serial,
            labels: machine.labels,
            state: machine.state,
            loader: machine.loader,
            profile: machine.profile,
            facts: machine.facts,
            first_seen: record.first_seen,
            last_seen: record.last_seen,
        }
    }
}

/// Which machines are meant; everything left out matches all.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Filter {
    /// Words that must all occur in name, MAC, UUID, serial, label, product or profile.
    q: String,
    /// `discovered` or `registered`.
    #[schema(value_type = Option<String>)]
    state: Option<MachineState>,
    /// A profile's name; empty: machines without an assignment.
    profile: Option<String>,
}

impl Filter {
    fn matches(&self, record: &MachineRecord) -> bool {
        let machine = &record.machine;
        let profile = machine.profile.as_ref().map_or("", ProfileName::as_str);
        let state = self.state.is_none_or(|state| state == machine.state);
        if !state || self.profile.as_deref().is_some_and(|name| name != profile) {
            return false;
        }
        let mut text = format!("{}\n{profile}", machine.name);
        for mac in &machine.macs {
            text.push_str(&format!("\n{mac}\n{}", mac.dashed()));
        }
        if let Some(uuid) = machine.uuid {
            text.push_str(&format!("\n{uuid}"));
        }
        let facts = &machine.facts;
        let said = [&machine.serial, &facts.manufacturer, &facts.product];
        for said in said.into_iter().flatten() {
            text.push_str(&format!("\n{said}"));
        }
        for (key, value) in &machine.labels {
            text.push_str(&format!("\n{key}={value}"));
        }
        let platform = facts.platform.map_or("", Platform::slug);
        let text = format!("{text}\n{platform}").to_lowercase();
        let words = self.q.to_lowercase();
        words.split_whitespace().all(|word| text.contains(word))
    }
}

/// A page of the list of machines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Words that must all occur in name, MAC, UUID, serial, label, product or profile.
    q: String,
    /// `discovered` or `registered`.
    #[param(value_type = Option<String>)]
    state: Option<MachineState>,
    /// A profile's name; empty: machines without an assignment.
    profile: Option<String>,
    /// Page, from 1.
    page: usize,
    /// Machines on a page, 1 to 1000.
    per_page: usize,
}

impl Default for ListQuery {
    fn default() -> Self {
        ListQuery {
            q: String::new(),
            state: None,
            profile: None,
            page: 1,
            per_page: 100,
        }
    }
}

/// Machines and how many there are.
#[derive(Serialize, ToSchema)]
pub(super) struct MachineList {
    /// How many match in all.
    total: usize,
    /// This page, from 1.
    page: usize,
    /// Machines on a page.
    per_page: usize,
    /// This page's machines, by name.
    machines: Vec<MachineView>,
}

/// Lists machines.
#[utoipa::path(get, path = "/machines", tag = "machines", params(ListQuery),
    responses((status = OK, body = MachineList), (status = "4XX", body = Problem)))]
pub(super) async fn list_machines(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<MachineList>> {
    let (page, per_page) = (query.page.max(1), query.per_page.clamp(1, PER_PAGE_LIMIT));
    let filter = Filter {
        q: query.q,
        state: query.state,
        profile: query.profile,
    };
    let mut found = matching(&state, &filter);
    found.sort_by_cached_key(|r| (r.machine.name.to_lowercase(), r.machine.id));
    Ok(Json(MachineList {
        total: found.len(),
        page,
        per_page,
        machines: found
            .into_iter()
            .skip((page - 1).saturating_mul(per_page))
            .take(per_page)
            .map(MachineView::from)
            .collect(),
    }))
}

fn matching(state: &PeopleState, filter: &Filter) -> Vec<MachineRecord> {
    let mut found = state.store.machines();
    found.retain(|record| filter.matches(record));
    found
}

/// Shows one machine.
#[utoipa::path(get, path = "/machines/{id}", tag = "machines",
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = MachineView), (status = "4XX", body = Problem)))]
pub(super) async fn get_machine(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
) -> Answer<Json<MachineView>> {
    Ok(Json(one(&state, id)?.into()))
}

fn one(state: &PeopleState, id: i64) -> Answer<MachineRecord> {
    let found = state.store.machine(MachineId(id));
    found.ok_or_else(|| Problem::not_found(format!("machine {id}")))
}

/// A machine entered by hand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MachineBody {
    /// What people call it; left out: the first MAC with dashes.
    #[serde(default)]
    name: Option<String>,
    /// Its network cards; at least one.
    #[schema(value_type = Vec<String>)]
    macs: Vec<MacAddr>,
    /// SMBIOS UUID.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    #[serde(default)]
    serial: Option<String>,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Loader preference.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    loader: Option<LoaderKind>,
    /// Profile to boot.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    profile: Option<ProfileName>,
}

/// Enters a machine by hand.
#[utoipa::path(post, path = "/machines", tag = "machines", request_body = MachineBody,
    responses((status = CREATED, body = MachineView), (status = "4XX", body = Problem)))]
pub(super) async fn create_machine(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<MachineBody>,
) -> Answer<Response> {
    let new = NewMachine {
        name: body.name,
        macs: body.macs,
        uuid: body.uuid,
        serial: body.serial,
        labels: body.labels,
        loader: body.loader,
        profile: body.profile,
    };
    let created = state.store.create_machine(new, &actor.name).await?;
    let location = format!("/api/v1/machines/{}", created.machine.id.0);
    let view = Json(MachineView::from(created));
    let mut response = (StatusCode::CREATED, view).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// What to change; a field left out stays as it is, `null` takes it away.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(super) struct MachinePatch {
    /// What people call it.
    name: Option<String>,
    /// All its network cards.
    #[schema(value_type = Option<Vec<String>>)]
    macs: Option<Vec<MacAddr>>,
    /// SMBIOS UUID.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    uuid: Option<Option<SystemUuid>>,
    /// SMBIOS serial number.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    serial: Option<Option<String>>,
    /// All its labels.
    labels: Option<BTreeMap<String, String>>,
    /// Loader preference.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    loader: Option<Option<LoaderKind>>,
    /// Assignment.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    profile: Option<Option<ProfileName>>,
}

/// Tells `null` (`Some(None)`) from a field that was left out.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Changes a machine; a discovered one is adopted thereby.
#[utoipa::path(patch, path = "/machines/{id}", tag = "machines",
    params(("id" = i64, Path, description = "the machine")), request_body = MachinePatch,
    responses((status = OK, body = MachineView), (status = "4XX", body = Problem)))]
pub(super) async fn patch_machine(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Json(body): Json<MachinePatch>,
) -> Answer<Json<MachineView>> {
    let change = MachineChange {
        name: body.name,
        macs: body.macs,
        uuid: body.uuid,
        serial: body.serial,
        labels: body.labels,
        loader: body.loader,
        profile: body.profile,
    };
    let id = MachineId(id);
    let changed = state.store.update_machine(id, change, &actor.name).await?;
    Ok(Json(changed.into()))
}

/// Forgets a machine; if it asks again it is discovered anew.
#[utoipa::path(delete, path = "/machines/{id}", tag = "machines",
    params(("id" = i64, Path, description = "the machine")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_machine(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
) -> Answer<StatusCode> {
    state
        .store
        .delete_machine(MachineId(id), &actor.name)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which machines, by identity or by filter: exactly one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignBody {
    /// These machines.
    #[serde(default)]
    ids: Option<Vec<i64>>,
    /// All machines that match; `{}` means all machines.
    #[serde(default)]
    filter: Option<Filter>,
    /// The profile; `null` takes the assignment away.
    #[schema(value_type = Option<String>)]
    #[serde(deserialize_with = "required")]
    profile: Option<ProfileName>,
}

/// `null` must be written: leaving the profile out of a request must not unassign anything.
fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ProfileName>, D::Error> {
    Option::deserialize(deserializer)
}

/// Which machines, by identity or by filter: exactly one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdoptBody {
    /// These machines.
    #[serde(default)]
    ids: Option<Vec<i64>>,
    /// All machines that match; only discovered ones are changed.
    #[serde(default)]
    filter: Option<Filter>,
}

/// What was changed.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    /// The machines.
    ids: Vec<i64>,
}

/// Assigns a profile to machines: to all of them or, on an error, to none.
#[utoipa::path(post, path = "/machines/assign", tag = "machines", request_body = AssignBody,
    responses((status = OK, body = Changed), (status = "4XX", body = Problem)))]
pub(super) async fn assign_machines(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<AssignBody>,
) -> Answer<Json<Changed>> {
    let ids = meant(&state, body.ids, body.filter)?;
    state.store.assign(&ids, body.profile, &actor.name).await?;
    Ok(Json(changed(&ids)))
}

/// Makes discovered machines registered ones: all of them or, on an error, none.
#[utoipa::path(post, path = "/machines/adopt", tag = "machines", request_body = AdoptBody,
    responses((status = OK, body = Changed), (status = "4XX", body = Problem)))]
pub(super) async fn adopt_machines(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<AdoptBody>,
) -> Answer<Json<Changed>> {
    let filter = body.filter.map(|filter| Filter {
        state: Some(MachineState::Discovered),
        ..filter
    });
    let ids = meant(&state, body.ids, filter)?;
    state.store.adopt(&ids, &actor.name).await?;
    Ok(Json(changed(&ids)))
}

fn meant(
    state: &PeopleState,
    ids: Option<Vec<i64>>,
    filter: Option<Filter>,
) -> Answer<Vec<MachineId>> {
    match (ids, filter) {
        (Some(ids), None) => Ok(ids.into_iter().map(MachineId).collect()),
        (None, Some(filter)) => {
            let found = matching(state, &filter);
            Ok(found.iter().map(|record| record.machine.id).collect())
        }
        _ => Err(Problem::refused(
            "send either 'ids' (a list) or 'filter' ({} means all machines), not both",
        )),
    }
}

fn changed(ids: &[MachineId]) -> Changed {
    Changed {
        ids: ids.iter().map(|id| id.0).collect(),
    }
}

/// The boots of one machine.
#[derive(Serialize, ToSchema)]
pub(super) struct Boots {
    /// Newest first.
    boots: Vec<Boot>,
}

/// One boot: an attempt and its summary.
#[derive(Serialize, ToSchema)]
pub(super) struct Boot {
    /// How far it came and, if it stopped, where.
    summary: String,
    /// `started`, `last` (milliseconds since the Unix epoch), `milestone`, `events`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    attempt: BootAttempt,
}

/// The boots of one machine, folded from its newest 1000 events.
#[utoipa::path(get, path = "/machines/{id}/boots", tag = "machines",
    params(("id" = i64, Path, description = "the machine")),
    responses((status = OK, body = Boots), (status = "4XX", body = Problem)))]
pub(super) async fn list_boots(
    _: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
) -> Answer<Json<Boots>> {
    one(&state, id)?;
    let query = EventQuery {
        machine: Some(MachineId(id)),
        limit: 1000,
        ..EventQuery::default()
    };
    let mut events = state.store.events(query).await?;
    events.reverse();
    let attempts = timeline::attempts(events.into_iter().map(|stored| stored.event));
    let boots = attempts.into_iter().rev().map(|attempt| Boot {
        summary: attempt.summary(),
        attempt,
    });
    Ok(Json(Boots {
        boots: boots.collect(),
    }))
}

/// Enough for a rack of racks at once; more is asked for page by page.
const PER_PAGE_LIMIT: usize = 1000;
