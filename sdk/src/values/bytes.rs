use crate::column::{ColumnType, KeyColumn, Scalar, carrier};
use crate::error::Result;

/// Bytes: a column of type `bytes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Scalar for Bytes {
    type Carrier = carrier::Blobs;
    const TYPE: ColumnType = ColumnType::Bytes;

    fn to_cell(&self) -> &[u8] {
        &self.0
    }

    fn of_cell(cell: &[u8]) -> Result<Self> {
        Ok(cell.into())
    }
}

impl KeyColumn for Bytes {}
