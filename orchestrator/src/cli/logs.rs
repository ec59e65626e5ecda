//! Log lines: to standard error, as text for people or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, Environment, LogFormat};

/// Starts logging; `quiet` is the level where nothing else was set. A second call changes nothing.
pub(super) fn start(config: &Config, quiet: &str) {
    let level = if config.log_level == "info" { quiet } else { &config.log_level };
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(quiet));
    let colours = std::io::stderr().is_terminal() && Environment::of_process().get("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let _ = match config.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}
