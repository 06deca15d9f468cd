//! Reading the configuration file, with errors that say where.

use super::{Config, sharing};
use crate::cli::without_password;
use std::io;
use std::path::{Path, PathBuf};

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Not readable.
    #[error("cannot read configuration {path}: {cause}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// Not valid; the place comes first so that editors can jump to it.
    #[error("{path}:{line}:{column}: {message}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// 1-based.
        column: usize,
        /// What is wrong and what would be right.
        message: String,
    },
}

/// Reads the given file, or the packaged place when none is named; no file there means defaults.
///
/// # Errors
/// Unreadable or invalid files. A file that was named must exist.
pub(crate) fn load_or_default(
    named: Option<&Path>,
) -> Result<(Config, Option<PathBuf>), ConfigError> {
    if let Some(path) = named {
        return Ok((load(path)?, Some(path.to_owned())));
    }
    let packaged = Path::new(PACKAGED);
    match packaged.exists() {
        true => Ok((load(packaged)?, Some(packaged.to_owned()))),
        false => Ok((Config::default(), None)),
    }
}

/// Reads and checks one file.
///
/// # Errors
/// See [`ConfigError`].
pub(crate) fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read {
        path: path.to_owned(),
        cause,
    })?;
    parse(&text, path)
}

/// Only where the data is, of a file that cannot be used otherwise: the server may well be running
/// on what the file said before.
pub(crate) fn data_dir_at_least(named: Option<&Path>) -> PathBuf {
    let text = std::fs::read_to_string(named.unwrap_or(Path::new(PACKAGED))).unwrap_or_default();
    data_dir_in(&text).unwrap_or_else(super::default_data_dir)
}

fn data_dir_in(text: &str) -> Option<PathBuf> {
    let value = match serde_yaml::from_str::<serde_yaml::Value>(text) {
        Ok(value) => value["data_dir"].clone(),
        // Not even YAML: the one line may still be.
        Err(_) => {
            let line = text.lines().find(|l| l.starts_with("data_dir:"))?;
            serde_yaml::from_str::<serde_yaml::Value>(line).ok()?["data_dir"].clone()
        }
    };
    value.as_str().map(PathBuf::from)
}

fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let invalid = |line, column, message| ConfigError::Invalid {
        path: path.to_owned(),
        line,
        column,
        message,
    };
    // A file of nothing but comments is YAML's null.
    let blank = text
        .lines()
        .all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'));
    if blank {
        return Ok(Config::default());
    }
    let config: Config = serde_yaml::from_str(text).map_err(|e| {
        let place = e.location();
        let (line, column) = place.map_or((1, 1), |p| (p.line(), p.column()));
        invalid(line, column, explain(&e.to_string()))
    })?;
    if let Some((key, message)) = out_of_range(&config) {
        let (line, column) = find_key(text, key);
        return Err(invalid(line, column, message));
    }
    if let Some(fault) = sharing::fault(&config) {
        let (line, column) = sharing::place(text, &fault);
        return Err(invalid(line, column, fault.message));
    }
    Ok(config)
}

/// Drops serde_yaml's own "at line …" (it stands in front already) and adds the likely meant key.
fn explain(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    let Some((_, rest)) = message.split_once("unknown field `") else {
        return with_example(message);
    };
    let mut quoted = rest.split('`');
    let wrong = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.skip(1).step_by(2).collect();
    let near = known.iter().map(|k| (distance(wrong, k), *k)).min();
    let prefix = message.split("unknown field").next().unwrap_or_default();
    match near {
        Some((d, key)) if d <= 2 => format!("{prefix}unknown key '{wrong}', did you mean '{key}'?"),
        _ => format!(
            "{prefix}unknown key '{wrong}'; known here: {}",
            known.join(", ")
        ),
    }
}

/// The parser names our types; people need something to write.
fn with_example(message: &str) -> String {
    let Some((before, expected)) = message.rsplit_once("expected struct ") else {
        return match message.contains("socket address") {
            true => format!("{message}; write ADDRESS:PORT, e.g. 0.0.0.0:80"),
            false => message.to_owned(),
        };
    };
    let example = match expected {
        "Dhcp" => "mode: proxy",
        "Tftp" => "enabled: true",
        "ApplyFiles" => "directory: /etc/farrier/site",
        "Http" => "listen: 0.0.0.0:80",
        "Outgoing" => "allow: [10.0.0.0/8]",
        "Power" => "ipmitool: ipmitool",
        "Ui" => "listen: 0.0.0.0:8080",
        "Log" => "level: info",
        _ => "data_dir: /var/lib/farrier",
    };
    format!("{before}expected keys with values, e.g. {example}")
}

/// Edit distance; keys are short, so the plain table will do.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = previous + usize::from(ca != *cb);
            previous = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(previous + 1);
        }
    }
    row[b.len()]
}

