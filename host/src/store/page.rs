//! Reading events in pages of columns, as fast as SQLite gives them.
//!
//! A row fetched through sqlx costs microseconds: a message between threads, a
//! value object per cell. So a whole page is made one text by SQL itself, its
//! fields divided by U+001E, which neither valid JSON nor any name contains, and
//! is cut into columns here.

use std::sync::Arc;

use super::{Error, Store};
use crate::event::{Batch, EventType, Position};

/// Divides fields and rows. JSON allows no control character but white space, and
/// appends refuse names that contain one.
const SEPARATOR: u8 = 0x1e;

/// Fields of a row, in the order of the SELECT.
const FIELDS: usize = 13;

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
        let up_to = self.page_end(after, ceiling).await?;
        let (packed,): (Option<String>,) = sqlx::query_as(
            "SELECT group_concat(concat_ws(char(30), position, hex(event_id), event_type, event_version, aggregate_type, \
                    aggregate_id, aggregate_version, event_timestamp, ifnull(user_id, ''), ifnull(correlation_id, ''), \
                    ifnull(causation_id, ''), ifnull(metadata, ''), event_data), char(30)) \
             FROM (SELECT * FROM events WHERE position > ? AND position <= ? ORDER BY position)",
        )
        .bind(after.to_sql())
        .bind(up_to.to_sql())
        .fetch_one(&self.readers)
        .await?;
        let events = packed.map_or(Ok(Batch::default()), |packed| unpack(&packed))?;
        Ok(Page { after, up_to, events })
    }

    /// Where a page that starts after `after` ends, by the bounds on batches.
    async fn page_end(&self, after: Position, ceiling: Position) -> Result<Position, Error> {
        let events_max = i64::try_from(self.limits.batch_events_max).unwrap_or(i64::MAX);
        let bytes_max = i64::try_from(self.limits.batch_bytes_max).unwrap_or(i64::MAX);
        let (last, bytes): (Option<i64>, i64) = sqlx::query_as(
            "SELECT max(position), ifnull(sum(octet_length(event_data) + ifnull(octet_length(metadata), 0)), 0) \
             FROM (SELECT position, event_data, metadata FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?)",
        )
        .bind(after.to_sql())
        .bind(ceiling.to_sql())
        .bind(events_max)
        .fetch_one(&self.readers)
        .await?;
        let Some(last) = last.map(Position::from_sql) else { return Ok(ceiling.max(after)) };
        if bytes <= bytes_max {
            return Ok(last);
        }
        // Rare, and dear: the page is cut where the sum of the payloads passes the bound.
        let (cut,): (i64,) = sqlx::query_as(
            "SELECT ifnull(max(position) FILTER (WHERE total <= ?), min(position)) FROM (SELECT position, \
                    sum(octet_length(event_data) + ifnull(octet_length(metadata), 0)) OVER (ORDER BY position) AS total \
             FROM events WHERE position > ? AND position <= ?)",
        )
        .bind(bytes_max)
        .bind(after.to_sql())
        .bind(last.to_sql())
        .fetch_one(&self.readers)
        .await?;
        Ok(Position::from_sql(cut))
    }
}

/// The fields of a page, one after the other.
struct Fields<'a> {
    packed: &'a str,
    ends: memchr::Memchr<'a>,
    start: usize,
    position: u64,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> &'a str {
        let end = self.ends.next().unwrap_or(self.packed.len());
        let field = self.packed.get(self.start..end).unwrap_or_default();
        self.start = end + 1;
        field
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<T, Error> {
        let text = self.next();
        text.parse().map_err(|_| self.corrupt(format!("`{name}` reads `{text}`")))
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::Corrupt { position: Position(self.position), reason }
    }
}

