//! Between the host's columns and those of the bindings: borrowed on the way in,
//! owned on the way out, where `change` checks what a guest claims.

use std::sync::Arc;

use super::bindings::projection_plugin::exports::fantascope::plugin::projection as wit;
use super::bindings::projection_plugin::fantascope::plugin::types;
use super::bindings::upcaster_plugin::exports::fantascope::plugin::upcaster as upcaster_wit;
use super::bindings::upcaster_plugin::fantascope::plugin::types as upcaster_types;
use model::change::{
    Blobs, Cells, Changes, Column, ColumnDefinition, ColumnType, Keys, Manifest, Name, Operation, Rows, Step,
    Subscription, TableDefinition, UpcasterManifest,
};
use model::event::{Batch, EventType, Texts};

/// The events of a batch, borrowed, with the dictionaries in the bindings' own types.
pub(super) fn borrow_events<'a>(
    batch: &'a Batch,
    event_types: &'a [types::EventType<'a>],
    aggregate_types: &'a [&'a str],
) -> types::Events<'a> {
    types::Events {
        positions: &batch.positions,
        indexes: &batch.indexes,
        ids: &batch.ids,
        types: event_types,
        type_codes: &batch.type_codes,
        aggregate_types: types::CodedTexts { entries: aggregate_types, codes: &batch.aggregate_type_codes },
        aggregate_ids: borrow_texts(&batch.aggregate_ids),
        aggregate_versions: &batch.aggregate_versions,
        timestamps: &batch.timestamps,
        user_ids: borrow_texts(&batch.user_ids),
        correlation_ids: borrow_texts(&batch.correlation_ids),
        causation_ids: borrow_texts(&batch.causation_ids),
        metadata: borrow_texts(&batch.metadata),
        data: borrow_texts(&batch.data),
    }
}

fn borrow_texts(texts: &Texts) -> types::TextsParam<'_> {
    types::TextsParam { joined: &texts.joined, ends: &texts.ends }
}

pub(super) fn borrow_columns(rows: &Rows) -> Vec<types::ColumnParam<'_>> {
    rows.columns.iter().map(borrow_column).collect()
}

fn borrow_column(column: &Column) -> types::ColumnParam<'_> {
    let cells = match &column.cells {
        Cells::Booleans(values) => types::CellsParam::Booleans(values),
        Cells::Integers(values) => types::CellsParam::Integers(values),
        Cells::Floats(values) => types::CellsParam::Floats(values),
        Cells::Texts(texts) => types::CellsParam::Texts(borrow_texts(texts)),
        Cells::Blobs(blobs) => types::CellsParam::Blobs(types::BlobsParam { joined: &blobs.joined, ends: &blobs.ends }),
    };
    types::ColumnParam { nulls: &column.nulls, cells }
}

fn own_column(column: types::ColumnResult) -> Column {
    let cells = match column.cells {
        types::CellsResult::Booleans(values) => Cells::Booleans(values),
        types::CellsResult::Integers(values) => Cells::Integers(values),
        // No database keeps the sign of zero; dropped here, rows are the same from memory.
        types::CellsResult::Floats(values) => Cells::Floats(values.into_iter().map(|value| value + 0.0).collect()),
        types::CellsResult::Texts(texts) => Cells::Texts(Texts { joined: texts.joined, ends: texts.ends }),
        types::CellsResult::Blobs(blobs) => Cells::Blobs(Blobs { joined: blobs.joined, ends: blobs.ends }),
    };
    Column { nulls: column.nulls, cells }
}

pub(super) fn own_keys(keys: wit::Keys) -> Keys {
    Keys { count: keys.count as usize, columns: keys.columns.into_iter().map(own_column).collect() }
}

/// The changes, or which operation there is not.
pub(super) fn own_changes(changes: wit::Changes) -> Result<Changes, u8> {
    let operation = |code: u8| match code {
        0 => Ok(Operation::Leave),
        1 => Ok(Operation::Put),
        2 => Ok(Operation::Delete),
        unknown => Err(unknown),
    };
    Ok(Changes {
        operations: changes.operations.into_iter().map(operation).collect::<Result<_, _>>()?,
        columns: changes.columns.into_iter().map(own_column).collect(),
    })
}

