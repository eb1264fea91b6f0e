//! Two versions of a projection are compared row by row.

use fantascope::change::{Cells, Column, ColumnType, TableDefinition};
use fantascope::database::Dialect;
use fantascope::event::Position;
use fantascope::read_model::{Comparison, Presence, ReadModel, RowDifference, TableComparison};
use serde_json::{Value, json};

use crate::place::Place;
use crate::side::{Side, blobs, column, floats, integers, read_model, table, texts};

/// Rows to show, more than any of these tests has.
const SAMPLES: usize = 100;

async fn compared(read_model: &ReadModel, blue: &Side, green: &Side, samples: usize) -> Comparison {
    let mut snapshot = read_model.snapshot().await.unwrap();
    let (blue, green) = ((&blue.prepared.id, &*blue.tables), (&green.prepared.id, &*green.tables));
    let comparison = snapshot.compare(blue, green, samples).await.unwrap();
    drop(snapshot);
    let text = serde_json::to_string(&comparison).unwrap();
    let shown: Comparison = serde_json::from_str(&text).unwrap();
    assert_eq!(shown.tables.len(), comparison.tables.len(), "{text}");
    comparison
}

/// One table on both sides: its definitions and its rows.
async fn compare_rows(
    (blue, blue_rows): (TableDefinition, Vec<Column>),
    (green, green_rows): (TableDefinition, Vec<Column>),
    samples: usize,
) -> TableComparison {
    let place = Place::new();
    let read_model = read_model(&place).await;
    let mut blue = Side::new(&read_model, 1, vec![blue]).await;
    let mut green = Side::new(&read_model, 2, vec![green]).await;
    blue.put(9, vec![blue_rows]).await;
    green.put(9, vec![green_rows]).await;
    let mut comparison = compared(&read_model, &blue, &green, samples).await;
    assert_eq!((comparison.tables.len(), comparison.holds()), (1, comparison.tables[0].holds()));
    comparison.tables.remove(0)
}

/// Rows of blue and green, then those only in blue, only in green, and those that differ.
fn counts(table: &TableComparison) -> [u64; 5] {
    let TableComparison { blue_rows, green_rows, rows_only_in_blue, rows_only_in_green, rows_that_differ, .. } = table;
    [*blue_rows, *green_rows, *rows_only_in_blue, *rows_only_in_green, *rows_that_differ]
}

fn keys(sample: &[RowDifference]) -> Vec<Value> {
    sample.iter().map(|row| Value::from(row.key.clone())).collect()
}

#[tokio::test]
async fn each_kind_of_difference_is_counted_and_shown() {
    let lines = || {
        table("lines", 2, &[("id", ColumnType::Text), ("line", ColumnType::Integer), ("total", ColumnType::Integer)])
    };
    let blue = vec![texts(&["a", "a", "b", "c"]), integers(&[2, 10, 1, 1]), integers(&[1, 2, 3, 4])];
    let green = vec![texts(&["a", "a", "b", "é"]), integers(&[2, 10, 2, 1]), integers(&[1, 7, 3, 4])];
    let found = compare_rows((lines(), blue), (lines(), green), SAMPLES).await;
    assert!(!found.holds());
    assert_eq!((found.table.as_str(), found.presence, counts(&found)), ("lines", Presence::Both, [4, 4, 2, 2, 1]));
    let expected = json!([
        { "key": { "id": "b", "line": 1 }, "blue": { "id": "b", "line": 1, "total": 3 }, "green": null, "columns": [] },
        { "key": { "id": "c", "line": 1 }, "blue": { "id": "c", "line": 1, "total": 4 }, "green": null, "columns": [] },
        { "key": { "id": "b", "line": 2 }, "blue": null, "green": { "id": "b", "line": 2, "total": 3 }, "columns": [] },
        { "key": { "id": "é", "line": 1 }, "blue": null, "green": { "id": "é", "line": 1, "total": 4 }, "columns": [] },
        {
            "key": { "id": "a", "line": 10 },
            "blue": { "id": "a", "line": 10, "total": 2 },
            "green": { "id": "a", "line": 10, "total": 7 },
            "columns": ["total"],
        },
    ]);
    assert_eq!(serde_json::to_value(&found.sample).unwrap(), expected);
}

