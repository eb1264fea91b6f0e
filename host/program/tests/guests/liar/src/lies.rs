//! The lies, by name: each turns a true answer into one that breaks one promise.

use fantascope_sdk::__private::wire::{Blobs, Cells, Changes, Column, Keys, Texts};

/// Lies about which rows a batch touches.
pub(crate) fn in_keys(lie: &str, keys: &mut Vec<Keys>) {
    match lie {
        "KeysOfNoTable" => keys.clear(),
        "KeysOfTwoTables" => keys.push(Keys { count: 0, columns: Vec::new() }),
        "KeysWithoutColumns" => keys[0].columns.clear(),
        "KeysFewerThanCounted" => keys[0].count += 1,
        "KeysMoreThanCounted" => keys[0].count -= 1,
        "KeysCountedWithoutEnd" => keys[0].count = u32::MAX,
        "KeysOfIntegers" => keys[0].columns[0].cells = Cells::Integers(vec![1]),
        "KeysNull" => keys[0].columns[0].nulls = vec![1],
        "KeysBeyondTheText" => with_texts(&mut keys[0].columns[0], |texts| texts.ends[0] = u32::MAX),
        "KeysWithoutAll" => with_texts(&mut keys[0].columns[0], |texts| move_last_end(texts, -1)),
        "KeyTwice" => {
            keys[0].count += 1;
            with_texts(&mut keys[0].columns[0], repeat_last);
        }
        "KeysInsideACharacter" => {
            keys[0].count = 2;
            with_texts(&mut keys[0].columns[0], |texts| *texts = Texts { joined: "ä".to_owned(), ends: vec![1, 2] });
        }
        _ => {}
    }
}

/// Lies about what becomes of the rows.
pub(crate) fn in_changes(lie: &str, changes: &mut Vec<Changes>) {
    if lie == "ChangesOfNoTable" {
        return changes.clear();
    }
    if lie == "ChangesOfTwoTables" {
        return changes.push(Changes { operations: Vec::new(), columns: Vec::new() });
    }
    let Changes { operations, columns } = &mut changes[0];
    let [label, number, ratio, flag, code, note, amount] = &mut columns[..] else { return };
    match lie {
        "OperationNine" => operations[0] = 9,
        "OperationsFew" => operations.clear(),
        "OperationsMany" => operations.push(0),
        "PutsFewerThanValues" => operations[0] = 0,
        "CellsOfAnotherType" => number.cells = Cells::Floats(vec![1.0]),
        "ValuesFew" => number.cells = Cells::Integers(Vec::new()),
        "ValuesMany" => number.cells = Cells::Integers(vec![1; operations.len() + 1]),
        "EndsBeyondTheText" => with_texts(label, |texts| move_last_end(texts, 1)),
        "EndsBeforeTheText" => with_texts(label, |texts| move_last_end(texts, -1)),
        "EndsInsideACharacter" => with_texts(label, |texts| texts.ends.insert(0, 2)),
        "EndsGoBack" => with_texts(label, |texts| texts.ends = vec![5, 1, 5]),
        "EndsOfBytesBeyond" => code.cells = Cells::Blobs(Blobs { joined: vec![1; 16], ends: vec![17] }),
        "NullWhereNoneMayBe" => number.nulls = vec![1],
        "NullMarksMany" => label.nulls = vec![0; operations.len() + 1],
        "NotANumber" => ratio.cells = Cells::Floats(vec![f64::NAN]),
        "NeitherTrueNorFalse" => flag.cells = Cells::Booleans(vec![2]),
        "FifteenBytes" => code.cells = Cells::Blobs(Blobs { joined: vec![1; 15], ends: vec![15] }),
        "NotJson" => *note = text("{"),
        "NotADecimal" => *amount = text("12,50"),
        "ZeroByte" => *label = text("a\0b"),
        "ColumnsFew" => drop(columns.pop()),
        "ColumnsMany" => columns.push(text("")),
        _ => {}
    }
}

fn with_texts(column: &mut Column, change: impl FnOnce(&mut Texts)) {
    if let Cells::Texts(texts) = &mut column.cells {
        change(texts);
    }
}

fn move_last_end(texts: &mut Texts, by: i32) {
    if let Some(end) = texts.ends.last_mut() {
        *end = end.saturating_add_signed(by);
    }
}

fn repeat_last(texts: &mut Texts) {
    let before = texts.ends.iter().nth_back(1).copied().unwrap_or(0) as usize;
    texts.joined.extend_from_within(before..);
    texts.ends.extend(u32::try_from(texts.joined.len()));
}

fn text(text: &str) -> Column {
    let ends = vec![u32::try_from(text.len()).unwrap_or(u32::MAX)];
    Column { nulls: Vec::new(), cells: Cells::Texts(Texts { joined: text.to_owned(), ends }) }
}
