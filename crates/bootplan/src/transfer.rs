//! What a TFTP transfer says about the way to its client: options agreed, repeats, round trip.

use serde::{Deserialize, Serialize};

/// Numbers of one TFTP transfer, kept with its event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferStats {
    /// Block size agreed on, in bytes.
    pub blksize: u16,
    /// Window agreed on, in blocks.
    pub windowsize: u16,
    /// Windows sent the first time.
    pub windows: u64,
    /// Windows sent again, wholly or in part.
    pub windows_repeated: u64,
    /// Datagrams sent again.
    pub retransmits: u64,
    /// The smoothed round trip at the end, in microseconds; `None` when none was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_micros: Option<u64>,
}
