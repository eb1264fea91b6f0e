//! Rows that were written a moment ago, and keys that were never written: what a
//! batch needs is mostly known without asking the database.
//!
//! The rows of batches that are not committed yet are always here, so a batch sees
//! what the one before it did while that is still being written.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::change::{Column, Keys, Operation};
use crate::read_model::TableChanges;

/// What is known of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known<'a> {
    /// It is this row of these columns.
    Row(&'a [Column], usize),
    /// There is none.
    Absent,
    /// The database must be asked.
    Unknown,
}

/// The recently written rows of one table.
#[derive(Debug)]
pub(super) struct Recent {
    table: usize,
    bytes_max: usize,
    bytes: usize,
    batches: VecDeque<Written>,
    /// The number of `batches[0]`.
    first: u64,
    index: HashTable<Place>,
    /// Keys that were written since the version was begun; none if it was begun earlier.
    written: Option<Filter>,
}

#[derive(Debug)]
struct Written {
    tables: Arc<Vec<TableChanges>>,
    bytes: usize,
}

/// Key number `key` of batch number `batch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    batch: u64,
    key: u32,
}

impl Recent {
    /// `filter_bytes`: for a version that is begun now, the memory to spend on knowing
    /// its keys.
    pub(super) fn new(table: usize, bytes_max: usize, filter_bytes: Option<usize>) -> Self {
        let written = filter_bytes.map(Filter::new);
        Self { table, bytes_max, bytes: 0, batches: VecDeque::new(), first: 0, index: HashTable::new(), written }
    }

    /// What is known of the row of key `row` of `keys`, whose hash is `hash`.
    pub(super) fn find(&self, keys: &Keys, row: usize, hash: u64) -> Known<'_> {
        match self.index.find(hash, |&place| self.is_key(place, keys, row)) {
            Some(&place) => {
                let (changed, key) = (self.changed_at(place), place.key as usize);
                match changed.changes.operations[key] {
                    Operation::Delete => Known::Absent,
                    _ => Known::Row(&changed.changes.columns, changed.value_row(key)),
                }
            }
            None if self.written.as_ref().is_some_and(|written| !written.may_contain(hash)) => Known::Absent,
            None => Known::Unknown,
        }
    }

    /// Remembers a batch, and forgets the oldest of those that are in the database:
    /// `committed` tells how many batches are.
    pub(super) fn add(&mut self, tables: &Arc<Vec<TableChanges>>, committed: u64) {
        let bytes = tables[self.table].bytes();
        self.bytes += bytes;
        self.batches.push_back(Written { tables: Arc::clone(tables), bytes });
        self.index_last();
        while self.bytes > self.bytes_max && self.first < committed {
            self.forget_first();
        }
    }

    fn index_last(&mut self) {
        let number = self.first + self.batches.len() as u64 - 1;
        let Self { batches, first, index, written, table, .. } = self;
        let changed_at = |place: Place| {
            let batch = usize::try_from(place.batch - *first).unwrap_or(usize::MAX);
            &batches[batch].tables[*table]
        };
        let changed = changed_at(Place { batch: number, key: 0 });
        for (key, &operation) in (0_u32..).zip(&changed.changes.operations) {
            if operation == Operation::Leave {
                continue;
            }
            let hash = changed.hash(key as usize);
            if let Some(written) = written {
                written.add(hash);
            }
            let new = Place { batch: number, key };
            let same = |place: &Place| changed_at(*place).keys.same_at(place.key as usize, &changed.keys, key as usize);
            match index.find_mut(hash, same) {
                Some(place) => *place = new,
                None => {
                    index.insert_unique(hash, new, |place| changed_at(*place).hash(place.key as usize));
                }
            }
        }
    }

    fn forget_first(&mut self) {
        let Some(oldest) = self.batches.front() else { return };
        let changed = &oldest.tables[self.table];
        for key in 0..changed.keys.count {
            let place = Place { batch: self.first, key: u32::try_from(key).unwrap_or(u32::MAX) };
            if let Ok(entry) = self.index.find_entry(changed.hash(key), |&found| found == place) {
                entry.remove();
            }
        }
        self.bytes -= oldest.bytes;
        self.batches.pop_front();
        self.first += 1;
    }

    fn changed_at(&self, place: Place) -> &TableChanges {
        &self.batches[usize::try_from(place.batch - self.first).unwrap_or(usize::MAX)].tables[self.table]
    }

    fn is_key(&self, place: Place, keys: &Keys, row: usize) -> bool {
        self.changed_at(place).keys.same_at(place.key as usize, keys, row)
    }
}

/// A Bloom filter (Bloom, 1970) of a fixed size, in which the bits of a key lie side by side, so
/// that the memory is asked once (Putze, Sanders and Singler, 2007). When it is full it says
/// 'maybe' to everything, which costs reads, never a row.
#[derive(Debug)]
struct Filter {
    lines: Vec<Line>,
}

