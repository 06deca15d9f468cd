//! Who may have a transfer: pure bookkeeping, no sockets.
//!
//! A request's source address is easily forged, so what is scarce is the *half-open* transfer: begun, but the
//! client has not yet answered from the transfer's own port. When there is no room, the oldest half-open one
//! makes way. A real client proves itself within a round trip, so under a flood of forged requests it is only
//! ever pushed out by a whole [`HALF_OPEN_CAP`] of them arriving in that round trip; and if they are all forged from
//! one network, only there.
//!
//! Who is proved and gets on is never pushed out. Who is proved and then says nothing keeps its place only until somebody
//! else needs one ([`quiet`]): silence is granted for a minute, and places would soon be full of it.
//!
//! What is *not* forged is bounded by a rate per address ([`rate`]), for each request costs the opening of a file.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::packet::Request;

pub mod quiet;
pub mod rate;

use quiet::Quiet;
use rate::Rates;

/// Transfers in all. Each has a socket and its state, some 10 KiB together, and shares the pieces of its file with
/// all who fetch it; they serve four times the largest boot storm that is measured (1,000 clients at once).
pub const SESSIONS_CAP: usize = 4_096;

/// Transfers of one client address. A machine has one, two while it recycles ports; a rack behind one translated
/// address has one per machine, so this is three racks and still a thirtieth of the whole.
pub const PER_CLIENT_CAP: usize = 128;

/// Half-open transfers in all. At 5,000 forged requests a second a real client has 200 ms to answer before it is
/// pushed out, a hundred times the round trip of a LAN; a storm of 1,000 real clients fits at once.
pub const HALF_OPEN_CAP: usize = 1_024;

/// Half-open transfers of one network of 256 addresses (IPv4 /24, IPv6 /64), where most sites have all machines of a
/// rack: each of them may begin one in the same moment. A quarter of all, so that forging one network's
/// addresses leaves the others their room.
pub const PER_NETWORK_HALF_OPEN_CAP: usize = 256;

/// An address that has reached [`PER_CLIENT_CAP`]: while fewer than this part of its transfers are half-open, quiet ones
/// make way before them. Beyond, the half-open ones make way for each other: who forges a machine's address cannot
/// have the machine's own transfer end while it pauses.
const HALF_OPEN_SHARE: usize = 4;

/// How long the same request from the same port is taken for a repetition of the one being answered (iPXE
/// repeats after 0.26 s, GRUB after 0.4 s) and joins it. After that it is taken for a client that lost
/// its transfer and begins anew: ROMs always use port 2070, also after a reset in mid transfer.
///
/// Half a second more than the 3 s after which a client that did not answer is sent its last datagram: a client with the
/// same timer asks again at that moment. Were it given a new transfer, it would hold on to the former one's port, which
/// it then hears of first and which is closed.
pub const JOIN_FOR: Duration = Duration::from_millis(3_500);

/// The number of one admitted transfer, never used twice; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// How many transfers there may be. [`Caps::default`] holds the constants of this module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// See [`SESSIONS_CAP`].
    pub sessions: usize,
    /// See [`PER_CLIENT_CAP`].
    pub per_client: usize,
    /// See [`HALF_OPEN_CAP`].
    pub half_open: usize,
    /// See [`PER_NETWORK_HALF_OPEN_CAP`].
    pub per_network_half_open: usize,
    /// See [`rate::PER_SECOND`].
    pub per_second: u32,
    /// See [`rate::BURST`].
    pub burst: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            sessions: SESSIONS_CAP,
            per_client: PER_CLIENT_CAP,
            half_open: HALF_OPEN_CAP,
            per_network_half_open: PER_NETWORK_HALF_OPEN_CAP,
            per_second: rate::PER_SECOND,
            burst: rate::BURST,
        }
    }
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Begin a transfer under this number, after ending the others in silence.
    Start {
        /// The new transfer.
        id: SessionId,
        /// Transfers that make way. They are already forgotten here.
        ended: Vec<Ended>,
    },
    /// The request repeats the one that this transfer answers:
    /// [`Sender::repeat_first`](crate::Sender::repeat_first).
    Join(SessionId),
    /// No answer at all.
    Refuse(Refusal),
}

/// A transfer that makes way for a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub id: SessionId,
    /// Why this one.
    pub why: MakesWay,
}

