//! Which settings there are.

use database::Connections;
use deployment::Membership;
use model::limits::Limits;

/// The file that is read if no other is named; it need not be there.
pub const DEFAULT_FILE: &str = "fantascope.toml";

/// What the value of a setting must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
}

/// A setting that can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// `section.key`, as in the file.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// What holds if nobody says otherwise; none if there is no such value.
    pub(super) default: Option<String>,
    pub(super) is_secret: bool,
}

/// Every setting, in the order in which they are shown.
pub(super) fn keys() -> Vec<Key> {
    let text = |name: &str, default: Option<&str>| Key {
        name: name.to_owned(),
        kind: Kind::Text,
        default: default.map(str::to_owned),
        is_secret: false,
    };
    let number = |name: String, default: u64| Key {
        name,
        kind: Kind::Number,
        default: Some(default.to_string()),
        is_secret: false,
    };
    let mut keys = vec![
        text("store.url", Some("sqlite:fantascope-data/fantascope.sqlite")),
        number("store.poll_ms".to_owned(), 100),
        text("read_models.url", None),
        text("plugins.dir", Some("fantascope-data/plugins")),
        text("plugins.cache", Some("fantascope-data/cache")),
        number("plugins.settle_ms".to_owned(), 250),
        number("plugins.rescan_ms".to_owned(), 5_000),
        text("deploy.promote", Some("ready")),
        text("deploy.when_rows_differ", Some("build")),
        number("deploy.sample_events".to_owned(), 10_000),
        number("deploy.workers".to_owned(), 1),
        text("deploy.keep_previous", Some("24h")),
        text("deploy.keep_as_of", Some("24h")),
        text("hosts.name", None),
        number("hosts.lease_ms".to_owned(), ms(Membership::default().lease)),
        text("http.listen", Some("127.0.0.1:7711")),
        Key { is_secret: true, ..text("http.token", None) },
        text("http.token_file", None),
        text("http.token_name", Some("token")),
    ];
    // What a database needs beside its URL stands behind it.
    for section in ["read_models", "store"] {
        let url = keys.iter().position(|key| key.name == format!("{section}.url")).map_or(0, |place| place + 1);
        keys.splice(url..url, database(section, &text, &number));
    }
    keys.extend(default_limits().into_iter().map(|(name, default)| number(format!("limits.{name}"), default)));
    keys.push(text("log.level", Some("info")));
    keys.push(text("log.format", Some("text")));
    keys
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What can be said of a database beside where it is.
fn database(
    section: &str,
    text: &impl Fn(&str, Option<&str>) -> Key,
    number: &impl Fn(String, u64) -> Key,
) -> [Key; 5] {
    let connections = Connections::default();
    [
        Key { is_secret: true, ..text(&format!("{section}.password"), None) },
        text(&format!("{section}.password_file"), None),
        number(format!("{section}.connections_max"), connections.max.into()),
        number(format!("{section}.connect_ms_max"), ms(connections.wait_max)),
        number(format!("{section}.lock_wait_ms_max"), ms(connections.lock_wait_max)),
    ]
}

/// The bounds by name. `Limits` itself is the list of them, so that none is forgotten here.
fn default_limits() -> Vec<(String, u64)> {
    match serde_json::to_value(Limits::default()) {
        Ok(serde_json::Value::Object(fields)) => {
            fields.into_iter().filter_map(|(name, value)| Some((name, value.as_u64()?))).collect()
        }
        _ => Vec::new(),
    }
}

/// That one of `known` that `unknown` most likely stands for, if one is near.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|known| (strsim::damerau_levenshtein(unknown, known), known));
    let (distance, nearest) = scored.min_by_key(|&(distance, _)| distance)?;
    (distance <= unknown.len().max(nearest.len()) / 3).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = keys();
        let check = |unknown: &str, expected: Option<&str>| {
            assert_eq!(nearest(unknown, keys.iter().map(|key| key.name.as_str())), expected, "{unknown}");
        };
        check("store.ulr", Some("store.url"));
        check("htpp.listen", Some("http.listen"));
        check("limits.event_byte_max", Some("limits.event_bytes_max"));
        check("kafka.brokers", None);
    }

    #[test]
    fn knows_every_limit() {
        let limits = keys().into_iter().filter(|key| key.name.starts_with("limits.")).count();
        let fields = serde_json::to_value(Limits::default()).expect("limits are JSON");
        assert_eq!(limits, fields.as_object().expect("an object").len());
    }
}
