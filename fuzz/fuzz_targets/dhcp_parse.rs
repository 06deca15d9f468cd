//! Any datagram on port 67 or 4011: parsed, and answered when it parses.
//!
//! `cargo fuzz run dhcp_parse corpus/dhcp_parse seeds/dhcp_parse -- -max_len=1500`
#![no_main]

#[path = "../../crates/proxydhcp/tests/common/model.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    model::run(data);
});
