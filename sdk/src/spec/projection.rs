//! Given events, then rows.

use std::marker::PhantomData;

use serde_json::Value;

use super::events::{Events, circumstances};
use super::outcome::{Expected, Outcome, check_same, failure_text};
use super::rows::{Cell, Table, normalized, rows_of};
use super::sandbox;
use crate::event::{Pattern, WriteEvents};
use crate::fold::Fold;
use crate::projection::{Projection, table};
use crate::wire;

/// A case of a table: given events, then rows. [`Spec::of`](super::Spec::of) makes
/// one, and each `then…` runs it.
#[must_use = "a case runs when it is said what it comes to: `.then(…)`"]
pub struct ProjectionSpec<F: Fold> {
    events: Events,
    table: PhantomData<F>,
}

impl<F: Fold> ProjectionSpec<F> {
    pub(super) fn new() -> Self {
        Self { events: Events::new(), table: PhantomData }
    }

    circumstances!();

    /// An event has happened to an aggregate.
    ///
    /// # Panics
    /// When the event can't be put in JSON.
    #[track_caller]
    pub fn given<E: WriteEvents>(mut self, aggregate_id: &str, event: E) -> Self {
        let Pattern::Type { name, version } = E::PATTERNS[event.variant()] else {
            unreachable!("what can be written has a type");
        };
        let mut data = Vec::new();
        if let Err(error) = event.write(&mut data) {
            panic!("the event can't be put in JSON: {error}");
        }
        self.events.give(aggregate_id, name, version, data);
        self
    }

    /// An event has happened to an aggregate, with a payload that need not be sound:
    /// an object of [`json!`](super::json).
    #[track_caller]
    pub fn given_json(mut self, aggregate_id: &str, event_type: &str, event_version: u32, data: Value) -> Self {
        let data = data.to_string().into_bytes();
        self.events.give(aggregate_id, event_type, event_version, data);
        self
    }

    /// The table holds this row and no other.
    ///
    /// # Panics
    /// When it doesn't.
    #[track_caller]
    pub fn then(self, row: F) {
        self.then_rows([row]);
    }

    /// The table holds these rows and no other, in whatever order.
    ///
    /// # Panics
    /// When it doesn't.
    #[track_caller]
    pub fn then_rows(self, rows: impl IntoIterator<Item = F>) {
        let rows: Vec<F> = rows.into_iter().collect();
        self.check(&Expected::These(rows_to_json(&rows)));
    }

    /// The table is empty.
    ///
    /// # Panics
    /// When it isn't.
    #[track_caller]
    pub fn then_none(self) {
        self.check(&Expected::These(Vec::new()));
    }

    /// An event can't be handled, and the error says this among else. All that it
    /// says is, for example: ``position 1, event 0192…, OrderShipped v1: no `orders`
    /// row at key "o-9"``.
    ///
    /// # Panics
    /// When all events can be handled, or the error says something else.
    #[track_caller]
    pub fn then_error(self, message: &str) {
        self.check(&Expected::Failure(message.to_owned()));
    }

    #[track_caller]
    fn check(self, expected: &Expected) {
        let what = format!("the rows of `{}`", F::TABLE.name);
        let at_once = self.run(self.events.len());
        let one_by_one = self.run(1);
        check_same(&at_once, &one_by_one);
        expected.check(&at_once, &what, "natively");
        if let Some(sandbox) = sandbox::from_environment() {
            let outcome = sandbox.rows(&self.events, F::TABLE.name);
            let outcome = outcome.map(|rows| normalized(&definition::<F>(), rows));
            expected.check(&outcome, &what, "in the sandbox");
        }
    }

    /// Folds the events in batches of a size.
    fn run(&self, size: usize) -> Outcome {
        let projection = Projection::new("spec", 1, vec![table::<F>()]);
        let definition = definition::<F>();
        let mut table = Table::new(definition.clone());
        for batch in self.events.batches(size) {
            let fail = |failure| failure_text(&batch, &failure);
            let keys = projection.load(batch.clone()).map_err(fail)?;
            let keys = keys.first().map(keys_of).unwrap_or_default();
            let existing = table.read(&keys);
            let changes = projection.apply(vec![existing]).map_err(fail)?;
            for changes in &changes {
                table.change(&keys, changes);
            }
        }
        Ok(normalized(&definition, table.to_json()))
    }
}

fn definition<F: Fold>() -> wire::TableDefinition {
    F::TABLE.definition(wire::Keying::Own)
}

fn keys_of(keys: &wire::Keys) -> Vec<Vec<Cell>> {
    rows_of(&keys.columns, keys.count as usize)
}

fn rows_to_json<F: Fold>(rows: &[F]) -> Vec<Value> {
    let keys: Vec<F::Key> = rows.iter().map(F::key).collect();
    let mut table = Table::new(definition::<F>());
    let changes = wire::Changes {
        operations: vec![wire::operation::PUT; rows.len()],
        columns: F::write(&rows.iter().collect::<Vec<_>>()),
    };
    let key_columns = F::write_keys(keys.iter());
    table.change(&rows_of(&key_columns, keys.len()), &changes);
    normalized(&definition::<F>(), table.to_json())
}
