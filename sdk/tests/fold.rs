//! Tables: keys of all sorts, several tables, errors and what they say.

use fantascope_sdk::prelude::*;
use fantascope_sdk::spec::json;

#[derive(Event, Serialize, Deserialize)]
#[event("OrderPlaced", v = 2)]
struct OrderPlaced {
    customer: String,
    total_cents: i64,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    sku: String,
    quantity: u32,
}

#[derive(Event, Serialize, Deserialize)]
#[event("OrderShipped")]
struct OrderShipped {
    carrier: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("OrderCancelled")]
struct OrderCancelled {}

#[derive(Events)]
enum OrderEvent {
    Placed(OrderPlaced),
    Shipped(OrderShipped),
    Cancelled(OrderCancelled),
}

#[derive(Row)]
#[row(table = "orders", index(customer))]
struct Order {
    #[key]
    id: String,
    customer: String,
    total_cents: i64,
    carrier: Option<String>,
}

impl Fold for Order {
    type Event = OrderEvent;

    fn apply(row: &mut Entry<Self>, event: &OrderEvent, meta: &Meta) -> Result {
        match event {
            OrderEvent::Placed(e) => row.put(Order {
                id: meta.aggregate_id().into(),
                customer: e.customer.clone(),
                total_cents: e.total_cents,
                carrier: None,
            }),
            OrderEvent::Shipped(e) => row.get()?.carrier = Some(e.carrier.clone()),
            OrderEvent::Cancelled(_) => row.delete(),
        }
        Ok(())
    }
}

fn placed(total_cents: i64) -> OrderPlaced {
    OrderPlaced { customer: "ada".into(), total_cents, lines: Vec::new() }
}

fn shipped() -> OrderShipped {
    OrderShipped { carrier: "dhl".into() }
}

fn order(id: &str, total_cents: i64, carrier: Option<&str>) -> Order {
    Order { id: id.into(), customer: "ada".into(), total_cents, carrier: carrier.map(Into::into) }
}

#[test]
fn rows_are_put_changed_and_deleted() {
    Spec::of::<Order>().then_none();
    Spec::of::<Order>()
        .given("o-1", placed(100))
        .given("o-2", placed(200))
        .given("o-1", shipped())
        .given("o-3", placed(300))
        .given("o-3", OrderCancelled {})
        .then_rows([order("o-2", 200, None), order("o-1", 100, Some("dhl"))]);
    Spec::of::<Order>()
        .given("o-1", placed(100))
        .given("o-1", OrderCancelled {})
        .given("o-1", placed(200))
        .then(order("o-1", 200, None));
    Spec::of::<Order>().given("o-1", OrderCancelled {}).then_none();
}

#[test]
fn a_missing_row_is_an_error_that_names_table_and_key() {
    Spec::of::<Order>().given("o-1", placed(100)).given("o-9", shipped()).then_error(
        "position 2, event 01920000-0000-7000-8000-000000000002, OrderShipped v1: \
             no `orders` row at key \"o-9\"",
    );
}

#[test]
fn an_undecodable_field_is_an_error_that_names_it() {
    let check = |data, message: &str| {
        Spec::of::<Order>()
            .given("o-1", placed(100))
            .given_json("o-2", "OrderPlaced", 2, data)
            .given("o-9", shipped())
            .then_error(&format!("position 2, event 01920000-0000-7000-8000-000000000002, OrderPlaced v2{message}"));
    };
    check(
        json!({"customer": "ada", "total_cents": "12.50"}),
        ", at total_cents: invalid type: string \"12.50\", expected i64",
    );
    check(
        json!({"customer": "ada", "total_cents": 1, "lines": [{"sku": "a", "quantity": 1}, {"sku": "b", "quantity": -1}]}),
        ", at lines[1].quantity: invalid value: integer `-1`, expected u32",
    );
    check(json!({"customer": "ada"}), ": missing field `total_cents`");
}

#[test]
fn the_earliest_event_that_fails_is_the_one_that_is_named() {
    // The second can't be folded, the third can't even be decoded.
    Spec::of::<Order>()
        .given("o-1", placed(100))
        .given("o-9", shipped())
        .given_json("o-2", "OrderPlaced", 2, json!({}))
        .then_error("position 2,");
}

#[test]
fn an_unread_version_is_an_error_that_says_what_to_deploy() {
    Spec::of::<Order>().given_json("o-1", "OrderPlaced", 1, json!({"total": "12.50"})).then_error(
        "OrderPlaced v1: v1 of `OrderPlaced` came, but only v2 is read: \
             deploy an upcaster that takes v1",
    );
    Spec::of::<Order>()
        .given_json("o-1", "OrderPlaced", 3, json!({}))
        .then_error("but only v2 is read: deploy a newer plugin that reads v3");
}

