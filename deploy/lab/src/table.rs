//! Tables for people, on the terminal and as Markdown, and the files that hold them.

use std::fmt::Write;

/// Rows of cells of the same number; the first row is the heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table(pub Vec<Vec<String>>);

impl Table {
    /// The terminal's form: columns below each other, the first to the left, figures to the
    /// right.
    pub fn text(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for line in &self.0 {
            let mut cells = line.iter().zip(&widths);
            if let Some((name, width)) = cells.next() {
                let _ = write!(out, "  {name:<width$}");
            }
            for (cell, width) in cells {
                let _ = write!(out, "  {cell:>width$}");
            }
            out.push('\n');
        }
        out
    }

    /// The same in Markdown, which a person can read as it is, too.
    pub fn markdown(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for (n, line) in self.0.iter().enumerate() {
            let mut cells = line.iter().zip(&widths);
            if let Some((name, width)) = cells.next() {
                let _ = write!(out, "| {name:<width$} |");
            }
            for (cell, width) in cells {
                let _ = write!(out, " {cell:>width$} |");
            }
            out.push('\n');
            if n == 0 {
                let _ = write!(out, "| --- |");
                out += &" ---: |".repeat(line.len().saturating_sub(1));
                out.push('\n');
            }
        }
        out
    }

    /// The longest cell of each column.
    fn widths(&self) -> Vec<usize> {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |n: usize| self.0.iter().map(|line| line[n].chars().count()).max();
        (0..columns).map(|n| width(n).unwrap_or(0)).collect()
    }
}

/// `text` in lines of at most `width` characters, broken between words; all but the first begin
/// with two spaces.
pub fn wrapped(text: &str, width: usize) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out += "\n  ";
            column = 2;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += length;
    }
    out
}

/// Three digits that matter.
pub fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size == 0.0 || size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// A Markdown file of which one part is written by `writer`: that part with `fresh` instead.
/// What stands before and behind it stays; a file without such a part gets one at its end.
pub fn replaced(old: &str, writer: &str, fresh: &str) -> String {
    let begin = format!("<!-- from here on written by `{writer}` -->");
    let end = format!("<!-- as far as here by `{writer}` -->");
    let (before, rest) = match old.split_once(&begin) {
        Some((before, rest)) => (before.to_owned(), rest),
        None if old.is_empty() => (String::new(), ""),
        None => (format!("{}\n\n", old.trim_end()), ""),
    };
    let behind = rest.split_once(&end).map_or("\n", |(_, behind)| behind);
    format!("{before}{begin}\n\n{}\n\n{end}{behind}", fresh.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_that_matter() {
        let numbers = [0.0, 0.0712, 0.5, 4.567, 45.67, 456.7, 4567.8].map(number);
        assert_eq!(
            numbers,
            ["0", "0.071", "0.500", "4.57", "45.7", "457", "4568"]
        );
    }

    #[test]
    fn long_lines_break_between_words() {
        assert_eq!(
            wrapped("one two\nthree  four", 9),
            "one two\n  three\n  four"
        );
        assert_eq!(wrapped("unbreakable", 4), "unbreakable");
    }

    #[test]
    fn cells_stand_below_each_other() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table = Table(vec![row(["server", "s"]), row(["a", "12.5"])]);
        assert_eq!(table.text(), "  server     s\n  a       12.5\n");
        assert_eq!(
            table.markdown(),
            "| server |    s |\n| --- | ---: |\n| a      | 12.5 |\n"
        );
    }

    #[test]
    fn only_the_part_of_its_writer_is_replaced() {
        let file = replaced("# Method\n", "one", "1\n");
        let file = replaced(&file, "two", "2\n");
        assert!(file.starts_with("# Method\n\n<!-- from here on written by `one` -->\n\n1\n\n"));
        assert!(file.ends_with("\n\n2\n\n<!-- as far as here by `two` -->\n"));
        let again = replaced(&file, "one", "1 again\n");
        assert_eq!(again, file.replace("\n1\n", "\n1 again\n"));
        assert_eq!(replaced(&again, "one", "1\n"), file);
    }
}
