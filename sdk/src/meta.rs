//! All that is known of an event beside its payload.

use serde::de::DeserializeOwned;

use crate::batch::Batch;
use crate::error::{At as _, Result};
use crate::values::{Timestamp, Uuid};

/// All that is known of an event beside its payload: what it happened to, where it
/// stands in the store, when, by whom and why.
#[derive(Clone, Copy)]
pub struct Meta<'a> {
    batch: &'a Batch,
    row: usize,
}

impl<'a> Meta<'a> {
    pub(crate) fn new(batch: &'a Batch, row: usize) -> Self {
        Self { batch, row }
    }

    /// The aggregate that it happened to, for example `o-1`.
    #[must_use]
    pub fn aggregate_id(&self) -> &'a str {
        self.batch.aggregate_ids.get(self.row)
    }

    /// What kind of aggregate that is, for example `order`.
    #[must_use]
    pub fn aggregate_type(&self) -> &'a str {
        self.batch.aggregate_types.get(self.row)
    }

    /// The how-manieth event of its aggregate it is, from 1.
    #[must_use]
    pub fn aggregate_version(&self) -> u64 {
        self.batch.aggregate_versions[self.row]
    }

    /// Where it stands in the store, from 1. Events that an upcaster made of one
    /// share its position; they differ in their [`index`](Self::index).
    #[must_use]
    pub fn position(&self) -> u64 {
        self.batch.positions[self.row]
    }

    /// 0; or which of the events that an upcaster made of one, from 0.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.batch.indexes[self.row]
    }

    /// Its id, unique in the store.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        let mut id = [0; 16];
        id.copy_from_slice(&self.batch.ids[self.row * 16..][..16]);
        Uuid::from_bytes(id)
    }

    /// The name of its type, for example `OrderPlaced`.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        &self.batch.event_type(self.row).name
    }

    /// The version of its type's schema, from 1.
    #[must_use]
    pub fn event_version(&self) -> u32 {
        self.batch.event_type(self.row).version
    }

    /// When it happened.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_micros(self.batch.timestamps[self.row])
    }

    /// The day on which it happened, UTC: `2026-01-02`.
    #[must_use]
    pub fn day(&self) -> String {
        self.timestamp().day()
    }

    /// The month in which it happened, UTC: `2026-01`.
    #[must_use]
    pub fn month(&self) -> String {
        self.timestamp().month()
    }

    /// Who did it, if that is known.
    #[must_use]
    pub fn user_id(&self) -> Option<&'a str> {
        known(self.batch.user_ids.get(self.row))
    }

    /// What it belongs to together with other events, if that is known.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&'a str> {
        known(self.batch.correlation_ids.get(self.row))
    }

    /// What caused it, if that is known.
    #[must_use]
    pub fn causation_id(&self) -> Option<&'a str> {
        known(self.batch.causation_ids.get(self.row))
    }

    /// What else was noted with it: the text of a JSON object.
    #[must_use]
    pub fn metadata(&self) -> &'a str {
        match self.batch.metadata.get(self.row) {
            "" => "{}",
            text => text,
        }
    }

    /// What else was noted with it, as a type.
    ///
    /// # Errors
    /// When it is of another shape; the error says where.
    pub fn decode_metadata<T: DeserializeOwned>(&self) -> Result<T> {
        crate::json::decode(self.metadata()).at("metadata")
    }
}

/// An empty text stands for none.
fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
