//! The table of the liar, and what is true of it.

use fantascope_sdk::__private::wire::{
    Blobs, Cells, Changes, Column, ColumnDefinition, ColumnType, Keying, Keys, TableDefinition, Texts,
};

/// A table with a column of every kind of cell. `label` alone may be null.
pub(crate) fn definition() -> TableDefinition {
    let column = |name: &str, of_type| ColumnDefinition { name: name.to_owned(), of_type, nullable: name == "label" };
    TableDefinition {
        name: "facts".to_owned(),
        columns: vec![
            column("id", ColumnType::Text),
            column("label", ColumnType::Text),
            column("number", ColumnType::Integer),
            column("ratio", ColumnType::Float),
            column("flag", ColumnType::Boolean),
            column("code", ColumnType::Uuid),
            column("note", ColumnType::Json),
            column("amount", ColumnType::Decimal),
        ],
        key_columns: 1,
        keyed_by: Keying::Own,
        indexes: Vec::new(),
    }
}

pub(crate) fn keys(positions: &[u64]) -> Keys {
    let ids: Vec<String> = positions.iter().map(|position| format!("fact-{position}")).collect();
    Keys { count: u32::try_from(ids.len()).unwrap_or(u32::MAX), columns: vec![column(texts(&ids))] }
}

pub(crate) fn changes(rows: usize) -> Changes {
    let same = |text: &str| column(texts(&vec![text.to_owned(); rows]));
    let code = Blobs { joined: vec![7; 16 * rows], ends: (1..).take(rows).map(|row| row * 16).collect() };
    Changes {
        operations: vec![1; rows],
        columns: vec![
            same("lämp"),
            column(Cells::Integers(vec![42; rows])),
            column(Cells::Floats(vec![0.5; rows])),
            column(Cells::Booleans(vec![1; rows])),
            column(Cells::Blobs(code)),
            same("{}"),
            same("12.50"),
        ],
    }
}

fn column(cells: Cells) -> Column {
    Column { nulls: Vec::new(), cells }
}

fn texts(texts: &[String]) -> Cells {
    let mut column = Texts { joined: String::new(), ends: Vec::new() };
    for text in texts {
        column.joined.push_str(text);
        column.ends.push(u32::try_from(column.joined.len()).unwrap_or(u32::MAX));
    }
    Cells::Texts(column)
}
