//! Tables for people: on the terminal and as Markdown.

use crate::goals::{self, Goal};
use crate::results::{CaseResult, Results, Row};
use crate::servers::Kind;
use lab::table::{Table, number, wrapped};
use std::fmt::Write;

/// The facts of a run that its reader needs.
pub(crate) struct Facts {
    /// The command that made it.
    pub command: String,
    /// Processor, kernel, commit; one a line.
    pub lines: Vec<String>,
}

/// The terminal's form.
pub(crate) fn text(results: &Results, goals: &[Goal]) -> String {
    let mut out = String::new();
    for case in &results.cases {
        let heading = format!("{}: {} ({:.0} s)", case.name, case.what, case.seconds);
        let _ = writeln!(out, "\n{}", wrapped(&heading, WIDTH));
        out += &table(case).text();
        for note in notes(case) {
            let _ = writeln!(out, "  {}", wrapped(&note, WIDTH - 2));
        }
    }
    if goals.is_empty() {
        return out;
    }
    let _ = writeln!(out, "\nGoals (x/peer: Farrier divided by the peer):");
    out += &goals_table(goals, "").text();
    out
}

/// Each goal with its verdict, and below it its conditions.
fn goals_table(goals: &[Goal], bold: &str) -> Table {
    let mut rows = vec![goals::HEADING.map(str::to_owned).to_vec()];
    for goal in goals {
        let title = format!("{bold}{} {}{bold}", goal.number, goal.title);
        let mut row = vec![String::new(); goals::HEADING.len()];
        row[0] = title;
        row[goals::HEADING.len() - 1] = goal.verdict();
        rows.push(row);
        // What nobody measured needs no lines.
        for part in goal.parts.iter().filter(|_| goal.is_measured()) {
            let mut row = part.row().to_vec();
            row[0].insert_str(0, "   ");
            rows.push(row);
        }
    }
    Table(rows)
}

/// The form of `docs/PERFORMANCE.md`.
pub(crate) fn markdown(results: &Results, goals: &[Goal], facts: &Facts) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "Made by `{}`:\n", facts.command);
    for line in &facts.lines {
        let _ = writeln!(out, "- {line}");
    }
    let _ = writeln!(out, "\n### Goals\n");
    out += &goals_table(goals, "**").markdown();
    let _ = writeln!(out, "\n### Cases");
    for case in &results.cases {
        let _ = writeln!(out, "\n**{}**: {}\n", case.name, case.what);
        out += &table(case).markdown();
        let notes = notes(case);
        if !notes.is_empty() {
            let _ = writeln!(out, "\n{}", notes.join("; "));
        }
    }
    out
}

/// Why a server has no figures, in few words: the whole text is in the machine-readable file.
fn notes(case: &CaseResult) -> Vec<String> {
    let short = |note: &str| {
        let words: Vec<&str> = note.split_whitespace().collect();
        let text = words.join(" ");
        match text.char_indices().nth(NOTE) {
            Some((end, _)) => format!("{} ...", &text[..end]),
            None => text,
        }
    };
    let rows = case.rows.iter();
    rows.filter_map(|row| {
        Some(format!(
            "{}: {}",
            row.kind.name(),
            short(row.note.as_ref()?)
        ))
    })
    .collect()
}

/// Heading and rows, as cells.
fn table(case: &CaseResult) -> Table {
    let mut heading = vec!["server".to_owned()];
    for column in case.columns {
        heading.push(column.title.to_owned());
        if column.ratio {
            heading.push("x".to_owned());
        }
    }
    heading.push("rounds".to_owned());
    let rows = case.rows.iter().map(|row| {
        let mut cells = vec![name(row)];
        for column in case.columns {
            cells.push(row.median(column.key).map_or("-".into(), number));
            if column.ratio {
                let ratio = match row.kind {
                    Kind::Farrier => None,
                    kind => case.ratio(column.key, Kind::Farrier, kind),
                };
                cells.push(ratio.map_or("-".into(), number));
            }
        }
        cells.push(row.rounds.len().to_string());
        cells
    });
    Table(std::iter::once(heading).chain(rows).collect())
}

/// The server, marked when it took no window.
fn name(row: &Row) -> String {
    let mark = match row.median("windowless") {
        Some(refused) if refused > 0.0 => "*",
        _ => "",
    };
    format!("{}{mark}", row.kind.name())
}

/// Columns of a terminal.
const WIDTH: usize = 118;
/// Characters of a note.
const NOTE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::case;

    #[test]
    fn a_row_has_its_median_and_our_ratio_to_it() {
        let mut results = Results::default();
        results.cases.push(case(
            "x",
            "mb_s",
            &[(Kind::Farrier, &[30.0]), (Kind::Dnsmasq, &[20.0])],
        ));
        let text = text(&results, &[]);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "",
                "x: a test (1 s)",
                "  server   MB/s     x  rounds",
                "  farrier  30.0     -       1",
                "  dnsmasq  20.0  1.50       1"
            ]
        );
    }
}
