//! The fuzz targets' models on octets that are the same each time: thousands made from seeds, and the corpora that are kept.

mod common;

use std::collections::HashMap;
use std::path::PathBuf;

use common::network::Random;
use common::{beginning, model, model_incoming, model_put, model_request, rrq, wrq};

/// What the models of servers read: a request, then `steps`.
fn input(request: &[u8], steps: &[u8]) -> Vec<u8> {
    let length = u16::try_from(request.len()).expect("short").to_be_bytes();
    [&length[..], request, steps].concat()
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
        let request = rrq("f", mode, options);
        let end = model::run(&input(&request, &steps), beginning());
        *ends.entry(end.expect("it is served").slug()).or_default() += 1;
    }
    for end in ["completed", "timed_out"] {
        assert!(ends.get(end).is_some_and(|count| *count > 400), "{ends:?}");
    }
}

/// The same for a server that is written to, and its disk.
#[test]
fn any_upload_is_what_came_in_order_and_ends() {
    let options = [
        "",
        "blksize=8 windowsize=16",
        "blksize=64 windowsize=4 timeout=1",
        "blksize=1024 windowsize=16 rollover=1",
        "tsize=700 blksize=512",
    ];
    let mut ends: HashMap<&str, u32> = HashMap::new();
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let polite = 80 + random.below(21);
        let steps: Vec<u8> = (0..random.below(60))
            .map(|_| {
                let any = random.next().to_le_bytes()[0];
                // The next block, a short one, durable, taken again, a short wait.
                let right = [4, 5, 4, 22, 72, 32, 1][usize::from(any) % 7];
                if random.percent(polite) { right } else { any }
            })
            .collect();
        let options = options[usize::try_from(random.below(5)).expect("small")];
        let mode = if random.percent(80) {
            "octet"
        } else {
            "netascii"
        };
        let data = input(&wrq("up/x", mode, options), &steps);
        let end = model_incoming::run_writer(&data, beginning());
        *ends.entry(end.expect("it is taken").slug()).or_default() += 1;
    }
    for end in ["completed", "timed_out", "write_failed", "wrong_length"] {
        assert!(ends.get(end).is_some_and(|count| *count > 10), "{ends:?}");
    }
}

/// The same for a client's `get` before any server.
#[test]
fn any_server_gives_what_came_in_order_or_an_end() {
    let mut ends: HashMap<&str, u32> = HashMap::new();
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let polite = 80 + random.below(21);
        let mut data: Vec<u8> = random.next().to_le_bytes()[..3].to_vec();
        data.extend((0..random.below(60)).map(|_| {
            let any = random.next().to_le_bytes()[0];
            // The next block, a short one, offers, a short wait.
            let right = [4, 5, 4, 22, 3, 11, 1][usize::from(any) % 7];
            if random.percent(polite) { right } else { any }
        }));
        let end = model_incoming::run_receiver(&data, beginning());
        *ends.entry(end.expect("it begins").slug()).or_default() += 1;
    }
    for end in ["completed", "timed_out", "bad_oack"] {
        assert!(ends.get(end).is_some_and(|count| *count > 100), "{ends:?}");
    }
}

/// The same for a client's `put`.
#[test]
fn any_server_is_given_right_octets_and_an_end() {
    let mut ends: HashMap<&str, u32> = HashMap::new();
    for seed in 0..3_000 {
        let mut random = Random(seed);
        let polite = 60 + random.below(41);
        let mut data = vec![random.next().to_le_bytes()[0], 0];
        data.extend((0..random.below(500)).map(|_| {
            let any = random.next().to_le_bytes()[0];
            // An ACK of the block, the next one, or the window; a short wait.
            let right = [13, 13, 37, 133, 2, 5][usize::from(any) % 6];
            if random.percent(polite) { right } else { any }
        }));
        let end = model_put::run(&data, beginning());
        *ends.entry(end.expect("it begins").slug()).or_default() += 1;
    }
    for end in ["completed", "timed_out", "aborted"] {
        assert!(ends.get(end).is_some_and(|count| *count > 200), "{ends:?}");
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
        let options = "blksize=8 tsize=0";
        model::run(&input(&rrq("f", "octet", options), &octets), beginning());
        model_incoming::run_writer(&octets, beginning());
        let upload = input(&wrq("f", "octet", options), &octets);
        model_incoming::run_writer(&upload, beginning());
        model_incoming::run_receiver(&octets, beginning());
        model_put::run(&octets, beginning());
        model_request::run(&octets);
    }
}

/// `fuzz/seeds` of one target.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let entries = std::fs::read_dir(directory).expect("the seeds are there");
    let read = |path: PathBuf| {
        let octets = std::fs::read(&path).expect("it is readable");
        (path, octets)
    };
    entries
        .map(|entry| read(entry.expect("it is there").path()))
        .collect()
}

/// What once was found, or is known to be met: each must say something, and most must get as far as a transfer.
#[test]
fn the_kept_corpora() {
    let mut ran: HashMap<&str, (u32, u32)> = HashMap::new();
    for target in [
        "tftp_request",
        "tftp_sender",
        "tftp_writer",
        "tftp_receiver",
        "tftp_put",
    ] {
        for (path, octets) in seeds(target) {
            println!("{}", path.display());
            let served = match target {
                "tftp_request" => model_request::run(&octets),
                "tftp_sender" => model::run(&octets, beginning()).is_some(),
                "tftp_writer" => model_incoming::run_writer(&octets, beginning()).is_some(),
                "tftp_receiver" => model_incoming::run_receiver(&octets, beginning()).is_some(),
                _ => model_put::run(&octets, beginning()).is_some(),
            };
            let (all, some) = ran.entry(target).or_default();
            *all += 1;
            *some += u32::from(served);
        }
    }
    assert!(
        ran.values()
            .all(|(all, some)| *all >= 10 && *some * 2 >= *all),
        "{ran:?}"
    );
    assert_eq!(ran["tftp_sender"].0, ran["tftp_sender"].1, "{ran:?}");
    assert_eq!(ran["tftp_writer"].0, ran["tftp_writer"].1, "{ran:?}");
}
