//! Files read line by line: preseed, kickstart, scripts.

use super::Page;
use crate::Fault;

/// debconf's selections: `owner question type value`, comments, and lines joined by a final
/// backslash (debconf-set-selections(1)).
pub(super) fn preseed(page: &Page<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut lines = page.text.lines().enumerate();
    while let Some((at, first)) = lines.next() {
        let trimmed = first.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let mut whole = first.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            match lines.next() {
                Some((_, more)) => whole.push_str(more),
                None => {
                    faults.push(page.at(at + 1, 1, "the last line is joined to nothing"));
                    break;
                }
            }
        }
        if let Some(text) = selection(&whole) {
            faults.push(page.at(at + 1, 1, text));
        }
    }
    faults
}

/// What is wrong with one selection.
fn selection(line: &str) -> Option<&'static str> {
    let mut words = line.split_whitespace();
    let (Some(_owner), Some(question), Some(kind)) = (words.next(), words.next(), words.next())
    else {
        return Some("expected `owner question type value`, such as `d-i time/zone string UTC`");
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_./+:".contains(c);
    if !question.contains('/') || !question.chars().all(legal) {
        return Some("the second word must be a question, such as `netcfg/get_hostname`");
    }
    match kind {
        "boolean" => match (words.next(), words.next()) {
            (Some("true" | "false"), None) => None,
            _ => Some("a boolean is `true` or `false`"),
        },
        "string" | "password" | "select" | "multiselect" | "note" | "text" | "title" | "error"
        | "seen" => None,
        _ => Some("the third word must be a type: string, boolean, select, multiselect, password"),
    }
}

/// Kickstart's outline: commands, and sections that end with `%end`.
pub(super) fn kickstart(page: &Page<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut open: Option<usize> = None;
    for (at, line) in page.text.lines().enumerate() {
        let at = at + 1;
        let word = line.split_whitespace().next().unwrap_or("");
        if word == "%end" {
            if open.take().is_none() {
                faults.push(page.at(at, 1, "%end without a section"));
            }
        } else if SECTIONS.contains(&word) {
            if let Some(before) = open.replace(at) {
                let text = format!("a section begins, but that of line {before} has no %end");
                faults.push(page.at(at, 1, text));
            }
        } else if open.is_none() && !outside(word) {
            faults.push(page.at(at, 1, "expected a command, a section or a comment"));
        }
    }
    if let Some(before) = open {
        faults.push(page.at(before, 1, "this section has no %end"));
    }
    faults
}

/// Whether a line outside sections may begin with this word.
fn outside(word: &str) -> bool {
    let command = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    word.is_empty()
        || word.starts_with('#')
        || ["%include", "%ksappend"].contains(&word)
        || word.chars().all(command)
}

/// A script says by its first line what runs it.
pub(super) fn script(page: &Page<'_>) -> Vec<Fault> {
    let first = page.text.lines().next().unwrap_or("");
    let program = first.strip_prefix("#!").map(str::trim_start);
    if !program.is_some_and(|program| program.starts_with('/')) {
        return vec![page.whole("the first line must say what runs it, such as `#!/bin/sh`")];
    }
    if page.text.contains("\r\n") {
        return vec![page.whole("lines end as on Windows: `#!` would look for a program with \\r")];
    }
    Vec::new()
}

const SECTIONS: &[&str] = &[
    "%packages",
    "%pre",
    "%pre-install",
    "%post",
    "%onerror",
    "%traceback",
    "%addon",
    "%anaconda",
    "%certificate",
];
