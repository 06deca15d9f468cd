//! Any request, then any sequence of datagrams, waits and missing content, to a transfer: see the model.
#![no_main]

#[path = "../../crates/tftp/tests/common/model.rs"]
mod model;
#[allow(dead_code, reason = "each target uses its part")]
#[path = "../../crates/tftp/tests/common/model_parts.rs"]
mod model_parts;

use std::time::Instant;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    model::run(data, Instant::now());
});
