//! The values of a column over several rows, checked against its type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

use super::{ColumnDefinition, ColumnType};
use crate::event::{Texts, Timestamp, end_of, ends_fit, span};

/// Byte strings, end to end; number `i` is `joined[ends[i - 1]..ends[i]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blobs {
    /// All byte strings, one after the other.
    pub joined: Vec<u8>,
    /// Where each one ends.
    pub ends: Vec<u32>,
}

impl Blobs {
    /// The byte string in row `row`.
    #[must_use]
    pub fn get(&self, row: usize) -> &[u8] {
        &self.joined[span(&self.ends, row)]
    }

    /// Adds a byte string.
    pub fn push(&mut self, bytes: &[u8]) {
        self.joined.extend_from_slice(bytes);
        self.ends.push(end_of(self.joined.len()));
    }
}

/// Values by how they are carried.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    Booleans(Vec<u8>),
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Texts),
    Blobs(Blobs),
}

/// The values of one column. `nulls` is empty if no row is null.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// 1 for a row that is null, 0 for one that is not.
    pub nulls: Vec<u8>,
    /// One value per row; what a null row holds is ignored.
    pub cells: Cells,
}

/// How a column breaks its promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: {reason}")]
pub struct Malformed {
    pub column: String,
    pub reason: String,
}

impl Column {
    /// No rows yet, in the cells that `of_type` is carried in.
    #[must_use]
    pub fn empty(of_type: ColumnType) -> Self {
        let cells = match of_type {
            ColumnType::Boolean => Cells::Booleans(Vec::new()),
            ColumnType::Integer | ColumnType::Timestamp => Cells::Integers(Vec::new()),
            ColumnType::Float => Cells::Floats(Vec::new()),
            ColumnType::Decimal | ColumnType::Text | ColumnType::Json => Cells::Texts(Texts::default()),
            ColumnType::Bytes | ColumnType::Uuid => Cells::Blobs(Blobs::default()),
        };
        Self { nulls: Vec::new(), cells }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.cells {
            Cells::Booleans(values) => values.len(),
            Cells::Integers(values) => values.len(),
            Cells::Floats(values) => values.len(),
            Cells::Texts(texts) => texts.len(),
            Cells::Blobs(blobs) => blobs.ends.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether row `row` is null.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.get(row).is_some_and(|&null| null != 0)
    }

    /// Roughly how much memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.nulls.len()
            + match &self.cells {
                Cells::Booleans(values) => values.len(),
                Cells::Integers(values) => values.len() * 8,
                Cells::Floats(values) => values.len() * 8,
                Cells::Texts(texts) => texts.joined.len() + texts.ends.len() * 4,
                Cells::Blobs(blobs) => blobs.joined.len() + blobs.ends.len() * 4,
            }
    }

    /// Roughly how many bytes row `row` takes.
    #[must_use]
    pub fn cell_bytes(&self, row: usize) -> usize {
        match &self.cells {
            _ if self.is_null(row) => 0,
            Cells::Booleans(_) => 1,
            Cells::Integers(_) | Cells::Floats(_) => 8,
            Cells::Texts(texts) => texts.get(row).len(),
            Cells::Blobs(blobs) => blobs.get(row).len(),
        }
    }

    /// Adds a null row.
    pub fn push_null(&mut self) {
        self.nulls.resize(self.len(), 0);
        self.nulls.push(1);
        match &mut self.cells {
            Cells::Booleans(values) => values.push(0),
            Cells::Integers(values) => values.push(0),
            Cells::Floats(values) => values.push(0.0),
            Cells::Texts(texts) => texts.push(""),
            Cells::Blobs(blobs) => blobs.push(&[]),
        }
    }

    /// Adds row `row` of `other`, which must hold cells of the same kind.
    pub fn push_from(&mut self, other: &Self, row: usize) {
        if other.is_null(row) {
            return self.push_null();
        }
        if !self.nulls.is_empty() {
            self.nulls.push(0);
        }
        match (&mut self.cells, &other.cells) {
            (Cells::Booleans(to), Cells::Booleans(from)) => to.push(from[row]),
            (Cells::Integers(to), Cells::Integers(from)) => to.push(from[row]),
            (Cells::Floats(to), Cells::Floats(from)) => to.push(from[row]),
            (Cells::Texts(to), Cells::Texts(from)) => to.push(from.get(row)),
            (Cells::Blobs(to), Cells::Blobs(from)) => to.push(from.get(row)),
            _ => unreachable!("columns of one table are checked to be of its types"),
        }
    }

