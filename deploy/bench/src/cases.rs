//! What is measured: the list of cases.

use crate::client::dhcp::Pace;
use crate::client::impair::Impairments;
use crate::net::Path;
use crate::results::Column;
use crate::servers::{Kind, Role};
use std::time::Duration;

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub what: String,
    /// Who takes part.
    pub servers: Vec<Kind>,
    /// Of five rounds, how many this case needs: long ones fewer.
    pub rounds_of_five: usize,
    /// Whether it is in the quick run.
    pub quick: bool,
    /// The columns of its table.
    pub columns: &'static [Column],
    /// What is done in a round.
    pub work: Work,
}

/// What is done in a round.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Fetches over TFTP.
    Tftp(Tftp),
    /// Machines that ask for a boot server.
    Dhcp(Dhcp),
    /// Requests over HTTP.
    Http(Http),
    /// So many forged requests, so many a second, and a real client among them.
    Flood(usize, u32),
    /// So many machines, all the way: OFFER, loader over TFTP, kernel and initial RAM disk over
    /// HTTP.
    Boot(usize),
}

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    /// 1 MiB, as a loader.
    Loader,
    /// 4 KiB.
    Small,
    /// 256 KiB.
    Quarter,
    /// 1 MiB.
    Mib,
    /// 4 MiB.
    Kernel,
    /// 64 MiB.
    Initrd,
    /// 512 MiB, over HTTP only.
    Image,
}

/// A TFTP load.
#[derive(Clone, Debug)]
pub(crate) struct Tftp {
    /// Clients at once.
    pub clients: usize,
    /// Fetches of each.
    pub fetches: usize,
    /// What they fetch.
    pub file: File,
    /// What servers without `windowsize` are given instead when windows are measured: rates are
    /// the same with less of it, and the whole run stays bearable.
    pub file_windowless: File,
    /// Block size asked for.
    pub blksize: u16,
    /// Window asked for.
    pub window: u16,
    /// Receive merged datagrams.
    pub gro: bool,
    /// EDK2's manner.
    pub ack_every_gap: bool,
    /// The client's own timer.
    pub timer: Duration,
    /// The cable.
    pub impairments: Impairments,
    /// By which pair.
    pub path: Path,
    /// When everything must be done.
    pub limit: Duration,
    /// Whether memory is watched, which costs some time itself.
    pub memory: bool,
}

/// A proxyDHCP load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dhcp {
    /// How many machines ask.
    pub asks: usize,
    /// How they come.
    pub pace: Pace,
    /// How many machines the server knows.
    pub known: usize,
}

/// An HTTP load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http {
    /// Connections at once.
    pub connections: usize,
    /// Requests on each.
    pub requests: usize,
    /// What is asked for.
    pub file: File,
}

impl Case {
    /// What its servers must be ready for.
    pub(crate) fn role(&self) -> Role {
        match &self.work {
            Work::Tftp(_) | Work::Flood(..) => Role::Tftp,
            Work::Boot(_) => Role::Dhcp { known: 0 },
            Work::Dhcp(dhcp) => Role::Dhcp { known: dhcp.known },
            Work::Http(_) => Role::Http,
        }
    }

    /// The same with less to do, for a look that takes minutes: ratios are rougher, and fixed
    /// costs weigh more.
    pub(crate) fn quickly(mut self) -> Self {
        let less = |file| match file {
            File::Kernel => File::Mib,
            File::Mib => File::Quarter,
            file => file,
        };
        match &mut self.work {
            Work::Tftp(tftp) => {
                if tftp.clients == 1 {
                    // Window 1 takes seconds for what a window does in one tenth.
                    tftp.file_windowless = File::Kernel;
                    match tftp.window {
                        1 => (tftp.file, tftp.fetches) = (File::Kernel, 4),
                        _ => tftp.fetches = tftp.fetches.div_ceil(3),
                    }
                } else {
                    tftp.file = less(tftp.file);
                    tftp.file_windowless = less(tftp.file_windowless);
                }
                tftp.limit = tftp.limit.min(Duration::from_secs(15));
            }
            Work::Dhcp(_) | Work::Flood(..) | Work::Boot(_) => {}
            Work::Http(http) => http.requests = http.requests.div_ceil(2),
        }
        self
    }
}

/// Every case, in the order they run.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(one_client());
    cases.extend(storms());
    cases.push(small_files());
    cases.push(memory());
    cases.extend(loss());
    cases.extend(software_path());
    cases.extend(dhcp());
    cases.extend(http());
    cases.push(flood());
    cases.push(boot());
    cases
}

