//! Rows in bulk: read and written in a few statements, as each database does it best.

pub(crate) mod cells;
mod mysql;
mod packed;
mod postgres;
mod sqlite;
mod statements;
mod table;

pub(crate) use table::{TableWriter, read};
