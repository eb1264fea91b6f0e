//! Decoding what is said of the databases: where they are, passwords, connections.

use std::path::PathBuf;
use std::time::Duration;

use super::read::Reading;
use super::settings::DatabaseSettings;
use database::{Address, Connections, without_password};

/// Longer than anybody waits for a database.
const WAIT_MS_MAX: u64 = 3_600_000;

impl Reading<'_> {
    /// The database of events, and the one of read models if that is another one.
    pub(super) fn databases(&mut self) -> (DatabaseSettings, Option<DatabaseSettings>) {
        let password = self.password("store");
        let events = self.database("store", password.as_deref());
        let own_password = self.password("read_models");
        match self.get("read_models.url") {
            Some(url) if Some(&url) != self.get("store.url").as_ref() => {
                (events, Some(self.database("read_models", own_password.as_deref())))
            }
            _ => {
                if own_password.is_some() && own_password != password && !events.address.is_file() {
                    let key = if self.get("read_models.password").is_some() { "password" } else { "password_file" };
                    let reason = "has no effect, for read models share the database of store.url: \
                                  set store.password or store.password_file, or a read_models.url of its own";
                    self.refuse(&format!("read_models.{key}"), reason);
                }
                // They are looked at all the same, for a fault in them is one when the URLs part.
                self.connections("read_models");
                (events, None)
            }
        }
    }

    fn database(&mut self, section: &str, password: Option<&str>) -> DatabaseSettings {
        let key = format!("{section}.url");
        let url = self.text(&key);
        let connections = self.connections(section);
        let address = match Address::parse(&url, password) {
            Ok(address) => address,
            Err(reason) => {
                // That it is empty was said.
                if !url.trim().is_empty() {
                    self.refuse(&key, reason);
                }
                Address::Sqlite(PathBuf::new())
            }
        };
        DatabaseSettings { url: without_password(&url), address, connections }
    }

    fn password(&mut self, section: &str) -> Option<String> {
        let (key, file_key) = (format!("{section}.password"), format!("{section}.password_file"));
        let (key, password) = self.secret(&key, &file_key)?;
        let password = password?;
        if password.is_empty() {
            self.refuse(key, "must not be empty: leave it out if the database asks for none");
        }
        Some(password)
    }

    fn connections(&mut self, section: &str) -> Connections {
        let key = format!("{section}.connections_max");
        let max = self.number(&key);
        if !(2..=10_000).contains(&max) {
            self.refuse(&key, "must be from 2, one to read and one to write, to 10000");
        }
        let mut wait = |name: &str| {
            let key = format!("{section}.{name}");
            let ms = self.number(&key);
            if !(1..=WAIT_MS_MAX).contains(&ms) {
                self.refuse(&key, format!("must be from 1 to {WAIT_MS_MAX}, which is an hour"));
            }
            Duration::from_millis(ms)
        };
        Connections {
            max: u32::try_from(max).unwrap_or(2),
            wait_max: wait("connect_ms_max"),
            lock_wait_max: wait("lock_wait_ms_max"),
            ..Connections::default()
        }
    }
}
