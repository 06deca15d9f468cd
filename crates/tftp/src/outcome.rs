//! How a transfer ended.

use std::time::Duration;

use crate::options::Agreed;
use crate::packet::ErrorCode;

/// The end of a transfer, for the event and the log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why it ended.
    pub kind: OutcomeKind,
    /// The numbers.
    pub stats: Stats,
    /// What was agreed on.
    pub agreed: Agreed,
}

/// What a transfer did so far, or in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Content octets acknowledged (sender) or received in order (receiver), as on the wire.
    pub bytes: u64,
    /// Blocks acknowledged or received in order.
    pub blocks: u64,
    /// Windows sent (sender), not counting repetitions; 0 for a receiver.
    pub windows: u64,
    /// Times a window, or the rest of one, was sent again.
    pub windows_repeated: u64,
    /// Datagrams sent more than once.
    pub retransmits: u64,
    /// Time from sending a window to its acknowledgement, smoothed; `None` before the first was measured, and for
    /// a receiver.
    pub round_trip: Option<Duration>,
}

impl Outcome {
    /// Whether nothing went wrong: complete, or a client that only wanted to know the size.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        matches!(
            self.kind,
            OutcomeKind::Completed | OutcomeKind::SizeProbe { .. }
        )
    }
}

/// Why a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutcomeKind {
    /// The last block was acknowledged (sender), received (receiver), or kept (writer).
    Completed,
    /// The client asked for the size (`tsize`), got it, and said so with an ERROR: EDK2 with code 8, Intel's
    /// ROM and the Raspberry Pi with 0. A normal end.
    SizeProbe {
        /// The code it used.
        code: ErrorCode,
    },
    /// The peer sent an ERROR: a client that stops early, or a server that refuses.
    ClientAborted {
        /// The code it sent.
        code: ErrorCode,
        /// Its text, printable and cut.
        text: String,
    },
    /// The peer was silent until the tries or the idle time were used up.
    TimedOut,
    /// The source failed or got shorter than announced; the client was told with an ERROR.
    ReadFailed {
        /// What the source said.
        reason: String,
    },
    /// Receiver only: the server's OACK held something that was not asked for; it was told with ERROR 8.
    BadOack {
        /// What was wrong with it.
        reason: String,
    },
    /// Writer only: the content could not be kept; the client was told with an ERROR.
    WriteFailed {
        /// What the caller said.
        reason: String,
    },
    /// Writer only: more came than is allowed; the client was told with ERROR 3.
    TooLarge {
        /// The most octets allowed.
        cap: u64,
    },
    /// Receiver and writer: all blocks came, but not as many octets as `tsize` announced.
    WrongLength {
        /// Octets announced.
        announced: u64,
    },
}

impl OutcomeKind {
    /// A short stable word for counters and events.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::SizeProbe { .. } => "size_probe",
            Self::ClientAborted { .. } => "aborted",
            Self::TimedOut => "timed_out",
            Self::ReadFailed { .. } => "read_failed",
            Self::BadOack { .. } => "bad_oack",
            Self::WriteFailed { .. } => "write_failed",
            Self::TooLarge { .. } => "too_large",
            Self::WrongLength { .. } => "wrong_length",
        }
    }
}
