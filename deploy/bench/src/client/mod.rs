//! The load: many TFTP clients in one thread, which must be cheaper than any server.

pub(crate) mod boot;
pub(crate) mod dhcp;
pub(crate) mod flood;
pub(crate) mod http;
pub(crate) mod impair;
pub(crate) mod session;
mod socket;

use crate::net::Path;
use anyhow::{Context, Result};
use impair::{Cable, Fate, Impairments};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use session::{Ask, Resend, Session, Stats, Step};
use socket::{Buffers, ClientSocket};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// One load: how many clients fetch what, how.
#[derive(Clone, Debug)]
pub(crate) struct Load<'a> {
    /// Where the server is; its port 69 is asked.
    pub server: Ipv4Addr,
    /// By which pair, and so from which addresses.
    pub path: Path,
    /// Clients at once; each with an address of its own when there is more than one.
    pub clients: usize,
    /// Fetches of each client, one after the other.
    pub fetches: usize,
    /// What they are: in this order, and again from the beginning.
    pub files: Vec<Want<'a>>,
    /// Take segmented datagrams whole, as a NIC with UDP GSO at the server's end has it.
    pub gro: bool,
    /// The cable.
    pub impairments: Impairments,
    /// After this long, what is not done has failed.
    pub limit: Duration,
    /// Not TFTP, but the raw packets of the same transfer: see [`crate::floor`].
    pub raw: bool,
}

/// One file that a client wants.
#[derive(Clone, Debug)]
pub(crate) struct Want<'a> {
    /// How it is asked for.
    pub ask: Ask,
    /// What must come.
    pub content: &'a [u8],
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// From the first request to the last byte.
    pub wall: Duration,
    /// Of every completed fetch, from its first request on.
    pub times: Vec<Duration>,
    /// From the beginning until a client had everything, for each client that got it.
    pub ends: Vec<Duration>,
    /// Content bytes of completed fetches.
    pub bytes: u64,
    /// Fetches that did not complete.
    pub failed: usize,
    /// Why the first of them failed.
    pub first_failure: Option<String>,
    /// All counts added up.
    pub stats: Stats,
}

/// Runs it; to be called in the load's network.
///
/// # Errors
/// When a socket cannot be had. Failed fetches are no errors but counted.
pub(crate) fn run(load: &Load<'_>) -> Result<Outcome> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?;
    let mut engine = Engine {
        load,
        epoll,
        buffers: Buffers::new(load.gro),
        clients: Vec::with_capacity(load.clients),
        late: VecDeque::new(),
        outcome: Outcome::default(),
        running: 0,
        began: Instant::now(),
    };
    engine.run()
}

struct Engine<'a> {
    load: &'a Load<'a>,
    epoll: Epoll,
    buffers: Buffers,
    clients: Vec<Client<'a>>,
    /// Packets of the server that the cable holds back.
    late: VecDeque<Held>,
    outcome: Outcome,
    running: usize,
    began: Instant,
}

struct Client<'a> {
    /// `None` when all fetches are over.
    fetch: Option<Fetch<'a>>,
    left: usize,
    cable: Cable,
}

/// A packet of the server that comes late.
struct Held {
    due: Instant,
    client: usize,
    /// How many fetches the client had left: it is for that fetch and no later one.
    left: usize,
    datagram: Vec<u8>,
}

struct Fetch<'a> {
    socket: ClientSocket,
    talk: Talk<'a>,
}

/// What is spoken.
enum Talk<'a> {
    Tftp(Session<'a>),
    Raw(Raw),
}

/// The floor: asks for so many datagrams at a time and counts what comes.
struct Raw {
    began: Instant,
    moved: Instant,
    size: u16,
    window: u64,
    left: u64,
    pending: u64,
}

