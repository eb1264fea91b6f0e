//! Every type of column, out to the host and back in.

use fantascope_sdk::prelude::*;

#[derive(TextEnum, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Size {
    Small,
    ExtraLarge,
    #[text("XXL")]
    Xxl,
}

#[derive(Row, Serialize, Deserialize, Event)]
#[event("AllSet")]
#[row(table = "all_types")]
struct All {
    #[key]
    #[serde(default)]
    id: String,
    boolean: bool,
    integer: i64,
    byte: u8,
    float: f64,
    decimal: Decimal,
    r#type: String,
    #[serde(skip)]
    bytes: Bytes,
    json: Json,
    timestamp: Timestamp,
    uuid: Uuid,
    size: Size,
    no_boolean: Option<bool>,
    no_integer: Option<i32>,
    no_float: Option<f64>,
    no_decimal: Option<Decimal>,
    no_text: Option<String>,
    #[serde(skip)]
    no_bytes: Option<Bytes>,
    no_json: Option<Json>,
    no_timestamp: Option<Timestamp>,
    no_uuid: Option<Uuid>,
    no_size: Option<Size>,
}

/// Does nothing but bring the row there and back.
#[derive(Event, Serialize, Deserialize)]
#[event("Touched")]
struct Touched {}

#[derive(Events)]
#[expect(clippy::large_enum_variant, reason = "a test of few events")]
enum Either {
    Set(All),
    Touched(Touched),
}

impl Fold for All {
    type Event = Either;

    fn apply(row: &mut Entry<Self>, event: &Either, meta: &Meta) -> Result {
        match event {
            Either::Set(all) => {
                let all = serde_json::to_string(all)?;
                let mut all: All = serde_json::from_str(&all)?;
                all.id = row.key().clone();
                all.bytes = Bytes(vec![0, 255, 1]);
                all.no_bytes = all.no_boolean.map(|_| Bytes(Vec::new()));
                row.put(all);
            }
            Either::Touched(_) => {
                let all = row.get()?;
                ensure!(all.bytes.0 == [0, 255, 1], "other bytes: {:?}", all.bytes);
                all.integer = all.integer.saturating_add(i64::from(meta.index()));
            }
        }
        Ok(())
    }
}

fn empty(id: &str) -> All {
    All {
        id: id.into(),
        boolean: true,
        integer: i64::MIN,
        byte: 255,
        float: -1.5e300,
        decimal: "-0012345678901234567890.1250".parse().expect("a decimal"),
        r#type: "ä\n\"\u{1F600}".into(),
        bytes: Bytes(vec![0, 255, 1]),
        json: json!({"a": [1, null, {"b": "c"}]}).into(),
        timestamp: "1969-12-31T23:59:59.000001Z".parse().expect("a time"),
        uuid: Uuid::from_bytes([7; 16]),
        size: Size::ExtraLarge,
        no_boolean: None,
        no_integer: None,
        no_float: None,
        no_decimal: None,
        no_text: None,
        no_bytes: None,
        no_json: None,
        no_timestamp: None,
        no_uuid: None,
        no_size: None,
    }
}

fn full(id: &str) -> All {
    All {
        no_boolean: Some(false),
        no_integer: Some(-1),
        no_float: Some(0.1),
        no_decimal: Some(Decimal::from_minor(150, 2)),
        no_text: Some(String::new()),
        no_bytes: Some(Bytes(Vec::new())),
        no_json: Some(Json::of(&"x").expect("JSON")),
        no_timestamp: Some(Timestamp::default()),
        no_uuid: Some(Uuid::default()),
        no_size: Some(Size::Xxl),
        ..empty(id)
    }
}

#[test]
fn every_type_of_column_comes_back_as_it_went() {
    Spec::of::<All>()
        .given("a", full("a"))
        .given("b", empty("b"))
        .given("c", full("c"))
        .given("a", Touched {})
        .given("b", Touched {})
        .then_rows([full("a"), empty("b"), full("c")]);
}

#[test]
#[should_panic(expected = "\"boolean\":true")]
fn a_difference_is_told() {
    let other = All { size: Size::Small, ..full("a") };
    Spec::of::<All>().given("a", full("a")).then(other);
}

#[test]
#[should_panic(expected = "holds U+0000")]
fn what_the_host_refuses_is_refused() {
    let nul = All { r#type: "\0".into(), ..empty("a") };
    Spec::of::<All>().given("a", nul).then_none();
}

#[derive(Row)]
#[row(table = "keyed")]
struct Keyed {
    #[key]
    flag: bool,
    #[key]
    number: i16,
    #[key]
    bytes: Bytes,
    #[key]
    uuid: Uuid,
    #[key]
    size: Size,
    note: Option<i64>,
}

#[derive(Event, Serialize, Deserialize)]
#[event("Noted")]
struct Noted {
    number: i16,
    size: Size,
}

impl Fold for Keyed {
    type Event = Noted;

    fn keys(event: &Noted, meta: &Meta) -> impl Keys<<Self as Row>::Key> {
        let bytes = Bytes(meta.aggregate_id().into());
        let is_even = event.number % 2 == 0;
        [(is_even, event.number, bytes, Uuid::default(), event.size)]
    }

    fn apply(row: &mut Entry<Self>, _: &Noted, _: &Meta) -> Result {
        let row =
            row.get_or_put(|(flag, number, bytes, uuid, size)| Keyed { flag, number, bytes, uuid, size, note: None });
        row.note = Some(row.note.unwrap_or_default() + 1);
        Ok(())
    }
}

#[test]
fn every_type_of_key_column_finds_its_row() {
    let noted = |number, size| Noted { number, size };
    let keyed = |number, id: &str, size, note| Keyed {
        flag: number % 2 == 0,
        number,
        bytes: id.as_bytes().into(),
        uuid: Uuid::default(),
        size,
        note: Some(note),
    };
    Spec::of::<Keyed>()
        .given("a", noted(-2, Size::Small))
        .given("a", noted(-2, Size::Xxl))
        .given("b", noted(-2, Size::Small))
        .given("a", noted(-1, Size::Small))
        .given("a", noted(-2, Size::Small))
        .then_rows([
            keyed(-2, "a", Size::Small, 2),
            keyed(-2, "a", Size::Xxl, 1),
            keyed(-2, "b", Size::Small, 1),
            keyed(-1, "a", Size::Small, 1),
        ]);
}