fn unpack(packed: &str) -> Result<Batch, Error> {
    let mut batch = Batch::default();
    let mut types = Dictionary::default();
    let mut aggregate_types = Dictionary::default();
    let mut fields = Fields { packed, ends: memchr::memchr_iter(SEPARATOR, packed.as_bytes()), start: 0, position: 0 };
    while fields.start <= packed.len() {
        let position = fields.number("position")?;
        if position <= fields.position {
            return Err(fields.corrupt(format!("the positions {} and {position} are not in order", fields.position)));
        }
        fields.position = position;
        batch.positions.push(position);
        batch.indexes.push(0);
        let id = fields.next();
        push_id(&mut batch.ids, id).ok_or_else(|| fields.corrupt(format!("`event_id` reads `{id}`")))?;
        let name = fields.next();
        let version = fields.number("event_version")?;
        batch.type_codes.push(types.code(
            |known: &EventType| known.version == version && *known.name == *name,
            || EventType { name: Arc::from(name), version },
        ));
        let aggregate_type = fields.next();
        batch
            .aggregate_type_codes
            .push(aggregate_types.code(|known: &String| known == aggregate_type, || aggregate_type.to_owned()));
        batch.aggregate_ids.push(fields.next());
        batch.aggregate_versions.push(fields.number("aggregate_version")?);
        batch.timestamps.push(fields.number("event_timestamp")?);
        batch.user_ids.push(fields.next());
        batch.correlation_ids.push(fields.next());
        batch.causation_ids.push(fields.next());
        batch.metadata.push(fields.next());
        let data = fields.next();
        if !data.starts_with('{') {
            return Err(
                fields.corrupt(format!("{FIELDS} fields were expected, and the payload last; a name contains U+001E?"))
            );
        }
        batch.data.push(data);
    }
    batch.types = types.entries;
    batch.aggregate_types = aggregate_types.entries;
    Ok(batch)
}

fn push_id(ids: &mut Vec<u8>, hex: &str) -> Option<()> {
    let digits = hex.as_bytes();
    if digits.len() != 32 {
        return None;
    }
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    for pair in digits.chunks_exact(2) {
        ids.push(nibble(pair[0])? << 4 | nibble(pair[1])?);
    }
    Some(())
}

/// The distinct values of a column of which few are distinct. Found by looking
/// through them, the last one found first, for that is mostly the next one too.
struct Dictionary<T> {
    entries: Vec<T>,
    last: usize,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), last: 0 }
    }
}

impl<T> Dictionary<T> {
    fn code(&mut self, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> u32 {
        if !self.entries.get(self.last).is_some_and(&is_it) {
            self.last = self.entries.iter().position(is_it).unwrap_or_else(|| {
                self.entries.push(make());
                self.entries.len() - 1
            });
        }
        u32::try_from(self.last).expect("a page has fewer than 2^32 events")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "7\u{1e}000102030405060708090A0B0C0D0E0F\u{1e}OrderPlaced\u{1e}2\u{1e}Order\u{1e}o-1\u{1e}1\u{1e}-5\u{1e}ann\u{1e}\u{1e}\u{1e}\u{1e}{\"a\": 1}";

    #[test]
    fn cuts_a_page_into_columns() {
        let second = ROW.replacen('7', "9", 1);
        let batch = unpack(&format!("{ROW}\u{1e}{second}")).expect("a page");
        assert_eq!(batch.positions, [7, 9]);
        assert_eq!(batch.event_id(1).to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(batch.event_type(1).to_string(), "OrderPlaced v2");
        assert_eq!((batch.types.len(), batch.aggregate_types.len()), (1, 1));
        assert_eq!((batch.timestamps[0], batch.user_ids.get(0), batch.correlation_ids.get(1)), (-5, "ann", ""));
        assert_eq!(batch.data.get(1), "{\"a\": 1}");
    }

    #[test]
    fn names_the_position_of_what_it_cannot_read() {
        let check = |packed: &str, expected: &str| {
            let fault = unpack(packed).expect_err(expected).to_string();
            assert!(fault.contains(expected), "{fault} should say {expected}");
        };
        check(&ROW.replace("ann", "a\u{1e}nn"), "position 7 holds what no append");
        check(&ROW.replace("000102", "00"), "`event_id` reads");
        check(&format!("{ROW}\u{1e}{ROW}"), "not in order");
    }
}
