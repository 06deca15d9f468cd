//! Running one program to its end.

use std::io;
use std::process::{Command, Stdio};

/// A program that could not be run or failed; what it said is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{program} is not on this host")]
    NotFound { program: String },
    #[error("{program} cannot be started: {source}")]
    Start { program: String, source: io::Error },
    #[error("{program} failed: {said}")]
    Failed { program: String, said: String },
}

/// Runs a program in the C locale without input; gives its standard output and error.
pub(crate) fn run(command: &mut Command) -> Result<(String, String), RunError> {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let program = program.to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(RunError::NotFound { program });
        }
        Err(source) => return Err(RunError::Start { program, source }),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stderr);
    if output.status.success() {
        return Ok((text(&output.stdout), said));
    }
    let said = match summary(&said) {
        empty if empty.is_empty() => output.status.to_string(),
        said => said,
    };
    Err(RunError::Failed { program, said })
}

/// The errors among what a program said (apt marks them `E:`), else its last line; one line.
pub(crate) fn summary(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|l| !l.is_empty());
    let errors: Vec<&str> = lines().filter_map(|l| l.strip_prefix("E: ")).collect();
    let text = match errors.as_slice() {
        [] => lines().next_back().unwrap_or("").to_owned(),
        errors => errors.join("; "),
    };
    text.chars().filter(|c| !c.is_control()).take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_what_the_program_said() {
        let mut failing = Command::new("sh");
        failing.args([
            "-c",
            "echo W: old >&2; echo E: no such package >&2; exit 100",
        ]);
        let error = run(&mut failing).expect_err("exit 100").to_string();
        assert_eq!(error, "sh failed: no such package");
        let error = run(&mut Command::new("farrier-no-such-program")).expect_err("absent");
        assert!(matches!(error, RunError::NotFound { .. }));
        let mut silent = Command::new("false");
        let error = run(&mut silent).expect_err("exit 1").to_string();
        assert_eq!(error, "false failed: exit status: 1");
    }
}
