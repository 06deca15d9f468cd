//! A client's upload: its own socket and task, driven by the `Writer` of the `tftp` room; the content goes into a
//! drop box.
//!
//! Uploads are rare and wait for disks, so they run on the asynchronous runtime and not among the workers. The disk
//! works beside the network: one job at a time, on a blocking thread. While it works content gathers here, and when
//! that is too much the client gets no ACK, and what it sends all the same is dropped.

use super::answer::{Ask, Ended, printable};
use super::desk::Shared;
use super::socket::TransferSocket;
use super::upload_places::{Lingering, UploadPlace};
use bootfiles::dropbox::{Device, NotTaken, Stored, Upload};
use bootplan::{EventKind, MacAddr, TransferStats, Transport};
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tftp::admission::SessionId;
use tftp::{ErrorCode, ErrorPacket, Stats, Writer, writer};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use web::transfers::{Beginning, Direction, Running};

/// By which an upload's task is told something from outside. Nothing that is said gets lost, however busy it is.
#[derive(Default)]
pub(super) struct Line {
    /// The client repeated its request on port 69.
    pub(super) again: Notify,
    /// The client began another transfer from the same port, or this half-open one makes way.
    pub(super) end: CancellationToken,
}

/// Runs one upload from its request to its end.
pub(super) async fn run(
    shared: Arc<Shared>,
    id: SessionId,
    ask: Ask,
    started: Instant,
    line: Arc<Line>,
    turn: OwnedSemaphorePermit,
) {
    let mac = shared.responder.neighbours.lookup(*ask.peer.ip());
    let told = Told { ask, mac, started };
    let begun = tokio::select! {
        biased;
        () = line.end.cancelled() => return,
        begun = begin(&shared, &told, turn) => begun,
    };
    match begun {
        Ok((socket, writer)) => {
            let task = Task {
                socket,
                writer,
                received: Vec::new(),
                disk: Disk::NotYet,
                running: None,
                stored: None,
                place: None,
                lingering: None,
                shared: Arc::clone(&shared),
                told,
                id,
                gone: false,
            };
            task.run(&line).await;
        }
        Err(Refused {
            error,
            reason,
            slug,
        }) => {
            shared.transfers.refuse(Transport::Tftp, slug);
            if let Ok(socket) = TransferSocket::open(told.ask.local, told.ask.peer) {
                drop(socket.send(&error.to_datagram()));
            }
            told.failure(&shared, &reason, 0, None);
        }
    }
    shared.forget(id);
}

struct Refused {
    error: ErrorPacket,
    /// For people.
    reason: String,
    /// For counting.
    slug: &'static str,
}

/// Whether it may begin at all. Nothing is made or reserved before the client has shown that it is there: its
/// address is easily forged.
async fn begin(
    shared: &Arc<Shared>,
    told: &Told,
    turn: OwnedSemaphorePermit,
) -> Result<(UdpSocket, Writer), Refused> {
    let (request, ip) = (&told.ask.request, *told.ask.peer.ip());
    let announced = writer::announced(request);
    let (boxes, name) = (shared.drop_boxes.clone(), request.name.clone());
    let checked = blocking(move || {
        let _turn = turn; // given back when the disk has answered, however long nobody waits for it any more
        boxes.check(&name, ip, announced)
    })
    .await;
    let cap = checked.map_err(|refused| Refused {
        error: error_of(&refused),
        reason: refused.to_string(),
        slug: refused.slug(),
    })?;
    let writer = Writer::start(request, cap, &shared.limits, Instant::now());
    let writer = writer.map_err(|error| Refused {
        reason: error.text.clone(),
        slug: match error.code {
            ErrorCode::DiskFull => "upload-too-large",
            _ => "bad-mode",
        },
        error,
    })?;
    let socket = TransferSocket::open(told.ask.local, told.ask.peer);
    let socket = socket.and_then(TransferSocket::into_tokio);
    let socket = socket.map_err(|error| Refused {
        reason: format!("no socket for it: {error}"),
        error: ErrorPacket::new(ErrorCode::Undefined, "the server has no room now"),
        slug: "uploads-full",
    })?;
    Ok((socket, writer))
}

/// Who asks for what, and what is told about it.
struct Told {
    ask: Ask,
    mac: Option<MacAddr>,
    started: Instant,
}

/// What the disk is at.
enum Disk {
    /// The client has not sent anything yet.
    NotYet,
    Idle(Upload),
    Busy(JoinHandle<Result<Done, NotTaken>>),
    /// It is stored, or could not be.
    Over,
}

