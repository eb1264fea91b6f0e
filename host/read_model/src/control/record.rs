//! What is stored about versions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Error, ReadModel};
use database::{Row, Session, query};
use model::change::{Digest, Name, TableDefinition, VersionId};
use model::event::{Checkpoint, Position, Timestamp};

/// How far the life of a version has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Folds the history.
    Building,
    /// Has caught up once.
    Ready,
    /// Its tables are gone.
    Retired,
    /// A newer program has recorded something that this one does not know: what that is. Such a
    /// version is left alone.
    Foreign(String),
}

impl State {
    /// Whether it is to be run: it has its tables, and all of it is known.
    #[must_use]
    pub fn is_standing(&self) -> bool {
        matches!(self, Self::Building | Self::Ready)
    }
}

/// When a version takes the place of the live one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Promote {
    /// When somebody says so.
    #[default]
    Manual,
    /// Once it has caught up.
    Ready,
    /// Once it has caught up and its rows are those of the live version.
    Verified,
}

impl Promote {
    pub(crate) fn as_sql(self) -> Option<&'static str> {
        match self {
            Self::Manual => None,
            Self::Ready => Some("ready"),
            Self::Verified => Some("verified"),
        }
    }
}

impl std::str::FromStr for Promote {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "manual" => Ok(Self::Manual),
            "ready" => Ok(Self::Ready),
            "verified" => Ok(Self::Verified),
            other => Err(format!("`{other}` is neither `ready`, `verified` nor `manual`")),
        }
    }
}

/// What is stored about a version.
#[derive(Clone, Debug)]
pub struct VersionRecord {
    pub id: VersionId,
    pub digest: Digest,
    pub tables: Vec<TableDefinition>,
    pub created_at: Timestamp,
    pub state: State,
    /// Somebody paused it.
    pub paused: bool,
    /// Whether the stable names show it.
    pub live: bool,
    /// When it is to take over by itself.
    pub promote: Promote,
    /// The end of its backfill.
    pub built_until: Position,
    /// For a build of the past: its last position.
    pub as_of: Option<Position>,
    /// When it was live first, and until when; none in the latter while it is.
    pub live_from: Option<Timestamp>,
    pub live_to: Option<Timestamp>,
    /// The set of upcasters that its history is read with.
    pub upcasters: u32,
    /// How many partitions the rest of its history is to be folded in, if not as many as there are.
    pub workers: Option<u32>,
    /// Of each partition, by number.
    pub checkpoints: Vec<Checkpoint>,
    pub checkpoint_at: Timestamp,
}

impl VersionRecord {
    /// Everything up to here is folded.
    #[must_use]
    pub fn position(&self) -> Position {
        self.checkpoints.iter().map(|checkpoint| checkpoint.position).min().unwrap_or_default()
    }

    /// Nothing is done with a version of which something is not known.
    ///
    /// # Errors
    /// [`Error::Foreign`] says what that is.
    pub fn expect_known(&self) -> Result<(), Error> {
        match &self.state {
            State::Foreign(what) => Err(Error::Foreign { id: self.id.clone(), what: what.clone() }),
            _ => Ok(()),
        }
    }
}

const SELECT: &str = "SELECT v.projection, v.version, v.generation, v.digest, v.tables, v.created_at, v.state, v.paused, \
    v.promote, v.built_until, v.as_of, v.live_from, v.live_to, v.upcasters, v.workers, \
    EXISTS (SELECT 1 FROM fantascope_live l \
            WHERE (l.projection, l.version, l.generation) = (v.projection, v.version, v.generation)) AS live, \
    c.position, c.event_id, c.event_position, c.updated_at \
    FROM fantascope_versions v JOIN fantascope_checkpoints c USING (projection, version, generation) ";
const ORDER: &str = " ORDER BY v.projection, v.version, v.generation, c.\"partition\"";

impl ReadModel {
    /// Every version that is not retired, by name, version and generation.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn versions(&self) -> Result<Vec<VersionRecord>, Error> {
        let mut connection = self.database.read().await?;
        records(&mut connection, "WHERE v.state <> ?", "retired").await
    }

    /// The version `id`.
    ///
    /// # Errors
    /// [`Error::UnknownVersion`] if it was never built.
    pub async fn version(&self, id: &VersionId) -> Result<VersionRecord, Error> {
        let mut connection = self.database.read().await?;
        record(&mut connection, id).await
    }

    /// Every version of one projection that was ever built.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn versions_of(&self, projection: &str) -> Result<Vec<VersionRecord>, Error> {
        let mut connection = self.database.read().await?;
        records(&mut connection, "WHERE v.projection = ?", projection).await
    }
}

/// The versions that `condition` holds for, of which `value` is the first parameter.
pub(crate) async fn records(
    connection: &mut dyn Session,
    condition: &'static str,
    value: &str,
) -> Result<Vec<VersionRecord>, Error> {
    let rows = query(format!("{SELECT}{condition}{ORDER}")).bind(value.to_owned()).all(connection).await?;
    let mut records: Vec<VersionRecord> = Vec::new();
    for row in &rows {
        let id = id_of(row)?;
        let (checkpoint, at) = (checkpoint_of(row)?, Timestamp(row.get("updated_at")?));
        match records.last_mut().filter(|last| last.id == id) {
            Some(last) => {
                last.checkpoints.push(checkpoint);
                last.checkpoint_at = last.checkpoint_at.max(at);
            }
            None => records.push(record_of(row, id, checkpoint, at)?),
        }
    }
    Ok(records)
}

