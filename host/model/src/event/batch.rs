//! Events as columns: the form in which they are read, upcast, routed and folded.

use std::sync::Arc;

use uuid::Uuid;

use super::Position;

/// A type of event in one version of its schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType {
    /// For example `OrderPlaced`.
    pub name: Arc<str>,
    /// Schema version, from 1.
    pub version: u32,
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{}", self.name, self.version)
    }
}

/// A column of texts, end to end; text `i` is `joined[ends[i - 1]..ends[i]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// All texts, one after the other.
    pub joined: String,
    /// Where each text ends, in bytes.
    pub ends: Vec<u32>,
}

impl Texts {
    /// How many texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text in row `row`.
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn get(&self, row: usize) -> &str {
        &self.joined[span(&self.ends, row)]
    }

    /// Adds a text.
    pub fn push(&mut self, text: &str) {
        self.joined.push_str(text);
        self.ends.push(end_of(self.joined.len()));
    }

    /// All texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Whether `ends` fits `joined`: never decreasing, within it, on characters.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        ends_fit(&self.ends, self.joined.len())
            && self.ends.iter().all(|&end| self.joined.is_char_boundary(end as usize))
    }

    /// The texts of `rows`, in that order.
    #[must_use]
    pub fn gather(&self, rows: &[u32]) -> Self {
        let mut gathered = Self { joined: String::new(), ends: Vec::with_capacity(rows.len()) };
        for &row in rows {
            gathered.push(self.get(row as usize));
        }
        gathered
    }
}

impl<'a> FromIterator<&'a str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut column = Self::default();
        texts.into_iter().for_each(|text| column.push(text));
        column
    }
}

/// The range of row `row` in a column whose items end at `ends`.
#[must_use]
pub fn span(ends: &[u32], row: usize) -> std::ops::Range<usize> {
    let start = if row == 0 { 0 } else { ends[row - 1] as usize };
    start..ends[row] as usize
}

/// Whether `ends` never decreases and its last item is `length`.
#[must_use]
pub fn ends_fit(ends: &[u32], length: usize) -> bool {
    ends.is_sorted() && ends.last().map_or(0, |&end| end as usize) == length
}

/// The end of a column of `length` bytes, as it is stored.
///
/// # Panics
/// If the column exceeds 4 GiB, which the bounds on batches and answers exclude.
#[must_use]
pub fn end_of(length: usize) -> u32 {
    u32::try_from(length).expect("a column is bounded well below 4 GiB")
}

/// The number of a row, an entry of a dictionary or the like, as it is stored.
///
/// # Panics
/// If it is beyond 2^32, which the bounds on batches and answers exclude.
#[must_use]
pub fn number_of(row: usize) -> u32 {
    u32::try_from(row).expect("a batch is bounded well below 2^32 rows")
}

/// A batch of events. Every list has one item per event, but for the dictionaries
/// `types` and `aggregate_types`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Positions in the store; increasing, shared by events that were made of one.
    pub positions: Vec<u64>,
    /// 0, or the number of the event among those that an upcaster made of one.
    pub indexes: Vec<u32>,
    /// Event ids, 16 bytes each.
    pub ids: Vec<u8>,
    /// The types that occur.
    pub types: Vec<EventType>,
    /// Index into `types`.
    pub type_codes: Vec<u32>,
    /// The types of aggregate that occur.
    pub aggregate_types: Vec<String>,
    /// Index into `aggregate_types`.
    pub aggregate_type_codes: Vec<u32>,
    /// The aggregates.
    pub aggregate_ids: Texts,
    /// Versions of the aggregates, from 1.
    pub aggregate_versions: Vec<u64>,
    /// Microseconds since 1970.
    pub timestamps: Vec<i64>,
    /// Who did it; an empty text stands for none, here and in the next two.
    pub user_ids: Texts,
    /// What belongs together.
    pub correlation_ids: Texts,
    /// What caused it.
    pub causation_ids: Texts,
    /// JSON objects; an empty text stands for `{}`.
    pub metadata: Texts,
    /// JSON objects.
    pub data: Texts,
}

impl Batch {
    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The type of the event in row `row`.
    #[must_use]
    pub fn event_type(&self, row: usize) -> &EventType {
        &self.types[self.type_codes[row] as usize]
    }

    /// The id of the event in row `row`.
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn event_id(&self, row: usize) -> Uuid {
        let bytes: [u8; 16] = self.ids[row * 16..row * 16 + 16].try_into().expect("the range is 16 bytes long");
        Uuid::from_bytes(bytes)
    }

    /// The position of the event in row `row`.
    #[must_use]
    pub fn position(&self, row: usize) -> Position {
        Position(self.positions[row])
    }

    /// Payload and metadata of all events, in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.data.joined.len() + self.metadata.joined.len()
    }

    /// The events of `rows`, in that order, with the whole dictionaries.
    #[must_use]
    pub fn gather(&self, rows: &[u32]) -> Self {
        let mut ids = Vec::with_capacity(rows.len() * 16);
        for &row in rows {
            ids.extend_from_slice(&self.ids[row as usize * 16..row as usize * 16 + 16]);
        }
        Self {
            positions: pick(&self.positions, rows),
            indexes: pick(&self.indexes, rows),
            ids,
            types: self.types.clone(),
            type_codes: pick(&self.type_codes, rows),
            aggregate_types: self.aggregate_types.clone(),
            aggregate_type_codes: pick(&self.aggregate_type_codes, rows),
            aggregate_ids: self.aggregate_ids.gather(rows),
            aggregate_versions: pick(&self.aggregate_versions, rows),
            timestamps: pick(&self.timestamps, rows),
            user_ids: self.user_ids.gather(rows),
            correlation_ids: self.correlation_ids.gather(rows),
            causation_ids: self.causation_ids.gather(rows),
            metadata: self.metadata.gather(rows),
            data: self.data.gather(rows),
        }
    }
}

fn pick<T: Copy>(column: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| column[row as usize]).collect()
}
