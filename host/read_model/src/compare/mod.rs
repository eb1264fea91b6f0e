//! Rows of two builds, compared.

pub(crate) mod pair;
pub(crate) mod snapshot;
