//! The whole chain bytes -> decide -> bytes, as the program wires it.
#![allow(dead_code, reason = "every test binary uses a part of this")]

use bootplan::{Catalog, Endpoint, Outcome, decide};
use proxydhcp::{Answer, Ignored, Port, Received, Reply, parse, respond};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Ports as shipped, on this address.
pub(crate) fn endpoint(ip: Ipv4Addr) -> Endpoint {
    Endpoint {
        ip,
        http_port: 80,
        ui_port: 8080,
    }
}

/// What comes of one datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answered.
    Reply(Reply),
    /// Not for us.
    Ignored(Ignored),
    /// Ours, but decided to be silent or to leave it to the local disk.
    NoBoot,
}

/// Parses, decides and answers.
pub(crate) fn serve(received: &Received<'_>, catalog: &Catalog) -> Verdict {
    let request = match parse(received) {
        Ok(request) => request,
        Err(ignored) => return Verdict::Ignored(ignored),
    };
    let server = endpoint(received.local);
    let Outcome::Boot(plan) = decide(request.client(), catalog).outcome else {
        return Verdict::NoBoot;
    };
    let answer = Answer::from_plan(&plan, request.client(), &server);
    match respond(&request, &answer, &server) {
        Ok(reply) => Verdict::Reply(reply),
        Err(ignored) => Verdict::Ignored(ignored),
    }
}

/// A broadcast to port 67 by a client without an address, on the network of `local`.
pub(crate) fn broadcast(bytes: &[u8], local: Ipv4Addr) -> Received<'_> {
    Received {
        bytes,
        from: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
        to: Ipv4Addr::BROADCAST,
        port: Port::Dhcp,
        local,
    }
}

/// A datagram to port 4011 of `local`.
pub(crate) fn unicast(bytes: &[u8], from: SocketAddrV4, local: Ipv4Addr) -> Received<'_> {
    Received {
        bytes,
        from,
        to: local,
        port: Port::BootServer,
        local,
    }
}