/// As much as a line of the processor's cache: 512 bits.
type Line = [u64; 8];

impl Filter {
    fn new(bytes: usize) -> Self {
        Self { lines: vec![[0; 8]; (bytes / size_of::<Line>()).max(1).next_power_of_two()] }
    }

    /// The line of a key; its upper bits tell which one, the lower ones which bits of it.
    fn line(&self, hash: u64) -> usize {
        usize::try_from(hash >> 36).unwrap_or(0) & (self.lines.len() - 1)
    }

    /// Four bits of a line, of nine bits of the hash each: where they are, by word.
    fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
        (0..4).map(move |number| {
            let bit = hash >> (number * 9) & 511;
            (usize::try_from(bit >> 6).unwrap_or(0), 1 << (bit & 63))
        })
    }

    fn add(&mut self, hash: u64) {
        let line = self.line(hash);
        for (word, bit) in Self::bits(hash) {
            self.lines[line][word] |= bit;
        }
    }

    fn may_contain(&self, hash: u64) -> bool {
        let words = &self.lines[self.line(hash)];
        Self::bits(hash).all(|(word, bit)| words[word] & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Cells, Changes};

    fn texts<T: AsRef<str>>(values: &[T]) -> Column {
        Column { nulls: vec![], cells: Cells::Texts(values.iter().map(AsRef::as_ref).collect()) }
    }

    fn keys<T: AsRef<str>>(values: &[T]) -> Keys {
        Keys { count: values.len(), columns: vec![texts(values)] }
    }

    fn put(recent: &mut Recent, rows: &[(&str, Option<&str>)], committed: u64) {
        let keys = keys(&rows.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        let operations = rows.iter().map(|(_, value)| if value.is_some() { Operation::Put } else { Operation::Delete });
        let values: Vec<&str> = rows.iter().filter_map(|(_, value)| *value).collect();
        let changes = Changes { operations: operations.collect(), columns: vec![texts(&values)] };
        let hashes = keys.hashes();
        recent.add(&Arc::new(vec![TableChanges::new(keys, hashes, changes, Vec::new())]), committed);
    }

    fn find(recent: &Recent, key: &str) -> String {
        let keys = keys(&[key]);
        match recent.find(&keys, 0, keys.hashes()[0]) {
            Known::Row(columns, row) => columns[0].to_json(crate::change::ColumnType::Text, row).to_string(),
            Known::Absent => "absent".to_owned(),
            Known::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn filter_never_denies_a_key_and_seldom_claims_another() {
        let keys = keys(&(0..20_000).map(|number| format!("order-{number:08}")).collect::<Vec<_>>());
        let (added, others) = (&keys.hashes()[..10_000], &keys.hashes()[10_000..]);
        let mut filter = Filter::new(1 << 16);
        added.iter().for_each(|&hash| filter.add(hash));
        assert!(added.iter().all(|&hash| filter.may_contain(hash)));
        let claimed = others.iter().filter(|&&hash| filter.may_contain(hash)).count();
        assert!(claimed < 20, "with 52 bits a key it claims {claimed} of 10,000 others");
    }

    #[test]
    fn knows_the_latest_row_and_what_was_never_written() {
        let mut recent = Recent::new(0, 1 << 20, Some(1 << 10));
        put(&mut recent, &[("a", Some("1")), ("b", None), ("c", Some("3"))], 0);
        put(&mut recent, &[("a", Some("2")), ("c", None)], 0);
        assert_eq!(["a", "b", "c", "d"].map(|key| find(&recent, key)), ["\"2\"", "absent", "absent", "absent"]);
    }

    #[test]
    fn asks_the_database_where_an_earlier_run_may_have_written() {
        let mut recent = Recent::new(0, 1 << 20, None);
        put(&mut recent, &[("a", Some("1"))], 0);
        assert_eq!([find(&recent, "a"), find(&recent, "d")], ["\"1\"", "unknown"]);
    }

    #[test]
    fn forgets_the_oldest_batches_but_never_one_that_is_not_committed() {
        let mut recent = Recent::new(0, 1, Some(1 << 10));
        put(&mut recent, &[("a", Some("1")), ("b", Some("1"))], 0);
        put(&mut recent, &[("b", Some("2"))], 0);
        assert_eq!([find(&recent, "a"), find(&recent, "b")], ["\"1\"", "\"2\""], "nothing is committed yet");
        put(&mut recent, &[("c", Some("3"))], 1);
        assert_eq!(["a", "b", "c"].map(|key| find(&recent, key)), ["unknown", "\"2\"", "\"3\""]);
        put(&mut recent, &[("d", Some("4"))], 3);
        assert_eq!(["b", "c", "d"].map(|key| find(&recent, key)), ["unknown", "unknown", "\"4\""]);
    }
}
