//! Reading events one by one, for people and for other programs.

use serde_json::value::RawValue;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{Error, Store};
use crate::event::{Position, StoredEvent, Timestamp};

const COLUMNS: &str = "position, event_id, event_type, event_version, aggregate_type, aggregate_id, aggregate_version, \
                       event_timestamp, user_id, correlation_id, causation_id, metadata, event_data";

/// Which events to read. What is not set does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only what comes after it.
    pub after: Position,
    pub event_type: Option<String>,
    pub aggregate_type: Option<String>,
    pub aggregate_id: Option<String>,
    /// Only what happened then or later.
    pub since: Option<Timestamp>,
    pub correlation_id: Option<String>,
}

impl Store {
    /// The first `limit` events that pass `filter`, in the order of positions.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn events(&self, filter: &Filter, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM events WHERE position > "));
        query.push_bind(filter.after.to_sql());
        let texts = [
            (" AND event_type = ", &filter.event_type),
            (" AND aggregate_type = ", &filter.aggregate_type),
            (" AND aggregate_id = ", &filter.aggregate_id),
            (" AND correlation_id = ", &filter.correlation_id),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                query.push(condition).push_bind(value.clone());
            }
        }
        if let Some(since) = filter.since {
            query.push(" AND event_timestamp >= ").push_bind(since.0);
        }
        query.push(" ORDER BY position LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = query.build().fetch_all(&self.readers).await?;
        rows.iter().map(|row| decode(row).map_err(Error::from)).collect()
    }

    /// The position before the first event that happened after `time`; none if there is no such event.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn position_before(&self, time: Timestamp) -> Result<Option<Position>, Error> {
        let first: Option<i64> =
            sqlx::query_scalar("SELECT position FROM events WHERE event_timestamp > ? ORDER BY position LIMIT 1")
                .bind(time.0)
                .fetch_optional(&self.readers)
                .await?;
        Ok(first.map(|first| Position::from_sql(first - 1)))
    }

    /// The last event before `position`, if there is one.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn last_before(&self, position: Position) -> Result<Option<(Position, Uuid)>, Error> {
        let last: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT position, event_id FROM events WHERE position < ? ORDER BY position DESC LIMIT 1")
                .bind(position.to_sql())
                .fetch_optional(&self.readers)
                .await?;
        Ok(last.and_then(|(position, id)| Some((Position::from_sql(position), Uuid::from_slice(&id).ok()?))))
    }

    /// The id of the event at `position`, if there is one.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn event_id_at(&self, position: Position) -> Result<Option<Uuid>, Error> {
        let id: Option<(Vec<u8>,)> = sqlx::query_as("SELECT event_id FROM events WHERE position = ?")
            .bind(position.to_sql())
            .fetch_optional(&self.readers)
            .await?;
        Ok(id.and_then(|(bytes,)| Uuid::from_slice(&bytes).ok()))
    }

    /// Where the event with id `event_id` stands, if it is here.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn position_of(&self, event_id: Uuid) -> Result<Option<Position>, Error> {
        let position: Option<(i64,)> = sqlx::query_as("SELECT position FROM events WHERE event_id = ?")
            .bind(event_id.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        Ok(position.map(|(position,)| Position::from_sql(position)))
    }

    /// When the event at `position` happened, if there is one.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn timestamp_at(&self, position: Position) -> Result<Option<Timestamp>, Error> {
        let at: Option<(i64,)> = sqlx::query_as("SELECT event_timestamp FROM events WHERE position = ?")
            .bind(position.to_sql())
            .fetch_optional(&self.readers)
            .await?;
        Ok(at.map(|(at,)| Timestamp(at)))
    }
}

/// Those events of `ids` that are stored, in the order of positions.
pub(super) async fn by_ids(connection: &mut SqliteConnection, ids: &[Uuid]) -> sqlx::Result<Vec<StoredEvent>> {
    let wanted: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
    let wanted = serde_json::to_string(&wanted).map_err(|fault| sqlx::Error::Encode(fault.into()))?;
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE event_id IN (SELECT unhex(value) FROM json_each(?)) ORDER BY position"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(wanted).fetch_all(connection).await?;
    rows.iter().map(decode).collect()
}

fn decode(row: &SqliteRow) -> sqlx::Result<StoredEvent> {
    let unsigned = |column: &str| row.try_get::<i64, _>(column).map(|value| u64::try_from(value).unwrap_or(0));
    let bad_json = |fault: serde_json::Error| sqlx::Error::Decode(fault.into());
    let metadata: Option<String> = row.try_get("metadata")?;
    Ok(StoredEvent {
        position: Position(unsigned("position")?),
        event_id: Uuid::from_slice(row.try_get::<&[u8], _>("event_id")?)
            .map_err(|fault| sqlx::Error::Decode(fault.into()))?,
        event_type: row.try_get("event_type")?,
        event_version: u32::try_from(unsigned("event_version")?).unwrap_or(u32::MAX),
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
        aggregate_version: unsigned("aggregate_version")?,
        event_timestamp: Timestamp(row.try_get("event_timestamp")?),
        user_id: row.try_get("user_id")?,
        correlation_id: row.try_get("correlation_id")?,
        causation_id: row.try_get("causation_id")?,
        metadata: RawValue::from_string(metadata.unwrap_or_else(|| "{}".to_owned())).map_err(bad_json)?,
        event_data: RawValue::from_string(row.try_get("event_data")?).map_err(bad_json)?,
    })
}
