//! Where log lines go: to standard error, as text or as JSON.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts to log. A second call changes nothing.
///
/// # Errors
/// If the level is no filter.
pub fn start_logging(settings: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.level).map_err(|fault| {
        anyhow::anyhow!("log.level `{}`: {fault}; use error, warn, info, debug or trace", settings.level)
    })?;
    // What the driver says of connections that are lost, with each one and each try, is said
    // here once, by those who need them.
    let filter = if settings.level.contains("sqlx") { filter } else { filter.add_directive("sqlx=off".parse()?) };
    let ansi = std::env::var_os("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    // A line that can't be written is lost; to complain of it on standard error would be a panic.
    let builder = builder.log_internal_errors(false);
    // Whoever starts the host twice in one process, as tests do, keeps the first one's log.
    drop(match settings.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    });
    Ok(())
}
