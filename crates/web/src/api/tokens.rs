//! API tokens: made by people, never by tokens.

use super::problem::{Answer, Json, Path, Problem};
use crate::people::{Actor, PeopleState, Via};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::ApiToken;
use utoipa::ToSchema;

/// A token without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenView {
    /// Identity.
    id: i64,
    /// What it is for.
    name: String,
    /// Who made it.
    user: String,
    /// When, in milliseconds since the Unix epoch.
    created: i64,
    /// When it was last used.
    last_used: Option<i64>,
    /// When it ends; `null`: when somebody revokes it.
    expires: Option<i64>,
}

impl From<ApiToken> for TokenView {
    fn from(token: ApiToken) -> Self {
        TokenView {
            id: token.id,
            name: token.name,
            user: token.user,
            created: token.created.0,
            last_used: token.last_used.map(|at| at.0),
            expires: token.expires.map(|at| at.0),
        }
    }
}

/// Every token.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenList {
    /// Oldest first.
    tokens: Vec<TokenView>,
}

/// Lists tokens, without their secrets.
#[utoipa::path(get, path = "/tokens", tag = "tokens",
    responses((status = OK, body = TokenList), (status = "4XX", body = Problem)))]
pub(super) async fn list_tokens(
    _: Actor,
    State(state): State<PeopleState>,
) -> Answer<Json<TokenList>> {
    let tokens = state.store.tokens().await?;
    let tokens = tokens.into_iter().map(TokenView::from).collect();
    Ok(Json(TokenList { tokens }))
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    /// What it is for.
    name: String,
    /// For how many days it is good (1 to 3650); left out: until it is revoked.
    #[serde(default)]
    days: Option<u32>,
    /// On whose behalf; only the local command line says it.
    #[serde(default)]
    user: Option<String>,
}

/// A token with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct NewToken {
    /// The token.
    token: TokenView,
    /// For `Authorization: Bearer <secret>`.
    secret: String,
}

/// Makes a token. A stolen token must not be able to outlive its revocation by making others,
/// so this needs a login or the local socket.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = TokenBody,
    responses((status = CREATED, body = NewToken), (status = "4XX", body = Problem)))]
pub(super) async fn create_token(
    actor: Actor,
    State(state): State<PeopleState>,
    Json(body): Json<TokenBody>,
) -> Answer<Response> {
    let user = match (actor.via, body.user) {
        (Via::Session, None) => actor.name,
        (Via::Session, Some(user)) if user == actor.name => user,
        (Via::Session, Some(_)) => {
            let detail = "a token is made on one's own behalf; leave 'user' out";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        (Via::Socket, Some(user)) => user,
        (Via::Socket, None) => {
            return Err(Problem::refused(
                "user: say on whose behalf the token is made",
            ));
        }
        (Via::Token, _) => {
            let detail = "an API token cannot make tokens; log in to make one";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
    };
    let lifetime = match body.days {
        None => None,
        Some(days @ 1..=3650) => Some(Duration::from_secs(u64::from(days) * 86_400)),
        Some(days) => {
            return Err(Problem::refused(format!(
                "days: {days} is not within 1 to 3650"
            )));
        }
    };
    let (token, secret) = state
        .store
        .create_token(&user, &body.name, lifetime)
        .await?;
    let token = TokenView::from(token);
    Ok((StatusCode::CREATED, Json(NewToken { token, secret })).into_response())
}

/// Revokes a token.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens",
    params(("id" = i64, Path, description = "the token")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_token(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(id): Path<i64>,
) -> Answer<StatusCode> {
    state.store.delete_token(id, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
