//! Any datagram on port 69: parsed, negotiated, and never answered with more than it may cost.
#![no_main]

#[path = "../../crates/tftp/tests/common/model_request.rs"]
mod model_request;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    model_request::run(data);
});
