//! Pages for people. A page is a struct beside its handler; the template of the same name lies
//! in `web/templates`. Every page works without JavaScript; the script only makes it live.

mod assets;
mod batch;
mod boots;
mod confirm;
mod conflicts;
mod error;
mod fetches;
mod files;
mod form;
mod frame;
mod hooks;
mod images;
mod install;
mod live;
mod login;
mod machine;
mod machine_list;
mod machine_more;
mod machine_new;
mod power;
mod preview;
mod profile_form;
mod profile_sample;
mod profiles;
mod review;
mod rule_form;
mod rules;
mod secrets;
mod settings;
mod setup;
mod site_variables;
mod status;
mod story;
mod templates;
mod transfers;
mod uploads;
mod yaml_area;

pub use error::PageError;
pub(crate) use story::printable;

use crate::people::PeopleState;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use http::{Method, Uri};

/// Paths that strangers may ask for; one that ends in `/` stands for everything below it.
pub const PUBLIC: [&str; 5] = [
    "/login",
    "/setup",
    "/static/",
    "/favicon.ico",
    "/api/v1/openapi.json",
];

/// Every page and action, with the methods it answers. The one table; tests walk it.
pub fn table() -> Vec<(
    &'static str,
    &'static [&'static str],
    MethodRouter<PeopleState>,
)> {
    vec![
        ("/", &["GET"], get(async || Redirect::to("/machines"))),
        (
            "/login",
            &["GET", "POST"],
            get(login::show).post(login::submit),
        ),
        ("/logout", &["POST"], post(login::logout)),
        (
            "/setup",
            &["GET", "POST"],
            get(setup::show).post(setup::submit),
        ),
        ("/machines", &["GET"], get(machine_list::show)),
        ("/machines/bulk", &["POST"], post(machine_list::bulk)),
        ("/machines/confirm", &["GET"], get(confirm::show)),
        ("/machines/power", &["GET"], get(batch::show)),
        (
            "/machines/new",
            &["GET", "POST"],
            get(machine_new::show).post(machine_new::submit),
        ),
        (
            "/machines/{id}",
            &["GET", "POST"],
            get(machine::show).post(machine::edit),
        ),
        ("/machines/{id}/review", &["GET"], get(review::show)),
        ("/machines/{id}/more", &["POST"], post(machine_more::save)),
        ("/machines/{id}/assign", &["POST"], post(machine::assign)),
        ("/machines/{id}/adopt", &["POST"], post(machine::adopt)),
        ("/machines/{id}/order", &["POST"], post(install::order)),
        ("/machines/{id}/delete", &["POST"], post(machine::delete)),
        ("/machines/{id}/power", &["POST"], post(power::act)),
        ("/machines/{id}/power/edit", &["POST"], post(power::edit)),
        ("/machines/{id}/merge", &["POST"], post(conflicts::merge)),
        ("/machines/{id}/split", &["POST"], post(conflicts::split)),
        ("/conflicts", &["GET"], get(conflicts::show)),
        ("/conflicts/{mac}", &["POST"], post(conflicts::settle)),
        (
            "/conflicts/{mac}/unshare",
            &["POST"],
            post(conflicts::unshare),
        ),
        ("/m/{mac}", &["GET"], get(machine::by_mac)),
        ("/profiles", &["GET"], get(profiles::list)),
        (
            "/profiles/new",
            &["GET", "POST"],
            get(profiles::new)
                .post(profiles::create)
                .layer(DefaultBodyLimit::max(templates::FORM_LIMIT)),
        ),
        (
            "/profiles/{name}",
            &["GET", "POST"],
            get(profiles::edit)
                .post(profiles::save)
                .layer(DefaultBodyLimit::max(templates::FORM_LIMIT)),
        ),
        ("/profiles/{name}/delete", &["POST"], post(profiles::delete)),
        ("/rules", &["GET"], get(rules::list)),
        (
            "/rules/new",
            &["GET", "POST"],
            get(rules::new).post(rules::create),
        ),
        (
            "/rules/{name}",
            &["GET", "POST"],
            get(rules::edit).post(rules::save),
        ),
        ("/rules/{name}/delete", &["POST"], post(rules::delete)),
        ("/templates", &["GET"], get(templates::list)),
        (
            "/templates/{kind}",
            &["GET", "POST"],
            get(templates::new)
                .post(templates::create)
                .layer(DefaultBodyLimit::max(templates::FORM_LIMIT)),
        ),
        (
            "/templates/{kind}/{name}",
            &["GET", "POST"],
            get(templates::edit)
                .post(templates::save)
                .layer(DefaultBodyLimit::max(templates::FORM_LIMIT)),
        ),
        (
            "/templates/{kind}/{name}/delete",
            &["POST"],
            post(templates::delete),
        ),
        ("/boots", &["GET"], get(boots::show)),
        ("/images", &["GET"], get(images::list)),
        (
            "/images/{name}/profiles",
            &["POST"],
            post(images::make_profiles),
        ),
        ("/images/fetches", &["POST"], post(fetches::begin)),
        (
            "/images/fetches/{id}/cancel",
            &["POST"],
            post(fetches::cancel),
        ),
        (
            "/images/fetches/{id}/retry",
            &["POST"],
            post(fetches::retry),
        ),
        ("/images/{name}/delete", &["POST"], post(images::delete)),
        (
            "/images/uploads/{id}/cancel",
            &["POST"],
            post(images::cancel),
        ),
        ("/uploads", &["GET"], get(uploads::list)),
        ("/uploads/file", &["GET"], get(uploads::show)),
        ("/uploads/content", &["GET"], get(uploads::content)),
        ("/status", &["GET"], get(status::show)),
        ("/settings", &["GET"], get(settings::show)),
        (
            "/settings/files",
            &["GET", "POST"],
            get(files::show)
                .post(files::submit)
                .layer(DefaultBodyLimit::max(files::FORM_LIMIT)),
        ),
        ("/settings/site", &["POST"], post(settings::site)),
        (
            "/settings/installing",
            &["POST"],
            post(settings::installing),
        ),
        ("/settings/variables", &["POST"], post(site_variables::save)),
        (
            "/settings/default",
            &["POST"],
            post(settings::default_policy),
        ),
        ("/settings/tokens", &["POST"], post(settings::create_token)),
        (
            "/settings/tokens/{id}/delete",
            &["POST"],
            post(settings::delete_token),
        ),
        (
            "/settings/password",
            &["POST"],
            post(settings::change_password),
        ),
        (
            "/settings/secrets",
            &["GET", "POST"],
            get(secrets::show).post(secrets::save),
        ),
        (
            "/settings/secrets/{name}/delete",
            &["POST"],
            post(secrets::delete),
        ),
        (
            "/settings/hooks",
            &["GET", "POST"],
            get(hooks::show).post(hooks::save),
        ),
        ("/settings/hooks/{name}/test", &["POST"], post(hooks::test)),
        (
            "/settings/hooks/{name}/delete",
            &["POST"],
            post(hooks::delete),
        ),
        ("/live", &["GET"], get(live::stream)),
        ("/metrics", &["GET"], get(crate::metrics::show)),
        ("/static/{hash}/{file}", &["GET"], get(assets::serve)),
        ("/favicon.ico", &["GET"], get(assets::favicon)),
    ]
}

