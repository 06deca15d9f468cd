//! From an answer to the octets that firmware accepts.

use crate::{Answer, Ignored, Port, Request};
use bootplan::Endpoint;
use std::net::SocketAddrV4;

/// A datagram to send, out of the interface the request came in on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The UDP payload.
    pub bytes: Vec<u8>,
    /// Where to.
    pub to: SocketAddrV4,
    /// Which of our sockets it leaves by.
    pub from_port: Port,
}

/// Builds the OFFER or ACK.
///
/// # Errors
/// Why this request with this answer is better left alone.
pub fn respond(request: &Request, answer: &Answer, server: &Endpoint) -> Result<Reply, Ignored> {
    let _ = (request, answer, server);
    Err(Ignored::NoBootFile)
}
