//! What may be sent to an address that has not answered yet: it may be forged, and somebody else's.

use std::time::Instant;

use crate::limits::{UNPROVED_BYTES, UNPROVED_FACTOR, UNPROVED_LIFE, UNPROVED_PACKETS};
use crate::packet::Request;

/// The budget of one transfer until its client answers from the transfer's own port.
#[derive(Debug)]
pub(crate) struct Unproved {
    packets: u32,
    bytes: usize,
    byte_cap: usize,
    until: Instant,
}

impl Unproved {
    /// A full budget; `options` says whether the first datagram is an OACK.
    pub(crate) fn new(request: &Request, options: bool, now: Instant) -> Self {
        let byte_cap = if options {
            UNPROVED_BYTES.min(request.wire_len * UNPROVED_FACTOR)
        } else {
            UNPROVED_BYTES
        };
        Self {
            packets: 0,
            bytes: 0,
            byte_cap,
            until: now + UNPROVED_LIFE,
        }
    }

    /// Whether a datagram of this size may go out. The first always may.
    pub(crate) fn fits(&self, size: usize) -> bool {
        self.packets == 0 || (self.packets < UNPROVED_PACKETS && self.bytes + size <= self.byte_cap)
    }

    /// The same; if it may, it is counted.
    pub(crate) fn spend(&mut self, size: usize) -> bool {
        let fits = self.fits(size);
        if fits {
            self.packets += 1;
            self.bytes += size;
        }
        fits
    }

    /// When the transfer ends unless its client has answered.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }
}
