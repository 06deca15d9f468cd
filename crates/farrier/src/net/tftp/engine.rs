//! A worker: one thread that waits with epoll for all of its transfers and moves each a step.
//!
//! Not on the asynchronous runtime, because at a window of one block the packet's way is the whole cost: a
//! wake-up, a receive, a send. A worker waits for packets and for nothing else; what may wait for a disk is done
//! on the runtime's blocking threads and comes back through the [`Inbox`].

use super::answer::{Ask, Cut, Story};
use super::content::Content;
use super::desk::{Desk, Shared};
use super::inbox::Inbox;
use super::slots::{Key, Slots};
use super::spares::Spares;
use super::timers::{Precision, Timers};
use super::transfer::{Outgoing, Transfer};
use bytes::Bytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tftp::admission::SessionId;

/// What other threads tell a worker.
pub(super) enum Message {
    /// A transfer to run.
    Start(Box<Start>),
    /// What a transfer was waiting for was read, or could not be.
    Loaded {
        key: Key,
        offset: u64,
        result: io::Result<Bytes>,
    },
    /// The client repeated its request on port 69.
    Again(Key),
    /// It makes way: its client began another from the same port, or it is half-open, or quiet.
    End(Key, Cut),
    /// No new requests; end when the transfers under way have ended, at the latest at this time.
    Stop(Instant),
}

/// A transfer about to begin.
pub(super) struct Start {
    pub(super) id: SessionId,
    pub(super) ask: Ask,
    pub(super) content: Content,
    pub(super) story: Story,
    pub(super) started: Instant,
}

/// One thread's transfers.
pub(super) struct Worker {
    number: usize,
    epoll: Epoll,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
    /// Port 69: the first worker's, until it is told to stop.
    desk: Option<Desk>,
    transfers: Slots<Transfer>,
    timers: Timers,
    /// Ended transfers whose port still swallows late ACKs, the oldest first.
    lingering: VecDeque<Key>,
    spares: Spares,
    stop: Option<Instant>,
    out: Outgoing,
    received: Vec<u8>,
    messages: Vec<Message>,
}

