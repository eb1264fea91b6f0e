//! Reading events in pages of columns.

use super::{Error, Store, mysql, postgres, sqlite};
use crate::database::{Connection, Dialect, Link, Session as _, query};
use crate::event::{Batch, Position};

/// A run of the store without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// It holds every event after this position …
    pub after: Position,
    /// … up to and including this one.
    pub up_to: Position,
    pub events: Batch,
}

impl Store {
    /// The next events after `after`, none of them beyond `ceiling`: as many as the
    /// bounds on batches allow, and at least one if there is any.
    ///
    /// # Errors
    /// If the database can't be read, or holds what no append of ours writes.
    pub async fn page(&self, after: Position, ceiling: Position) -> Result<Page, Error> {
        let mut connection = self.database.read().await?;
        let up_to = self.page_end(&mut connection, after, ceiling).await?;
        let events = match connection.link() {
            Link::Sqlite(connection) => sqlite::page(connection, after, up_to).await?,
            Link::Postgres(connection) => postgres::page(connection, after, up_to).await?,
            Link::MySql(connection) => mysql::page(connection, after, up_to).await?,
        };
        Ok(Page { after, up_to, events })
    }

    /// Where a page that starts after `after` ends, by the bounds on batches.
    async fn page_end(
        &self,
        connection: &mut Connection,
        after: Position,
        ceiling: Position,
    ) -> Result<Position, Error> {
        let events_max = i64::try_from(self.limits.batch_events_max).unwrap_or(i64::MAX);
        let bytes_max = i64::try_from(self.limits.batch_bytes_max).unwrap_or(i64::MAX);
        let dialect = self.database.dialect();
        let end = query(end_of_page(dialect)).bind(after.to_sql()).bind(ceiling.to_sql()).bind(events_max);
        let end = end.one(connection).await?;
        let Some(last) = end.get::<Option<i64>>("last")? else { return Ok(ceiling.max(after)) };
        if end.get::<i64>("bytes")? <= bytes_max {
            return Ok(Position::from_sql(last));
        }
        // Rare, and dear: the page is cut where the sum of the payloads passes the bound.
        let cut = query(format!(
            "SELECT coalesce(max(CASE WHEN total <= ? THEN position END), min(position)) AS cut FROM (SELECT position, \
             sum({}) OVER (ORDER BY position) AS total FROM events WHERE position > ? AND position <= ?) t",
            bytes_of(dialect)
        ));
        let cut = cut.bind(bytes_max).bind(after.to_sql()).bind(last).one(connection).await?;
        Ok(Position::from_sql(cut.get("cut")?))
    }
}

fn end_of_page(dialect: Dialect) -> String {
    let sum =
        dialect.pick("coalesce(sum(bytes), 0)", "coalesce(sum(bytes), 0)", "CAST(coalesce(sum(bytes), 0) AS SIGNED)");
    format!(
        "SELECT max(position) AS last, {sum} AS bytes FROM (SELECT position, {} AS bytes FROM events \
         WHERE position > ? AND position <= ? ORDER BY position LIMIT ?) t",
        bytes_of(dialect)
    )
}

/// The size of an event's payload, in bytes.
fn bytes_of(dialect: Dialect) -> &'static str {
    dialect.pick(
        "octet_length(event_data) + coalesce(octet_length(metadata), 0)",
        "octet_length(event_data::text) + coalesce(octet_length(metadata::text), 0)",
        "octet_length(event_data) + coalesce(octet_length(metadata), 0)",
    )
}
