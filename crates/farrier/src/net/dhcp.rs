//! DHCP: a packet in, a decision, a packet out.

use super::interfaces::Interfaces;
use super::pace::{Pace, Turn};
use super::udp::{Arrival, BindError, PktInfoSocket};
use crate::counters::Counters;
use crate::foreign::ForeignServers;
use bootplan::{BootClient, Catalog, Decision, Endpoint, EventKind, Origin, Outcome, decide};
use proxydhcp::{Answer, Ignored, Kind, Port, Received, Request, parse, respond};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};
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
    /// What was not for us, by reason.
    pub counters: Arc<Counters>,
    /// Other servers heard.
    pub foreign: Arc<ForeignServers>,
    /// How often each machine was answered.
    pub pace: Arc<Mutex<Pace>>,
    /// TCP port of the boot plane.
    pub http_port: u16,
    /// TCP port of the people's pages.
    pub ui_port: u16,
}

/// Opens port 67.
///
/// # Errors
/// Names the holder and the way out.
pub(crate) fn bind_dhcp() -> Result<PktInfoSocket, BindError> {
    PktInfoSocket::bind(
        67,
        "if that is this host's DHCP server, let it send option 60 'PXEClient' to PXE clients and \
         set 'dhcp: {mode: boot-server-only}' here; otherwise stop it",
    )
}

/// Opens port 4011.
///
/// # Errors
/// Names the holder and the way out.
pub(crate) fn bind_boot_server() -> Result<PktInfoSocket, BindError> {
    PktInfoSocket::bind(
        4011,
        "another PXE boot server runs on this host: stop one of the two",
    )
}

/// Opens port 68, where other servers' broadcast answers can be overheard. It belongs to this
/// host's own DHCP client, which must get it and its unicast answers whichever starts first; if
/// it does not share, we hear less, and that is all.
pub(crate) fn bind_overhear() -> Result<PktInfoSocket, BindError> {
    PktInfoSocket::bind_beside(68, "other servers' offers are not overheard")
}

impl Responder {
    /// Answers what comes in on one port, until the socket fails.
    pub(crate) async fn serve(self, mut socket: PktInfoSocket, port: Port) -> std::io::Result<()> {
        // The largest datagram there is: a longer one does not exist, a shorter buffer would
        // make us read half a packet.
        let mut buffer = vec![0u8; 65_535];
        loop {
            let arrival = socket.recv(&mut buffer).await?;
            if let Err(ignored) = self
                .answer(&socket, port, &buffer[..arrival.len], arrival)
                .await
            {
                self.counters.count(ignored);
            }
        }
    }

    /// One datagram, whole: receive, parse, decide, respond, send, tell. `Err` is the name of
    /// the counter.
    async fn answer(
        &self,
        socket: &PktInfoSocket,
        port: Port,
        bytes: &[u8],
        arrival: Arrival,
    ) -> Result<(), &'static str> {
        let interfaces = self.interfaces.borrow().clone();
        let interface = interfaces
            .serving(arrival.interface)
            .ok_or("interface-not-served")?;
        let peer = Some(*arrival.from.ip()).filter(|ip| !ip.is_unspecified());
        let local = match interfaces.is_ours(arrival.to) {
            true => arrival.to,
            false => interface
                .address_towards(peer)
                .ok_or("interface-without-address")?,
        };
        let received = Received {
            bytes,
            from: arrival.from,
            to: arrival.to,
            port,
            local,
        };
        let request = parse(&received).map_err(|ignored| self.ignored(&ignored))?;

        let client = request.client();
        self.tell_uuid(client);
        if let (Port::BootServer, Some(ip)) = (port, peer) {
            self.neighbours.learn(ip, client.mac);
        }
        let turn = self
            .pace
            .lock()
            .expect("no panic while held")
            .turn(client.mac, Instant::now());
        if turn == Turn::BootLoop {
            tracing::warn!(mac = %client.mac, "asks again and again: a boot loop? answering one request in five");
        }
        if turn == Turn::Skip {
            return Err("boot-loop");
        }

        let decision = decide(client, &self.catalog.borrow());
        let server = Endpoint {
            ip: local,
            http_port: self.http_port,
            ui_port: self.ui_port,
        };
        let origin = Origin {
            mac: Some(client.mac),
            ip: peer,
            interface: Some(interface.name.clone()),
        };
        let Outcome::Boot(plan) = &decision.outcome else {
            self.tell_refusal(origin, &request, decision);
            return Err("decided-silence");
        };
        let answer = Answer::from_plan(plan, client, &server);
        let reply =
            respond(&request, &answer, &server).map_err(|ignored| self.ignored(&ignored))?;
        debug_assert_eq!(reply.from_port, port);
        if interface.is_broadcast(*reply.to.ip()) {
            return Err("forged-relay");
        }
        if let Err(error) = socket
            .send(&reply.bytes, reply.to, arrival.interface, local)
            .await
        {
            tracing::warn!(mac = %client.mac, to = %reply.to, interface = interface.name, %error, "answer could not be sent");
            return Err("send-failed");
        }
        self.tell_answer(origin, &request, answer.file, decision);
        Ok(())
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

    /// Option 97 goes to the machine's page, once.
    fn tell_uuid(&self, client: &BootClient) {
        let catalog = self.catalog.borrow();
        let known = catalog
            .find(client.mac, None)
            .is_some_and(|m| m.uuid.is_some());
        if client.uuid.is_some_and(|u| u.is_identity()) && !known {
            self.events.facts(Sighting {
                uuid: client.uuid,
                platform: client.platform,
                ..Sighting::of(client.mac, SystemTime::now().into())
            });
        }
    }

    fn tell_refusal(&self, origin: Origin, request: &Request, decision: Decision) {
        // The refusal was told when the machine asked on port 67.
        if request.kind() != Kind::Discover {
            return;
        }
        let client = request.client();
        let kind = EventKind::NotOffered {
            stage: client.stage,
            platform: client.platform,
            arch: client.arch.map(|a| a.0),
            because: decision.because,
        };
        self.events.emit(origin, kind);
    }

    fn tell_answer(&self, origin: Origin, request: &Request, file: String, decision: Decision) {
        let client = request.client();
        let kind = match (request.kind(), client.platform) {
            (Kind::Discover, Some(platform)) => EventKind::Offered {
                stage: client.stage,
                platform,
                class: client.class,
                file,
                because: decision.because,
            },
            _ => EventKind::BootServerAck {
                stage: client.stage,
                file,
            },
        };
        self.events.emit(origin, kind);
    }

    /// Listens to other servers' broadcast answers on port 68 and remembers who they are.
    pub(crate) async fn overhear(self, mut socket: PktInfoSocket) -> std::io::Result<()> {
        let mut buffer = vec![0u8; 65_535];
        loop {
            let arrival = socket.recv(&mut buffer).await?;
            let Some(offer) = proxydhcp::overhear(&buffer[..arrival.len]) else {
                continue;
            };
            if !self.is_ours(offer.server) {
                self.foreign.heard(offer.server, offer.boots, &self.events);
            }
        }
    }

    fn is_ours(&self, address: Ipv4Addr) -> bool {
        self.interfaces.borrow().iter().any(|i| i.has(address))
    }
}
