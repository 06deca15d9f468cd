//! Any datagram on port 67 or 4011: parsed, and answered when it parses.
//!
//! `cargo fuzz run dhcp_parse corpus/dhcp_parse seeds/dhcp_parse -- -max_len=1500`
#![no_main]

use bootplan::{EfiStyle, Endpoint};
use libfuzzer_sys::fuzz_target;
use proxydhcp::{Answer, BootItem, Port, Received, overhear, parse, respond};
use std::net::{Ipv4Addr, SocketAddrV4};

fuzz_target!(|data: &[u8]| {
    let local = Ipv4Addr::new(192, 168, 77, 2);
    let answer = Answer {
        file: "snponly.efi".to_owned(),
        efi_style: EfiStyle::Direct,
        // Clients of this menu and of plain answers, by an octet that nothing else depends on.
        items: data
            .get(235)
            .filter(|b| **b & 1 != 0)
            .map(|_| BootItem {
                kind: 0x8000,
                title: "netboot1".to_owned(),
                file: "pxelinux.0".to_owned(),
            })
            .into_iter()
            .collect(),
        raspberry_pi: data.first().is_some_and(|b| b & 0x80 != 0),
    };
    let server = Endpoint {
        ip: local,
        http_port: 80,
        ui_port: 8080,
    };
    for port in [Port::Dhcp, Port::BootServer] {
        let received = Received {
            bytes: data,
            from: SocketAddrV4::new(Ipv4Addr::new(192, 168, 77, 50), 68),
            to: local,
            port,
            local,
        };
        let Ok(request) = parse(&received) else {
            continue;
        };
        let Ok(reply) = respond(&request, &answer, &server) else {
            continue;
        };
        assert!((300..=1472).contains(&reply.bytes.len()));
        let reflected = Received {
            bytes: &reply.bytes,
            ..received
        };
        assert!(parse(&reflected).is_err(), "we would answer ourselves");
    }
    let _ = overhear(data);
});
