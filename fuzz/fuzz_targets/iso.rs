//! Any octets written over a sound ISO 9660 or UDF image: see the model.
#![no_main]

#[allow(dead_code, reason = "the test uses more of it")]
#[path = "../../crates/media/tests/common/model.rs"]
mod model;

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static IMAGES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    model::run(IMAGES.get_or_init(model::images), data);
});
