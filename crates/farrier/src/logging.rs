//! Logs: readable on a terminal, JSON lines for collectors.

use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging to standard error. `FARRIER_LOG` wins over the configured level.
///
/// # Errors
/// A level or filter that makes no sense, with the text that was given.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let wanted = std::env::var("FARRIER_LOG").unwrap_or_else(|_| log.level.clone());
    let filter = filter(&wanted).map_err(|error| anyhow::anyhow!("log level {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Human => {
            builder
                .with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .init();
        }
    }
    Ok(())
}

/// What to log.
///
/// # Errors
/// What was given, why it makes no sense, and what would.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    let advice = "use error, warn, info, debug, trace, off, or a filter like info,tftp=debug";
    // A single word that is no level would be taken for the name of a part of the program, and
    // everything else would fall silent.
    let is_word = !level.contains([',', '=', '[']);
    if is_word && level.parse::<LevelFilter>().is_err() {
        return Err(format!("'{level}' is no level; {advice}"));
    }
    EnvFilter::try_new(level).map_err(|error| format!("'{level}': {error}; {advice}"))
}
