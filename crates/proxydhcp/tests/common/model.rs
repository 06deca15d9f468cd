//! What holds of any datagram on port 67 or 4011: it is parsed or not, what is answered has a size that every client
//! takes, and we never answer our own answer. The fuzz target `dhcp_parse` runs it on octets of its own choice,
//! `tests/corpora.rs` on those that are kept and on their neighbours.

use bootplan::{EfiStyle, Endpoint};
use proxydhcp::{Answer, BootItem, Port, Received, overhear, parse, respond};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Checks one datagram; on how many of the two ports it was answered.
pub fn run(data: &[u8]) -> usize {
    let _ = overhear(data);
    let ports = [Port::Dhcp, Port::BootServer];
    ports
        .iter()
        .filter(|port| is_answered(data, **port))
        .count()
}

fn is_answered(data: &[u8], port: Port) -> bool {
    let local = Ipv4Addr::new(192, 168, 77, 2);
    let received = Received {
        bytes: data,
        from: SocketAddrV4::new(Ipv4Addr::new(192, 168, 77, 50), 68),
        to: local,
        port,
        local,
    };
    let server = Endpoint {
        ip: local,
        http_port: 80,
        ui_port: 8080,
    };
    let Ok(request) = parse(&received) else {
        return false;
    };
    let Ok(reply) = respond(&request, &answer(data), &server) else {
        return false;
    };
    assert!((300..=1472).contains(&reply.bytes.len()));
    let reflected = Received {
        bytes: &reply.bytes,
        ..received
    };
    assert!(parse(&reflected).is_err(), "we would answer ourselves");
    true
}

/// A menu or a plain answer, by octets that nothing else depends on.
fn answer(data: &[u8]) -> Answer {
    let menu = data.get(235).is_some_and(|octet| octet & 1 != 0);
    Answer {
        file: "snponly.efi".to_owned(),
        efi_style: EfiStyle::Direct,
        items: menu
            .then(|| BootItem {
                kind: 0x8000,
                title: "netboot1".to_owned(),
                file: "pxelinux.0".to_owned(),
            })
            .into_iter()
            .collect(),
        raspberry_pi: data.first().is_some_and(|octet| octet & 0x80 != 0),
    }
}