    /// Whether row `row` equals row `other_row` of `other`; null equals null.
    #[must_use]
    pub fn same_at(&self, row: usize, other: &Self, other_row: usize) -> bool {
        match (self.is_null(row), other.is_null(other_row)) {
            (true, true) => return true,
            (false, false) => {}
            _ => return false,
        }
        match (&self.cells, &other.cells) {
            (Cells::Booleans(left), Cells::Booleans(right)) => left[row] == right[other_row],
            (Cells::Integers(left), Cells::Integers(right)) => left[row] == right[other_row],
            (Cells::Floats(left), Cells::Floats(right)) => left[row].to_bits() == right[other_row].to_bits(),
            (Cells::Texts(left), Cells::Texts(right)) => left.get(row) == right.get(other_row),
            (Cells::Blobs(left), Cells::Blobs(right)) => left.get(row) == right.get(other_row),
            _ => false,
        }
    }

    /// Whether this column holds `rows` proper values for `definition`.
    ///
    /// # Errors
    /// The first promise that it breaks, with the name of the column.
    pub fn check(&self, definition: &ColumnDefinition, rows: usize) -> Result<(), Malformed> {
        self.fault(definition, rows)
            .map_or(Ok(()), |reason| Err(Malformed { column: definition.name.to_string(), reason }))
    }

    fn fault(&self, definition: &ColumnDefinition, rows: usize) -> Option<String> {
        if std::mem::discriminant(&self.cells) != std::mem::discriminant(&Self::empty(definition.of_type).cells) {
            return Some(format!("the cells are not those of type {}", definition.of_type));
        }
        match &self.cells {
            Cells::Texts(texts) if !texts.is_well_formed() => return Some("the ends do not fit the text".to_owned()),
            Cells::Blobs(blobs) if !ends_fit(&blobs.ends, blobs.joined.len()) => {
                return Some("the ends do not fit the bytes".to_owned());
            }
            _ => {}
        }
        if self.len() != rows {
            return Some(format!("{} values for {rows} rows", self.len()));
        }
        if !self.nulls.is_empty() && self.nulls.len() != rows {
            return Some(format!("{} null marks for {rows} rows", self.nulls.len()));
        }
        if !definition.nullable
            && let Some(row) = self.nulls.iter().position(|&null| null != 0)
        {
            return Some(format!("row {row} is null, but the column is not nullable"));
        }
        let bad = (0..rows).find(|&row| !self.is_null(row) && !self.value_fits(definition.of_type, row))?;
        Some(format!("the value of row {bad} is not a {}", definition.of_type))
    }

    fn value_fits(&self, of_type: ColumnType, row: usize) -> bool {
        match (of_type, &self.cells) {
            (ColumnType::Boolean, Cells::Booleans(values)) => values[row] <= 1,
            (ColumnType::Float, Cells::Floats(values)) => values[row].is_finite(),
            (ColumnType::Text, Cells::Texts(texts)) => !texts.get(row).contains('\0'),
            (ColumnType::Decimal, Cells::Texts(texts)) => is_decimal(texts.get(row)),
            (ColumnType::Json, Cells::Texts(texts)) => {
                serde_json::from_str::<serde::de::IgnoredAny>(texts.get(row)).is_ok()
            }
            (ColumnType::Uuid, Cells::Blobs(blobs)) => blobs.get(row).len() == 16,
            _ => true,
        }
    }