/// Why a transfer makes way for a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MakesWay {
    /// Its client asked for something else from the same port.
    BeganAnew,
    /// Its client has not proved itself, and of those it is the oldest.
    HalfOpen,
    /// No place is left, and it has been without progress for longest: see [`quiet`].
    Quiet,
}

/// Why a request gets no transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source port belongs to a service; answering starts a loop between two servers (CVE-2024-2169).
    #[error("source port {port} is a service's, not a client's")]
    ReservedPort {
        /// The source port.
        port: u16,
    },
    /// More requests from this address than any machine, or rack of machines, makes.
    #[error("more than {per_second} requests a second from this address, which is the limit")]
    TooFast {
        /// The limit.
        per_second: u32,
    },
    /// All transfers are proved and get on.
    #[error("{cap} transfers are running, which is the limit")]
    Full {
        /// The limit.
        cap: usize,
    },
    /// All transfers of this address are proved and get on.
    #[error("{cap} transfers of this address are running, which is the limit")]
    ClientFull {
        /// The limit.
        cap: usize,
    },
}

impl Refusal {
    /// A short stable word for counters.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::ReservedPort { .. } => "reserved_port",
            Self::TooFast { .. } => "client_rate",
            Self::Full { .. } => "sessions_full",
            Self::ClientFull { .. } => "client_full",
        }
    }
}

/// Whether anything, even an ERROR, may be sent to this source port: not to the ports of services, where our
/// answer would be somebody's next request (echo, chargen, DNS, DHCP, TFTP itself; protocol.md G.4). No boot ROM
/// or loader was seen to ask from below 1024; Intel's uses 2070, PXELINUX 49152 and up.
#[must_use]
pub fn is_client_port(port: u16) -> bool {
    port > 1024 && port != 4011
}

/// The transfers there are.
#[derive(Debug)]
pub struct Sessions {
    caps: Caps,
    rates: Rates,
    last_id: u64,
    by_peer: HashMap<SocketAddr, Session>,
    by_id: HashMap<SessionId, SocketAddr>,
    clients: HashMap<IpAddr, Client>,
    half_open: BTreeSet<SessionId>,
    /// The half-open ones of each network that has some.
    networks: HashMap<Network, BTreeSet<SessionId>>,
    quiet: Quiet,
}

/// The part of an address that tells one network from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4([u8; 3]),
    V6([u16; 4]),
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    request: Request,
    since: Instant,
}

#[derive(Debug, Default)]
struct Client {
    sessions: usize,
    half_open: BTreeSet<SessionId>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new(Caps::default())
    }
}

impl Sessions {
    /// No transfers yet.
    #[must_use]
    pub fn new(caps: Caps) -> Self {
        Self {
            rates: Rates::new(caps.per_second, caps.burst),
            caps,
            last_id: 0,
            by_peer: HashMap::new(),
            by_id: HashMap::new(),
            clients: HashMap::new(),
            half_open: BTreeSet::new(),
            networks: HashMap::new(),
            quiet: Quiet::default(),
        }
    }

    /// Decides about a request that came from `peer` to the well-known port.
    pub fn admit(&mut self, now: Instant, peer: SocketAddr, request: &Request) -> Admission {
        if !is_client_port(peer.port()) {
            return Admission::Refuse(Refusal::ReservedPort { port: peer.port() });
        }
        if !self.rates.take(now, peer.ip()) {
            let per_second = self.caps.per_second;
            return Admission::Refuse(Refusal::TooFast { per_second });
        }
        let mut ended = Vec::new();
        if let Some(session) = self.by_peer.get(&peer) {
            let repeated = session.request == *request
                && now.saturating_duration_since(session.since) < JOIN_FOR;
            if repeated {
                return Admission::Join(session.id);
            }
            let id = session.id;
            self.make_way(id, MakesWay::BeganAnew, &mut ended);
        }
        // Where a former transfer was just ended there is room, so nothing ended is forgotten by a refusal.
        if let Err(refusal) = self.make_room(peer.ip(), &mut ended) {
            return Admission::Refuse(refusal);
        }
        Admission::Start {
            id: self.insert(now, peer, request.clone()),
            ended,
        }
    }

    /// The client answered from the transfer's own port.
    pub fn proved(&mut self, id: SessionId) {
        if let Some(peer) = self.by_id.get(&id).copied() {
            self.no_longer_half_open(id, peer.ip());
        }
    }

