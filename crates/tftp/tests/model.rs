//! The fuzz target's model on octets that are the same each time.

mod common;

use std::collections::HashMap;

use common::network::Random;
use common::{beginning, model, rrq};

/// What the model reads: a request, then `steps`.
fn input(options: &str, mode: &str, steps: &[u8]) -> Vec<u8> {
    let request = rrq("f", mode, options);
    let length = u16::try_from(request.len()).expect("short").to_be_bytes();
    [&length[..], &request, steps].concat()
}

/// Thousands of clients that send nonsense, most of it near what would be right.
#[test]
fn any_client_gets_right_octets_and_an_end() {
    let options = [
        "",
        "tsize=0",
        "blksize=8 windowsize=16",
        "blksize=64 windowsize=4 timeout=1",
        "blksize=1024 windowsize=64 rollover=1",
        "blksize=512 utimeout=10000",
    ];
    let mut ends: HashMap<&str, u32> = HashMap::new();
    for seed in 0..4_000 {
        let mut random = Random(seed);
        let polite = 40 + random.below(60);
        let steps: Vec<u8> = (0..random.below(600))
            .map(|_| {
                let any = random.next().to_le_bytes()[0];
                // An ACK of the block, the next one, or the window; or a short wait.
                let right = [15, 15, 7, 39, 135, 2][usize::from(any) % 6];
                if random.percent(polite) { right } else { any }
            })
            .collect();
        let options = options[usize::try_from(random.below(6)).expect("small")];
        let mode = if random.percent(80) {
            "octet"
        } else {
            "netascii"
        };
        let end = model::run(&input(options, mode, &steps), beginning());
        *ends.entry(end.expect("it is served").slug()).or_default() += 1;
    }
    for end in ["completed", "timed_out"] {
        assert!(ends.get(end).is_some_and(|count| *count > 400), "{ends:?}");
    }
}

#[test]
fn octets_of_any_kind_do_no_harm() {
    for seed in 0..4_000 {
        let mut random = Random(seed);
        let octets: Vec<u8> = (0..random.below(300))
            .map(|_| random.next().to_le_bytes()[0])
            .collect();
        model::run(&octets, beginning());
        model::run(&input("blksize=8 tsize=0", "octet", &octets), beginning());
    }
}
