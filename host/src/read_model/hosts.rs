//! Several hosts on one database: who is alive, and who folds what.
//!
//! A host is alive until its lease ends, which it renews in one statement, however much it
//! folds. What it folds bears its name, and is free for others once it is not alive. Nothing
//! depends on that being known in time: commits are fenced by the epoch of the checkpoint,
//! which grows with every owner.

use std::time::Duration;

use super::record::checkpoint_of;
use super::versions::Prepared;
use super::{Error, ReadModel};
use crate::change::{Digest, VersionId};
use crate::database::{Durability, query};
use crate::event::Timestamp;

/// Where the process of a host can be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// For people.
    pub name: String,
    /// The machine, until it starts anew, and what of its processes can be seen.
    pub machine: String,
    /// The process on it: its number and when it began.
    pub process: String,
}

/// A host that has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRecord {
    pub host: String,
    pub identity: Identity,
    pub started_at: Timestamp,
}

/// A partition of a version: what a host folds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub id: VersionId,
    pub partition: u32,
    /// The host that folds it, if that is alive.
    pub owner: Option<String>,
}

impl ReadModel {
    /// What this host is called among those that share the database.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Is one of the hosts from now on, until `lease` has passed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn join(&self, identity: &Identity, lease: Duration) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let now = self.dialect().now();
        query(format!("DELETE FROM fantascope_hosts WHERE host = ? OR expires_at <= {now}"))
            .bind(self.host.to_string())
            .execute(&mut writing)
            .await?;
        query(format!(
            "INSERT INTO fantascope_hosts (host, name, machine, process, started_at, expires_at) \
             VALUES (?, ?, ?, ?, {now}, {now} + ?)"
        ))
        .bind(self.host.to_string())
        .bind(identity.name.clone())
        .bind(identity.machine.clone())
        .bind(identity.process.clone())
        .bind(micros(lease))
        .execute(&mut writing)
        .await?;
        writing.commit().await
    }

    /// Goes on being alive for `lease`. Says whether it still was: another host may have
    /// found it dead.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn renew(&self, lease: Duration) -> Result<bool, Error> {
        let mut transaction = self.database.begin(Durability::Normal).await?;
        let now = self.dialect().now();
        let renewed = query(format!("UPDATE fantascope_hosts SET expires_at = {now} + ? WHERE host = ?"))
            .bind(micros(lease))
            .bind(self.host.to_string())
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(renewed == 1)
    }

    /// Leaves, and with it all that it folded: others may go on at once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn leave(&self) -> Result<(), Error> {
        self.bury(&self.host.to_string()).await
    }

    /// Notes that `host` is not alive any more.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn bury(&self, host: &str) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        for sql in [
            "UPDATE fantascope_checkpoints SET owner = NULL WHERE owner = ?",
            "DELETE FROM fantascope_hosts WHERE host = ?",
        ] {
            query(sql).bind(host.to_owned()).execute(&mut writing).await?;
        }
        writing.commit().await
    }

    /// The hosts that are alive, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn hosts(&self) -> Result<Vec<HostRecord>, Error> {
        let mut connection = self.database.read().await?;
        let now = self.dialect().now();
        let rows = query(format!(
            "SELECT host, name, machine, process, started_at FROM fantascope_hosts WHERE expires_at > {now} ORDER BY host"
        ));
        let host = |row: crate::database::Row| {
            let identity =
                Identity { name: row.get("name")?, machine: row.get("machine")?, process: row.get("process")? };
            Ok(HostRecord { host: row.get("host")?, identity, started_at: Timestamp(row.get("started_at")?) })
        };
        rows.all(&mut connection).await?.into_iter().map(host).collect()
    }

    /// A number that grows whenever something changes that hosts must know of each other.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn revision(&self) -> Result<i64, Error> {
        let mut connection = self.database.read().await?;
        Ok(query("SELECT revision FROM fantascope_revision").one(&mut connection).await?.get("revision")?)
    }

    /// All partitions of versions that are not retired, each with its owner.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn units(&self) -> Result<Vec<Unit>, Error> {
        let mut connection = self.database.read().await?;
        let now = self.dialect().now();
        let rows = query(format!(
            "SELECT c.projection, c.version, c.generation, c.\"partition\", h.host AS owner FROM fantascope_checkpoints c \
             JOIN fantascope_versions v USING (projection, version, generation) \
             LEFT JOIN fantascope_hosts h ON h.host = c.owner AND h.expires_at > {now} \
             WHERE v.state <> 'retired' ORDER BY c.projection, c.version, c.generation, c.\"partition\""
        ));
        let unit = |row: &crate::database::Row| {
            let id = super::record::id_of(row)?;
            Ok(Unit { id, partition: row.number("partition")?, owner: row.get("owner")? })
        };
        rows.all(&mut connection).await?.iter().map(unit).collect()
    }

    /// Takes a partition of a version over: the commits of whoever held it fail from now on.
    /// Gives nothing if another host that is alive holds it.
    ///
    /// # Errors
    /// [`Error::UnknownVersion`] if it is not there.
    pub async fn lease(&self, id: &VersionId, partition: u32, digest: Digest) -> Result<Option<Prepared>, Error> {
        let mut transaction = self.database.begin(Durability::Full).await?;
        let now = self.dialect().now();
        let taken = query(format!(
            "UPDATE fantascope_checkpoints SET epoch = epoch + 1, owner = ? \
             WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ? \
             AND (owner IS NULL OR owner = ? OR NOT EXISTS \
                 (SELECT 1 FROM fantascope_hosts h WHERE h.host = owner AND h.expires_at > {now}))"
        ));
        let taken = taken.bind(self.host.to_string()).bind(id.projection.to_string()).bind(id.version);
        let taken = taken.bind(id.generation).bind(partition).bind(self.host.to_string());
        let is_mine = taken.execute(&mut transaction).await? == 1;
        let row = query(
            "SELECT position, event_id, event_position, epoch FROM fantascope_checkpoints \
             WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ?",
        );
        let row = row.bind(id.projection.to_string()).bind(id.version).bind(id.generation).bind(partition);
        let row = row.optional(&mut transaction).await?.ok_or_else(|| Error::UnknownVersion { id: id.clone() })?;
        let (checkpoint, epoch) = (checkpoint_of(&row)?, row.get("epoch")?);
        transaction.commit().await?;
        Ok(is_mine.then(|| Prepared { id: id.clone(), partition, digest, checkpoint, epoch }))
    }

    /// Gives a partition up that this host folds, so that another may take it at once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn release(&self, id: &VersionId, partition: u32) -> Result<(), Error> {
        let mut transaction = self.database.begin(Durability::Full).await?;
        query(
            "UPDATE fantascope_checkpoints SET owner = NULL \
             WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ? AND owner = ?",
        )
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .bind(partition)
        .bind(self.host.to_string())
        .execute(&mut transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

fn micros(lease: Duration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX)
}