/// The table as a router; unknown paths get the friendly 404.
pub(crate) fn router() -> Router<PeopleState> {
    let mut router = Router::new();
    for (path, _, methods) in table() {
        router = router.route(path, methods);
    }
    router
        .fallback(async || PageError::NotFound("there is no page at this address".to_owned()))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
}

/// Whoever loads the address of an action again (after a failed one, from the history) is taken
/// to the page the action belongs to.
async fn wrong_method(method: Method, uri: Uri) -> Response {
    let page = page_of(uri.path()).filter(|_| method == Method::GET);
    match page {
        Some(page) => Redirect::to(page).into_response(),
        None => PageError::Method(method).into_response(),
    }
}

/// The page above an action: `/machines/7/assign` is done on `/machines/7`.
fn page_of(action: &str) -> Option<&str> {
    let (parent, _) = action.rsplit_once('/')?;
    Some(match parent {
        "" => "/machines",
        "/settings/tokens" => "/settings",
        image if image.starts_with("/images/") => "/images",
        token if token.starts_with("/settings/tokens/") => "/settings",
        mac if mac.starts_with("/conflicts/") => "/conflicts",
        hook if hook.starts_with("/settings/hooks/") => "/settings/hooks",
        secret if secret.starts_with("/settings/secrets/") => "/settings/secrets",
        page => page,
    })
}

/// The longest form (a profile) needs a few kilobytes; a bulk selection 20 bytes a row.
const FORM_LIMIT: usize = 512 * 1024;
