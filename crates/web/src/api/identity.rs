//! Whose address it is: what waits for a person, what a person says, machines that are one or two.

use super::machines::views::MachineView;
use super::problem::{Answer, Json, Path, Problem};
use crate::kept::{self, Moved};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bootplan::identity::Claim;
use bootplan::{MacAddr, MachineId, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{Conflict, Settlement, SharedMac};
use utoipa::ToSchema;

/// An address of which a person has to say whose it is.
#[derive(Serialize, ToSchema)]
pub(super) struct ConflictView {
    /// Which one.
    #[schema(value_type = String)]
    mac: MacAddr,
    /// The machines it may belong to.
    suspects: Vec<SuspectView>,
    /// What was said by this address and did not fit, the newest last.
    #[schema(value_type = Vec<Object>)]
    claims: Vec<Claim>,
    /// How many machines seem to use it; three and more are most likely users of one adapter.
    users: usize,
    /// Whether its own machine asked last, by its own UUID, and boots.
    quiet: bool,
    /// Since when, in milliseconds since the Unix epoch.
    #[schema(value_type = i64)]
    since: Timestamp,
}

/// A machine that the address may belong to.
#[derive(Serialize, ToSchema)]
pub(super) struct SuspectView {
    /// Which one.
    #[schema(value_type = i64)]
    machine: MachineId,
    /// What people call it.
    name: String,
    /// What speaks for and against it, in words.
    evidence: Vec<String>,
    /// Whether it has this address now.
    owner: bool,
}

/// All that waits for a person.
#[derive(Serialize, ToSchema)]
pub(super) struct Conflicts {
    /// The oldest first.
    conflicts: Vec<ConflictView>,
}

/// What a person says of an address in conflict.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "how", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum SettleBody {
    /// It is this machine's, and what was said by it last is true of that machine.
    Is {
        /// Which one.
        machine: i64,
    },
    /// It is a machine of its own, and what was said by it last is true of that one.
    Another,
    /// Several machines use it; it tells nothing about any of them.
    Shared {
        /// What it is, for people.
        why: String,
    },
    /// Nothing changes; it is asked again when it is said again.
    Dismiss,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Settled {
    /// The machine that has this address now.
    #[schema(value_type = Option<i64>)]
    machine: Option<MachineId>,
}

/// Adapters that several machines use.
#[derive(Serialize, ToSchema)]
pub(super) struct SharedMacs {
    /// The oldest first.
    #[schema(value_type = Vec<Object>)]
    shared: Vec<SharedMac>,
}

/// An adapter that several machines use.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedBody {
    /// What it is, for people.
    why: String,
    /// Its labels; left out, they stay.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// Which machine turned out to be this one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MergeBody {
    /// It is gone afterwards; its cards and its history are the other's.
    from: i64,
}

/// Two machines that are one now.
#[derive(Serialize, ToSchema)]
pub(super) struct Merged {
    #[serde(flatten)]
    machine: MachineView,
    /// What the other kept on the server: `nothing`; it is `moved` to this one; or it is `left`, because both keep
    /// something.
    kept: &'static str,
}

/// Which cards turned out to be another machine's.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitBody {
    /// They make a machine of their own, registered without an assignment.
    #[schema(value_type = Vec<String>)]
    macs: Vec<MacAddr>,
}

/// What waits for a person: addresses that may be of more than one machine. Until somebody says,
/// who asks by them boots the local disk.
#[utoipa::path(get, path = "/conflicts", tag = "identity",
    responses((status = OK, body = Conflicts)))]
pub(super) async fn list_conflicts(_: Actor, State(state): State<PeopleState>) -> Json<Conflicts> {
    let view = |conflict: Conflict| view(&state, conflict);
    let conflicts = state.store.conflicts().into_iter().map(view).collect();
    Json(Conflicts { conflicts })
}

