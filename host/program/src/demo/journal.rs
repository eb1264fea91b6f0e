//! Where cases write what happens: numbers, ids and times come from here.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::plan::Plan;
use model::event::{ImportedEvent, NewEvent, Timestamp};

/// No two events are nearer to each other, in microseconds.
const GAP: i64 = 1_000;

/// Events that happen to an aggregate at once, to be appended all or none.
#[derive(Clone, Debug)]
pub struct Append {
    pub aggregate_type: &'static str,
    pub aggregate_id: String,
    /// The aggregate's version before; 0 if these are its first events.
    pub expected_version: u64,
    /// At least one, each with its id and its time.
    pub events: Vec<NewEvent>,
}

impl Append {
    /// The same events, for `import`.
    pub fn into_imported(self) -> impl Iterator<Item = ImportedEvent> {
        let Self { aggregate_type, aggregate_id, expected_version, events } = self;
        events.into_iter().zip(expected_version + 1..).map(move |(event, aggregate_version)| ImportedEvent {
            position: None,
            event_id: event.event_id.unwrap_or_default(),
            event_type: event.event_type,
            event_version: event.event_version,
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: aggregate_id.clone(),
            aggregate_version,
            event_timestamp: event.event_timestamp.unwrap_or_default(),
            user_id: event.user_id,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            metadata: event.metadata,
            event_data: event.event_data,
        })
    }
}

/// What an event says beside its payload.
pub(super) struct Fact {
    pub(super) event_type: &'static str,
    /// Of its schema.
    pub(super) version: u32,
    pub(super) user: String,
    pub(super) correlation: String,
    /// The number of the event that caused it.
    pub(super) cause: Option<u64>,
}

/// The history so far, as far as the next event needs it.
#[derive(Debug)]
pub(super) struct Journal {
    plan: Plan,
    /// How many events have been written.
    written: u64,
    last: Timestamp,
    /// What the current case has written; none while events are only counted.
    page: Option<Vec<NewEvent>>,
}

impl Journal {
    pub(super) fn new(plan: Plan) -> Self {
        let last = Timestamp(plan.start.0 - GAP);
        Self { plan, written: 0, last, page: Some(Vec::new()) }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn event_id(&self, number: u64) -> Uuid {
        self.plan.event_id(number)
    }

    /// Only counts events from now on, or writes them again.
    pub(super) fn set_counting(&mut self, is_counting: bool) {
        self.page = (!is_counting).then(Vec::new);
    }

    /// Writes an event, and gives its number. `tell` is not called while events are
    /// only counted, so nothing that comes later may depend on it.
    pub(super) fn write<P: Serialize>(&mut self, at: Timestamp, tell: impl FnOnce(&Self) -> (Fact, P)) -> u64 {
        let number = self.written;
        self.last = at.max(Timestamp(self.last.0 + GAP));
        if self.page.is_some() {
            let (fact, payload) = tell(self);
            let event = self.event(number, fact, &payload);
            self.page.get_or_insert_default().push(event);
        }
        self.written += 1;
        number
    }

    /// What has been written since the last call.
    pub(super) fn take_page(&mut self) -> Vec<NewEvent> {
        self.page.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn event(&self, number: u64, fact: Fact, payload: &impl Serialize) -> NewEvent {
        NewEvent {
            event_id: Some(self.plan.event_id(number)),
            event_type: fact.event_type.to_owned(),
            event_version: fact.version,
            event_timestamp: Some(self.last),
            user_id: Some(fact.user),
            correlation_id: Some(fact.correlation),
            causation_id: fact.cause.map(|cause| self.plan.event_id(cause).to_string()),
            metadata: (number == 0).then(|| json(&self.plan.metadata())),
            event_data: json(payload),
        }
    }
}

fn json(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("payloads are structs of texts and numbers")
}
