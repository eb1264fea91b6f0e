//! Keys that a batch touches, the rows behind them, and what becomes of them.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::{Cells, Column, ColumnDefinition, Malformed, TableDefinition};

/// The keys of the rows of one table that a batch touches; no key twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys {
    pub count: usize,
    /// The key columns, `count` values each.
    pub columns: Vec<Column>,
}

/// Those of the wanted rows that exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Per wanted key: 1 if its row exists.
    pub present: Vec<u8>,
    /// The columns behind the key, one value per row that exists.
    pub columns: Vec<Column>,
}

/// What becomes of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Leave,
    Put,
    Delete,
}

/// What becomes of the rows of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// One per wanted key.
    pub operations: Vec<Operation>,
    /// The columns behind the key, one value per row that is put.
    pub columns: Vec<Column>,
}

impl Keys {
    /// Whether these are keys of `table`.
    ///
    /// # Errors
    /// The first promise that they break.
    pub fn check(&self, table: &TableDefinition) -> Result<(), Malformed> {
        check_columns(&self.columns, table.key(), self.count)
    }

    /// The keys in `rows`, in that order.
    #[must_use]
    pub fn gather(&self, table: &TableDefinition, rows: &[u32]) -> Self {
        let mut columns: Vec<Column> = table.key().iter().map(|column| Column::empty(column.of_type)).collect();
        for (to, from) in columns.iter_mut().zip(&self.columns) {
            rows.iter().for_each(|&row| to.push_from(from, row as usize));
        }
        Self { count: rows.len(), columns }
    }

    /// A hash of each key, to find the same key again in this process.
    #[must_use]
    pub fn hashes(&self) -> Vec<u64> {
        (0..self.count).map(|row| hash(&self.columns, row)).collect()
    }

    /// The first key that is there already, given the hashes of all; as a promise that is broken.
    #[must_use]
    pub fn first_twice(&self, table: &TableDefinition, hashes: &[u64]) -> Option<Malformed> {
        let mut seen: HashTable<usize> = HashTable::with_capacity(self.count);
        for (row, &hash) in hashes.iter().enumerate() {
            if let Some(first) = seen.find(hash, |&known| self.same_at(known, self, row)) {
                let of = |(column, definition): (&Column, &ColumnDefinition)| column.to_json(definition.of_type, row);
                let key: Vec<String> = self.columns.iter().zip(table.key()).map(|pair| of(pair).to_string()).collect();
                return Some(Malformed {
                    column: table.columns[0].name.to_string(),
                    reason: format!("the key {} is named twice, in rows {first} and {row}", key.join(", ")),
                });
            }
            seen.insert_unique(hash, row, |&known| hashes[known]);
        }
        None
    }

    /// Whether key `row` is key `other_row` of `other`.
    #[must_use]
    pub fn same_at(&self, row: usize, other: &Self, other_row: usize) -> bool {
        self.columns.iter().zip(&other.columns).all(|(column, other)| column.same_at(row, other, other_row))
    }
}

fn hash(columns: &[Column], row: usize) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    for column in columns {
        match &column.cells {
            Cells::Booleans(values) => hasher.write_u8(values[row]),
            Cells::Integers(values) => hasher.write_i64(values[row]),
            Cells::Floats(values) => hasher.write_u64(values[row].to_bits()),
            Cells::Texts(texts) => {
                hasher.write(texts.get(row).as_bytes());
                hasher.write_u8(0xff);
            }
            Cells::Blobs(blobs) => {
                hasher.write(blobs.get(row));
                hasher.write_usize(blobs.get(row).len());
            }
        }
    }
    hasher.finish()
}

impl Changes {
    /// Whether these are changes of `wanted` rows of `table`.
    ///
    /// # Errors
    /// The first promise that they break.
    pub fn check(&self, table: &TableDefinition, wanted: usize) -> Result<(), Malformed> {
        if self.operations.len() != wanted {
            return Err(Malformed {
                column: table.columns[0].name.to_string(),
                reason: format!("{} operations for {wanted} wanted rows", self.operations.len()),
            });
        }
        let puts = self.operations.iter().filter(|&&operation| operation == Operation::Put).count();
        check_columns(&self.columns, table.values(), puts)
    }

    /// Whether nothing is put or deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.iter().all(|&operation| operation == Operation::Leave)
    }
}

impl Rows {
    /// Of `wanted` rows, none exists.
    #[must_use]
    pub fn none(table: &TableDefinition, wanted: usize) -> Self {
        Self {
            present: vec![0; wanted],
            columns: table.values().iter().map(|column| Column::empty(column.of_type)).collect(),
        }
    }
}

fn check_columns(columns: &[Column], definitions: &[ColumnDefinition], rows: usize) -> Result<(), Malformed> {
    if columns.len() != definitions.len() {
        return Err(Malformed {
            column: definitions.first().map_or_else(String::new, |column| column.name.to_string()),
            reason: format!("{} columns, the table has {}", columns.len(), definitions.len()),
        });
    }
    columns.iter().zip(definitions).try_for_each(|(column, definition)| column.check(definition, rows))
}
