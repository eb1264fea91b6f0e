//! Where a benchmark keeps its databases: files in a folder, or a server of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use fantascope::database::{Database, Durability, query};

use crate::servers::{Durability as Disk, Installation, Kind, Server, Template};

/// A folder, and perhaps a server.
pub(crate) struct Home {
    folder: PathBuf,
    server: Option<Server>,
    /// How many databases of each name were made.
    made: Mutex<BTreeMap<String, u32>>,
}

impl Home {
    /// Files in `folder`.
    pub(crate) fn files(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), server: None, made: Mutex::default() }
    }

    /// A server that syncs to disk, as one in production does.
    pub(crate) fn server(kind: Kind, folder: &Path) -> anyhow::Result<Self> {
        let installation = Installation::find(kind).with_context(|| format!("{kind} is not installed"))?;
        let template = Template::ensure(&installation, &folder.join(installation.name()))?;
        let server = Server::start(&template, Disk::Full)?;
        Ok(Self { folder: folder.to_owned(), server: Some(server), made: Mutex::default() })
    }

    /// Where files can be kept.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The URL of a database that has nothing in it. The one of the same name before is gone.
    pub(crate) async fn fresh(&self, name: &str) -> anyhow::Result<String> {
        let number = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            let number = made.entry(name.to_owned()).or_default();
            *number += 1;
            *number
        };
        let (before, name) = (format!("{name}_{}", number - 1), format!("{name}_{number}"));
        let Some(server) = &self.server else {
            // Another name each time: who still closes the file before would take the log of the
            // new one for its own, and remove it.
            for suffix in ["", "-wal", "-shm"] {
                let file = self.folder.join(format!("{before}.sqlite{suffix}"));
                if std::fs::exists(&file)? {
                    std::fs::remove_file(file)?;
                }
            }
            return Ok(format!("sqlite:{}", self.folder.join(format!("{name}.sqlite")).display()));
        };
        let kind = server.kind();
        let (drop, make) = match kind {
            Kind::Postgres => ("DROP SCHEMA IF EXISTS", "CASCADE"),
            Kind::MariaDb => ("DROP DATABASE IF EXISTS", ""),
        };
        let administration = Database::at(&server.url(kind.administration())).await?;
        let mut transaction = administration.begin(Durability::Full).await?;
        query(format!("{drop} {before} {make}")).execute(&mut transaction).await?;
        transaction.commit().await?;
        let mut transaction = administration.begin(Durability::Full).await?;
        let what = if kind == Kind::Postgres { "SCHEMA" } else { "DATABASE" };
        query(format!("CREATE {what} {name}")).execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(match kind {
            Kind::Postgres => format!("{}?options[search_path]={name}", server.url(kind.administration())),
            Kind::MariaDb => server.url(&name),
        })
    }
}
