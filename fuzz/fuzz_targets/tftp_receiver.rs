//! Any sequence of datagrams and waits to a client's get: see the model.
#![no_main]

#[allow(dead_code, reason = "each target uses one of the two")]
#[path = "../../crates/tftp/tests/common/model_incoming.rs"]
mod model_incoming;
#[allow(dead_code, reason = "each target uses its part")]
#[path = "../../crates/tftp/tests/common/model_parts.rs"]
mod model_parts;

use std::time::Instant;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    model_incoming::run_receiver(data, Instant::now());
});
