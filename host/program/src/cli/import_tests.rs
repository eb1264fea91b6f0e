//! Files that can be imported, and files that can't.

use std::io::Write as _;

use super::*;
use database::Database;

struct Imports {
    folder: tempfile::TempDir,
    store: Store,
    limits: Limits,
}

impl Imports {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits { event_bytes_max: 1_000, ..Limits::default() };
        let database =
            Database::at(&format!("sqlite:{}/store.sqlite", folder.path().display())).await.expect("a database");
        let store = Store::open(&database, &limits).await.expect("a store");
        Self { folder, store, limits }
    }

    async fn import(&self, content: &[u8]) -> anyhow::Result<(u64, u64, u64)> {
        let path = self.folder.path().join("f");
        std::fs::write(&path, content).expect("written");
        let mut file = ImportFile::open(&path)?;
        let done = import(&self.store, &mut file, &self.limits, &ProgressBar::hidden()).await?;
        Ok((done.read, done.added, done.present))
    }

    async fn refused(&self, content: &[u8], expected: &str) {
        let before = self.store.refresh_head().await.expect("a head");
        let fault = format!("{:#}", self.import(content).await.expect_err(expected));
        let fault = fault.replace(&self.folder.path().display().to_string(), "");
        assert!(fault.contains(expected), "{fault} should say {expected}");
        assert_eq!(self.store.refresh_head().await.expect("a head"), before, "{expected}: nothing may be added");
    }
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

fn line(number: u64, aggregate: &str, version: u64) -> String {
    format!(
        "{{\"position\":{number},\"event_id\":\"{}\",\"event_type\":\"A\",\"aggregate_type\":\"T\",\"aggregate_id\":\"{aggregate}\",\
         \"aggregate_version\":{version},\"event_timestamp\":\"2026-01-31T09:30:00Z\",\"metadata\":{{}},\"event_data\":{{ \"n\": {number} }}}}\n",
        id(number)
    )
}

/// One aggregate, from version 1.
fn lines(count: u64) -> String {
    (1..=count).map(|number| line(number, "a", number)).collect()
}

#[tokio::test]
async fn adds_what_is_missing_and_nothing_twice() {
    let imports = Imports::new().await;
    assert_eq!(imports.import(lines(2_500).as_bytes()).await.expect("imported"), (2_500, 2_500, 0));
    assert_eq!(imports.import(lines(2_500).as_bytes()).await.expect("imported"), (2_500, 0, 2_500));
    assert_eq!(imports.import(lines(2_503).as_bytes()).await.expect("imported"), (2_503, 3, 2_500));
    assert_eq!(imports.import(b"").await.expect("imported"), (0, 0, 0));
}

#[tokio::test]
async fn reads_gzip_marks_and_empty_lines() {
    let imports = Imports::new().await;
    let text = format!("\u{feff}\r\n{}\n  \n{}", line(1, "a", 1).replace('\n', "\r\n"), line(2, "a", 2).trim_end());
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).expect("packed");
    let packed = packer.finish().expect("packed");
    assert_eq!(imports.import(&packed).await.expect("imported"), (2, 2, 0));
    assert_eq!(imports.import(text.as_bytes()).await.expect("imported"), (2, 0, 2));
    imports.refused(&packed[..packed.len() - 9], "cannot be read").await;
}

#[tokio::test]
async fn names_the_line_and_column_of_what_is_no_event() {
    let imports = Imports::new().await;
    let after = |bad: &str| format!("{}\n{bad}\n", line(1, "a", 1));
    for (bad, expected) in [
        ("{", "/f:3:1: EOF while parsing"),
        ("nope", "/f:3:2: expected ident"),
        ("[]", "/f:3: invalid type: sequence, expected a JSON object"),
        (&line(2, "a", 2).replace("\"event_type\":\"A\",", ""), "missing field `event_type`"),
        (&line(2, "a", 2).replace("\"metadata\"", "\"meta\""), "unknown field `meta`"),
        (
            &line(2, "a", 2).replace("\"aggregate_version\":2", "\"aggregate_version\":\"2\""),
            "at aggregate_version: invalid type: string",
        ),
        (
            &line(2, "a", 2).replace("2026-01-31T09:30:00Z", "today"),
            "at event_timestamp: `today` is not an RFC 3339 time",
        ),
        (&line(2, "a", 2).replace("{ \"n\": 2 }", "7"), "/f:3: `event_data` must be a JSON object"),
        (
            &line(2, "a", 2).replace("{ \"n\": 2 }", &format!("{{\"n\":\"{}\"}}", "x".repeat(1_000))),
            "/f:3: `event_data` has 1008 bytes",
        ),
        (&format!("{} x", line(2, "a", 2).trim_end()), "trailing characters"),
        (&"x".repeat(100_000), "line 3 is longer than"),
    ] {
        imports.refused(after(bad).as_bytes(), expected).await;
    }
    imports.refused(b"\xff\xfe", "/f:1:").await;
}

#[tokio::test]
async fn refuses_what_contradicts_itself_or_the_store() {
    let imports = Imports::new().await;
    imports
        .refused(
            (line(1, "a", 1) + &line(2, "a", 3)).as_bytes(),
            "/f:2: aggregate T/a continues with version 2, this event has 3",
        )
        .await;
    imports
        .refused(
            (line(1, "a", 1) + &line(1, "b", 1)).as_bytes(),
            "/f:2: event id 00000000-0000-0000-0000-000000000001 occurs in line 1 already",
        )
        .await;
    imports.import(line(1, "a", 1).as_bytes()).await.expect("imported");
    imports.refused(line(1, "b", 1).as_bytes(), "/f:1: event id 00000000-0000-0000-0000-000000000001 is taken").await;
    imports.refused(line(2, "a", 1).as_bytes(), "/f:1: aggregate T/a continues with version 2, this event has 1").await;
}

#[tokio::test]
async fn a_fault_behind_the_first_chunk_adds_nothing() {
    let imports = Imports::new().await;
    imports
        .refused(
            (lines(1_500) + &line(9_999, "a", 1_502)).as_bytes(),
            "/f:1501: aggregate T/a continues with version 1501",
        )
        .await;
    imports.refused((lines(1_500) + &line(1, "b", 1)).as_bytes(), "/f:1501: event id").await;
}

#[tokio::test]
async fn shows_many_faults_but_not_all() {
    let imports = Imports::new().await;
    imports.refused("nope\n".repeat(100).as_bytes(), "/f:20:2: expected ident\n  … and perhaps more").await;
}
