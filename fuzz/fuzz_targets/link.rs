//! Any text in a link's place: it is a link only if it is spelled as it was minted.
#![no_main]

#[path = "../../crates/answers/tests/common/model_link.rs"]
mod model_link;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    model_link::run(data);
});
