//! Any write request, then any sequence of datagrams, waits and a slow disk, to the server's side: see the model.
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
    model_incoming::run_writer(data, Instant::now());
});
