//! Where a benchmark keeps its databases: files in a folder, or a server of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use fantascope::database::{Database, Durability, query};

use crate::servers::{Durability as Disk, Installation, Kind, Server, Template};

/// A folder, and perhaps a server.
pub(crate) struct Home {
    folder: PathBuf,
    server: Option<Server>,
    made: AtomicU32,
}

impl Home {
    /// Files in `folder`.
    pub(crate) fn files(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), server: None, made: AtomicU32::new(0) }
    }

    /// A server that syncs to disk, as one in production does.
    pub(crate) fn server(kind: Kind, folder: &Path) -> anyhow::Result<Self> {
        let installation = Installation::find(kind).with_context(|| format!("{kind} is not installed"))?;
        let template = Template::ensure(&installation, &folder.join(kind.name()))?;
        let server = Server::start(&template, Disk::Full)?;
        Ok(Self { folder: folder.to_owned(), server: Some(server), made: AtomicU32::new(0) })
    }

    /// The URL of a database that has nothing in it. The one of the same name before is gone.
    pub(crate) async fn fresh(&self, name: &str) -> anyhow::Result<String> {
        let Some(server) = &self.server else {
            let path = self.folder.join(format!("{name}.sqlite"));
            for suffix in ["", "-wal", "-shm"] {
                let file = format!("{}{suffix}", path.display());
                if std::fs::exists(&file)? {
                    std::fs::remove_file(file)?;
                }
            }
            return Ok(format!("sqlite:{}", path.display()));
        };
        let kind = server.kind();
        let (drop, make) = match kind {
            Kind::Postgres => ("DROP SCHEMA IF EXISTS", "CASCADE"),
            Kind::MariaDb => ("DROP DATABASE IF EXISTS", ""),
        };
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let administration = Database::at(&server.url(kind.administration())).await?;
        let mut transaction = administration.begin(Durability::Full).await?;
        query(format!("{drop} {name}_{} {make}", number.wrapping_sub(1))).execute(&mut transaction).await?;
        transaction.commit().await?;
        let name = format!("{name}_{number}");
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
