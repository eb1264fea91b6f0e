//! What a guest answers is believed only as far as it was checked.

use fantascope::event::Position;
use fantascope::projection::Phase;

use crate::history::{History, event_id};
use crate::place::Place;

/// The lies of the guest `liar`, and what is said of them.
const LIES: &[(&str, &str)] = &[
    ("KeysOfNoTable", "it speaks of 0 tables, its manifest of 1"),
    ("KeysOfTwoTables", "it speaks of 2 tables, its manifest of 1"),
    ("KeysWithoutColumns", "table `facts`, column `id`: 0 columns, the table has 1"),
    ("KeysFewerThanCounted", "table `facts`, column `id`: 1 values for 2 rows"),
    ("KeysMoreThanCounted", "table `facts`, column `id`: 1 values for 0 rows"),
    ("KeysCountedWithoutEnd", "table `facts`, column `id`: 1 values for 4294967295 rows"),
    ("KeysOfIntegers", "table `facts`, column `id`: the cells are not those of type text"),
    ("KeysNull", "table `facts`, column `id`: row 0 is null"),
    ("KeysBeyondTheText", "table `facts`, column `id`: the ends do not fit the text"),
    ("KeysWithoutAll", "table `facts`, column `id`: the ends do not fit the text"),
    ("KeysInsideACharacter", "table `facts`, column `id`: the ends do not fit the text"),
    ("KeyTwice", "table `facts`, column `id`: the key \"fact-2\" is named twice, in rows 0 and 1"),
    ("ChangesOfNoTable", "it speaks of 0 tables, its manifest of 1"),
    ("ChangesOfTwoTables", "it speaks of 2 tables, its manifest of 1"),
    ("OperationNine", "table `facts`: there is no operation 9"),
    ("OperationsFew", "table `facts`, column `id`: 0 operations for 1 wanted rows"),
    ("OperationsMany", "table `facts`, column `id`: 2 operations for 1 wanted rows"),
    ("PutsFewerThanValues", "table `facts`, column `label`: 1 values for 0 rows"),
    ("CellsOfAnotherType", "table `facts`, column `number`: the cells are not those of type integer"),
    ("ValuesFew", "table `facts`, column `number`: 0 values for 1 rows"),
    ("ValuesMany", "table `facts`, column `number`: 2 values for 1 rows"),
    ("EndsBeyondTheText", "table `facts`, column `label`: the ends do not fit the text"),
    ("EndsBeforeTheText", "table `facts`, column `label`: the ends do not fit the text"),
    ("EndsGoBack", "table `facts`, column `label`: the ends do not fit the text"),
    ("EndsInsideACharacter", "table `facts`, column `label`: the ends do not fit the text"),
    ("EndsOfBytesBeyond", "table `facts`, column `code`: the ends do not fit the bytes"),
    ("NullWhereNoneMayBe", "table `facts`, column `number`: row 0 is null, but the column is not nullable"),
    ("NullMarksMany", "table `facts`, column `label`: 2 null marks for 1 rows"),
    ("NotANumber", "table `facts`, column `ratio`: the value of row 0 is not a float"),
    ("NeitherTrueNorFalse", "table `facts`, column `flag`: the value of row 0 is not a boolean"),
    ("FifteenBytes", "table `facts`, column `code`: the value of row 0 is not a uuid"),
    ("NotJson", "table `facts`, column `note`: the value of row 0 is not a json"),
    ("NotADecimal", "table `facts`, column `amount`: the value of row 0 is not a decimal"),
    ("ZeroByte", "table `facts`, column `label`: the value of row 0 is not a text"),
    ("ColumnsFew", "table `facts`, column `label`: 6 columns, the table has 7"),
    ("ColumnsMany", "table `facts`, column `label`: 8 columns, the table has 7"),
];

async fn check(lie: &str, said: &str) {
    let place = Place::new();
    History::of_types(&["Truth", lie, "Truth"]).import(&place.store().await).await;
    let host = place.run(&["liar"]).await;
    let status = host.status("liar");
    let problem = status.error.expect(lie);
    assert_eq!(
        (status.phase, problem.code.as_str()),
        (Phase::Failed, "guest_answer_malformed"),
        "{lie}: {}",
        problem.message
    );
    assert!(problem.message.contains(said), "{lie}: {} should say {said}", problem.message);
    assert!(problem.message.contains(&format!("position 2, event {}", event_id(2))), "{lie}: {}", problem.message);
    let rows = host.rows("liar", "facts").await;
    assert_eq!((rows.len(), &rows[0]["id"]), (1, &"fact-1".into()), "{lie}");
    assert_eq!((host.checkpoint("liar").await, status.position), (1, Position(1)), "{lie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lie_is_named_and_nothing_of_it_is_written() {
    for (lie, said) in LIES {
        check(lie, said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_truth_is_written_as_it_was_told() {
    let place = Place::new();
    History::of_types(&["Truth", "Truth"]).import(&place.store().await).await;
    let host = place.run(&["liar"]).await;
    assert_eq!(host.status("liar").error.map(|problem| problem.message), None);
    // MySQL keeps the number, not how it was written.
    let amount = place.raw().await.dialect().pick("12.50", "12.50", "12.5");
    let expected = serde_json::json!({
        "id": "fact-2", "label": "lämp", "number": 42, "ratio": 0.5, "flag": true,
        "code": "07070707-0707-0707-0707-070707070707", "note": {}, "amount": amount,
    });
    assert_eq!(host.rows("liar", "facts").await[1], expected);
}
