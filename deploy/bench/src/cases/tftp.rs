//! TFTP on good cables: one client, storms, small files, memory, a path without offloads, and a
//! flood.

use super::columns::{BULK, FLOOD, MEMORY, SMALL, STORM};
use super::{Case, File, QUICK, Tftp, Work, size};
use crate::client::impair::Impairments;
use crate::net::Path;
use crate::servers::Kind;
use std::time::Duration;

pub(super) fn one_client() -> Vec<Case> {
    let one = |name, blksize, window, gro, fetches, file| {
        let mut work = Tftp {
            fetches,
            file,
            file_windowless: File::Kernel,
            ..Tftp::of(blksize, window)
        };
        work.gro = gro;
        Case {
            name,
            what: format!(
                "one client, {fetches} x {}, block size {blksize}, window {window}{}",
                size(file),
                if gro { ", GRO client" } else { "" }
            ),
            servers: with_floors(window, &EVERYBODY),
            quick: QUICK.contains(&name),
            columns: BULK,
            work: Work::Tftp(work),
        }
    };
    let (mib, ramdisk, initrd) = (File::Mib, File::Ramdisk, File::Initrd);
    vec![
        one("b512w1", 512, 1, false, 8, mib),
        one("b1428w1", 1428, 1, false, 1, ramdisk),
        one("b1468w1", 1468, 1, false, 1, ramdisk),
        one("c_w4", 1428, 4, false, 1, initrd),
        one("c_w16", 1428, 16, false, 1, initrd),
        one("c_w64", 1428, 64, false, 2, initrd),
        one("c_w64g", 1428, 64, true, 3, initrd),
        one("b1468w16", 1468, 16, false, 1, initrd),
        one("b1468w64", 1468, 64, false, 2, initrd),
    ]
}

pub(super) fn storms() -> Vec<Case> {
    let storm = |name, clients, window, gro, file, file_windowless| Case {
        name,
        what: format!(
            "storm of {clients} clients, {} each, block size 1428, window {window}{}",
            size(file),
            if gro { ", GRO clients" } else { "" }
        ),
        servers: with_floors(window, &EVERYBODY),
        quick: QUICK.contains(&name),
        columns: STORM,
        work: Work::Tftp(Tftp {
            clients,
            file,
            file_windowless,
            gro,
            ..Tftp::of(1428, window)
        }),
    };
    let (kernel, mib, quarter) = (File::Kernel, File::Mib, File::Quarter);
    vec![
        storm("d64s_w1", 64, 1, false, mib, mib),
        storm("d64s_w16", 64, 16, false, kernel, mib),
        storm("d256s_w1", 256, 1, false, mib, mib),
        storm("d256s_w16", 256, 16, false, kernel, mib),
        storm("d256s_w16g", 256, 16, true, kernel, mib),
        storm("d1000s_w1", 1000, 1, false, quarter, quarter),
        storm("d1000s_w16", 1000, 16, false, mib, quarter),
    ]
}

pub(super) fn small_files() -> Case {
    Case {
        name: "e_small",
        what: "many small files: 256 clients x 20 x 4 KiB, block size 1428".into(),
        servers: EVERYBODY.to_vec(),
        quick: true,
        columns: SMALL,
        work: Work::Tftp(Tftp {
            clients: 256,
            fetches: 20,
            file: File::Small,
            file_windowless: File::Small,
            ..Tftp::of(1428, 1)
        }),
    }
}

pub(super) fn memory() -> Case {
    Case {
        name: "m256",
        what: "memory of a storm: 256 clients, 1 MiB each, window 16, GRO clients".into(),
        servers: EVERYBODY.to_vec(),
        quick: true,
        columns: MEMORY,
        work: Work::Tftp(Tftp {
            clients: 256,
            file: File::Mib,
            file_windowless: File::Quarter,
            gro: true,
            memory: true,
            ..Tftp::of(1428, 16)
        }),
    }
}

pub(super) fn software_path() -> Vec<Case> {
    let case = |name, window| {
        let mut servers = with_floors(window, &EVERYBODY);
        servers.insert(1, Kind::FarrierNoGso);
        Case {
            name,
            what: format!(
                "a path without offloads: one client, 64 MiB, block size 1428, window {window}"
            ),
            servers,
            quick: QUICK.contains(&name),
            columns: BULK,
            work: Work::Tftp(Tftp {
                file: File::Initrd,
                file_windowless: File::Kernel,
                path: Path::Software,
                ..Tftp::of(1428, window)
            }),
        }
    };
    vec![case("sw_w16", 16), case("sw_w64", 64)]
}

pub(super) fn flood() -> Case {
    Case {
        name: "g_flood",
        what:
            "100,000 requests from forged addresses, 5,000 a second; a real client fetches 256 KiB \
               again and again"
                .into(),
        // tftpd-hpa would fork for each of them, and async-tftp hold a file for each.
        servers: vec![Kind::Farrier, Kind::Dnsmasq, Kind::Atftpd, Kind::RsTftpd],
        quick: false,
        columns: FLOOD,
        work: Work::Flood(100_000, 5000),
    }
}

impl Tftp {
    /// One client that fetches one file on a good cable, with a timer as firmware has it.
    pub(super) fn of(blksize: u16, window: u16) -> Self {
        Self {
            clients: 1,
            fetches: 1,
            file: File::Mib,
            file_windowless: File::Mib,
            blksize,
            window,
            gro: false,
            ack_every_gap: false,
            timer: Duration::from_secs(1),
            impairments: Impairments::default(),
            path: Path::Veth,
            limit: Duration::from_secs(120),
            memory: false,
        }
    }
}

/// The servers and the floors for this window.
fn with_floors(window: u16, servers: &[Kind]) -> Vec<Kind> {
    let mut all = servers.to_vec();
    all.push(Kind::FloorPlain);
    if window > 1 {
        all.push(Kind::FloorGso);
    }
    all
}

/// Every TFTP server.
pub(super) const EVERYBODY: [Kind; 6] = [
    Kind::Farrier,
    Kind::Dnsmasq,
    Kind::Atftpd,
    Kind::TftpdHpa,
    Kind::RsTftpd,
    Kind::AsyncTftp,
];
