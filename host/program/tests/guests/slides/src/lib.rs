//! A projection that is whatever its marker says. A test writes another marker over it
//! in the bytes of the component, and has another version, or a fix, or a fault.
// There is nothing to it but the component.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use fantascope_sdk::__private::wire::{
    Cells, Changes, Column, ColumnDefinition, ColumnType, Events, Failure, Keying, Keys, ProjectionGuest,
    ProjectionManifest, Rows, Subscription, TableDefinition, Texts,
};

/// Version, what it does, and a note that means nothing.
static MARKER: &str = "slides:v=01;mode=plain...;note=0000;";

/// Of a batch, what each aggregate adds up to: events, and the sum of their `n`.
type Sums = BTreeMap<String, (i64, i64)>;

thread_local! {
    static LOADED: RefCell<Sums> = RefCell::default();
    /// In a chain, the positions of a batch in the order in which they came.
    static CAME: RefCell<Vec<u64>> = RefCell::default();
}

struct Slides;

impl ProjectionGuest for Slides {
    fn describe() -> ProjectionManifest {
        let column = |name: &str, of_type| ColumnDefinition { name: name.to_owned(), of_type, nullable: false };
        let mut columns = vec![
            column("id", ColumnType::Text),
            column("events", ColumnType::Integer),
            column("total", ColumnType::Integer),
        ];
        if mode() == "wide" {
            columns.push(column("note", ColumnType::Text));
        }
        if mode() == "marked" {
            columns.push(column("version", ColumnType::Integer));
        }
        let keyed_by = if mode() == "global" || mode() == "chain" { Keying::Own } else { Keying::AggregateId };
        let indexes = vec![vec!["total".to_owned()]];
        let table = |name: &str| TableDefinition {
            name: name.to_owned(),
            columns: columns.clone(),
            key_columns: 1,
            keyed_by,
            indexes: indexes.clone(),
        };
        // The same rows twice, so that a reader can see whether both tables are of one version.
        let tables = if mode() == "marked" { vec![table("counts"), table("shown")] } else { vec![table("counts")] };
        ProjectionManifest {
            sdk: "none".to_owned(),
            name: if mode() == "other" { "others" } else { "slides" }.to_owned(),
            version: version(),
            subscription: Subscription::Types(vec!["Slide".to_owned()]),
            tables,
            replayable: mode() == "latest",
        }
    }

    fn load(batch: Events) -> Result<Vec<Keys>, Failure> {
        let mut sums = Sums::new();
        for row in 0..batch.positions.len() {
            let id =
                if mode() == "foreign" || mode() == "chain" { "everyone" } else { text(&batch.aggregate_ids, row) };
            let sum = sums.entry(id.to_owned()).or_default();
            let n = number(text(&batch.data, row)) * if mode() == "double" { 2 } else { 1 };
            // What came last counts, whatever was there before.
            *sum = if mode() == "latest" { (1, n) } else { (sum.0 + 1, sum.1 + n) };
            while mode() == "endless" {
                std::hint::black_box(n);
            }
            if mode() == "heavy" {
                std::hint::black_box((0..4_000_u64).fold(row as u64, |sum, step| sum.wrapping_mul(31) ^ step));
            }
        }
        let mut ids = Texts { joined: String::new(), ends: Vec::new() };
        sums.keys().for_each(|id| push(&mut ids, id));
        let count = u32::try_from(sums.len()).unwrap_or(u32::MAX);
        LOADED.set(sums);
        CAME.set(batch.positions.clone());
        let keys = Keys { count, columns: vec![column(Cells::Texts(ids))] };
        Ok(if mode() == "marked" { vec![keys.clone(), keys] } else { vec![keys] })
    }

    fn apply(existing: Vec<Rows>) -> Result<Vec<Changes>, Failure> {
        if mode() == "broken" {
            return Err(Failure { event: Some(0), path: None, message: "the lamp is broken".to_owned() });
        }
        let integers = |number: usize| match existing[0].columns.get(number).map(|column| &column.cells) {
            Some(Cells::Integers(values)) => values.clone(),
            _ => Vec::new(),
        };
        let (known_events, known_totals) = (integers(0), integers(1));
        let (mut events, mut totals, mut notes) =
            (Vec::new(), Vec::new(), Texts { joined: String::new(), ends: Vec::new() });
        let mut known = 0;
        LOADED.with_borrow(|sums| {
            for (row, &(count, total)) in sums.values().enumerate() {
                let present = existing[0].present[row] != 0 && mode() != "latest";
                events.push(count + if present { known_events[known] } else { 0 });
                let before = if present { known_totals[known] } else { 0 };
                // A sum of positions that is another one in any other order.
                let chain = |sum: i64, &position: &u64| (sum * 31 + position as i64) % 1_000_000_007;
                totals.push(if mode() == "chain" {
                    CAME.with_borrow(|came| came.iter().fold(before, chain))
                } else {
                    total + before
                });
                known += usize::from(present);
                push(&mut notes, "shown");
            }
        });
        let operations = vec![1; events.len()];
        let mut columns = vec![column(Cells::Integers(events)), column(Cells::Integers(totals))];
        if mode() == "wide" {
            columns.push(column(Cells::Texts(notes)));
        }
        if mode() == "marked" {
            columns.push(column(Cells::Integers(vec![i64::from(version()); operations.len()])));
            let changes = Changes { operations, columns };
            return Ok(vec![changes.clone(), changes]);
        }
        Ok(vec![Changes { operations, columns }])
    }
}

fn version() -> u32 {
    part("v=", 2).parse().unwrap_or(1)
}

fn mode() -> &'static str {
    part("mode=", 8).trim_end_matches('.')
}

/// What stands behind `name` in the marker, which the compiler must not know.
fn part(name: &str, length: usize) -> &'static str {
    let marker: &'static str = std::hint::black_box(MARKER);
    let rest = marker.split_once(name).map_or("", |(_, rest)| rest);
    rest.get(..length).unwrap_or_default()
}

fn column(cells: Cells) -> Column {
    Column { nulls: Vec::new(), cells }
}

fn push(texts: &mut Texts, text: &str) {
    texts.joined.push_str(text);
    texts.ends.push(u32::try_from(texts.joined.len()).unwrap_or(u32::MAX));
}

fn text(texts: &Texts, row: usize) -> &str {
    let start = if row == 0 { 0 } else { texts.ends[row - 1] as usize };
    &texts.joined[start..texts.ends[row] as usize]
}

/// The `n` of a payload such as `{"n":7}`.
fn number(payload: &str) -> i64 {
    let rest = payload.split_once("\"n\":").map_or("", |(_, rest)| rest.trim_start());
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(target_arch = "wasm32")]
fantascope_sdk::__private::bindings::projection::export_projection!(
    Slides with_types_in fantascope_sdk::__private::bindings::projection
);
