//! The people's plane: pages, live updates, login, and the API behind the same login.
//!
//! Deny by default: [`router`] puts one guard in front of every route; only the few paths in
//! [`ui::PUBLIC`] are reachable without an [`Actor`].

pub mod auth;
mod state;

pub use auth::{Actor, Via};
pub use state::{
    ForeignServer, InterfaceStatus, LoaderLine, PeopleOptions, PeopleState, PortStatus,
    ServerStatus,
};

/// Pages, `/live`, static files and `/api/v1`, behind login.
pub fn router(state: PeopleState) -> axum::Router {
    let _ = state;
    axum::Router::new()
}