#[tokio::test]
async fn empty_tables_and_tables_of_keys_alone_hold() {
    let seen = || table("seen", 1, &[("id", ColumnType::Text)]);
    let none = compare_rows((seen(), vec![texts(&[])]), (seen(), vec![texts(&[])]), SAMPLES).await;
    assert!(none.holds() && none.sample.is_empty(), "{none:?}");
    let both = compare_rows((seen(), vec![texts(&["a"])]), (seen(), vec![texts(&["a"])]), SAMPLES).await;
    assert!(both.holds() && counts(&both) == [1, 1, 0, 0, 0], "{both:?}");
    let one = compare_rows((seen(), vec![texts(&[])]), (seen(), vec![texts(&["a"])]), SAMPLES).await;
    assert_eq!((one.holds(), counts(&one)), (false, [0, 1, 0, 1, 0]));
    assert_eq!(one.sample[0].green, Some(one.sample[0].key.clone()));
}

#[tokio::test]
async fn values_of_every_type_are_compared_exactly() {
    let eps = f64::EPSILON / 8.0;
    assert!(0.1 + eps > 0.1);
    let id = |first: u8| -> [u8; 16] { std::array::from_fn(|at| if at == 0 { first } else { 7 }) };
    let (one, other) = (id(1), id(2));
    let booleans = |values: &[u8]| column(Cells::Booleans(values.to_vec()), &[]);
    // Two rows: in the first blue and green are equal, in the second they are not.
    type Case = (ColumnType, Column, Column, Value, Value);
    let cases: Vec<Case> = vec![
        (ColumnType::Boolean, booleans(&[1, 0]), booleans(&[1, 1]), json!(false), json!(true)),
        (
            ColumnType::Integer,
            integers(&[i64::MIN, i64::MAX]),
            integers(&[i64::MIN, i64::MAX - 1]),
            json!(i64::MAX),
            json!(i64::MAX - 1),
        ),
        (ColumnType::Float, floats(&[1e300, 0.1]), floats(&[1e300, 0.1 + eps]), json!(0.1), json!(0.1 + eps)),
        (ColumnType::Decimal, texts(&["1.5", "1.5"]), texts(&["1.5", "1.50"]), json!("1.5"), json!("1.50")),
        (ColumnType::Text, texts(&["é", "a"]), texts(&["é", "A"]), json!("a"), json!("A")),
        (ColumnType::Text, texts(&["a", "é"]), texts(&["a", "e\u{301}"]), json!("é"), json!("e\u{301}")),
        (ColumnType::Text, texts(&["a ", "a"]), texts(&["a ", "a "]), json!("a"), json!("a ")),
        (ColumnType::Bytes, blobs(&[b"\0", b"\0"]), blobs(&[b"\0", b"\0\0"]), json!("AA=="), json!("AAA=")),
        (ColumnType::Json, texts(&["[1]", "[1]"]), texts(&["[1]", "[1 ]"]), json!([1]), json!([1])),
        (
            ColumnType::Timestamp,
            integers(&[0, 0]),
            integers(&[0, 1]),
            json!("1970-01-01T00:00:00.000000Z"),
            json!("1970-01-01T00:00:00.000001Z"),
        ),
        (
            ColumnType::Uuid,
            blobs(&[&one, &one]),
            blobs(&[&one, &other]),
            json!("01070707-0707-0707-0707-070707070707"),
            json!("02070707-0707-0707-0707-070707070707"),
        ),
    ];
    let place = Place::new();
    let read_model = read_model(&place).await;
    let tables: Vec<TableDefinition> = cases
        .iter()
        .enumerate()
        .map(|(number, case)| table(&format!("t{number}"), 1, &[("id", ColumnType::Integer), ("cell", case.0)]))
        .collect();
    let mut blue = Side::new(&read_model, 1, tables.clone()).await;
    let mut green = Side::new(&read_model, 2, tables).await;
    blue.put(1, cases.iter().map(|case| vec![integers(&[1, 2]), case.1.clone()]).collect()).await;
    green.put(1, cases.iter().map(|case| vec![integers(&[1, 2]), case.2.clone()]).collect()).await;
    let comparison = compared(&read_model, &blue, &green, SAMPLES).await;
    for ((of_type, _, _, in_blue, in_green), found) in cases.iter().zip(&comparison.tables) {
        if *of_type == ColumnType::Decimal && read_model.database().dialect() != Dialect::Sqlite {
            // There they are numbers, and these are the same.
            assert_eq!(counts(found), [2, 2, 0, 0, 0], "{of_type}: {found:#?}");
            continue;
        }
        assert_eq!(counts(found), [2, 2, 0, 0, 1], "{of_type}: {found:#?}");
        let row = &found.sample[0];
        let cell = |row: &Option<serde_json::Map<String, Value>>| row.as_ref().unwrap()["cell"].clone();
        assert_eq!(row.columns, ["cell"], "{of_type}");
        assert_eq!((&cell(&row.blue), &cell(&row.green)), (in_blue, in_green), "{of_type}");
    }
    assert!(compared(&read_model, &blue, &blue, SAMPLES).await.holds());
}

