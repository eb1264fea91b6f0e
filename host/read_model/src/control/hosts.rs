//! Several hosts on one database: who is alive, and who folds what.
//!
//! A host is alive until its lease ends, which it renews in one statement, however much it
//! folds. What it folds bears its name, and is free for others once it is not alive. Nothing
//! depends on that being known in time: commits are fenced by the epoch of the checkpoint,
//! which grows with every owner.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::control::record::{checkpoint_of, id_of};
use crate::control::versions::Prepared;
use crate::control::writing::CHANGES;
use crate::{Error, ReadModel, Trouble};
use database::{Dialect, Durability, Row, Session, query};
use model::change::{Digest, VersionId};
use model::event::{Position, Timestamp};

/// How long is waited before listening anew, after the connection was lost.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

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
    /// The host that folds it, if that is alive: what it is called here, and for people.
    pub owner: Option<(String, String)>,
    /// Grows with every owner, and whenever its owner is to look at it anew.
    pub epoch: i64,
    /// Whether its version is being built.
    pub building: bool,
    /// How far it has come.
    pub position: Position,
    /// What keeps it from going on, as its owner tells.
    pub trouble: Option<Trouble>,
}

/// What a host must know of the others, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Grows whenever something changes that hosts must know of each other.
    pub revision: i64,
    /// How many hosts are alive.
    pub hosts: u32,
    /// The partitions of all versions that are to be run.
    pub units: Vec<Unit>,
}

/// What others say of changes.
#[derive(Debug)]
pub struct Changes {
    read_model: ReadModel,
    listener: Option<sqlx::postgres::PgListener>,
}

impl Changes {
    /// Whether the database notifies of changes.
    #[must_use]
    pub fn are_told(&self) -> bool {
        self.listener.is_some()
    }

    /// Waits until there may be one; for ever where the database does not say.
    pub async fn next(&mut self) {
        let Some(listener) = &mut self.listener else { return std::future::pending().await };
        match listener.try_recv().await {
            Ok(Some(_)) => {}
            // What was said while the connection was away is lost.
            Ok(None) | Err(_) => {
                tokio::time::sleep(LISTEN_AGAIN).await;
                if let Ok(Some(again)) = self.read_model.database.listen(CHANGES).await {
                    *listener = again;
                }
            }
        }
    }
}

