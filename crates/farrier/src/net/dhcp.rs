//! DHCP: a packet in, a decision, a packet out.
//!
//! Each port has a thread ([`listener`]). From the packet to its answer nothing is allocated and
//! nothing is waited for: the thread has the Catalog and the interfaces of the last packet, and
//! takes new ones when there are. (Port 4011 takes one short lock, to note who has which address.)
//! People are told when the answer has left.

use super::interfaces::Interfaces;
use super::listener;
use super::pace::{Pace, Turn};
use super::udp::{Arrival, BindError, Outbox, PktInfo};
use crate::counters::{PortCounts, Requests};
use crate::foreign::ForeignServers;
use bootplan::identity::same_uuid;
use bootplan::{Catalog, Endpoint, EventKind, Origin, Ruling, Verdict, judge};
use proxydhcp::{Answer, Ignored, Kind, Port, Received, Request, parse, respond_into};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use store::Sighting;
use store::journal::{EventSink, Neighbours};
use tokio::sync::watch;

/// What answering needs, shared by the loops on ports 67, 4011 and 68.
#[derive(Clone)]
pub(crate) struct Responder {
    /// The snapshot every packet is answered from.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// Present interfaces.
    pub interfaces: watch::Receiver<Arc<Interfaces>>,
    /// Where events go.
    pub events: EventSink,
    /// Who has which address.
    pub neighbours: Neighbours,
    /// How many requests were answered, and why the others were not.
    pub counters: Arc<Requests>,
    /// Other servers heard.
    pub foreign: Arc<ForeignServers>,
    /// TCP port of the boot plane.
    pub http_port: u16,
    /// TCP port of the people's pages.
    pub ui_port: u16,
}

/// Opens port 67.
///
/// # Errors
/// Names the holder and the way out.
pub(crate) fn bind_dhcp() -> Result<PktInfo, BindError> {
    PktInfo::bind(
        67,
        "if that is this host's DHCP server, let it send option 60 'PXEClient' to PXE clients and \
         set 'dhcp: {mode: boot-server-only}' here; otherwise stop it",
    )
}

/// Opens port 4011.
///
/// # Errors
/// Names the holder and the way out.
pub(crate) fn bind_boot_server() -> Result<PktInfo, BindError> {
    PktInfo::bind(
        4011,
        "another PXE boot server runs on this host: stop one of the two",
    )
}

/// Opens port 68, where other servers' broadcast answers can be overheard. It belongs to this
/// host's own DHCP client, which must get it and its unicast answers whichever starts first; if
/// it does not share, we hear less, and that is all.
pub(crate) fn bind_overhear() -> Result<PktInfo, BindError> {
    PktInfo::bind_beside(68, "other servers' offers are not overheard")
}

impl Responder {
    /// Answers what comes in on one port, until the socket fails.
    pub(crate) async fn serve(self, socket: PktInfo, port: Port) -> std::io::Result<()> {
        let name = format!("dhcp-{}", port.number());
        let work = move |mut listener: listener::Listener| {
            let mut desk = Desk::new(self, port);
            let mut buffer = vec![0u8; LARGEST];
            while let Some(arrival) = listener.next(&mut buffer)? {
                desk.take(&listener.socket, &buffer[..arrival.len], arrival);
            }
            Ok(())
        };
        listener::run(&name, socket, work).await
    }

    /// Listens to other servers' broadcast answers on port 68 and remembers who they are. Nobody waits for that, so it
    /// needs no thread of its own, and a socket that fails is no reason to stop.
    pub(crate) async fn overhear(self, socket: PktInfo) -> std::io::Result<()> {
        let socket = tokio::net::UdpSocket::from_std(socket.again()?)?;
        let mut buffer = vec![0u8; LARGEST];
        loop {
            let length = match socket.recv(&mut buffer).await {
                Ok(length) => length,
                Err(error) => {
                    tracing::debug!(%error, "overhearing port 68");
                    tokio::time::sleep(AFTER_ERROR).await;
                    continue;
                }
            };
            if let Some(offer) = proxydhcp::overhear(&buffer[..length])
                && !self.is_ours(offer.server)
            {
                self.foreign.heard(offer.server, offer.boots, &self.events);
            }
        }
    }