fn view(state: &PeopleState, conflict: Conflict) -> ConflictView {
    let owner = state.store.catalog().find(conflict.mac, None).cloned();
    let suspects = conflict.suspects.iter().filter_map(|suspect| {
        let record = state.store.machine(suspect.machine)?;
        Some(SuspectView {
            machine: suspect.machine,
            name: record.machine.name.clone(),
            evidence: suspect.evidence.iter().map(ToString::to_string).collect(),
            owner: owner
                .as_ref()
                .is_some_and(|owner| owner.id == suspect.machine),
        })
    });
    ConflictView {
        suspects: suspects.collect(),
        users: conflict.users(owner.as_deref()),
        mac: conflict.mac,
        claims: conflict.claims,
        quiet: conflict.quiet,
        since: conflict.since,
    }
}

/// Says whose an address in conflict is.
#[utoipa::path(post, path = "/conflicts/{mac}", tag = "identity",
    params(("mac" = String, Path, description = "the address")), request_body = SettleBody,
    responses((status = OK, body = Settled), (status = "4XX", body = Problem)))]
pub(super) async fn settle_conflict(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(mac): Path<MacAddr>,
    Json(body): Json<SettleBody>,
) -> Answer<Json<Settled>> {
    let settlement = match body {
        SettleBody::Is { machine } => Settlement::Is(MachineId(machine)),
        SettleBody::Another => Settlement::Another,
        SettleBody::Shared { why } => Settlement::Shared { why },
        SettleBody::Dismiss => Settlement::Dismiss,
    };
    let settled = state.store.settle(mac, settlement, &actor.name);
    Ok(Json(Settled {
        machine: settled.await?,
    }))
}

/// Adapters that several machines use, as people said.
#[utoipa::path(get, path = "/shared-macs", tag = "identity",
    responses((status = OK, body = SharedMacs)))]
pub(super) async fn list_shared(_: Actor, State(state): State<PeopleState>) -> Json<SharedMacs> {
    Json(SharedMacs {
        shared: state.store.shared_macs(),
    })
}

/// Marks an adapter that several machines use: it tells nothing about any of them.
#[utoipa::path(put, path = "/shared-macs/{mac}", tag = "identity",
    params(("mac" = String, Path, description = "the address")), request_body = SharedBody,
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn put_shared(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(mac): Path<MacAddr>,
    Json(body): Json<SharedBody>,
) -> Answer<StatusCode> {
    let (store, by) = (&state.store, &actor.name);
    store.mark_shared(mac, &body.why, body.labels, by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An adapter is one machine's again.
#[utoipa::path(delete, path = "/shared-macs/{mac}", tag = "identity",
    params(("mac" = String, Path, description = "the address")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_shared(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(mac): Path<MacAddr>,
) -> Answer<StatusCode> {
    state.store.unmark_shared(mac, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Two machines are one: this one gets the cards and the history of the other, which is gone.
#[utoipa::path(post, path = "/machines/{id}/merge", tag = "identity",
    params(("id" = i64, Path, description = "the machine that stays")), request_body = MergeBody,
    responses((status = OK, body = Merged), (status = "4XX", body = Problem)))]
pub(super) async fn merge_machines(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Json(body): Json<MergeBody>,
) -> Answer<Json<Merged>> {
    let (into, from) = (MachineId(id), MachineId(body.from));
    let (merged, moved) = kept::merge(&state, into, from, &actor.name).await?;
    Ok(Json(Merged {
        machine: MachineView::of(merged, &state.store.catalog()),
        kept: match moved {
            Moved::Nothing => "nothing",
            Moved::Over => "moved",
            Moved::Left => "left",
        },
    }))
}

/// One machine is two: these cards make a machine of their own.
#[utoipa::path(post, path = "/machines/{id}/split", tag = "identity",
    params(("id" = i64, Path, description = "the machine")), request_body = SplitBody,
    responses((status = CREATED, body = MachineView), (status = "4XX", body = Problem)))]
pub(super) async fn split_machine(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
    Json(body): Json<SplitBody>,
) -> Answer<Response> {
    let split = state
        .store
        .split(MachineId(id), body.macs, &actor.name)
        .await?;
    let view = Json(MachineView::of(split, &state.store.catalog()));
    Ok((StatusCode::CREATED, view).into_response())
}