#[test]
fn types_that_no_variant_reads_are_passed_over() {
    Spec::of::<Order>().given_json("o-1", "OrderPaid", 7, json!({"whatever": 1})).then_none();
}

#[derive(Event, Serialize, Deserialize)]
#[event("OrderPlaced")]
struct OrderPlacedV1 {
    total: String,
}

#[derive(Events)]
enum BothVersions {
    Old(OrderPlacedV1),
    New(OrderPlaced),
}

#[derive(Row)]
#[row(table = "totals")]
struct Total {
    #[key]
    id: String,
    cents: i64,
}

impl Fold for Total {
    type Event = BothVersions;

    fn apply(row: &mut Entry<Self>, event: &BothVersions, _: &Meta) -> Result {
        let cents = match event {
            BothVersions::Old(e) => e.total.parse::<i64>().at("total")? * 100,
            BothVersions::New(e) => e.total_cents,
        };
        row.get_or_put(|id| Total { id, cents: 0 }).cents += cents;
        Ok(())
    }
}

#[test]
fn a_set_may_hold_two_versions_of_a_type() {
    let old = |total: &str| OrderPlacedV1 { total: total.into() };
    Spec::of::<Total>().given("o-1", old("7")).given("o-1", placed(5)).then(Total { id: "o-1".into(), cents: 705 });
    Spec::of::<Total>()
        .given("o-1", old("seven"))
        .then_error("OrderPlaced v1, at total: invalid digit found in string");
    Spec::of::<Total>().given_json("o-1", "OrderPlaced", 4, json!({})).then_error("only v1, v2 is read");
}

/// Composite keys of a plugin's own making, several of them for one event, or none.
#[derive(Row)]
#[row(table = "sold", index(sku), index(day, pieces))]
struct Sold {
    pieces: i64,
    #[key]
    sku: String,
    #[key]
    #[column("on_day")]
    day: Timestamp,
}

const DAY_MICROS: i64 = 86_400_000_000;

impl Fold for Sold {
    type Event = OrderPlaced;

    fn keys(event: &OrderPlaced, meta: &Meta) -> impl Keys<(String, Timestamp)> {
        let micros = meta.timestamp().as_micros();
        let day = Timestamp::from_micros(micros - micros.rem_euclid(DAY_MICROS));
        let skus = event.lines.iter().map(|line| line.sku.clone());
        skus.map(move |sku| (sku, day)).collect::<Vec<_>>()
    }

    fn apply(row: &mut Entry<Self>, event: &OrderPlaced, _: &Meta) -> Result {
        let lines = event.lines.iter().filter(|line| line.sku == row.key().0);
        let pieces: i64 = lines.map(|line| i64::from(line.quantity)).sum();
        let none = |(sku, day)| Sold { pieces: 0, sku, day };
        row.get_or_put(none).pieces += pieces;
        Ok(())
    }
}

#[test]
fn keys_may_be_composite_several_or_none() {
    let placed = |lines: &[(&str, u32)]| OrderPlaced {
        customer: "ada".into(),
        total_cents: 0,
        lines: lines.iter().map(|(sku, quantity)| Line { sku: (*sku).into(), quantity: *quantity }).collect(),
    };
    let sold = |sku: &str, day: &str, pieces| Sold { sku: sku.into(), day: day.parse().expect("a time"), pieces };
    Spec::of::<Sold>()
        .at("2026-01-01T10:00:00Z")
        // The same key twice in one event counts once.
        .given("o-1", placed(&[("cup", 2), ("pot", 1), ("cup", 3)]))
        .given("o-2", placed(&[]))
        .at("2026-01-01T23:59:59.999999Z")
        .given("o-3", placed(&[("pot", 1)]))
        .at("2026-01-02T00:00:00Z")
        .given("o-4", placed(&[("cup", 1)]))
        .then_rows([
            sold("cup", "2026-01-01T00:00:00Z", 5),
            sold("pot", "2026-01-01T00:00:00Z", 2),
            sold("cup", "2026-01-02T00:00:00Z", 1),
        ]);
}

#[derive(Row)]
#[row(table = "strays")]
struct Stray {
    #[key]
    id: String,
}

impl Fold for Stray {
    type Event = OrderShipped;

    fn apply(row: &mut Entry<Self>, event: &OrderShipped, _: &Meta) -> Result {
        row.put(Stray { id: event.carrier.clone() });
        Ok(())
    }
}

#[test]
fn a_row_stays_at_its_key() {
    Spec::of::<Stray>().given("dhl", shipped()).then(Stray { id: "dhl".into() });
    Spec::of::<Stray>().given("o-1", shipped()).then_error("the `strays` row at key \"o-1\" was given another key");
}

