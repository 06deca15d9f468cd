//! What a name stands for, and what is told about the transfer.

use super::content::Content;
use super::desk::Shared;
use super::socket::TransferSocket;
use bootfiles::Asker;
use bootplan::{
    BootPath, Endpoint, EventKind, MacAddr, Origin, PathRefusal, TransferStats, Transport,
};
use bytes::Bytes;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;
use tftp::{Agreed, ErrorCode, ErrorPacket, Outcome, OutcomeKind, Request, RequestKind, Stats};
use web::transfers::{Beginning, Direction, Ending, Running};

/// One request with everything its answer needs.
pub(super) struct Ask {
    pub(super) request: Request,
    pub(super) peer: SocketAddrV4,
    /// The address it was sent to, and is answered from.
    pub(super) local: Ipv4Addr,
    pub(super) interface: String,
}

/// What is told about a transfer.
pub(super) struct Story {
    path: String,
    /// The event of a rendered menu; `None` for files.
    menu: Option<EventKind>,
    mac: Option<MacAddr>,
}

/// What to send, or why the client is refused.
pub(super) type Found = Result<(Content, Story), Refused>;

/// A request that gets an ERROR.
pub(super) struct Refused {
    mac: Option<MacAddr>,
    why: Why,
}

enum Why {
    Write,
    Traversal,
    Absent,
}

/// How a transfer ended.
pub(super) enum Ended {
    /// By the protocol.
    As(Outcome),
    /// The client's system says that nobody has its port any more.
    PortClosed {
        /// The transfer so far.
        stats: Stats,
    },
    /// By something outside of it.
    Cut {
        /// By what.
        by: Cut,
        /// The transfer so far.
        stats: Stats,
    },
}

/// What ends a transfer in the middle.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut {
    /// Another request from the client's same port: it was reset, or does not count its ports on.
    NewRequest,
    /// All places were taken, and it had been without progress for longest.
    Quiet,
    /// The end of the server's grace.
    Stop,
}

impl Shared {
    /// [`Shared::find`] where it can be told without waiting for a disk: every menu, every file that was served
    /// a moment ago.
    pub(super) fn find_at_once(&self, ask: &Ask) -> Option<Found> {
        let named = match self.parse(ask) {
            Ok(named) => named,
            Err(refused) => return Some(Err(refused)),
        };
        let catalog = self.responder.catalog.borrow().clone();
        let (asker, server) = (named.asker(ask), self.endpoint(ask));
        let found = self
            .files
            .lookup_cached(&named.path, &asker, &catalog, &server)?;
        self.tell_of_links(ask, &found);
        Some(named.found(ask, found))
    }

    /// What the name stands for, or why the client is refused. Waits for the file system.
    pub(super) fn find(&self, ask: &Ask) -> Found {
        let named = self.parse(ask)?;
        let catalog = self.responder.catalog.borrow().clone();
        let (asker, server) = (named.asker(ask), self.endpoint(ask));
        let found = self.files.lookup(&named.path, &asker, &catalog, &server);
        self.tell_of_links(ask, &found);
        named.found(ask, found)
    }

    /// A menu with links for whoever it was that asked.
    fn tell_of_links(&self, ask: &Ask, found: &bootfiles::Found) {
        if let bootfiles::Found::Text(rendered) = found
            && let Some(event) = &rendered.unproved
        {
            let mac = rendered.client.as_ref().map(|client| client.mac);
            self.responder.events.emit(ask.origin(mac), event.clone());
        }
    }

    fn parse(&self, ask: &Ask) -> Result<Named, Refused> {
        let hint = self.responder.neighbours.lookup(*ask.peer.ip());
        if ask.request.kind == RequestKind::Write {
            return Err(Refused {
                mac: hint,
                why: Why::Write,
            });
        }
        match BootPath::parse(&ask.request.name) {
            Ok(path) => Ok(Named { path, hint }),
            Err(refusal) => Err(Refused {
                mac: hint,
                why: match refusal {
                    PathRefusal::Traversal => Why::Traversal,
                    _ => Why::Absent,
                },
            }),
        }
    }