fn out_of_range(config: &Config) -> Option<(&'static str, String)> {
    if !(512..=65464).contains(&config.tftp.max_block_size) {
        let value = config.tftp.max_block_size;
        return Some((
            "max_block_size",
            format!("tftp.max_block_size: {value} is outside 512 to 65464"),
        ));
    }
    if !(1..=64).contains(&config.tftp.max_window) {
        let value = config.tftp.max_window;
        return Some((
            "max_window",
            format!("tftp.max_window: {value} is outside 1 to 64"),
        ));
    }
    if config.http.listen.port() == config.ui.listen.port() && config.ui.listen.port() != 0 {
        let port = config.ui.listen.port();
        return Some((
            "ui",
            format!(
                "ui.listen: port {port} is the boot plane's (http.listen); people's pages need a port of their own"
            ),
        ));
    }
    if let Some(fault) = config.apply.fault() {
        return Some(fault);
    }
    let level = config.log.level.as_str();
    if let Err(error) = crate::logging::filter(level) {
        return Some(("level", format!("log.level: {error}")));
    }
    let known = ["sqlite:", "postgres://", "postgresql://"];
    let database = config.database.as_str();
    if database.is_empty() || known.iter().any(|scheme| database.starts_with(scheme)) {
        return None;
    }
    let shown = without_password(database);
    Some((
        "database",
        format!(
            "database: '{shown}' is no URL of a store; write sqlite:/path/to/farrier.db or postgres://user@host/name"
        ),
    ))
}

fn find_key(text: &str, key: &str) -> (usize, usize) {
    let place = text.lines().enumerate().find_map(|(i, line)| {
        let column = line.find(&format!("{key}:"))?;
        Some((i + 1, column + 1))
    });
    place.unwrap_or((1, 1))
}

/// Where packages put the file.
const PACKAGED: &str = "/etc/farrier/farrier.yaml";

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::config) fn parsed(text: &str) -> Config {
        parse(text, Path::new("f.yaml")).expect("valid")
    }

    pub(in crate::config) fn fault(text: &str) -> String {
        parse(text, Path::new("f.yaml"))
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        let cases = [
            (
                "tfpt:\n  enabled: true\n",
                "f.yaml:1:1: unknown key 'tfpt', did you mean 'tftp'?",
            ),
            ("http:\n  listen: 80\n", "f.yaml:2:11: "),
            (
                "ui:\n  listen: '0.0.0.0:80'\n",
                "f.yaml:1:1: ui.listen: port 80 is the boot plane's",
            ),
            (
                "tftp:\n  max_window: 900\n",
                "f.yaml:2:3: tftp.max_window: 900 is outside 1 to 64",
            ),
            ("dhcp: {mode: sometimes}\n", "unknown variant `sometimes`"),
            ("database: /x/y\n", "f.yaml:1:1: database: '/x/y' is no URL"),
            (
                "database: 'mysql://u:secret@h/x'\n",
                "f.yaml:1:1: database: 'mysql://u@h/x' is no URL of a store; write sqlite:",
            ),
            (
                "log:\n  level: 'blah,,='\n",
                "f.yaml:2:3: log.level: 'blah,,='",
            ),
            ("log: {level: loud}\n", "f.yaml:1:7: log.level: 'loud'"),
            ("hello\n", "expected keys with values, e.g. data_dir: "),
            ("log: info\n", "expected keys with values, e.g. level: info"),
            (
                "ui: {listen: here}\n",
                "write ADDRESS:PORT, e.g. 0.0.0.0:80",
            ),
            ("interfaces: [eth0\n", "f.yaml:"),
        ];
        for (text, expected) in cases {
            let message = fault(text);
            assert!(message.contains(expected), "{text:?} gave {message:?}");
        }
    }

    #[test]
    fn nested_unknown_keys_name_their_place() {
        assert_eq!(
            fault("log:\n  format: human\n  colour: blue\n"),
            "f.yaml:3:3: log: unknown key 'colour'; known here: format, level"
        );
    }

    #[test]
    fn comments_alone_are_the_default() {
        assert_eq!(
            parse("# nothing yet\n\n", Path::new("f")).expect("valid"),
            Config::default()
        );
    }

    #[test]
    fn a_broken_file_still_tells_where_the_data_is() {
        let cases = [
            ("data_dir: /srv/boot\nhttpp: {}\n", Some("/srv/boot")),
            ("data_dir: '/srv/boot'\ninterfaces: [\n", Some("/srv/boot")),
            ("data_dir: [1]\n", None),
            ("hello", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(data_dir_in(text), expected.map(PathBuf::from), "{text:?}");
        }
    }

    #[test]
    fn a_named_file_must_exist() {
        let error = load_or_default(Some(Path::new("/nonexistent/f.yaml"))).expect_err("absent");
        assert!(error.to_string().contains("/nonexistent/f.yaml"), "{error}");
    }

    #[test]
    fn every_sample_is_valid_and_the_full_one_says_the_defaults() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        for name in ["minimal.yaml", "full.yaml", "lab.yaml"] {
            let config = load(&samples.join(name)).expect(name);
            if name == "full.yaml" {
                let data_dir = config.data_dir.clone();
                assert_eq!(
                    config,
                    Config {
                        data_dir,
                        ..Config::default()
                    }
                );
            }
        }
    }
}
