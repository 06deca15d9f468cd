//! The JSON API under `/api/v1`: everything the pages do, for programs.
//!
//! Every handler asks for an [`Actor`](crate::people::Actor), so that a route cannot be reached
//! without one even if the guard in front of the router were forgotten; only the description of
//! the API itself is open. Routes come from one table that is the description, too.

mod apply;
mod boots;
mod events;
mod every_boot;
mod explain;
mod fetches;
mod hooks;
mod identity;
mod images;
mod machines;
mod objects;
mod power;
mod problem;
mod profiles;
mod review;
mod rules;
mod secrets;
pub(crate) mod site;
#[cfg(test)]
mod tests;
mod tokens;
mod transfers;
mod uploads;
mod users;

use crate::people::PeopleState;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use http::{Method, StatusCode, Uri};
use problem::{Json, Problem};
use std::sync::LazyLock;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every route below `/api/v1`.
pub fn router(state: PeopleState) -> Router {
    let (router, _) = table().split_for_parts();
    router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(state)
}

/// The description of the API as JSON (OpenAPI 3.1).
pub fn openapi_json() -> String {
    let (_, description) = table().split_for_parts();
    description
        .to_pretty_json()
        .expect("a description holds only what JSON can say")
}

fn table() -> OpenApiRouter<PeopleState> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(machines::list_machines, machines::create_machine))
        .routes(routes!(machines::many::assign_machines))
        .routes(routes!(machines::many::adopt_machines))
        .routes(routes!(machines::orders::list_runs))
        .routes(routes!(machines::orders::arm_machines))
        .routes(routes!(machines::orders::cancel_runs))
        .routes(routes!(machines::orders::release_runs))
        .routes(routes!(machines::orders::arm_machine))
        .routes(routes!(machines::now::install_now))
        .routes(routes!(machines::orders::cancel_run))
        .routes(routes!(machines::orders::hold_run))
        .routes(routes!(machines::orders::release_run))
        .routes(routes!(machines::orders::finish_run))
        .routes(routes!(machines::many::label_machines))
        .routes(routes!(machines::many::forget_machines))
        .routes(routes!(machines::table::import_machines))
        .routes(routes!(machines::table::export_machines))
        .routes(routes!(
            machines::get_machine,
            machines::patch_machine,
            machines::delete_machine
        ))
        .routes(routes!(
            power::get_power,
            power::put_power,
            power::use_power
        ))
        .routes(routes!(power::use_many))
        .routes(routes!(identity::list_conflicts))
        .routes(routes!(identity::settle_conflict))
        .routes(routes!(identity::list_shared))
        .routes(routes!(identity::put_shared, identity::delete_shared))
        .routes(routes!(identity::merge_machines))
        .routes(routes!(identity::split_machine))
        .routes(routes!(hooks::list_hooks))
        .routes(routes!(hooks::put_hook, hooks::delete_hook))
        .routes(routes!(hooks::test_hook))
        .routes(routes!(review::review_machine))
        .routes(routes!(objects::list_objects))
        .routes(routes!(objects::put_object, objects::delete_object))
        .routes(routes!(secrets::list_secrets))
        .routes(routes!(secrets::put_secret, secrets::delete_secret))
        .routes(routes!(boots::list_boots))
        .routes(routes!(boots::list_all_boots))
        .routes(routes!(explain::explain))
        .routes(routes!(profiles::list_profiles))
        .routes(routes!(profiles::render_draft))
        .routes(routes!(
            profiles::get_profile,
            profiles::put_profile,
            profiles::delete_profile
        ))
        .routes(routes!(profiles::render_profile))
        .routes(routes!(rules::list_rules))
        .routes(routes!(rules::preview_rule))
        .routes(routes!(
            rules::get_rule,
            rules::put_rule,
            rules::delete_rule
        ))
        .routes(routes!(site::get_site, site::put_site))
        .routes(routes!(site::get_status))
        .routes(routes!(transfers::list_transfers))
        .routes(routes!(events::list_events))
        .routes(routes!(events::stream_events))
        .routes(routes!(uploads::list_uploads))
        .routes(routes!(uploads::list_versions))
        .routes(routes!(uploads::get_difference))
        .routes(routes!(uploads::get_content))
        .routes(routes!(images::list_images))
        .routes(routes!(images::get_image, images::delete_image))
        .routes(routes!(images::make_profiles))
        .routes(routes!(images::check_image))
        .routes(routes!(
            images::list_image_uploads,
            images::begin_image_upload
        ))
        .routes(routes!(
            images::get_image_upload,
            images::put_image_piece,
            images::cancel_image_upload
        ))
        .routes(routes!(images::finish_image_upload))
        .routes(routes!(fetches::list_fetches, fetches::begin_fetch))
        .routes(routes!(fetches::get_fetch, fetches::cancel_fetch))
        .routes(routes!(fetches::retry_fetch))
        .routes(routes!(fetches::fetch_choices))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::delete_token))
        .routes(routes!(users::list_users, users::create_user))
        .routes(routes!(users::set_password))
        .routes(routes!(apply::apply))
        .routes(routes!(apply::export))
        .routes(routes!(description))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Farrier",
        description = "Everything the pages do. Send `Authorization: Bearer <API token>`; \
            errors are problem details (RFC 9457); times are milliseconds since the Unix epoch; \
            unknown fields are refused.",
    ),
    servers((url = "/api/v1")),
    modifiers(&BearerToken)
)]
struct Description;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        openapi.security = Some(vec![utoipa::openapi::SecurityRequirement::new(
            "token",
            Vec::<String>::new(),
        )]);
    }
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "description", security(()),
    responses((status = OK, body = Object)))]
async fn description() -> Json<serde_json::Value> {
    static TEXT: LazyLock<serde_json::Value> = LazyLock::new(|| {
        serde_json::from_str(&openapi_json()).expect("it was just written as JSON")
    });
    Json(TEXT.clone())
}

async fn unknown(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(120).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("no such thing as {path}; see /api/v1/openapi.json for what there is"),
    )
}

async fn wrong_method(method: Method) -> Problem {
    let detail = format!("{method} is not possible here; see the Allow header");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// A few thousand machines as YAML; everything else is far smaller.
const BODY_LIMIT: usize = 4 * 1024 * 1024;