fn one_client() -> Vec<Case> {
    let one = |name, rounds_of_five, blksize, window, gro, fetches| {
        let file = match blksize {
            512 => "16 x 1 MiB".to_owned(),
            _ => format!("{fetches} x 64 MiB"),
        };
        let mut work = Tftp {
            fetches,
            file: File::Initrd,
            file_windowless: File::Initrd,
            ..Tftp::of(blksize, window)
        };
        if blksize == 512 {
            work.file = File::Mib;
            work.fetches = 16;
        }
        work.gro = gro;
        Case {
            name,
            what: format!(
                "one client, {file}, block size {blksize}, window {window}{}",
                if gro { ", GRO client" } else { "" }
            ),
            servers: with_floors(window, &EVERYBODY),
            rounds_of_five,
            quick: QUICK.contains(&name),
            columns: BULK,
            work: Work::Tftp(work),
        }
    };
    vec![
        one("b512w1", 3, 512, 1, false, 1),
        one("b1428w1", 5, 1428, 1, false, 1),
        one("b1468w1", 3, 1468, 1, false, 1),
        one("c_w4", 5, 1428, 4, false, 2),
        one("c_w16", 5, 1428, 16, false, 3),
        one("c_w64", 5, 1428, 64, false, 4),
        one("c_w64g", 5, 1428, 64, true, 8),
        one("b1468w16", 3, 1468, 16, false, 3),
        one("b1468w64", 3, 1468, 64, false, 4),
    ]
}

fn storms() -> Vec<Case> {
    let storm = |name, rounds_of_five, clients, window, gro, file, file_windowless| Case {
        name,
        what: format!(
            "storm of {clients} clients, {} each, block size 1428, window {window}{}",
            size(file),
            if gro { ", GRO clients" } else { "" }
        ),
        servers: with_floors(window, &EVERYBODY),
        rounds_of_five,
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
        storm("d64s_w1", 3, 64, 1, false, mib, mib),
        storm("d64s_w16", 3, 64, 16, false, kernel, mib),
        storm("d256s_w1", 3, 256, 1, false, mib, mib),
        storm("d256s_w16", 3, 256, 16, false, kernel, quarter),
        storm("d256s_w16g", 5, 256, 16, true, kernel, quarter),
        storm("d1000s_w1", 2, 1000, 1, false, quarter, quarter),
        storm("d1000s_w16", 2, 1000, 16, false, mib, quarter),
    ]
}

