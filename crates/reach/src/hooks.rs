//! Telling a web hook's receiver what happened.

use crate::{Client, Error, Limits, Request};
use bootplan::Hook;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use sha2::Sha256;
use std::time::Duration;

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The same at each attempt.
    pub id: i64,
    /// JSON.
    pub body: &'a str,
    /// Seconds since the Unix epoch; part of what is signed, so that an old message cannot be posted again.
    pub timestamp: i64,
}

/// Why a receiver was not told.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The key is not there.
    #[error(
        "the secret '{0}', which signs it, does not exist; enter it under Settings, or with `farrier secret set {0}`"
    )]
    NoSecret(String),
    /// It did not take the message. Only its host is named: the path of a chat's hook is a secret.
    #[error("{place}: {why}")]
    Refused {
        /// Scheme and host.
        place: String,
        /// What went wrong.
        why: String,
    },
}

/// Posts a message. Any answer of 200 to 299 means that the receiver has it.
///
/// # Errors
/// Everything else; trying again later is right in all cases.
pub async fn deliver(
    client: &Client,
    hook: &Hook,
    message: Message<'_>,
    secret: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<(), HookError> {
    let refused = |error: Error| HookError::Refused {
        place: hook.place(),
        why: error.fault.to_string(),
    };
    let text = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    let mut request = Request::new(&hook.url)
        .map_err(refused)?
        .limits(LIMITS)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(DELIVERY, text(message.id.to_string()))
        .header(TIMESTAMP, text(message.timestamp.to_string()));
    if !hook.secret.is_empty() {
        let key = secret(&hook.secret).ok_or_else(|| HookError::NoSecret(hook.secret.clone()))?;
        request = request.header(
            SIGNATURE,
            text(signature(&key, message.timestamp, message.body)),
        );
    }
    // What it says besides its status is nothing to us.
    let told = client.post(&request, message.body.to_owned()).await;
    told.map(drop).map_err(refused)
}

/// `sha256=` and the hexadecimal HMAC-SHA256 of `TIMESTAMP.BODY` under the secret.
pub fn signature(key: &str, timestamp: i64, body: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    format!("sha256={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

/// How long to wait after so many attempts that failed: 1 s, doubled up to an hour.
pub fn pause(tries: i64) -> Duration {
    let doublings = u32::try_from(tries).unwrap_or(u32::MAX).min(12);
    Duration::from_secs((1_u64 << doublings).min(60 * 60))
}

const DELIVERY: HeaderName = HeaderName::from_static("farrier-delivery");
const TIMESTAMP: HeaderName = HeaderName::from_static("farrier-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("farrier-signature");

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    idle: Duration::from_secs(10),
    total: Duration::from_secs(15),
    body: 64 << 10,
    redirects: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_openssl_makes() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        assert_eq!(
            signature("key", 1_700_000_000, r#"{"a":1}"#),
            "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
        );
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let seconds = [0, 1, 2, 5, 11, 12, 40, i64::MAX].map(|tries| pause(tries).as_secs());
        assert_eq!(seconds, [1, 2, 4, 32, 2048, 3600, 3600, 3600]);
    }
}
