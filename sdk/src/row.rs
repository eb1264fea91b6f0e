//! Rows: what a table holds.

use std::fmt::Debug;
use std::hash::Hash;

use crate::column::{Column, Scalar};
use crate::error::Result;
use crate::wire::{self, ColumnType};

/// A row of a table of the read model. Derive it:
///
/// ```
/// # use fantascope_sdk::prelude::*;
/// #[derive(Row)]
/// #[row(table = "orders", index(customer), index(carrier, total_cents))]
/// pub struct Order {
///     #[key]
///     id: String,
///     customer: String,
///     total_cents: i64,
///     carrier: Option<String>,
/// }
/// ```
///
/// Each field is a column of its name, or of another: `#[column("type")]`. The
/// fields with `#[key]` are the primary key, in their order; with several of them
/// the key is a tuple. An `Option` is a column that may be null.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no row",
    label = "no row of a table",
    note = "write `#[derive(Row)] #[row(table = \"…\")]` above `struct {Self}`, with a `#[key]` field"
)]
pub trait Row: Sized + 'static {
    /// The type of the `#[key]` field; a tuple if there are several.
    type Key: Clone + Eq + Hash + Debug + 'static;

    #[doc(hidden)]
    const TABLE: Table;

    /// How the id of an aggregate becomes a key, if a key is one text.
    #[doc(hidden)]
    const KEY_OF_AGGREGATE_ID: Option<fn(&str) -> Self::Key>;

    #[doc(hidden)]
    fn is_aggregate_id(key: &Self::Key, id: &str) -> bool;

    #[doc(hidden)]
    fn key(&self) -> Self::Key;

    /// Whether this row belongs at that key.
    #[doc(hidden)]
    fn has_key(&self, key: &Self::Key) -> bool;

    #[doc(hidden)]
    fn write_keys<'a>(keys: impl ExactSizeIterator<Item = &'a Self::Key> + Clone) -> Vec<wire::Column>;

    /// The columns behind the key.
    #[doc(hidden)]
    fn write(rows: &[&Self]) -> Vec<wire::Column>;

    /// Takes the columns behind the key, and then gives row after row.
    #[doc(hidden)]
    fn read(columns: Vec<wire::Column>) -> impl FnMut(&Self::Key) -> Result<Self>;
}

/// What is to be known of a table.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub name: &'static str,
    /// The key first.
    pub columns: &'static [ColumnOf],
    pub key_columns: u32,
    /// The columns of each index.
    pub indexes: &'static [&'static [&'static str]],
}

#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct ColumnOf {
    pub name: &'static str,
    pub of_type: ColumnType,
    pub nullable: bool,
}

impl ColumnOf {
    #[must_use]
    pub const fn of<C: Column>(name: &'static str) -> Self {
        Self { name, of_type: <C::Scalar as Scalar>::TYPE, nullable: C::NULLABLE }
    }
}

impl Table {
    pub(crate) fn definition(&self, keyed_by: wire::Keying) -> wire::TableDefinition {
        wire::TableDefinition {
            name: self.name.to_owned(),
            columns: self
                .columns
                .iter()
                .map(|column| wire::ColumnDefinition {
                    name: column.name.to_owned(),
                    of_type: column.of_type,
                    nullable: column.nullable,
                })
                .collect(),
            key_columns: self.key_columns,
            keyed_by,
            indexes: self
                .indexes
                .iter()
                .map(|columns| columns.iter().map(|name| (*name).to_owned()).collect())
                .collect(),
        }
    }
}
