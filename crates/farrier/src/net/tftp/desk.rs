//! Port 69, where every transfer begins, and what the transfers share.

use super::answer::{Ask, Found};
use super::engine::{Message, Start};
use super::inbox::Inbox;
use super::slots::Key;
use crate::net::dhcp::Responder;
use crate::net::udp::{Arrival, PktInfo};
use bootfiles::BootFiles;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tftp::Limits;
use tftp::admission::{Admission, SessionId, Sessions};
use tokio::runtime::Handle;
use web::transfers::Transfers;

/// The socket on port 69.
pub(super) struct Desk {
    socket: PktInfo,
    buffer: Vec<u8>,
}

/// What all workers share.
pub(super) struct Shared {
    pub(super) responder: Responder,
    pub(super) files: Arc<BootFiles>,
    pub(super) limits: Limits,
    pub(super) transfers: Transfers,
    /// Where blocking work is done.
    pub(super) runtime: Handle,
    /// Whether windows may go out in one piece, to be cut into datagrams by the kernel or the card.
    pub(super) cut: bool,
    inboxes: Vec<Arc<Inbox>>,
    table: Mutex<Table>,
}

/// The admitted transfers and where they run.
#[derive(Default)]
struct Table {
    sessions: Sessions,
    /// `None` while the file is looked up.
    places: HashMap<SessionId, Option<(usize, Key)>>,
}

impl Desk {
    pub(super) fn new(socket: PktInfo) -> Desk {
        Desk {
            socket,
            // The largest datagram there is: a shorter buffer would cut a request and answer another one.
            buffer: vec![0; 65_535],
        }
    }

    /// Takes one datagram; `false` when there is none.
    ///
    /// # Errors
    /// When the socket itself is unusable.
    pub(super) fn receive(&mut self, shared: &Arc<Shared>) -> io::Result<bool> {
        let Some(arrival) = self.socket.recv(&mut self.buffer)? else {
            return Ok(false);
        };
        if let Err(ignored) = shared.take(&self.buffer[..arrival.len], arrival) {
            shared.responder.counters.count(ignored);
        }
        Ok(true)
    }
}

impl AsFd for Desk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Shared {
    pub(super) fn new(
        responder: Responder,
        files: Arc<BootFiles>,
        limits: Limits,
        transfers: Transfers,
        inboxes: Vec<Arc<Inbox>>,
    ) -> Shared {
        Shared {
            responder,
            files,
            limits,
            transfers,
            runtime: Handle::current(),
            cut: std::env::var_os(NO_GSO).is_none(),
            inboxes,
            table: Mutex::default(),
        }
    }

    pub(super) fn inbox(&self, number: usize) -> &Arc<Inbox> {
        &self.inboxes[number]
    }

    /// One datagram on port 69; `Err` is the name of the counter.
    fn take(self: &Arc<Self>, bytes: &[u8], arrival: Arrival) -> Result<(), &'static str> {
        let interfaces = self.responder.interfaces.borrow().clone();
        let interface = interfaces
            .serving(arrival.interface)
            .ok_or("tftp-interface-not-served")?;
        // A request to a broadcast address gets no answer (RFC 1123 section 4.2.3.1); one to our
        // address on another interface does (a service address on `lo`, asymmetric routes).
        if !interfaces.is_ours(arrival.to) {
            return Err("tftp-broadcast");
        }
        let request = tftp::parse_request(bytes).map_err(|malformed| malformed.slug())?;
        let started = Instant::now();
        let Some(id) = self.admit(started, arrival.from.into(), &request)? else {
            return Ok(());
        };
        let ask = Ask {
            request,
            peer: arrival.from,
            local: arrival.to,
            interface: interface.name.clone(),
        };
        match self.find_at_once(&ask) {
            Some(found) => self.begin(id, ask, found, started),
            // Opening a file waits as the file system does: a sleeping disk, an NFS mount.
            None => {
                let shared = Arc::clone(self);
                self.runtime.spawn_blocking(move || {
                    let found = shared.find(&ask);
                    shared.begin(id, ask, found, started);
                });
            }
        }
        Ok(())
    }

    /// The number of the new transfer; `None` when the request belongs to one under way.
    fn admit(
        &self,
        now: Instant,
        peer: SocketAddr,
        request: &tftp::Request,
    ) -> Result<Option<SessionId>, &'static str> {
        let mut table = self.table.lock().expect("no panic while held");
        match table.sessions.admit(now, peer, request) {
            Admission::Start { id, ended } => {
                for old in ended {
                    if let Some(Some((worker, key))) = table.places.remove(&old) {
                        self.inboxes[worker].post(Message::End(key));
                    }
                }
                table.places.insert(id, None);
                Ok(Some(id))
            }
            Admission::Join(id) => {
                if let Some(Some((worker, key))) = table.places.get(&id) {
                    self.inboxes[*worker].post(Message::Again(*key));
                }
                Ok(None)
            }
            Admission::Refuse(refusal) => Err(refusal.slug()),
        }
    }

    fn begin(&self, id: SessionId, ask: Ask, found: Found, started: Instant) {
        match found {
            Ok((content, story)) => {
                // Neighbours in a rack have neighbouring addresses: they spread evenly.
                let spread = u32::from(*ask.peer.ip()).wrapping_add(ask.peer.port().into());
                let inbox = &self.inboxes[spread as usize % self.inboxes.len()];
                inbox.post(Message::Start(Box::new(Start {
                    id,
                    ask,
                    content,
                    story,
                    started,
                })));
            }
            Err(refused) => {
                self.forget(id);
                self.refuse(&ask, refused);
            }
        }
    }

    /// Notes where a transfer runs; `false` when it was ended meanwhile.
    pub(super) fn attach(&self, id: SessionId, worker: usize, key: Key) -> bool {
        let mut table = self.table.lock().expect("no panic while held");
        let place = table.places.get_mut(&id);
        place.map(|place| *place = Some((worker, key))).is_some()
    }

    /// The client has answered from the transfer's own port.
    pub(super) fn proved(&self, id: SessionId) {
        let mut table = self.table.lock().expect("no panic while held");
        table.sessions.proved(id);
    }

    /// The transfer has its outcome.
    pub(super) fn forget(&self, id: SessionId) {
        let mut table = self.table.lock().expect("no panic while held");
        table.sessions.end(id);
        table.places.remove(&id);
    }

    /// No new requests; what is under way may go on until `deadline`.
    pub(super) fn stop(&self, deadline: Instant) {
        for inbox in &self.inboxes {
            inbox.post(Message::Stop(deadline));
        }
    }
}

/// Set (to anything) when segmentation offload is to be left alone: a driver that corrupts it, or to measure
/// what it is worth.
const NO_GSO: &str = "FARRIER_TFTP_NO_GSO";