/// All that is known of an event beside its payload.
#[derive(Row)]
#[row(table = "seen")]
struct Seen {
    #[key]
    position: i64,
    event_id: Uuid,
    event_type: String,
    event_version: u32,
    aggregate: String,
    aggregate_version: i64,
    day: String,
    month: String,
    user: Option<String>,
    correlation: Option<String>,
    causation: Option<String>,
    channel: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    channel: Option<String>,
}

impl Fold for Seen {
    type Event = AnyEvent;

    fn keys(_: &AnyEvent, meta: &Meta) -> impl Keys<i64> {
        i64::try_from(meta.position()).ok()
    }

    fn apply(row: &mut Entry<Self>, event: &AnyEvent, meta: &Meta) -> Result {
        row.put(Seen {
            position: *row.key(),
            event_id: meta.event_id(),
            event_type: event.event_type().into(),
            event_version: event.event_version(),
            aggregate: format!("{}/{}", meta.aggregate_type(), meta.aggregate_id()),
            aggregate_version: meta.aggregate_version().try_into()?,
            day: meta.day(),
            month: meta.month(),
            user: meta.user_id().map(Into::into),
            correlation: meta.correlation_id().map(Into::into),
            causation: meta.causation_id().map(Into::into),
            channel: meta.decode_metadata::<Metadata>()?.channel,
        });
        Ok(())
    }
}

#[test]
fn meta_tells_what_is_known_of_an_event() {
    let seen = |position, aggregate: &str, aggregate_version| Seen {
        position,
        event_id: format!("01920000-0000-7000-8000-{position:012x}").parse().expect("a UUID"),
        event_type: "OrderShipped".into(),
        event_version: 1,
        aggregate: aggregate.into(),
        aggregate_version,
        day: "2026-01-01".into(),
        month: "2026-01".into(),
        user: None,
        correlation: None,
        causation: None,
        channel: None,
    };
    Spec::of::<Seen>()
        .given("o-1", shipped())
        .aggregate_type("order")
        .given("o-1", shipped())
        .at("2024-02-29T23:00:00Z")
        .by("grace")
        .correlation_id("c-1")
        .causation_id("e-1")
        .metadata(json!({"channel": "web", "more": [1]}))
        .given("o-1", shipped())
        .then_rows([
            seen(1, "aggregate/o-1", 1),
            seen(2, "order/o-1", 1),
            Seen {
                day: "2024-02-29".into(),
                month: "2024-02".into(),
                user: Some("grace".into()),
                correlation: Some("c-1".into()),
                causation: Some("e-1".into()),
                channel: Some("web".into()),
                ..seen(3, "order/o-1", 2)
            },
        ]);
    Spec::of::<Seen>()
        .metadata(json!({"channel": 7}))
        .given("o-1", shipped())
        .then_error("at metadata.channel: invalid type: integer `7`, expected a string");
}

#[derive(Events)]
enum Audited {
    #[event(any)]
    Other(AnyEvent),
    #[event(prefix = "Order")]
    Order(AnyEvent),
    #[event(prefix = "OrderS")]
    OrderS(AnyEvent),
    Cancelled(OrderCancelled),
}

#[derive(Row)]
#[row(table = "audit")]
struct Audit {
    #[key]
    id: String,
    kinds: String,
}

impl Fold for Audit {
    type Event = Audited;

    fn apply(row: &mut Entry<Self>, event: &Audited, _: &Meta) -> Result {
        let kind = match event {
            Audited::Other(e) => format!("other {} {}", e.event_type(), e.data()),
            Audited::Order(e) => format!("order {} v{}", e.event_type(), e.event_version()),
            Audited::OrderS(e) => format!("by {}", e.decode::<OrderShipped>()?.carrier),
            Audited::Cancelled(_) => "cancelled".to_owned(),
        };
        let audit = row.get_or_put(|id| Audit { id, kinds: String::new() });
        audit.kinds = format!("{}{kind};", audit.kinds);
        Ok(())
    }
}

#[test]
fn a_set_may_read_by_prefix_and_any_event() {
    Spec::of::<Audit>()
        .given_json("a", "Paid", 1, json!({"x": 1}))
        .given_json("a", "OrderPaid", 3, json!({}))
        .given("a", shipped())
        .given("a", OrderCancelled {})
        .then(Audit { id: "a".into(), kinds: "other Paid {\"x\":1};order OrderPaid v3;by dhl;cancelled;".into() });
    Spec::of::<Audit>()
        .given_json("a", "OrderSent", 1, json!({"carrier": null}))
        .then_error("OrderSent v1, at carrier: invalid type: null, expected a string");
    Spec::of::<Audit>().given_json("a", "OrderCancelled", 2, json!({})).then_error("only v1 is read");
}

mod exported {
    use super::{Order, Sold, Total};

    fantascope_sdk::projection! { name = "orders", version = 3, tables = [Order, Sold, Total] }
}
