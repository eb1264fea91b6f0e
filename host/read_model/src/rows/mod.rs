//! Rows: written by commits, with the checkpoint in the same transaction; read by key and by query.

pub(crate) mod bulk;
pub(crate) mod commit;
pub(crate) mod merge;
pub(crate) mod query;
pub(crate) mod read;
pub(crate) mod refused;
