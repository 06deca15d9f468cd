//! Any template, snippet and value: rendering ends, is bounded, and shows no secret.
#![no_main]

#[path = "../../crates/answers/tests/common/model_render.rs"]
mod model_render;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    model_render::run(data);
});
