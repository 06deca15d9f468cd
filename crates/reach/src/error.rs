//! Why something asked of others did not come.

use crate::Kind;
use std::net::IpAddr;
use std::time::Duration;

/// A request that failed: what was asked (method and URL, never with secrets), and why.
#[derive(Debug, thiserror::Error)]
#[error("{asked}: {fault}")]
pub struct Error {
    /// Method and URL, e.g. `GET https://host/path`.
    pub asked: String,
    /// What went wrong.
    pub fault: Fault,
}

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not a URL that can be asked.
    #[error("{0}")]
    Url(&'static str),
    /// The name has no address.
    #[error("no address for the name '{host}': {why}; check the name and this server's DNS")]
    Name {
        /// The name.
        host: String,
        /// The resolver's answer.
        why: String,
    },
    /// Its address must not be asked.
    #[error(
        "'{host}' leads to {address}, {kind}, and nothing there is asked{}",
        advice(.kind)
    )]
    Refused {
        /// Host of the URL.
        host: String,
        /// Where it leads.
        address: IpAddr,
        /// What that is.
        kind: Kind,
    },
    /// No connection.
    #[error("no connection: {0}; check that the server is up and its port open to this host")]
    Connect(String),
    /// The server's certificate is not trusted.
    #[error("{0}")]
    Certificate(String),
    /// Too slow.
    #[error("no answer {what} within {} s", .after.as_secs())]
    Slow {
        /// Of what.
        what: &'static str,
        /// The limit.
        after: Duration,
    },
    /// An answer that is not a success.
    #[error("the server answered {status}{}", said(.text))]
    Status {
        /// HTTP status.
        status: u16,
        /// The beginning of what it said.
        text: String,
    },
    /// An answer larger than the limit.
    #[error("the answer is larger than {0} octets, the limit")]
    TooBig(u64),
    /// The connection ended before the answer did.
    #[error("the answer was cut off after {got} octets{}; try again", promised(.of))]
    Cut {
        /// Octets of this answer that came.
        got: u64,
        /// Octets that were promised.
        of: Option<u64>,
    },
    /// One redirect too many.
    #[error("more than {0} redirects")]
    Redirects(u8),
    /// A redirect that is not followed.
    #[error("the server answered {status} and sends on to {to}; {why}")]
    Moved {
        /// HTTP status.
        status: u16,
        /// Where to, without secrets.
        to: String,
        /// Why it is not followed.
        why: &'static str,
    },
    /// Not HTTP, or not what was asked for.
    #[error("the answer cannot be used: {0}")]
    Answer(String),
}

impl Error {
    pub(crate) fn new(asked: impl Into<String>, fault: Fault) -> Error {
        Error {
            asked: asked.into(),
            fault,
        }
    }

    /// Whether the same request may succeed later, without anybody changing anything here.
    pub fn is_passing(&self) -> bool {
        match &self.fault {
            Fault::Name { .. } | Fault::Connect(_) | Fault::Slow { .. } | Fault::Cut { .. } => true,
            Fault::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}

fn advice(kind: &Kind) -> &'static str {
    match kind {
        Kind::Unusable => "",
        _ => "; if that is meant, add it to outgoing.allow in the configuration",
    }
}

fn said(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!(": {}", text.chars().take(SHOWN).collect::<String>()),
    }
}

fn promised(of: &Option<u64>) -> String {
    of.map_or_else(String::new, |of| format!(" of {of}"))
}

/// The innermost cause says what happened; the layers above it only that something did.
pub(crate) fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Of what a server said, in characters.
const SHOWN: usize = 300;
