//! How an upload differs from the one before of its name.

use super::UploadError;
use crate::people::ui::printable;
use bootfiles::dropbox::{DropBoxes, Stored};
use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use std::io::{self, Read};
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// What an upload changed, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Change {
    /// The first of its name.
    First,
    /// The same content as before.
    Same,
    /// Text.
    Lines {
        /// Lines that were not there before.
        added: usize,
        /// Lines that are not there any more.
        removed: usize,
    },
    /// Another content, of which nothing more is known: it is not text, too much of it, or was not looked at.
    Other {
        /// Bytes before.
        before: u64,
    },
}

/// What an upload changed, in full.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// In short.
    pub(crate) change: Change,
    /// The unified difference, line by line; empty where there is none to show.
    pub(crate) lines: Vec<DiffLine>,
    /// Why there is nothing to show although something changed; empty otherwise.
    pub(crate) why_not: &'static str,
}

/// One line of a unified difference.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DiffLine {
    /// `add`, `del`, `hunk`, or empty for context.
    pub(crate) class: &'static str,
    /// With its sign, without its line end.
    pub(crate) text: String,
}

/// In short, for lists: the contents of small texts are compared, and only until `until`.
pub(super) fn change(
    boxes: &DropBoxes,
    stored: &Stored,
    before: Option<&Stored>,
    until: Instant,
) -> Change {
    let recorded = recorded(stored, before);
    let (Some(before), Change::Other { .. }) = (before, recorded) else {
        return recorded;
    };
    let largest = before.record.bytes.max(stored.record.bytes);
    if largest > LIST_CAP || Instant::now() >= until {
        return recorded;
    }
    // One that was removed just now is no reason to show no list.
    match (text(boxes, before), text(boxes, stored)) {
        (Ok(Some(old)), Ok(Some(new))) => count(&diff(&old, &new)),
        _ => recorded,
    }
}

/// As far as the records tell.
fn recorded(stored: &Stored, before: Option<&Stored>) -> Change {
    match before {
        None => Change::First,
        Some(before) if before.record.sha256 == stored.record.sha256 => Change::Same,
        Some(before) => Change::Other {
            before: before.record.bytes,
        },
    }
}

/// In full.
pub(super) fn compare(
    boxes: &DropBoxes,
    stored: &Stored,
    before: Option<&Stored>,
) -> Result<Comparison, UploadError> {
    let plain = |change, why_not| Comparison {
        change,
        lines: Vec::new(),
        why_not,
    };
    let other = recorded(stored, before);
    let (Some(before), Change::Other { .. }) = (before, other) else {
        return Ok(plain(other, ""));
    };
    if before.record.bytes.max(stored.record.bytes) > SHOW_CAP {
        return Ok(plain(other, "it is too large to be compared here"));
    }
    let (Some(old), Some(new)) = (text(boxes, before)?, text(boxes, stored)?) else {
        return Ok(plain(other, "it is binary"));
    };
    let diff = diff(&old, &new);
    let lines = unified(&diff);
    Ok(match lines {
        Some(lines) => Comparison {
            change: count(&diff),
            lines,
            why_not: "",
        },
        None => plain(count(&diff), "there is too much to show"),
    })
}

fn diff<'a>(old: &'a str, new: &'a str) -> TextDiff<'a, 'a, 'a, str> {
    // Two texts that have nothing in common take long; an approximation is still right.
    TextDiff::configure()
        .timeout(DIFF_TIME)
        .diff_lines(old, new)
}

fn count<'a>(diff: &TextDiff<'a, 'a, 'a, str>) -> Change {
    let (mut added, mut removed) = (0, 0);
    for change in diff.iter_all_changes() {
        match change.tag() {
            ChangeTag::Insert => added += 1,
            ChangeTag::Delete => removed += 1,
            ChangeTag::Equal => {}
        }
    }
    Change::Lines { added, removed }
}

fn unified<'a>(diff: &TextDiff<'a, 'a, 'a, str>) -> Option<Vec<DiffLine>> {
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        let line = |class, text: String| DiffLine { class, text };
        lines.push(line("hunk", hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let class = match change.tag() {
                ChangeTag::Insert => "add",
                ChangeTag::Delete => "del",
                ChangeTag::Equal => "",
            };
            lines.push(line(
                class,
                format!("{}{}", change.tag(), shown(change.value())),
            ));
            if lines.len() > LINES_CAP {
                return None;
            }
        }
    }
    Some(lines)
}

/// A line without its end, and without what would change the page's or a terminal's direction or colour.
fn shown(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let cells: Vec<String> = line.split('\t').map(printable).collect();
    cells.join("\t")
}

/// The content if it is text, which is what has no NUL in its first part: configurations in any encoding are.
fn text(boxes: &DropBoxes, stored: &Stored) -> io::Result<Option<String>> {
    let file = boxes.open_version(&stored.name, &stored.version)?;
    let file = file.ok_or(io::ErrorKind::NotFound)?;
    let mut octets = Vec::new();
    file.take(SHOW_CAP).read_to_end(&mut octets)?;
    let binary = octets.iter().take(BINARY_LOOK).any(|octet| *octet == 0);
    Ok((!binary).then(|| String::from_utf8_lossy(&octets).into_owned()))
}

/// Texts up to this length are compared for a list.
const LIST_CAP: u64 = 64 << 10;
/// And up to this one for the page of one upload: configurations of the largest switches have some 500 KiB.
const SHOW_CAP: u64 = 1 << 20;
/// Lines of a difference that are shown.
const LINES_CAP: usize = 5_000;
const BINARY_LOOK: usize = 8 << 10;
const DIFF_TIME: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(old: &str, new: &str) -> String {
        let lines = unified(&diff(old, new)).expect("not too many");
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("{:4}|{}", line.class, line.text))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn a_difference_as_people_read_it() {
        let old = "hostname sw1\n!\nvlan 10\n name lab\n!\nend\n";
        let new = "hostname sw1\r\n!\nvlan 10\n name lab\nvlan 20\n!\nend\n";
        insta::assert_snapshot!(lines(old, new), @r"
        hunk|@@ -1,6 +1,7 @@
        del |-hostname sw1
        add |+hostname sw1
            | !
            | vlan 10
            |  name lab
        add |+vlan 20
            | !
            | end
        ");
        assert_eq!(
            count(&diff(old, new)),
            Change::Lines {
                added: 2,
                removed: 1
            }
        );
    }

    #[test]
    fn what_is_shown_cannot_play_tricks() {
        assert_eq!(
            shown("a\u{1b}[31m\tb\u{202e}c\r\n"),
            "a\u{fffd}[31m\tb\u{fffd}c"
        );
    }

    #[test]
    fn a_rewritten_file_is_bounded() {
        let old: String = (0..20_000).map(|n| format!("a{n}\n")).collect();
        let new: String = (0..20_000).map(|n| format!("b{n}\n")).collect();
        assert!(unified(&diff(&old, &new)).is_none());
    }
}
