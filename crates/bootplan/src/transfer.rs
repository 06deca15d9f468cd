//! What a transfer says about the way to its client: options agreed, repeats, round trip.

use serde::{Deserialize, Serialize};

/// Numbers of one transfer, kept with its event. By HTTP, where they are the kernel's, its blocks and datagrams are
/// TCP's segments, as far as the kernel had sent them when it had taken the last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferStats {
    /// Block size agreed on, in bytes; of TCP the most content in one segment.
    pub blksize: u16,
    /// Window agreed on, in blocks; 0 of TCP, whose window changes all the time.
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

impl TransferStats {
    /// What people should know about the way to the client; `None` when there is nothing to say. `bytes` is what
    /// the client has acknowledged.
    pub fn complaint(&self, bytes: u64) -> Option<String> {
        let TransferStats {
            blksize,
            windows,
            windows_repeated: repeated,
            ..
        } = *self;
        // It answered small packets, or nothing would have been repeated, and no big one.
        if bytes == 0 && windows > 0 && repeated >= NEVER {
            return Some(format!(
                "no block of {blksize} bytes got through: look at the MTU on the way, or set tftp.max_block_size lower"
            ));
        }
        let often = repeated >= FEW && repeated.saturating_mul(LOSSY_PER) >= windows;
        let unit = self.unit();
        often.then(|| {
            format!("{repeated} of {windows} {unit} repeated: look at the cable or the MTU")
        })
    }

    /// What is sent at once and waited for.
    pub fn unit(&self) -> &'static str {
        match self.windowsize {
            0 => "segments",
            1 => "blocks",
            _ => "windows",
        }
    }
}

/// A client that was just switched off costs one or two repeats.
const NEVER: u64 = 3;
/// Fewer repeats than this say nothing: a switch port that just came up loses one.
const FEW: u64 = 3;
/// One in 50 and more is no accident: a sound wire loses less than one in a million, and TFTP is slow from about
/// one in a hundred on.
const LOSSY_PER: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bad_way_is_complained_about() {
        let said = |windowsize, windows, windows_repeated, bytes| {
            let stats = TransferStats {
                blksize: 1468,
                windowsize,
                windows,
                windows_repeated,
                ..TransferStats::default()
            };
            stats.complaint(bytes)
        };
        assert_eq!(said(16, 812, 0, 1 << 20), None);
        assert_eq!(said(16, 812, 16, 1 << 20), None, "less than one in 50");
        assert_eq!(said(16, 20, 2, 1 << 20), None, "too few to tell");
        assert_eq!(
            said(16, 812, 43, 1 << 20).as_deref(),
            Some("43 of 812 windows repeated: look at the cable or the MTU")
        );
        assert_eq!(
            said(1, 100, 3, 1 << 17).as_deref(),
            Some("3 of 100 blocks repeated: look at the cable or the MTU")
        );
        assert_eq!(
            said(0, 1000, 50, 1 << 20).as_deref(),
            Some("50 of 1000 segments repeated: look at the cable or the MTU")
        );
        assert_eq!(
            said(16, 1, 5, 0).as_deref(),
            Some(
                "no block of 1468 bytes got through: look at the MTU on the way, or set tftp.max_block_size lower"
            )
        );
        assert_eq!(said(0, 0, 0, 0), None, "a size probe");
    }
}