/// What a disk's job came to.
enum Done {
    Written(Upload),
    Committed(Stored),
}

struct Task {
    socket: UdpSocket,
    writer: Writer,
    /// Content for which the disk had no time yet.
    received: Vec<u8>,
    disk: Disk,
    running: Option<Running>,
    stored: Option<Stored>,
    /// Among the uploads under way, once the client has answered.
    place: Option<UploadPlace>,
    /// Among the ports of ended ones.
    lingering: Option<Lingering>,
    shared: Arc<Shared>,
    told: Told,
    id: SessionId,
    /// The client's system says that nobody has its port any more.
    gone: bool,
}

impl Task {
    async fn run(mut self, line: &Line) {
        let stopping = self.shared.stopping.clone();
        let grace_over = self.shared.grace_over.clone();
        let mut buffer = vec![0; longest(&self.writer)];
        let mut is_told = false;
        loop {
            self.greet();
            self.send().await;
            self.look();
            if !is_told && (self.gone || self.writer.outcome().is_some()) && !self.is_committing() {
                is_told = true;
                self.shared.forget(self.id);
                self.tell();
                self.place = None;
                self.lingering = Some(self.shared.upload_places.linger());
            }
            let idle = is_told || !self.writer.is_proved();
            if self.writer.is_closed()
                || (is_told && self.gone)
                || (idle && stopping.is_cancelled())
            {
                return;
            }
            let deadline = self
                .writer
                .poll_timeout()
                .map(tokio::time::Instant::from_std);
            tokio::select! {
                result = next_of(&self.socket, self.told.ask.peer, &mut buffer) => self.receive(result, &buffer),
                done = finished(&mut self.disk) => self.disk_done(done),
                () = sleep_until(deadline) => self.writer.handle_timeout(Instant::now()),
                () = line.again.notified() => self.writer.repeat_first(),
                // What is complete is stored, whatever its client does next.
                () = line.end.cancelled(), if !self.is_committing() => {
                    if !is_told && self.writer.is_proved() {
                        self.tell_replaced();
                    }
                    return;
                }
                () = made_way(self.lingering.as_ref()) => return,
                () = stopping.cancelled(), if idle => return,
                () = grace_over.cancelled(), if !is_told && !self.is_committing() => self.cut_off(),
            }
        }
    }

    /// Sends all that may go now.
    async fn send(&mut self) {
        let mut datagram = Vec::new();
        while self.writer.poll_transmit(&mut datagram) {
            if let Err(error) = self.socket.send(&datagram).await {
                self.lost(&error);
            }
        }
    }

