//! Reading events one by one, for people and for other programs.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Error, Store};
use database::{Row, Value, query};
use model::event::{Position, StoredEvent, Timestamp};

pub(super) const COLUMNS: &str = "position, event_id, event_type, event_version, aggregate_type, aggregate_id, aggregate_version, \
                       event_timestamp, user_id, correlation_id, causation_id, metadata, event_data";

/// Which events to read. What is not set does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only what comes after it.
    pub after: Position,
    /// … and nothing beyond it. Whoever goes on behind the last event that was read gives the
    /// head, for beyond it events may still come in between.
    pub up_to: Option<Position>,
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
        let mut sql = format!("SELECT {COLUMNS} FROM events WHERE position > ?");
        let mut values = vec![Value::from(filter.after.to_sql())];
        if let Some(up_to) = filter.up_to {
            sql.push_str(" AND position <= ?");
            values.push(up_to.to_sql().into());
        }
        let texts = [
            (" AND event_type = ?", &filter.event_type),
            (" AND aggregate_type = ?", &filter.aggregate_type),
            (" AND aggregate_id = ?", &filter.aggregate_id),
            (" AND correlation_id = ?", &filter.correlation_id),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                // PostgreSQL takes no text with it, and no event holds one.
                if value.contains('\0') {
                    return Ok(Vec::new());
                }
                sql.push_str(condition);
                values.push(value.clone().into());
            }
        }
        if let Some(since) = filter.since {
            sql.push_str(" AND event_timestamp >= ?");
            values.push(Value::Instant(since.0));
        }
        sql.push_str(" ORDER BY position LIMIT ?");
        values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let mut connection = self.database.read().await?;
        let query = values.into_iter().fold(query(sql), |query, value| query.bind(value));
        let rows = query.all(&mut connection).await?;
        rows.iter().map(|row| decode(row).map_err(Error::from)).collect()
    }

    /// The position before the first event that happened after `time`; none if there is no such event.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn position_before(&self, time: Timestamp) -> Result<Option<Position>, Error> {
        let first = query("SELECT position FROM events WHERE event_timestamp > ? ORDER BY position LIMIT 1");
        let first = self.one(first.bind(Value::Instant(time.0))).await?;
        Ok(first.map(|row| row.get("position")).transpose()?.map(|first: i64| Position::from_sql(first - 1)))
    }

    /// The last event before `position`, if there is one.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn last_before(&self, position: Position) -> Result<Option<(Position, Uuid)>, Error> {
        let last = query("SELECT position, event_id FROM events WHERE position < ? ORDER BY position DESC LIMIT 1");
        let Some(row) = self.one(last.bind(position.to_sql())).await? else { return Ok(None) };
        Ok(Some((Position::from_sql(row.get("position")?), row.get("event_id")?)))
    }

    /// The id of the event at `position`, if there is one.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn event_id_at(&self, position: Position) -> Result<Option<Uuid>, Error> {
        let id = query("SELECT event_id FROM events WHERE position = ?").bind(position.to_sql());
        Ok(self.one(id).await?.map(|row| row.get("event_id")).transpose()?)
    }

    /// Where the event with id `event_id` stands, if it is here.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn position_of(&self, event_id: Uuid) -> Result<Option<Position>, Error> {
        let position = query("SELECT position FROM events WHERE event_id = ?").bind(event_id);
        Ok(self.one(position).await?.map(|row| row.get("position")).transpose()?.map(Position::from_sql))
    }

    /// When the event at `position` happened, if there is one.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn timestamp_at(&self, position: Position) -> Result<Option<Timestamp>, Error> {
        let at = query("SELECT event_timestamp FROM events WHERE position = ?").bind(position.to_sql());
        Ok(self.one(at).await?.map(|row| row.instant("event_timestamp")).transpose()?.map(Timestamp))
    }

    async fn one(&self, query: database::Query) -> Result<Option<Row>, Error> {
        Ok(query.optional(&mut self.database.read().await?).await?)
    }
}

pub(super) fn decode(row: &Row) -> sqlx::Result<StoredEvent> {
    let unsigned = |column: &str| -> sqlx::Result<u64> {
        let value: i64 = row.get(column)?;
        u64::try_from(value).map_err(|_| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: format!("it is {value}").into(),
        })
    };
    // `json` of PostgreSQL is a text that is sent as it was written.
    let json = |column: &str| row.raw_text(column);
    let bad_json = |fault: serde_json::Error| sqlx::Error::Decode(fault.into());
    let metadata: Option<String> = json("metadata")?;
    Ok(StoredEvent {
        position: Position(unsigned("position")?),
        event_id: row.get("event_id")?,
        event_type: row.get("event_type")?,
        event_version: row.number("event_version")?,
        aggregate_type: row.get("aggregate_type")?,
        aggregate_id: row.get("aggregate_id")?,
        aggregate_version: unsigned("aggregate_version")?,
        event_timestamp: Timestamp(row.instant("event_timestamp")?),
        user_id: row.get("user_id")?,
        correlation_id: row.get("correlation_id")?,
        causation_id: row.get("causation_id")?,
        metadata: RawValue::from_string(metadata.unwrap_or_else(|| "{}".to_owned())).map_err(bad_json)?,
        event_data: RawValue::from_string(json("event_data")?.unwrap_or_default()).map_err(bad_json)?,
    })
}
