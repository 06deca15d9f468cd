//! Whole uploads between `Put` and `Writer` in virtual time, over a network that loses, doubles, delays and reorders
//! by a seed. A failure names its seed.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::network::{Random, Weather};
use common::upload::{Disk, Upload, upload};
use common::{Pattern, beginning};
use tftp::limits::WINDOWSIZE_CAP;
use tftp::{Ask, Limits, Mode, OutcomeKind, Put};

/// Longest an upload may take when each of its windows needs all tries.
const BOUND: Duration = Duration::from_secs(3_600);

fn any_ask(random: &mut Random) -> Ask {
    let pick = |random: &mut Random, values: &[u16]| {
        values[usize::try_from(random.below(values.len() as u64)).expect("small")]
    };
    Ask {
        tsize: random.percent(50),
        blksize: random
            .percent(80)
            .then(|| pick(random, &[8, 100, 512, 1024, 1428, 1468])),
        windowsize: random
            .percent(70)
            .then(|| pick(random, &[1, 2, 3, 4, 8, 16, 64])),
        timeout: random.percent(20).then_some(2),
        ..Ask::plain("file")
    }
}

fn run(seed: u64, weather: Weather, disk: Disk) -> Upload {
    let mut random = Random(seed ^ 0x5eed);
    let ask = any_ask(&mut random);
    let blksize = u64::from(ask.blksize.unwrap_or(512));
    let len = match random.below(4) {
        0 => blksize * random.below(20), // exact multiples and the empty file
        _ => random.below(blksize * 40),
    };
    let source = Pattern(len);
    let limits = Limits::default();
    let client = Put::start(ask.clone(), source, &limits, beginning());
    let upload = upload(client, disk, &limits, weather, seed);
    assert!(upload.took < BOUND, "seed {seed} took {:?}", upload.took);
    let expected = source.octets(0, usize::try_from(len).expect("small"));
    if let Some(kept) = &upload.kept {
        assert!(*kept == expected, "seed {seed}: wrong octets, {ask:?}");
    }
    if upload.client.kind == OutcomeKind::Completed {
        assert!(
            upload.kept.is_some(),
            "seed {seed}: told it is kept, and it is not; {ask:?}"
        );
    } else {
        assert_eq!(upload.client.kind, OutcomeKind::TimedOut, "seed {seed}");
    }
    upload
}

/// Runs the seeds and returns how many completed.
fn completed(seeds: std::ops::Range<u64>, weather: Weather, disk: Disk) -> usize {
    seeds
        .filter(|seed| run(*seed, weather, disk).client.kind == OutcomeKind::Completed)
        .count()
}

#[test]
fn a_good_network_repeats_nothing() {
    for seed in 0..300 {
        let upload = run(seed, Weather::default(), Disk::default());
        assert_eq!(upload.client.kind, OutcomeKind::Completed, "seed {seed}");
        assert_eq!(upload.client.stats.retransmits, 0, "seed {seed}");
        let server = upload.server.expect("it was asked");
        assert_eq!(server.kind, OutcomeKind::Completed, "seed {seed}");
        assert_eq!(server.stats.retransmits, 0, "seed {seed}");
        assert_eq!(server.stats.bytes, upload.client.stats.bytes, "seed {seed}");
    }
}

#[test]
fn loss_up_to_5_percent_always_completes() {
    for loss in [1, 5] {
        let weather = Weather {
            loss,
            ..Weather::default()
        };
        assert_eq!(
            completed(0..700, weather, Disk::default()),
            700,
            "at {loss} %"
        );
    }
}

#[test]
fn loss_of_20_percent_completes_or_ends() {
    let weather = Weather {
        loss: 20,
        ..Weather::default()
    };
    let completed = completed(0..800, weather, Disk::default());
    assert!(completed >= 760, "{completed} of 800");
}

#[test]
fn loss_of_half_ends_in_bounded_time() {
    let weather = Weather {
        loss: 50,
        ..Weather::default()
    };
    completed(0..200, weather, Disk::default());
}

#[test]
fn everything_at_once() {
    let weather = Weather {
        loss: 10,
        duplicates: 10,
        reorder: 20,
    };
    let completed = completed(0..700, weather, Disk::default());
    assert!(completed >= 690, "{completed} of 700");
}

