//! Ordering machines and booting them at once, by their power switches.

use super::many::meant;
use super::orders::{ArmBody, order};
use crate::api::problem::{Answer, Json, Problem};
use crate::people::power::{Asked, Tried};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use bootplan::ProfileName;
use serde::Serialize;
use utoipa::ToSchema;

/// What came of it, machine by machine. All of them are ordered.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct BootedNow {
    /// In the order that was asked for.
    results: Vec<Booted>,
}

/// A machine that was ordered, and what its power switch did.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Booted {
    /// The machine.
    id: i64,
    /// Its name.
    name: String,
    /// What was ordered.
    #[schema(value_type = Option<String>)]
    profile: Option<ProfileName>,
    /// Whether it was switched; if not, the order stands, and somebody has to switch it.
    switched: bool,
    /// What was asked of its switch, one after the other; the first that does not work is the last.
    steps: Vec<Tried>,
    /// All of that in words.
    text: String,
}

/// Orders machines as `/machines/arm` does, all or none, and boots each from the network at once:
/// its controller is told to boot by PXE once and to restart it (to switch it on, if it is off); one
/// that only hears magic packets is woken. A switch that fails keeps neither the others nor the
/// orders from standing.
#[utoipa::path(post, path = "/machines/install-now", tag = "runs", request_body = ArmBody,
    responses((status = OK, body = BootedNow), (status = "4XX", body = Problem)))]
pub(in crate::api) async fn install_now(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(mut body): Json<ArmBody>,
) -> Answer<Json<BootedNow>> {
    if body.not_before.is_some() || body.window.is_some() {
        let detail = "now, or at another time: leave 'not_before' and 'window' out";
        return Err(Problem::refused(detail));
    }
    let ids = meant(&state, body.ids.take(), body.filter.take())?;
    let ordered = order(&state, &actor, &ids, body).await?;
    let asked = Asked::BootOrdered;
    let switched = state.switch(ids, asked, &actor.name).await?;
    let results = switched.into_iter().map(|switched| Booted {
        id: switched.id.0,
        profile: ordered.get(&switched.id).cloned(),
        switched: switched.good(),
        text: switched.told(asked),
        name: switched.name,
        steps: switched.tried,
    });
    Ok(Json(BootedNow {
        results: results.collect(),
    }))
}
