//! The process's own log: lines on standard error, as much as `RUST_LOG` asks for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts the log. `default_filter` counts when `RUST_LOG` is not set or cannot be read. Colours are for terminals
/// alone, and not when `NO_COLOR` is set. Starting it again changes nothing.
pub fn start(default_filter: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let has_colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(has_colour)
        .with_target(false)
        .finish();
    // An earlier log stays: there is one a process.
    let _ = tracing::subscriber::set_global_default(log);
}