impl Worker {
    /// # Errors
    /// When the system is out of descriptors.
    pub(super) fn new(
        number: usize,
        shared: Arc<Shared>,
        desk: Option<Desk>,
    ) -> io::Result<Worker> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let inbox = Arc::clone(shared.inbox(number));
        epoll.add(&*inbox, EpollEvent::new(EpollFlags::EPOLLIN, INBOX))?;
        if let Some(desk) = &desk {
            epoll.add(desk, EpollEvent::new(EpollFlags::EPOLLIN, DESK))?;
        }
        Ok(Worker {
            number,
            epoll,
            inbox,
            shared,
            desk,
            transfers: Slots::new(),
            timers: Timers::default(),
            lingering: VecDeque::new(),
            spares: Spares::default(),
            stop: None,
            out: Outgoing::default(),
            received: vec![0; 2048],
            messages: Vec::new(),
        })
    }

    /// Works until it was told to stop and its transfers have ended.
    pub(super) fn run(mut self) {
        self.inbox.claim();
        let mut events = [EpollEvent::empty(); 256];
        while !self.is_done(Instant::now()) {
            let count = match self.wait(&mut events) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "a TFTP worker cannot wait for packets and ends");
                    return;
                }
            };
            for event in &events[..count] {
                match event.data() {
                    DESK => self.receive_requests(),
                    INBOX => {
                        self.inbox.woken();
                        self.take_messages();
                    }
                    bits => self.receive(Key::from_bits(bits)),
                }
            }
            self.ring(Instant::now());
        }
        for key in self.transfers.keys() {
            if let Some(transfer) = self.transfers.remove(key) {
                transfer.cut(Cut::Stop, &self.shared);
            }
        }
    }

    fn is_done(&self, now: Instant) -> bool {
        let over = |end| now >= end || self.transfers.len() == 0;
        self.stop.is_some_and(over)
    }

    /// Waits for events, until the next transfer wants to be called.
    fn wait(&self, events: &mut [EpollEvent]) -> Result<usize, Errno> {
        let now = Instant::now();
        let end = self.stop.map(|end| end.saturating_duration_since(now));
        let end = end.map(|wait| (wait, Precision::Coarse));
        let timeout = match self.timers.wait(now).into_iter().chain(end).min() {
            None => EpollTimeout::NONE,
            // epoll counts in milliseconds (but for a call that came with Linux 5.11), others do not.
            Some((wait, Precision::Fine)) if !wait.is_zero() => {
                let mut ready = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
                ppoll(&mut ready, Some(wait.into()), None)?;
                EpollTimeout::ZERO
            }
            // Rounded up, or the last millisecond would be spent asking whether it is time yet.
            Some((wait, _)) => {
                let millis = (wait + Duration::from_micros(999)).as_millis();
                EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
            }
        };
        self.epoll.wait(events, timeout)
    }

    fn receive_requests(&mut self) {
        let Some(desk) = &mut self.desk else { return };
        for _ in 0..REQUESTS_AT_ONCE {
            match desk.receive(&self.shared) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "udp/69 failed; trying again");
                    // The socket stays readable; without a pause this would be a loop at full speed.
                    std::thread::sleep(Duration::from_millis(100));
                    break;
                }
            }
        }
        self.take_messages();
    }

    fn take_messages(&mut self) {
        let mut messages = std::mem::take(&mut self.messages);
        self.inbox.take(&mut messages);
        for message in messages.drain(..) {
            match message {
                Message::Start(start) => self.start(*start),
                Message::Loaded {
                    key,
                    offset,
                    result,
                } => {
                    if let Some(transfer) = self.transfers.get_mut(key) {
                        transfer.loaded(offset, result);
                        self.drive(key, Instant::now());
                    }
                }
                Message::Again(key) => {
                    if let Some(transfer) = self.transfers.get_mut(key) {
                        transfer.sender.repeat_first();
                        self.drive(key, Instant::now());
                    }
                }
                Message::End(key, by) => {
                    if let Some(transfer) = self.transfers.remove(key) {
                        transfer.cut(by, &self.shared);
                    }
                }
                Message::Stop(deadline) => self.stop_at(deadline),
            }
        }
        self.messages = messages;
    }

    fn start(&mut self, start: Start) {
        let Some(transfer) = Transfer::begin(start, &self.shared, &mut self.spares) else {
            return;
        };
        let id = transfer.id;
        let key = self.transfers.insert(transfer);
        let Some(transfer) = self.transfers.get_mut(key) else {
            return;
        };
        if let Err(error) = transfer.socket.watch(&self.epoll, key.to_bits()) {
            tracing::warn!(%error, "no room to watch a TFTP transfer");
            self.shared.forget(id);
            self.transfers.remove(key);
        } else if self.shared.attach(id, self.number, key) {
            self.drive(key, Instant::now());
        } else {
            // While the file was looked up the client asked for another one.
            self.transfers.remove(key);
        }
    }

    /// Takes what the client sent: one datagram at a window of one block, where there is never more; else all
    /// that is there, so that the answer is to the newest of several ACKs.
    fn receive(&mut self, key: Key) {
        let now = Instant::now();
        for _ in 0..DATAGRAMS_AT_ONCE {
            let Some(transfer) = self.transfers.get_mut(key) else {
                self.spares.close(key);
                return;
            };
            match transfer.receive(&mut self.received) {
                Ok(len) => {
                    transfer.sender.handle_datagram(now, &self.received[..len]);
                    if transfer.sender.agreed().windowsize == 1 {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    transfer.lost(&error);
                    break;
                }
            }
        }
        self.drive(key, now);
    }

    /// Calls the transfers whose time has come.
    fn ring(&mut self, now: Instant) {
        while let Some((deadline, key)) = self.timers.pop(now) {
            let Some(transfer) = self.transfers.get_mut(key) else {
                continue;
            };
            if !transfer.alarm.rang(deadline) {
                continue;
            }
            let due = transfer.due();
            if due.is_some_and(|(due, _)| due <= now) {
                transfer.sender.handle_timeout(now);
                self.drive(key, now);
                if let Some(transfer) = self.transfers.get_mut(key) {
                    transfer.sender.source().rest();
                }
            } else {
                self.timers.set(&mut transfer.alarm, key, due);
            }
        }
    }

    /// Sends what is to be sent and looks what has become of the transfer.
    fn drive(&mut self, key: Key, now: Instant) {
        let Some(transfer) = self.transfers.get_mut(key) else {
            return;
        };
        transfer.send(now, &mut self.out);
        transfer.load(key, &self.inbox, &self.shared);
        let ended = transfer.report(&self.shared);
        transfer.tell_quiet(now, &self.shared);
        if transfer.is_over() || (ended && self.stop.is_some()) {
            self.give_back(key);
            return;
        }
        let due = transfer.due();
        self.timers.set(&mut transfer.alarm, key, due);
        if ended {
            self.lingering.push_back(key);
            if self.lingering.len() > LINGERING_CAP
                && let Some(oldest) = self.lingering.pop_front()
            {
                self.give_back(oldest);
            }
        }
    }

    /// A transfer is over; its port may serve another.
    fn give_back(&mut self, key: Key) {
        let transfer = self.transfers.remove(key);
        if let Some(spare) = transfer.and_then(|transfer| transfer.into_spare(key)) {
            self.spares.put(spare);
        }
    }

    fn stop_at(&mut self, deadline: Instant) {
        if let Some(desk) = self.desk.take() {
            let _ = self.epoll.delete(&desk);
        }
        self.stop = Some(deadline);
        // A client that has not answered yet will ask somebody else, or us after the restart.
        for key in self.transfers.keys() {
            let idle = |transfer: &mut Transfer| transfer.told || !transfer.sender.is_proved();
            if self.transfers.get_mut(key).is_some_and(idle) {
                self.transfers.remove(key);
            }
        }
    }
}

const DESK: u64 = u64::MAX;
const INBOX: u64 = u64::MAX - 1;

/// Requests taken before the transfers under way get their turn.
const REQUESTS_AT_ONCE: usize = 64;

/// Datagrams of one client taken before the others get their turn: a window of 64 that arrived out of order makes
/// EDK2 send as many ACKs.
const DATAGRAMS_AT_ONCE: usize = 64;

/// Ports of ended transfers that linger at once. They cost descriptors; a client whose late ACK meets a closed
/// port has its file already.
const LINGERING_CAP: usize = 1_024;
