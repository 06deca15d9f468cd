//! The people's plane: pages, live updates, login, and the API behind the same login.
//!
//! Deny by default: [`router`] puts one guard in front of every route; only the few paths in
//! [`ui::PUBLIC`] are reachable without an [`Actor`].

pub mod auth;
pub(crate) mod batches;
mod hooks;
pub(crate) mod ordering;
pub(crate) mod power;
mod state;
pub mod ui;

pub use crate::kept::Kept;
pub use auth::{Actor, Via};
pub use power::Passwords;
pub use state::{
    FilesStatus, ForeignServer, HasImage, InterfaceStatus, LoaderLine, PeopleOptions, PeopleState,
    PortRequests, PortStatus, ServerStatus,
};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};

/// Pages, `/live`, static files and `/api/v1`, behind login. Serve it with
/// [`listen::serve`](crate::listen::serve), whose [`Peer`](crate::listen::Peer) the sign-in
/// limits need. For the local unix socket add `.layer(Extension(Actor::cli()))`.
pub fn router(state: PeopleState) -> Router {
    ui::router()
        .with_state(state.clone())
        .nest("/api/v1", crate::api::router(state.clone()))
        .layer(from_fn(catch_panic))
        .layer(from_fn_with_state(state, auth::guard))
}

/// A page that panics is a bug; its visitor gets the friendly 500 and the server lives on.
async fn catch_panic(request: Request, next: Next) -> Response {
    use futures_util::FutureExt;
    let html = !request.uri().path().starts_with("/api/");
    let run = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind();
    match run.await {
        Ok(response) => response,
        Err(_) if html => ui::PageError::Broken.into_response(),
        Err(_) => ui::PageError::Broken.respond(false),
    }
}
