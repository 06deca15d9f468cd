//! What API callers are told when something is wrong: problem details (RFC 9457), and the
//! extractors that speak them.

use crate::documents::Fault;
use crate::kept::ForgetError;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

/// The one shape of every error of the API, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the status and the detail say it all.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// The status in words.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What is wrong with this request and what to do about it.
    pub(crate) detail: String,
    /// Where, when a document was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<Fault>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Problem::new(StatusCode::NOT_FOUND, format!("{what} does not exist"))
    }

    /// Well-formed, but not possible.
    pub(crate) fn refused(detail: impl std::fmt::Display) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail.to_string())
    }

    pub(crate) fn faults(detail: impl Into<String>, errors: Vec<Fault>) -> Self {
        Problem {
            errors,
            ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

impl From<ForgetError> for Problem {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Store(error) => error.into(),
            ForgetError::InUse(_) => Problem::new(StatusCode::CONFLICT, error.to_string()),
            ForgetError::Left(_) | ForgetError::Unfinished => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::NotFound { .. } => StatusCode::NOT_FOUND,
            StoreError::Conflict { .. } => StatusCode::CONFLICT,
            StoreError::Profile { .. } | StoreError::Invalid { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            StoreError::Database { .. } => {
                // What the database said may name hosts and users: it goes to the log.
                tracing::error!(%error, "the database failed an API request");
                return Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database failed and nothing was changed; see the server's log",
                );
            }
        };
        let source = std::error::Error::source(&error);
        let text = error.to_string();
        let detail = match source.map(ToString::to_string) {
            Some(source) if !text.contains(&source) => format!("{text}: {source}"),
            _ => text,
        };
        Problem::new(status, detail)
    }
}

macro_rules! speaks_problems {
    ($($rejection:ty),*) => {$(
        impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                Problem::new(rejection.status(), rejection.body_text())
            }
        }
    )*};
}
speaks_problems!(JsonRejection, QueryRejection, PathRejection);

/// A JSON body; its type must refuse unknown fields.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The query; its type must refuse unknown fields.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct Query<T>(pub(crate) T);

/// The variable parts of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct Path<T>(pub(crate) T);

/// What every handler returns.
pub(crate) type Answer<T> = Result<T, Problem>;