    fn is_ours(&self, address: Ipv4Addr) -> bool {
        self.interfaces.borrow().iter().any(|i| i.has(address))
    }
}

/// What one port's thread keeps from packet to packet.
struct Desk {
    responder: Responder,
    port: Port,
    catalog: Arc<Catalog>,
    interfaces: Arc<Interfaces>,
    pace: Pace,
    answer: Answer,
    reply: Vec<u8>,
    outbox: Outbox,
    /// When an answer that did not leave was last logged.
    complained: Option<Instant>,
}

impl Desk {
    fn new(mut responder: Responder, port: Port) -> Desk {
        let catalog = responder.catalog.borrow_and_update().clone();
        let interfaces = responder.interfaces.borrow_and_update().clone();
        Desk {
            catalog,
            interfaces,
            responder,
            port,
            pace: Pace::default(),
            answer: Answer::default(),
            reply: Vec::new(),
            outbox: Outbox::new(),
            complained: None,
        }
    }

    /// One datagram, whole: parse, decide, respond, send, tell.
    fn take(&mut self, socket: &PktInfo, bytes: &[u8], arrival: Arrival) {
        refresh(&mut self.responder.catalog, &mut self.catalog);
        refresh(&mut self.responder.interfaces, &mut self.interfaces);
        let done = self.handle(socket, bytes, arrival);
        let counts = self.responder.counts(self.port);
        match done {
            Ok(()) => counts.answer(),
            Err(reason) => counts.ignored.count(reason),
        }
    }

    /// `Err` is the name of the counter.
    fn handle(
        &mut self,
        socket: &PktInfo,
        bytes: &[u8],
        arrival: Arrival,
    ) -> Result<(), &'static str> {
        let responder = &self.responder;
        let interface = self
            .interfaces
            .serving(arrival.interface)
            .ok_or("interface-not-served")?;
        let peer = Some(*arrival.from.ip()).filter(|ip| !ip.is_unspecified());
        let local = match self.interfaces.is_ours(arrival.to) {
            true => arrival.to,
            false => interface
                .address_towards(peer)
                .ok_or("interface-without-address")?,
        };
        let received = Received {
            bytes,
            from: arrival.from,
            to: arrival.to,
            port: self.port,
            local,
        };
        let request = parse(&received).map_err(|ignored| responder.ignored(&ignored))?;
        let client = request.client();
        if let (Port::BootServer, Some(ip)) = (self.port, peer) {
            // Before the answer: the client's next request comes by TFTP and names no MAC.
            responder.neighbours.learn(ip, client.mac);
        }
        match self.pace.turn(client.mac, Instant::now()) {
            Turn::Answer => {}
            Turn::BootLoop => {
                tracing::warn!(mac = %client.mac, "asks again and again: a boot loop? answering one request in five");
            }
            Turn::Skip => return Err("boot-loop"),
        }

        let verdict = judge(client, &self.catalog);
        let server = Endpoint {
            ip: local,
            http_port: responder.http_port,
            ui_port: responder.ui_port,
        };
        let origin = || Origin {
            mac: Some(client.mac),
            ip: peer,
            interface: Some(interface.name.clone()),
        };
        let Ruling::Boot(sketch) = &verdict.ruling else {
            responder.tell_facts(&request, &verdict, &self.catalog);
            responder.tell_refusal(origin(), &request, &verdict);
            return Err("decided-silence");
        };
        self.answer.set_to(sketch, client, &server);
        let way = respond_into(&request, &self.answer, &server, &mut self.reply)
            .map_err(|ignored| responder.ignored(&ignored))?;
        debug_assert_eq!(way.from_port, self.port);
        if interface.is_broadcast(*way.to.ip()) {
            return Err("forged-relay");
        }
        let sent = self
            .outbox
            .send(socket, &self.reply, way.to, arrival.interface, local);
        if let Err(error) = sent {
            // A line for each packet of a flood would be the flood's second victim.
            let now = Instant::now();
            if self.complained.is_none_or(|last| now >= last + COMPLAINT) {
                self.complained = Some(now);
                tracing::warn!(mac = %client.mac, to = %way.to, interface = interface.name, %error, "answer could not be sent; the next ones only count as 'send-failed'");
            }
            return Err("send-failed");
        }
        responder.tell_facts(&request, &verdict, &self.catalog);
        responder.tell_answer(origin(), &request, &self.answer.file, &verdict);
        Ok(())
    }
}

