//! The SQL that makes tables and views. All dynamic identifiers go through `quote`.

use crate::change::{ColumnType, Name, TableDefinition, VersionId};
use crate::event::Position;

/// An identifier, quoted.
pub(super) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// The table that holds the rows of one version.
pub(super) fn physical_table(id: &VersionId, table: &Name) -> String {
    format!("{}__{table}__v{}g{}", id.projection, id.version, id.generation)
}

/// The name that applications query: a view on the live version.
pub(super) fn stable_view(projection: &Name, table: &Name) -> String {
    format!("{projection}_{table}")
}

/// The statement that makes the table.
pub(super) fn create_table(id: &VersionId, table: &TableDefinition) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("{} {}{null}", quote(column.name.as_str()), sql_type(column.of_type))
        })
        .collect();
    let key = names(table.key().iter().map(|column| &column.name));
    let physical = quote(&physical_table(id, &table.name));
    format!("CREATE TABLE {physical} ({}, PRIMARY KEY ({key})) STRICT, WITHOUT ROWID", columns.join(", "))
}

/// Statements that make those of the table's indexes that are missing.
pub(super) fn create_indexes(id: &VersionId, table: &TableDefinition) -> Vec<String> {
    let physical = physical_table(id, &table.name);
    let create = |(number, index): (usize, &Vec<Name>)| {
        let name = quote(&format!("{physical}__i{}", number + 1));
        format!("CREATE INDEX IF NOT EXISTS {name} ON {} ({})", quote(&physical), names(index.iter()))
    };
    table.indexes.iter().enumerate().map(create).collect()
}

/// Statements that let the stable name show `id`.
pub(super) fn point_view(id: &VersionId, table: &Name) -> [String; 2] {
    let view = quote(&stable_view(&id.projection, table));
    let physical = quote(&physical_table(id, table));
    [format!("DROP VIEW IF EXISTS {view}"), format!("CREATE VIEW {view} AS SELECT * FROM {physical}")]
}

/// A view that is made once.
pub(super) struct View {
    pub(super) name: String,
    pub(super) statement: String,
}

/// The name of its own under which a build of the past is read.
pub(super) fn as_of_view(id: &VersionId, table: &Name, position: Position) -> View {
    let name = format!("{}__as_of_{position}__v{}g{}", stable_view(&id.projection, table), id.version, id.generation);
    let statement = format!("CREATE VIEW {} AS SELECT * FROM {}", quote(&name), quote(&physical_table(id, table)));
    View { name, statement }
}

/// Column names, quoted, with commas between.
pub(super) fn names<'a>(columns: impl Iterator<Item = &'a Name>) -> String {
    columns.map(|name| quote(name.as_str())).collect::<Vec<_>>().join(", ")
}

fn sql_type(of_type: ColumnType) -> &'static str {
    match of_type {
        ColumnType::Boolean | ColumnType::Integer | ColumnType::Timestamp => "INTEGER",
        ColumnType::Float => "REAL",
        ColumnType::Decimal | ColumnType::Text | ColumnType::Json => "TEXT",
        ColumnType::Bytes | ColumnType::Uuid => "BLOB",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_sql_would_choke_on() {
        assert_eq!(quote("order"), "\"order\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}
