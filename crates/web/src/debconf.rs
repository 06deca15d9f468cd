//! Debian's own opinion of a preseed file, where this host has debconf. Ours
//! (`answers::check`) comes first and says more; this one knows what ours may not.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Line and problem of everything that `debconf-set-selections -c` does not take. Empty when it takes
/// all of it, and where it is not installed or does not come to an end. Blocks.
pub(crate) fn faults(text: &str) -> Vec<(u32, String)> {
    said(PROGRAM, text).map_or_else(Vec::new, |told| told.lines().filter_map(fault).collect())
}

/// What the program prints, if it can be run.
fn said(program: &str, text: &str) -> Option<String> {
    let mut checker = Command::new(program)
        .arg("-c")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = checker.stdin.take()?;
    let mut output = checker.stderr.take()?;
    // On threads of their own, so that neither side waits for the other with a full pipe.
    let octets = text.as_bytes().to_vec();
    let writer = std::thread::spawn(move || input.write_all(&octets));
    let reader = std::thread::spawn(move || {
        let mut told = String::new();
        output.read_to_string(&mut told).map(|_| told)
    });
    let ended = ends(&mut checker);
    let _ = writer.join();
    let told = reader.join().ok()?.ok()?;
    ended.then_some(told)
}

fn ends(checker: &mut Child) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match checker.try_wait() {
            Ok(Some(_)) => return true,
            Ok(None) if Instant::now() < deadline => sleep(Duration::from_millis(5)),
            _ => {
                let _ = checker.kill();
                let _ = checker.wait();
                return false;
            }
        }
    }
}

/// `error: parse error on line 2: 'foo'`, `warning: Unknown type bogus, skipping line 3`.
fn fault(line: &str) -> Option<(u32, String)> {
    let problem = line
        .strip_prefix("error: ")
        .or_else(|| line.strip_prefix("warning: "))?;
    let (_, rest) = problem.split_once("line ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((digits.parse().ok()?, problem.to_owned()))
}

const PROGRAM: &str = "debconf-set-selections";
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debconf_says_what_it_does_not_take_and_where() {
        let good = "d-i netcfg/get_domain string example.org\n# a comment\n";
        assert_eq!(faults(good), []);
        let bad = format!("{good}foo\nd-i netcfg/x bogus y\n");
        let expected = [
            (3, "parse error on line 3: 'foo'".to_owned()),
            (4, "Unknown type bogus, skipping line 4".to_owned()),
        ];
        assert_eq!(faults(&bad), expected, "package debconf");
    }

    #[test]
    fn without_debconf_nothing_is_said() {
        assert_eq!(said("/nowhere/debconf-set-selections", "foo\n"), None);
    }

    #[test]
    fn one_that_never_ends_is_stopped() {
        let mut child = Command::new("sleep");
        let mut child = child.arg("3600").spawn().expect("started");
        assert!(!ends(&mut child));
        assert!(child.try_wait().expect("asked").is_some());
    }
}
