//! How far a `farrier tftp` transfer is: one line on standard error, drawn over itself, and only
//! where somebody sees it.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// A progress bar. Silent when standard error is no terminal: a log wants the last line only.
pub(crate) struct Progress {
    started: Instant,
    /// When it is drawn next; `None` when it never is.
    next: Option<Instant>,
    drawn: bool,
}

impl Progress {
    /// Begins now.
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Progress {
            started: now,
            // Most boot files are here before anybody could read a line.
            next: io::stderr().is_terminal().then_some(now + BETWEEN),
            drawn: false,
        }
    }

    /// Says how many bytes went over, and of how many if that is known. Cheap: draws a few times a
    /// second however often it is called.
    pub(crate) fn show(&mut self, bytes: u64, total: Option<u64>) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + BETWEEN);
        self.drawn = true;
        let line = line(bytes, total, now - self.started);
        // Nothing is lost when the terminal is.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }
}

impl Drop for Progress {
    /// Leaves the line to what is said at the end.
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// ` 30 % #######---------  12.4 of 40.1 MB  3.1 MB/s  9 s left`: less than 80 columns.
fn line(bytes: u64, total: Option<u64>, elapsed: Duration) -> String {
    let done = bytes as f64;
    let rate = done / elapsed.as_secs_f64().max(1e-6);
    let megabytes = |bytes: f64| bytes / 1e6;
    // A server may announce less than it sends.
    let Some(total) = total.filter(|total| *total >= bytes.max(1)) else {
        let (sum, rate) = (megabytes(done), megabytes(rate));
        return format!("{sum:.1} MB  {rate:.1} MB/s");
    };
    let part = done / total as f64;
    let filled = (part * COLUMNS as f64) as usize;
    let bar = "#".repeat(filled) + &"-".repeat(COLUMNS - filled);
    let left = match bytes {
        0 => String::new(),
        _ => format!("  {:.0} s left", (total as f64 - done) / rate),
    };
    format!(
        "{:3.0} % {bar}  {:.1} of {:.1} MB  {:.1} MB/s{left}",
        (part * 100.0).floor(),
        megabytes(done),
        megabytes(total as f64),
        megabytes(rate),
    )
}

/// Smooth to the eye, and no work for the terminal.
const BETWEEN: Duration = Duration::from_millis(100);
const COLUMNS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_and_tells() {
        let after = Duration::from_secs(4);
        let lines = [
            line(0, Some(40_000_000), Duration::ZERO),
            line(12_400_000, Some(40_100_000), after),
            line(40_100_000, Some(40_100_000), after),
            line(12_400_000, None, after),
            // A server that announced too little.
            line(12_400_000, Some(1000), after),
            line(0, Some(0), after),
            line(17_000_000_000, Some(17_179_869_184), after * 100),
        ];
        assert!(lines.iter().all(|line| line.len() < 80), "{lines:?}");
        insta::assert_snapshot!(lines.join("\n"), @r"
          0 % ------------------------  0.0 of 40.0 MB  0.0 MB/s
         30 % #######-----------------  12.4 of 40.1 MB  3.1 MB/s  9 s left
        100 % ########################  40.1 of 40.1 MB  10.0 MB/s  0 s left
        12.4 MB  3.1 MB/s
        12.4 MB  3.1 MB/s
        0.0 MB  0.0 MB/s
         98 % #######################-  17000.0 of 17179.9 MB  42.5 MB/s  4 s left
        ");
    }
}
