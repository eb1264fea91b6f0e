//! The types that a field of a row can have, and how columns of them are carried.

use crate::error::{Error, Result};
use crate::wire;

/// What a column is in the database.
pub use crate::wire::ColumnType;

/// How values are carried across the boundary: as numbers, texts or bytes, each in
/// a list of their own.
pub trait Carrier: 'static {
    /// One value, borrowed from its list.
    type Cell<'a>;
    /// The list.
    #[doc(hidden)]
    type List;
    /// What stands in the list for a null.
    #[doc(hidden)]
    const NULL: Self::Cell<'static>;
    #[doc(hidden)]
    fn list(capacity: usize) -> Self::List;
    #[doc(hidden)]
    fn push(list: &mut Self::List, cell: Self::Cell<'_>);
    #[doc(hidden)]
    fn get(list: &Self::List, row: usize) -> Self::Cell<'_>;
    #[doc(hidden)]
    fn close(list: Self::List) -> wire::Cells;
    #[doc(hidden)]
    fn open(cells: wire::Cells) -> Option<Self::List>;
}

/// The carriers.
pub mod carrier {
    use super::{Carrier, wire};
    use wire::Cells;

    /// Carries `bool`.
    pub enum Booleans {}
    /// Carries `i64`.
    pub enum Integers {}
    /// Carries `f64`.
    pub enum Floats {}
    /// Carries `&str`.
    pub enum Texts {}
    /// Carries `&[u8]`.
    pub enum Blobs {}

    macro_rules! numbers {
        ($($carrier:ident, $cell:ty, $item:ty, $null:expr, $to:expr, $of:expr;)+) => {$(
            impl Carrier for $carrier {
                type Cell<'a> = $cell;
                type List = Vec<$item>;
                const NULL: $cell = $null;

                fn list(capacity: usize) -> Self::List {
                    Vec::with_capacity(capacity)
                }

                fn push(list: &mut Self::List, cell: $cell) {
                    list.push($to(cell));
                }

                fn get(list: &Self::List, row: usize) -> $cell {
                    $of(list[row])
                }

                fn close(list: Self::List) -> Cells {
                    Cells::$carrier(list)
                }

                fn open(cells: Cells) -> Option<Self::List> {
                    match cells {
                        Cells::$carrier(list) => Some(list),
                        _ => None,
                    }
                }
            }
        )+};
    }

    numbers! {
        Booleans, bool, u8, false, u8::from, |item| item != 0;
        Integers, i64, i64, 0, std::convert::identity, std::convert::identity;
        Floats, f64, f64, 0.0, std::convert::identity, std::convert::identity;
    }

    impl Carrier for Texts {
        type Cell<'a> = &'a str;
        type List = wire::Texts;
        const NULL: &'static str = "";

        fn list(capacity: usize) -> wire::Texts {
            // A guess at the length of a text, to begin with.
            wire::Texts::with_capacity(capacity, capacity * 12)
        }

        fn push(list: &mut wire::Texts, cell: &str) {
            list.push(cell);
        }

        fn get(list: &wire::Texts, row: usize) -> &str {
            list.get(row)
        }

        fn close(list: wire::Texts) -> Cells {
            Cells::Texts(list)
        }

        fn open(cells: Cells) -> Option<wire::Texts> {
            match cells {
                Cells::Texts(list) => Some(list),
                _ => None,
            }
        }
    }

    impl Carrier for Blobs {
        type Cell<'a> = &'a [u8];
        type List = wire::Blobs;
        const NULL: &'static [u8] = &[];

        fn list(capacity: usize) -> wire::Blobs {
            wire::Blobs { joined: Vec::with_capacity(capacity * 16), ends: Vec::with_capacity(capacity) }
        }

        fn push(list: &mut wire::Blobs, cell: &[u8]) {
            list.push(cell);
        }

        fn get(list: &wire::Blobs, row: usize) -> &[u8] {
            list.get(row)
        }

        fn close(list: wire::Blobs) -> Cells {
            Cells::Blobs(list)
        }

        fn open(cells: Cells) -> Option<wire::Blobs> {
            match cells {
                Cells::Blobs(list) => Some(list),
                _ => None,
            }
        }
    }
}

/// The cell of a type: what one value of it is carried as.
pub type Cell<'a, T> = <<T as Scalar>::Carrier as Carrier>::Cell<'a>;

/// A type of values that a column can hold.
///
/// Implement it for a type of your own to use that in a row, for example for an id:
///
/// ```
/// # use fantascope_sdk::prelude::*;
/// use fantascope_sdk::column::{ColumnType, Scalar, carrier};
///
/// struct Sku(String);
///
/// impl Scalar for Sku {
///     type Carrier = carrier::Texts;
///     const TYPE: ColumnType = ColumnType::Text;
///     fn to_cell(&self) -> &str {
///         &self.0
///     }
///     fn of_cell(cell: &str) -> Result<Self> {
///         Ok(Self(cell.to_owned()))
///     }
/// }
/// ```
///
/// For an enum whose variants are texts, derive [`TextEnum`](crate::TextEnum).
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a column",
    label = "no column type",
    note = "columns are bool, i8…i64, u8, u16, u32, f64, String, and Bytes, Decimal, Json, Timestamp, Uuid of the SDK, and `Option` of these for what may be absent",
    note = "an enum becomes a text column with `#[derive(TextEnum)]`; another type of your own with `impl Scalar`"
)]
pub trait Scalar: Sized + 'static {
    /// What its values are carried as.
    type Carrier: Carrier;
    /// What the column is in the database. Its carrier must be the one that this
    /// type is carried by.
    const TYPE: ColumnType;

    /// The value as it is carried.
    fn to_cell(&self) -> Cell<'_, Self>;

    /// The value of a cell.
    ///
    /// # Errors
    /// When no value is carried so; the cell may come from an older build.
    fn of_cell(cell: Cell<'_, Self>) -> Result<Self>;
}

