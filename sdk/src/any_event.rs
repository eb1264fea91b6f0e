//! An event of whatever type.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::batch::Batch;
use crate::error::Result;
use crate::event::{Events, Pattern, Source};

/// An event of whatever type, not decoded: for an audit feed, say, or a variant
/// that reads by prefix. As `type Event = AnyEvent` it subscribes to all events.
///
/// Cheap: it points into the batch.
#[derive(Clone)]
pub struct AnyEvent {
    batch: Rc<Batch>,
    row: usize,
}

impl AnyEvent {
    pub(crate) fn new(batch: Rc<Batch>, row: usize) -> Self {
        Self { batch, row }
    }

    /// The name of its type, for example `OrderPlaced`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.batch.event_type(self.row).name
    }

    /// The version of its type's schema, from 1.
    #[must_use]
    pub fn event_version(&self) -> u32 {
        self.batch.event_type(self.row).version
    }

    /// Its payload: the text of a JSON object, byte for byte as it was appended.
    #[must_use]
    pub fn data(&self) -> &str {
        self.batch.data.get(self.row)
    }

    /// Its payload as a type.
    ///
    /// # Errors
    /// When it is of another shape; the error says where.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        crate::json::decode(self.data())
    }
}

impl Events for AnyEvent {
    const PATTERNS: &'static [Pattern] = &[Pattern::Any];

    fn decode(_: usize, source: Source<'_>) -> Result<Self> {
        Ok(source.any())
    }
}
