//! Rows that the database refuses: which one it is, for a statement writes many.

use crate::rows::bulk::TableWriter;
use crate::rows::merge::Merged;
use crate::schema::ddl::{index_name, physical_table};
use crate::schema::fits::{Misfit, place};
use crate::{Error, Writer};
use database::{Durability, is_data};
use model::change::Name;

/// Of so many rows at the most the one that is refused is looked for.
const ROWS_MAX: usize = 256;

impl Writer {
    /// What it comes to that `table` does not take `merged`; nothing of that is written.
    pub(crate) async fn refused(&self, table: &TableWriter, merged: &Merged<'_>, fault: sqlx::Error) -> Error {
        if !is_data(&fault) {
            return Error::Database(fault);
        }
        let misfit = if merged.puts.len() + merged.deletes.len() > ROWS_MAX {
            None
        } else {
            // What came for so many rows will do.
            self.find(table, merged).await.unwrap_or(None)
        };
        let unknown = || Misfit { at: format!("table `{}`", table.table.name), reason: reason(&fault) };
        misfit.unwrap_or_else(unknown).into()
    }

    /// Writes a row at a time, until the database refuses one, and takes all back.
    async fn find(&self, table: &TableWriter, merged: &Merged<'_>) -> sqlx::Result<Option<Misfit>> {
        let mut transaction = self.database.begin(Durability::Normal).await?;
        for row in merged.one_by_one() {
            let Err(fault) = table.write(&mut transaction, &row).await else { continue };
            let reason = reason(&fault);
            let (keys, key) = merged.keys(*row.puts.first().or(row.deletes.first()).ok_or(fault)?);
            let column = column(table, &reason);
            return Ok(Some(Misfit { at: place(&table.table, column, keys, key), reason }));
        }
        Ok(None)
    }
}

/// What the database has against a row, in its own words.
pub(crate) fn reason(fault: &sqlx::Error) -> String {
    let Some(told) = fault.as_database_error() else { return fault.to_string() };
    let detail = told.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().and_then(|fault| fault.detail());
    format!("{}{}", told.message(), detail.map_or_else(String::new, |detail| format!(" ({detail})")))
}

/// The column that `reason` is about, if it names one, or an index that begins with it.
fn column<'a>(table: &'a TableWriter, reason: &str) -> Option<&'a str> {
    let definition = &table.table;
    let physical = physical_table(&table.id, &definition.name);
    let is_named = |name: &str| {
        [('"', '"'), ('\'', '\''), ('`', '`')]
            .iter()
            .any(|(start, end)| reason.contains(&format!("{start}{name}{end}")))
    };
    if is_named(&format!("{physical}_pkey")) {
        return definition.key().first().map(|column| column.name.as_str());
    }
    let index = (0..definition.indexes.len()).find(|&number| is_named(&index_name(&physical, number)));
    if let Some(index) = index {
        return definition.indexes[index].first().map(Name::as_str);
    }
    // SQLite names them `table.column`.
    let ends = |name: &str| reason.ends_with(&format!("{physical}.{name}"));
    definition.columns.iter().map(|column| column.name.as_str()).find(|name| is_named(name) || ends(name))
}
