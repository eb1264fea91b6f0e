//! What the host does by itself when a plugin is deployed, unless the caller says otherwise.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use read_model::Promote;

/// What becomes of other bytes for the same version, if they make other rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenRowsDiffer {
    /// The version is built anew beside the old build.
    #[default]
    Build,
    /// They go on with the rows that there are.
    Swap,
    /// They are refused.
    Refuse,
}

impl std::str::FromStr for WhenRowsDiffer {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "build" => Ok(Self::Build),
            "swap" => Ok(Self::Swap),
            "refuse" => Ok(Self::Refuse),
            other => Err(format!("`{other}` is neither `build`, `swap` nor `refuse`")),
        }
    }
}

/// How long, or how many of, the versions that were live are kept up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    For(Duration),
    Latest(usize),
}

impl std::str::FromStr for Keep {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<usize>() {
            Ok(count) => Ok(Self::Latest(count)),
            Err(_) => duration(text).map(Self::For).map_err(|reason| format!("{reason}, or a number of versions")),
        }
    }
}

/// A duration such as `90s`, `30m`, `24h` or `7d`.
///
/// # Errors
/// What is wrong with `text`, for people.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration such as 90s, 30m, 24h or 7d");
    let unit = text.chars().last().ok_or_else(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(bad)
}

/// What the host does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub promote: Promote,
    pub when_rows_differ: WhenRowsDiffer,
    /// So many events of the history are folded to try code out.
    pub sample_events: u64,
    /// In so many partitions a history is folded at once, where that can be done.
    pub workers: u32,
    pub keep_previous: Keep,
    pub keep_as_of: Duration,
}

impl Default for Policy {
    /// Nothing is promoted, rows never change behind anybody's back.
    fn default() -> Self {
        Self {
            promote: Promote::Manual,
            when_rows_differ: WhenRowsDiffer::Build,
            sample_events: 1_000,
            workers: 1,
            keep_previous: Keep::Latest(1),
            keep_as_of: Duration::from_secs(3_600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_long_to_keep() {
        for (text, expected) in [
            ("24h", Ok(Keep::For(Duration::from_secs(86_400)))),
            ("90s", Ok(Keep::For(Duration::from_secs(90)))),
            ("2", Ok(Keep::Latest(2))),
            ("0", Ok(Keep::Latest(0))),
        ] {
            assert_eq!(text.parse::<Keep>(), expected, "{text}");
        }
        for bad in ["", "h", "-1h", "1w", "1.5h", "99999999999999999999d", "ü"] {
            assert!(bad.parse::<Keep>().is_err(), "{bad}");
        }
    }
}
