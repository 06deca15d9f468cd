//! What is measured: the list of cases.

mod columns;
mod dhcp;
mod http;
mod loss;
mod tftp;

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
    /// So many machines, all the way from DISCOVER to the last byte of the initial RAM disk.
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
    /// 16 MiB.
    Ramdisk,
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
                if tftp.clients > 1 {
                    tftp.file = less(tftp.file);
                    tftp.file_windowless = less(tftp.file_windowless);
                }
                tftp.limit = tftp.limit.min(Duration::from_secs(15));
            }
            Work::Dhcp(_) | Work::Http(_) | Work::Flood(..) | Work::Boot(_) => {}
        }
        self
    }
}

/// Every case, in the order they run.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(tftp::one_client());
    cases.extend(tftp::storms());
    cases.push(tftp::small_files());
    cases.push(tftp::memory());
    cases.extend(loss::loss());
    cases.extend(tftp::software_path());
    cases.extend(dhcp::dhcp());
    cases.extend(http::http());
    cases.push(tftp::flood());
    cases.push(dhcp::boot());
    cases
}

fn size(file: File) -> &'static str {
    match file {
        File::Small => "4 KiB",
        File::Quarter => "256 KiB",
        File::Mib | File::Loader => "1 MiB",
        File::Kernel => "4 MiB",
        File::Ramdisk => "16 MiB",
        File::Initrd => "64 MiB",
        File::Image => "512 MiB",
    }
}

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
        }
    }
}
