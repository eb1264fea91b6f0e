//! `config check --connect`: what stands where the settings say that databases are. Nothing is
//! written, and no file is made.

use anyhow::Context as _;
use serde::Serialize;

use crate::config::{Config, DatabaseSettings};
use database::{Address, Database, Tables};
use read_model::ReadModel;
use store::Store;

/// A database that the settings name.
#[derive(Debug, Serialize)]
pub struct FoundDatabase {
    /// The setting.
    pub key: &'static str,
    /// Without its password.
    pub url: String,
    /// Which program of which version; none of a file that is not there yet.
    pub server: Option<String>,
    /// What is in it, for people.
    pub holds: Vec<String>,
}

/// Connects to the databases, and says what is there.
///
/// # Errors
/// If one of them can't be reached, or the host would refuse it.
pub async fn connect(config: &Config) -> anyhow::Result<Vec<FoundDatabase>> {
    let (events, rows) = (&config.store.database, config.read_models.database.as_ref());
    let mut found = vec![look("store.url", events, true, rows.is_none()).await.context("cannot use store.url")?];
    if let Some(rows) = rows {
        found.push(look("read_models.url", rows, false, true).await.context("cannot use read_models.url")?);
    }
    Ok(found)
}

/// Looks for events, for read models, or for both.
async fn look(
    key: &'static str,
    settings: &DatabaseSettings,
    for_events: bool,
    for_rows: bool,
) -> anyhow::Result<FoundDatabase> {
    let mut found = FoundDatabase { key, url: settings.url.clone(), server: None, holds: Vec::new() };
    if let Address::Sqlite(path) = &settings.address
        && !path.exists()
    {
        found.holds.push("no file yet: the first start makes it".to_owned());
        return Ok(found);
    }
    let database = Database::open(&settings.address, &settings.connections).await?;
    found.server = Some(database.server().await?);
    if for_events {
        found.holds.push(match Store::look(&database).await? {
            (Tables::Missing, _) => "no event store yet: the first start makes it".to_owned(),
            (tables, last) => format!("events up to position {last}{}", to_migrate(tables)),
        });
    }
    if for_rows {
        found.holds.push(match ReadModel::look_at(&database).await? {
            (Tables::Missing, _) => "no read models yet: the first start makes their tables".to_owned(),
            (tables, projections) => format!("read models of {projections} projections{}", to_migrate(tables)),
        });
    }
    database.close().await;
    Ok(found)
}

fn to_migrate(tables: Tables) -> &'static str {
    if tables == Tables::Older { ", of an older version, which the next start brings up to date" } else { "" }
}
