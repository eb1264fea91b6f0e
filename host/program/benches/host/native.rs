//! The order list compiled natively into the same loop: what the sandbox is compared with.

use fantascope::change::{Blobs, Cells, Changes, Column, Keys, Operation, Rows};
use fantascope::event::{Batch, Texts};
use fantascope::guest::{Fault, Fold, LogLine};
use fantascope::projection::Start;
use fantascope_sdk::__private::{Projection, table, wire};

/// Starts the order list without a sandbox.
pub(crate) fn order_list() -> Start {
    std::sync::Arc::new(|| Ok(Box::new(Native(Projection::new("order_list", 1, vec![table::<order_list::Order>()])))))
}

struct Native(Projection);

impl Fold for Native {
    fn load(&mut self, batch: &Batch) -> Result<Vec<Keys>, Fault> {
        let keys = self.0.load(events(batch)).map_err(refused)?;
        Ok(keys.into_iter().map(|keys| Keys { count: keys.count as usize, columns: columns(keys.columns) }).collect())
    }

    fn apply(&mut self, existing: &[Rows]) -> Result<Vec<Changes>, Fault> {
        let rows = existing.iter().map(|rows| wire::Rows {
            present: rows.present.clone(),
            columns: rows.columns.iter().map(wire_column).collect(),
        });
        let changes = self.0.apply(rows.collect()).map_err(refused)?;
        let operation = |code: u8| match code {
            0 => Operation::Leave,
            1 => Operation::Put,
            _ => Operation::Delete,
        };
        Ok(changes
            .into_iter()
            .map(|changes| Changes {
                operations: changes.operations.into_iter().map(operation).collect(),
                columns: columns(changes.columns),
            })
            .collect())
    }

    fn take_lines(&mut self) -> Vec<LogLine> {
        Vec::new()
    }
}

fn refused(failure: wire::Failure) -> Fault {
    Fault::Refused { event: failure.event, path: failure.path, message: failure.message }
}

/// A copy of the batch, as it is copied into the sandbox.
fn events(batch: &Batch) -> wire::Events {
    let texts = |texts: &Texts| wire::Texts { joined: texts.joined.clone(), ends: texts.ends.clone() };
    wire::Events {
        positions: batch.positions.clone(),
        indexes: batch.indexes.clone(),
        ids: batch.ids.clone(),
        types: batch
            .types
            .iter()
            .map(|known| wire::EventType { name: known.name.to_string(), version: known.version })
            .collect(),
        type_codes: batch.type_codes.clone(),
        aggregate_types: wire::CodedTexts {
            entries: batch.aggregate_types.clone(),
            codes: batch.aggregate_type_codes.clone(),
        },
        aggregate_ids: texts(&batch.aggregate_ids),
        aggregate_versions: batch.aggregate_versions.clone(),
        timestamps: batch.timestamps.clone(),
        user_ids: texts(&batch.user_ids),
        correlation_ids: texts(&batch.correlation_ids),
        causation_ids: texts(&batch.causation_ids),
        metadata: texts(&batch.metadata),
        data: texts(&batch.data),
    }
}

fn columns(columns: Vec<wire::Column>) -> Vec<Column> {
    let cells = |cells: wire::Cells| match cells {
        wire::Cells::Booleans(values) => Cells::Booleans(values),
        wire::Cells::Integers(values) => Cells::Integers(values),
        wire::Cells::Floats(values) => Cells::Floats(values),
        wire::Cells::Texts(texts) => Cells::Texts(Texts { joined: texts.joined, ends: texts.ends }),
        wire::Cells::Blobs(blobs) => Cells::Blobs(Blobs { joined: blobs.joined, ends: blobs.ends }),
    };
    columns.into_iter().map(|column| Column { nulls: column.nulls, cells: cells(column.cells) }).collect()
}

fn wire_column(column: &Column) -> wire::Column {
    let cells = match &column.cells {
        Cells::Booleans(values) => wire::Cells::Booleans(values.clone()),
        Cells::Integers(values) => wire::Cells::Integers(values.clone()),
        Cells::Floats(values) => wire::Cells::Floats(values.clone()),
        Cells::Texts(texts) => {
            wire::Cells::Texts(wire::Texts { joined: texts.joined.clone(), ends: texts.ends.clone() })
        }
        Cells::Blobs(blobs) => {
            wire::Cells::Blobs(wire::Blobs { joined: blobs.joined.clone(), ends: blobs.ends.clone() })
        }
    };
    wire::Column { nulls: column.nulls.clone(), cells }
}