/// A type that a field of a row can have: any [`Scalar`], or an `Option` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a column",
    label = "no column type",
    note = "columns are bool, i8…i64, u8, u16, u32, f64, String, and Bytes, Decimal, Json, Timestamp, Uuid of the SDK, and `Option` of these for what may be absent",
    note = "an enum becomes a text column with `#[derive(TextEnum)]`; another type of your own with `impl Scalar`"
)]
pub trait Column: Sized + 'static {
    /// The type of what is there.
    type Scalar: Scalar;
    /// Whether a row may have none.
    const NULLABLE: bool;

    /// What is there.
    fn value(&self) -> Option<&Self::Scalar>;

    /// The field of what is there; none if it can't be absent.
    fn of_value(value: Option<Self::Scalar>) -> Option<Self>;
}

impl<T: Scalar> Column for T {
    type Scalar = T;
    const NULLABLE: bool = false;

    fn value(&self) -> Option<&T> {
        Some(self)
    }

    fn of_value(value: Option<T>) -> Option<T> {
        value
    }
}

impl<T: Scalar> Column for Option<T> {
    type Scalar = T;
    const NULLABLE: bool = true;

    fn value(&self) -> Option<&T> {
        self.as_ref()
    }

    fn of_value(value: Option<T>) -> Option<Self> {
        Some(value)
    }
}

/// A type that a `#[key]` can have: a [`Scalar`] of which two values are equal in
/// the database when they are equal here.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a key column",
    label = "no type for a key",
    note = "keys are String, bool, i8…i64, u8, u16, u32, Bytes, Timestamp, Uuid, enums with `#[derive(TextEnum)]`; never a float, a decimal, json or an `Option`"
)]
pub trait KeyColumn: Scalar {
    /// How the id of an aggregate becomes a key, for keys that are just that.
    #[doc(hidden)]
    const OF_AGGREGATE_ID: Option<fn(&str) -> Self> = None;

    /// Whether this is the key that `OF_AGGREGATE_ID` makes of an id.
    #[doc(hidden)]
    fn is_aggregate_id(&self, _id: &str) -> bool {
        false
    }
}

/// One column over several rows, as it crosses the boundary.
#[doc(hidden)]
pub fn write<'a, C: Column>(values: impl ExactSizeIterator<Item = &'a C>) -> wire::Column {
    type CarrierOf<C> = <<C as Column>::Scalar as Scalar>::Carrier;
    let mut list = CarrierOf::<C>::list(values.len());
    let mut nulls = Vec::with_capacity(if C::NULLABLE { values.len() } else { 0 });
    let mut any_null = false;
    for value in values {
        match value.value() {
            Some(value) => CarrierOf::<C>::push(&mut list, value.to_cell()),
            None => {
                CarrierOf::<C>::push(&mut list, CarrierOf::<C>::NULL);
                any_null = true;
            }
        }
        if C::NULLABLE {
            nulls.push(u8::from(value.value().is_none()));
        }
    }
    if !any_null {
        nulls = Vec::new();
    }
    wire::Column { nulls, cells: CarrierOf::<C>::close(list) }
}

/// Reads a column that came across the boundary: gives the value of row after row.
///
/// # Panics
/// When the host sent none, or one of another type: its fault, not the plugin's.
#[doc(hidden)]
pub fn read<C: Column>(name: &'static str, column: Option<wire::Column>) -> impl FnMut() -> Result<C> {
    type CarrierOf<C> = <<C as Column>::Scalar as Scalar>::Carrier;
    let (nulls, list) = match column {
        Some(column) => (column.nulls, CarrierOf::<C>::open(column.cells)),
        None => (Vec::new(), None),
    };
    let Some(list) = list else {
        panic!("the host sent no column `{name}`, or one of another type");
    };
    let mut rows = 0..;
    move || {
        let row = rows.next().unwrap_or_default();
        let value = if nulls.get(row).is_some_and(|null| *null != 0) {
            None
        } else {
            let value = C::Scalar::of_cell(CarrierOf::<C>::get(&list, row));
            Some(value.map_err(|error| unreadable(name, error.message()))?)
        };
        C::of_value(value).ok_or_else(|| unreadable(name, "it is null"))
    }
}

#[cold]
fn unreadable(column: &str, why: &str) -> Error {
    Error::new(format_args!("the stored column `{column}` can't be read: {why}"))
}
