//! TFTP clients that people have, from Debian, each with the options it knows.

use crate::common::{Farrier, Lan, SERVER};
use std::path::Path;
use std::process::{Command, Output};

/// Sizes around which clients and servers disagree when one of them is wrong: nothing, one octet less than a
/// block, exact multiples of each block size used below, more than one window.
const SIZES: [usize; 8] = [0, 1, 511, 512, 1024, 1428 * 32, 1468 * 16, 300_001];

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 ^ (n >> 9) as u8).collect()
}

struct Site<'a> {
    lan: &'a Lan,
    _farrier: Farrier<'a>,
    here: tempfile::TempDir,
}

impl<'a> Site<'a> {
    fn on(lan: &'a Lan) -> Site<'a> {
        let mut farrier = Farrier::prepared(&lan.server);
        for size in SIZES {
            farrier.put(&format!("images/f{size}"), &pattern(size));
        }
        farrier.put("images/text", &text());
        farrier.start();
        Site {
            lan,
            _farrier: farrier,
            here: tempfile::tempdir().expect("a directory"),
        }
    }

    /// Runs a client in an empty directory of its host.
    fn client(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.here.path());
        self.lan
            .client
            .run(|| command.output())
            .unwrap_or_else(|error| panic!("{program} (deploy/setup.sh test installs it): {error}"))
    }

    /// Fetches every size with `args`, in which NAME and FILE stand for the remote and the local name.
    fn fetches_all(&self, program: &str, args: &[&str]) {
        // curl 7.88 fails on an empty file by TFTP, whatever the server (exit 71).
        let skipped = usize::from(program == "curl");
        for size in &SIZES[skipped..] {
            let size = *size;
            let name = format!("images/f{size}");
            let filled: Vec<String> = args
                .iter()
                .map(|arg| {
                    arg.replace("NAME", &name)
                        .replace("SERVER", &SERVER.to_string())
                })
                .collect();
            let filled: Vec<&str> = filled.iter().map(String::as_str).collect();
            let output = self.client(program, &filled);
            let got = read(&self.here.path().join("FILE"));
            assert!(
                output.status.success() && got.as_deref() == Some(&pattern(size)),
                "{program} {filled:?}: {} of {size} bytes, {output:?}",
                got.map_or(0, |got| got.len())
            );
            std::fs::remove_file(self.here.path().join("FILE")).expect("it is there");
        }
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

/// Every pair that netascii changes, also across the borders of blocks.
pub(crate) fn text() -> Vec<u8> {
    let line = b"one\ntwo\r\nthree\rfour\n\n\r\n";
    let text: Vec<u8> = (0..300)
        .flat_map(|n| [&line[..], &b"12345"[..n % 6]].concat())
        .collect();
    let wire: Vec<u8> = text
        .iter()
        .flat_map(|octet| match octet {
            b'\n' => vec![b'\r', b'\n'],
            b'\r' => vec![b'\r', 0],
            other => vec![*other],
        })
        .collect();
    let blocks: Vec<&[u8]> = wire.chunks(512).collect();
    for pair in [b"\r\n", b"\r\0"] {
        let is_split = |two: &[&[u8]]| two[0].last() == Some(&pair[0]) && two[1][0] == pair[1];
        assert!(
            blocks.windows(2).any(is_split),
            "no border has {pair:?} across it"
        );
    }
    text
}

#[test]
fn tftp_hpa() {
    let lan = Lan::new();
    let site = Site::on(&lan);
    site.fetches_all(
        "tftp",
        &["-m", "octet", "SERVER", "-c", "get", "NAME", "FILE"],
    );
    let server = SERVER.to_string();
    let netascii = [
        "-m",
        "netascii",
        &server,
        "-c",
        "get",
        "images/text",
        "FILE",
    ];
    let output = site.client("tftp", &netascii);
    assert_eq!(
        read(&site.here.path().join("FILE")).as_deref(),
        Some(&*text()),
        "there and back: {output:?}"
    );
    let missing = site.client(
        "tftp",
        &["-m", "octet", &server, "-c", "get", "nofile", "FILE"],
    );
    let said = String::from_utf8_lossy(&missing.stdout).into_owned()
        + &String::from_utf8_lossy(&missing.stderr);
    assert!(said.contains("file not found"), "{said}");
}

#[test]
fn atftp_with_windows_and_every_option() {
    let lan = Lan::new();
    let site = Site::on(&lan);
    let get = ["-g", "-r", "NAME", "-l", "FILE", "SERVER"];
    for options in [
        &[][..],
        &["blksize 1428"],
        &["blksize 1428", "windowsize 16"],
        &["blksize 512", "windowsize 4", "tsize"],
        &["blksize 1468", "windowsize 64", "tsize", "timeout 2"],
        // RFC 2090; left out of our answer, so the client goes on by unicast.
        &["multicast", "blksize 1428"],
    ] {
        let mut args: Vec<&str> = Vec::new();
        for option in options {
            args.extend(["--option", option]);
        }
        args.extend(get);
        site.fetches_all("atftp", &args);
    }
}

#[test]
fn curl_with_and_without_options() {
    let lan = Lan::new();
    let site = Site::on(&lan);
    let get = ["-sS", "-o", "FILE", "tftp://SERVER/NAME"];
    site.fetches_all("curl", &get);
    site.fetches_all("curl", &[&["--tftp-no-options"], &get[..]].concat());
    site.fetches_all("curl", &[&["--tftp-blksize", "1428"], &get[..]].concat());
}

#[test]
fn busybox() {
    let lan = Lan::new();
    let site = Site::on(&lan);
    let get = ["tftp", "-g", "-r", "NAME", "-l", "FILE", "SERVER"];
    site.fetches_all("busybox", &get);
    let args = [
        "tftp", "-b", "1468", "-g", "-r", "NAME", "-l", "FILE", "SERVER",
    ];
    site.fetches_all("busybox", &args);
}
