//! Content that arrives in blocks: what a receiver accepts, and when it acknowledges. The same for a client's
//! `get` and for a server that is written to.

use crate::netascii;
use crate::options::Agreed;
use crate::packet::Mode;

/// The blocks received so far.
#[derive(Debug)]
pub(crate) struct Incoming {
    agreed: Agreed,
    mode: Mode,
    /// Highest block received in order.
    base: u64,
    /// Blocks received since the last ACK.
    unacknowledged: u16,
    /// The one ACK that a gap, or a window that came twice, is worth was sent; in-order blocks renew it.
    complained: bool,
    /// That ACK was sent once more, since it seems to be lost.
    insisted: bool,
    held_cr: bool,
    bytes: u64,
}

/// What a DATA packet was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Nothing to answer: stale, bogus, or complained about already.
    Useless,
    /// The next block, and its window goes on.
    Next,
    /// The next block, and the end of its window: to be acknowledged.
    WindowEnd,
    /// The last block.
    Last,
    /// A gap, or a window that came twice: what is here is to be acknowledged again.
    Complaint,
}

impl Incoming {
    pub(crate) fn new(agreed: Agreed, mode: Mode) -> Self {
        Self {
            agreed,
            mode,
            base: 0,
            unacknowledged: 0,
            complained: false,
            insisted: false,
            held_cr: false,
            bytes: 0,
        }
    }

    /// Takes a block; content that it brings in order is added to `received`.
    pub(crate) fn handle_data(
        &mut self,
        block: u16,
        data: &[u8],
        received: &mut Vec<u8>,
    ) -> Arrived {
        let blksize = usize::from(self.agreed.blksize);
        if data.len() > blksize {
            return Arrived::Useless;
        }
        if block != self.agreed.rollover.wire(self.base + 1) {
            return self.out_of_order(block);
        }
        self.base += 1;
        self.bytes += data.len() as u64;
        self.unacknowledged += 1;
        self.complained = false;
        self.insisted = false;
        if self.mode == Mode::Netascii {
            netascii::decode(data, &mut self.held_cr, received);
        } else {
            received.extend_from_slice(data);
        }
        if data.len() < blksize {
            netascii::finish(&mut self.held_cr, received);
            self.unacknowledged = 0;
            Arrived::Last
        } else if self.unacknowledged >= self.agreed.windowsize {
            self.unacknowledged = 0;
            Arrived::WindowEnd
        } else {
            Arrived::Next
        }
    }

    /// A block after a gap is answered once with what we have, so that the sender goes back. An old block is
    /// answered only when it ends a window that came twice: our ACK was lost. Answering more than that keeps
    /// a windowed exchange doubled for ever.
    fn out_of_order(&mut self, block: u16) -> Arrived {
        let rollover = self.agreed.rollover;
        let ahead = rollover
            .distance(self.base, block)
            .is_some_and(|distance| (1..=u64::from(self.agreed.windowsize)).contains(&distance));
        // Once more if the sender then goes back further than asked: our ACK was lost, and we would wait for a window to end
        // that the sender does not know to have begun.
        if !ahead && self.complained && !self.insisted {
            self.insisted = true;
            return Arrived::Complaint;
        }
        let repeated_end = self.base > 0 && self.unacknowledged == 0 && self.is_newest(block);
        if (!ahead && !repeated_end) || self.complained {
            return Arrived::Useless;
        }
        self.complained = true;
        self.unacknowledged = 0;
        Arrived::Complaint
    }

    /// The timer makes an ACK go out, so that one more gap may be complained about.
    pub(crate) fn handle_timeout(&mut self) {
        self.unacknowledged = 0;
        self.complained = false;
    }

    /// Whether this is the number of the highest block received in order.
    pub(crate) fn is_newest(&self, block: u16) -> bool {
        block == self.ack_number()
    }

    /// The number that acknowledges all that came in order.
    pub(crate) fn ack_number(&self) -> u16 {
        self.agreed.rollover.wire(self.base)
    }

    /// Blocks received in order.
    pub(crate) fn blocks(&self) -> u64 {
        self.base
    }

    /// Octets received in order, as on the wire.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was agreed on.
    pub(crate) fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// The length that was announced, when it is not the one that came: to be asked after the last block. What
    /// netascii makes of a length is not known.
    pub(crate) fn wrong_length(&self) -> Option<u64> {
        self.agreed
            .tsize
            .filter(|&announced| self.mode == Mode::Octet && announced != self.bytes)
    }
}
