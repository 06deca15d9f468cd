//! The datagrams of a transfer: the opening, and the blocks of a window.

use std::io;
use std::time::Instant;

use super::{Phase, Sender, Waiting};
use crate::batch::Batch;
use crate::blocks::{Blocks, Stopped};
use crate::source::Source;

impl<S: Source> Sender<S> {
    /// Makes `batch` the opening, or block 1 again.
    pub(super) fn fill_first(&mut self, now: Instant, batch: &mut Batch) {
        if !self.opening.is_empty() {
            batch.set_packet(|out| out.extend_from_slice(&self.opening));
        } else {
            let blksize = self.agreed.blksize;
            batch.begin(blksize);
            let first = Blocks::new(self.mode).fill(&self.source, 1, 1, blksize, batch);
            match first.stopped {
                None => batch.push_header(self.agreed.rollover.wire(1)),
                Some(stopped) => {
                    batch.clear();
                    // One that has to be waited for is left to the next repetition.
                    if stopped.error.kind() != io::ErrorKind::WouldBlock {
                        self.fail(&stopped.error);
                    }
                    return;
                }
            }
        }
        if !self.spend(batch.octets()) {
            batch.clear();
            return;
        }
        if self.first_sent {
            self.stats.retransmits += 1;
        }
        self.recovery.sent(now, (!self.first_sent).then_some(0));
        self.first_sent = true;
    }

    /// Fills `batch` with the next blocks of the window.
    pub(super) fn fill_window(&mut self, now: Instant, batch: &mut Batch, max_count: usize) {
        let may_send = self.phase == Phase::Sending
            && self.next <= self.window_end()
            && self.wants().is_none();
        let full = HEADER + usize::from(self.agreed.blksize);
        // Before the client proved its address there is one block at a time: see `spend`.
        if !may_send || !self.fits(full) {
            return;
        }
        let window = usize::try_from(self.window_end() + 1 - self.next).unwrap_or(usize::MAX);
        let allowed = usize::try_from(self.pace.allows(now, self.base)).unwrap_or(usize::MAX);
        let count = window
            .min(allowed)
            .min(max_count)
            .min((DATAGRAM_CAP / full).max(1));
        if count == 0 {
            return;
        }
        batch.begin(self.agreed.blksize);
        let blksize = self.agreed.blksize;
        let filled = self
            .blocks
            .fill(&self.source, self.next, count, blksize, batch);
        if filled.blocks > 0 {
            self.end_waiting(now);
            self.add_headers(now, batch, filled.blocks);
        }
        match filled.stopped {
            Some(stopped) if stopped.error.kind() == io::ErrorKind::WouldBlock => {
                self.wait(now, &stopped);
            }
            Some(stopped) => self.fail(&stopped.error),
            None => {}
        }
    }

    /// The next `count` blocks go out, their content is in `batch`.
    fn add_headers(&mut self, now: Instant, batch: &mut Batch, count: usize) {
        for _ in 0..count {
            batch.push_header(self.agreed.rollover.wire(self.next));
            if self.next <= self.highest {
                self.stats.retransmits += 1;
            } else if !self.counted {
                self.counted = true;
                self.stats.windows += 1;
            }
            self.next += 1;
        }
        let fresh = self.highest + 1;
        self.recovery
            .sent(now, (fresh < self.next).then_some(fresh));
        self.highest = self.highest.max(self.next - 1);
        let before = (count - 1) * usize::from(self.agreed.blksize);
        let content = batch.content() - before;
        if content < usize::from(self.agreed.blksize) {
            self.last = Some((self.next - 1, content as u64));
        }
        self.first_sent = true;
        self.spend(batch.octets());
        let more = self.next <= self.window_end();
        let trip = self.recovery.shortest();
        self.pace.sent(now, count as u64, more, trip);
        self.timer.sent_more(now);
    }

    fn wait(&mut self, now: Instant, stopped: &Stopped) {
        let since = self.waiting.take().map_or(now, |waiting| waiting.since);
        self.waiting = Some(Waiting {
            offset: stopped.offset,
            since,
            again: false,
        });
    }

    /// The content is there: the time that passed was not the client's.
    fn end_waiting(&mut self, now: Instant) {
        if let Some(waiting) = self.waiting.take() {
            self.timer
                .forgive(now.saturating_duration_since(waiting.since));
        }
    }

    fn window_end(&self) -> u64 {
        let end = self.base + u64::from(self.agreed.windowsize);
        self.last.map_or(end, |(last, _)| end.min(last))
    }

    /// Whether a datagram of this size may go out: before the client proved its address there is a budget.
    fn fits(&self, size: usize) -> bool {
        self.unproved
            .as_ref()
            .is_none_or(|unproved| unproved.fits(size))
    }

    /// Takes a datagram from that budget, if it fits.
    fn spend(&mut self, size: usize) -> bool {
        self.unproved
            .as_mut()
            .is_none_or(|unproved| unproved.spend(size))
    }
}

/// Octets in front of a block's content.
const HEADER: usize = 4;

/// Most octets that one send takes: what UDP over IPv4 carries.
const DATAGRAM_CAP: usize = 65_507;
