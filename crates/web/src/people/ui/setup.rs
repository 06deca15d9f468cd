//! The one-time set-up of the first user.

use super::assets::{ASSETS, Assets};
use super::error::{PageResult, page, sentence};
use super::form::{Fields, Query};
use super::frame::from_address;
use super::login::start_session;
use crate::people::PeopleState;
use crate::people::auth::password;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use http::{Extensions, StatusCode};
use serde::Deserialize;
use store::StoreError;

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    assets: &'static Assets,
    /// `None`: the visitor has no valid link.
    token: Option<String>,
    username: String,
    name_error: Option<String>,
    password_error: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    token: String,
}

/// `GET /setup?token=…`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    Query(Link { token }): Query<Link>,
) -> PageResult {
    if state.store.user_count().await? > 0 {
        return Ok(Redirect::to("/login").into_response());
    }
    let valid = !token.is_empty() && state.store.check_setup_secret(&token).await?;
    let status = match valid || token.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::FORBIDDEN,
    };
    let body = page(&SetupPage {
        token: valid.then_some(token),
        ..blank()
    })?;
    Ok((status, body).into_response())
}

/// `POST /setup`
pub(crate) async fn submit(
    State(state): State<PeopleState>,
    extensions: Extensions,
    fields: Fields,
) -> PageResult {
    if state.store.user_count().await? > 0 {
        return Ok(Redirect::to("/login").into_response());
    }
    let token = fields.get("token").to_owned();
    let from = from_address(&extensions);
    // The link has 256 bits, so guessing it is hopeless; the limit is for who tries anyway.
    let limited = state.auth.try_password(from, "").err();
    let valid = state.store.check_setup_secret(&token).await?;
    if !valid {
        let status = match limited {
            Some(_) => StatusCode::TOO_MANY_REQUESTS,
            None => StatusCode::FORBIDDEN,
        };
        return Ok((status, page(&blank())?).into_response());
    }
    let mut shown = SetupPage {
        token: Some(token.clone()),
        username: fields.get("username").to_owned(),
        ..blank()
    };
    if let Some(wait) = limited {
        let seconds = wait.as_secs() + 1;
        shown.password_error = Some(format!(
            "Too many tries. Wait {seconds} seconds, then try again."
        ));
        return Ok((StatusCode::TOO_MANY_REQUESTS, page(&shown)?).into_response());
    }
    // Who holds the link may mistype a password as often as they like.
    state.auth.was_right(from, "");
    let (first, again) = (fields.raw("password"), fields.raw("password_again"));
    if let Err(weak) = password::check_new(first, again) {
        shown.password_error = Some(sentence(&weak.to_string()));
    }
    if shown.username.is_empty() {
        shown.name_error = Some("Choose a user name.".to_owned());
    }
    if shown.password_error.is_none() && shown.name_error.is_none() {
        let hash = password::hash(first.to_owned()).await;
        let name = shown.username.clone();
        match state.store.create_first_user(&token, &name, &hash).await {
            Ok(user) => return start_session(&state, &user.name, "/machines").await,
            Err(StoreError::Invalid { problem, .. }) => shown.name_error = Some(sentence(&problem)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)?).into_response())
}

fn blank() -> SetupPage {
    SetupPage {
        assets: &ASSETS,
        token: None,
        username: String::new(),
        name_error: None,
        password_error: None,
    }
}
