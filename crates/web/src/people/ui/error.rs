//! What a visitor is told when something does not work, always with a way back.

use super::assets::{ASSETS, Assets};
use askama::Template;
use axum::Json;
use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;
use store::StoreError;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Nothing there.
    #[error("{0}")]
    NotFound(String),
    /// Not allowed, with the reason.
    #[error("{0}")]
    Refused(String),
    /// The form could not be read.
    #[error("the form could not be read: {0}")]
    Form(String),
    /// The part of the address behind the question mark makes no sense.
    #[error("this address is not understood: {0}")]
    Address(String),
    /// The page exists, but not for this kind of request.
    #[error("this address takes no {0} request; go to the page and use its buttons")]
    Method(http::Method),
    /// The store said no, or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A directory or file of the server's could not be read.
    #[error("{0}")]
    Unreadable(String),
    /// The handler panicked; a bug. The panic hook has logged where.
    #[error("a page handler panicked")]
    Broken,
    /// A template failed; a bug.
    #[error("the page could not be put together: {0}")]
    Template(#[from] askama::Error),
}

/// What a handler returns.
pub(crate) type PageResult = Result<Response, PageError>;

/// Renders a page.
pub(crate) fn page(template: &impl Template) -> PageResult {
    Ok(Html(template.render()?).into_response())
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    assets: &'static Assets,
    status: u16,
    title: &'static str,
    text: String,
}

impl PageError {
    /// As a page, or as problem+json for programs.
    pub(crate) fn respond(self, html: bool) -> Response {
        let (status, title) = self.status();
        // People cannot mend a failing database; its words go to the log.
        let text = if status.is_server_error() {
            tracing::error!(error = %self, "page failed");
            "Farrier could not finish this. Machines are still served; the log says what happened."
                .to_owned()
        } else {
            sentence(&self.to_string())
        };
        if !html {
            let body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": text});
            let kind = [(header::CONTENT_TYPE, "application/problem+json")];
            return (status, kind, Json(body)).into_response();
        }
        let page = ErrorPage {
            assets: &ASSETS,
            status: status.as_u16(),
            title,
            text,
        };
        match page.render() {
            Ok(body) => (status, Html(body)).into_response(),
            Err(_) => (status, page.text).into_response(),
        }
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            PageError::NotFound(_) | PageError::Store(StoreError::NotFound { .. }) => {
                (StatusCode::NOT_FOUND, "Not found")
            }
            PageError::Refused(_) => (StatusCode::FORBIDDEN, "Not allowed"),
            PageError::Form(_) | PageError::Address(_) => {
                (StatusCode::BAD_REQUEST, "Not understood")
            }
            PageError::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "Not possible"),
            PageError::Store(StoreError::Conflict { .. }) => {
                (StatusCode::CONFLICT, "Something is in the way")
            }
            PageError::Store(StoreError::Profile { .. } | StoreError::Invalid { .. }) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Not accepted")
            }
            PageError::Store(StoreError::Database { .. })
            | PageError::Unreadable(_)
            | PageError::Template(_)
            | PageError::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong"),
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        self.respond(true)
    }
}

/// Error texts are lower-case fragments; people read sentences.
pub(crate) fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    let end = if fragment.ends_with(['.', '!', '?', ')']) {
        ""
    } else {
        "."
    };
    format!("{}{}{end}", first.unwrap_or_default(), chars.as_str())
}
