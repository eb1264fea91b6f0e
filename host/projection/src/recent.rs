//! Rows that were written a moment ago, and keys that were never written: what a
//! batch needs is mostly known without asking the database.
//!
//! The rows of batches that are not committed yet are always here, so a batch sees
//! what the one before it did while that is still being written.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use model::change::{Column, Keys, Operation};
use model::event::number_of;
use read_model::TableChanges;

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
    bytes_max: usize,
    bytes: usize,
    /// The batches that have changed this table; what others have changed is not kept with it.
    batches: VecDeque<Written>,
    /// How many were forgotten, so that a place stays the same.
    forgotten: usize,
    index: HashTable<Place>,
    /// Keys that were written since the version was begun; none if it was begun earlier.
    written: Option<Filter>,
}

#[derive(Debug)]
struct Written {
    /// Which of the batches of all tables it is, from 0.
    number: u64,
    changed: Arc<TableChanges>,
}

/// Key number `key` of batch number `batch` of those that have changed the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    batch: usize,
    key: u32,
}

impl Recent {
    /// `filter_bytes`: for a version that is begun now, the memory to spend on knowing
    /// its keys.
    pub(super) fn new(bytes_max: usize, filter_bytes: Option<usize>) -> Self {
        let written = filter_bytes.map(Filter::new);
        Self { bytes_max, bytes: 0, batches: VecDeque::new(), forgotten: 0, index: HashTable::new(), written }
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

    /// Remembers what batch number `number` has changed, and forgets the oldest of those that are
    /// in the database: `committed` tells how many batches are.
    pub(super) fn add(&mut self, number: u64, changed: &Arc<TableChanges>, committed: u64) {
        if !changed.changes.is_empty() {
            self.bytes += changed.bytes();
            self.batches.push_back(Written { number, changed: Arc::clone(changed) });
            self.index_last();
        }
        while self.bytes > self.bytes_max && self.batches.front().is_some_and(|oldest| oldest.number < committed) {
            self.forget_first();
        }
    }

    fn index_last(&mut self) {
        let Self { batches, forgotten, index, written, .. } = self;
        let Some(last) = batches.len().checked_sub(1) else { return };
        let changed_at = |place: Place| &batches[place.batch - *forgotten].changed;
        let changed = &batches[last].changed;
        for (key, &operation) in (0_u32..).zip(&changed.changes.operations) {
            if operation == Operation::Leave {
                continue;
            }
            let hash = changed.hash(key as usize);
            if let Some(written) = written {
                written.add(hash);
            }
            let new = Place { batch: *forgotten + last, key };
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
        let Some(Written { changed, .. }) = self.batches.pop_front() else { return };
        for key in 0..number_of(changed.keys.count) {
            let place = Place { batch: self.forgotten, key };
            if let Ok(entry) = self.index.find_entry(changed.hash(key as usize), |&found| found == place) {
                entry.remove();
            }
        }
        self.bytes -= changed.bytes();
        self.forgotten += 1;
    }

    fn changed_at(&self, place: Place) -> &TableChanges {
        &self.batches[place.batch - self.forgotten].changed
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
        (hash >> 36) as usize & (self.lines.len() - 1)
    }

    /// Four bits of a line, of nine bits of the hash each: where they are, by word.
    fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
        (0..4).map(move |number| {
            let bit = hash >> (number * 9) & 511;
            ((bit >> 6) as usize, 1 << (bit & 63))
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
    use std::sync::Weak;

    use super::*;
    use model::change::{Cells, Changes};

    fn texts<T: AsRef<str>>(values: &[T]) -> Column {
        Column { nulls: vec![], cells: Cells::Texts(values.iter().map(AsRef::as_ref).collect()) }
    }

    fn keys<T: AsRef<str>>(values: &[T]) -> Keys {
        Keys { count: values.len(), columns: vec![texts(values)] }
    }

    fn changes(rows: &[(&str, Option<&str>)]) -> Arc<TableChanges> {
        let keys = keys(&rows.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        let operations = rows.iter().map(|(_, value)| if value.is_some() { Operation::Put } else { Operation::Delete });
        let values: Vec<&str> = rows.iter().filter_map(|(_, value)| *value).collect();
        let changes = Changes { operations: operations.collect(), columns: vec![texts(&values)] };
        let hashes = keys.hashes();
        Arc::new(TableChanges::new(keys, hashes, changes, Vec::new()))
    }

    fn put(recent: &mut Recent, number: u64, rows: &[(&str, Option<&str>)], committed: u64) {
        recent.add(number, &changes(rows), committed);
    }

    fn find(recent: &Recent, key: &str) -> String {
        let keys = keys(&[key]);
        match recent.find(&keys, 0, keys.hashes()[0]) {
            Known::Row(columns, row) => columns[0].to_json(model::change::ColumnType::Text, row).to_string(),
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
        let mut recent = Recent::new(1 << 20, Some(1 << 10));
        put(&mut recent, 0, &[("a", Some("1")), ("b", None), ("c", Some("3"))], 0);
        put(&mut recent, 1, &[("a", Some("2")), ("c", None)], 0);
        assert_eq!(["a", "b", "c", "d"].map(|key| find(&recent, key)), ["\"2\"", "absent", "absent", "absent"]);
    }

    #[test]
    fn asks_the_database_where_an_earlier_run_may_have_written() {
        let mut recent = Recent::new(1 << 20, None);
        put(&mut recent, 0, &[("a", Some("1"))], 0);
        assert_eq!([find(&recent, "a"), find(&recent, "d")], ["\"1\"", "unknown"]);
    }

    #[test]
    fn forgets_the_oldest_batches_but_never_one_that_is_not_committed() {
        let mut recent = Recent::new(1, Some(1 << 10));
        put(&mut recent, 0, &[("a", Some("1")), ("b", Some("1"))], 0);
        put(&mut recent, 1, &[("b", Some("2"))], 0);
        assert_eq!([find(&recent, "a"), find(&recent, "b")], ["\"1\"", "\"2\""], "nothing is committed yet");
        put(&mut recent, 2, &[("c", Some("3"))], 1);
        assert_eq!(["a", "b", "c"].map(|key| find(&recent, key)), ["unknown", "\"2\"", "\"3\""]);
        // Batches that change nothing here are counted too.
        put(&mut recent, 5, &[("d", Some("4"))], 5);
        assert_eq!(["b", "c", "d"].map(|key| find(&recent, key)), ["unknown", "unknown", "\"4\""]);
        put(&mut recent, 6, &[], 6);
        assert_eq!(find(&recent, "d"), "unknown");
    }

    #[test]
    fn a_table_that_is_not_touched_keeps_nothing_of_those_that_are() {
        const BYTES_MAX: usize = 1 << 12;
        let mut recent = [Recent::new(BYTES_MAX, None), Recent::new(BYTES_MAX, None)];
        let mut made = Vec::new();
        for number in 0..10_000_u64 {
            let key = format!("order-{number}");
            let tables = [changes(&[(&key, Some("paid"))]), changes(&[])];
            recent.iter_mut().zip(&tables).for_each(|(recent, changed)| recent.add(number, changed, number));
            made.extend(tables.iter().map(Arc::downgrade));
        }
        let held: usize = made.iter().filter_map(Weak::upgrade).map(|changed| changed.bytes()).sum();
        assert!((1..=BYTES_MAX).contains(&held), "{held} bytes are held");
        assert_eq!((recent[0].bytes, recent[1].bytes, recent[1].batches.len()), (held, 0, 0));
    }
}
