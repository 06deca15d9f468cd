//! What holds of any text that is taken for a link: it is one only if it is spelled as it was
//! minted. The fuzz target `link` runs it.

use answers::links::{LinkFault, LinkKey, hidden, mint, verify};
use bootplan::{LinkPurpose, MachineId, Timestamp, VerifiedLink};

/// A text as it came, and the same octets as a recipe for damaging a good link: pairs of place
/// and octet. Whether a link was accepted.
pub fn run(data: &[u8]) -> bool {
    let key = LinkKey::new([7; 32]);
    let good = VerifiedLink {
        purpose: LinkPurpose::Answers,
        machine: MachineId(12),
        run: 34,
        try_number: 2,
        expires: Timestamp(1_900_000_000_000),
    };
    let minted = mint(&key, &good);
    let mut damaged = minted.clone().into_bytes();
    for pair in data.chunks_exact(2).take(4) {
        let place = usize::from(pair[0]) % damaged.len();
        damaged[place] = pair[1];
    }
    let damaged = String::from_utf8_lossy(&damaged).into_owned();
    let raw = String::from_utf8_lossy(data).into_owned();
    let accepted = [damaged, raw].map(|text| one(&key, &text, &minted, good));
    accepted.contains(&true)
}

fn one(key: &LinkKey, text: &str, minted: &str, good: VerifiedLink) -> bool {
    let other_purpose = verify(key, LinkPurpose::Report, text, Timestamp(0));
    assert_eq!(other_purpose, Err(LinkFault::Unknown), "{text}");
    if text.len() > 8 && !text.contains('/') {
        let shown = hidden(&format!("/a/{text}/x"));
        assert!(!shown.contains(text), "{shown}");
    }
    let early = verify(key, LinkPurpose::Answers, text, Timestamp(0));
    let late = verify(key, LinkPurpose::Answers, text, Timestamp(i64::MAX));
    if text == minted {
        assert_eq!(early, Ok(good));
        assert_eq!(late, Err(LinkFault::Expired(good)));
    } else {
        assert_eq!(early, Err(LinkFault::Unknown), "{text}");
        assert_eq!(late, Err(LinkFault::Unknown), "{text}");
    }
    text == minted
}
