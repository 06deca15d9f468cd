//! Any datagram on port 69: parsed, negotiated, and never answered with more than it may cost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tftp::options::negotiate;
use tftp::packet::Packet;
use tftp::{Limits, parse_request};

fuzz_target!(|data: &[u8]| {
    let _ = Packet::parse(data);
    let Ok(request) = parse_request(data) else {
        return;
    };
    assert!(!request.name.is_empty() && !request.name.contains(&0));
    if let Some(refusal) = request.refusal() {
        assert!(refusal.to_datagram().len() <= 64);
        return;
    }
    let mut oack = Vec::new();
    let limits = Limits::default();
    let agreed = negotiate(&request, u64::MAX, &limits, &mut oack);
    assert!((8..=limits.blksize_cap).contains(&agreed.blksize));
    assert!((1..=limits.windowsize_cap).contains(&agreed.windowsize));
    assert!(
        3 * oack.len() <= 5 * data.len(),
        "three offers cost too much"
    );
    let answered = match Packet::parse(&oack) {
        Some(Packet::Oack(pairs)) => pairs,
        _ => Vec::new(),
    };
    let mut asked = request.options.iter();
    for pair in answered {
        assert!(asked.any(|asked| asked.name == pair.name), "not asked for");
    }
});
