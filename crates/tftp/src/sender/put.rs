//! A client's `put`: the sender of a server with a WRQ in front of it.
//!
//! The caller sends the first datagram to the server's well-known port, and from the first answer on talks only
//! to the port that answer came from.

use std::time::Instant;

use super::{Phase, Sender};
use crate::ask::Ask;
use crate::limits::Limits;
use crate::options::Agreed;
use crate::outcome::{Outcome, OutcomeKind, Stats};
use crate::packet::{ErrorCode, ErrorPacket, OptionPair, Packet, RequestKind};
use crate::source::Source;

/// The state of one `put`.
#[derive(Debug)]
pub struct Put<S> {
    ask: Ask,
    sender: Sender<S>,
}

impl<S: Source> Put<S> {
    /// Begins; the request is ready to be sent.
    #[must_use]
    pub fn start(ask: Ask, source: S, limits: &Limits, now: Instant) -> Self {
        let request = ask.request(RequestKind::Write, source.len());
        let mut opening = Vec::new();
        request.encode(&mut opening);
        let sender = Sender::new(&request, source, Agreed::default(), opening, limits, now);
        Self { ask, sender }
    }

    /// Takes a datagram of the server.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match Packet::parse(datagram) {
            // Later the OACK is a repeated one: the server's timer was faster than our first block.
            Some(Packet::Oack(pairs)) if self.sender.phase == Phase::Offered => {
                self.handle_oack(now, &pairs);
            }
            Some(Packet::Ack { .. } | Packet::Error(_)) => {
                self.sender.handle_datagram(now, datagram);
            }
            _ => {}
        }
    }

    /// To be called when [`Put::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.sender.handle_timeout(now);
    }

    /// Clears `out` and writes the next datagram into it; `false` when there is none to send now.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.sender.poll_transmit(now, out)
    }

    /// When [`Put::handle_timeout`] is due; `None` when closed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sender.poll_timeout()
    }

    /// How it ended; `None` while it goes on. An ERROR of the server is [`OutcomeKind::ClientAborted`].
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.sender.outcome()
    }

    /// Whether the port can be given back: ended, and nothing left to send.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// What was agreed on so far.
    #[must_use]
    pub fn agreed(&self) -> &Agreed {
        self.sender.agreed()
    }

    /// The numbers so far; `bytes` and `blocks` are those the server acknowledged.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.sender.stats()
    }

    /// The answer to the request: it stands for the ACK 0 of a server without options.
    fn handle_oack(&mut self, now: Instant, pairs: &[OptionPair]) {
        let sender = &mut self.sender;
        match self.ask.check_oack(pairs) {
            Ok(agreed) => {
                sender.agree(now, agreed);
                sender.handle_ack(now, 0);
            }
            Err(reason) => {
                sender.error = Some(ErrorPacket::new(ErrorCode::OptionRefused, &reason));
                sender.close(OutcomeKind::BadOack { reason });
            }
        }
    }
}
