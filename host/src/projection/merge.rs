//! Several batches made one, for they wait to be written together: of the changes of a row only
//! the last one is written.

use std::sync::Arc;

use hashbrown::HashTable;

use super::recent::{Recent, same_key};
use crate::change::{Changes, Column, Keys, Operation};
use crate::read_model::{Commit, TableChanges};

/// All of `commits`, which come one after the other, as one.
pub(super) fn merge(mut commits: Vec<Commit>) -> Option<Commit> {
    let checkpoint = commits.last()?.checkpoint;
    commits.retain(|commit| !commit.tables.is_empty());
    if commits.len() <= 1 {
        let tables = commits.pop().map(|commit| commit.tables).unwrap_or_default();
        return Some(Commit { tables, checkpoint });
    }
    let count = commits[0].tables.len();
    let table = |number: usize| {
        let batches: Vec<&TableChanges> = commits.iter().map(|commit| &commit.tables[number]).collect();
        merge_table(&batches)
    };
    Some(Commit { tables: Arc::new((0..count).map(table).collect()), checkpoint })
}

/// A key in one of the batches, and whether there was no such row before the first of them.
struct Place {
    batch: usize,
    key: usize,
    is_new: bool,
}

fn merge_table(batches: &[&TableChanges]) -> TableChanges {
    // The hashes are cheap beside what is spared: a row that is not written.
    let hashes: Vec<Vec<u64>> = batches.iter().map(|batch| Recent::hashes(&batch.keys)).collect();
    let mut places: Vec<Place> = Vec::new();
    let mut index: HashTable<usize> = HashTable::new();
    for (number, batch) in batches.iter().enumerate() {
        for (key, &operation) in batch.changes.operations.iter().enumerate() {
            if operation == Operation::Leave {
                continue;
            }
            let same = |&at: &usize| {
                let Place { batch: other, key: other_key, .. } = places[at];
                same_key(&batches[other].keys.columns, other_key, &batch.keys.columns, key)
            };
            let hash = hashes[number][key];
            if let Some(&at) = index.find(hash, same) {
                (places[at].batch, places[at].key) = (number, key);
            } else {
                let is_new = batch.existing.get(key) == Some(&0);
                places.push(Place { batch: number, key, is_new });
                index.insert_unique(hash, places.len() - 1, |&at| hashes[places[at].batch][places[at].key]);
            }
        }
    }
    gather(batches, &places)
}

/// The changes at `places`, one after the other.
fn gather(batches: &[&TableChanges], places: &[Place]) -> TableChanges {
    let rows: Vec<Vec<usize>> = batches.iter().map(|batch| rows_of_puts(&batch.changes.operations)).collect();
    let mut keys: Vec<Column> = batches[0].keys.columns.iter().map(empty_like).collect();
    let mut values: Vec<Column> = batches[0].changes.columns.iter().map(empty_like).collect();
    let mut operations = Vec::with_capacity(places.len());
    for place in places {
        let batch = batches[place.batch];
        let operation = batch.changes.operations[place.key];
        operations.push(operation);
        push(&mut keys, &batch.keys.columns, place.key);
        if operation == Operation::Put {
            push(&mut values, &batch.changes.columns, rows[place.batch][place.key]);
        }
    }
    TableChanges {
        keys: Keys { count: places.len(), columns: keys },
        changes: Changes { operations, columns: values },
        existing: places.iter().map(|place| u8::from(!place.is_new)).collect(),
    }
}

/// Per key: its row in the value columns, if it is put.
fn rows_of_puts(operations: &[Operation]) -> Vec<usize> {
    let mut puts = 0;
    let mut rows = Vec::with_capacity(operations.len());
    for &operation in operations {
        rows.push(puts);
        puts += usize::from(operation == Operation::Put);
    }
    rows
}

fn push(to: &mut [Column], from: &[Column], row: usize) {
    to.iter_mut().zip(from).for_each(|(to, from)| to.push_from(from, row));
}

/// A column without rows, in the same kind of cells.
fn empty_like(column: &Column) -> Column {
    use crate::change::{Blobs, Cells};
    use crate::event::Texts;
    let cells = match &column.cells {
        Cells::Booleans(_) => Cells::Booleans(Vec::new()),
        Cells::Integers(_) => Cells::Integers(Vec::new()),
        Cells::Floats(_) => Cells::Floats(Vec::new()),
        Cells::Texts(_) => Cells::Texts(Texts::default()),
        Cells::Blobs(_) => Cells::Blobs(Blobs::default()),
    };
    Column { nulls: Vec::new(), cells }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Cells;
    use crate::event::Position;
    use crate::read_model::Checkpoint;

    /// Keys with what becomes of them: `a=1` is put, `a-` deleted, `a` left as it is; `!` before a
    /// key says that there is no such row yet.
    fn commit(position: u64, text: &str) -> Commit {
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
        let checkpoint = Checkpoint { position: Position(position), last_event: None };
        Commit { tables: Arc::new(vec![TableChanges { keys, changes, existing }]), checkpoint }
    }

    fn told(commit: &Commit) -> String {
        let table = &commit.tables[0];
        let (Cells::Texts(keys), Cells::Integers(values)) =
            (&table.keys.columns[0].cells, &table.changes.columns[0].cells)
        else {
            panic!("of these types they were made")
        };
        let rows = rows_of_puts(&table.changes.operations);
        let one = |row: usize| {
            let new = if table.existing[row] == 0 { "!" } else { "" };
            let change = match table.changes.operations[row] {
                Operation::Put => format!("={}", values[rows[row]]),
                Operation::Delete => "-".to_owned(),
                Operation::Leave => String::new(),
            };
            format!("{new}{}{change}", keys.get(row))
        };
        (0..table.keys.count).map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_last_change_of_each_row_is_written() {
        let check = |commits: &[&str], expected: &str| {
            let commits = (1..).zip(commits).map(|(position, text)| commit(position, text)).collect::<Vec<_>>();
            let count = commits.len() as u64;
            let merged = merge(commits).expect("there are some");
            assert_eq!((told(&merged).as_str(), merged.checkpoint.position), (expected, Position(count)));
        };
        check(&["!a=1 b=2"], "!a=1 b=2");
        check(&["!a=1 b=2", "a=3 !c=4"], "!a=3 b=2 !c=4");
        check(&["!a=1", "a-", "!a=5"], "!a=5");
        check(&["a=1", "a-", "b"], "a-");
        check(&["a=1", "a"], "a=1");
        check(&["a-", "!a=7"], "a=7");
    }

    #[test]
    fn a_checkpoint_alone_goes_with_what_is_written() {
        let alone = Commit { tables: Arc::default(), checkpoint: commit(9, "a=1").checkpoint };
        let merged = merge(vec![commit(1, "a=1"), alone.clone()]).expect("two");
        assert_eq!((told(&merged).as_str(), merged.checkpoint.position), ("a=1", Position(9)));
        let merged = merge(vec![alone]).expect("one");
        assert!(merged.tables.is_empty());
        assert!(merge(Vec::new()).is_none());
    }
}
