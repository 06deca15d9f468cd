//! The session cookie and how long it lasts.

use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// When each live session was last used, by the hash of its secret. After a restart every
/// session starts a fresh idle time; its absolute end is in the store.
#[derive(Default)]
pub(crate) struct Idle(HashMap<[u8; 32], Instant>);

impl Idle {
    /// Notes a use of a session that the store confirmed; false when it was idle for too long.
    pub(crate) fn touch(&mut self, secret: &str, now: Instant) -> bool {
        let key = Sha256::digest(secret.as_bytes()).into();
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < IDLE;
        if self.0.get(&key).is_some_and(|at| !fresh(at)) {
            self.0.remove(&key);
            return false;
        }
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, at| fresh(at));
        }
        self.0.insert(key, now);
        true
    }
}

/// The secret in the request's session cookie.
pub(crate) fn session_secret(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, COOKIE)
}

/// The value of one cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|l| l.to_str().ok())
        .flat_map(|l| l.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(n, v)| (n == name).then_some(v))
}

/// `Set-Cookie` for a new session. `Strict`: not even a link on another site carries it.
pub(crate) fn set_cookie(secret: &str, tls: bool) -> HeaderValue {
    let age = LIFETIME.as_secs();
    with_flags(&format!("{COOKIE}={secret}; Max-Age={age}"), tls)
}

/// `Set-Cookie` that takes the session away.
pub(crate) fn clear_cookie(tls: bool) -> HeaderValue {
    with_flags(&format!("{COOKIE}=; Max-Age=0"), tls)
}

fn with_flags(pair: &str, tls: bool) -> HeaderValue {
    let secure = if tls { "; Secure" } else { "" };
    HeaderValue::try_from(format!("{pair}; Path=/; HttpOnly; SameSite=Strict{secure}"))
        .expect("secrets are URL-safe text")
}

/// A week, whatever happens; then the password again.
pub(crate) const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// Half a day without a request ends a session; an open page with live updates keeps it.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// Sessions remembered before stale ones are swept out.
const REMEMBERED: usize = 1024;
const COOKIE: &str = "farrier_session";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_idle() {
        let mut idle = Idle::default();
        let start = Instant::now();
        assert!(idle.touch("a", start));
        assert!(idle.touch("a", start + IDLE - Duration::from_secs(1)));
        assert!(idle.touch("a", start + IDLE + IDLE / 2));
        assert!(!idle.touch("a", start + IDLE * 3));
    }

    #[test]
    fn cookies() {
        let mut headers = HeaderMap::new();
        headers.append(
            "cookie",
            HeaderValue::from_static("a=1; farrier_session=xyz"),
        );
        assert_eq!(session_secret(&headers), Some("xyz"));
        assert_eq!(cookie(&headers, "b"), None);
        insta::assert_snapshot!(
            set_cookie("s3cret", true).to_str().expect("text"),
            @"farrier_session=s3cret; Max-Age=604800; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
        insta::assert_snapshot!(
            clear_cookie(false).to_str().expect("text"),
            @"farrier_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict"
        );
    }
}
