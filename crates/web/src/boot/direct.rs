//! Which part of a long body the kernel takes straight from its own memory of the file, and when
//! that part is known to have arrived as it was promised.
//!
//! What `sendfile` has put into a socket are the file's own pages: they change with the file until
//! the client has copied them. So a body's end always comes out of our memory, so much of it that
//! once its last piece is due, everything sent the other way must have been copied; and that piece
//! leaves only if the file is unchanged by then. A client thus never gets the promised length of a
//! mixture of two versions (protocol.md G.2, G.3), and nobody has to wait for acknowledgements.

use bootfiles::{PIECE, SharedFile};
use std::ops::Range;

/// The plan for one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Direct {
    /// Up to here in the file the kernel sends.
    pub(super) until: u64,
    /// Here the piece begins that waits for the proof.
    pub(super) last: u64,
    /// Octets that may be on their way.
    on_the_way: u64,
}

impl Direct {
    /// For these octets of a file; `None` if they are better sent from our memory.
    pub(super) fn plan(file: &SharedFile, octets: &Range<u64>) -> Option<Direct> {
        if octets.end - octets.start < WORTHWHILE || !file.goes_direct() {
            return None;
        }
        Direct::with_queues(octets, queues()?)
    }

    fn with_queues(octets: &Range<u64>, on_the_way: u64) -> Option<Direct> {
        let last = octets.end.checked_sub(1)? / PIECE * PIECE;
        let until = last.checked_sub(on_the_way + UNSENT)? / PIECE * PIECE;
        let long_enough = until >= octets.start + WORTHWHILE;
        long_enough.then_some(Direct {
            until,
            last,
            on_the_way,
        })
    }

    /// Whether everything the kernel sent has been copied, if its socket has taken everything up
    /// to `taken`: what may be on its way is less than what was sent since, from our memory.
    pub(super) fn has_arrived(&self, taken: u64) -> bool {
        taken >= self.until + self.on_the_way
    }
}

/// Most octets that kernels on this machine hold of a connection: ours that are unacknowledged, and
/// those that a client in this machine, perhaps in a container, has not read. Nobody can tell such
/// a client from one in another machine, which has copied what it acknowledged.
/// `None` where that cannot be known.
pub(super) fn queues() -> Option<u64> {
    let most = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?;
        text.split_whitespace().nth(2)?.parse::<u64>().ok()
    };
    Some(most("tcp_wmem")? + most("tcp_rmem")? + BEYOND)
}

/// Shorter runs do not pay.
const WORTHWHILE: u64 = 16 << 20;

/// Both queues go beyond their limits by a packet, which is 512 KiB at most.
const BEYOND: u64 = 1 << 20;

/// More than hyper keeps to itself when it asks for the next piece.
const UNSENT: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_system_says_how_long_its_queues_are() {
        let most = queues().expect("/proc/sys is there");
        assert!(BEYOND < most && most < 1 << 32, "{most}");
    }

    proptest! {
        /// The proof cannot come before what is on the way is all from memory, and it has come when
        /// hyper asks for the last piece.
        #[test]
        fn the_last_piece_is_due_when_the_rest_has_arrived(
            start in 0u64..1 << 30,
            len in 1u64..1 << 30,
            on_the_way in 0u64..1 << 26,
        ) {
            let octets = start..start + len;
            let Some(direct) = Direct::with_queues(&octets, on_the_way) else {
                prop_assert!(len < WORTHWHILE + on_the_way + UNSENT + 2 * PIECE);
                return Ok(());
            };
            prop_assert!(start < direct.until && direct.until < direct.last);
            prop_assert!(direct.last < octets.end && octets.end - direct.last <= PIECE);
            prop_assert!(direct.has_arrived(direct.last - UNSENT));
            prop_assert!(!direct.has_arrived((direct.until + on_the_way).saturating_sub(1)));
        }
    }
}