    fn endpoint(&self, ask: &Ask) -> Endpoint {
        Endpoint {
            ip: ask.local,
            http_port: self.responder.http_port,
            ui_port: self.responder.ui_port,
        }
    }

    /// Tells the client and people why there is no transfer.
    pub(super) fn refuse(&self, ask: &Ask, refused: Refused) {
        let (slug, code, text, reason, normal) = match refused.why {
            Why::Write => (
                "write-off",
                ErrorCode::AccessViolation,
                "writing is not allowed",
                "a write request; writing is off",
                false,
            ),
            Why::Traversal => (
                "bad-name",
                ErrorCode::AccessViolation,
                "not allowed",
                "a name that tries to leave the served tree",
                false,
            ),
            // Loaders look for many optional files; an absent one is part of every healthy boot.
            Why::Absent => (
                "not-found",
                ErrorCode::FileNotFound,
                "file not found",
                "no such file",
                true,
            ),
        };
        self.transfers.refuse(Transport::Tftp, slug);
        match TransferSocket::open(ask.local, ask.peer) {
            Ok(socket) => drop(socket.send(&ErrorPacket::new(code, text).to_datagram())),
            Err(error) => tracing::debug!(peer = %ask.peer, %error, "no socket to refuse with"),
        }
        let path = printable(&ask.request.name);
        self.tell_failure(ask, refused.mac, path, reason, normal);
    }

    /// A mode that is none was asked for; the client got its ERROR.
    pub(super) fn tell_bad_mode(&self, ask: &Ask, story: Story) {
        self.transfers.refuse(Transport::Tftp, "bad-mode");
        self.tell_failure(ask, story.mac, story.path, "a mode we do not speak", false);
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

    /// Puts a transfer into the list that people see.
    pub(super) fn show(&self, ask: &Ask, story: &Story, total: Option<u64>) -> Running {
        self.transfers.begin(Beginning {
            direction: Direction::Read,
            transport: Transport::Tftp,
            peer: ask.peer.into(),
            mac: story.mac,
            path: story.path.clone(),
            total,
        })
    }

    /// Tells people how a transfer ended.
    pub(super) fn tell(
        &self,
        ask: &Ask,
        story: &Story,
        ended: &Ended,
        agreed: &Agreed,
        started: Instant,
    ) {
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let stats = ended.stats();
        let transfer = Some(TransferStats {
            blksize: agreed.blksize,
            windowsize: agreed.windowsize,
            windows: stats.windows,
            windows_repeated: stats.windows_repeated,
            retransmits: stats.retransmits,
            round_trip_micros: stats
                .round_trip
                .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        });
        let (path, bytes) = (story.path.clone(), stats.bytes);
        let kind = match (ended.failure(), &story.menu) {
            (None, Some(menu)) => menu.clone(),
            (None, None) => EventKind::FileServed {
                transport: Transport::Tftp,
                path,
                bytes,
                millis,
                transfer,
            },
            (Some((reason, normal)), _) => EventKind::FileFailed {
                transport: Transport::Tftp,
                path,
                reason,
                normal,
                bytes,
                millis,
                transfer,
            },
        };
        self.responder.events.emit(ask.origin(story.mac), kind);
    }
}

/// A request's name, understood.
struct Named {
    path: BootPath,
    hint: Option<MacAddr>,
}

impl Named {
    fn asker(&self, ask: &Ask) -> Asker {
        Asker {
            mac_hint: self.hint,
            transport: Transport::Tftp,
            ..Asker::at(*ask.peer.ip())
        }
    }

