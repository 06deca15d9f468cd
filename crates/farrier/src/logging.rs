//! Logs: readable on a terminal, JSON lines for collectors.

use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. `FARRIER_LOG` wins over the configured level.
///
/// # Errors
/// A level or filter that makes no sense, with the text that was given.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let wanted = std::env::var("FARRIER_LOG").unwrap_or_else(|_| log.level.clone());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| {
        anyhow::anyhow!("log level '{wanted}': {error}; use error, warn, info, debug, trace, or a filter like info,tftp=debug")
    })?;
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
