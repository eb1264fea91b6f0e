//! Decoding: from texts to settings, noting everything that is wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::gather::{Gathered, gather};
use super::key::{Key, keys};
use super::level;
use super::secret::{read_secret, warning_of};
use super::settings::{Config, Effective, Http, Log, LogFormat, Plugins, ReadModels, StoreSettings};
use super::{DEFAULT_FILE, Fault, Faults, Flag, Origin, Secret, Sources};
use database::without_password;
use deployment::{Keep, Membership, Policy, WhenRowsDiffer, duration};
use model::limits::Limits;
use read_model::Promote;

impl Sources {
    /// The environment of this process, `flags`, and the file: `named`, or the
    /// default one if it is there.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn of_process(named: Option<&Path>, flags: Vec<Flag>) -> Result<Self, Faults> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let file = match std::fs::read_to_string(path) {
            Ok(text) => Some((path.to_owned(), text)),
            Err(fault) if named.is_none() && fault.kind() == std::io::ErrorKind::NotFound => None,
            Err(fault) => {
                let origin = Origin::File { path: path.to_owned(), line: 0 };
                return Err(Faults(vec![Fault {
                    key: String::new(),
                    origin,
                    reason: format!("cannot be read: {fault}"),
                }]));
            }
        };
        Ok(Self { flags, environment: environment(), file })
    }
}

impl LogFormat {
    /// What the settings say of it, whatever is wrong with others: also that is to be logged in
    /// this form. `named` as in [`Sources::of_process`].
    #[must_use]
    pub fn wanted(named: Option<&Path>) -> Self {
        let keys = keys();
        let sources = Sources::of_process(named, Vec::new());
        let sources = sources.unwrap_or_else(|_| Sources { environment: environment(), ..Sources::default() });
        match gather(&keys, &sources).get("log.format") {
            Some(given) if given.text == "json" => Self::Json,
            _ => Self::Text,
        }
    }
}

fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect()
}

/// A lease that is shorter would end while a host is merely busy.
const LEASE_MIN: Duration = Duration::from_millis(1_000);

impl Config {
    /// Decodes the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(sources: &Sources) -> Result<Self, Faults> {
        let keys = keys();
        let mut reading = Reading { gathered: gather(&keys, sources), keys: &keys, warnings: Vec::new() };
        let (events, rows) = reading.databases();
        let store = StoreSettings { database: events, poll_ms: reading.number("store.poll_ms") };
        if store.poll_ms == 0 {
            reading.refuse("store.poll_ms", "must be at least 1, else the host would do nothing but look");
        }
        let read_models = ReadModels { database: rows };
        let plugins = Plugins {
            dir: reading.path("plugins.dir"),
            cache: reading.path("plugins.cache"),
            settle_ms: reading.number("plugins.settle_ms"),
            rescan_ms: reading.number("plugins.rescan_ms"),
        };
        if plugins.rescan_ms == 0 {
            reading.refuse("plugins.rescan_ms", "must be at least 1, else the host would do nothing but look");
        }
        let hosts = Membership {
            lease: Duration::from_millis(reading.number("hosts.lease_ms")),
            name: reading.get("hosts.name").filter(|name| !name.trim().is_empty()),
        };
        if hosts.lease < LEASE_MIN {
            reading.refuse(
                "hosts.lease_ms",
                format!(
                    "must be at least {}, else a host that is busy for a moment would lose its work",
                    LEASE_MIN.as_millis()
                ),
            );
        }
        let http = reading.http();
        let limits = reading.limits();
        let deploy = reading.deploy(&limits);
        let log = reading.log();
        reading.warn_of_open_file();
        let effective = reading.effective();
        let warnings = reading.warnings;
        let faults = reading.gathered.faults;
        if faults.is_empty() {
            Ok(Self { store, read_models, plugins, deploy, hosts, http, limits, log, effective, warnings })
        } else {
            Err(Faults(faults))
        }
    }
}

