//! Site settings and the server's own state.

use super::problem::{Answer, Json, Problem};
use crate::people::{Actor, PeopleState, ServerStatus};
use axum::extract::State;
use bootplan::{Limit, LoaderKind, LocalBoot, LocalBootModel, NewMachines, Site, UnassignedPolicy};
use utoipa::ToSchema;

/// Site settings. (The description of what is really read and written by `bootplan::Site`.)
#[derive(ToSchema)]
#[schema(as = Site)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct SiteSchema {
    /// What a machine without an assignment gets: `silence`, `wait`, `menu`.
    #[schema(value_type = String, required = false)]
    unassigned: UnassignedPolicy,
    /// Seconds a menu waits before it boots its default entry (0 to 300).
    #[schema(required = false)]
    menu_timeout_s: u16,
    /// Seconds between two questions of a waiting machine (2 to 60).
    #[schema(required = false)]
    wait_poll_s: u16,
    /// Seconds after which a waiting machine goes to its local disk (10 to 86400).
    #[schema(required = false)]
    wait_limit_s: u32,
    /// Loader for machines and profiles that prefer none.
    #[schema(value_type = String, required = false)]
    loader: LoaderKind,
    /// What becomes of machines that nobody has adopted: `hold`, `register`, `ignore`.
    #[schema(value_type = String, required = false)]
    new_machines: NewMachines,
    /// How many machines install at the same time; 0: any number.
    #[schema(required = false)]
    install_slots: u16,
    /// When an installation that does not report is held: `tries` (1 to 20) and `minutes` after
    /// the first of them (5 to 10080).
    #[schema(value_type = Object, required = false)]
    install_limit: Limit,
    /// How loaders start the local disk: `auto`, `exit`, `next-entry`, `first-disk`, `local-grub`.
    #[schema(value_type = String, required = false)]
    local_boot: LocalBoot,
    /// How those of some models do: `{"manufacturer": "Dell*", "product": "OptiPlex *",
    /// "local_boot": "exit"}`; the first that fits counts.
    #[schema(value_type = Vec<Object>, required = false)]
    local_boot_models: Vec<LocalBootModel>,
    /// Maintenance windows that orders name, in hours of the server's zone:
    /// `{"nights": {"days": ["mon", "tue"], "from": "22:00", "to": "05:00"}}`.
    #[schema(value_type = Object, required = false)]
    windows: (),
}

/// Shows the site settings.
#[utoipa::path(get, path = "/site", tag = "site",
    responses((status = OK, body = SiteSchema), (status = "4XX", body = Problem)))]
pub(super) async fn get_site(_: Actor, State(state): State<PeopleState>) -> Json<Site> {
    Json(state.store.site())
}

/// Replaces the site settings; what is left out gets its default.
#[utoipa::path(put, path = "/site", tag = "site", request_body = SiteSchema,
    responses((status = OK, body = SiteSchema), (status = "4XX", body = Problem)))]
pub(super) async fn put_site(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(site): Json<Site>,
) -> Answer<Json<Site>> {
    if let Some((_, problem)) = out_of_range(&site) {
        return Err(Problem::refused(problem));
    }
    state.store.set_site(site, &actor.name).await?;
    Ok(Json(state.store.site()))
}

/// The first number outside its range, or a window that never opens, with its field. The store would bring it into range
/// silently; whoever wrote it by hand should know.
pub(crate) fn out_of_range(site: &Site) -> Option<(&'static str, String)> {
    let near = site.clone().clamped();
    let numbers = [
        (
            "menu_timeout_s",
            u32::from(site.menu_timeout_s),
            u32::from(near.menu_timeout_s),
        ),
        (
            "wait_poll_s",
            u32::from(site.wait_poll_s),
            u32::from(near.wait_poll_s),
        ),
        ("wait_limit_s", site.wait_limit_s, near.wait_limit_s),
        (
            "install_limit",
            u32::from(site.install_limit.tries),
            u32::from(near.install_limit.tries),
        ),
        (
            "install_limit",
            site.install_limit.minutes,
            near.install_limit.minutes,
        ),
    ];
    let never = site.windows.iter().find(|(_, w)| w.days.is_empty());
    if let Some((name, _)) = never {
        let problem = format!("windows: '{name}' opens on no day");
        return Some(("windows", problem));
    }
    let (field, value, nearest) = numbers.into_iter().find(|(_, value, near)| value != near)?;
    let problem = format!("{field}: {value} is out of range; the nearest possible is {nearest}");
    Some((field, problem))
}

/// What the server knows about itself: interfaces, ports, loaders, drops, other servers.
#[utoipa::path(get, path = "/status", tag = "site",
    responses((status = OK, body = ServerStatus), (status = "4XX", body = Problem)))]
pub(super) async fn get_status(_: Actor, State(state): State<PeopleState>) -> Json<ServerStatus> {
    Json((state.status)())
}
