//! Prints the DHCP requests of a capture as hexadecimal text: how `fixtures/` was made.
//!
//! `cargo run -p testkit --example dhcp_requests -- capture.pcap`

use testkit::{hex, pcap};

fn main() -> std::io::Result<()> {
    for path in std::env::args().skip(1) {
        let requests = pcap::datagrams(&std::fs::read(&path)?)
            .into_iter()
            .filter(|d| matches!(d.to.port(), 67 | 4011) && d.bytes.first() == Some(&1));
        for request in requests {
            println!("# {} -> {}", request.from, request.to);
            println!("{}", hex::text(&request.bytes));
        }
    }
    Ok(())
}
