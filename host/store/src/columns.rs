//! Columns of events, made of rows one after the other.

use std::sync::Arc;

use super::Error;
use model::change::Blobs;
use model::event::{Batch, EventType, Position, Texts};

/// A row of the table of events; texts that are absent are empty. That they are UTF-8 is
/// found out for a whole column at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) position: u64,
    pub(super) event_id: [u8; 16],
    pub(super) event_type: &'a [u8],
    pub(super) event_version: u64,
    pub(super) aggregate_type: &'a [u8],
    pub(super) aggregate_id: &'a [u8],
    pub(super) aggregate_version: u64,
    pub(super) event_timestamp: i64,
    pub(super) user_id: &'a [u8],
    pub(super) correlation_id: &'a [u8],
    pub(super) causation_id: &'a [u8],
    pub(super) metadata: &'a [u8],
    pub(super) event_data: &'a [u8],
}

/// A batch that grows.
#[derive(Default)]
pub(super) struct Columns {
    /// Without its texts …
    batch: Batch,
    /// … which are here, in their order.
    texts: [Blobs; 6],
    /// How many bytes its payloads may have, unless a single event is larger.
    bytes_max: Option<usize>,
    bytes: usize,
    is_full: bool,
    types: Dictionary<EventType>,
    aggregate_types: Dictionary<String>,
}

impl Columns {
    /// For a page whose payloads have at most so many bytes, unless a single event has more.
    pub(super) fn bounded(bytes: usize) -> Self {
        Self { bytes_max: Some(bytes), ..Self::default() }
    }

    /// Whether it takes no more.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// How many rows it has, and bytes of payloads.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.batch.positions.len(), self.bytes)
    }

    /// Where its last row stands.
    pub(super) fn last(&self) -> Option<Position> {
        self.batch.positions.last().map(|&last| Position(last))
    }

    /// Adds a row as [`Columns::push`], unless the page would be too large by it. Says whether
    /// there is room for more.
    pub(super) fn push_within(&mut self, row: &Fields<'_>) -> Result<bool, Error> {
        let bytes = row.event_data.len() + row.metadata.len();
        let is_first = self.batch.positions.is_empty();
        if self.bytes_max.is_some_and(|bytes_max| !is_first && self.bytes + bytes > bytes_max) {
            self.is_full = true;
            return Ok(false);
        }
        self.bytes += bytes;
        self.push(row)?;
        Ok(true)
    }

    /// Adds a row, which must stand behind the last one.
    pub(super) fn push(&mut self, row: &Fields<'_>) -> Result<(), Error> {
        let batch = &mut self.batch;
        if let Some(&last) = batch.positions.last().filter(|&&last| last >= row.position) {
            let reason = format!("the positions {last} and {} are not in order", row.position);
            return Err(Error::Corrupt { position: Position(last), reason });
        }
        batch.positions.push(row.position);
        batch.indexes.push(0);
        batch.ids.extend_from_slice(&row.event_id);
        let Ok(version) = u32::try_from(row.event_version) else {
            let reason = format!("`event_version` is {}", row.event_version);
            return Err(Error::Corrupt { position: Position(row.position), reason });
        };
        let is_it = |known: &EventType| known.version == version && known.name.as_bytes() == row.event_type;
        let text = |name: &str, bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(not_utf8(name, row.position)),
        };
        batch.type_codes.push(
            self.types
                .code(is_it, || Ok(EventType { name: Arc::from(text("event_type", row.event_type)?), version }))?,
        );
        let is_it = |known: &String| known.as_bytes() == row.aggregate_type;
        batch
            .aggregate_type_codes
            .push(self.aggregate_types.code(is_it, || text("aggregate_type", row.aggregate_type))?);
        batch.aggregate_versions.push(row.aggregate_version);
        batch.timestamps.push(row.event_timestamp);
        let texts = [row.aggregate_id, row.user_id, row.correlation_id, row.causation_id, row.metadata, row.event_data];
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.push(text));
        Ok(())
    }

    /// The batch, if all its texts are some.
    pub(super) fn into_batch(self) -> Result<Batch, Error> {
        let mut batch = self.batch;
        let [aggregate_ids, user_ids, correlation_ids, causation_ids, metadata, data] = self.texts;
        batch.types = self.types.entries;
        batch.aggregate_types = self.aggregate_types.entries;
        batch.aggregate_ids = as_texts("aggregate_id", aggregate_ids, &batch.positions)?;
        batch.user_ids = as_texts("user_id", user_ids, &batch.positions)?;
        batch.correlation_ids = as_texts("correlation_id", correlation_ids, &batch.positions)?;
        batch.causation_ids = as_texts("causation_id", causation_ids, &batch.positions)?;
        batch.metadata = as_texts("metadata", metadata, &batch.positions)?;
        batch.data = as_texts("event_data", data, &batch.positions)?;
        Ok(batch)
    }
}

/// The column `name`, which stands at `positions`, as texts.
fn as_texts(name: &str, column: Blobs, positions: &[u64]) -> Result<Texts, Error> {
    let Blobs { joined, ends } = column;
    let joined = match String::from_utf8(joined) {
        Ok(joined) if ends.iter().all(|&end| joined.is_char_boundary(end as usize)) => {
            return Ok(Texts { joined, ends });
        }
        Ok(joined) => joined.into_bytes(),
        Err(fault) => fault.into_bytes(),
    };
    let column = Blobs { joined, ends };
    let is_none = |&row: &usize| std::str::from_utf8(column.get(row)).is_err();
    let row = (0..positions.len()).find(is_none).unwrap_or_default();
    Err(not_utf8(name, positions[row]))
}

fn not_utf8(name: &str, position: u64) -> Error {
    Error::Corrupt { position: Position(position), reason: format!("`{name}` is not UTF-8") }
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
    fn code(&mut self, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> Result<T, Error>) -> Result<u32, Error> {
        if !self.entries.get(self.last).is_some_and(&is_it) {
            self.last = match self.entries.iter().position(is_it) {
                Some(known) => known,
                None => {
                    self.entries.push(make()?);
                    self.entries.len() - 1
                }
            };
        }
        Ok(u32::try_from(self.last).expect("a page has fewer than 2^32 events"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Fields<'_> = Fields {
        position: 7,
        event_id: [0; 16],
        event_type: b"OrderPlaced",
        event_version: 1,
        aggregate_type: b"Order",
        aggregate_id: b"o-1",
        aggregate_version: 1,
        event_timestamp: 0,
        user_id: b"",
        correlation_id: b"",
        causation_id: b"",
        metadata: b"",
        event_data: b"{}",
    };

    #[test]
    fn names_what_no_append_writes() {
        let check = |rows: &[Fields<'_>], expected: &str| {
            let mut columns = Columns::default();
            let pushed = rows.iter().try_for_each(|row| columns.push(row));
            let fault = pushed.and_then(|()| columns.into_batch()).expect_err(expected).to_string();
            assert!(fault.contains(expected) && fault.contains("position 8 "), "{fault} should say {expected}");
        };
        let next = Fields { position: 8, ..ROW };
        check(&[ROW, Fields { event_type: b"\xff", ..next }], "`event_type` is not UTF-8");
        check(&[ROW, Fields { event_version: 1 << 32, ..next }], "`event_version` is 4294967296");
        check(&[ROW, Fields { event_data: b"{\xff", ..next }], "`event_data` is not UTF-8");
        let last = Fields { position: 9, user_id: b"\xa9", ..ROW };
        check(&[ROW, Fields { user_id: b"\xc3", ..next }, last], "`user_id` is not UTF-8");
    }
}
