//! Several batches written as one, for they wait to be written together: of the changes of a row
//! only the last one is written.

use hashbrown::HashTable;

use crate::{Commit, TableChanges};
use model::change::{Column, Keys, Operation};

/// What is to be written of one table. No key is in it twice.
pub(crate) struct Merged<'a> {
    batches: Vec<&'a TableChanges>,
    pub(crate) puts: Vec<Place>,
    pub(crate) deletes: Vec<Place>,
}

/// Where a changed row stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    batch: u32,
    key: u32,
    /// Whether there certainly was no such row before the first of the batches.
    pub(crate) is_new: bool,
}

/// A row of columns.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) columns: &'a [Column],
    pub(crate) row: usize,
}

impl<'a> Row<'a> {
    /// Its cell in column number `number`.
    pub(crate) fn cell(self, number: usize) -> (&'a Column, usize) {
        (&self.columns[number], self.row)
    }
}

impl<'a> Merged<'a> {
    /// What `commits`, which come one after the other, make of table number `table`.
    pub(crate) fn of(commits: &'a [Commit], table: usize) -> Self {
        let batches: Vec<&TableChanges> =
            commits.iter().filter_map(|commit| commit.tables.get(table).map(|changed| &**changed)).collect();
        let places = places(&batches);
        let operation = |place: &Place| batches[place.batch as usize].changes.operations[place.key as usize];
        let (puts, deletes) = places.into_iter().partition(|place| operation(place) == Operation::Put);
        Self { batches, puts, deletes }
    }

    /// All that is to be written, a row at a time.
    pub(crate) fn one_by_one(&self) -> impl Iterator<Item = Self> {
        let of = |puts: Vec<Place>, deletes: Vec<Place>| Self { batches: self.batches.clone(), puts, deletes };
        let puts = self.puts.iter().map(move |&place| of(vec![place], Vec::new()));
        puts.chain(self.deletes.iter().map(move |&place| of(Vec::new(), vec![place])))
    }

    /// How many bytes all of it takes, or some more.
    pub(crate) fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes()).sum()
    }

    /// How many bytes the row takes that is put at `place`.
    pub(crate) fn row_bytes(&self, place: Place) -> usize {
        self.batches[place.batch as usize].row_bytes(place.key as usize)
    }

    pub(crate) fn keys(&self, place: Place) -> (&'a Keys, usize) {
        (&self.batches[place.batch as usize].keys, place.key as usize)
    }

    pub(crate) fn key(&self, place: Place) -> Row<'a> {
        let batch = self.batches[place.batch as usize];
        Row { columns: &batch.keys.columns, row: place.key as usize }
    }

    /// The values of a row that is put.
    pub(crate) fn values(&self, place: Place) -> Row<'a> {
        let batch = self.batches[place.batch as usize];
        Row { columns: &batch.changes.columns, row: batch.value_row(place.key as usize) }
    }
}

/// Where the last change of each row stands, in the order of the first ones.
fn places(batches: &[&TableChanges]) -> Vec<Place> {
    let most = batches.iter().map(|batch| batch.keys.count).sum();
    let mut places: Vec<Place> = Vec::with_capacity(most);
    let mut index: HashTable<u32> = HashTable::with_capacity(if batches.len() > 1 { most } else { 0 });
    let changed_at = |place: Place| batches[place.batch as usize];
    for (number, batch) in (0..).zip(batches) {
        for (key, &operation) in (0..).zip(&batch.changes.operations) {
            let row = key as usize;
            if operation == Operation::Leave {
                continue;
            }
            let new = Place { batch: number, key, is_new: batch.is_new(row) };
            if batches.len() == 1 {
                places.push(new);
                continue;
            }
            let same = |&at: &u32| {
                let place = places[at as usize];
                changed_at(place).keys.same_at(place.key as usize, &batch.keys, row)
            };
            if let Some(&at) = index.find(batch.hash(row), same) {
                let place = &mut places[at as usize];
                *place = Place { is_new: place.is_new, ..new };
                continue;
            }
            let hash = |&at: &u32| changed_at(places[at as usize]).hash(places[at as usize].key as usize);
            index.insert_unique(batch.hash(row), u32::try_from(places.len()).unwrap_or(u32::MAX), hash);
            places.push(new);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use model::change::{Cells, Changes};
    use model::event::{Checkpoint, Position};

    /// Keys with what becomes of them: `a=1` is put, `a-` deleted, `a` left as it is; `!` before a
    /// key says that there is no such row yet.
    fn commit(text: &str) -> Commit {
        let (mut keys, mut values, mut operations, mut existing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for word in text.split_whitespace() {
            existing.push(u8::from(!word.starts_with('!')));
            let word = word.trim_start_matches('!');
            let (key, operation) = match word.split_once('=') {
                Some((key, value)) => {
                    values.push(value.parse::<i64>().expect("a number"));
                    (key, Operation::Put)
                }
                None if word.ends_with('-') => (word.trim_end_matches('-'), Operation::Delete),
                None => (word, Operation::Leave),
            };
            keys.push(key);
            operations.push(operation);
        }
        let key = Column { nulls: Vec::new(), cells: Cells::Texts(keys.iter().copied().collect()) };
        let value = Column { nulls: Vec::new(), cells: Cells::Integers(values) };
        let keys = Keys { count: keys.len(), columns: vec![key] };
        let changes = Changes { operations, columns: vec![value] };
        let hashes = keys.hashes();
        let checkpoint = Checkpoint { position: Position(1), last_event: None };
        Commit { tables: vec![Arc::new(TableChanges::new(keys, hashes, changes, existing))], checkpoint }
    }

    fn told(merged: &Merged<'_>) -> String {
        let key = |place: Place| {
            let Row { columns, row } = merged.key(place);
            let Cells::Texts(keys) = &columns[0].cells else { panic!("a key is a text") };
            format!("{}{}", if place.is_new { "!" } else { "" }, keys.get(row))
        };
        let put = |&place: &Place| {
            let Row { columns, row } = merged.values(place);
            let Cells::Integers(values) = &columns[0].cells else { panic!("a value is a number") };
            format!("{}={}", key(place), values[row])
        };
        let deleted = merged.deletes.iter().map(|&place| format!("{}-", key(place)));
        merged.puts.iter().map(put).chain(deleted).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_last_change_of_each_row_is_written() {
        let check = |commits: &[&str], expected: &str| {
            let commits: Vec<Commit> = commits.iter().map(|text| commit(text)).collect();
            assert_eq!(told(&Merged::of(&commits, 0)), expected);
        };
        check(&["!a=1 b=2"], "!a=1 b=2");
        check(&["a b- c=3"], "c=3 b-");
        check(&["!a=1 b=2", "a=3 !c=4"], "!a=3 b=2 !c=4");
        check(&["!a=1", "a-", "!a=5"], "!a=5");
        check(&["a=1", "a-", "b"], "a-");
        check(&["a=1", "a"], "a=1");
        check(&["a-", "!a=7"], "a=7");
    }

    #[test]
    fn a_checkpoint_alone_goes_with_what_is_written() {
        let alone = Commit { tables: Vec::new(), checkpoint: Checkpoint::default() };
        assert_eq!(told(&Merged::of(&[commit("a=1"), alone.clone()], 0)), "a=1");
        assert_eq!(told(&Merged::of(&[alone], 0)), "");
        assert_eq!(told(&Merged::of(&[], 0)), "");
    }
}