#[tokio::test]
async fn keys_of_every_type_find_their_rows() {
    let cases = [
        (ColumnType::Boolean, column(Cells::Booleans(vec![0, 1]), &[]), json!(true)),
        (ColumnType::Integer, integers(&[-5, 7]), json!(7)),
        (ColumnType::Text, texts(&["", "it's \"x\""]), json!("it's \"x\"")),
        (ColumnType::Bytes, blobs(&[b"", b"\xff\0"]), json!("/wA=")),
        (ColumnType::Timestamp, integers(&[-1, 0]), json!("1970-01-01T00:00:00.000000Z")),
        (ColumnType::Uuid, blobs(&[&[0; 16], &[1; 16]]), json!("01010101-0101-0101-0101-010101010101")),
    ];
    for (of_type, column, shown) in cases {
        let definition = || table("rows", 1, &[("id", of_type), ("n", ColumnType::Integer)]);
        let blue = vec![column.clone(), integers(&[1, 2])];
        let found = compare_rows((definition(), blue), (definition(), vec![column, integers(&[1, 3])]), SAMPLES).await;
        assert_eq!(counts(&found), [2, 2, 0, 0, 1], "{of_type}");
        assert_eq!(keys(&found.sample), [json!({ "id": shown })], "{of_type}");
    }
}

#[tokio::test]
async fn null_is_equal_to_null_only() {
    let every = [
        (ColumnType::Boolean, Cells::Booleans(vec![0; 3])),
        (ColumnType::Integer, Cells::Integers(vec![0; 3])),
        (ColumnType::Float, Cells::Floats(vec![0.0; 3])),
        (ColumnType::Text, Cells::Texts(["", "", ""].into_iter().collect())),
        (ColumnType::Bytes, blobs(&[b"", b"", b""]).cells),
    ];
    for (of_type, cells) in every {
        // With and without a column that is equal, for two are compared otherwise than one.
        for columns in [
            &[("id", ColumnType::Integer), ("a", of_type)][..],
            &[("id", ColumnType::Integer), ("a", of_type), ("b", of_type)],
        ] {
            let rows = |nulls: &[usize]| -> Vec<Column> {
                let equal = column(cells.clone(), &[0, 1]);
                let all = [integers(&[1, 2, 3]), column(cells.clone(), nulls), equal];
                all.into_iter().take(columns.len()).collect()
            };
            let definition = || table("rows", 1, columns);
            let found = compare_rows((definition(), rows(&[0, 1])), (definition(), rows(&[0, 2])), SAMPLES).await;
            assert_eq!(counts(&found), [3, 3, 0, 0, 2], "{of_type}");
            assert!(found.sample.iter().all(|row| row.columns == ["a"]), "{found:#?}");
            assert_eq!(found.sample[0].blue.as_ref().unwrap()["a"], Value::Null);
            assert_eq!(found.sample[1].green.as_ref().unwrap()["a"], Value::Null);
        }
    }
}

