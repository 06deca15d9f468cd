//! Style, script and icon: in the binary, at addresses that change with their content.

use super::PageError;
use super::form::Path;
use axum::response::{IntoResponse, Redirect, Response};
use data_encoding::HEXLOWER;
use http::header;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Addresses of the static files, for the templates.
pub(crate) struct Assets {
    /// The style sheet.
    pub(crate) css: String,
    /// The module that makes pages live.
    pub(crate) script: String,
    /// The module that brings images in.
    pub(crate) images: String,
    /// The few lines that must run before the first paint.
    pub(crate) theme: String,
    /// The mark.
    pub(crate) icon: String,
}

/// The addresses of this build.
pub(crate) static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let url = |name| format!("/static/{}/{name}", *HASH);
    Assets {
        css: url("farrier.css"),
        script: url("farrier.js"),
        images: url("images.js"),
        theme: url("theme.js"),
        icon: url("icon.svg"),
    }
});

/// `GET /static/{hash}/{file}`. An old hash still gets the file, but is not cached for long:
/// pages opened before an upgrade keep working.
pub(crate) async fn serve(
    Path((hash, file)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let found = FILES.iter().find(|(name, ..)| *name == file);
    let Some((_, kind, body)) = found else {
        return Err(PageError::NotFound("there is no such file".to_owned()));
    };
    let cache = match hash == *HASH {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CACHE_CONTROL, cache),
    ];
    Ok((headers, *body).into_response())
}

/// `GET /favicon.ico`, which browsers ask for by themselves.
pub(crate) async fn favicon() -> Redirect {
    Redirect::to(&ASSETS.icon)
}

static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, _, body) in FILES {
        hash.update(name);
        hash.update(body);
    }
    HEXLOWER.encode(&hash.finalize()[..6])
});

const FILES: [(&str, &str, &str); 5] = [
    (
        "farrier.css",
        "text/css; charset=utf-8",
        include_str!("../../../../../web/static/farrier.css"),
    ),
    (
        "farrier.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../../../web/static/farrier.js"),
    ),
    (
        "images.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../../../web/static/images.js"),
    ),
    (
        "theme.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../../../web/static/theme.js"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../../../../../web/static/icon.svg"),
    ),
];
