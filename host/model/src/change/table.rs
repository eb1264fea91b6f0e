//! A table of a read model, as a projection declares it.

use serde::{Deserialize, Serialize};

use super::Name;

/// The logical type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    Boolean,
    Integer,
    Float,
    Decimal,
    Text,
    Bytes,
    Json,
    Timestamp,
    Uuid,
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Decimal => "decimal",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Json => "json",
            Self::Timestamp => "timestamp",
            Self::Uuid => "uuid",
        })
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    pub name: Name,
    #[serde(rename = "type")]
    pub of_type: ColumnType,
    pub nullable: bool,
}

/// A table: the key columns first, in the order of the key, then the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDefinition {
    pub name: Name,
    pub columns: Vec<ColumnDefinition>,
    /// How many of the columns are the key.
    pub key_columns: usize,
    /// Whether the key is always the id of the aggregate whose event is applied.
    pub keyed_by_aggregate: bool,
    pub indexes: Vec<Vec<Name>>,
}

impl TableDefinition {
    /// The columns of the primary key.
    #[must_use]
    pub fn key(&self) -> &[ColumnDefinition] {
        &self.columns[..self.key_columns]
    }

    /// The columns behind the key.
    #[must_use]
    pub fn values(&self) -> &[ColumnDefinition] {
        &self.columns[self.key_columns..]
    }

    /// Whether the table can be made, in every database.
    ///
    /// # Errors
    /// The first thing that is wrong with it, for people.
    pub fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if self.key_columns == 0 || self.key_columns > self.columns.len() {
            return Err(format!("table `{name}` needs a primary key of at least one of its columns"));
        }
        for (number, column) in self.columns.iter().enumerate() {
            if self.columns[..number].iter().any(|other| other.name == column.name) {
                return Err(format!("table `{name}` has two columns named `{}`", column.name));
            }
        }
        for column in self.key() {
            if column.nullable {
                return Err(format!("table `{name}`: key column `{}` must not be nullable", column.name));
            }
            if matches!(column.of_type, ColumnType::Float | ColumnType::Decimal | ColumnType::Json) {
                return Err(format!(
                    "table `{name}`: key column `{}` must not be of type {}",
                    column.name, column.of_type
                ));
            }
        }
        if self.keyed_by_aggregate && (self.key_columns != 1 || self.columns[0].of_type != ColumnType::Text) {
            return Err(format!("table `{name}` is keyed by the aggregate's id, so its key must be one text column"));
        }
        for index in &self.indexes {
            if index.is_empty() {
                return Err(format!("table `{name}` has an index without columns"));
            }
            for column in index {
                if !self.columns.iter().any(|known| known.name == *column) {
                    return Err(format!("table `{name}` has an index on `{column}`, which is none of its columns"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TableDefinition {
        let column =
            |name: &str, of_type| ColumnDefinition { name: name.parse().expect("a name"), of_type, nullable: false };
        TableDefinition {
            name: "orders".parse().expect("a name"),
            columns: vec![column("id", ColumnType::Text), column("total", ColumnType::Float)],
            key_columns: 1,
            keyed_by_aggregate: true,
            indexes: vec![],
        }
    }

    #[test]
    fn says_what_no_database_could_make() {
        let check = |change: &dyn Fn(&mut TableDefinition), expected: &str| {
            let mut table = table();
            change(&mut table);
            let fault = table.check().expect_err(expected);
            assert!(fault.contains(expected), "{fault} should say {expected}");
        };
        assert_eq!(table().check(), Ok(()));
        check(&|table| table.key_columns = 0, "needs a primary key");
        check(&|table| table.key_columns = 3, "needs a primary key");
        check(&|table| table.key_columns = 2, "must not be of type float");
        check(&|table| table.columns[0].nullable = true, "must not be nullable");
        check(&|table| table.columns[1].name = table.columns[0].name.clone(), "two columns named `id`");
        check(&|table| table.columns[0].of_type = ColumnType::Integer, "must be one text column");
        check(&|table| table.indexes = vec![vec![]], "index without columns");
        check(&|table| table.indexes = vec![vec!["nope".parse().expect("a name")]], "which is none of its columns");
    }
}
