//! A bad cable, made at the client's end: the same seed loses the same packets for every server.

use crate::files::Mix;
use std::time::Duration;

/// What the cable does, in thousandths of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Impairments {
    /// Packets of the server that vanish.
    pub lose_data: u16,
    /// Packets of the client that vanish.
    pub lose_acks: u16,
    /// Packets of either that come twice.
    pub duplicate: u16,
    /// Packets of the server that come after those sent later.
    pub reorder: u16,
}

/// One client's cable.
#[derive(Debug)]
pub(crate) struct Cable {
    what: Impairments,
    data: Mix,
    acks: Mix,
}

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives so many times (0: lost).
    Arrives(u8),
    /// It arrives when this much time has passed.
    Late(Duration),
}

impl Impairments {
    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }
}

impl Cable {
    /// The cable of client `n`.
    pub(crate) fn new(what: Impairments, seed: u64, n: usize) -> Self {
        let mut mix = Mix(seed ^ (n as u64) << 20);
        Self {
            what,
            data: Mix(mix.next()),
            acks: Mix(mix.next()),
        }
    }

    /// The next packet of the server.
    pub(crate) fn data(&mut self) -> Fate {
        // Three numbers for each packet, whatever is done with them: one kind of trouble does
        // not move the others.
        let lost = self.data.chance(self.what.lose_data);
        let twice = self.data.chance(self.what.duplicate);
        let late = self.data.chance(self.what.reorder);
        match (lost, late) {
            (true, _) => Fate::Arrives(0),
            (_, true) => Fate::Late(LATE),
            _ => Fate::Arrives(1 + u8::from(twice)),
        }
    }

    /// How many times the client's next packet arrives.
    pub(crate) fn ack(&mut self) -> u8 {
        let lost = self.acks.chance(self.what.lose_acks);
        let twice = self.acks.chance(self.what.duplicate);
        match lost {
            true => 0,
            false => 1 + u8::from(twice),
        }
    }
}

/// Longer than a round trip here, so that others overtake it; shorter than any timer.
const LATE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_are_what_was_asked_for_and_the_seed_decides() {
        let what = Impairments {
            lose_data: 50,
            lose_acks: 10,
            duplicate: 100,
            reorder: 200,
        };
        let run = |seed| {
            let mut cable = Cable::new(what, seed, 3);
            (0..20_000).map(|_| cable.data()).collect::<Vec<_>>()
        };
        let fates = run(1);
        assert_eq!(fates, run(1));
        assert_ne!(fates, run(2));
        let share = |fate| {
            let count = fates.iter().filter(|f| **f == fate).count();
            count as f64 / 20_000.0
        };
        assert!((share(Fate::Arrives(0)) - 0.05).abs() < 0.01);
        assert!((share(Fate::Late(LATE)) - 0.95 * 0.2).abs() < 0.01);
        assert!((share(Fate::Arrives(2)) - 0.95 * 0.8 * 0.1).abs() < 0.01);

        let mut cable = Cable::new(what, 1, 0);
        let lost = (0..20_000).filter(|_| cable.ack() == 0).count();
        assert!((150..250).contains(&lost), "{lost}");
    }

    #[test]
    fn a_good_cable_does_nothing() {
        let mut cable = Cable::new(Impairments::default(), 1, 0);
        assert!((0..1000).all(|_| cable.data() == Fate::Arrives(1) && cable.ack() == 1));
    }
}
