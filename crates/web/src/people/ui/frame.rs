//! What stands around every page: navigation, who is signed in, the last action's result.

use super::PageError;
use super::assets::{ASSETS, Assets};
use crate::people::PeopleState;
use crate::people::auth::{Actor, cookie, form_encode};
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use bootplan::{MachineState, Timestamp};
use http::{HeaderValue, header, request::Parts};
use std::fmt;

/// A signed-in person looking at a page.
pub(crate) struct Visit {
    /// Who.
    pub(crate) actor: Actor,
    /// Path and query of this page, to come back to.
    pub(crate) here: String,
    notice: Option<Notice>,
}

/// What the layout template shows.
pub(crate) struct Frame {
    /// Static files.
    pub(crate) assets: &'static Assets,
    /// Who is signed in.
    pub(crate) user: String,
    /// Which navigation entry is this page's.
    pub(crate) nav: &'static str,
    /// The server's clock, so that ages are right in a browser whose clock is not.
    pub(crate) now: i64,
    /// Machines in all.
    pub(crate) machines: usize,
    /// Machines waiting to be adopted.
    pub(crate) discovered: usize,
    /// Result of the last action.
    pub(crate) notice: Option<Notice>,
}

/// Result of an action, shown once on the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Whether it worked.
    pub(crate) ok: bool,
    /// What to say.
    pub(crate) text: String,
}

impl Visit {
    /// The frame of one page.
    pub(crate) fn frame(&self, state: &PeopleState, nav: &'static str) -> Frame {
        let catalog = state.store.catalog();
        let states = catalog.machines().map(|m| m.state);
        Frame {
            assets: &ASSETS,
            user: self.actor.name.clone(),
            nav,
            now: now().0,
            machines: catalog.machines().count(),
            discovered: states.filter(|s| *s == MachineState::Discovered).count(),
            notice: self.notice.clone(),
        }
    }
}

impl FromRequestParts<PeopleState> for Visit {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &PeopleState) -> Result<Self, PageError> {
        let actor = parts.extensions.get::<Actor>().cloned();
        let actor = actor.ok_or_else(|| PageError::Refused("nobody is signed in".to_owned()))?;
        Ok(Visit {
            actor,
            here: parts
                .uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
            notice: cookie(&parts.headers, NOTICE).and_then(Notice::from_cookie),
        })
    }
}

/// Back to a page of ours with a word about what was done.
pub(crate) fn done(to: &str, text: impl Into<String>) -> Response {
    go(to, true, text.into())
}

/// Back to a page of ours with a word about what was not done.
pub(crate) fn failed(to: &str, error: impl fmt::Display) -> Response {
    go(to, false, super::error::sentence(&error.to_string()))
}

fn go(to: &str, ok: bool, text: String) -> Response {
    let mut response = Redirect::to(local(to)).into_response();
    let mark = if ok { "ok" } else { "no" };
    let short: String = text.chars().take(400).collect();
    let line = format!(
        "{NOTICE}={mark}-{}; Max-Age=8; Path=/; SameSite=Strict",
        form_encode(&short)
    );
    let value = HeaderValue::try_from(line).expect("percent-encoded text is a header value");
    response.headers_mut().append(header::SET_COOKIE, value);
    response
}

/// The path if it is one of ours; `/machines` for anything that could lead elsewhere.
pub(crate) fn local(to: &str) -> &str {
    let plain = to.starts_with('/')
        && !to.starts_with("//")
        && to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if plain { to } else { "/machines" }
}

impl Notice {
    fn from_cookie(value: &str) -> Option<Notice> {
        let (mark, text) = value.split_once('-')?;
        let bytes = percent_decode(text);
        let text: String = String::from_utf8(bytes).ok()?;
        Some(Notice {
            ok: mark == "ok",
            text: text.chars().filter(|c| !c.is_control()).take(400).collect(),
        })
    }
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digit = |d: Option<u8>| d.and_then(|d| char::from(d).to_digit(16));
        if let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) {
            out.push((high << 4 | low) as u8);
        }
    }
    out
}

