//! What plugins write, into the host's log.

use guest::{LogLevel, LogLine};

/// Writes `lines` of plugin `plugin` to the host's log.
pub(super) fn forward(plugin: &str, version: u32, lines: Vec<LogLine>) {
    for LogLine { level, text } in lines {
        match level {
            LogLevel::Debug => tracing::debug!(target: "fantascope::plugin", plugin, version, "{text}"),
            LogLevel::Info => tracing::info!(target: "fantascope::plugin", plugin, version, "{text}"),
            LogLevel::Warn => tracing::warn!(target: "fantascope::plugin", plugin, version, "{text}"),
            LogLevel::Error => tracing::error!(target: "fantascope::plugin", plugin, version, "{text}"),
        }
    }
}
