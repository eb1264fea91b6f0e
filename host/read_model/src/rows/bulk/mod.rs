//! Rows in bulk: read and written in a few statements, as each database does it best.

pub(super) mod cells;
mod mysql;
mod packed;
mod postgres;
mod sqlite;
mod statements;
mod table;

pub(super) use table::{TableWriter, read};
