//! Responses as firmware needs them: of known length, and never quite empty when refused.

use crate::listen::Outgoing;
use http::{HeaderValue, Method, StatusCode, header};

/// What the boot plane answers with.
pub(super) type Response = http::Response<Outgoing>;

/// A response whose length is known: hyper sends exactly this header and never chunks.
pub(super) fn whole(status: StatusCode, length: u64, body: Outgoing) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

pub(super) fn body_for(method: &Method, text: impl Into<Outgoing>) -> Outgoing {
    if method == Method::HEAD {
        Outgoing::empty()
    } else {
        text.into()
    }
}

pub(super) fn refusal(status: StatusCode, text: &'static str, method: &Method) -> Response {
    let mut response = whole(status, text.len() as u64, body_for(method, text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

pub(super) fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("digits and ASCII punctuation only");
    response.headers_mut().insert(name, value);
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