    /// Row `row` as JSON: decimals, times and UUIDs as texts, bytes as base64.
    #[must_use]
    pub fn to_json(&self, of_type: ColumnType, row: usize) -> serde_json::Value {
        use serde_json::Value;
        if self.is_null(row) {
            return Value::Null;
        }
        match (&self.cells, of_type) {
            (Cells::Booleans(values), _) => Value::Bool(values[row] != 0),
            (Cells::Integers(values), ColumnType::Timestamp) => Value::String(Timestamp(values[row]).to_string()),
            (Cells::Integers(values), _) => values[row].into(),
            (Cells::Floats(values), _) => values[row].into(),
            (Cells::Texts(texts), ColumnType::Json) => {
                serde_json::from_str(texts.get(row)).unwrap_or_else(|_| texts.get(row).into())
            }
            (Cells::Texts(texts), _) => texts.get(row).into(),
            (Cells::Blobs(blobs), ColumnType::Uuid) => {
                Uuid::from_slice(blobs.get(row)).map_or(Value::Null, |id| Value::String(id.hyphenated().to_string()))
            }
            (Cells::Blobs(blobs), _) => Value::String(BASE64.encode(blobs.get(row))),
        }
    }
}

/// Whether `text` is a decimal: digits with an optional sign and an optional point, at most 38 digits.
#[must_use]
pub fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && whole.len() + fraction.len() <= 39
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(of_type: ColumnType, nullable: bool) -> ColumnDefinition {
        ColumnDefinition { name: "c".parse().expect("a name"), of_type, nullable }
    }

    fn texts(values: &[&str]) -> Column {
        Column { nulls: Vec::new(), cells: Cells::Texts(values.iter().copied().collect()) }
    }

    #[test]
    fn names_what_a_lying_guest_got_wrong() {
        let check = |column: &Column, of_type, rows, expected: &str| {
            let fault = column.check(&definition(of_type, false), rows).expect_err(expected);
            assert!(fault.reason.contains(expected), "{fault} should say {expected}");
        };
        check(&texts(&["a"]), ColumnType::Text, 2, "1 values for 2 rows");
        check(&texts(&["a"]), ColumnType::Integer, 1, "not those of type integer");
        check(&texts(&["12,5"]), ColumnType::Decimal, 1, "not a decimal");
        check(&texts(&["{"]), ColumnType::Json, 1, "not a json");
        check(&texts(&["a\0b"]), ColumnType::Text, 1, "not a text");
        let beyond = Column { nulls: vec![], cells: Cells::Texts(Texts { joined: "ab".into(), ends: vec![3] }) };
        check(&beyond, ColumnType::Text, 1, "ends do not fit");
        let inside = Column { nulls: vec![], cells: Cells::Texts(Texts { joined: "é".into(), ends: vec![1, 2] }) };
        check(&inside, ColumnType::Text, 2, "ends do not fit");
        let null = Column { nulls: vec![1], cells: Cells::Integers(vec![0]) };
        check(&null, ColumnType::Integer, 1, "not nullable");
        for value in [f64::NAN, f64::INFINITY] {
            check(&Column { nulls: vec![], cells: Cells::Floats(vec![value]) }, ColumnType::Float, 1, "not a float");
        }
        check(&Column { nulls: vec![], cells: Cells::Booleans(vec![2]) }, ColumnType::Boolean, 1, "not a boolean");
        let short = Column { nulls: vec![], cells: Cells::Blobs(Blobs { joined: vec![1], ends: vec![1] }) };
        check(&short, ColumnType::Uuid, 1, "not a uuid");
    }

    #[test]
    fn gathers_rows_with_their_nulls() {
        let mut source = Column::empty(ColumnType::Text);
        source.push_null();
        source.push_from(&texts(&["b"]), 0);
        let mut gathered = Column::empty(ColumnType::Text);
        gathered.push_from(&source, 1);
        gathered.push_from(&source, 0);
        assert_eq!(gathered.nulls, [0, 1]);
        assert!(gathered.same_at(0, &source, 1) && gathered.same_at(1, &source, 0));
        assert!(gathered.check(&definition(ColumnType::Text, true), 2).is_ok());
    }

    #[test]
    fn accepts_decimals_of_38_digits() {
        for good in ["0", "-12.50", "+1", "12345678901234567890123456789012345678"] {
            assert!(is_decimal(good), "{good}");
        }
        for bad in ["", "-", ".5", "5.", "1e3", "123456789012345678901234567890123456789"] {
            assert!(!is_decimal(bad), "{bad}");
        }
    }
}