impl ReadModel {
    /// Listens to what others say of changes.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn changes(&self) -> Result<Changes, Error> {
        Ok(Changes { read_model: self.clone(), listener: self.database.listen(CHANGES).await? })
    }

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
        let now = self.dialect().now();
        let renew = query(format!("UPDATE fantascope_hosts SET expires_at = {now} + ? WHERE host = ?"));
        let renew = renew.bind(micros(lease)).bind(self.host.to_string());
        if self.dialect() == Dialect::Sqlite {
            let mut transaction = self.database.begin(Durability::Normal).await?;
            let renewed = renew.execute(&mut transaction).await?;
            transaction.commit().await?;
            return Ok(renewed == 1);
        }
        // One statement, which is a transaction for itself.
        Ok(renew.execute(&mut self.database.read().await?).await? == 1)
    }

    /// Leaves, and with it all that it folded: others may go on at once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn leave(&self) -> Result<(), Error> {
        self.bury(&self.host).await
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
        let host = |row: Row| {
            let identity =
                Identity { name: row.get("name")?, machine: row.get("machine")?, process: row.get("process")? };
            Ok(HostRecord { host: row.get("host")?, identity, started_at: Timestamp(row.get("started_at")?) })
        };
        rows.all(&mut connection).await?.into_iter().map(host).collect()
    }

    /// Looks, in one statement, at what others have changed and what they fold.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn look(&self) -> Result<Look, Error> {
        let mut connection = self.database.read().await?;
        let now = self.dialect().now();
        let rows = query(format!(
            "SELECT r.revision, (SELECT count(*) FROM fantascope_hosts a WHERE a.expires_at > {now}) AS hosts, \
             c.projection, c.version, c.generation, c.\"partition\", c.epoch, c.position, c.state, c.trouble, h.host, h.name \
             FROM fantascope_revision r LEFT JOIN (SELECT k.*, v.state FROM fantascope_checkpoints k \
                JOIN fantascope_versions v ON v.projection = k.projection AND v.version = k.version \
                    AND v.generation = k.generation AND v.state IN ('building', 'ready')) c ON 1 = 1 \
             LEFT JOIN fantascope_hosts h ON h.host = c.owner AND h.expires_at > {now} \
             ORDER BY c.projection, c.version, c.generation, c.\"partition\""
        ));
        let mut look = Look::default();
        for row in rows.all(&mut connection).await? {
            (look.revision, look.hosts) = (row.get("revision")?, row.number("hosts")?);
            if row.get::<Option<String>>("projection")?.is_some() {
                look.units.push(unit(&row)?);
            }
        }
        Ok(look)
    }

    /// Takes a partition of a version over: the commits of whoever held it fail from now on.
    /// Gives nothing if another host that is alive holds it. The number of the last set of
    /// upcasters must be one of `sets`.
    ///
    /// # Errors
    /// [`Error::UnknownVersion`] if it is not there; [`Error::Fenced`] if another set of
    /// upcasters is in force, which must be known first.
    pub async fn lease(
        &self,
        id: &VersionId,
        partition: u32,
        digest: Digest,
        sets: RangeInclusive<u32>,
    ) -> Result<Option<Prepared>, Error> {
        let mut transaction = self.database.begin(Durability::Full).await?;
        let now = self.dialect().now();
        let taken = query(format!(
            "UPDATE fantascope_checkpoints SET epoch = epoch + 1, owner = ? \
             WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ? \
             AND (owner IS NULL OR owner = ? OR NOT EXISTS \
                 (SELECT 1 FROM fantascope_hosts h WHERE h.host = owner AND h.expires_at > {now})) \
             AND EXISTS (SELECT 1 FROM fantascope_versions v WHERE v.state IN ('building', 'ready') \
                 AND v.projection = fantascope_checkpoints.projection AND v.version = fantascope_checkpoints.version \
                 AND v.generation = fantascope_checkpoints.generation)"
        ));
        let taken = taken.bind(self.host.to_string()).bind(id.projection.to_string()).bind(id.version);
        let taken = taken.bind(id.generation).bind(partition).bind(self.host.to_string());
        let is_mine = taken.execute(&mut transaction).await? == 1;
        let row = query(
            "SELECT position, event_id, event_position, epoch, digest FROM fantascope_checkpoints \
             WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ?",
        );
        let row = row.bind(id.projection.to_string()).bind(id.version).bind(id.generation).bind(partition);
        let row = row.optional(&mut transaction).await?.ok_or_else(|| Error::UnknownVersion { id: id.clone() })?;
        let (checkpoint, epoch) = (checkpoint_of(&row)?, row.get("epoch")?);
        // Each commit leaves the digest of its plugin.
        let is_new = checkpoint.position == Position::START && row.get::<Option<String>>("digest")?.is_none();
        // Whoever adds a set raises the epochs: it did so before the row above was taken, and is
        // seen here, or it takes it away again.
        let latest = query("SELECT coalesce(max(number), 0) AS number FROM fantascope_upcaster_sets");
        if !sets.contains(&latest.one(&mut transaction).await?.number("number")?) {
            return Err(Error::Fenced { id: id.clone() });
        }
        transaction.commit().await?;
        let owner = Arc::clone(&self.host);
        Ok(is_mine.then(|| Prepared { id: id.clone(), partition, digest, checkpoint, is_new, epoch, owner }))
    }

    /// Gives a partition up that this host folds, so that another may take it at once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn release(&self, id: &VersionId, partition: u32) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        query(
            "UPDATE fantascope_checkpoints SET owner = NULL \
             WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ? AND owner = ?",
        )
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .bind(partition)
        .bind(self.host.to_string())
        .execute(&mut writing)
        .await?;
        writing.commit().await
    }
}

/// Takes away from their owners, but for `host`, what they fold: their commits fail from now
/// on, and they look at what has changed before they go on.
pub(crate) async fn fence_others(session: &mut dyn Session, host: &str) -> Result<(), Error> {
    query("UPDATE fantascope_checkpoints SET epoch = epoch + 1 WHERE owner IS NULL OR owner <> ?")
        .bind(host.to_owned())
        .execute(session)
        .await?;
    Ok(())
}

/// The last events of all builds that are not retired, where they stand beyond `position`.
pub(crate) async fn last_events_beyond(
    session: &mut dyn Session,
    position: Position,
) -> Result<Vec<(Position, Uuid)>, Error> {
    let events = query(
        "SELECT DISTINCT c.event_position, c.event_id FROM fantascope_checkpoints c JOIN fantascope_versions v \
         ON v.projection = c.projection AND v.version = c.version AND v.generation = c.generation \
         WHERE v.state <> 'retired' AND c.event_position > ?",
    );
    let rows = events.bind(position.to_sql()).all(session).await?;
    let event = |row: &Row| Ok((Position::from_sql(row.get("event_position")?), row.get("event_id")?));
    rows.iter().map(event).collect()
}

/// Lets whoever folds partitions of `id` look at it anew: the commits of before fail from now on.
pub(crate) async fn recall(session: &mut dyn Session, id: &VersionId) -> Result<(), Error> {
    query(
        "UPDATE fantascope_checkpoints SET epoch = epoch + 1 WHERE projection = ? AND version = ? AND generation = ?",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .execute(session)
    .await?;
    Ok(())
}

fn unit(row: &Row) -> Result<Unit, Error> {
    let owner = row.get::<Option<String>>("host")?.zip(row.get::<Option<String>>("name")?);
    Ok(Unit {
        id: id_of(row)?,
        partition: row.number("partition")?,
        owner,
        epoch: row.get("epoch")?,
        building: row.get::<String>("state")? == "building",
        position: Position::from_sql(row.get("position")?),
        trouble: row.get::<Option<String>>("trouble")?.map(|text| Trouble::read(&text)),
    })
}

fn micros(lease: Duration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX)
}