fn small_files() -> Case {
    Case {
        name: "e_small",
        what: "many small files: 256 clients x 20 x 4 KiB, block size 1428".into(),
        servers: EVERYBODY.to_vec(),
        rounds_of_five: 5,
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

fn memory() -> Case {
    Case {
        name: "m256",
        what: "memory of a storm: 256 clients, 1 MiB each, window 16, GRO clients".into(),
        servers: EVERYBODY.to_vec(),
        rounds_of_five: 1,
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

fn loss() -> Vec<Case> {
    let case = |name, what: &str, window, file, work: fn(&mut Tftp)| {
        let mut tftp = Tftp {
            clients: 32,
            file,
            file_windowless: File::Quarter,
            limit: Duration::from_secs(40),
            ..Tftp::of(1428, window)
        };
        work(&mut tftp);
        Case {
            name,
            what: format!("{what}: 32 clients, {} each, window {window}", size(file)),
            servers: EVERYBODY.to_vec(),
            rounds_of_five: 2,
            quick: QUICK.contains(&name),
            columns: LOSS,
            work: Work::Tftp(tftp),
        }
    };
    vec![
        case("f1_w1", "1 % of DATA lost", 1, File::Quarter, |t| {
            t.impairments.lose_data = 10;
        }),
        case("f1_w16", "1 % of DATA lost", 16, File::Mib, |t| {
            t.impairments.lose_data = 10;
        }),
        case(
            "f1_w16e",
            "1 % of DATA lost, an ACK for every gap (EDK2)",
            16,
            File::Mib,
            |t| {
                t.impairments.lose_data = 10;
                t.ack_every_gap = true;
            },
        ),
        case(
            "fa1_w1",
            "0.5 % of DATA and of ACKs lost, client's timer 4 s",
            1,
            File::Quarter,
            |t| {
                t.impairments.lose_data = 5;
                t.impairments.lose_acks = 5;
                t.timer = Duration::from_secs(4);
            },
        ),
        case("f5_w1", "5 % of DATA lost", 1, File::Quarter, |t| {
            t.impairments.lose_data = 50;
        }),
        case("f5_w16", "5 % of DATA lost", 16, File::Mib, |t| {
            t.impairments.lose_data = 50;
        }),
        case(
            "fr_w1",
            "10 % reordered, 10 % doubled",
            1,
            File::Quarter,
            |t| {
                t.impairments.reorder = 100;
                t.impairments.duplicate = 100;
            },
        ),
        case(
            "fr_w16",
            "10 % reordered, 10 % doubled",
            16,
            File::Mib,
            |t| {
                t.impairments.reorder = 100;
                t.impairments.duplicate = 100;
            },
        ),
    ]
}

fn software_path() -> Vec<Case> {
    let case = |name, window| {
        let mut servers = with_floors(window, &EVERYBODY);
        servers.insert(1, Kind::FarrierNoGso);
        Case {
            name,
            what: format!(
                "a path without offloads: one client, 2 x 64 MiB, block size 1428, window {window}"
            ),
            servers,
            rounds_of_five: 3,
            quick: QUICK.contains(&name),
            columns: BULK,
            work: Work::Tftp(Tftp {
                fetches: 2,
                file: File::Initrd,
                file_windowless: File::Initrd,
                path: Path::Software,
                ..Tftp::of(1428, window)
            }),
        }
    };
    vec![case("sw_w16", 16), case("sw_w64", 64)]
}

fn dhcp() -> Vec<Case> {
    let case = |name, what: String, asks, pace, known| Case {
        name,
        what: format!("proxyDHCP: UEFI x64 machines ask, {what}"),
        servers: vec![Kind::Farrier, Kind::Dnsmasq, Kind::FloorOffer],
        rounds_of_five: 5,
        quick: QUICK.contains(&name),
        columns: DHCP,
        work: Work::Dhcp(Dhcp { asks, pace, known }),
    };
    let one = Pace::AtOnce(1);
    vec![
        case("dhcp_k1", "one at a time".into(), 2000, one, 0),
        case(
            "dhcp_k1_hosts",
            "one at a time, all of 2,000 that the server knows".into(),
            2000,
            one,
            2000,
        ),
        case("dhcp_k16", "16 at once".into(), 6000, Pace::AtOnce(16), 0),
        case(
            "dhcp_k128",
            "128 at once".into(),
            6000,
            Pace::AtOnce(128),
            0,
        ),
        case(
            "dhcp_open",
            "5,000 a second, answered or not".into(),
            5000,
            Pace::EachSecond(5000),
            0,
        ),
    ]
}

fn http() -> Vec<Case> {
    let case = |name, rounds_of_five, file, connections, requests, columns| Case {
        name,
        what: format!(
            "HTTP: {connections} connections, {requests} x {} on each",
            size(file)
        ),
        servers: vec![Kind::Farrier, Kind::Nginx],
        rounds_of_five,
        quick: QUICK.contains(&name),
        columns,
        work: Work::Http(Http {
            connections,
            requests,
            file,
        }),
    };
    vec![
        case("http_64m_c1", 5, File::Initrd, 1, 32, BULK),
        case("http_64m_c16", 3, File::Initrd, 16, 4, BULK),
        case("http_64m_c64", 5, File::Initrd, 64, 1, BULK),
        case("http_512m_c1", 5, File::Image, 1, 4, BULK),
        case("http_512m_c16", 2, File::Image, 16, 1, BULK),
        case("http_1m_c64", 5, File::Mib, 64, 32, BULK),
        case("http_4k_c64", 5, File::Small, 64, 600, REQUESTS),
    ]
}

fn flood() -> Case {
    Case {
        name: "g_flood",
        what:
            "100,000 requests from forged addresses, 5,000 a second; a real client fetches 256 KiB \
               again and again"
                .into(),
        // tftpd-hpa would fork for each of them, and async-tftp hold a file for each.
        servers: vec![Kind::Farrier, Kind::Dnsmasq, Kind::Atftpd, Kind::RsTftpd],
        rounds_of_five: 1,
        quick: false,
        columns: FLOOD,
        work: Work::Flood(100_000, 5000),
    }
}

fn boot() -> Case {
    Case {
        name: "h_boot32",
        what:
            "32 machines all the way: OFFER, 1 MiB over TFTP (window 4), 4 MiB and 64 MiB over HTTP"
                .into(),
        servers: vec![Kind::Farrier],
        rounds_of_five: 3,
        quick: true,
        columns: BOOT,
        work: Work::Boot(32),
    }
}

impl Tftp {
    /// One client that fetches one file on a good cable, with a timer as firmware has it.
    fn of(blksize: u16, window: u16) -> Self {
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

fn size(file: File) -> &'static str {
    match file {
        File::Small => "4 KiB",
        File::Quarter => "256 KiB",
        File::Mib | File::Loader => "1 MiB",
        File::Kernel => "4 MiB",
        File::Initrd => "64 MiB",
        File::Image => "512 MiB",
    }
}

/// Every TFTP server.
const EVERYBODY: [Kind; 6] = [
    Kind::Farrier,
    Kind::Dnsmasq,
    Kind::Atftpd,
    Kind::TftpdHpa,
    Kind::RsTftpd,
    Kind::AsyncTftp,
];

/// The cases that the goals are about, but for the longest.
const QUICK: [&str; 16] = [
    "b1428w1",
    "c_w4",
    "c_w16",
    "c_w64",
    "d256s_w1",
    "d256s_w16",
    "d256s_w16g",
    "f1_w1",
    "f1_w16",
    "sw_w16",
    "dhcp_k1",
    "dhcp_k16",
    "dhcp_open",
    "http_64m_c1",
    "http_64m_c64",
    "http_4k_c64",
];

const fn column(key: &'static str, title: &'static str, ratio: bool) -> Column {
    Column { key, title, ratio }
}
const BULK: &[Column] = &[
    column("mb_s", "MB/s", true),
    column("cpu_s_gib", "CPU s/GiB", true),
    column("failed", "failed", false),
];
const STORM: &[Column] = &[
    column("mb_s", "MB/s", true),
    column("cpu_s_gib", "CPU s/GiB", true),
    column("p50_s", "p50 s", false),
    column("p99_s", "p99 s", false),
    column("request_repeats", "RRQ again", false),
    column("failed", "failed", false),
];
const SMALL: &[Column] = &[
    column("per_s", "files/s", true),
    column("cpu_us", "CPU us/file", true),
    column("p50_ms", "p50 ms", false),
    column("p99_ms", "p99 ms", false),
    column("request_repeats", "RRQ again", false),
    column("failed", "failed", false),
];
const DHCP: &[Column] = &[
    column("per_s", "OFFERs/s", true),
    column("cpu_us", "CPU us/OFFER", true),
    column("p50_us", "p50 us", false),
    column("p99_us", "p99 us", false),
    column("lost", "lost", false),
];
const REQUESTS: &[Column] = &[
    column("per_s", "requests/s", true),
    column("cpu_us", "CPU us/request", true),
    column("p99_ms", "p99 ms", false),
    column("failed", "failed", false),
];
const FLOOD: &[Column] = &[
    column("p50_ms", "p50 ms", false),
    column("p99_ms", "p99 ms", false),
    column("done", "fetched", false),
    column("failed", "failed", false),
    column("cpu_s", "CPU s", true),
    column("grown_kib", "grown by KiB", false),
    column("processes", "processes", false),
    column("threads", "threads", false),
];
const BOOT: &[Column] = &[
    column("wall_s", "s", false),
    column("offer_ms", "OFFERs ms", false),
    column("tftp_s", "TFTP s", false),
    column("http_s", "HTTP s", false),
    column("cpu_ms", "CPU ms/machine", false),
    column("failed", "failed", false),
];
const LOSS: &[Column] = &[
    column("p50_s", "p50 s", true),
    column("p99_s", "p99 s", true),
    column("duplicates_pct", "duplicates %", false),
    column("cpu_s_gib", "CPU s/GiB", true),
    column("failed", "failed", false),
];
const MEMORY: &[Column] = &[
    column("kib_per_client", "anonymous KiB/client", true),
    column("peak_kib", "peak anonymous KiB", false),
    column("processes", "processes", false),
    column("threads", "threads", false),
    column("failed", "failed", false),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_everybody_is_measured_against_us() {
        let cases = all();
        let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        for case in &cases {
            assert_eq!(case.servers[0], Kind::Farrier, "{}", case.name);
            assert!((1..=5).contains(&case.rounds_of_five), "{}", case.name);
        }
    }
}
