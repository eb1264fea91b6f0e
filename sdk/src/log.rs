//! Lines for the plugin's log: `log::info!("{} orders", count)`.
//!
//! What `println!` and `eprintln!` write gets there too; these have a level.
//! Natively the lines go to standard error.

use std::fmt;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For whoever writes the plugin.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is off, and the plugin goes on.
    Warn,
    /// Something failed.
    Error,
}

#[doc(hidden)]
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    #[cfg(target_arch = "wasm32")]
    {
        use crate::bindings::projection::fantascope::plugin::log;
        let level = match level {
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        match message.as_str() {
            Some(text) => log::write(level, text),
            None => log::write(level, &message.to_string()),
        }
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        eprintln!("{level:?}: {message}");
    }
}

/// Sends the message of a panic to the log, so that the host can name it: all that
/// it sees of the panic itself is a trap.
pub(crate) fn panics_to_log() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| write(Level::Error, format_args!("{panic}"))));
}

/// A line of level debug, formatted as by `format!`: for whoever writes the plugin.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, ::core::format_args!($($message)+))
    };
}
#[doc(inline)]
pub use __log_debug as debug;

/// A line of level info, formatted as by `format!`: worth knowing.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Info, ::core::format_args!($($message)+))
    };
}
#[doc(inline)]
pub use __log_info as info;

/// A line of level warn, formatted as by `format!`: something is off, and the plugin goes on.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, ::core::format_args!($($message)+))
    };
}
#[doc(inline)]
pub use __log_warn as warn;

/// A line of level error, formatted as by `format!`: something failed.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Error, ::core::format_args!($($message)+))
    };
}
#[doc(inline)]
pub use __log_error as error;
