//! A text area that holds a part of a document: what was typed, and what is wrong where.

use super::form::Fields;
use super::story::printable;
use crate::documents::Fault;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// One such text area.
#[derive(Clone, Debug, Default)]
pub(crate) struct YamlArea {
    /// As typed, with the line ends of a file.
    pub(crate) text: String,
    /// Of the text as the page first showed it.
    pub(crate) was: String,
    /// `LINE:COLUMN: what is wrong`; empty when nothing is.
    pub(crate) problem: String,
}

impl YamlArea {
    /// As it is stored.
    pub(crate) fn of(text: String) -> Self {
        let was = mark(&text);
        YamlArea {
            text,
            was,
            problem: String::new(),
        }
    }

    /// As it was typed into a field and its hidden companion `was_FIELD`.
    pub(crate) fn typed(fields: &Fields, name: &str) -> Self {
        YamlArea {
            text: fields.raw(name).replace("\r\n", "\n"),
            was: fields.get(&format!("was_{name}")).to_owned(),
            problem: String::new(),
        }
    }

    /// Whether the person changed it. What they left alone is not saved: files may have changed it
    /// since the page was opened. A form without the field changes nothing, either.
    pub(crate) fn is_changed(&self) -> bool {
        let absent = self.was.is_empty() && self.text.is_empty();
        !absent && self.was != mark(&self.text)
    }

    /// Says what is wrong.
    pub(crate) fn blame(&mut self, fault: &Fault) {
        let Fault {
            line,
            column,
            problem,
            ..
        } = fault;
        self.problem = printable(&format!("{line}:{column}: {problem}"));
    }

    /// Lines that show all of a short text, and a part of a long one.
    pub(crate) fn rows(&self, least: usize) -> usize {
        (self.text.lines().count() + 1).clamp(least, 24)
    }
}

/// Short, because the text itself may have a quarter of a megabyte.
fn mark(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_alone_is_told_from_what_was_changed() {
        let shown = YamlArea::of("a: 1\nb: 2\n".to_owned());
        let posted = |text: &str| {
            let fields: Fields = [("more", text), ("was_more", shown.was.as_str())]
                .into_iter()
                .collect();
            YamlArea::typed(&fields, "more").is_changed()
        };
        assert!(!posted("a: 1\r\nb: 2\r\n"), "as browsers send it");
        assert!(posted("a: 1\r\n") && posted(""));
        let none: Fields = [("other", "x")].into_iter().collect();
        assert!(!YamlArea::typed(&none, "more").is_changed());
        let new: Fields = [("more", "a: 1")].into_iter().collect();
        assert!(YamlArea::typed(&new, "more").is_changed());
    }
}
