//! Pretended clients that acknowledge as firmware does, which is less kindly than our own receiver.

use std::time::{Duration, Instant};

use super::network::Client;
use super::{ack, rrq};

/// EDK2's timer and tries per packet.
const TIMER: Duration = Duration::from_secs(4);
const TRIES: u32 = 6;

/// When a [`Firmware`] acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// At the end of a window, and for *every* block that was not expected: EDK2.
    Edk2,
    /// After every block, whatever the window is, and for every one that was not expected.
    Eager,
}

/// A client with EDK2's patience and one of the habits.
#[derive(Debug)]
pub struct Firmware {
    habit: Habit,
    blksize: usize,
    windowsize: u64,
    base: u64,
    unacknowledged: u64,
    answered: bool,
    last_sent: Vec<u8>,
    pending: Vec<Vec<u8>>,
    deadline: Option<Instant>,
    tries: u32,
    pub completed: bool,
}

impl Firmware {
    pub fn start(habit: Habit, blksize: u16, windowsize: u16, now: Instant) -> Self {
        let options = format!("blksize={blksize} windowsize={windowsize}");
        let mut firmware = Self {
            habit,
            blksize: usize::from(blksize),
            windowsize: u64::from(windowsize),
            base: 0,
            unacknowledged: 0,
            answered: false,
            last_sent: Vec::new(),
            pending: Vec::new(),
            deadline: Some(now + TIMER),
            tries: 1,
            completed: false,
        };
        firmware.send(rrq("file", "octet", &options));
        firmware
    }

    fn send(&mut self, datagram: Vec<u8>) {
        self.last_sent.clone_from(&datagram);
        self.pending.push(datagram);
    }

    fn acknowledge(&mut self) {
        self.unacknowledged = 0;
        let number = (self.base % 65_536).try_into().expect("a remainder");
        self.send(ack(number));
    }
}

impl Client for Firmware {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8], received: &mut Vec<u8>) {
        if self.completed {
            return; // it has closed its port
        }
        match datagram {
            [0, 6, ..] if !self.answered => {
                self.answered = true;
                self.acknowledge();
            }
            [0, 3, high, low, content @ ..] if self.answered => {
                let expected = (self.base + 1) % 65_536;
                if u64::from(u16::from_be_bytes([*high, *low])) != expected {
                    self.acknowledge();
                    return;
                }
                received.extend_from_slice(content);
                self.base += 1;
                self.unacknowledged += 1;
                self.tries = 1;
                self.deadline = Some(now + TIMER);
                if content.len() < self.blksize {
                    self.completed = true;
                    self.deadline = None;
                }
                let eager = self.habit == Habit::Eager;
                if self.completed || eager || self.unacknowledged == self.windowsize {
                    self.acknowledge();
                }
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        self.tries += 1;
        self.deadline = (self.tries <= TRIES).then(|| now + TIMER);
        self.pending.push(self.last_sent.clone());
    }

    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        if self.pending.is_empty() {
            return false;
        }
        out.extend_from_slice(&self.pending.remove(0));
        true
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}
