//! One fetch, as a careful client sees it: bytes in, bytes out. It keeps no file: every block is
//! compared with what must come, at once.

use std::time::{Duration, Instant};

/// What to ask for and how.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Name of the file.
    pub name: &'static str,
    /// `blksize` asked for, in octets.
    pub blksize: u16,
    /// `windowsize` asked for, in blocks; 1 asks for none, as most firmware.
    pub window: u16,
    /// After this long without anything new, the last packet is sent again.
    pub timer: Duration,
    /// EDK2 acknowledges at every block that is out of order; others once in a gap.
    pub ack_every_gap: bool,
}

/// A fetch under way.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    ask: &'a Ask,
    content: &'a [u8],
    began: Instant,
    /// When something new came, or something was sent again.
    moved: Instant,
    repeats: u32,
    phase: Phase,
    blksize: usize,
    window: u64,
    /// Number of the next block in order; the first is 1.
    next: u64,
    /// Blocks in order since the last ACK.
    pending: u64,
    gap_told: bool,
    /// What this fetch has seen.
    pub stats: Stats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The request is out, nothing came.
    Asked,
    /// Blocks come.
    Receiving,
    /// Every byte was there.
    Done,
}

/// Counts of one fetch, or of many added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// DATA blocks received, all of them.
    pub blocks: u64,
    /// Of these, blocks that had been received before.
    pub duplicates: u64,
    /// Requests sent again: each costs a real machine a second or four.
    pub request_repeats: u64,
    /// ACKs sent again by the client's timer.
    pub ack_repeats: u64,
    /// The server took less than the window asked for.
    pub windowless: u64,
}

/// What is to be done after a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Wait,
    /// Send this ACK.
    Ack([u8; 4]),
    /// Send this last ACK: the file is complete and right.
    Done([u8; 4]),
}

/// Why a fetch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A block is not what the file holds there.
    WrongByte { block: u64 },
    /// A block is longer or shorter than it must be.
    WrongLength { block: u64, length: usize },
    /// The server sent ERROR.
    Refused(String),
    /// An OACK that was not asked for, or an unreadable packet.
    Nonsense(&'static str),
    /// Nothing new after many tries.
    GaveUp { block: u64 },
}

impl<'a> Session<'a> {
    /// A fetch of which the request is sent at `now`.
    pub(crate) fn start(ask: &'a Ask, content: &'a [u8], now: Instant) -> Self {
        Self {
            ask,
            content,
            began: now,
            moved: now,
            repeats: 0,
            phase: Phase::Asked,
            blksize: 512,
            window: 1,
            next: 1,
            pending: 0,
            gap_told: false,
            stats: Stats::default(),
        }
    }

    /// The request, as octets.
    pub(crate) fn request(&self) -> Vec<u8> {
        let mut out = vec![0, 1];
        let mut put = |text: &str| {
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        };
        put(self.ask.name);
        put("octet");
        put("tsize");
        put("0");
        put("blksize");
        put(&self.ask.blksize.to_string());
        if self.ask.window > 1 {
            put("windowsize");
            put(&self.ask.window.to_string());
        }
        out
    }

    /// When the request was sent first.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The window asked for.
    pub(crate) fn asked_window(&self) -> u16 {
        self.ask.window
    }

    /// Takes one datagram.
    ///
    /// # Errors
    /// When the fetch has failed by it.
    pub(crate) fn handle(&mut self, datagram: &[u8], now: Instant) -> Result<Step, Failure> {
        if self.phase == Phase::Done {
            return Ok(Step::Wait);
        }
        match datagram {
            [0, 3, high, low, payload @ ..] => {
                self.data(u16::from_be_bytes([*high, *low]), payload, now)
            }
            [0, 6, options @ ..] => self.oack(options, now),
            [0, 5, _, _, text @ ..] => {
                let text = text.split(|b| *b == 0).next().unwrap_or_default();
                Err(Failure::Refused(String::from_utf8_lossy(text).into_owned()))
            }
            _ => Err(Failure::Nonsense("neither DATA, OACK nor ERROR")),
        }
    }

