//! Reads a rendered text as its installer would, before a machine does.
//!
//! These checks find what makes an installer stop and ask, or ignore its file: broken syntax, a
//! missing first line, a wrong root element. They do not know every key of every installer; the
//! installers' own checkers do (docs/TESTING.md says which are run on the samples).

mod cloud;
mod ignition;
mod lines;
mod xml;
mod yaml;

use crate::Fault;
use bootplan::AnswerKind;

/// What is wrong with `text`, which `name` stands for, in the order of its lines; empty if
/// nothing is. No fault shows a value of the text: it may hold secrets.
pub fn check(kind: AnswerKind, name: &str, text: &str) -> Vec<Fault> {
    let page = Page { name, text };
    if let Some(at) = text.find('\0') {
        return vec![page.at_offset(at, "a NUL character has no place in a text")];
    }
    let mut faults = match kind {
        AnswerKind::Preseed => lines::preseed(&page),
        AnswerKind::Kickstart => lines::kickstart(&page),
        AnswerKind::Script => lines::script(&page),
        AnswerKind::CloudConfig => cloud::config(&page),
        AnswerKind::NocloudVendor if text.trim().is_empty() => Vec::new(),
        AnswerKind::NocloudVendor => cloud::config(&page),
        AnswerKind::NocloudMeta => cloud::meta(&page),
        AnswerKind::NocloudNetwork if text.trim().is_empty() => Vec::new(),
        AnswerKind::NocloudNetwork => cloud::network(&page),
        AnswerKind::Talos => cloud::talos(&page),
        AnswerKind::Ignition => ignition::ignition(&page),
        AnswerKind::Json => ignition::json(&page).err().into_iter().collect(),
        AnswerKind::Yaml => yaml::documents(&page).err().into_iter().collect(),
        AnswerKind::Autoyast => xml::autoyast(&page),
        AnswerKind::Unattend => xml::unattend(&page),
        AnswerKind::Xml => xml::well_formed(&page),
        AnswerKind::DeviceFile | AnswerKind::Generic => Vec::new(),
    };
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults
}

/// A text with the name that faults call it by.
struct Page<'a> {
    name: &'a str,
    text: &'a str,
}

impl Page<'_> {
    fn at(&self, line: usize, column: usize, text: impl Into<String>) -> Fault {
        Fault::at(self.name, line, column, text)
    }

    fn at_offset(&self, offset: usize, text: impl Into<String>) -> Fault {
        let (line, column) = crate::fault::place(self.text, offset);
        self.at(line, column, text)
    }

    fn whole(&self, text: impl Into<String>) -> Fault {
        Fault::whole(self.name, text)
    }

    /// The line of a key at the left edge of YAML, or 1.
    fn line_of_key(&self, key: &str) -> usize {
        let is_key = |line: &str| {
            let rest = line.strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        self.text.lines().position(is_key).map_or(1, |at| at + 1)
    }
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
