//! The JSON API under `/api/v1`: everything the pages do, for programs.

use crate::people::PeopleState;
use axum::Router;

/// Every route below `/api/v1`.
pub fn router(state: PeopleState) -> Router {
    Router::new().with_state(state)
}
