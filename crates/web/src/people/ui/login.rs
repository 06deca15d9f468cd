//! Logging in and out.

use super::assets::{ASSETS, Assets};
use super::error::{PageError, PageResult, page};
use super::form::{Fields, Query};
use super::frame::{from_address, local};
use crate::people::auth::{LIFETIME, clear_cookie, password, session_secret, set_cookie};
use crate::people::{Actor, PeopleState};
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::{Extensions, HeaderMap, StatusCode, header};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    assets: &'static Assets,
    next: String,
    username: String,
    error: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

/// `GET /login`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    Query(Next { next }): Query<Next>,
    extensions: Extensions,
) -> PageResult {
    if extensions.get::<Actor>().is_some() {
        return Ok(Redirect::to("/machines").into_response());
    }
    if state.store.user_count().await? == 0 {
        return Ok(Redirect::to("/setup").into_response());
    }
    page(&form(next, String::new(), None))
}

/// `POST /login`
pub(crate) async fn submit(
    State(state): State<PeopleState>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let name = fields.get("username").to_owned();
    let next = fields.get("next").to_owned();
    let refuse = |status, error: String| -> PageResult {
        let body = page(&form(next.clone(), name.clone(), Some(error)))?;
        Ok((status, body).into_response())
    };
    if let Err(wait) = state.auth.try_password(from_address(&extensions), &name) {
        let seconds = wait.as_secs() + 1;
        let text = format!("Too many tries. Wait {seconds} seconds, then try again.");
        let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, text)?;
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let user = state.store.user(&name).await?;
    let stored = user.as_ref().map(|u| u.password_hash.clone());
    let right = password::verify(fields.raw("password").to_owned(), stored).await;
    let Some(user) = user.filter(|_| right) else {
        tracing::warn!(from = %from_address(&extensions), "a login was refused");
        return refuse(
            StatusCode::UNAUTHORIZED,
            "User name and password do not match.".to_owned(),
        );
    };
    state.auth.was_right(from_address(&extensions), &name);
    // A session from before the login never becomes the new one (fixation).
    if let Some(old) = session_secret(&headers) {
        state.store.delete_session(old).await?;
    }
    let to = match next.as_str() {
        "" | "/" => "/machines",
        next => local(next),
    };
    start_session(&state, &user.name, to).await
}

/// `POST /logout`
pub(crate) async fn logout(
    State(state): State<PeopleState>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    if let Some(secret) = session_secret(&headers) {
        state.store.delete_session(secret).await?;
    }
    let cookie = clear_cookie(state.options.tls);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

/// Logs a person in and sends them on.
pub(crate) async fn start_session(state: &PeopleState, user: &str, to: &str) -> PageResult {
    let secret = state.store.create_session(user, LIFETIME).await?;
    let cookie = set_cookie(&secret, state.options.tls);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response())
}

fn form(next: String, username: String, error: Option<String>) -> LoginPage {
    LoginPage {
        assets: &ASSETS,
        next,
        username,
        error,
    }
}
