//! netascii of RFC 1350: on the wire a line ends in CR LF and a lone CR is CR NUL.
//!
//! Conversion comes before the cut into blocks, so a pair may lie across two of them; both directions carry
//! the odd half along.

const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// To the wire: converts from `input` to the end of `out` until `room` octets were written, `pending` being the
/// second half of a pair whose first half ended the previous block. Returns how much of `input` was used.
pub(crate) fn encode(
    input: &[u8],
    pending: &mut Option<u8>,
    room: usize,
    out: &mut Vec<u8>,
) -> usize {
    let end = out.len() + room;
    let mut used = 0;
    while out.len() < end {
        if let Some(half) = pending.take() {
            out.push(half);
            continue;
        }
        let Some(&octet) = input.get(used) else {
            break;
        };
        used += 1;
        match octet {
            LF => {
                out.push(CR);
                *pending = Some(LF);
            }
            CR => {
                out.push(CR);
                *pending = Some(0);
            }
            other => out.push(other),
        }
    }
    used
}

/// From the wire: converts one block's content to the end of `out`; `held` says whether the previous block
/// ended in a CR whose meaning is still open.
pub(crate) fn decode(input: &[u8], held: &mut bool, out: &mut Vec<u8>) {
    for &octet in input {
        if std::mem::take(held) {
            match octet {
                LF => {
                    out.push(LF);
                    continue;
                }
                0 => {
                    out.push(CR);
                    continue;
                }
                _ => out.push(CR), // not netascii; keep what came
            }
        }
        if octet == CR {
            *held = true;
        } else {
            out.push(octet);
        }
    }
}

/// At the end of the transfer: a CR that nothing followed is kept.
pub(crate) fn finish(held: &mut bool, out: &mut Vec<u8>) {
    if std::mem::take(held) {
        out.push(CR);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to_wire(input: &[u8], block: usize) -> Vec<Vec<u8>> {
        let (mut blocks, mut pending, mut at) = (Vec::new(), None, 0);
        loop {
            let mut out = Vec::new();
            at += encode(&input[at..], &mut pending, block, &mut out);
            let last = out.len() < block;
            blocks.push(out);
            if last {
                return blocks;
            }
        }
    }

    fn from_wire(blocks: &[Vec<u8>]) -> Vec<u8> {
        let (mut out, mut held) = (Vec::new(), false);
        for block in blocks {
            decode(block, &mut held, &mut out);
        }
        finish(&mut held, &mut out);
        out
    }

    #[test]
    fn pairs_on_the_wire() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"a\nb", b"a\r\nb"),
            (b"a\rb", b"a\r\0b"),
            (b"a\r\nb", b"a\r\0\r\nb"),
            (b"\n", b"\r\n"),
            (b"\r", b"\r\0"),
            (b"", b""),
        ];
        for (local, wire) in cases {
            assert_eq!(to_wire(local, 100).concat(), wire, "{local:?}");
        }
    }

    #[test]
    fn a_pair_lies_across_a_block_border() {
        let blocks = to_wire(b"1234567\n9", 8);
        assert_eq!(blocks, [b"1234567\r".to_vec(), b"\n9".to_vec()]);
        assert_eq!(from_wire(&blocks), b"1234567\n9");
    }

    #[test]
    fn what_is_not_netascii_is_kept() {
        assert_eq!(from_wire(&[b"a\rb\r".to_vec()]), b"a\rb\r");
    }

    proptest! {
        #[test]
        fn there_and_back(text in prop::collection::vec(prop::sample::select(vec![b'a', CR, LF, 0]), 0..200),
                          block in 1_usize..20) {
            prop_assert_eq!(from_wire(&to_wire(&text, block)), text);
        }
    }
}
