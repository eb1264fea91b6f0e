//! Reading events in pages of columns.

use std::sync::atomic::{AtomicU64, Ordering};

use super::columns::Columns;
use super::expected::Expected;
use super::{Error, Store, mysql, postgres, sqlite};
use database::{Connection, Dialect, Link, Session as _, query};
use model::event::{Batch, Checkpoint, Position};
use model::limits::Limits;

/// The size of an event's payload on SQLite, in bytes.
const BYTES: &str = "octet_length(event_data) + coalesce(octet_length(metadata), 0)";

/// A run of the store without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// It holds every event after this position …
    pub after: Checkpoint,
    /// … up to and including this one.
    pub up_to: Position,
    pub events: Batch,
}

impl Page {
    /// Where its reader stands behind it.
    #[must_use]
    pub fn end(&self) -> Checkpoint {
        let last = self.events.len().checked_sub(1);
        let last_event = last.map(|row| (self.events.position(row), self.events.event_id(row)));
        Checkpoint { position: self.up_to, last_event: last_event.or(self.after.last_event) }
    }
}

/// How many events a page of a server is asked to hold: as many as its bytes have room for, if
/// they are like those read last. What a server sends beyond that is read for nothing.
#[derive(Debug)]
pub(super) struct PageSize(AtomicU64);

impl PageSize {
    pub(super) fn at_most(events: usize) -> Self {
        Self(AtomicU64::new(events as u64))
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Learns from a page of so many events and bytes. It leaves an eighth of the room.
    fn learn(&self, (events, bytes): (usize, usize), limits: &Limits) {
        if events == 0 {
            return;
        }
        let room = limits.batch_bytes_max as u128 * 7 / 8;
        let fit = events as u128 * room / (bytes as u128).max(1);
        let fit = fit.clamp(1, limits.batch_events_max as u128);
        self.0.store(u64::try_from(fit).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Store {
    /// The next events after `after`, none of them beyond `ceiling`: as many as the
    /// bounds on batches allow, and at least one if there is any. The last event that was read
    /// before and the one at the head are in their places at the moment of reading.
    ///
    /// # Errors
    /// [`Error::HistoryChanged`] if one of them is not, [`Error::Restored`] if the head has gone
    /// back below `after`; others if the database can't be read, or holds what no append of ours
    /// writes.
    pub async fn page(&self, after: impl Into<Checkpoint>, ceiling: Position) -> Result<Page, Error> {
        let (after, lineage, head) = (after.into(), self.head.lineage(), self.head.at());
        if ceiling > head.position && after.position >= head.position {
            return Err(Error::Restored { head: head.position });
        }
        // Beyond the head events may still come in between.
        let expected = Expected::new(after, head);
        // In a box of its own: all who read pages hold this future, one within the other.
        let page = Box::pin(self.read_page(after, ceiling.min(head.position), &expected)).await;
        match page {
            Err(Error::HistoryChanged { position, expected, found }) => {
                // So that everybody knows of it.
                let fault = || Error::HistoryChanged { position, expected, found };
                self.head.start_over(lineage, fault()).await?;
                Err(fault())
            }
            page => page,
        }
    }

    /// The same, where only `expected` need be in its place.
    pub(super) async fn read_page(
        &self,
        after: Checkpoint,
        ceiling: Position,
        expected: &Expected,
    ) -> Result<Page, Error> {
        let mut connection = self.database.read().await?;
        let mut from = after.position;
        if self.database.dialect() == Dialect::Sqlite {
            let up_to = self.page_end(&mut connection, from, ceiling).await?;
            let Link::Sqlite(link) = connection.link() else { return Err(Error::Closed) };
            let events = sqlite::page(link, from, up_to, expected).await?;
            if events.is_empty() && expected.next(&mut connection, from, up_to).await?.is_some() {
                return Err(Error::Restored { head: self.head.position() });
            }
            return Ok(Page { after, up_to, events });
        }
        let mut columns = Columns::bounded(self.limits.batch_bytes_max);
        loop {
            // The range alone bounds how much is read, whatever plan a server makes that has no
            // figures of the table yet: with a limit it may read and sort all that is left.
            let up_to = Position(from.0.saturating_add(self.page_size.get())).min(ceiling);
            match connection.ask() {
                Link::Postgres(connection) => postgres::page(connection, from, up_to, expected, &mut columns).await?,
                Link::MySql(connection) => mysql::page(connection, from, up_to, expected, &mut columns).await?,
                Link::Sqlite(_) => return Err(Error::Closed),
            }
            // What a full page leaves unread is not waited for: the connection is closed.
            if !columns.is_full() {
                connection.answered(None);
            }
            let up_to = match columns.last() {
                Some(last) if columns.is_full() => last,
                None => {
                    // Nothing but gaps: on to the next event there is.
                    let Some(next) = expected.next(&mut connection, from, ceiling).await? else {
                        return Ok(Page { after, up_to: ceiling.max(from), events: Batch::default() });
                    };
                    from = Position(next.0 - 1);
                    continue;
                }
                Some(_) => up_to,
            };
            connection.release().await;
            self.page_size.learn(columns.size(), &self.limits);
            return Ok(Page { after, up_to, events: columns.into_batch()? });
        }
    }

    /// Where a page of a file ends that starts after `after`, by the bounds on batches.
    async fn page_end(
        &self,
        connection: &mut Connection,
        after: Position,
        ceiling: Position,
    ) -> Result<Position, Error> {
        let events_max = i64::try_from(self.limits.batch_events_max).unwrap_or(i64::MAX);
        let bytes_max = i64::try_from(self.limits.batch_bytes_max).unwrap_or(i64::MAX);
        let end = query(format!(
            "SELECT max(position) AS last, coalesce(sum(bytes), 0) AS bytes FROM (SELECT position, {BYTES} AS bytes \
             FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?) t"
        ));
        let end = end.bind(after.to_sql()).bind(ceiling.to_sql()).bind(events_max);
        let end = end.one(connection).await?;
        let Some(last) = end.get::<Option<i64>>("last")? else { return Ok(ceiling.max(after)) };
        if end.get::<i64>("bytes")? <= bytes_max {
            return Ok(Position::from_sql(last));
        }
        // Rare, and dear: the page is cut where the sum of the payloads passes the bound.
        let cut = query(format!(
            "SELECT coalesce(max(CASE WHEN total <= ? THEN position END), min(position)) AS cut FROM (SELECT position, \
             sum({BYTES}) OVER (ORDER BY position) AS total FROM events WHERE position > ? AND position <= ?) t"
        ));
        let cut = cut.bind(bytes_max).bind(after.to_sql()).bind(last).one(connection).await?;
        Ok(Position::from_sql(cut.get("cut")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_events_are_asked_for_as_have_room() {
        let limits = Limits { batch_events_max: 1_000, batch_bytes_max: 80_000, ..Limits::default() };
        let size = PageSize::at_most(limits.batch_events_max);
        let check = |events, bytes, expected| {
            size.learn((events, bytes), &limits);
            assert_eq!(size.get(), expected, "after {events} events of {bytes} bytes");
        };
        assert_eq!(size.get(), 1_000);
        check(80, 80_000, 70);
        check(70, 35_000, 140);
        check(0, 0, 140);
        check(140, 1_400, 1_000);
        check(1, 500_000, 1);
        check(1, 2, 1_000);
    }
}