    /// The socket said something other than "done".
    fn lost(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.gone = true;
        } else {
            // A full queue, a route that is just changing: the timer sends it again.
            tracing::debug!(peer = %self.told.ask.peer, %error, "an upload's datagram was lost");
        }
    }

    fn receive(&mut self, result: io::Result<usize>, buffer: &[u8]) {
        match result {
            Ok(len) => {
                let (now, datagram) = (Instant::now(), &buffer[..len]);
                self.writer
                    .handle_datagram(now, datagram, &mut self.received);
            }
            Err(error) => self.lost(&error),
        }
    }

    /// A client that has answered from its address gets a place among the uploads, if there is one.
    fn greet(&mut self) {
        let is_known = self.place.is_some() || self.writer.outcome().is_some();
        if is_known || !self.writer.is_proved() {
            return;
        }
        self.shared.proved(self.id);
        match self.shared.upload_places.take(*self.told.ask.peer.ip()) {
            Ok(place) => {
                self.place = Some(place);
                self.running = Some(self.told.show(&self.shared));
            }
            Err(full) => {
                self.shared.transfers.refuse(Transport::Tftp, full.slug());
                let text = full.to_string();
                let error = ErrorPacket::new(ErrorCode::Undefined, &text);
                self.writer.fail(Instant::now(), error, &text);
            }
        }
    }

    /// Gives the disk its work, and holds the client when that is too much.
    fn look(&mut self) {
        if !self.writer.is_proved() {
            return;
        }
        if let Some(running) = &self.running {
            let stats = self.writer.stats();
            running.advance(stats.bytes);
            running.repeated(0, stats.retransmits);
        }
        if self.writer.outcome().is_some() {
            return;
        }
        let whole = self.writer.needs_commit();
        self.disk = match std::mem::replace(&mut self.disk, Disk::Over) {
            Disk::NotYet => Disk::Busy(self.open()),
            Disk::Idle(upload) if whole => Disk::Busy(self.commit(upload)),
            Disk::Idle(upload) if self.received.len() >= BATCH => Disk::Busy(self.write(upload)),
            other => other,
        };
        if matches!(self.disk, Disk::Busy(_)) && self.received.len() >= BATCH {
            self.writer.hold();
        }
    }

    fn open(&self) -> JoinHandle<Result<Done, NotTaken>> {
        let boxes = self.shared.drop_boxes.clone();
        let (request, ip) = (&self.told.ask.request, *self.told.ask.peer.ip());
        let (name, announced) = (request.name.clone(), writer::announced(request));
        tokio::task::spawn_blocking(move || boxes.begin(&name, ip, announced).map(Done::Written))
    }

    fn write(&mut self, mut upload: Upload) -> JoinHandle<Result<Done, NotTaken>> {
        let bytes = std::mem::take(&mut self.received);
        tokio::task::spawn_blocking(move || {
            upload.write(&bytes)?;
            Ok(Done::Written(upload))
        })
    }

    fn commit(&mut self, mut upload: Upload) -> JoinHandle<Result<Done, NotTaken>> {
        let bytes = std::mem::take(&mut self.received);
        let device = Device {
            ip: *self.told.ask.peer.ip(),
            mac: self.told.mac,
            interface: Some(self.told.ask.interface.clone()),
        };
        tokio::task::spawn_blocking(move || {
            upload.write(&bytes)?;
            upload
                .commit(device, SystemTime::now())
                .map(Done::Committed)
        })
    }

    fn disk_done(&mut self, done: Result<Done, NotTaken>) {
        let now = Instant::now();
        self.writer.release(now);
        match done {
            Ok(Done::Written(upload)) => self.disk = Disk::Idle(upload),
            Ok(Done::Committed(stored)) => {
                self.stored = Some(stored);
                self.writer.committed(now);
            }
            Err(refused) => {
                self.shared
                    .transfers
                    .refuse(Transport::Tftp, refused.slug());
                if let NotTaken::Failed(error) = &refused {
                    tracing::error!(peer = %self.told.ask.peer, %error, "an upload could not be written");
                }
                self.writer
                    .fail(now, error_of(&refused), &refused.to_string());
            }
        }
    }

    /// The client asked for something else from the same port: it was restarted.
    fn tell_replaced(&self) {
        let stats = self.writer.stats();
        let reason = format!("the client began anew after {} bytes", stats.bytes);
        let transfer = Some(self.transfer(&stats));
        self.told
            .failure(&self.shared, &reason, stats.bytes, transfer);
    }

    fn transfer(&self, stats: &Stats) -> TransferStats {
        let agreed = self.writer.agreed();
        TransferStats {
            blksize: agreed.blksize,
            windowsize: agreed.windowsize,
            retransmits: stats.retransmits,
            ..TransferStats::default()
        }
    }

    /// The server ends before the client does. Told to both, for a device that was told nothing says it is done.
    fn cut_off(&mut self) {
        let error = ErrorPacket::new(ErrorCode::Undefined, "the server is being stopped");
        let reason = "the server was stopped before all of it had come";
        self.writer.fail(Instant::now(), error, reason);
    }

    /// All content came, and the disk has it or will have it in a moment.
    fn is_committing(&self) -> bool {
        self.writer.needs_commit()
    }

    fn tell(&mut self) {
        let outcome = self.writer.outcome();
        let stats = self.writer.stats();
        let ended = match outcome {
            Some(outcome) => Ended::As(outcome),
            None => Ended::PortClosed { stats },
        };
        if let Some(running) = self.running.take() {
            running.finish(ended.ending());
        }
        let transfer = Some(self.transfer(&stats));
        match self.stored.take() {
            Some(stored) => self.told.success(&self.shared, stored, transfer),
            // Somebody who only looked whether this port answers is no upload.
            None if !self.writer.is_proved() => {}
            None => {
                let (reason, _) = ended.failure().unwrap_or_default();
                self.told
                    .failure(&self.shared, &reason, stats.bytes, transfer);
            }
        }
        // Nothing half-finished stays while the port lingers.
        self.disk = Disk::Over;
        self.received = Vec::new();
    }
}

