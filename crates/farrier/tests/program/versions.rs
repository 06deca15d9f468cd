//! Files that change while they are served: the old content whole or an end that the client notices, never a mixture
//! (protocol.md G.2), and the new content for whoever asks next.

use crate::common::wire::{http_ask, http_get, tftp_get};
use crate::common::{Farrier, Lan, SERVER};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tftp::{Ask, ErrorCode, OutcomeKind};

/// What somebody does to a file, and whether who is fetching it still gets the old one.
struct Change {
    name: &'static str,
    of: fn(&Path, usize),
    is_survived: bool,
}

const CHANGES: [Change; 4] = [
    Change {
        name: "replaced",
        of: |path, len| {
            let fresh = path.with_extension("fresh");
            std::fs::write(&fresh, vec![9; len]).expect("written");
            std::fs::rename(fresh, path).expect("renamed");
        },
        is_survived: true,
    },
    Change {
        name: "truncated",
        of: |path, len| {
            let half = len as u64 / 2;
            open(path).set_len(half).expect("truncated");
        },
        is_survived: false,
    },
    Change {
        name: "overwritten",
        of: |path, len| open(path).write_all_at(&vec![9; len], 0).expect("written"),
        is_survived: false,
    },
    Change {
        name: "grown",
        of: |path, len| {
            open(path)
                .write_all_at(b"more", len as u64)
                .expect("written")
        },
        is_survived: false,
    },
];

fn open(path: &Path) -> File {
    File::options().write(true).open(path).expect("it is there")
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| (n % 251) as u8 ^ (n >> 11) as u8)
        .collect()
}

/// A server with one file for each change.
fn serving<'a>(lan: &'a Lan, old: &[u8]) -> Farrier<'a> {
    let mut farrier = Farrier::prepared(&lan.server);
    for change in &CHANGES {
        farrier.put(&format!("images/{}", change.name), old);
    }
    farrier.start();
    farrier
}

impl Change {
    fn name(&self) -> String {
        format!("images/{}", self.name)
    }

    fn happen(&self, farrier: &Farrier<'_>, len: usize) {
        (self.of)(&farrier.data().join(self.name()), len);
    }

    /// What became of the client that was in the middle, and what the next one gets.
    fn check(&self, farrier: &Farrier<'_>, old: &[u8], got: &[u8], next: &[u8]) {
        if self.is_survived {
            assert!(got == old, "{}: {} bytes", self.name, got.len());
        } else {
            let is_prefix = old.starts_with(got) && got.len() < old.len();
            assert!(is_prefix, "{}: {} bytes", self.name, got.len());
        }
        let fresh = std::fs::read(farrier.data().join(self.name())).expect("readable");
        assert!(next == fresh, "{}: what is asked for next", self.name);
    }
}

#[test]
fn a_file_that_changes_while_tftp_serves_it_is_whole_or_an_error() {
    let lan = Lan::new();
    let old = pattern(4 << 20);
    let farrier = serving(&lan, &old);
    for change in &CHANGES {
        let get = Ask {
            blksize: Some(1468),
            windowsize: Some(16),
            ..Ask::plain(change.name())
        };
        let mut sent = 0;
        let (got, outcome) = lan.client.run(|| {
            tftp_get(SERVER, get.clone(), || {
                sent += 1;
                if sent == 30 {
                    change.happen(&farrier, old.len());
                }
            })
        });
        let error = match outcome.kind {
            OutcomeKind::Completed => None,
            OutcomeKind::ClientAborted { code, .. } => Some(code),
            other => panic!("{}: {other:?}", change.name),
        };
        let expected = (!change.is_survived).then_some(ErrorCode::Undefined);
        assert_eq!(error, expected, "{}", change.name);
        let (next, _) = lan.client.run(|| tftp_get(SERVER, get, || {}));
        change.check(&farrier, &old, &got, &next);
    }
}

#[test]
fn a_file_that_changes_while_http_serves_it_is_whole_or_cut_off() {
    let lan = Lan::new();
    // More than the socket buffers of both sides take in at once.
    let old = pattern(20 << 20);
    let farrier = serving(&lan, &old);
    for change in &CHANGES {
        lan.client.run(|| {
            let mut stream = http_ask(SERVER, &format!("/{}", change.name()));
            let (mut all, mut piece) = (Vec::new(), vec![0; 64 << 10]);
            let first = stream.read(&mut piece).expect("it begins");
            all.extend(&piece[..first]);
            change.happen(&farrier, old.len());
            // Cut off is cut off: with or without a reset.
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                all.extend(&piece[..count]);
            }
            let body = all.windows(4).position(|four| four == b"\r\n\r\n");
            let got = &all[body.expect("a header") + 4..];
            let next = http_get(SERVER, &format!("/{}", change.name()));
            change.check(&farrier, &old, got, &next);
        });
    }
}
