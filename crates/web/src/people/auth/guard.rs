//! The one door in front of every page and API call.

use super::origin::{Refused, check_host, check_same_origin};
use super::{Actor, NotSignedIn, Via, session_secret};
use crate::people::PeopleState;
use crate::people::ui::{PUBLIC, PageError};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::Instant;
use store::StoreError;

/// Checks Host and origin, finds out who asks, turns strangers away, and puts the security
/// headers on whatever is answered.
pub(crate) async fn guard(
    State(state): State<PeopleState>,
    request: Request,
    next: Next,
) -> Response {
    let html = wants_html(&request);
    let mut response = match admit(&state, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.respond(html),
    };
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, value);
    }
    // Browsers heed it on trustworthy origins only, and log an error elsewhere.
    if state.options.tls {
        response.headers_mut().insert(
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        );
    }
    // Pages and answers hold what only this person may see; static files say otherwise.
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

enum Turned {
    Away(Refused),
    ToLogin { path: String },
    ToSetup,
    BadToken,
    Broken(StoreError),
}

impl Turned {
    fn respond(self, html: bool) -> Response {
        match self {
            Turned::Away(refused) => PageError::Refused(refused.to_string()).respond(html),
            Turned::Broken(error) => PageError::Store(error).respond(html),
            Turned::BadToken => NotSignedIn.into_response(),
            _ if !html => NotSignedIn.into_response(),
            Turned::ToSetup => Redirect::to("/setup").into_response(),
            Turned::ToLogin { path } if path == "/" => Redirect::to("/login").into_response(),
            Turned::ToLogin { path } => {
                let next = form_encode(&path);
                Redirect::to(&format!("/login?next={next}")).into_response()
            }
        }
    }
}

async fn admit(state: &PeopleState, mut request: Request) -> Result<Request, Turned> {
    // The socket's layer has already said who asks; there is no browser to protect.
    if request.extensions().get::<Actor>().is_some() {
        return Ok(request);
    }
    check_host(request.uri(), request.headers(), &state.options.host_names)
        .map_err(Turned::Away)?;
    if let Some(secret) = bearer(request.headers()) {
        let token = state.store.token(secret).await.map_err(Turned::Broken)?;
        if let Some(token) = token {
            request.extensions_mut().insert(Actor {
                name: format!("api token '{}'", token.name),
                via: Via::Token,
            });
            return Ok(request);
        }
        return Err(Turned::BadToken);
    }
    check_same_origin(request.method(), request.headers()).map_err(Turned::Away)?;
    if let Some(actor) = by_cookie(state, request.headers())
        .await
        .map_err(Turned::Broken)?
    {
        request.extensions_mut().insert(actor);
        return Ok(request);
    }
    let path = request.uri().path();
    if PUBLIC
        .iter()
        .any(|p| path == *p || (p.ends_with('/') && path.starts_with(p)))
    {
        return Ok(request);
    }
    if state.store.user_count().await.map_err(Turned::Broken)? == 0 {
        return Err(Turned::ToSetup);
    }
    let target = request.uri().path_and_query();
    // Only a page that was asked for by GET can be shown after the login.
    let path = match target {
        Some(target) if request.method().is_safe() => target.to_string(),
        _ => "/".to_owned(),
    };
    Err(Turned::ToLogin { path })
}

async fn by_cookie(state: &PeopleState, headers: &HeaderMap) -> Result<Option<Actor>, StoreError> {
    let Some(secret) = session_secret(headers) else {
        return Ok(None);
    };
    let Some(session) = state.store.session(secret).await? else {
        return Ok(None);
    };
    let awake = state.auth.idle().touch(secret, Instant::now());
    if !awake {
        state.store.delete_session(secret).await?;
        return Ok(None);
    }
    Ok(Some(Actor {
        name: session.user,
        via: Via::Session,
    }))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

fn wants_html(request: &Request) -> bool {
    let path = request.uri().path();
    !path.starts_with("/api/") && path != "/live" && path != "/metrics"
}

/// Percent-encodes for one query value.
pub(crate) fn form_encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    text.bytes()
        .map(|b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

/// `same-origin` and not `no-referrer`: the latter makes browsers send `Origin: null` with our
/// own forms (Fetch standard, "append a request Origin header").
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'",
        ),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];
