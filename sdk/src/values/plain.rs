//! Rust's own types as columns.

use crate::column::{ColumnType, KeyColumn, Scalar, carrier};
use crate::error::{Error, Result};

impl Scalar for bool {
    type Carrier = carrier::Booleans;
    const TYPE: ColumnType = ColumnType::Boolean;

    fn to_cell(&self) -> bool {
        *self
    }

    fn of_cell(cell: bool) -> Result<Self> {
        Ok(cell)
    }
}

impl KeyColumn for bool {}

impl Scalar for i64 {
    type Carrier = carrier::Integers;
    const TYPE: ColumnType = ColumnType::Integer;

    fn to_cell(&self) -> i64 {
        *self
    }

    fn of_cell(cell: i64) -> Result<Self> {
        Ok(cell)
    }
}

impl KeyColumn for i64 {}

macro_rules! smaller_integers {
    ($($type:ident)+) => {$(
        impl Scalar for $type {
            type Carrier = carrier::Integers;
            const TYPE: ColumnType = ColumnType::Integer;

            fn to_cell(&self) -> i64 {
                i64::from(*self)
            }

            fn of_cell(cell: i64) -> Result<Self> {
                cell.try_into().map_err(|_| {
                    Error::new(format_args!("{cell} is out of the range of {}", stringify!($type)))
                })
            }
        }

        impl KeyColumn for $type {}
    )+};
}

smaller_integers!(i8 i16 i32 u8 u16 u32);

impl Scalar for f64 {
    type Carrier = carrier::Floats;
    const TYPE: ColumnType = ColumnType::Float;

    fn to_cell(&self) -> f64 {
        *self
    }

    fn of_cell(cell: f64) -> Result<Self> {
        Ok(cell)
    }
}

impl Scalar for String {
    type Carrier = carrier::Texts;
    const TYPE: ColumnType = ColumnType::Text;

    fn to_cell(&self) -> &str {
        self
    }

    fn of_cell(cell: &str) -> Result<Self> {
        Ok(cell.to_owned())
    }
}

impl KeyColumn for String {
    const OF_AGGREGATE_ID: Option<fn(&str) -> Self> = Some(|id| id.to_owned());

    fn is_aggregate_id(&self, id: &str) -> bool {
        self == id
    }
}
