//! The person or program behind a request.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header, request::Parts};

/// The person or program behind a request; its name goes into events as "who did it".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// User name, token name, or `cli`.
    pub name: String,
    /// How it proved itself.
    pub via: Via,
}

/// How an [`Actor`] proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A browser session.
    Session,
    /// An API token in `Authorization: Bearer`.
    Token,
    /// The local unix socket, protected by file permissions.
    Socket,
}

impl Actor {
    /// The command line on this host. Put it into the extensions of every request that comes in
    /// by the unix socket (`router.layer(axum::Extension(Actor::cli()))`).
    pub fn cli() -> Self {
        Actor {
            name: "cli".to_owned(),
            via: Via::Socket,
        }
    }
}

/// Reads what the guard (or the socket's layer) found out; refuses everybody else.
impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = NotSignedIn;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotSignedIn> {
        parts.extensions.get::<Actor>().cloned().ok_or(NotSignedIn)
    }
}

/// Nobody is signed in: problem+json, status 401.
#[derive(Debug)]
pub struct NotSignedIn;

impl IntoResponse for NotSignedIn {
    fn into_response(self) -> Response {
        let body = r#"{"type":"about:blank","title":"Not signed in","status":401,"detail":"send a session cookie or 'Authorization: Bearer <API token>'"}"#;
        (
            StatusCode::UNAUTHORIZED,
            [
                (header::CONTENT_TYPE, "application/problem+json"),
                (header::WWW_AUTHENTICATE, "Bearer"),
            ],
            body,
        )
            .into_response()
    }
}