    /// What the client's own timer has it send again: the request (as [`Resend::Request`]) or
    /// the last ACK.
    ///
    /// # Errors
    /// After many tries.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<Option<Resend>, Failure> {
        if self.phase == Phase::Done || now.duration_since(self.moved) < self.ask.timer {
            return Ok(None);
        }
        self.moved = now;
        self.repeats += 1;
        if self.repeats > TRIES {
            return Err(Failure::GaveUp { block: self.next });
        }
        if self.phase == Phase::Asked {
            self.stats.request_repeats += 1;
            return Ok(Some(Resend::Request));
        }
        self.stats.ack_repeats += 1;
        self.pending = 0;
        Ok(Some(Resend::Ack(self.ack())))
    }

    fn oack(&mut self, options: &[u8], now: Instant) -> Result<Step, Failure> {
        if self.next > 1 {
            // Repeated, because our ACK 0 was lost or late; blocks are already here.
            return Ok(Step::Wait);
        }
        let mut words = options.split(|b| *b == 0);
        let mut window = 1;
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let Some(value) = std::str::from_utf8(value)
                .ok()
                .and_then(|v| v.parse::<usize>().ok())
            else {
                return Err(Failure::Nonsense("an option without a number"));
            };
            match name.to_ascii_lowercase().as_slice() {
                b"blksize" => self.blksize = value,
                b"windowsize" => window = value as u64,
                b"tsize" if value != self.content.len() => {
                    return Err(Failure::Nonsense("tsize is not the file's length"));
                }
                _ => {}
            }
        }
        if self.blksize > usize::from(self.ask.blksize) || window > u64::from(self.ask.window) {
            return Err(Failure::Nonsense("more than was asked for"));
        }
        self.window = window;
        self.stats.windowless = u64::from(window < u64::from(self.ask.window));
        self.phase = Phase::Receiving;
        self.progress(now);
        Ok(Step::Ack(self.ack()))
    }

    fn data(&mut self, number: u16, payload: &[u8], now: Instant) -> Result<Step, Failure> {
        self.phase = Phase::Receiving;
        self.stats.blocks += 1;
        // Block numbers roll over; what comes is near what is expected.
        let ahead = number.wrapping_sub(self.next as u16);
        if ahead != 0 {
            return Ok(self.out_of_order(ahead));
        }
        let from = (self.next as usize - 1) * self.blksize;
        let Some(rest) = self.content.get(from..) else {
            return Err(Failure::Nonsense("a block after the last"));
        };
        let expected = &rest[..rest.len().min(self.blksize)];
        if payload.len() != expected.len() {
            return Err(Failure::WrongLength {
                block: self.next,
                length: payload.len(),
            });
        }
        if payload != expected {
            return Err(Failure::WrongByte { block: self.next });
        }
        self.next += 1;
        self.pending += 1;
        self.gap_told = false;
        self.progress(now);
        if payload.len() < self.blksize {
            self.phase = Phase::Done;
            return Ok(Step::Done(self.ack()));
        }
        if self.pending >= self.window {
            self.pending = 0;
            return Ok(Step::Ack(self.ack()));
        }
        Ok(Step::Wait)
    }

    /// A block of the past, or one after a gap.
    fn out_of_order(&mut self, ahead: u16) -> Step {
        if ahead < u16::MAX / 2 {
            if self.gap_told && !self.ask.ack_every_gap {
                return Step::Wait;
            }
            self.gap_told = true;
            self.pending = 0;
            return Step::Ack(self.ack());
        }
        self.stats.duplicates += 1;
        // A whole window came again, up to its last block: our ACK of it was lost.
        if ahead == u16::MAX && self.pending == 0 {
            return Step::Ack(self.ack());
        }
        Step::Wait
    }

    fn progress(&mut self, now: Instant) {
        self.moved = now;
        self.repeats = 0;
    }

    fn ack(&self) -> [u8; 4] {
        let [high, low] = ((self.next - 1) as u16).to_be_bytes();
        [0, 4, high, low]
    }
}

impl Stats {
    /// Adds another fetch's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.duplicates += other.duplicates;
        self.request_repeats += other.request_repeats;
        self.ack_repeats += other.ack_repeats;
        self.windowless += other.windowless;
    }
}

/// What the client's timer sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    /// The request.
    Request,
    /// The last ACK.
    Ack([u8; 4]),
}

