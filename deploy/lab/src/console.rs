//! What a machine printed on its serial port, made fit for matching.
//!
//! SeaBIOS mirrors the text screen to the port: it wraps at 80 columns and jumps with the cursor
//! in the middle of words; installers draw boxes. So matching ignores escape sequences and all
//! white space on both sides, and markers are short.

/// Removes escape sequences and control characters; cursor jumps become line ends.
pub(crate) fn clean(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => {
                    let last = chars.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c));
                    if matches!(last, Some('H' | 'f' | 'J')) && !out.ends_with('\n') {
                        out.push('\n');
                    }
                }
                // Character set choices (`ESC ( B`) take one more character.
                Some('(' | ')' | '#' | '%') => {
                    chars.next();
                }
                _ => {}
            },
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            // A carriage return before a line end is part of it; alone it overwrites the line.
            '\r' => {
                if chars.peek() != Some(&'\n') && !out.ends_with('\n') {
                    out.push('\n');
                }
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Where `marker` ends in `text` (both with white space ignored), counted in letters.
pub(crate) fn find(text: &str, marker: &str) -> bool {
    squeeze(text).contains(&squeeze(marker))
}

/// The last `lines` lines that hold anything, for error messages.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|l| !l.is_empty())
        .collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn squeeze(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_through_what_firmware_does_to_it() {
        let cases: [(&[u8], &str); 5] = [
            (
                b"\x1b[2J\x1b[01;01HSeaBIOS (version 1.16)",
                "SeaBIOS (version",
            ),
            (b"http://10.77.0.2/ima\x1b[5;1Hges/linux", "images/linux"),
            (b"Select a lang\r\nuage", "Select a language"),
            (b"\x1b(B\x1b[0;1mChoose\x1b[0m the lang", "Choose the lang"),
            (b"\x00\x08ok\xff", "ok"),
        ];
        for (raw, marker) in cases {
            assert!(find(&clean(raw), marker), "{marker:?} in {:?}", clean(raw));
        }
        assert!(!find(
            &clean(b"Select a\x1b[1mlanguage"),
            "Select no language"
        ));
    }

    #[test]
    fn the_tail_skips_empty_lines() {
        assert_eq!(tail("a\n\n b\n   \nc\n", 2), " b\nc");
    }
}
