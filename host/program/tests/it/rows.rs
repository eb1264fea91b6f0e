//! Rows of all types, however they are written: new ones, known ones, and both at once.

use fantascope::change::{Blobs, Cells, Column, ColumnType, Keys, TableDefinition};
use fantascope::database::Dialect;
use fantascope::read_model::ReadModel;

use crate::place::Place;
use crate::side::{Side, blobs, column, integers, read_model, table, texts};

/// So many that PostgreSQL takes new ones in by `COPY`, and in more than one piece.
const ROWS: i64 = 300;

/// A table with columns of all types but decimals, which PostgreSQL takes in another way.
fn plain() -> TableDefinition {
    table(
        "plain",
        2,
        &[
            ("id", ColumnType::Integer),
            ("part", ColumnType::Text),
            ("flag", ColumnType::Boolean),
            ("number", ColumnType::Integer),
            ("share", ColumnType::Float),
            ("label", ColumnType::Text),
            ("data", ColumnType::Json),
            ("photo", ColumnType::Bytes),
            ("at", ColumnType::Timestamp),
            ("token", ColumnType::Uuid),
        ],
    )
}

fn with_decimals() -> TableDefinition {
    table("priced", 1, &[("id", ColumnType::Integer), ("price", ColumnType::Decimal)])
}

/// Rows `ids` of both tables as they are in their `round`; in each third row one value is null, and
/// in each seventh all are.
fn rows(ids: std::ops::Range<i64>, round: i64) -> Vec<Vec<Column>> {
    let all: Vec<i64> = ids.collect();
    let nulls = |place: usize| -> Vec<usize> {
        let is_null = |&id: &i64| id % 7 == 0 || (id % 3 == 0 && usize::try_from(id).unwrap_or(0) / 3 % 8 == place);
        (0..all.len()).filter(|&row| is_null(&all[row])).collect()
    };
    let strings = |of: &dyn Fn(i64) -> String| -> Cells {
        Cells::Texts(all.iter().map(|&id| of(id)).collect::<Vec<_>>().iter().map(String::as_str).collect())
    };
    let bytes = |of: &dyn Fn(i64) -> Vec<u8>| -> Cells {
        let mut blobs = Blobs::default();
        all.iter().for_each(|&id| blobs.push(&of(id)));
        Cells::Blobs(blobs)
    };
    let numbers = |of: &dyn Fn(i64) -> i64| -> Cells { Cells::Integers(all.iter().map(|&id| of(id)).collect()) };
    let values = [
        Cells::Booleans(all.iter().map(|&id| u8::from((id + round) % 2 == 0)).collect()),
        numbers(&|id| (id - ROWS).wrapping_mul(i64::MAX / ROWS) + round),
        Cells::Floats(all.iter().map(|&id| (id as f64 + 0.1) * 1e10_f64.powi((id % 9) as i32 - 4)).collect()),
        strings(&|id| format!("{round}: \"ein\\Stück\" 🐢\t{}", "x".repeat((id % 50 * 40) as usize))),
        strings(&|id| format!("{{ \"round\": {round}, \"id\":{id}.0 }}")),
        bytes(&|id| (0..id % 40).map(|byte| (byte * 7 + round) as u8).collect()),
        numbers(&|id| (id - 100) * 86_400_123_456 + round),
        bytes(&|id| ((id as u128) << 70 | round as u128).to_be_bytes().to_vec()),
    ];
    let mut plain = vec![integers(&all), column(strings(&|id| format!("part {}", id % 5)), &[])];
    plain.extend(values.into_iter().enumerate().map(|(place, cells)| column(cells, &nulls(place))));
    let decimals = column(strings(&|id| format!("{}.0{}", id * 1_000_003, round + 1)), &nulls(0));
    vec![plain, vec![integers(&all), decimals]]
}

