//! What a history is made of: its seed, its beginning and how dense it is.

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use super::random::mix;
use model::event::Timestamp;

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// Two plans that are equal give the same events. The first event of a history
/// carries the plan in its metadata, so that a store says by itself how to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    /// When the first event happens.
    pub start: Timestamp,
    /// When the last of `events` happens, nearly; the history itself never ends.
    pub end: Timestamp,
    pub events: u64,
}

/// The metadata of a history's first event.
#[derive(Serialize, Deserialize)]
pub(super) struct Metadata {
    history: Plan,
}

impl Plan {
    /// A history whose first `events` events end about `now`: two years of them, or
    /// half a year at least if they are few.
    #[must_use]
    pub fn ending_at(seed: u64, events: u64, now: Timestamp) -> Self {
        let span = i64::try_from(events).unwrap_or(i64::MAX).saturating_mul(30 * MINUTE).clamp(180 * DAY, 730 * DAY);
        Self { seed, start: Timestamp(now.0 - span), end: now, events: events.max(1) }
    }

    /// The plan that the metadata of a history's first event tells of, if any.
    #[must_use]
    pub fn recorded_in(metadata: &str) -> Option<Self> {
        serde_json::from_str(metadata).ok().map(|recorded: Metadata| recorded.history)
    }

    /// The id of an event of this history, which are numbered from 0.
    #[must_use]
    pub fn event_id(&self, number: u64) -> Uuid {
        let parts = [self.seed, self.start.0 as u64, self.end.0 as u64, self.events];
        let identity = parts.into_iter().fold(0, |hash, part| mix(hash ^ part).wrapping_add(1));
        let high = mix(identity ^ mix(number));
        let low = mix(high ^ number.rotate_left(32));
        Builder::from_custom_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
    }

    pub(super) fn metadata(&self) -> Metadata {
        Metadata { history: self.clone() }
    }

    /// When an event ought to happen, if they came evenly.
    pub(super) fn time_of(&self, number: u64) -> Timestamp {
        let span = i128::from(self.end.0 - self.start.0);
        let elapsed = span * i128::from(number) / i128::from(self.events);
        Timestamp(self.start.0 + i64::try_from(elapsed).unwrap_or(i64::MAX / 2))
    }

    /// From one event to the next, in microseconds.
    pub(super) fn pace(&self) -> i64 {
        ((self.end.0 - self.start.0) / i64::try_from(self.events).unwrap_or(i64::MAX)).max(1)
    }

    /// Whether events of that time are written in the schemas of old: the first third is.
    pub(super) fn is_old(&self, at: Timestamp) -> bool {
        at.0 < self.start.0 + (self.end.0 - self.start.0) / 3
    }
}