impl<'a> Engine<'a> {
    fn run(&mut self) -> Result<Outcome> {
        for n in 0..self.load.clients {
            self.clients.push(Client {
                fetch: None,
                left: self.load.fetches,
                cable: Cable::new(self.load.impairments, SEED, n),
            });
        }
        // All sockets first: a storm begins at once.
        for n in 0..self.load.clients {
            self.open(n)?;
        }
        let began = Instant::now();
        self.began = began;
        for n in 0..self.load.clients {
            self.begin(n, Instant::now())?;
        }
        let deadline = began + self.load.limit;
        let mut events = vec![EpollEvent::empty(); 256];
        let mut next_tick = began + TICK;
        while self.running > 0 {
            let pause = match self.late.is_empty() {
                true => EpollTimeout::from(10u8),
                false => EpollTimeout::from(1u8),
            };
            let ready = match self.epoll.wait(&mut events, pause) {
                Ok(ready) => ready,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(error) => return Err(error).context("epoll_wait"),
            };
            let now = Instant::now();
            for event in &events[..ready] {
                self.readable(event.data() as usize, now)?;
            }
            self.deliver_late(now)?;
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(now)?;
                if now > deadline {
                    self.give_up();
                }
            }
        }
        self.outcome.wall = began.elapsed();
        Ok(std::mem::take(&mut self.outcome))
    }

    /// What client `n` fetches now.
    fn want(&self, n: usize) -> &'a Want<'a> {
        let load = self.load;
        let done = load.fetches - self.clients[n].left;
        &load.files[done % load.files.len()]
    }

    /// A fresh socket, from a new port as firmware uses.
    fn open(&mut self, n: usize) -> Result<()> {
        let (load, want) = (self.load, self.want(n));
        let own = (load.clients > 1).then(|| load.path.client(n));
        let socket = ClientSocket::open(own, load.gro)?;
        self.epoll
            .add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, n as u64))
            .context("epoll_ctl")?;
        let now = Instant::now();
        let talk = match load.raw {
            false => Talk::Tftp(Session::start(&want.ask, want.content, now)),
            true => Talk::Raw(Raw::start(want, now)),
        };
        self.clients[n].fetch = Some(Fetch { socket, talk });
        self.running += 1;
        Ok(())
    }

    /// Sends the request; the time of the fetch begins here.
    fn begin(&mut self, n: usize, now: Instant) -> Result<()> {
        let (load, want) = (self.load, self.want(n));
        let Some(fetch) = &mut self.clients[n].fetch else {
            return Ok(());
        };
        fetch.talk = match load.raw {
            false => Talk::Tftp(Session::start(&want.ask, want.content, now)),
            true => Talk::Raw(Raw::start(want, now)),
        };
        fetch.socket.ask(load.server, &fetch.talk.request())
    }

    /// Takes what has come for client `n`.
    fn readable(&mut self, n: usize, now: Instant) -> Result<()> {
        let Some(fetch) = &mut self.clients[n].fetch else {
            return Ok(());
        };
        let many = fetch.talk.window() > 1;
        let mut buffers = std::mem::take(&mut self.buffers);
        let from = fetch.socket.receive(&mut buffers, many);
        let left = self.clients[n].left;
        let impaired = self.load.impairments.any();
        for datagram in buffers.datagrams() {
            if from.is_some_and(|from| !self.lock(n, from)) {
                continue;
            }
            // What comes after the last block is not for the next fetch.
            if self.clients[n].left != left {
                break;
            }
            match impaired {
                false => self.handle(n, datagram, now)?,
                true => self.by_cable(n, datagram, now)?,
            }
        }
        self.buffers = buffers;
        Ok(())
    }

    /// The first answer decides which port the server speaks from. False: not from our server.
    fn lock(&mut self, n: usize, from: SocketAddrV4) -> bool {
        match &mut self.clients[n].fetch {
            Some(fetch) if *from.ip() == self.load.server => fetch.socket.lock(from, self.load.raw),
            _ => false,
        }
    }

    fn by_cable(&mut self, n: usize, datagram: &[u8], now: Instant) -> Result<()> {
        match self.clients[n].cable.data() {
            Fate::Arrives(times) => (0..times).try_for_each(|_| self.handle(n, datagram, now)),
            Fate::Late(by) => {
                self.late.push_back(Held {
                    due: now + by,
                    client: n,
                    left: self.clients[n].left,
                    datagram: datagram.to_vec(),
                });
                Ok(())
            }
        }
    }

    fn deliver_late(&mut self, now: Instant) -> Result<()> {
        while self.late.front().is_some_and(|held| held.due <= now) {
            let Some(held) = self.late.pop_front() else {
                break;
            };
            if self.clients[held.client].left == held.left {
                self.handle(held.client, &held.datagram, now)?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, n: usize, datagram: &[u8], now: Instant) -> Result<()> {
        let Some(fetch) = &mut self.clients[n].fetch else {
            return Ok(());
        };
        let step = match &mut fetch.talk {
            Talk::Tftp(session) => session
                .handle(datagram, now)
                .map_err(|failure| format!("{failure:?}")),
            Talk::Raw(raw) => Ok(raw.handle(now)),
        };
        match step {
            Ok(Step::Wait) => Ok(()),
            Ok(Step::Ack(ack)) => {
                self.send(n, ack);
                Ok(())
            }
            Ok(Step::Done(ack)) => {
                self.send(n, ack);
                self.done(n, now)
            }
            Err(failure) => {
                self.fail(n, failure);
                Ok(())
            }
        }
    }

    fn send(&mut self, n: usize, ack: [u8; 4]) {
        let client = &mut self.clients[n];
        if let Some(fetch) = &client.fetch {
            for _ in 0..client.cable.ack() {
                fetch.socket.send(&ack);
            }
        }
    }

    fn done(&mut self, n: usize, now: Instant) -> Result<()> {
        let length = self.want(n).content.len() as u64;
        let client = &mut self.clients[n];
        client.left -= 1;
        let Some(fetch) = client.fetch.take() else {
            return Ok(());
        };
        self.running -= 1;
        let more = client.left > 0;
        if !more {
            self.outcome.ends.push(now - self.began);
        }
        self.outcome.bytes += length;
        self.outcome.times.push(now - fetch.talk.began());
        self.outcome.stats.add(&fetch.talk.stats());
        drop(fetch);
        if more {
            self.open(n)?;
            self.begin(n, Instant::now())?;
        }
        Ok(())
    }

    fn fail(&mut self, n: usize, failure: String) {
        let client = &mut self.clients[n];
        if let Some(fetch) = client.fetch.take() {
            self.running -= 1;
            self.outcome.stats.add(&fetch.talk.stats());
            self.outcome.failed += client.left;
            client.left = 0;
            self.outcome.first_failure.get_or_insert(failure);
        }
    }

    fn tick(&mut self, now: Instant) -> Result<()> {
        for n in 0..self.clients.len() {
            let Some(fetch) = &mut self.clients[n].fetch else {
                continue;
            };
            match fetch.talk.tick(now) {
                Ok(None) => {}
                Ok(Some(Resend::Request)) => {
                    let request = fetch.talk.request();
                    fetch.socket.ask(self.load.server, &request)?;
                }
                Ok(Some(Resend::Ack(ack))) => self.send(n, ack),
                Err(failure) => self.fail(n, failure),
            }
        }
        Ok(())
    }

    fn give_up(&mut self) {
        for n in 0..self.clients.len() {
            self.fail(n, format!("not done within {:?}", self.load.limit));
        }
    }
}

impl Talk<'_> {
    fn request(&self) -> Vec<u8> {
        match self {
            Self::Tftp(session) => session.request(),
            Self::Raw(raw) => raw.ask().to_vec(),
        }
    }

    fn window(&self) -> u16 {
        match self {
            Self::Tftp(session) => session.asked_window(),
            Self::Raw(raw) => raw.window as u16,
        }
    }

    fn began(&self) -> Instant {
        match self {
            Self::Tftp(session) => session.began(),
            Self::Raw(raw) => raw.began,
        }
    }

    fn stats(&self) -> Stats {
        match self {
            Self::Tftp(session) => session.stats,
            Self::Raw(_) => Stats::default(),
        }
    }

    fn tick(&mut self, now: Instant) -> Result<Option<Resend>, String> {
        match self {
            Self::Tftp(session) => session.tick(now).map_err(|f| format!("{f:?}")),
            Self::Raw(raw) => Ok(raw.tick(now)),
        }
    }
}

