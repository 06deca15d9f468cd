//! What is wrong with a template or with what it made, and where.

use std::fmt;

/// A fault in a template or in a rendered text, with its place. The text is for people and never
/// contains the value of a variable or a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The template or document at fault.
    pub template: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// What is wrong, as a lower-case sentence.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault {
            template,
            line,
            column,
            text,
        } = self;
        write!(f, "{template}:{line}:{column}: {text}")
    }
}

impl Fault {
    /// A fault at a line and column, both counted from 1.
    pub(crate) fn at(template: &str, line: usize, column: usize, text: impl Into<String>) -> Self {
        let number = |n: usize| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
        Fault {
            template: template.to_owned(),
            line: number(line),
            column: number(column),
            text: text.into(),
        }
    }

    /// A fault of the whole text.
    pub(crate) fn whole(template: &str, text: impl Into<String>) -> Self {
        Fault::at(template, 1, 1, text)
    }
}

/// Line and column, from 1, of a byte offset. An offset inside a character or past the end means
/// the place before it.
pub(crate) fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fault_reads_as_editors_expect() {
        let fault = Fault::at("preseed.cfg", 12, 0, "x is not defined");
        assert_eq!(fault.to_string(), "preseed.cfg:12:1: x is not defined");
    }

    #[test]
    fn places_are_counted_in_characters() {
        for (text, offset, expected) in [
            ("", 0, (1, 1)),
            ("ab", 1, (1, 2)),
            ("a\nbc", 2, (2, 1)),
            ("a\nbc", 99, (2, 3)),
            ("äb", 2, (1, 2)),
            ("äb", 1, (1, 1)),
        ] {
            assert_eq!(place(text, offset), expected, "{text:?} at {offset}");
        }
    }

    proptest! {
        #[test]
        fn any_offset_has_a_place(text in "(?s).{0,80}", offset in 0usize..200) {
            let (line, column) = place(&text, offset);
            prop_assert!(line >= 1 && column >= 1);
            prop_assert!(line <= text.matches('\n').count() + 1);
        }
    }
}
