//! Tables for people: on the terminal and as Markdown.

use crate::goals::Goal;
use crate::results::{CaseResult, Results, Row};
use crate::servers::Kind;
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
        let _ = writeln!(out, "\n{}: {}", case.name, case.what);
        let table = table(case);
        let columns = table.first().map_or(0, Vec::len);
        let width = |n: usize| table.iter().map(|line| line[n].chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|n| width(n).unwrap_or(0)).collect();
        for line in &table {
            let mut cells = line.iter().zip(&widths);
            if let Some((name, width)) = cells.next() {
                let _ = write!(out, "  {name:<width$}");
            }
            for (cell, width) in cells {
                let _ = write!(out, "  {cell:>width$}");
            }
            let _ = writeln!(out);
        }
        for row in &case.rows {
            if let Some(note) = &row.note {
                let _ = writeln!(out, "  {}: {note}", row.kind.name());
            }
        }
    }
    if goals.is_empty() {
        return out;
    }
    let _ = writeln!(out, "\nGoals (x/peer: Farrier divided by the peer):");
    for goal in goals {
        let _ = writeln!(
            out,
            "  {:>2} {:<12} {}",
            goal.number,
            goal.verdict(),
            goal.title
        );
        // What nobody measured needs no lines.
        if goal.is_measured() {
            for part in &goal.parts {
                let _ = writeln!(out, "       {}", part.words());
            }
        }
    }
    out
}

/// The form of `docs/PERFORMANCE.md`.
pub(crate) fn markdown(results: &Results, goals: &[Goal], facts: &Facts) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "Made by `{}`:\n", facts.command);
    for line in &facts.lines {
        let _ = writeln!(out, "- {line}");
    }
    let _ = writeln!(
        out,
        "\n### Goals\n\n| # | goal | | measured |\n| --- | --- | --- | --- |"
    );
    for goal in goals {
        let parts: Vec<String> = match goal.is_measured() {
            true => goal.parts.iter().map(|part| part.words()).collect(),
            false => Vec::new(),
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            goal.number,
            goal.title,
            goal.verdict(),
            parts.join("<br>")
        );
    }
    let _ = writeln!(out, "\n### Cases");
    for case in &results.cases {
        let _ = writeln!(out, "\n**{}**: {}\n", case.name, case.what);
        for (n, line) in table(case).iter().enumerate() {
            let _ = writeln!(out, "| {} |", line.join(" | "));
            if n == 0 {
                let _ = writeln!(out, "|{}", " --- |".repeat(line.len()));
            }
        }
        let notes: Vec<String> = case
            .rows
            .iter()
            .filter_map(|row| Some(format!("{}: {}", row.kind.name(), row.note.as_ref()?)))
            .collect();
        if !notes.is_empty() {
            let _ = writeln!(out, "\n{}", notes.join("; "));
        }
    }
    out
}

/// The file with its generated part replaced; what stands before the mark stays.
pub(crate) fn replaced(old: &str, fresh: &str) -> String {
    let kept = old.split(MARK).next().unwrap_or_default();
    format!("{kept}{MARK}\n\n{fresh}")
}

/// Everything after it is written by the benchmark.
const MARK: &str = "<!-- written by `bench --markdown` from here on -->";

/// Heading and rows, as cells.
fn table(case: &CaseResult) -> Vec<Vec<String>> {
    let mut heading = vec!["server".to_owned()];
    for column in case.columns {
        heading.push(column.title.to_owned());
        if column.ratio {
            heading.push("x".to_owned());
        }
    }
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
        cells
    });
    std::iter::once(heading).chain(rows).collect()
}

/// The server, marked when it took no window.
fn name(row: &Row) -> String {
    let mark = match row.median("windowless") {
        Some(refused) if refused > 0.0 => "*",
        _ => "",
    };
    format!("{}{mark}", row.kind.name())
}

/// Three digits that matter.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size == 0.0 || size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::case;

    #[test]
    fn three_digits_that_matter() {
        let numbers = [0.0, 0.0712, 0.5, 4.567, 45.67, 456.7, 4567.8].map(number);
        assert_eq!(
            numbers,
            ["0", "0.071", "0.500", "4.57", "45.7", "457", "4568"]
        );
    }

    #[test]
    fn only_the_generated_part_of_a_file_is_replaced() {
        let first = replaced("# Method\n\n", "one\n");
        assert!(first.starts_with("# Method\n\n<!--") && first.ends_with("-->\n\none\n"));
        assert_eq!(replaced(&first, "one\n"), first);
    }

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
                "x: a test",
                "  server   MB/s     x",
                "  farrier  30.0     -",
                "  dnsmasq  20.0  1.50"
            ]
        );
    }
}
