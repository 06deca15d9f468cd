//! proxyDHCP, and machines that go all the way.

use super::columns::{BOOT, DHCP};
use super::{Case, Dhcp, QUICK, Work};
use crate::client::dhcp::Pace;
use crate::servers::Kind;

pub(super) fn dhcp() -> Vec<Case> {
    let case = |name, what: String, asks, pace, known| Case {
        name,
        what: format!("proxyDHCP: UEFI x64 machines ask, {what}"),
        servers: vec![Kind::Farrier, Kind::Dnsmasq, Kind::FloorOffer],
        quick: QUICK.contains(&name),
        columns: DHCP,
        work: Work::Dhcp(Dhcp { asks, pace, known }),
    };
    let one = Pace::AtOnce(1);
    let known = |pace: &str| format!("{pace}, all of 2,000 that the server knows");
    let open = "5,000 a second, answered or not";
    vec![
        case("dhcp_k1", "one at a time".into(), 2000, one, 0),
        case("dhcp_k1_hosts", known("one at a time"), 2000, one, 2000),
        case("dhcp_k16", "16 at once".into(), 6000, Pace::AtOnce(16), 0),
        case(
            "dhcp_k16_hosts",
            known("16 at once"),
            2000,
            Pace::AtOnce(16),
            2000,
        ),
        case(
            "dhcp_k128",
            "128 at once".into(),
            6000,
            Pace::AtOnce(128),
            0,
        ),
        case("dhcp_open", open.into(), 5000, Pace::EachSecond(5000), 0),
        case(
            "dhcp_open_hosts",
            known(open),
            2000,
            Pace::EachSecond(5000),
            2000,
        ),
    ]
}

pub(super) fn boot() -> Case {
    Case {
        name: "h_boot32",
        what: "32 UEFI machines at once, all the way: DISCOVER, port 4011 where asked to, then by \
               TFTP 1 MiB (window 4), 4 MiB and 16 MiB (window 1)"
            .into(),
        servers: vec![Kind::Farrier, Kind::Dnsmasq],
        quick: true,
        columns: BOOT,
        work: Work::Boot(32),
    }
}