/// Checks that `side` has the rows of `expected`, and no others of them.
async fn expect(read_model: &ReadModel, side: &Side, expected: Vec<Vec<Column>>) {
    for (table, mut columns) in side.tables.iter().zip(expected) {
        let values = columns.split_off(table.key_columns);
        let keys = Keys { count: columns[0].len(), columns };
        let found = read_model.rows(&side.prepared.id, table, &keys).await.unwrap();
        assert_eq!(found.present, vec![1; keys.count], "{}", table.name);
        for ((found, expected), definition) in found.columns.iter().zip(&values).zip(table.values()) {
            let (name, of_type) = (&definition.name, definition.of_type);
            for row in 0..keys.count {
                let (found, expected) = (found.to_json(of_type, row), expected.to_json(of_type, row));
                assert_eq!(found, expected, "{}.{name}, row {row}", table.name);
            }
        }
    }
}

#[tokio::test]
async fn new_and_known_rows_are_written_alike() {
    let place = Place::new();
    let read_model = read_model(&place).await;
    let mut new = Side::new(&read_model, 1, vec![plain(), with_decimals()]).await;
    let mut known = Side::new(&read_model, 2, vec![plain(), with_decimals()]).await;
    for (side, are_new) in [(&mut new, true), (&mut known, false)] {
        side.commit(vec![side.changes(1, rows(0..ROWS, 0), are_new)]).await.unwrap();
        expect(&read_model, side, rows(0..ROWS, 0)).await;
        // Written again, half of them twice, together with others that are new.
        let again = side.changes(2, rows(0..ROWS, 1), false);
        let others = side.changes(3, rows(ROWS..ROWS * 2, 1), are_new);
        let half = side.changes(4, rows(ROWS / 2..ROWS * 3 / 2, 2), false);
        side.commit(vec![again, others, half]).await.unwrap();
        expect(&read_model, side, rows(0..ROWS / 2, 1)).await;
        expect(&read_model, side, rows(ROWS / 2..ROWS * 3 / 2, 2)).await;
        expect(&read_model, side, rows(ROWS * 3 / 2..ROWS * 2, 1)).await;
    }
}

#[tokio::test]
async fn a_row_that_is_wrongly_taken_for_new_is_no_row() {
    let place = Place::new();
    let read_model = read_model(&place).await;
    let mut side = Side::new(&read_model, 1, vec![plain()]).await;
    let one = |round| rows(0..ROWS, round).drain(..1).collect::<Vec<_>>();
    side.commit(vec![side.changes(1, one(0), true)]).await.unwrap();
    let written = side.commit(vec![side.changes(2, one(1), true)]).await;
    if place.database().await.dialect() == Dialect::Postgres {
        // By `COPY`: nothing of the commit stays.
        written.expect_err("the key is there already");
        expect(&read_model, &side, one(0)).await;
        let position = read_model.version(&side.prepared.id).await.unwrap().position();
        assert_eq!(position.0, 1);
    } else {
        written.unwrap();
        expect(&read_model, &side, one(1)).await;
    }
}

#[tokio::test]
async fn keys_that_look_alike_are_not_the_same() {
    let place = Place::new();
    let read_model = read_model(&place).await;
    let table = table("t", 2, &[("a", ColumnType::Text), ("b", ColumnType::Bytes), ("n", ColumnType::Integer)]);
    let mut side = Side::new(&read_model, 1, vec![table.clone()]).await;
    let keys = || vec![texts(&["a", "A", "a ", "ä", ""]), blobs(&[b"", b"", b"", b"", b"\0"])];
    let all = || [keys(), vec![integers(&[1, 2, 3, 4, 5])]].concat();
    side.put(1, vec![all()]).await;
    expect(&read_model, &side, vec![all()]).await;
    let absent = Keys { count: 2, columns: vec![texts(&["a", "Ä"]), blobs(&[b"\0", b""])] };
    let found = read_model.rows(&side.prepared.id, &table, &absent).await.unwrap();
    assert_eq!(found.present, [0, 0]);
}
