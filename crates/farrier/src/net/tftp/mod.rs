//! TFTP: a request in, the same look-up as HTTP, a transfer on a port of its own.

mod source;
mod transfer;

use super::dhcp::Responder;
use super::udp::{Arrival, BindError, PktInfoSocket};
use crate::config;
use bootfiles::{Asker, BootFiles, Found};
use bootplan::{BootPath, Endpoint, EventKind, MacAddr, Origin, PathRefusal, Transport};
use source::Content;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tftp::admission::{Admission, SessionId, Sessions};
use tftp::{ErrorCode, ErrorPacket, Limits, OutcomeKind, Request, RequestKind, Sender};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use transfer::Ended;

/// The TFTP server: the socket on port 69 and what its transfers share.
pub(crate) struct TftpServer {
    socket: PktInfoSocket,
    shared: Arc<Shared>,
}

struct Shared {
    responder: Responder,
    files: Arc<BootFiles>,
    limits: Limits,
    sessions: Mutex<Table>,
}

/// The admitted transfers and how to reach their tasks.
#[derive(Default)]
struct Table {
    sessions: Sessions,
    tasks: HashMap<SessionId, Handle>,
}

struct Handle {
    again: mpsc::Sender<()>,
    task: AbortHandle,
}

/// One request with everything its answer needs.
struct Ask {
    request: Request,
    peer: SocketAddrV4,
    local: Ipv4Addr,
    interface: String,
}

/// What is told about a transfer when it is over.
struct Story {
    path: String,
    /// The event of a rendered menu; `None` for files.
    menu: Option<EventKind>,
    mac: Option<MacAddr>,
}

/// A request that gets an ERROR.
struct Refused {
    mac: Option<MacAddr>,
    why: Why,
}

enum Why {
    Write,
    Traversal,
    Absent,
}

impl TftpServer {
    /// Opens port 69.
    ///
    /// # Errors
    /// Names the holder and the way out.
    pub(crate) fn bind(
        config: &config::Tftp,
        responder: &Responder,
        files: Arc<BootFiles>,
    ) -> Result<Self, BindError> {
        let advice =
            "stop that TFTP server, or set 'tftp: {enabled: false}' here if it serves our loaders";
        let socket = PktInfoSocket::bind(69, advice)?;
        let limits = Limits {
            blksize_cap: config.max_block_size,
            windowsize_cap: config.max_window,
            ..Limits::default()
        };
        let sessions = Mutex::default();
        let shared = Shared {
            responder: responder.clone(),
            files,
            limits,
            sessions,
        };
        Ok(TftpServer {
            socket,
            shared: Arc::new(shared),
        })
    }