/// What a projection says of itself, or which of its names is none.
pub(super) fn own_manifest(manifest: wit::Manifest) -> Result<Manifest, String> {
    Ok(Manifest {
        sdk: manifest.sdk,
        name: manifest.name.parse().map_err(|fault| format!("its name: {fault}"))?,
        version: manifest.version,
        subscription: match manifest.subscription {
            types::Subscription::All => Subscription::All,
            types::Subscription::Prefixes(prefixes) => Subscription::Prefixes(prefixes),
            types::Subscription::Types(types) => Subscription::Types(types),
        },
        tables: manifest.tables.into_iter().map(own_table).collect::<Result<_, _>>()?,
        replayable: manifest.replayable,
    })
}

fn own_table(table: types::TableDefinition) -> Result<TableDefinition, String> {
    let name: Name = table.name.parse().map_err(|fault| format!("a table's name: {fault}"))?;
    let named = |column: String| column.parse().map_err(|fault| format!("a column of table `{name}`: {fault}"));
    let column = |column: types::ColumnDefinition| -> Result<ColumnDefinition, String> {
        Ok(ColumnDefinition { name: named(column.name)?, of_type: own_type(column.of_type), nullable: column.nullable })
    };
    Ok(TableDefinition {
        columns: table.columns.into_iter().map(column).collect::<Result<_, _>>()?,
        key_columns: table.key_columns as usize,
        keyed_by_aggregate: table.keyed_by == types::Keying::AggregateId,
        indexes: table
            .indexes
            .into_iter()
            .map(|index| index.into_iter().map(named).collect::<Result<_, _>>())
            .collect::<Result<_, _>>()?,
        name,
    })
}

fn own_type(of_type: types::ColumnType) -> ColumnType {
    match of_type {
        types::ColumnType::Boolean => ColumnType::Boolean,
        types::ColumnType::Integer => ColumnType::Integer,
        types::ColumnType::Float => ColumnType::Float,
        types::ColumnType::Decimal => ColumnType::Decimal,
        types::ColumnType::Text => ColumnType::Text,
        types::ColumnType::Bytes => ColumnType::Bytes,
        types::ColumnType::Json => ColumnType::Json,
        types::ColumnType::Timestamp => ColumnType::Timestamp,
        types::ColumnType::Uuid => ColumnType::Uuid,
    }
}

/// What an upcaster says of itself, or what is wrong with its name.
pub(super) fn own_upcaster_manifest(manifest: upcaster_wit::Manifest) -> Result<UpcasterManifest, String> {
    let step = |step: upcaster_wit::Step| Step {
        takes: own_event_type(step.takes),
        gives: step.gives.into_iter().map(own_event_type).collect(),
    };
    Ok(UpcasterManifest {
        sdk: manifest.sdk,
        name: manifest.name.parse().map_err(|fault| format!("its name: {fault}"))?,
        version: manifest.version,
        steps: manifest.steps.into_iter().map(step).collect(),
    })
}

pub(super) fn own_event_type(event_type: upcaster_types::EventType) -> EventType {
    EventType { name: Arc::from(event_type.name), version: event_type.version }
}

/// The events of a batch for an upcaster, whose bindings take them whole.
pub(super) fn own_events(batch: Batch) -> upcaster_types::Events {
    let texts = |texts: Texts| upcaster_types::Texts { joined: texts.joined, ends: texts.ends };
    let event_type =
        |known: EventType| upcaster_types::EventType { name: known.name.to_string(), version: known.version };
    upcaster_types::Events {
        positions: batch.positions,
        indexes: batch.indexes,
        ids: batch.ids,
        types: batch.types.into_iter().map(event_type).collect(),
        type_codes: batch.type_codes,
        aggregate_types: upcaster_types::CodedTexts {
            entries: batch.aggregate_types,
            codes: batch.aggregate_type_codes,
        },
        aggregate_ids: texts(batch.aggregate_ids),
        aggregate_versions: batch.aggregate_versions,
        timestamps: batch.timestamps,
        user_ids: texts(batch.user_ids),
        correlation_ids: texts(batch.correlation_ids),
        causation_ids: texts(batch.causation_ids),
        metadata: texts(batch.metadata),
        data: texts(batch.data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_sign() {
        let Cells::Floats(values) =
            own_column(types::ColumnResult { nulls: Vec::new(), cells: types::CellsResult::Floats(vec![-0.0, -0.5]) })
                .cells
        else {
            panic!("floats stay floats");
        };
        assert_eq!(values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), [0, (-0.5_f64).to_bits()]);
    }
}
