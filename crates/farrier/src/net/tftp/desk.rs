//! Port 69, where every transfer begins, and what the transfers share.

use super::answer::{Ask, Cut, Found};
use super::engine::{Message, Start};
use super::inbox::Inbox;
use super::slots::Key;
use super::upload::{self, Line};
use super::upload_places::UploadPlaces;
use crate::net::dhcp::Responder;
use crate::net::udp::{Arrival, PktInfo};
use bootfiles::BootFiles;
use bootfiles::dropbox::DropBoxes;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tftp::admission::{Admission, Ended, MakesWay, SessionId, Sessions};
use tftp::{Limits, RequestKind};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
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
    /// Where clients may write; empty: nowhere.
    pub(super) drop_boxes: DropBoxes,
    pub(super) limits: Limits,
    pub(super) transfers: Transfers,
    /// Where blocking work is done.
    pub(super) runtime: Handle,
    /// Whether windows may go out in one piece, to be cut into datagrams by the kernel or the card.
    pub(super) cut: bool,
    /// Uploads under way.
    pub(super) uploads: TaskTracker,
    /// How many of them there may be.
    pub(super) upload_places: UploadPlaces,
    /// No new transfers: for uploads, what [`Message::Stop`] is for the workers.
    pub(super) stopping: CancellationToken,
    /// What is still under way will not be waited for any longer: for uploads, the deadline of [`Message::Stop`].
    pub(super) grace_over: CancellationToken,
    inboxes: Vec<Arc<Inbox>>,
    table: Mutex<Table>,
    /// Look-ups that may wait for a disk.
    look_ups: Arc<Semaphore>,
}

/// The admitted transfers and where they run.
#[derive(Default)]
struct Table {
    sessions: Sessions,
    places: HashMap<SessionId, Place>,
}

/// Where a transfer runs.
enum Place {
    /// Nowhere yet: the file is looked up.
    Nowhere,
    /// On a worker.
    Worker(usize, Key),
    /// In a task of its own: an upload.
    Task(Arc<Line>),
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
            shared.responder.counters.tftp.ignored.count(ignored);
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
        drop_boxes: DropBoxes,
        limits: Limits,
        transfers: Transfers,
        inboxes: Vec<Arc<Inbox>>,
    ) -> Shared {
        Shared {
            responder,
            files,
            drop_boxes,
            limits,
            transfers,
            uploads: TaskTracker::new(),
            upload_places: UploadPlaces::default(),
            stopping: CancellationToken::new(),
            grace_over: CancellationToken::new(),
            runtime: Handle::current(),
            cut: std::env::var_os(NO_GSO).is_none(),
            inboxes,
            table: Mutex::default(),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS_CAP)),
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
        if ask.request.kind == RequestKind::Write && !self.drop_boxes.is_empty() {
            return self.take_upload(id, ask, started);
        }
        match self.find_at_once(&ask) {
            Some(found) => self.begin(id, ask, found, started),
            // Opening a file waits as the file system does: a sleeping disk, an NFS mount.
            None => {
                let turn = self.look_up_turn(id)?;
                let shared = Arc::clone(self);
                self.runtime.spawn_blocking(move || {
                    let _turn = turn;
                    // Its place may have gone to another one while it waited for a thread.
                    if shared.is_wanted(id) {
                        let found = shared.find(&ask);
                        shared.begin(id, ask, found, started);
                    }
                });
            }
        }
        Ok(())
    }

    fn is_wanted(&self, id: SessionId) -> bool {
        let table = self.table.lock().expect("no panic while held");
        table.places.contains_key(&id)
    }

    /// Leave to wait for a disk, for a transfer that is forgotten when there is none.
    fn look_up_turn(&self, id: SessionId) -> Result<OwnedSemaphorePermit, &'static str> {
        let turn = Arc::clone(&self.look_ups).try_acquire_owned();
        turn.map_err(|_| {
            self.forget(id);
            "tftp-look-ups-full"
        })
    }

    fn take_upload(
        self: &Arc<Self>,
        id: SessionId,
        ask: Ask,
        started: Instant,
    ) -> Result<(), &'static str> {
        let turn = self.look_up_turn(id)?;
        let line = Arc::new(Line::default());
        let mut table = self.table.lock().expect("no panic while held");
        table.places.insert(id, Place::Task(Arc::clone(&line)));
        let task = upload::run(Arc::clone(self), id, ask, started, line, turn);
        self.uploads.spawn_on(task, &self.runtime);
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
                    let place = table.places.remove(&old.id);
                    self.end_for_another(old, place);
                }
                table.places.insert(id, Place::Nowhere);
                self.gauge(&table);
                Ok(Some(id))
            }
            Admission::Join(id) => {
                match table.places.get(&id) {
                    Some(Place::Worker(worker, key)) => {
                        self.inboxes[*worker].post(Message::Again(*key));
                    }
                    Some(Place::Task(line)) => line.again.notify_one(),
                    Some(Place::Nowhere) | None => {}
                }
                Ok(None)
            }
            Admission::Refuse(refusal) => Err(refusal.slug()),
        }
    }

    /// A transfer makes way; the table has forgotten it already.
    fn end_for_another(&self, ended: Ended, place: Option<Place>) {
        let (counter, cut) = match ended.why {
            MakesWay::BeganAnew | MakesWay::HalfOpen => ("tftp-pushed-out", Cut::NewRequest),
            MakesWay::Quiet => ("tftp-quiet-pushed-out", Cut::Quiet),
        };
        self.responder.counters.tftp.ignored.count(counter);
        match place {
            Some(Place::Worker(worker, key)) => self.inboxes[worker].post(Message::End(key, cut)),
            Some(Place::Task(line)) => line.end.cancel(),
            Some(Place::Nowhere) | None => {}
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
        place
            .map(|place| *place = Place::Worker(worker, key))
            .is_some()
    }

    /// The client has answered from the transfer's own port.
    pub(super) fn proved(&self, id: SessionId) {
        let mut table = self.table.lock().expect("no panic while held");
        table.sessions.proved(id);
        self.gauge(&table);
    }

    /// A proved transfer has made no progress since then: it may make way. `None`: it gets on again.
    pub(super) fn quiet(&self, id: SessionId, since: Option<Instant>) {
        let mut table = self.table.lock().expect("no panic while held");
        match since {
            Some(since) => table.sessions.quiet(id, since),
            None => table.sessions.moves(id),
        }
    }

    /// The transfer has its outcome.
    pub(super) fn forget(&self, id: SessionId) {
        let mut table = self.table.lock().expect("no panic while held");
        table.sessions.end(id);
        table.places.remove(&id);
        self.gauge(&table);
    }

    fn gauge(&self, table: &Table) {
        self.transfers.set_half_open(table.sessions.half_open());
    }

    /// No new requests; what is under way may go on until `deadline`.
    pub(super) fn stop(&self, deadline: Instant) {
        self.stopping.cancel();
        self.uploads.close();
        for inbox in &self.inboxes {
            inbox.post(Message::Stop(deadline));
        }
    }
}

/// Requests whose file is being looked up on the disk. Beyond, a request is dropped and its client asks again: on
/// a disk that hangs, forged requests for names that nobody has asked for before would otherwise take
/// every thread that may wait, and with them logins and uploads.
const LOOK_UPS_CAP: usize = 64;

/// Set (to anything) when segmentation offload is to be left alone: a driver that corrupts it, or to measure
/// what it is worth.
const NO_GSO: &str = "FARRIER_TFTP_NO_GSO";