/// What is published now, if it is not what we have.
fn refresh<T>(published: &mut watch::Receiver<Arc<T>>, held: &mut Arc<T>) {
    // Its sender lives as long as the server.
    if published.has_changed().unwrap_or(false) {
        *held = published.borrow_and_update().clone();
    }
}

impl Responder {
    fn counts(&self, port: Port) -> &PortCounts {
        match port {
            Port::Dhcp => &self.counters.dhcp,
            Port::BootServer => &self.counters.boot_server,
        }
    }

    fn ignored(&self, ignored: &Ignored) -> &'static str {
        if let Ignored::LeaseRequest {
            server: Some(server),
        } = ignored
        {
            self.foreign.heard(*server, false, &self.events);
        }
        tracing::trace!(reason = %ignored, "not for us");
        ignored.slug()
    }

    /// Option 97 and the way the packet came go to the machine's page, once.
    fn tell_facts(&self, request: &Request<'_>, verdict: &Verdict<'_>, catalog: &Catalog) {
        let client = request.client();
        // One that was found by its UUID alone is to get this MAC; one that says another machine's
        // UUID, or its own again after others did, is to be heard.
        let known = verdict.machine.is_some_and(|m| {
            let sure = same_uuid(client.uuid, m) && !m.facts.uuid_said_once;
            sure && m.macs.contains(&client.mac)
        }) && !catalog.doubts().conflicts.contains(&client.mac);
        let identity = client.uuid.filter(|uuid| uuid.is_identity());
        // Rules that ask for the way are asked again for the menu, which does not tell it.
        let moved = verdict.machine.is_some_and(|m| {
            let facts = &m.facts;
            (facts.place, facts.relay, facts.circuit)
                != (client.place, client.relay, client.circuit)
        });
        if (identity.is_some() && !known) || moved {
            self.events.facts(Sighting {
                uuid: identity,
                platform: client.platform,
                place: client.place,
                relay: client.relay,
                circuit: client.circuit,
                ..Sighting::of(client.mac, SystemTime::now().into())
            });
        }
    }

    fn tell_refusal(&self, origin: Origin, request: &Request<'_>, verdict: &Verdict<'_>) {
        // The refusal was told when the machine asked on port 67.
        if request.kind() != Kind::Discover {
            return;
        }
        let client = request.client();
        let kind = EventKind::NotOffered {
            stage: client.stage,
            platform: client.platform,
            arch: client.arch.map(|a| a.0),
            because: verdict.because(),
        };
        self.events.emit(origin, kind);
    }

    fn tell_answer(
        &self,
        origin: Origin,
        request: &Request<'_>,
        file: &str,
        verdict: &Verdict<'_>,
    ) {
        let client = request.client();
        let file = file.to_owned();
        let kind = match (request.kind(), client.platform) {
            (Kind::Discover, Some(platform)) => EventKind::Offered {
                stage: client.stage,
                platform,
                class: client.class,
                file,
                because: verdict.because(),
            },
            _ => EventKind::BootServerAck {
                stage: client.stage,
                file,
            },
        };
        self.events.emit(origin, kind);
    }
}

/// The largest datagram there is: a longer one does not exist, a shorter buffer would make us
/// read half a packet.
const LARGEST: usize = 65_535;

/// Time between two lines about answers that did not leave.
const COMPLAINT: Duration = Duration::from_secs(60);
/// An error of port 68 may stay: asking again at once would be a loop at full speed.
const AFTER_ERROR: Duration = Duration::from_secs(1);
