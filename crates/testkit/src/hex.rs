//! Octets as text that people can read and diff.

/// Reads hexadecimal digits; white space, and everything from `#` to the end of a line, is left
/// out.
///
/// # Panics
/// On anything else: fixtures are part of the tests.
pub fn octets(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or("").chars())
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "an even number of digits");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Writes octets as lines of 32.
pub fn text(octets: &[u8]) -> String {
    let line = |chunk: &[u8]| -> String { chunk.iter().map(|b| format!("{b:02x}")).collect() };
    octets.chunks(32).map(|c| line(c) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(octets(&text(&all)), all);
        assert_eq!(octets("0a 0B # tail\n\n# whole line\nff"), [10, 11, 255]);
    }
}
