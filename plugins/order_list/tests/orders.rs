//! Given what happened to orders, then how the list shows them.

use fantascope_sdk::prelude::*;
use fantascope_sdk::spec::ProjectionSpec;
use order_list::{Line, Order, OrderCancelled, OrderPaid, OrderPlaced, OrderShipped, Status};

const MONDAY: &str = "2026-01-05T09:00:00Z";
const TUESDAY: &str = "2026-01-06T10:30:00Z";

fn placed() -> OrderPlaced {
    let line = |sku: &str, quantity, unit_cents| Line { sku: sku.into(), quantity, unit_cents };
    OrderPlaced {
        customer: "ada".into(),
        currency: "EUR".into(),
        total_cents: 4500,
        lines: vec![line("cup", 3, 500), line("pot", 1, 3000)],
    }
}

fn paid(amount_cents: i64) -> OrderPaid {
    OrderPaid { payment_id: "p-1".into(), amount_cents }
}

/// The order that `placed` makes, on Monday.
fn order() -> Order {
    Order {
        id: "o-1".into(),
        customer: "ada".into(),
        status: Status::Placed,
        total_cents: 4500,
        paid_cents: 0,
        currency: "EUR".into(),
        items: 4,
        carrier: None,
        tracking: None,
        cancel_reason: None,
        placed_at: MONDAY.parse().expect("a time"),
        updated_at: MONDAY.parse().expect("a time"),
    }
}

/// Placed on Monday; what follows happens on Tuesday.
fn placed_on_monday() -> ProjectionSpec<Order> {
    Spec::of::<Order>().aggregate_type("order").at(MONDAY).given("o-1", placed()).at(TUESDAY)
}

fn updated_on_tuesday() -> Order {
    Order { updated_at: TUESDAY.parse().expect("a time"), ..order() }
}

#[test]
fn a_placed_order_is_listed_with_its_pieces_counted() {
    placed_on_monday().then(order());
}

#[test]
fn payments_add_up() {
    placed_on_monday().given("o-1", paid(1500)).given("o-1", paid(3000)).then(Order {
        status: Status::Paid,
        paid_cents: 4500,
        ..updated_on_tuesday()
    });
}

#[test]
fn a_shipped_order_shows_its_parcel() {
    placed_on_monday().given("o-1", OrderShipped { carrier: "dhl".into(), tracking: "JD01".into() }).then(Order {
        status: Status::Shipped,
        carrier: Some("dhl".into()),
        tracking: Some("JD01".into()),
        ..updated_on_tuesday()
    });
}

#[test]
fn a_cancelled_order_stays_listed_with_the_reason() {
    placed_on_monday().given("o-1", OrderCancelled { reason: "out of stock".into() }).then(Order {
        status: Status::Cancelled,
        cancel_reason: Some("out of stock".into()),
        ..updated_on_tuesday()
    });
}

#[test]
fn orders_are_told_apart() {
    placed_on_monday().given("o-2", paid(1)).then_error("no `orders` row at key \"o-2\"");
}

#[test]
fn an_amount_that_is_no_number_is_named() {
    Spec::of::<Order>()
        .given_json(
            "o-1",
            "OrderPlaced",
            2,
            json!({"customer": "ada", "currency": "EUR", "total_cents": "45.00", "lines": []}),
        )
        .then_error("OrderPlaced v2, at total_cents: invalid type: string \"45.00\", expected i64");
}

#[test]
fn an_order_of_the_old_schema_asks_for_an_upcaster() {
    Spec::of::<Order>()
        .given_json("o-1", "OrderPlaced", 1, json!({"total": "45.00"}))
        .then_error("deploy an upcaster that takes v1");
}
