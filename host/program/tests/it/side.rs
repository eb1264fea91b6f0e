//! Versions of a projection `orders` whose rows a test writes by itself.

use std::sync::Arc;

use fantascope::change::{
    Blobs, Cells, Changes, Column, ColumnDefinition, ColumnType, Digest, Keys, Manifest, Name, Operation, Subscription,
    TableDefinition,
};
use fantascope::event::{Checkpoint, Position};
use fantascope::read_model::{Commit, Error, Prepared, ReadModel, TableChanges, Writer};

use crate::place::Place;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn table(text: &str, key_columns: usize, columns: &[(&str, ColumnType)]) -> TableDefinition {
    let column = |(number, &(text, of_type)): (usize, &(&str, ColumnType))| ColumnDefinition {
        name: name(text),
        of_type,
        nullable: number >= key_columns,
    };
    TableDefinition {
        name: name(text),
        columns: columns.iter().enumerate().map(column).collect(),
        key_columns,
        keyed_by_aggregate: false,
        indexes: Vec::new(),
    }
}

/// `cells`, with nulls in the rows `nulls`.
pub(crate) fn column(cells: Cells, nulls: &[usize]) -> Column {
    let mut column = Column { nulls: Vec::new(), cells };
    if !nulls.is_empty() {
        column.nulls = (0..column.len()).map(|row| u8::from(nulls.contains(&row))).collect();
    }
    column
}

pub(crate) fn texts(values: &[&str]) -> Column {
    column(Cells::Texts(values.iter().copied().collect()), &[])
}

pub(crate) fn integers(values: &[i64]) -> Column {
    column(Cells::Integers(values.to_vec()), &[])
}

pub(crate) fn floats(values: &[f64]) -> Column {
    column(Cells::Floats(values.to_vec()), &[])
}

pub(crate) fn blobs(values: &[&[u8]]) -> Column {
    let mut blobs = Blobs::default();
    values.iter().for_each(|value| blobs.push(value));
    column(Cells::Blobs(blobs), &[])
}

/// A version with its tables.
pub(crate) struct Side {
    pub(crate) prepared: Prepared,
    pub(crate) tables: Vec<TableDefinition>,
    writer: Writer,
}

impl Side {
    pub(crate) async fn new(read_model: &ReadModel, version: u32, tables: Vec<TableDefinition>) -> Self {
        let manifest = Manifest {
            sdk: String::new(),
            name: name("orders"),
            version,
            subscription: Subscription::All,
            replayable: false,
            tables: tables.clone(),
        };
        manifest.check().unwrap();
        let prepared = read_model.prepare(&manifest, Digest([0; 32])).await.unwrap();
        let writer = read_model.writer(&prepared, &tables);
        Self { prepared, tables, writer }
    }

    /// Puts rows into its tables, given as columns.
    pub(crate) async fn put(&mut self, position: u64, columns: Vec<Vec<Column>>) {
        self.commit(vec![self.changes(position, columns, false)]).await.unwrap();
    }

    /// What puts rows into its tables, given as columns; `are_new` if there certainly are no such.
    pub(crate) fn changes(&self, position: u64, columns: Vec<Vec<Column>>, are_new: bool) -> Commit {
        let changes = |(mut columns, table): (Vec<Column>, &TableDefinition)| {
            let (count, values) = (columns[0].len(), columns.split_off(table.key_columns));
            let keys = Keys { count, columns };
            let changes = Changes { operations: vec![Operation::Put; count], columns: values };
            let hashes = keys.hashes();
            keys.check(table).unwrap();
            changes.check(table, count).unwrap();
            Arc::new(TableChanges::new(keys, hashes, changes, if are_new { vec![0; count] } else { Vec::new() }))
        };
        let tables = columns.into_iter().zip(&self.tables).map(changes).collect();
        Commit { tables, checkpoint: Checkpoint { position: Position(position), last_event: None } }
    }

    pub(crate) async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), Error> {
        self.writer.commit(&commits).await
    }
}

pub(crate) async fn read_model(place: &Place) -> ReadModel {
    ReadModel::open(&place.database().await).await.unwrap()
}