#[tokio::test]
async fn another_shape_is_told_and_what_both_have_is_compared() {
    let of = |columns: &[(&str, ColumnType)]| table("lines", 1, columns);
    let (id, total) = (("id", ColumnType::Text), ("total", ColumnType::Integer));
    let blue = of(&[id, ("old", ColumnType::Text), total, ("note", ColumnType::Text)]);
    let green = of(&[id, total, ("note", ColumnType::Json), ("new", ColumnType::Integer)]);
    let ids = || texts(&["a", "b"]);
    let green_rows = |totals| vec![ids(), integers(totals), texts(&["1", "2"]), integers(&[5, 6])];
    let blue_rows = || vec![ids(), texts(&["x", "y"]), integers(&[1, 2]), texts(&["3", "4"])];
    let found = compare_rows((blue.clone(), blue_rows()), (green.clone(), green_rows(&[1, 2])), SAMPLES).await;
    assert!(found.holds(), "{found:#?}");
    assert_eq!((found.columns_only_in_blue, found.columns_only_in_green), (vec!["old".into()], vec!["new".into()]));
    assert_eq!(found.columns_of_other_type, ["note"]);

    let found = compare_rows((blue, blue_rows()), (green, green_rows(&[1, 3])), SAMPLES).await;
    assert_eq!((found.holds(), counts(&found)), (false, [2, 2, 0, 0, 1]));
    let row = &found.sample[0];
    assert_eq!(row.columns, ["total"]);
    assert_eq!(json!(row.blue), json!({ "id": "b", "old": "y", "total": 2, "note": "4" }), "whole rows are shown");
    assert_eq!(json!(row.green), json!({ "id": "b", "total": 3, "note": 2, "new": 6 }));

    let mut strict = of(&[id, total]);
    strict.columns[1].nullable = false;
    let rows = || vec![ids(), integers(&[1, 2])];
    let found = compare_rows((of(&[id, total]), rows()), (strict, rows()), SAMPLES).await;
    assert!(found.holds() && found.columns_of_other_type.is_empty(), "whether it may be null is no other type");
}

#[tokio::test]
async fn tables_on_one_side_only_are_listed_and_do_not_matter() {
    let place = Place::new();
    let read_model = read_model(&place).await;
    let of = |name| table(name, 1, &[("id", ColumnType::Text)]);
    let mut blue = Side::new(&read_model, 1, vec![of("old"), of("kept")]).await;
    let mut green = Side::new(&read_model, 2, vec![of("new"), of("kept")]).await;
    blue.put(1, vec![vec![texts(&["a"])], vec![texts(&["a"])]]).await;
    green.put(1, vec![vec![texts(&["a", "b"])], vec![texts(&["a"])]]).await;
    let comparison = compared(&read_model, &blue, &green, SAMPLES).await;
    assert!(comparison.holds(), "{comparison:#?}");
    let found: Vec<_> = comparison.tables.iter().map(|table| (&*table.table, table.presence, counts(table))).collect();
    let expected = [
        ("old", Presence::BlueOnly, [1, 0, 0, 0, 0]),
        ("kept", Presence::Both, [1, 1, 0, 0, 0]),
        ("new", Presence::GreenOnly, [0, 2, 0, 0, 0]),
    ];
    assert_eq!(found, expected);
    assert_eq!(json!(comparison.tables[0].presence), "blue_only");
}

#[tokio::test]
async fn rows_with_another_key_cannot_be_compared() {
    let (id, line, total) = (("id", ColumnType::Text), ("line", ColumnType::Integer), ("total", ColumnType::Integer));
    let blue = || (table("lines", 1, &[id, line]), vec![texts(&["a"]), integers(&[1])]);
    let wider = (table("lines", 2, &[id, line, total]), vec![texts(&["a"]), integers(&[1]), integers(&[1])]);
    let renamed = (table("lines", 1, &[("order", ColumnType::Text), line]), vec![texts(&["a"]), integers(&[1])]);
    let retyped = (table("lines", 1, &[("id", ColumnType::Integer), line]), vec![integers(&[1]), integers(&[1])]);
    for (green, said) in [
        (wider, "blue is keyed by id (text), green by id (text), line (integer)"),
        (renamed, "blue is keyed by id (text), green by order (text)"),
        (retyped, "blue is keyed by id (text), green by id (integer)"),
    ] {
        let found = compare_rows(blue(), green, SAMPLES).await;
        assert_eq!((found.incomparable.as_deref(), found.holds()), (Some(said), false));
        assert_eq!((counts(&found), found.sample), ([1, 1, 0, 0, 0], vec![]));
    }

    // In another order it is the same key.
    let blue = (table("lines", 2, &[id, line, total]), vec![texts(&["a", "b"]), integers(&[2, 1]), integers(&[5, 6])]);
    let green = (table("lines", 2, &[line, id, total]), vec![integers(&[2, 1]), texts(&["a", "c"]), integers(&[7, 6])]);
    let found = compare_rows(blue, green, SAMPLES).await;
    assert_eq!((found.incomparable.as_deref(), counts(&found)), (None, [2, 2, 1, 1, 1]));
    let expected = [json!({ "id": "b", "line": 1 }), json!({ "id": "c", "line": 1 }), json!({ "id": "a", "line": 2 })];
    assert_eq!(keys(&found.sample), expected);
}