/// The disk takes 3 s now and then and 4 s in the end: more than the client's timer, less than its patience.
#[test]
fn a_slow_disk_holds_the_client_and_memory_stays_bounded() {
    let disk = Disk {
        buffer: 4_096,
        pause: Duration::from_secs(3),
        commit: Duration::from_secs(4),
        ..Disk::default()
    };
    let losing = Weather {
        loss: 2,
        ..Weather::default()
    };
    for weather in [Weather::default(), losing] {
        for seed in 0..200 {
            let upload = run(seed, weather, disk);
            assert_eq!(upload.client.kind, OutcomeKind::Completed, "seed {seed}");
            // A block beyond the border, and a window that was under way; many of the files are twice as long.
            let most = disk.buffer + 1468 + usize::from(WINDOWSIZE_CAP) * 1468;
            assert!(
                upload.in_memory <= most,
                "seed {seed}: {} in memory",
                upload.in_memory
            );
        }
    }
}

#[test]
fn what_is_sent_stays_near_the_file() {
    let doubling = Weather {
        duplicates: 20,
        ..Weather::default()
    };
    let losing = Weather {
        loss: 5,
        ..Weather::default()
    };
    for windowsize in [1, 4, 16] {
        for weather in [doubling, losing] {
            let ask = Ask {
                blksize: Some(1468),
                windowsize: Some(windowsize),
                ..Ask::plain("file")
            };
            let source = Pattern(1 << 20);
            let limits = Limits::default();
            let client = Put::start(ask, source, &limits, beginning());
            let upload = upload(client, Disk::default(), &limits, weather, 7);
            assert_eq!(upload.client.kind, OutcomeKind::Completed);
            let ratio = upload.sent_bytes as f64 / source.0 as f64;
            println!("{windowsize} {weather:?} {ratio:.3} {:?}", upload.took);
            assert!(
                ratio < 1.4,
                "window {windowsize}, {weather:?}: {ratio:.2} of the file was sent"
            );
        }
    }
}

#[test]
fn block_numbers_wrap_on_both_sides() {
    let ask = Ask {
        blksize: Some(8),
        windowsize: Some(16),
        tsize: true,
        ..Ask::plain("file")
    };
    let source = Pattern(8 * 66_000);
    let limits = Limits::default();
    let client = Put::start(ask, source, &limits, beginning());
    let upload = upload(client, Disk::default(), &limits, Weather::default(), 1);
    assert_eq!(upload.client.kind, OutcomeKind::Completed);
    assert_eq!(upload.server.expect("it was asked").stats.blocks, 66_001);
    assert!(upload.kept == Some(source.octets(0, 8 * 66_000)));
}

#[test]
fn netascii_arrives_as_it_was() {
    let pieces: [&[u8]; 6] = [b"a", b"\n", b"\r", b"\r\n", b"\0", b"line of text"];
    let weather = Weather {
        loss: 5,
        duplicates: 5,
        reorder: 5,
    };
    for seed in 0..300 {
        let mut random = Random(seed);
        let text: Vec<u8> = (0..random.below(200))
            .flat_map(|_| pieces[usize::try_from(random.below(6)).expect("small")].to_vec())
            .collect();
        let ask = Ask {
            mode: Mode::Netascii,
            blksize: random.percent(70).then_some(8),
            windowsize: random.percent(50).then_some(4),
            tsize: true,
            ..Ask::plain("file")
        };
        let limits = Limits::default();
        let client = Put::start(ask, Bytes::from(text.clone()), &limits, beginning());
        let upload = upload(client, Disk::default(), &limits, weather, seed);
        assert_eq!(upload.client.kind, OutcomeKind::Completed, "seed {seed}");
        assert_eq!(upload.kept, Some(text), "seed {seed}");
    }
}

#[test]
fn what_is_larger_than_allowed_is_refused_also_over_loss() {
    let disk = Disk {
        cap: 20_000,
        ..Disk::default()
    };
    let losing = Weather {
        loss: 10,
        ..Weather::default()
    };
    for (weather, least) in [(Weather::default(), 200), (losing, 190)] {
        let told = (0..200)
            .filter(|&seed| {
                let limits = Limits::default();
                let client = Put::start(Ask::plain("file"), Pattern(50_000), &limits, beginning());
                let upload = upload(client, disk, &limits, weather, seed);
                assert_eq!(upload.kept, None, "seed {seed}");
                let server = upload.server.expect("it was asked");
                let cap = OutcomeKind::TooLarge { cap: 20_000 };
                if server.kind != cap {
                    assert_eq!(server.kind, OutcomeKind::TimedOut, "seed {seed}");
                }
                matches!(upload.client.kind, OutcomeKind::ClientAborted { .. })
            })
            .count();
        assert!(told >= least, "{told} of 200 clients heard of it");
    }
}
