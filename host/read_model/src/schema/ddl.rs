//! The SQL that makes tables and views. All dynamic identifiers go through `quote`.

use crate::Error;
use database::{Dialect, Flavour, quote};
use model::change::{ColumnType, Name, TableDefinition, VersionId};
use model::event::Position;

/// Bytes of a key that InnoDB can index, and those that a character may take.
const MYSQL_KEY_BYTES: usize = 3_072;
const MYSQL_CHARACTER_BYTES: usize = 4;

/// Digits of a decimal before the point and behind it, in MySQL.
pub(crate) const MYSQL_DIGITS: [usize; 2] = [35, 30];

/// The table that holds the rows of one version.
pub(crate) fn physical_table(id: &VersionId, table: &Name) -> String {
    format!("{}__{table}__v{}g{}", id.projection, id.version, id.generation)
}

/// The name that applications query: a view on the live version.
pub(crate) fn stable_view(projection: &Name, table: &Name) -> String {
    format!("{projection}_{table}")
}

/// Refuses a name that the database would cut, or not take at all.
pub(crate) fn expect_length(dialect: Dialect, projection: &Name, name: &str) -> Result<(), Error> {
    let most = dialect.pick(usize::MAX, 63, 64 - SUFFIX);
    if name.len() <= most {
        return Ok(());
    }
    Err(Error::NameTooLong { projection: projection.clone(), name: name.to_owned(), most })
}

/// Room for what is put behind the names of views while they are switched.
const SUFFIX: usize = 3;

/// The statement that makes the table.
pub(crate) fn create_table(dialect: Dialect, flavour: Flavour, id: &VersionId, table: &TableDefinition) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            let of_type = sql_type(dialect, column.of_type, indexed_length(table, &column.name));
            format!("{} {of_type}{null}", quote(column.name.as_str()))
        })
        .collect();
    let key = names(table.key().iter().map(|column| &column.name));
    let physical = quote(&physical_table(id, &table.name));
    let options = match dialect {
        Dialect::Sqlite => " STRICT, WITHOUT ROWID".to_owned(),
        // Room on each page for rows that are written again: their index entries stay as they are.
        Dialect::Postgres => " WITH (fillfactor = 85)".to_owned(),
        Dialect::MySql => {
            let collation = flavour.exact_collation();
            format!(" ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}")
        }
    };
    format!("CREATE TABLE {physical} ({}, PRIMARY KEY ({key})){options}", columns.join(", "))
}

/// How many characters, or bytes, MySQL can take in `column` of `table`, if that stands in its key
/// or an index: all columns of an index share what an index may hold.
pub(crate) fn indexed_length(table: &TableDefinition, column: &Name) -> Option<usize> {
    let in_key = table.key().iter().any(|key| key.name == *column);
    let is_indexed = in_key || table.indexes.iter().flatten().any(|name| name == column);
    let widest = table.indexes.iter().map(Vec::len).chain([table.key_columns]).max().unwrap_or(1);
    is_indexed.then_some(MYSQL_KEY_BYTES / MYSQL_CHARACTER_BYTES / widest.max(1))
}

/// Statements that make those of the table's indexes that are missing.
pub(crate) fn create_indexes(dialect: Dialect, id: &VersionId, table: &TableDefinition) -> Vec<Index> {
    let physical = physical_table(id, &table.name);
    let if_missing = if dialect.has_index_if_not_exists() { "IF NOT EXISTS " } else { "" };
    let create = |(number, index): (usize, &Vec<Name>)| {
        let name = index_name(&physical, number);
        let (quoted, of) = (quote(&name), quote(&physical));
        Index { statement: format!("CREATE INDEX {if_missing}{quoted} ON {of} ({})", names(index.iter())), name }
    };
    table.indexes.iter().enumerate().map(create).collect()
}

/// An index that is made once.
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) statement: String,
}

pub(crate) fn index_name(physical: &str, number: usize) -> String {
    format!("{physical}__i{}", number + 1)
}

/// A view that shows a table.
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) physical: String,
}

impl View {
    /// The stable name of `table`, showing `id`.
    pub(crate) fn stable(id: &VersionId, table: &Name) -> Self {
        Self { name: stable_view(&id.projection, table), physical: physical_table(id, table) }
    }

    pub(crate) fn create(&self) -> String {
        Self::create_named(&quote(&self.name), &self.physical)
    }

    /// The same under another name, which is quoted already.
    pub(crate) fn create_named(name: &str, physical: &str) -> String {
        format!("CREATE VIEW {name} AS SELECT * FROM {}", quote(physical))
    }
}

/// The name of its own under which a build of the past is read.
pub(crate) fn as_of_view(id: &VersionId, table: &Name, position: Position) -> View {
    let name = format!("{}__as_of_{position}__v{}g{}", stable_view(&id.projection, table), id.version, id.generation);
    View { name, physical: physical_table(id, table) }
}

/// Column names, quoted, with commas between.
pub(crate) fn names<'a>(columns: impl Iterator<Item = &'a Name>) -> String {
    columns.map(|name| quote(name.as_str())).collect::<Vec<_>>().join(", ")
}

/// `indexed` is how long values may be in a column that stands in a key or an index.
fn sql_type(dialect: Dialect, of_type: ColumnType, indexed: Option<usize>) -> String {
    let of_mysql = |long: &str, short: &str| match indexed {
        Some(length) => format!("{short}({length})"),
        None => long.to_owned(),
    };
    let plain = |sqlite: &str, postgres: &str, mysql: &str| dialect.pick(sqlite, postgres, mysql).to_owned();
    match of_type {
        ColumnType::Boolean => plain("INTEGER", "boolean", "BOOLEAN"),
        ColumnType::Integer => plain("INTEGER", "bigint", "BIGINT"),
        ColumnType::Timestamp => plain("INTEGER", "timestamptz", "DATETIME(6)"),
        ColumnType::Float => plain("REAL", "double precision", "DOUBLE"),
        ColumnType::Decimal => {
            let [before, behind] = MYSQL_DIGITS;
            plain("TEXT", "numeric", &format!("DECIMAL({},{behind})", before + behind))
        }
        // Kept as it was written, which `jsonb` and the JSON of MySQL do not.
        ColumnType::Json => plain("TEXT", "json", "LONGTEXT"),
        ColumnType::Text => {
            let exact = if indexed.is_some() { "text COLLATE \"C\"" } else { "text" };
            plain("TEXT", exact, &of_mysql("LONGTEXT", "VARCHAR"))
        }
        ColumnType::Bytes => plain("BLOB", "bytea", &of_mysql("LONGBLOB", "VARBINARY")),
        ColumnType::Uuid => plain("BLOB", "uuid", "BINARY(16)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_a_database_would_cut() {
        let projection = "orders".parse::<Name>().expect("a name");
        for (dialect, most) in [(Dialect::Postgres, 63), (Dialect::MySql, 61)] {
            expect_length(dialect, &projection, &"n".repeat(most)).expect("as long as may be");
            let fault = expect_length(dialect, &projection, &"n".repeat(most + 1)).expect_err("too long");
            assert!(matches!(fault, Error::NameTooLong { most: told, .. } if told == most), "{fault}");
        }
        expect_length(Dialect::Sqlite, &projection, &"n".repeat(1_000)).expect("SQLite has no limit");
    }
}
