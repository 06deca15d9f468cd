//! The addresses under which one machine gets its answers and gives its report.
//!
//! A link is `MACHINE-RUN-TRY-EXPIRY-SIGNATURE`, in a URL `/a/LINK/NAME`. Nothing of it is
//! stored: the signature is 130 bits of HMAC-SHA256 under a key of this server, so a link is the
//! same after a restart and on every node with that key, and 130 bits cannot be guessed. It says
//! who holds it, never what that is worth now: whether the run still stands is [`admit`]'s
//! question, and what a machine may still fetch is the store's.
//!
//! MAC and UUID are selectors that anybody can claim; a link is a credential, so it stands in no
//! log, event or message.

use bootplan::{LinkPurpose, MachineId, Timestamp, VerifiedLink};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// The key under which links are signed: 32 octets derived from the server's key file.
#[derive(Clone)]
pub struct LinkKey([u8; 32]);

impl LinkKey {
    /// Takes the octets. They must come from no other use (see `store`'s `MasterKey::derived`).
    pub fn new(octets: [u8; 32]) -> Self {
        LinkKey(octets)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(link key)")
    }
}

/// Why a text is no link of ours, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// Made up, damaged, for another purpose or signed with another key: nothing may be said,
    /// the answer is 404 as for any name that does not exist.
    #[error("no link of this server")]
    Unknown,
    /// It was ours, and its time is over: its holder may be told (410).
    #[error("the link has expired")]
    Expired(VerifiedLink),
}

/// What the run that a link names looks like now; made from the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The machine's open run; 0 if it always boots its profile.
    pub run: i64,
    /// Armed and granted, or installing (always true for run 0).
    pub open: bool,
    /// Tries handed over so far. The next one's menu already has its links.
    pub tries: u8,
}

/// Why a verified link opens nothing now. Its holder is told 410; strangers never get here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// The machine is gone, or has no run, or another one.
    #[error("the link belongs to a run that is over")]
    OtherRun,
    /// The run waits, is held, or has ended.
    #[error("the run is not under way")]
    NotOpen,
    /// A later try has begun.
    #[error("the link belongs to an earlier try")]
    OtherTry,
}

/// When a link made at `now` for so many minutes ends: rounded up to a whole minute, so that all
/// texts made within a minute have the same link.
pub fn expiry(now: Timestamp, minutes: u16) -> Timestamp {
    let end = now.0.saturating_add(i64::from(minutes) * MINUTE).max(0);
    let over = end % MINUTE;
    let rest = if over == 0 { 0 } else { MINUTE - over };
    Timestamp(end.saturating_add(rest))
}

/// Makes a link. Of `link`'s expiry only whole seconds count.
pub fn mint(key: &LinkKey, link: &VerifiedLink) -> String {
    let claims = claims(link);
    let signature = signature(key, link.purpose, &claims);
    format!("{claims}-{signature}")
}

/// Reads a link back.
///
/// # Errors
/// [`LinkFault::Unknown`] for everything that [`mint`] did not write with this key and purpose,
/// [`LinkFault::Expired`] if it did and `now` is past its end.
pub fn verify(
    key: &LinkKey,
    purpose: LinkPurpose,
    text: &str,
    now: Timestamp,
) -> Result<VerifiedLink, LinkFault> {
    let link = parse(purpose, text).ok_or(LinkFault::Unknown)?;
    // The claims are compared too, so that 01-2-3 is no second spelling of 1-2-3.
    let expected = mint(key, &link);
    if !bool::from(expected.as_bytes().ct_eq(text.as_bytes())) {
        return Err(LinkFault::Unknown);
    }
    if now >= link.expires {
        return Err(LinkFault::Expired(link));
    }
    Ok(link)
}

/// Whether a verified link opens anything now. `standing` is that of the link's machine, `None`
/// if there is no such machine or nothing for it.
///
/// # Errors
/// What has happened since it was made.
pub fn admit(link: &VerifiedLink, standing: Option<Standing>) -> Result<(), Gone> {
    let standing = standing
        .filter(|standing| standing.run == link.run)
        .ok_or(Gone::OtherRun)?;
    if !standing.open {
        return Err(Gone::NotOpen);
    }
    // A menu is rendered before its try is counted, and fetched from after that.
    let in_force = [standing.tries, standing.tries.saturating_add(1)];
    if link.run != 0 && !in_force.contains(&link.try_number) {
        return Err(Gone::OtherTry);
    }
    Ok(())
}

/// A path without the link in it, for logs, events and transfers: `/a/.../user-data`.
pub fn hidden(path: &str) -> String {
    let (slash, rest) = match path.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", path),
    };
    match rest.strip_prefix("a/") {
        Some(below) => {
            let name = below.split_once('/').map_or("", |(_, name)| name);
            format!("{slash}a/.../{name}")
        }
        None => path.to_owned(),
    }
}

fn claims(link: &VerifiedLink) -> String {
    let VerifiedLink {
        machine,
        run,
        try_number,
        expires,
        ..
    } = link;
    let seconds = expires.0 / 1000;
    format!("{}-{run}-{try_number}-{seconds}", machine.0)
}

/// 26 letters and digits of base32, which hold 130 bits; lower case, so that the URL looks the
/// same in every menu language.
fn signature(key: &LinkKey, purpose: LinkPurpose, claims: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of any length (RFC 2104)");
    for part in ["farrier-link-1", purpose.slug(), claims] {
        mac.update(part.as_bytes());
        // No part contains it, so that no two lists of parts are the same octets.
        mac.update(b"|");
    }
    let mut text = BASE32_NOPAD.encode(&mac.finalize().into_bytes());
    text.truncate(SIGNATURE);
    text.make_ascii_lowercase();
    text
}

fn parse(purpose: LinkPurpose, text: &str) -> Option<VerifiedLink> {
    if text.len() > LONGEST {
        return None;
    }
    let mut parts = text.split('-');
    let machine = MachineId(number(parts.next()?)?);
    let run = number(parts.next()?)?;
    let try_number = u8::try_from(number(parts.next()?)?).ok()?;
    let seconds = number(parts.next()?)?;
    let signature = parts.next()?;
    let whole = parts.next().is_none() && signature.len() == SIGNATURE;
    whole.then_some(VerifiedLink {
        purpose,
        machine,
        run,
        try_number,
        expires: Timestamp(seconds.checked_mul(1000)?),
    })
}

/// Digits only: `i64`'s own reader takes a sign.
fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Characters of a signature.
const SIGNATURE: usize = 26;
/// Two numbers of 19 digits, a try, an expiry, a signature and dashes.
const LONGEST: usize = 96;
/// In milliseconds.
const MINUTE: i64 = 60_000;

#[cfg(test)]
#[path = "links/tests.rs"]
mod tests;
