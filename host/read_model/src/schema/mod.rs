//! Tables, indexes and views: which there are, how they are made, and what fits into a column.

pub(crate) mod ddl;
pub(crate) mod difference;
pub(crate) mod fits;
pub(crate) mod indexes;
pub(crate) mod views;
