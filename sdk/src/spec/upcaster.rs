//! Given an old event, then current ones.

use std::marker::PhantomData;

use serde_json::{Value, json};

use super::events::{Events, circumstances};
use super::outcome::{Expected, Outcome, check_same, failure_text};
use super::sandbox;
use crate::event::{Pattern, WriteEvents};
use crate::upcast::{Upcast, Upcaster, step};
use crate::wire;

/// A case of a step of an upcaster: given old events, then current ones.
/// [`Spec::upcast`](super::Spec::upcast) makes one, and each `then…` runs it.
#[must_use = "a case runs when it is said what it comes to: `.then(…)`"]
pub struct UpcasterSpec<U: Upcast> {
    events: Events,
    step: PhantomData<U>,
}

impl<U: Upcast> UpcasterSpec<U> {
    pub(super) fn new() -> Self {
        Self { events: Events::new(), step: PhantomData }
    }

    circumstances!();

    /// An old event has happened to an aggregate, with this payload: an object of
    /// [`json!`](super::json), as it was stored.
    #[track_caller]
    pub fn given(mut self, aggregate_id: &str, data: Value) -> Self {
        let data = data.to_string().into_bytes();
        self.events.give(aggregate_id, U::NAME, U::VERSION, data);
        self
    }

    /// The events become these, one after the other.
    ///
    /// # Panics
    /// When they don't.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = U::Into>) {
        let events = events.into_iter().map(|event| {
            let mut data = Vec::new();
            if let Err(error) = event.write(&mut data) {
                panic!("the event can't be put in JSON: {error}");
            }
            let data = serde_json::from_slice(&data).expect("an event is written as JSON");
            event_to_json(&type_of(&event), data)
        });
        self.check(&Expected::These(events.collect()));
    }

    /// The events are dropped.
    ///
    /// # Panics
    /// When something becomes of them.
    #[track_caller]
    pub fn then_none(self) {
        self.check(&Expected::These(Vec::new()));
    }

    /// An event can't be upcasted, and the error says this among else.
    ///
    /// # Panics
    /// When all events can be upcasted, or the error says something else.
    #[track_caller]
    pub fn then_error(self, message: &str) {
        self.check(&Expected::Failure(message.to_owned()));
    }

    #[track_caller]
    fn check(self, expected: &Expected) {
        let what = "the events";
        let at_once = self.run(self.events.len());
        let one_by_one = self.run(1);
        check_same(&at_once, &one_by_one);
        expected.check(&at_once, what, "natively");
        if let Some(sandbox) = sandbox::from_environment() {
            expected.check(&sandbox.events(&self.events), what, "in the sandbox");
        }
    }

    /// Upcasts the events in batches of a size.
    fn run(&self, size: usize) -> Outcome {
        let upcaster = Upcaster::new("spec", 1, vec![step::<U>()]);
        let mut events = Vec::new();
        for batch in self.events.batches(size) {
            let fail = |failure| failure_text(&batch, &failure);
            let upcasted = upcaster.upcast(batch.clone()).map_err(fail)?;
            assert_eq!(upcasted.counts.len(), batch.positions.len());
            for (row, code) in upcasted.type_codes.iter().enumerate() {
                let data = serde_json::from_str(upcasted.data.get(row));
                let data = data.expect("an event is written as JSON");
                events.push(event_to_json(&upcasted.types[*code as usize], data));
            }
        }
        Ok(events)
    }
}

fn type_of<E: WriteEvents>(event: &E) -> wire::EventType {
    let Pattern::Type { name, version } = E::PATTERNS[event.variant()] else {
        unreachable!("what can be written has a type");
    };
    wire::EventType { name: name.to_owned(), version }
}

/// What is compared of an event.
pub(super) fn event_to_json(of_type: &wire::EventType, data: Value) -> Value {
    json!({
        "event_type": of_type.name,
        "event_version": of_type.version,
        "event_data": data,
    })
}