/// A moment as `<time>`: relative text, absolute title; the script keeps it up to date. Its
/// `Display` is HTML made here from numbers only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    at: Timestamp,
    text: String,
    kind: &'static str,
}

impl Stamp {
    /// "12 s ago".
    pub(crate) fn ago(at: Timestamp, now: Timestamp) -> Self {
        Stamp {
            at,
            text: relative(now.0 - at.0),
            kind: "data-ago",
        }
    }

    /// "06:40:12 UTC".
    pub(crate) fn clock(at: Timestamp) -> Self {
        Stamp {
            at,
            text: format(at, "%H:%M:%S UTC"),
            kind: "data-clock",
        }
    }
}

impl Stamp {
    /// "2026-11-23".
    pub(crate) fn date(at: Timestamp) -> Self {
        Stamp {
            at,
            text: format(at, "%Y-%m-%d"),
            kind: "data-date",
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iso = format(self.at, "%Y-%m-%dT%H:%M:%SZ");
        let full = format(self.at, "%Y-%m-%d %H:%M:%S UTC");
        let Stamp { text, kind, .. } = self;
        write!(
            f,
            r#"<time datetime="{iso}" title="{full}" {kind}>{text}</time>"#
        )
    }
}

/// Now, on the wall clock.
pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// "12 s ago" for an age in milliseconds.
pub(crate) fn relative(age_ms: i64) -> String {
    let s = age_ms / 1000;
    match s {
        ..5 => "just now".to_owned(),
        5..60 => format!("{s} s ago"),
        60..3600 => format!("{} min ago", s / 60),
        3600..86_400 => format!("{} h ago", s / 3600),
        _ => format!("{} d ago", s / 86_400),
    }
}

fn format(at: Timestamp, pattern: &str) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        |_| "unknown".to_owned(),
        |t| t.strftime(pattern).to_string(),
    )
}

/// The address the password is tried from; everybody on a unix socket is one.
pub(crate) fn from_address(parts: &http::Extensions) -> std::net::IpAddr {
    let peer = parts.get::<crate::listen::Peer>();
    peer.and_then(|p| p.remote)
        .map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |a| a.ip())
}

const NOTICE: &str = "farrier_notice";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_paths_are_gone_back_to() {
        assert_eq!(
            local("/machines?q=a&state=discovered"),
            "/machines?q=a&state=discovered"
        );
        for bad in [
            "//evil.example",
            "https://evil.example",
            "/\\evil",
            "",
            "/a\r\nb",
            "/ a",
        ] {
            assert_eq!(local(bad), "/machines", "{bad}");
        }
    }

    #[test]
    fn a_notice_survives_its_cookie() {
        let text = "Assigned “Debian 12” to 3 machines; 100 %";
        let value = format!("ok-{}", form_encode(text));
        let notice = Notice::from_cookie(&value).expect("well-formed");
        assert_eq!(notice.text, text);
        assert!(notice.ok);
        assert_eq!(Notice::from_cookie("ok-%zz%4").expect("text").text, "");
    }

    #[test]
    fn moments() {
        let at = Timestamp(1_790_000_000_000);
        insta::assert_snapshot!(Stamp::ago(at, Timestamp(at.0 + 61_000)), @r#"<time datetime="2026-09-21T14:13:20Z" title="2026-09-21 14:13:20 UTC" data-ago>1 min ago</time>"#);
        insta::assert_snapshot!(Stamp::clock(at), @r#"<time datetime="2026-09-21T14:13:20Z" title="2026-09-21 14:13:20 UTC" data-clock>14:13:20 UTC</time>"#);
        assert_eq!(relative(-5000), "just now");
        assert_eq!(relative(3_600_000 * 50), "2 d ago");
    }
}
