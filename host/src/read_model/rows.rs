//! Reading the rows that a batch needs, in one statement per table.

use sqlx::AssertSqlSafe;

use super::ddl::{physical_table, quote};
use super::packed::{decode, expressions};
use super::{Error, ReadModel};
use crate::change::{Cells, Column, Keys, Rows, TableDefinition, VersionId};

impl ReadModel {
    /// Those of the rows with `keys` that exist.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn rows(&self, id: &VersionId, table: &TableDefinition, keys: &Keys) -> Result<Rows, Error> {
        if keys.count == 0 {
            return Ok(Rows::none(table, 0));
        }
        // The keys travel as one JSON text, so that the statement is always the same.
        let key_values: Vec<String> = (0..table.key_columns)
            .map(|number| match keys.columns[number].cells {
                Cells::Blobs(_) => format!("unhex(w.value ->> {number})"),
                _ => format!("w.value ->> {number}"),
            })
            .collect();
        let condition: Vec<String> = table
            .key()
            .iter()
            .zip(&key_values)
            .map(|(column, value)| format!("t.{} = {value}", quote(column.name.as_str())))
            .collect();
        let mut cells = vec!["w.key".to_owned()];
        cells.extend(expressions("t", table.values()));
        let sql = format!(
            "SELECT json_group_array(json_array({})) FROM json_each(?) w CROSS JOIN {} t WHERE {}",
            cells.join(", "),
            quote(&physical_table(id, &table.name)),
            condition.join(" AND ")
        );
        let (json,): (String,) =
            sqlx::query_as(AssertSqlSafe(sql)).bind(keys_as_json(keys)).fetch_one(&self.readers).await?;
        let unreadable = |fault: serde_json::Error| Error::Unreadable { id: id.clone(), reason: fault.to_string() };
        let (numbers, columns) = decode(&json, table.values()).map_err(unreadable)?;
        let mut present = vec![0; keys.count];
        for &number in &numbers {
            present[number as usize] = 1;
        }
        debug_assert!(numbers.is_sorted(), "json_each gives its items in order, and the join keeps it");
        Ok(Rows { present, columns })
    }
}

/// `[[key column, …], …]`, byte strings in hexadecimal.
fn keys_as_json(keys: &Keys) -> String {
    let row =
        |row: usize| -> Vec<serde_json::Value> { keys.columns.iter().map(|column| key_as_json(column, row)).collect() };
    let rows: Vec<_> = (0..keys.count).map(row).collect();
    serde_json::Value::from(rows).to_string()
}

fn key_as_json(column: &Column, row: usize) -> serde_json::Value {
    match &column.cells {
        Cells::Booleans(values) => values[row].into(),
        Cells::Integers(values) => values[row].into(),
        Cells::Floats(values) => values[row].into(),
        Cells::Texts(texts) => texts.get(row).into(),
        Cells::Blobs(blobs) => blobs.get(row).iter().map(|byte| format!("{byte:02X}")).collect::<String>().into(),
    }
}
