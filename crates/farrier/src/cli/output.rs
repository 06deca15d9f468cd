//! Tables and times as people read them on a terminal.

use serde_json::Value;
use std::fmt;
use std::io::{self, Write};

/// Prints to standard output as `print!` does, but see [`bytes`].
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::output::print(format_args!($($text)*)) };
}

/// Prints a line to standard output as `println!` does, but see [`bytes`].
macro_rules! outln {
    ($($text:tt)*) => {{
        $crate::cli::output::print(format_args!($($text)*));
        $crate::cli::output::bytes(b"\n");
    }};
}

pub(crate) use {out, outln};

/// What [`out!`] and [`outln!`] do.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    match text.as_str() {
        Some(plain) => bytes(plain.as_bytes()),
        None => bytes(text.to_string().as_bytes()),
    }
}

/// Writes to standard output. When nobody reads any more (`farrier status | head -1`), the program
/// ends quietly: whoever closed the pipe has what they wanted.
pub(crate) fn bytes(bytes: &[u8]) {
    end_on_failure(io::stdout().lock().write_all(bytes));
}

fn end_on_failure(written: io::Result<()>) {
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("farrier: cannot write to standard output: {error}");
            std::process::exit(1);
        }
    }
}

/// Prints rows under headings, columns as wide as their widest cell.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(headings.to_vec());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// A string of a JSON object, or a dash.
pub(crate) fn text(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::Null => "-".to_owned(),
        Value::String(s) if s.is_empty() => "-".to_owned(),
        Value::String(s) => s.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items
                .iter()
                .map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned))
                .collect();
            items.join(",")
        }
        other => other.to_string(),
    }
}

/// "1.2 MB", decimal as on data sheets and on the pages.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        ..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// Milliseconds since the epoch as local wall-clock text.
pub(crate) fn clock(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(
        |_| "?".to_owned(),
        |t| {
            t.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        },
    )
}

/// A database URL without its password, for printing.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let Some((login, host)) = rest.split_once('@') else {
        return url.to_owned();
    };
    let user = login.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["a".into(), "long cell".into(), "x".into()],
            vec!["bb".into(), "é".into(), "y".into()],
        ];
        insta::assert_snapshot!(table(&["N", "MIDDLE", "Z"], &rows), @r"
        N   MIDDLE     Z
        a   long cell  x
        bb  é          y
        ");
    }

    #[test]
    fn passwords_are_not_printed() {
        assert_eq!(
            without_password("postgres://u:secret@h/db"),
            "postgres://u@h/db"
        );
        assert_eq!(without_password("sqlite:/a/b.db"), "sqlite:/a/b.db");
    }
}