/// As many as patient firmware.
const TRIES: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(window: u16, ack_every_gap: bool) -> Ask {
        Ask {
            name: "images/x",
            blksize: 8,
            window,
            timer: Duration::from_secs(1),
            ack_every_gap,
        }
    }

    fn content() -> Vec<u8> {
        (0..36).collect()
    }

    fn block(content: &[u8], number: u16) -> Vec<u8> {
        let from = (usize::from(number) - 1) * 8;
        let end = content.len().min(from + 8);
        [&[0, 3], &number.to_be_bytes()[..], &content[from..end]].concat()
    }

    fn oack(window: u16) -> Vec<u8> {
        format!("\0\u{6}blksize\08\0windowsize\0{window}\0tsize\036\0").into_bytes()
    }

    /// Feeds blocks and collects what is answered: ACK numbers.
    fn feed(session: &mut Session<'_>, blocks: &[u16]) -> Vec<u8> {
        let content = content();
        let mut acks = Vec::new();
        for number in blocks {
            match session.handle(&block(&content, *number), Instant::now()) {
                Ok(Step::Ack(ack) | Step::Done(ack)) => acks.push(ack[3]),
                Ok(Step::Wait) => {}
                Err(failure) => panic!("{failure:?}"),
            }
        }
        acks
    }

    #[test]
    fn a_window_is_acknowledged_at_its_end_and_the_file_at_its_own() {
        let (ask, content) = (ask(2, false), content());
        let mut session = Session::start(&ask, &content, Instant::now());
        assert_eq!(
            session.request(),
            b"\0\x01images/x\0octet\0tsize\x000\0blksize\08\0windowsize\x002\0"
        );
        let step = session.handle(&oack(2), Instant::now());
        assert_eq!(step, Ok(Step::Ack([0, 4, 0, 0])));
        assert_eq!(feed(&mut session, &[1, 2, 3, 4]), [2, 4]);
        let last = session.handle(&block(&content, 5), Instant::now());
        assert_eq!(last, Ok(Step::Done([0, 4, 0, 5])));
        assert_eq!(session.stats.duplicates, 0);
    }

    #[test]
    fn a_wrong_byte_a_short_block_and_a_block_too_many_are_noticed() {
        let (ask, content) = (ask(1, false), content());
        let started = || {
            let mut session = Session::start(&ask, &content, Instant::now());
            let ok = session.handle(b"\0\x06blksize\08\0", Instant::now());
            assert_eq!(ok, Ok(Step::Ack([0, 4, 0, 0])));
            session
        };
        let mut bad = block(&content, 1);
        bad[11] ^= 1;
        assert_eq!(
            started().handle(&bad, Instant::now()),
            Err(Failure::WrongByte { block: 1 })
        );
        bad.truncate(9);
        assert_eq!(
            started().handle(&bad, Instant::now()),
            Err(Failure::WrongLength {
                block: 1,
                length: 5
            })
        );
        // The right block under the wrong number: a server that skipped one.
        let mut skipped = block(&content, 2);
        skipped[3] = 1;
        assert_eq!(
            started().handle(&skipped, Instant::now()),
            Err(Failure::WrongByte { block: 1 })
        );
        assert_eq!(
            started().handle(b"\0\x05\0\x01gone\0", Instant::now()),
            Err(Failure::Refused("gone".into()))
        );
    }

    #[test]
    fn a_missing_block_is_told_once_or_as_edk2_does_every_time() {
        for (every, acks) in [(false, vec![1]), (true, vec![1, 1, 1])] {
            let (ask, content) = (ask(4, every), content());
            let mut session = Session::start(&ask, &content, Instant::now());
            assert!(session.handle(&oack(4), Instant::now()).is_ok());
            // 2 is lost.
            assert_eq!(feed(&mut session, &[1, 3, 4, 5]), acks, "every: {every}");
            assert_eq!(feed(&mut session, &[2, 3, 4, 5]), [5]);
        }
    }

    #[test]
    fn a_window_that_comes_again_is_counted_and_acknowledged_again() {
        let (ask, content) = (ask(2, false), content());
        let mut session = Session::start(&ask, &content, Instant::now());
        assert!(session.handle(&oack(2), Instant::now()).is_ok());
        assert_eq!(feed(&mut session, &[1, 2, 1, 2]), [2, 2]);
        assert_eq!(session.stats.duplicates, 2);
        assert_eq!(session.stats.blocks, 4);
    }

    #[test]
    fn the_timer_repeats_the_request_then_the_ack_and_gives_up() {
        let (ask, content) = (ask(2, false), content());
        let start = Instant::now();
        let mut session = Session::start(&ask, &content, start);
        let second = Duration::from_secs(1);
        assert_eq!(session.tick(start + second / 2), Ok(None));
        assert_eq!(session.tick(start + second), Ok(Some(Resend::Request)));
        assert!(session.handle(&oack(2), start + second).is_ok());
        assert_eq!(
            session.tick(start + 2 * second),
            Ok(Some(Resend::Ack([0, 4, 0, 0])))
        );
        assert_eq!(
            (session.stats.request_repeats, session.stats.ack_repeats),
            (1, 1)
        );
        let late = (3..99).find_map(|n| session.tick(start + n * second).err());
        assert_eq!(late, Some(Failure::GaveUp { block: 1 }));
    }

    #[test]
    fn numbers_roll_over() {
        let content: Vec<u8> = (0..70_000u32 * 8 + 3).map(|n| (n / 8) as u8).collect();
        let ask = ask(1, false);
        let mut session = Session::start(&ask, &content, Instant::now());
        assert!(
            session
                .handle(b"\0\x06blksize\08\0", Instant::now())
                .is_ok()
        );
        let mut done = false;
        for (n, chunk) in content.chunks(8).enumerate() {
            let number = ((n + 1) as u16).to_be_bytes();
            let data = [&[0, 3], &number[..], chunk].concat();
            match session.handle(&data, Instant::now()) {
                Ok(step) => done = matches!(step, Step::Done(_)),
                Err(failure) => panic!("{n}: {failure:?}"),
            }
        }
        assert!(done);
    }
}