    /// Serves until `shutdown` resolves; transfers under way then get [`GRACE`].
    pub(crate) async fn serve(mut self, shutdown: impl Future<Output = ()>) {
        let mut transfers = JoinSet::new();
        let mut buffer = vec![0u8; 65_535];
        tokio::pin!(shutdown);
        loop {
            let arrival = tokio::select! {
                () = &mut shutdown => break,
                Some(_) = transfers.join_next(), if !transfers.is_empty() => continue,
                arrival = self.socket.recv(&mut buffer) => arrival,
            };
            match arrival {
                Ok(arrival) => {
                    if let Err(ignored) = self.take(&buffer[..arrival.len], arrival, &mut transfers)
                    {
                        self.shared.responder.counters.count(ignored);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "udp/69 failed; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        let finish = async { while transfers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, finish).await;
    }

    /// One datagram on port 69; `Err` is the name of the counter.
    fn take(
        &self,
        bytes: &[u8],
        arrival: Arrival,
        transfers: &mut JoinSet<()>,
    ) -> Result<(), &'static str> {
        let shared = &self.shared;
        let interfaces = shared.responder.interfaces.borrow().clone();
        let interface = interfaces
            .serving(arrival.interface)
            .ok_or("tftp-interface-not-served")?;
        // A request to a broadcast address gets no answer (RFC 1123 section 4.2.3.1); one to our
        // address on another interface does (a service address on `lo`, asymmetric routes).
        if !interfaces.is_ours(arrival.to) {
            return Err("tftp-broadcast");
        }
        let request = tftp::parse_request(bytes).map_err(|malformed| malformed.slug())?;
        let peer = arrival.from;
        let now = Instant::now();
        let mut table = shared.sessions.lock().expect("no panic while held");
        let id = match table.sessions.admit(now, SocketAddr::V4(peer), &request) {
            Admission::Start { id, ended } => {
                for old in ended.iter().filter_map(|old| table.tasks.remove(old)) {
                    old.task.abort();
                }
                id
            }
            Admission::Join(id) => {
                if let Some(handle) = table.tasks.get(&id) {
                    let _ = handle.again.try_send(());
                }
                return Ok(());
            }
            Admission::Refuse(refusal) => return Err(refusal.slug()),
        };
        let ask = Ask {
            request,
            peer,
            local: arrival.to,
            interface: interface.name.clone(),
        };
        let (again, repeated) = mpsc::channel(1);
        let task = transfers.spawn(Arc::clone(shared).answer(id, ask, repeated));
        table.tasks.insert(id, Handle { again, task });
        Ok(())
    }
}

impl Shared {
    /// One admitted request from look-up to outcome.
    async fn answer(self: Arc<Self>, id: SessionId, ask: Ask, again: mpsc::Receiver<()>) {
        let started = Instant::now();
        let socket = match transfer::open_socket(ask.local, ask.peer).await {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(peer = %ask.peer, local = %ask.local, %error, "no socket for a TFTP transfer");
                return self.forget(id);
            }
        };
        let ask = Arc::new(ask);
        let found = match BootPath::parse(&ask.request.name) {
            // Opening a file blocks as the file system does: a sleeping disk, an NFS mount.
            Ok(BootPath::Loader(_) | BootPath::Image(_)) => {
                let (shared, ask) = (Arc::clone(&self), Arc::clone(&ask));
                tokio::task::spawn_blocking(move || shared.find(&ask)).await
            }
            // A menu must not wait behind files.
            _ => Ok(self.find(&ask)),
        };
        let (content, story) = match found {
            Ok(Ok(found)) => found,
            Ok(Err(refused)) => return self.refuse(id, &socket, &ask, refused).await,
            Err(error) => {
                tracing::error!(%error, "a boot file look-up failed");
                return self.forget(id);
            }
        };
        let sender = match Sender::start(&ask.request, content, &self.limits, started) {
            Ok(sender) => sender,
            Err(error) => {
                self.forget(id);
                let _ = socket.send(&error.to_datagram()).await;
                return self.tell_failure(
                    &ask,
                    story.mac,
                    story.path,
                    "a mode we do not speak",
                    false,
                );
            }
        };
        let on_proof = || {
            let mut table = self.sessions.lock().expect("no panic while held");
            table.sessions.proved(id);
        };
        let on_outcome = |ended: Ended| {
            self.forget(id);
            self.tell(&ask, &story, ended, started);
        };
        transfer::run(&socket, ask.peer, sender, again, on_proof, on_outcome).await;
    }

    /// What the name stands for, or why the client is refused.
    fn find(&self, ask: &Ask) -> Result<(Content, Story), Refused> {
        let hint = self.responder.neighbours.lookup(*ask.peer.ip());
        if ask.request.kind == RequestKind::Write {
            return Err(Refused {
                mac: hint,
                why: Why::Write,
            });
        }
        let path = BootPath::parse(&ask.request.name).map_err(|refusal| Refused {
            mac: hint,
            why: match refusal {
                PathRefusal::Traversal => Why::Traversal,
                _ => Why::Absent,
            },
        })?;
        let mac = path.mac().or(hint);
        let server = Endpoint {
            ip: ask.local,
            http_port: self.responder.http_port,
            ui_port: self.responder.ui_port,
        };
        let asker = Asker {
            mac_hint: hint,
            transport: Transport::Tftp,
            ..Asker::at(*ask.peer.ip())
        };
        let catalog = self.responder.catalog.borrow().clone();
        let name = printable(&ask.request.name);
        match self.files.lookup(&path, &asker, &catalog, &server) {
            Found::Text(rendered) => {
                let mac = rendered.client.as_ref().map(|c| c.mac).or(mac);
                let menu = rendered.event(Transport::Tftp);
                let story = Story {
                    path: name,
                    menu,
                    mac,
                };
                Ok((Content::Text(rendered.body.into_bytes().into()), story))
            }
            Found::File(open) => Ok((
                Content::file(open),
                Story {
                    path: name,
                    menu: None,
                    mac,
                },
            )),
            Found::Absent => Err(Refused {
                mac,
                why: Why::Absent,
            }),
        }
    }

    async fn refuse(&self, id: SessionId, socket: &UdpSocket, ask: &Ask, refused: Refused) {
        self.forget(id);
        let (code, text, reason, normal) = match refused.why {
            Why::Write => (
                ErrorCode::AccessViolation,
                "writing is not allowed",
                "a write request; writing is off",
                false,
            ),
            Why::Traversal => (
                ErrorCode::AccessViolation,
                "not allowed",
                "a name that tries to leave the served tree",
                false,
            ),
            // Loaders look for many optional files; an absent one is part of every healthy boot.
            Why::Absent => (
                ErrorCode::FileNotFound,
                "file not found",
                "no such file",
                true,
            ),
        };
        let _ = socket
            .send(&ErrorPacket::new(code, text).to_datagram())
            .await;
        self.tell_failure(
            ask,
            refused.mac,
            printable(&ask.request.name),
            reason,
            normal,
        );
    }

    fn forget(&self, id: SessionId) {
        let mut table = self.sessions.lock().expect("no panic while held");
        table.sessions.end(id);
        table.tasks.remove(&id);
    }

    fn tell_failure(
        &self,
        ask: &Ask,
        mac: Option<MacAddr>,
        path: String,
        reason: &str,
        normal: bool,
    ) {
        let kind = EventKind::refused(Transport::Tftp, path, reason, normal);
        self.responder.events.emit(ask.origin(mac), kind);
    }

    fn tell(&self, ask: &Ask, story: &Story, ended: Ended, started: Instant) {
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let path = story.path.clone();
        let bytes = match &ended {
            Ended::As(outcome) => outcome.stats.bytes,
            Ended::PortClosed { .. } => 0,
        };
        let failed = |reason: String, normal| EventKind::FileFailed {
            transport: Transport::Tftp,
            path: story.path.clone(),
            reason,
            normal,
            bytes,
            millis,
            transfer: None,
        };
        let ended = match ended {
            Ended::As(outcome) => Ok((outcome.kind, outcome.stats.bytes)),
            Ended::PortClosed { blocks } => Err(blocks),
        };
        let kind = match ended {
            Ok((OutcomeKind::Completed, bytes)) => match &story.menu {
                Some(menu) => menu.clone(),
                None => EventKind::FileServed {
                    transport: Transport::Tftp,
                    path,
                    bytes,
                    millis,
                    transfer: None,
                },
            },
            Ok((OutcomeKind::SizeProbe { .. }, _)) => {
                failed("asked only for the size".into(), true)
            }
            Ok((OutcomeKind::ClientAborted { code, text }, bytes)) => {
                // PXELINUX and GRUB close a file early with ERROR 0 when they have seen enough.
                let normal = code == ErrorCode::Undefined;
                failed(
                    format!("the client stopped after {bytes} bytes: {text}"),
                    normal,
                )
            }
            Ok((OutcomeKind::TimedOut, bytes)) => {
                failed(format!("the client fell silent after {bytes} bytes"), false)
            }
            Ok((OutcomeKind::ReadFailed { reason }, _)) => {
                tracing::error!(path, reason, "a boot file could not be read");
                failed("the file could not be read".into(), false)
            }
            Ok((other, bytes)) => failed(
                format!("ended after {bytes} bytes: {}", other.slug()),
                false,
            ),
            // A probe that was answered too late for its asker; with blocks behind it, a crash.
            Err(blocks) => failed(
                format!("the client vanished after {blocks} blocks"),
                blocks == 0,
            ),
        };
        self.responder.events.emit(ask.origin(story.mac), kind);
    }
}

impl Ask {
    fn origin(&self, mac: Option<MacAddr>) -> Origin {
        Origin {
            mac,
            ip: Some(*self.peer.ip()),
            interface: Some(self.interface.clone()),
        }
    }
}

/// A client's name on one printable line, cut to what a log line bears.
fn printable(name: &[u8]) -> String {
    name.iter()
        .take(128)
        .flat_map(|b| b.escape_ascii())
        .map(char::from)
        .collect()
}

/// How long transfers under way may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(5);