impl Raw {
    fn start(want: &Want<'_>, now: Instant) -> Self {
        let blksize = u64::from(want.ask.blksize);
        let mut raw = Self {
            began: now,
            moved: now,
            size: want.ask.blksize + 4,
            window: u64::from(want.ask.window),
            left: want.content.len() as u64 / blksize + 1,
            pending: 0,
        };
        raw.pending = raw.window.min(raw.left);
        raw
    }

    /// How many datagrams are wanted now, and how long each is.
    fn ask(&self) -> [u8; 4] {
        let [a, b] = (self.pending as u16).to_be_bytes();
        let [c, d] = self.size.to_be_bytes();
        [a, b, c, d]
    }

    fn handle(&mut self, now: Instant) -> Step {
        self.moved = now;
        self.left = self.left.saturating_sub(1);
        self.pending = self.pending.saturating_sub(1);
        if self.left == 0 {
            return Step::Done([0; 4]);
        }
        if self.pending == 0 {
            self.pending = self.window.min(self.left);
            return Step::Ack(self.ask());
        }
        Step::Wait
    }

    fn tick(&mut self, now: Instant) -> Option<Resend> {
        if now.duration_since(self.moved) < Duration::from_secs(1) {
            return None;
        }
        self.moved = now;
        Some(Resend::Ack(self.ask()))
    }
}

/// The loss of every run.
const SEED: u64 = 1;
/// Between two looks at the clients' timers.
const TICK: Duration = Duration::from_millis(20);
