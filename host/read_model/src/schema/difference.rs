//! How tables of one version may not differ.

use model::change::{ColumnDefinition, TableDefinition};

/// What sets `declared` apart from `stored`, for people.
#[must_use]
pub fn difference(stored: &[TableDefinition], declared: &[TableDefinition]) -> Option<String> {
    let lacking = |some: &[TableDefinition], others: &[TableDefinition]| {
        some.iter().find(|table| !others.iter().any(|other| other.name == table.name)).map(|table| table.name.clone())
    };
    if let Some(gone) = lacking(stored, declared) {
        return Some(format!("table `{gone}` is gone"));
    }
    if let Some(new) = lacking(declared, stored) {
        return Some(format!("table `{new}` is new"));
    }
    for table in declared {
        let Some(old) = stored.iter().find(|old| old.name == table.name) else { continue };
        let name = &table.name;
        let changed = |column: &ColumnDefinition| !old.columns.contains(column);
        if let Some(column) = table.columns.iter().find(|column| changed(column)) {
            return Some(format!("column `{}` of table `{name}` is new or of another type", column.name));
        }
        if old != table {
            return Some(format!("table `{name}` has other columns, another key or other indexes"));
        }
    }
    (stored != declared).then(|| "the tables are in another order".to_owned())
}