/// Settings while they are decoded. Where a value is at fault, the fault is noted and
/// a stand-in goes on, so that the others are looked at too.
pub(super) struct Reading<'a> {
    gathered: Gathered,
    keys: &'a [Key],
    pub(super) warnings: Vec<String>,
}

impl Reading<'_> {
    pub(super) fn get(&self, key: &str) -> Option<String> {
        let default = || self.keys.iter().find(|known| known.name == key).and_then(|known| known.default.clone());
        self.gathered.get(key).map(|given| given.text.clone()).or_else(default)
    }

    pub(super) fn refuse(&mut self, key: &str, reason: impl Into<String>) {
        let origin = self.gathered.get(key).map_or(Origin::Default, |given| given.origin.clone());
        self.gathered.faults.push(Fault { key: key.to_owned(), origin, reason: reason.into() });
    }

    pub(super) fn text(&mut self, key: &str) -> String {
        let text = self.get(key).unwrap_or_default();
        if text.trim().is_empty() {
            self.refuse(key, "must not be empty");
        }
        text
    }

    fn path(&mut self, key: &str) -> PathBuf {
        PathBuf::from(self.text(key))
    }

    pub(super) fn number(&mut self, key: &str) -> u64 {
        let text = self.text(key);
        text.trim().parse().unwrap_or_else(|_| {
            self.refuse(key, format!("`{text}` is not a whole number from 0 up"));
            1
        })
    }

    fn http(&mut self) -> Http {
        let text = self.text("http.listen");
        let listen = text.replacen("localhost:", "127.0.0.1:", 1).parse::<SocketAddr>();
        let token = self.token();
        let token_name = self.text("http.token_name");
        match listen {
            Ok(listen) => {
                if !listen.ip().is_loopback() && token.is_none() {
                    let reason = format!(
                        "{listen} can be reached from other machines, and anybody could read and append events: \
                         set http.token or http.token_file, or listen on 127.0.0.1"
                    );
                    self.refuse("http.listen", reason);
                }
                Http { listen, token, token_name }
            }
            Err(_) => {
                self.refuse("http.listen", format!("`{text}` is not an address and port such as 127.0.0.1:7711"));
                Http { listen: SocketAddr::from(([127, 0, 0, 1], 0)), token, token_name }
            }
        }
    }

    fn token(&mut self) -> Option<Secret> {
        let (key, token) = self.secret("http.token", "http.token_file")?;
        let Some(token) = token else { return Some(Secret::new("-")) };
        // What RFC 6750 calls b64token, without its rule on `=`: it must survive in a header.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.refuse(key, "must be visible ASCII characters without spaces, at least one");
        }
        Some(Secret::new(token))
    }

    /// The secret of `key`, or the one in the file that `file_key` names, with the key that
    /// holds; without a text if it was refused already.
    pub(super) fn secret<'k>(&mut self, key: &'k str, file_key: &'k str) -> Option<(&'k str, Option<String>)> {
        match (self.get(key), self.get(file_key)) {
            (None, None) => None,
            (Some(_), Some(_)) if self.rank(key) == self.rank(file_key) => {
                self.refuse(key, format!("is set beside {file_key}: only one of them can hold"));
                Some((key, None))
            }
            // One that was given nearer to this run outranks a file that the settings name, and the other way round.
            (Some(secret), file) if file.is_none() || self.rank(key) > self.rank(file_key) => Some((key, Some(secret))),
            (_, file) => Some((file_key, self.secret_in(file_key, &file.unwrap_or_default()))),
        }
    }

    fn secret_in(&mut self, key: &str, file: &str) -> Option<String> {
        match read_secret(Path::new(file)) {
            Ok((secret, warning)) => {
                self.warnings.extend(warning.map(|warning| format!("{key}: {warning}")));
                Some(secret)
            }
            Err(reason) => {
                self.refuse(key, reason);
                None
            }
        }
    }

    /// Warns of a settings file that holds a secret and that everybody can read.
    fn warn_of_open_file(&mut self) {
        let in_file = |key: &&Key| {
            let given = self.gathered.get(&key.name)?;
            let holds_secret = key.is_secret || without_password(&given.text) != given.text;
            let Origin::File { path, .. } = &given.origin else { return None };
            holds_secret.then(|| (path.clone(), key.name.clone()))
        };
        let found = self.keys.iter().find_map(|key| in_file(&key));
        let warning = found.and_then(|(path, key)| Some(format!("{key} is in the settings: {}", warning_of(&path)?)));
        self.warnings.extend(warning);
    }

    fn rank(&self, key: &str) -> u8 {
        match self.gathered.get(key).map(|given| &given.origin) {
            Some(Origin::Flag(_)) => 3,
            Some(Origin::Environment(_)) => 2,
            Some(Origin::File { .. }) => 1,
            Some(Origin::Default) | None => 0,
        }
    }

    fn limits(&mut self) -> Limits {
        let names: Vec<String> =
            self.keys.iter().filter(|key| key.name.starts_with("limits.")).map(|key| key.name.clone()).collect();
        let mut fields = serde_json::Map::new();
        for name in &names {
            let value = self.number(name);
            fields.insert(name["limits.".len()..].to_owned(), value.into());
        }
        let limits = serde_json::from_value::<Limits>(fields.into()).unwrap_or_else(|fault| {
            self.refuse("limits", fault.to_string());
            Limits::default()
        });
        if limits.backfill_percent_max > 100 {
            self.refuse("limits.backfill_percent_max", "is a share of 100: it must be from 1 to 100");
        }
        for zero in limits.zeros() {
            self.refuse(&format!("limits.{zero}"), "must be at least 1, for 0 would stop all work");
        }
        limits
    }

    fn deploy(&mut self, limits: &Limits) -> Policy {
        let workers = self.number("deploy.workers");
        if workers == 0 || workers > limits.backfill_workers_max {
            let max = limits.backfill_workers_max;
            self.refuse("deploy.workers", format!("must be from 1 to {max}, as limits.backfill_workers_max says"));
        }
        Policy {
            promote: self.parsed("deploy.promote", str::parse, Promote::Manual),
            when_rows_differ: self.parsed("deploy.when_rows_differ", str::parse, WhenRowsDiffer::Refuse),
            sample_events: self.number("deploy.sample_events"),
            workers: u32::try_from(workers).unwrap_or(1),
            keep_previous: self.parsed("deploy.keep_previous", str::parse, Keep::Latest(1)),
            keep_as_of: self.parsed("deploy.keep_as_of", duration, Duration::ZERO),
        }
    }

    /// The value of `key`; the fault is noted if it is none, and `stand_in` goes on.
    fn parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>, stand_in: T) -> T {
        let text = self.text(key);
        parse(&text).unwrap_or_else(|reason| {
            self.refuse(key, reason);
            stand_in
        })
    }

    fn log(&mut self) -> Log {
        let level = self.text("log.level");
        // That it is empty was said.
        if !level.trim().is_empty()
            && let Err(reason) = level::check(&level)
        {
            self.refuse("log.level", reason);
        }
        let format = match self.text("log.format").as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                self.refuse("log.format", format!("`{other}` is neither `text` nor `json`"));
                LogFormat::Text
            }
        };
        Log { level, format }
    }

    fn effective(&self) -> Vec<Effective> {
        let effective = |key: &Key| {
            let given = self.gathered.get(&key.name);
            let value = match self.get(&key.name) {
                Some(_) if key.is_secret => Some("********".to_owned()),
                None if key.name == "read_models.url" => self.get("store.url").map(|url| without_password(&url)),
                Some(url) if key.name.ends_with(".url") => Some(without_password(&url)),
                value => value,
            };
            Effective {
                key: key.name.clone(),
                value,
                origin: given.map_or(Origin::Default, |given| given.origin.clone()),
            }
        };
        self.keys.iter().map(effective).collect()
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
