//! The settings, decoded.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Origin, Secret};
use database::{Address, Connections};
use deployment::{Membership, Policy};
use model::limits::Limits;

/// All settings of the host.
#[derive(Clone, Debug)]
pub struct Config {
    pub store: StoreSettings,
    pub read_models: ReadModels,
    pub plugins: Plugins,
    pub deploy: Policy,
    pub hosts: Membership,
    pub http: Http,
    pub limits: Limits,
    pub log: Log,
    /// Every setting as text, with where it comes from; secrets masked.
    pub effective: Vec<Effective>,
    /// What can be done, but had better not; for people.
    pub warnings: Vec<String>,
}

/// Where a database is, and how it is reached.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Its URL, without any password: to be shown.
    pub url: String,
    pub address: Address,
    pub connections: Connections,
}

/// Where events are.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub database: DatabaseSettings,
    /// How often events that other processes append are looked for, in milliseconds.
    pub poll_ms: u64,
}

/// Where read models are.
#[derive(Clone, Debug)]
pub struct ReadModels {
    /// One of their own; none if they share the store's.
    pub database: Option<DatabaseSettings>,
}

/// Where plugins are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugins {
    /// The folder that plugins are put into.
    pub dir: PathBuf,
    /// The folder for compiled code, of the host alone.
    pub cache: PathBuf,
    /// How long a file must have been the same before it is read, in milliseconds.
    pub settle_ms: u64,
    /// How often the folder is looked over without being told of a change, in milliseconds.
    pub rescan_ms: u64,
}

/// How the host is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub listen: SocketAddr,
    /// Whoever calls must know it, if it is set.
    pub token: Option<Secret>,
    /// What those who know it are called in the log of operations.
    pub token_name: String,
}

impl Http {
    /// What callers are called in the log of operations.
    #[must_use]
    pub fn actor(&self) -> String {
        if self.token.is_some() { self.token_name.clone() } else { "anyone on this machine".to_owned() }
    }
}

/// What the host writes about its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or a filter such as `info,fantascope::http=debug`.
    pub level: String,
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object per line.
    Json,
}

/// A setting as it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// `section.key`.
    pub key: String,
    /// Its value; none if it is not set. Secrets are masked.
    pub value: Option<String>,
    pub origin: Origin,
}

impl StoreSettings {
    /// How often events that other processes append are looked for.
    #[must_use]
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }
}

impl Config {
    /// The URL under which a client on this machine reaches the host.
    #[must_use]
    pub fn server_url(&self) -> String {
        let mut address = self.http.listen;
        if address.ip().is_unspecified() {
            // 0.0.0.0 and [::] are no addresses to call; the loopback is among what they stand for.
            address.set_ip(if address.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        format!("http://{address}")
    }
}
