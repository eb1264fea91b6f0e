//! A batch of events, as the host sent it.

use std::ops::Deref;

use crate::error::Error;
use crate::wire;

/// The columns of a batch. Its fields are those of the WIT's record.
pub(crate) struct Batch(wire::Events);

impl Batch {
    /// # Panics
    /// When the columns differ in length: the host's fault, not the plugin's.
    pub(crate) fn new(events: wire::Events) -> Self {
        let length = events.positions.len();
        let lengths = [
            events.indexes.len(),
            events.ids.len() / 16,
            events.type_codes.len(),
            events.aggregate_types.codes.len(),
            events.aggregate_ids.ends.len(),
            events.aggregate_versions.len(),
            events.timestamps.len(),
            events.user_ids.ends.len(),
            events.correlation_ids.ends.len(),
            events.causation_ids.ends.len(),
            events.metadata.ends.len(),
            events.data.ends.len(),
        ];
        assert!(lengths.iter().all(|other| *other == length), "the host sent columns of different length");
        Self(events)
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    /// The type and version of an event.
    pub(crate) fn event_type(&self, row: usize) -> &wire::EventType {
        &self.types[self.type_codes[row] as usize]
    }
}

impl Deref for Batch {
    type Target = wire::Events;

    fn deref(&self) -> &wire::Events {
        &self.0
    }
}

/// The failure of the batch's earliest event that failed. Only what lies before it
/// is worth handling, and handling that may find an earlier one: so the outcome is
/// the same however the events are cut into batches.
pub(crate) struct Earliest {
    /// Rows from here on aren't handled.
    pub(crate) end: usize,
    failure: Option<wire::Failure>,
}

impl Earliest {
    pub(crate) fn none_of(batch: &Batch) -> Self {
        Self { end: batch.len(), failure: None }
    }

    #[cold]
    pub(crate) fn fail(&mut self, row: usize, error: &Error) {
        debug_assert!(row < self.end, "only rows before the end are handled");
        self.end = row;
        self.failure = Some(wire::Failure {
            event: Some(wire::offset(row)),
            path: error.path().map(str::to_owned),
            message: error.message().to_owned(),
        });
    }

    /// The failure, if there is one.
    pub(crate) fn take(&mut self) -> Result<(), wire::Failure> {
        self.failure.take().map_or(Ok(()), Err)
    }
}