/// The version `id`, whose tables are there, and all of which is known.
pub(crate) async fn standing(connection: &mut dyn Session, id: &VersionId) -> Result<VersionRecord, Error> {
    let record = record(connection, id).await?;
    record.expect_known()?;
    if record.state == State::Retired { Err(Error::UnknownVersion { id: id.clone() }) } else { Ok(record) }
}

/// The version `id`.
pub(crate) async fn record(connection: &mut dyn Session, id: &VersionId) -> Result<VersionRecord, Error> {
    let all = records(connection, "WHERE v.projection = ?", id.projection.as_str()).await?;
    all.into_iter().find(|record| record.id == *id).ok_or_else(|| Error::UnknownVersion { id: id.clone() })
}

fn record_of(row: &Row, id: VersionId, checkpoint: Checkpoint, at: Timestamp) -> Result<VersionRecord, Error> {
    let text = |column: &str| row.get::<String>(column);
    let time = |column: &str| row.get::<Option<i64>>(column).map(|time| time.map(Timestamp));
    let unreadable = |reason: String| Error::Unreadable { id: id.clone(), reason };
    let digest = text("digest")?.parse().map_err(unreadable)?;
    let (tables, promote) = (text("tables")?, row.get::<Option<String>>("promote")?);
    let (state, tables, promote) = what_is_known(&text("state")?, &tables, promote.as_deref());
    Ok(VersionRecord {
        digest,
        tables,
        state,
        promote,
        created_at: Timestamp(row.get("created_at")?),
        paused: row.get("paused")?,
        live: row.get("live")?,
        built_until: Position::from_sql(row.get("built_until")?),
        as_of: row.get::<Option<i64>>("as_of")?.map(Position::from_sql),
        live_from: time("live_from")?,
        live_to: time("live_to")?,
        upcasters: row.number("upcasters")?,
        workers: row.optional_number("workers")?,
        checkpoints: vec![checkpoint],
        checkpoint_at: at,
        id,
    })
}

/// State, tables and policy, as far as this program knows them.
fn what_is_known(state: &str, tables: &str, promote: Option<&str>) -> (State, Vec<TableDefinition>, Promote) {
    let known = match state {
        "building" => Ok(State::Building),
        "ready" => Ok(State::Ready),
        "retired" => Ok(State::Retired),
        other => Err(format!("the state `{other}`")),
    };
    let tables: Result<Vec<TableDefinition>, String> =
        serde_json::from_str(tables).map_err(|fault| format!("its tables: {fault}"));
    let promote = promote.map_or(Ok(Promote::Manual), str::parse).map_err(|fault| format!("its promotion: {fault}"));
    match (known, tables, promote) {
        (Ok(state), Ok(tables), Ok(promote)) => (state, tables, promote),
        (Err(what), tables, _) => (State::Foreign(what), tables.unwrap_or_default(), Promote::Manual),
        (_, Err(what), _) => (State::Foreign(what), Vec::new(), Promote::Manual),
        (_, Ok(tables), Err(what)) => (State::Foreign(what), tables, Promote::Manual),
    }
}

pub(crate) fn id_of(row: &Row) -> Result<VersionId, Error> {
    let projection: String = row.get("projection")?;
    Ok(VersionId {
        projection: parse_name(&projection)?,
        version: row.number("version")?,
        generation: row.number("generation")?,
    })
}

pub(crate) fn parse_name(name: &str) -> Result<Name, Error> {
    name.parse().map_err(|reason: String| Error::Database(sqlx::Error::Decode(reason.into())))
}

pub(crate) fn checkpoint_of(row: &Row) -> Result<Checkpoint, Error> {
    let event_id = row.get::<Option<Uuid>>("event_id")?;
    let event_position = row.get::<Option<i64>>("event_position")?.map(Position::from_sql);
    Ok(Checkpoint { position: Position::from_sql(row.get("position")?), last_event: event_position.zip(event_id) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_nothing_unknown_for_something_known() {
        let tables = r#"[{"name":"a","columns":[],"key_columns":1,"keyed_by_aggregate":false,"indexes":[]}]"#;
        let check = |state: &str, tables: &str, promote: Option<&str>, expected: &str| {
            let (found, _, _) = what_is_known(state, tables, promote);
            let found = match found {
                State::Foreign(what) => what,
                known => format!("{known:?}"),
            };
            assert!(found.starts_with(expected), "{state} {promote:?}: {found}");
        };
        check("building", tables, None, "Building");
        check("ready", tables, Some("verified"), "Ready");
        check("retired", tables, None, "Retired");
        check("frozen", tables, None, "the state `frozen`");
        check("frozen", "[7]", None, "the state `frozen`");
        check("ready", tables, Some("canary"), "its promotion: `canary`");
        check("ready", "[7]", None, "its tables: ");
    }
}