impl Told {
    fn show(&self, shared: &Shared) -> Running {
        shared.transfers.begin(Beginning {
            direction: Direction::Write,
            transport: Transport::Tftp,
            peer: self.ask.peer.into(),
            mac: self.mac,
            path: printable(&self.ask.request.name),
            total: writer::announced(&self.ask.request),
        })
    }

    fn success(&self, shared: &Shared, stored: Stored, transfer: Option<TransferStats>) {
        let kind = EventKind::FileStored {
            transport: Transport::Tftp,
            path: stored.name.to_string(),
            bytes: stored.record.bytes,
            millis: self.millis(),
            sha256: stored.record.sha256,
            version: stored.version.to_string(),
            transfer,
        };
        shared
            .responder
            .events
            .emit(self.ask.origin(self.mac), kind);
    }

    fn failure(&self, shared: &Shared, reason: &str, bytes: u64, transfer: Option<TransferStats>) {
        let kind = EventKind::UploadFailed {
            transport: Transport::Tftp,
            path: printable(&self.ask.request.name),
            reason: reason.to_owned(),
            bytes,
            millis: transfer.map_or(0, |_| self.millis()),
            transfer,
        };
        shared
            .responder
            .events
            .emit(self.ask.origin(self.mac), kind);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What the client is told. Never more than it may know: outside the networks there is no drop box.
fn error_of(refused: &NotTaken) -> ErrorPacket {
    let (code, text) = match refused {
        NotTaken::NotHere => (
            ErrorCode::AccessViolation,
            "writing is not allowed".to_owned(),
        ),
        NotTaken::Name(_) => (ErrorCode::AccessViolation, refused.to_string()),
        NotTaken::Exists => (ErrorCode::FileExists, "file exists already".to_owned()),
        NotTaken::TooLarge { .. } | NotTaken::Quota { .. } => {
            (ErrorCode::DiskFull, refused.to_string())
        }
        NotTaken::DiskFull => (ErrorCode::DiskFull, "the disk is full".to_owned()),
        NotTaken::Failed(_) => (
            ErrorCode::Undefined,
            "the file could not be kept".to_owned(),
        ),
    };
    ErrorPacket::new(code, &text)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NotTaken> + Send + 'static,
) -> Result<T, NotTaken> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(NotTaken::Failed(io::Error::other(error))))
}

/// The next datagram of `peer`. What a stranger sent before the socket was connected is still in its queue.
async fn next_of(socket: &UdpSocket, peer: SocketAddrV4, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv_from(buffer).await? {
            (len, from) if from == peer.into() => return Ok(len),
            _ => {}
        }
    }
}

async fn finished(disk: &mut Disk) -> Result<Done, NotTaken> {
    let Disk::Busy(job) = disk else {
        return std::future::pending().await;
    };
    let done = job.await;
    *disk = Disk::Over;
    done.unwrap_or_else(|error| Err(NotTaken::Failed(io::Error::other(error))))
}

async fn made_way(lingering: Option<&Lingering>) {
    match lingering {
        Some(lingering) => lingering.made_way().await,
        None => std::future::pending().await,
    }
}

/// Octets of the longest datagram that means anything, and one more: a longer one must not look like a whole block when
/// it is cut. 512 are for a client that rejects what was agreed on.
fn longest(writer: &Writer) -> usize {
    usize::from(writer.agreed().blksize.max(512)) + 4 + 1
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Bytes that the disk is given at once; as much again may gather while it works, and a window of 64 KiB more.
const BATCH: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket as Plain};

    fn loopback() -> (Plain, SocketAddrV4) {
        let socket = Plain::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        match socket.local_addr().expect("bound") {
            SocketAddr::V4(address) => (socket, address),
            SocketAddr::V6(address) => panic!("{address}"),
        }
    }

    #[tokio::test]
    async fn what_strangers_sent_before_the_socket_was_connected_is_not_the_clients() {
        let ((port, address), (client, peer), (stranger, _)) = (loopback(), loopback(), loopback());
        stranger.send_to(b"\0\x05\0\0", address).expect("sent");
        port.connect(peer).expect("connected");
        stranger
            .send_to(b"late", address)
            .expect("sent, and refused by the kernel");
        client.send_to(b"\0\x03\0\x01x", address).expect("sent");
        port.set_nonblocking(true).expect("set");
        let port = UdpSocket::from_std(port).expect("watched");
        let mut buffer = [0; 100];
        let came = next_of(&port, peer, &mut buffer).await.expect("it came");
        assert_eq!(buffer[..came], *b"\0\x03\0\x01x");
    }
}
