//! A projection `notes` that writes what its events say, in this process: with values that no
//! guest could make up so easily.

use std::sync::Arc;
use std::time::Duration;

use fantascope::change::{
    Cells, Changes, Column, ColumnDefinition, ColumnType, Digest, Keys, Manifest, Operation, Rows, Subscription,
    TableDefinition, VersionId,
};
use fantascope::event::{Batch, ImportedEvent};
use fantascope::guest::{Fault, Fold, LogLine};
use fantascope::projection::{Phase, Start, Status};
use fantascope::store::Store;
use serde_json::{Value, json};

use crate::history::History;
use crate::place::Host;
use crate::side::name;

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The table `notes` of the projection `notes`, as it is called in the database.
pub(crate) const PHYSICAL: &str = "notes__notes__v1g1";

/// Columns of `notes`: beside those that events give, `rounds` counts how often a row was written.
const COLUMNS: [(&str, ColumnType); 6] = [
    ("id", ColumnType::Text),
    ("at", ColumnType::Timestamp),
    ("price", ColumnType::Decimal),
    ("label", ColumnType::Text),
    ("body", ColumnType::Text),
    ("rounds", ColumnType::Integer),
];

pub(crate) fn manifest(index: Option<&str>) -> Manifest {
    let column = |(column, of_type): &(&str, ColumnType)| ColumnDefinition {
        name: name(column),
        of_type: *of_type,
        nullable: false,
    };
    let table = TableDefinition {
        name: name("notes"),
        columns: COLUMNS.iter().map(column).collect(),
        key_columns: 1,
        keyed_by_aggregate: false,
        indexes: index.map(|column| vec![name(column)]).into_iter().collect(),
    };
    Manifest {
        sdk: String::new(),
        name: name("notes"),
        version: 1,
        subscription: Subscription::All,
        tables: vec![table],
        replayable: true,
    }
}

/// Puts a row for each event: `{"id", "at", "price", "label", "body"}`, all of which may be missing
/// but the first; a number as `body` stands for so many characters.
#[derive(Default)]
struct Scribe {
    notes: Vec<Value>,
}

impl Fold for Scribe {
    fn load(&mut self, batch: &Batch) -> Result<Vec<Keys>, Fault> {
        self.notes = (0..batch.len()).map(|row| serde_json::from_str(batch.data.get(row)).unwrap()).collect();
        Ok(vec![Keys { count: self.notes.len(), columns: vec![self.texts("id", "")] }])
    }

    fn apply(&mut self, existing: &[Rows]) -> Result<Vec<Changes>, Fault> {
        let Cells::Integers(known) = &existing[0].columns[4].cells else { panic!("rounds are numbers") };
        let mut known = known.iter();
        let rounds = existing[0].present.iter().map(|&there| if there == 1 { known.next().unwrap() + 1 } else { 1 });
        let rounds = column(Cells::Integers(rounds.collect()));
        let at = column(Cells::Integers(self.notes.iter().map(|note| note["at"].as_i64().unwrap_or(0)).collect()));
        let columns = vec![at, self.texts("price", "0"), self.texts("label", ""), self.texts("body", ""), rounds];
        Ok(vec![Changes { operations: vec![Operation::Put; self.notes.len()], columns }])
    }

    fn take_lines(&mut self) -> Vec<LogLine> {
        Vec::new()
    }
}

impl Scribe {
    fn texts(&self, field: &str, otherwise: &str) -> Column {
        let text = |note: &Value| match &note[field] {
            Value::Number(length) => "b".repeat(length.as_u64().unwrap() as usize),
            other => other.as_str().unwrap_or(otherwise).to_owned(),
        };
        let texts: Vec<String> = self.notes.iter().map(text).collect();
        column(Cells::Texts(texts.iter().map(String::as_str).collect()))
    }
}

fn column(cells: Cells) -> Column {
    Column { nulls: Vec::new(), cells }
}

/// Lets `host` run the projection.
pub(crate) async fn start(host: &Host, index: Option<&str>) -> VersionId {
    let start: Start = Arc::new(|| Ok(Box::new(Scribe::default()) as Box<dyn Fold>));
    host.projections.start(Arc::new(manifest(index)), Digest([7; 32]), start).await.unwrap()
}

/// Adds `notes` to the store, an event each.
pub(crate) async fn write(store: &Store, notes: &[Value]) {
    let mut history = History::default();
    notes.iter().for_each(|note| history.add("Pad/p-1", "Noted", note));
    let events = history.lines.iter().map(|line| serde_json::from_str::<ImportedEvent>(line).unwrap());
    store.import(Arc::new(events.collect())).await.unwrap();
}

/// `count` notes with nothing particular, whose ids begin with `prefix`.
pub(crate) fn plain(prefix: &str, count: usize) -> Vec<Value> {
    (0..count).map(|number| json!({ "id": format!("{prefix}{number}") })).collect()
}

/// Waits until the projection follows the store, or has failed.
pub(crate) async fn settled(host: &Host) -> Status {
    let settled = tokio::time::timeout(PATIENCE, host.projections.caught_up()).await;
    let status = host.status("notes");
    assert!(settled.is_ok(), "it neither follows nor fails: {status:?}");
    status
}

/// Waits until the projection has failed, and gives the code and the message.
pub(crate) async fn failure(host: &Host) -> (String, String) {
    let status = settled(host).await;
    assert_eq!(status.phase, Phase::Failed, "{status:?}");
    let problem = status.error.unwrap();
    (problem.code, problem.message)
}
