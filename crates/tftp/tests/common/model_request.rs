//! What holds of any datagram on port 69: it is parsed or not, and what is offered to it was asked for and costs little.
//! The fuzz target `tftp_request` runs it.

use tftp::options::negotiate;
use tftp::packet::Packet;
use tftp::{Limits, parse_request};

/// Checks one datagram; whether it is a request that is served.
pub fn run(data: &[u8]) -> bool {
    let _ = Packet::parse(data);
    let Ok(request) = parse_request(data) else {
        return false;
    };
    assert!(!request.name.is_empty() && !request.name.contains(&0));
    if let Some(refusal) = request.refusal() {
        assert!(refusal.to_datagram().len() <= 64);
        return false;
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
    true
}