    fn found(&self, ask: &Ask, found: bootfiles::Found) -> Found {
        let mac = self.path.mac().or(self.hint);
        let story = |menu, mac| Story {
            path: printable(&ask.request.name),
            menu,
            mac,
        };
        match found {
            bootfiles::Found::Text(rendered) => {
                let mac = rendered.client.as_ref().map(|c| c.mac).or(mac);
                let menu = rendered.event(Transport::Tftp);
                Ok((Content::Text(Bytes::from(rendered.body)), story(menu, mac)))
            }
            bootfiles::Found::File(file) => Ok((Content::file(file), story(None, mac))),
            bootfiles::Found::Absent => Err(Refused {
                mac,
                why: Why::Absent,
            }),
        }
    }
}

impl Ended {
    /// The transfer in numbers.
    pub(super) fn stats(&self) -> &Stats {
        match self {
            Ended::As(outcome) => &outcome.stats,
            Ended::PortClosed { stats } | Ended::Cut { stats, .. } => stats,
        }
    }

    /// For counting.
    pub(super) fn ending(&self) -> Ending {
        let outcome = match self {
            Ended::As(outcome) => outcome,
            Ended::PortClosed { .. } => return Ending::Vanished,
            Ended::Cut { by, .. } => {
                return match by {
                    Cut::Quiet => Ending::Vanished,
                    Cut::NewRequest => Ending::Aborted,
                    Cut::Stop => Ending::Cut,
                };
            }
        };
        match outcome.kind {
            OutcomeKind::Completed => Ending::Completed,
            OutcomeKind::SizeProbe { .. } => Ending::SizeProbe,
            OutcomeKind::ClientAborted { .. } => Ending::Aborted,
            OutcomeKind::TimedOut => Ending::Vanished,
            _ => Ending::Failed,
        }
    }

    /// For people: what went wrong, and whether healthy firmware does that.
    pub(super) fn failure(&self) -> Option<(String, bool)> {
        let outcome = match self {
            // A probe that was answered too late for its asker; with blocks behind it, a crash.
            Ended::PortClosed { stats } => {
                let text = format!("the client vanished after {} blocks", stats.blocks);
                return Some((text, stats.blocks == 0));
            }
            Ended::Cut { by, stats } => {
                let why = match by {
                    Cut::NewRequest => "the client began anew",
                    Cut::Quiet => "the client was silent while others had no place",
                    Cut::Stop => "the server was stopped",
                };
                return Some((format!("{why} after {} bytes", stats.bytes), false));
            }
            Ended::As(outcome) => outcome,
        };
        let bytes = outcome.stats.bytes;
        Some(match &outcome.kind {
            OutcomeKind::Completed => return None,
            OutcomeKind::SizeProbe { .. } => ("asked only for the size".to_owned(), true),
            OutcomeKind::ClientAborted { code, text } => {
                // PXELINUX and GRUB close a file early with ERROR 0 when they have seen enough.
                let normal = *code == ErrorCode::Undefined;
                let text = format!("the client stopped after {bytes} bytes: {text}");
                (text, normal)
            }
            OutcomeKind::TimedOut => (format!("the client fell silent after {bytes} bytes"), false),
            OutcomeKind::ReadFailed { reason } => {
                // The reason names what is on our disk: for the log, not for the history.
                tracing::error!(reason, "a boot file could not be read");
                ("the file could not be read".to_owned(), false)
            }
            OutcomeKind::WriteFailed { reason } => (reason.clone(), false),
            OutcomeKind::TooLarge { cap } => {
                let text = format!("larger than the {cap} bytes that one file may have");
                (text, false)
            }
            OutcomeKind::WrongLength { announced } => {
                let text = format!("{announced} bytes were announced, {bytes} came");
                (text, false)
            }
            other => (
                format!("ended after {bytes} bytes: {}", other.slug()),
                false,
            ),
        })
    }
}

impl Ask {
    pub(super) fn origin(&self, mac: Option<MacAddr>) -> Origin {
        Origin {
            mac,
            ip: Some(*self.peer.ip()),
            interface: Some(self.interface.clone()),
        }
    }
}

/// A client's name on one printable line, cut to what a log line bears.
pub(super) fn printable(name: &[u8]) -> String {
    name.iter()
        .take(128)
        .flat_map(|b| b.escape_ascii())
        .map(char::from)
        .collect()
}
