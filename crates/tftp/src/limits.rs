//! What one transfer may ask for and cost: named, with the reason. Operators change some per network.

use std::time::Duration;

/// The limits of one transfer. [`Limits::default`] holds the constants below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// See [`BLKSIZE_CAP`], octets. Below 512 it counts as 512.
    pub blksize_cap: u16,
    /// See [`WINDOWSIZE_CAP`], blocks.
    pub windowsize_cap: u16,
    /// See [`IN_FLIGHT_CAP`], octets.
    pub in_flight_cap: u32,
    /// See [`FIRST_INTERVAL`].
    pub first_interval: Duration,
    /// See [`INTERVAL_CAP`].
    pub interval_cap: Duration,
    /// See [`TRIES`].
    pub tries: u32,
    /// See [`PATIENCE`].
    pub patience: Duration,
    /// See [`IDLE_CAP`].
    pub idle_cap: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blksize_cap: BLKSIZE_CAP,
            windowsize_cap: WINDOWSIZE_CAP,
            in_flight_cap: IN_FLIGHT_CAP,
            first_interval: FIRST_INTERVAL,
            interval_cap: INTERVAL_CAP,
            tries: TRIES,
            patience: PATIENCE,
            idle_cap: IDLE_CAP,
        }
    }
}

/// Largest block given, octets: 1500 (Ethernet) - 20 (IP) - 8 (UDP) - 4 (TFTP). A larger one becomes IP
/// fragments, which ROMs often cannot put together and whose reassembly was exploitable in EDK2, GRUB and
/// U-Boot. Smaller caps (1024, 1300) are for tunnels.
pub const BLKSIZE_CAP: u16 = 1468;

/// Largest window given, blocks. Emulated and embedded network cards drop bursts of 64 full frames; 16 is
/// sent back to back without loss by all that were tried, and already takes the round trip out of the time.
pub const WINDOWSIZE_CAP: u16 = 16;

/// Most content in flight to one client, octets: what a default receive buffer (212,992 octets in Linux,
/// counted with its overhead) surely takes. Where it binds, the window shrinks, never the block.
pub const IN_FLIGHT_CAP: u32 = 64 * 1024;

/// Time before the first repeat while no round trip was measured. Long enough for slow firmware (a Raspberry Pi ROM
/// needs some 100 ms between blocks) and relays; EDK2 itself repeats after 4 s, iPXE after 0.26 s and more.
pub const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest time before a repeat once round trips are measured: they take well under a millisecond, and four of them
/// would be shorter than the pause of a client that writes what it got to its screen, or of a server whose cores
/// are all busy for a moment. A repeat too early costs one window; a lost block costs this time, and at a loss of
/// 1 % with single blocks nearly all of the time is this.
pub const INTERVAL_FLOOR: Duration = Duration::from_millis(20);

/// Repeats double up to this: 1, 2, 4, 8, 8, 8 s before a round trip was measured.
pub const INTERVAL_CAP: Duration = Duration::from_secs(8);

/// Times something is sent, at the intervals without measuring, before the client counts as gone: 31 s, between
/// EDK2's 24 s and the minute of iPXE and PXELINUX. It is the time that counts: with a measured interval more
/// repeats fit into it.
pub const TRIES: u32 = 6;

/// Shortest silence that ends a transfer, however short an interval the client negotiated: `utimeout=10000`
/// would otherwise mean that 60 ms of a busy switch end a boot.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Longest time without progress, whatever was negotiated (twice the negotiated `timeout` where that is more,
/// so that at least one repeat happens).
pub const IDLE_CAP: Duration = Duration::from_secs(60);

/// Datagrams that a transfer may repeat whatever its client acknowledges: one window of 64 lost at every try.
pub const REPEATS_BASE: u64 = 1_024;

/// Datagrams that it may repeat for each block acknowledged. At a loss of a fifth, where a window of 16 gets
/// five blocks further, it needs three. Beyond this budget ACKs cause no repeats any more, only the
/// timer does, once a second: a client that disagrees about what it has cannot have us send at line rate.
pub const REPEATS_PER_BLOCK: u64 = 4;

/// Longest time to wait for content to be read: a disk that wakes up takes ten seconds, a client's patience ends
/// at about a minute.
pub const SOURCE_PATIENCE: Duration = Duration::from_secs(60);

/// Datagrams sent to an address that has not answered from the transfer's port yet. A request's source is
/// easily forged; with this a reflected 12-octet request yields 3 packets where common servers give 7
/// (301 times the octets).
pub const UNPROVED_PACKETS: u32 = 3;

/// Octets sent to such an address: three first blocks of 4 + 512.
pub const UNPROVED_BYTES: usize = 1_600;

/// With options, octets sent to such an address per octet of its request.
pub const UNPROVED_FACTOR: usize = 5;

/// Life of a transfer whose client never answered, whatever `timeout` it negotiated: half-open transfers are
/// what a flood of forged requests uses up.
pub const UNPROVED_LIFE: Duration = Duration::from_secs(14);

/// Times the first datagram is repeated because the request itself came again to the transfer's port. GRUB does
/// that for half a minute (40 times) when it dislikes the answer; eight repeats beat any loss that is
/// still a network.
pub const FIRST_REPEATS: u32 = 8;

/// Time a finished transfer keeps its port, so that late ACKs meet silence and not ICMP errors, and so that a
/// repeated request finds its transfer.
pub const DALLY: Duration = Duration::from_secs(1);
