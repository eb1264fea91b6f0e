//! Columns of events, made of rows one after the other.

use std::sync::Arc;

use super::Error;
use crate::event::{Batch, EventType, Position};

/// A row of the table of events; texts that are absent are empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) position: u64,
    pub(super) event_id: [u8; 16],
    pub(super) event_type: &'a str,
    pub(super) event_version: u32,
    pub(super) aggregate_type: &'a str,
    pub(super) aggregate_id: &'a str,
    pub(super) aggregate_version: u64,
    pub(super) event_timestamp: i64,
    pub(super) user_id: &'a str,
    pub(super) correlation_id: &'a str,
    pub(super) causation_id: &'a str,
    pub(super) metadata: &'a str,
    pub(super) event_data: &'a str,
}

/// A batch that grows.
#[derive(Default)]
pub(super) struct Columns {
    batch: Batch,
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
        batch.type_codes.push(self.types.code(
            |known| known.version == row.event_version && *known.name == *row.event_type,
            || EventType { name: Arc::from(row.event_type), version: row.event_version },
        ));
        let is_it = |known: &String| known == row.aggregate_type;
        batch.aggregate_type_codes.push(self.aggregate_types.code(is_it, || row.aggregate_type.to_owned()));
        batch.aggregate_ids.push(row.aggregate_id);
        batch.aggregate_versions.push(row.aggregate_version);
        batch.timestamps.push(row.event_timestamp);
        batch.user_ids.push(row.user_id);
        batch.correlation_ids.push(row.correlation_id);
        batch.causation_ids.push(row.causation_id);
        batch.metadata.push(row.metadata);
        batch.data.push(row.event_data);
        Ok(())
    }

    pub(super) fn into_batch(mut self) -> Batch {
        self.batch.types = self.types.entries;
        self.batch.aggregate_types = self.aggregate_types.entries;
        self.batch
    }
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
