//! People who may log in: for the control socket alone, so that whoever has the host has the
//! way back in when a password is lost, and a stolen session or token cannot make itself at home.

use super::problem::{Answer, Json, Path, Problem};
use crate::people::auth::password;
use crate::people::{Actor, PeopleState, Via};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::User;
use utoipa::ToSchema;

/// A person who may log in.
#[derive(Serialize, ToSchema)]
pub(super) struct UserView {
    /// The name to log in with.
    name: String,
    /// Since when, in milliseconds since the Unix epoch.
    created: i64,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        UserView {
            name: user.name,
            created: user.created.0,
        }
    }
}

/// Everybody who may log in.
#[derive(Serialize, ToSchema)]
pub(super) struct UserList {
    /// By name.
    users: Vec<UserView>,
}

/// Lists who may log in. By the control socket only.
#[utoipa::path(get, path = "/users", tag = "users",
    responses((status = OK, body = UserList), (status = "4XX", body = Problem)))]
pub(super) async fn list_users(
    actor: Actor,
    State(state): State<PeopleState>,
) -> Answer<Json<UserList>> {
    by_socket_only(&actor)?;
    let users = state.store.users().await?;
    let users = users.into_iter().map(UserView::from).collect();
    Ok(Json(UserList { users }))
}

/// A person to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserBody {
    /// The name to log in with.
    name: String,
    /// At least 10 characters.
    password: String,
}

/// Adds a person. By the control socket only.
#[utoipa::path(post, path = "/users", tag = "users", request_body = UserBody,
    responses((status = CREATED, body = UserView), (status = "4XX", body = Problem)))]
pub(super) async fn create_user(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<UserBody>,
) -> Answer<Response> {
    by_socket_only(&actor)?;
    let hash = hash(body.password).await?;
    let user = state
        .store
        .create_user(&body.name, &hash, &actor.name)
        .await?;
    Ok((StatusCode::CREATED, Json(UserView::from(user))).into_response())
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordBody {
    /// At least 10 characters.
    password: String,
}

/// Sets a password and ends that person's sessions. By the control socket only.
#[utoipa::path(put, path = "/users/{name}/password", tag = "users", request_body = PasswordBody,
    params(("name" = String, Path, description = "the person")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn set_password(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<String>,
    Json(body): Json<PasswordBody>,
) -> Answer<StatusCode> {
    by_socket_only(&actor)?;
    let hash = hash(body.password).await?;
    state.store.set_password(&name, &hash, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn by_socket_only(actor: &Actor) -> Answer<()> {
    match actor.via {
        Via::Socket => Ok(()),
        Via::Session | Via::Token => {
            let detail = "people are managed on the server's own host: run 'farrier user' there";
            Err(Problem::new(StatusCode::FORBIDDEN, detail))
        }
    }
}

async fn hash(new: String) -> Answer<String> {
    password::check_new(&new, &new)
        .map_err(|weak| Problem::refused(format!("password: {weak}")))?;
    Ok(password::hash(new).await)
}