#[tokio::test]
async fn samples_are_bounded_and_totals_are_not() {
    let rows = |ids: std::ops::Range<i64>, total: i64| {
        vec![integers(&ids.clone().collect::<Vec<_>>()), integers(&ids.map(|_| total).collect::<Vec<_>>())]
    };
    let definition = || table("lines", 1, &[("id", ColumnType::Integer), ("total", ColumnType::Integer)]);
    for (samples, expected) in [
        (0, vec![]),
        (1, vec![1_000]),
        (3, vec![0, 2_000, 1_000]),
        (9, vec![0, 1, 2, 2_000, 2_001, 2_002, 1_000, 1_001, 1_002]),
    ] {
        // 1,000 rows only in blue, 1,000 that differ, 900 only in green.
        let found =
            compare_rows((definition(), rows(0..2_000, 1)), (definition(), rows(1_000..2_900, 2)), samples).await;
        assert_eq!(counts(&found), [2_000, 1_900, 1_000, 900, 1_000]);
        let ids: Vec<i64> = found.sample.iter().map(|row| row.key["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, expected);
    }
    // Where there are few of a kind, the others have their places.
    let found = compare_rows((definition(), rows(0..50, 1)), (definition(), rows(1..51, 2)), 10).await;
    let ids: Vec<i64> = found.sample.iter().map(|row| row.key["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [0, 50, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_snapshot_sees_nothing_that_is_committed_after_it() {
    let place = Place::new();
    let read_model = read_model(&place).await;
    let definition = || vec![table("lines", 1, &[("id", ColumnType::Text)])];
    let mut blue = Side::new(&read_model, 1, definition()).await;
    let mut green = Side::new(&read_model, 2, definition()).await;
    blue.put(1, vec![vec![texts(&["a"])]]).await;
    green.put(1, vec![vec![texts(&["a"])]]).await;
    let mut before = read_model.snapshot().await.unwrap();
    green.put(2, vec![vec![texts(&["b"])]]).await;
    let (of_blue, of_green) = ((&blue.prepared.id, &*blue.tables), (&green.prepared.id, &*green.tables));
    for _ in 0..2 {
        assert!(before.compare(of_blue, of_green, SAMPLES).await.unwrap().holds());
        assert_eq!(before.positions(of_green.0).await.unwrap(), [Position(1)]);
    }
    drop(before);

    let mut after = read_model.snapshot().await.unwrap();
    assert!(!after.compare(of_blue, of_green, SAMPLES).await.unwrap().holds());
    assert_eq!(after.positions(of_blue.0).await.unwrap(), [Position(1)]);
    assert_eq!(after.positions(of_green.0).await.unwrap(), [Position(2)]);
}

#[tokio::test]
async fn a_snapshot_that_is_dropped_gives_its_reader_back() {
    let place = Place::on_file();
    let read_model = read_model(&place).await;
    let definition = vec![table("lines", 1, &[("id", ColumnType::Text)])];
    let mut blue = Side::new(&read_model, 1, definition).await;
    // More than there are readers.
    for position in 1..=50 {
        blue.put(position, vec![vec![texts(&["a"])]]).await;
        let mut snapshot = read_model.snapshot().await.unwrap();
        assert_eq!(snapshot.positions(&blue.prepared.id).await.unwrap(), [Position(position)], "it sees what is new");
    }
    // Nor does it keep the file of changes from being emptied.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.path("store.sqlite"));
    let mut raw = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let (busy, ..): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut raw).await.unwrap();
    assert_eq!(busy, 0);
}
