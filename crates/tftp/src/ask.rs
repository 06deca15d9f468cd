//! What a client asks a server for, and the check of what the server makes of it.

use std::time::Duration;

use crate::options::{Agreed, parse_number};
use crate::packet::{Mode, OptionPair, Request, RequestKind};

/// What to get or put, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// File name as it goes on the wire; without NUL.
    pub name: Vec<u8>,
    /// Octet or netascii.
    pub mode: Mode,
    /// Block size to ask for, 8 to 65,464 octets.
    pub blksize: Option<u16>,
    /// Window to ask for, blocks.
    pub windowsize: Option<u16>,
    /// Whether to ask for the size, or to tell it.
    pub tsize: bool,
    /// Retransmission interval to ask for, 1 to 255 seconds.
    pub timeout: Option<u8>,
}

impl Ask {
    /// The file as octets, without options.
    #[must_use]
    pub fn plain(name: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            mode: Mode::Octet,
            blksize: None,
            windowsize: None,
            tsize: false,
            timeout: None,
        }
    }

    /// The request; `len` is what `tsize` says, 0 for a read.
    pub(crate) fn request(&self, kind: RequestKind, len: u64) -> Request {
        let mut options = Vec::new();
        let mut ask = |name: &[u8], value: String| {
            options.push(OptionPair {
                name: name.to_vec(),
                value: value.into_bytes(),
            });
        };
        if self.tsize {
            ask(b"tsize", len.to_string());
        }
        if let Some(blksize) = self.blksize {
            ask(b"blksize", blksize.to_string());
        }
        if let Some(windowsize) = self.windowsize {
            ask(b"windowsize", windowsize.to_string());
        }
        if let Some(timeout) = self.timeout {
            ask(b"timeout", timeout.to_string());
        }
        Request {
            kind,
            name: self.name.clone(),
            mode: self.mode,
            options,
            wire_len: 0,
        }
    }

    /// Checks an OACK against what was asked, as strictly as EDK2 does; the error says what is wrong.
    pub(crate) fn check_oack(&self, pairs: &[OptionPair]) -> Result<Agreed, String> {
        let mut agreed = Agreed {
            options: true,
            ..Agreed::default()
        };
        for OptionPair { name, value } in pairs {
            let shown = || format!("option {}={}", name.escape_ascii(), value.escape_ascii());
            let number =
                parse_long_number(value).ok_or_else(|| format!("{} is not a number", shown()))?;
            let within = |asked: Option<u16>, least: u16| {
                let asked = asked.ok_or_else(|| format!("{} was not asked for", shown()))?;
                u16::try_from(number)
                    .ok()
                    .filter(|number| (least..=asked).contains(number))
                    .ok_or_else(|| format!("{} is out of range, {asked} was asked for", shown()))
            };
            match name.to_ascii_lowercase().as_slice() {
                b"blksize" => agreed.blksize = within(self.blksize, 8)?,
                b"windowsize" => agreed.windowsize = within(self.windowsize, 1)?,
                b"timeout" => {
                    let asked = self.timeout.map(u16::from);
                    let seconds = within(asked, asked.unwrap_or(1))?;
                    agreed.interval = Some(Duration::from_secs(u64::from(seconds)));
                }
                b"tsize" if self.tsize => agreed.tsize = Some(number),
                _ => return Err(format!("{} was not asked for", shown())),
            }
        }
        Ok(agreed)
    }
}

/// Sizes above ten digits exist in answers, though not in requests.
fn parse_long_number(value: &[u8]) -> Option<u64> {
    parse_number(value).or_else(|| {
        value
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| std::str::from_utf8(value).ok()?.parse().ok())
            .flatten()
    })
}
