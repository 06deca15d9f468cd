//! Any sequence of datagrams and waits to a client's put: see the model.
#![no_main]

#[path = "../../crates/tftp/tests/common/model_put.rs"]
mod model_put;
#[allow(dead_code, reason = "each target uses its part")]
#[path = "../../crates/tftp/tests/common/model_parts.rs"]
mod model_parts;

use std::time::Instant;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    model_put::run(data, Instant::now());
});