    /// A proved transfer has made no progress since `since`, which is [`quiet::QUIET_AFTER`] ago or longer.
    pub fn quiet(&mut self, id: SessionId, since: Instant) {
        if let Some(peer) = self.by_id.get(&id)
            && !self.half_open.contains(&id)
        {
            self.quiet.insert(id, peer.ip(), since);
        }
    }

    /// It gets on again.
    pub fn moves(&mut self, id: SessionId) {
        if let Some(peer) = self.by_id.get(&id) {
            self.quiet.remove(id, peer.ip());
        }
    }

    /// The transfer has its outcome. To be called then, not after the port has dallied: a client that asks for
    /// the same file again must not join a transfer that is over.
    pub fn end(&mut self, id: SessionId) {
        let Some(peer) = self.by_id.remove(&id) else {
            return;
        };
        self.by_peer.remove(&peer);
        self.no_longer_half_open(id, peer.ip());
        self.quiet.remove(id, peer.ip());
        if let Some(client) = self.clients.get_mut(&peer.ip()) {
            client.sessions -= 1;
            if client.sessions == 0 {
                self.clients.remove(&peer.ip());
            }
        }
    }

    /// Transfers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Transfers whose client has not proved its address yet.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Proved transfers that have been without progress for a while.
    #[must_use]
    pub fn quiet_ones(&self) -> usize {
        self.quiet.len()
    }

    /// Ends transfers that may be ended until one more fits.
    fn make_room(&mut self, client: IpAddr, ended: &mut Vec<Ended>) -> Result<(), Refusal> {
        let caps = &self.caps;
        if let Some(known) = self.clients.get(&client)
            && known.sessions >= caps.per_client
        {
            let quiet = self.quiet.longest_of(client).map(quiet);
            let half_open = known.half_open.first().copied().map(half_open);
            let one = if known.half_open.len() < caps.per_client / HALF_OPEN_SHARE {
                quiet.or(half_open)
            } else {
                half_open.or(quiet)
            };
            let (id, why) = one.ok_or(Refusal::ClientFull {
                cap: caps.per_client,
            })?;
            self.make_way(id, why, ended);
        }
        if let Some(network) = self.networks.get(&Network::of(client))
            && network.len() >= self.caps.per_network_half_open
            && let Some(oldest) = network.first().copied()
        {
            self.make_way(oldest, MakesWay::HalfOpen, ended);
        }
        let oldest = self.half_open.first().copied().map(half_open);
        if self.half_open.len() >= self.caps.half_open
            && let Some((id, why)) = oldest
        {
            self.make_way(id, why, ended);
        } else if self.by_id.len() >= self.caps.sessions {
            // Half-open ones are few, and among them are those who are about to prove themselves.
            let one = self.quiet.longest().map(quiet).or(oldest);
            let (id, why) = one.ok_or(Refusal::Full {
                cap: self.caps.sessions,
            })?;
            self.make_way(id, why, ended);
        }
        Ok(())
    }

    fn make_way(&mut self, id: SessionId, why: MakesWay, ended: &mut Vec<Ended>) {
        self.end(id);
        ended.push(Ended { id, why });
    }

    fn insert(&mut self, now: Instant, peer: SocketAddr, request: Request) -> SessionId {
        self.last_id += 1;
        let id = SessionId(self.last_id);
        self.by_peer.insert(
            peer,
            Session {
                id,
                request,
                since: now,
            },
        );
        self.by_id.insert(id, peer);
        self.half_open.insert(id);
        let client = self.clients.entry(peer.ip()).or_default();
        client.sessions += 1;
        client.half_open.insert(id);
        let network = self.networks.entry(Network::of(peer.ip())).or_default();
        network.insert(id);
        id
    }

    fn no_longer_half_open(&mut self, id: SessionId, address: IpAddr) {
        if !self.half_open.remove(&id) {
            return;
        }
        if let Some(client) = self.clients.get_mut(&address) {
            client.half_open.remove(&id);
        }
        let network = Network::of(address);
        if let Some(half_open) = self.networks.get_mut(&network) {
            half_open.remove(&id);
            if half_open.is_empty() {
                self.networks.remove(&network);
            }
        }
    }
}

fn quiet(id: SessionId) -> (SessionId, MakesWay) {
    (id, MakesWay::Quiet)
}

fn half_open(id: SessionId) -> (SessionId, MakesWay) {
    (id, MakesWay::HalfOpen)
}
