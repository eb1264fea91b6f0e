//! Log levels: whether a filter says what its writer means.
//!
//! The filter's own parser takes any word that is no level for the name of a module. Such a
//! filter matches nothing, and nothing is logged.

use std::str::FromStr as _;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use super::key::nearest;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Checks a level, or a filter such as `info,fantascope::http=debug`.
///
/// # Errors
/// The word at fault, and the level that it most likely stands for.
pub(super) fn check(filter: &str) -> Result<(), String> {
    for directive in filter.split(',').map(str::trim) {
        check_directive(directive)?;
    }
    EnvFilter::builder().parse(filter).map(drop).map_err(|fault| format!("`{filter}` is no filter: {fault}"))
}

/// `LEVEL`, or `TARGET[SPAN]=LEVEL`.
fn check_directive(directive: &str) -> Result<(), String> {
    // A span in brackets may hold an `=` of its own.
    let behind_span = directive.rfind(']').map_or(0, |end| end + 1);
    let level = directive[behind_span..].rfind('=').map(|equals| &directive[behind_span + equals + 1..]);
    let word = level.unwrap_or(directive);
    if !word.is_empty() && LevelFilter::from_str(word).is_ok() {
        return Ok(());
    }
    let meant = nearest_level(&word.to_ascii_lowercase()).map(|meant| format!(", did you mean `{meant}`?"));
    let example = if level.is_none() && !word.is_empty() {
        format!("; for all of a module write `{word}=trace`")
    } else {
        String::new()
    };
    Err(format!("`{word}` is not a level{} Levels are {}{example}", meant.as_deref().unwrap_or("."), LEVELS.join(", ")))
}

/// The level that begins like `word`, else the one that is spelt most like it.
fn nearest_level(word: &str) -> Option<&'static str> {
    let begins_alike = |level: &&str| word.len() > 1 && (word.starts_with(*level) || level.starts_with(word));
    LEVELS.into_iter().find(begins_alike).or_else(|| nearest(word, LEVELS.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_levels_and_filters() {
        for filter in [
            "info",
            "WARN",
            "off",
            "info,fantascope::http=debug",
            "fantascope=trace,sqlx=warn",
            "fantascope[answered{status=500}]=debug,error",
        ] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn refuses_words_that_are_no_level_and_names_the_nearest() {
        for (filter, expected) in [
            ("warning", "`warning` is not a level, did you mean `warn`?"),
            ("WARNING", "`WARNING` is not a level, did you mean `warn`?"),
            ("infoo", "`infoo` is not a level, did you mean `info`?"),
            ("ifno", "`ifno` is not a level, did you mean `info`?"),
            ("err", "`err` is not a level, did you mean `error`?"),
            ("fantascope=warning", "`warning` is not a level, did you mean `warn`?"),
            ("info,fantascope::http=debgu", "`debgu` is not a level, did you mean `debug`?"),
            ("info,fantascope[answered{status=500}]=loud", "`loud` is not a level. Levels are error, warn"),
            (
                "fantascope",
                "`fantascope` is not a level. Levels are error, warn, info, debug, trace, off; for all of a module write `fantascope=trace`",
            ),
            ("fantascope=", "`` is not a level"),
            ("info,", "`` is not a level"),
            ("a=b=c", "`c` is not a level"),
        ] {
            let reason = check(filter).expect_err(filter);
            assert!(reason.contains(expected), "{filter}: {reason} should say {expected}");
        }
    }
}
