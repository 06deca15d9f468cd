//! What is asked for, and within which limits.

use crate::{Error, Fault, Trust, Zone};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use std::fmt;
use std::time::Duration;

/// A request before it is sent: a URL, where it may lead, and how long and large its answer may be.
#[derive(Clone)]
pub struct Request {
    pub(crate) url: Url,
    pub(crate) zone: Zone,
    pub(crate) trust: Trust,
    pub(crate) login: Option<Login>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) limits: Limits,
    pub(crate) resume: Option<Resume>,
}

/// How long an answer may take and how large it may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the address and for the connection, each.
    pub connect: Duration,
    /// Without a single octet.
    pub idle: Duration,
    /// From the question to the last octet.
    pub total: Duration,
    /// Octets of body.
    pub body: u64,
    /// Redirects followed by GET; everything else follows none.
    pub redirects: u8,
}

impl Limits {
    /// For small answers: controllers, hooks.
    pub const SMALL: Limits = Limits {
        connect: Duration::from_secs(10),
        idle: Duration::from_secs(20),
        total: Duration::from_secs(60),
        body: 1 << 20,
        redirects: 5,
    };
    /// For files of up to `body` octets, within a day.
    pub const fn file(body: u64) -> Limits {
        Limits {
            idle: Duration::from_secs(60),
            total: Duration::from_secs(24 * 60 * 60),
            body,
            ..Limits::SMALL
        }
    }
}

/// Name and password (HTTP basic). Sent to the host that is asked and to no other.
#[derive(Clone)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// Never shown.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}, password hidden)", self.user)
    }
}

/// Where an earlier download stopped.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Octets that are already here.
    pub offset: u64,
    /// The validator of these octets ([`crate::Answer::validator`]): what changed since is sent whole.
    pub validator: String,
}

/// Headers and the query may be secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({}, {:?})", self.shown(), self.zone)
    }
}

impl Request {
    /// A request to somewhere on the Internet, with the limits of small answers.
    ///
    /// # Errors
    /// [`Fault::Url`]: not `http` or `https`, no host, or with a password in it.
    pub fn new(url: &str) -> Result<Request, Error> {
        parse(url).map(Request::of)
    }

    pub(crate) fn of(url: Url) -> Request {
        Request {
            url,
            zone: Zone::Internet,
            trust: Trust::System,
            login: None,
            headers: Vec::new(),
            limits: Limits::SMALL,
            resume: None,
        }
    }

    /// For something at home in `zone`.
    #[must_use]
    pub fn zone(self, zone: Zone) -> Request {
        Request { zone, ..self }
    }

    /// With these limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Request {
        Request { limits, ..self }
    }

    /// Which certificate the server must show.
    #[must_use]
    pub fn trust(self, trust: Trust) -> Request {
        Request { trust, ..self }
    }

    /// With name and password. Redirects are not followed then.
    #[must_use]
    pub fn login(self, login: Login) -> Request {
        Request {
            login: Some(login),
            ..self
        }
    }

    /// Only what is missing of an earlier download, if it is still the same file.
    #[must_use]
    pub fn resume(self, resume: Option<Resume>) -> Request {
        Request { resume, ..self }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Request {
        self.headers.push((name, value));
        self
    }

    /// The URL as people may see it: without what stands behind `?`.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }
}

/// Reads a URL that a person entered or a server sent.
pub(crate) fn parse(text: &str) -> Result<Url, Error> {
    let Ok(url) = Url::parse(text.trim()) else {
        // It may hold a password, so nothing of it is repeated but its scheme.
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let asked = match scheme {
            Some(scheme @ ("http" | "https")) => format!("{scheme}://..."),
            _ => "this".to_owned(),
        };
        return Err(Error::new(
            asked,
            Fault::Url("it cannot be read as a URL; write https://HOST/PATH"),
        ));
    };
    let why = match url.scheme() {
        "http" | "https" if !url.username().is_empty() || url.password().is_some() => {
            "a name or password stands in it; give them in their own fields"
        }
        "http" | "https" if url.host_str().is_some_and(|h| !h.is_empty()) => return Ok(url),
        "http" | "https" => "it names no host",
        _ => "only http and https can be asked",
    };
    Err(Error::new(shown(&url), Fault::Url(why)))
}

/// A URL without name, password, query and fragment: these may be secrets.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail for URLs without a host, which hold neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_refused_without_repeating_secrets() {
        let cases = [
            ("ftp://h/x", "ftp://h/x: only http and https can be asked"),
            (
                "https://admin:hunter2@h/x?k=hunter2",
                "https://h/x: a name or password stands in it; give them in their own fields",
            ),
            ("file:///etc/passwd", "only http and https can be asked"),
            (
                "https://hunter2 bad host/",
                "https://...: it cannot be read as a URL; write https://HOST/PATH",
            ),
            ("hunter2hunter2", "this: it cannot be read"),
            ("http://", "cannot be read as a URL"),
        ];
        for (url, expected) in cases {
            let message = Request::new(url).expect_err(url).to_string();
            assert!(message.contains(expected), "{url}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn nothing_shows_a_password() {
        let request = Request::new("https://h/a?token=hunter2#hunter2")
            .expect("valid")
            .login(Login {
                user: "admin".into(),
                password: "hunter2".into(),
            });
        assert_eq!(request.shown(), "https://h/a");
        assert!(!format!("{:?}", request.login).contains("hunter2"));
    }
}
