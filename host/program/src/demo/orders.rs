//! Orders of a shop, from the basket to the doorstep.

use serde::Serialize;

use super::journal::{Fact, Journal};
use super::names;
use super::plan::{DAY, HOUR, MINUTE, Plan};
use super::random::Random;
use model::event::Timestamp;

pub(super) const AGGREGATE_TYPE: &str = "Order";

/// An order on its way.
#[derive(Debug)]
pub(super) struct Order {
    number: u64,
    /// Whether it was placed in the days of old.
    is_old: bool,
    /// How many events it has.
    pub(super) version: u64,
    /// The number of its last event, which causes the next one.
    cause: Option<u64>,
    random: Random,
    next: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Place,
    CancelUnpaid,
    Pay,
    /// Old orders only: one event told of both.
    PayAndShip,
    Ship,
    CancelPaid,
    Return,
}

impl Order {
    pub(super) fn new(plan: &Plan, number: u64, at: Timestamp) -> Self {
        let random = Random::of(plan.seed, AGGREGATE_TYPE, number);
        Self { number, is_old: plan.is_old(at), version: 0, cause: None, random, next: Step::Place }
    }

    pub(super) fn id(&self) -> String {
        format!("order-{:06}", self.number)
    }

    /// Does the next step, and says when to come back.
    pub(super) fn advance(&mut self, at: Timestamp, journal: &mut Journal) -> Option<Timestamp> {
        match self.next {
            Step::Place => self.place(at, journal),
            Step::CancelUnpaid => self.cancel(at, journal, ["never paid", "changed their mind", "ordered twice"]),
            Step::Pay => self.pay(at, journal),
            Step::PayAndShip => self.pay_and_ship(at, journal),
            Step::Ship => self.ship(at, journal),
            Step::CancelPaid => {
                self.cancel(at, journal, ["out of stock", "no longer needed", "address unknown"]);
                self.refund(at, journal, "cancelled");
            }
            Step::Return => self.refund(at, journal, "sent back"),
        }
        self.after(at, journal.plan())
    }

    /// Decides what comes after the step that was done at `at`.
    fn after(&mut self, at: Timestamp, plan: &Plan) -> Option<Timestamp> {
        let random = &mut self.random;
        let (next, delay) = match self.next {
            Step::Place if random.percent(10) => (Step::CancelUnpaid, hours(random, 2, 240)),
            Step::Place => {
                let is_late = random.percent(15);
                let delay = if is_late { hours(random, 72, 480) } else { minutes(random, 1, 90) };
                if plan.is_old(Timestamp(at.0 + delay + 3 * DAY)) {
                    (Step::PayAndShip, delay + hours(random, 20, 72))
                } else {
                    (Step::Pay, delay)
                }
            }
            Step::Pay if random.percent(4) => (Step::CancelPaid, hours(random, 1, 48)),
            Step::Pay if random.percent(97) => (Step::Ship, hours(random, 6, 96)),
            Step::Ship | Step::PayAndShip if random.percent(3) => (Step::Return, hours(random, 72, 500)),
            _ => return None,
        };
        self.next = next;
        Some(Timestamp(at.0 + delay))
    }

    fn place(&mut self, at: Timestamp, journal: &mut Journal) {
        let is_old = self.is_old;
        self.write(at, journal, "OrderPlaced", By::Customer, |basket, _| {
            if is_old {
                Payload::PlacedV1 {
                    customer: basket.customer,
                    total: decimal(basket.total_cents),
                    items: items(&basket.lines),
                }
            } else {
                let Basket { customer, currency, total_cents, lines } = basket;
                Payload::Placed { customer, currency, total_cents, lines }
            }
        });
    }

    fn pay(&mut self, at: Timestamp, journal: &mut Journal) {
        self.write(at, journal, "OrderPaid", By::User("payments"), |basket, number| Payload::Paid {
            payment_id: payment_id(number),
            amount_cents: basket.total_cents,
            currency: basket.currency,
            lines: basket.lines,
        });
    }

    fn pay_and_ship(&mut self, at: Timestamp, journal: &mut Journal) {
        self.write(at, journal, "OrderPaidAndShipped", By::User("backoffice"), |basket, number| {
            Payload::PaidAndShippedV1 {
                payment_id: payment_id(number),
                amount: decimal(basket.total_cents),
                items: items(&basket.lines),
                carrier: carrier(number),
                tracking: tracking(number),
            }
        });
    }

    fn ship(&mut self, at: Timestamp, journal: &mut Journal) {
        let packer = ["warehouse.lena", "warehouse.omar", "warehouse.theo"][(self.number % 3) as usize];
        self.write(at, journal, "OrderShipped", By::User(packer), |_, number| Payload::Shipped {
            carrier: carrier(number),
            tracking: tracking(number),
        });
    }

    fn cancel(&mut self, at: Timestamp, journal: &mut Journal, reasons: [&'static str; 3]) {
        let reason = reasons[(self.number % 3) as usize];
        self.write(at, journal, "OrderCancelled", By::User("support.sarah"), |_, _| Payload::Cancelled { reason });
    }

    fn refund(&mut self, at: Timestamp, journal: &mut Journal, reason: &'static str) {
        self.write(at, journal, "OrderRefunded", By::User("payments"), |basket, number| Payload::Refunded {
            payment_id: payment_id(number),
            amount_cents: basket.total_cents,
            currency: basket.currency,
            reason,
        });
    }

    fn write(
        &mut self,
        at: Timestamp,
        journal: &mut Journal,
        event_type: &'static str,
        by: By,
        tell: impl FnOnce(Basket, u64) -> Payload,
    ) {
        let Self { number, is_old, cause, .. } = *self;
        let written = journal.write(at, |journal| {
            let basket = Basket::of(journal.plan(), number, is_old);
            let user = match by {
                By::Customer => basket.customer.clone(),
                By::User(user) => user.to_owned(),
            };
            let payload = tell(basket, number);
            let correlation = format!("checkout-{number:06}");
            (Fact { event_type, version: payload.version(), user, correlation, cause }, payload)
        });
        self.version += 1;
        self.cause = Some(written);
    }
}

enum By {
    Customer,
    User(&'static str),
}

/// What an order is about: a function of its number and age, so that it can be told
/// again with every event instead of being kept.
struct Basket {
    customer: String,
    currency: &'static str,
    total_cents: i64,
    lines: Vec<Line>,
}

impl Basket {
    fn of(plan: &Plan, number: u64, is_old: bool) -> Self {
        let mut random = Random::of(plan.seed, "Basket", number);
        let customer = names::login(names::first(&mut random), names::last(&mut random));
        // Of old, the shop knew euros only.
        let currency = if is_old { "EUR" } else { random.pick(&["EUR", "EUR", "EUR", "USD", "USD", "GBP"]) };
        let lines: Vec<Line> = (0..random.between(1, 3))
            .map(|_| {
                let (sku, unit_cents) = random.pick(&PRODUCTS);
                Line { sku, quantity: random.pick(&[1, 1, 1, 2, 2, 3, 6]), unit_cents }
            })
            .collect();
        let total_cents = lines.iter().map(|line| i64::from(line.quantity) * line.unit_cents).sum();
        Self { customer, currency, total_cents, lines }
    }
}

/// SKU and price in cents.
const PRODUCTS: [(&str, i64); 20] = [
    ("lamp-oil-1l", 1_290),
    ("lens-30mm", 8_900),
    ("lens-50mm", 11_900),
    ("lens-90mm", 18_450),
    ("magic-lantern", 64_900),
    ("mirror-small", 2_350),
    ("mirror-large", 5_990),
    ("screen-2m", 12_400),
    ("screen-3m", 19_800),
    ("slide-alps", 1_450),
    ("slide-box", 3_200),
    ("slide-comet", 1_650),
    ("slide-fairy-tale", 1_450),
    ("slide-ghost", 1_950),
    ("slide-harbour", 1_450),
    ("slide-moon", 1_650),
    ("slide-storm", 1_950),
    ("trolley", 9_750),
    ("tripod", 7_990),
    ("wick", 250),
];

/// What is said of an order, in the schemas of today and of old.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload {
    PlacedV1 { customer: String, total: String, items: Vec<ItemV1> },
    Placed { customer: String, currency: &'static str, total_cents: i64, lines: Vec<Line> },
    Paid { payment_id: String, amount_cents: i64, currency: &'static str, lines: Vec<Line> },
    PaidAndShippedV1 { payment_id: String, amount: String, items: Vec<ItemV1>, carrier: &'static str, tracking: String },
    Shipped { carrier: &'static str, tracking: String },
    Cancelled { reason: &'static str },
    Refunded { payment_id: String, amount_cents: i64, currency: &'static str, reason: &'static str },
}

#[derive(Serialize)]
struct Line {
    sku: &'static str,
    quantity: u32,
    unit_cents: i64,
}

/// Of old, prices were decimal texts, in euros without saying so.
#[derive(Serialize)]
struct ItemV1 {
    sku: &'static str,
    quantity: u32,
    price: String,
}

impl Payload {
    fn version(&self) -> u32 {
        if matches!(self, Self::Placed { .. }) { 2 } else { 1 }
    }
}

fn items(lines: &[Line]) -> Vec<ItemV1> {
    lines
        .iter()
        .map(|line| ItemV1 { sku: line.sku, quantity: line.quantity, price: decimal(line.unit_cents) })
        .collect()
}

fn decimal(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn payment_id(order: u64) -> String {
    format!("pay-{order:06}")
}

fn carrier(order: u64) -> &'static str {
    ["DHL", "UPS", "PostNL", "Royal Mail"][(order % 4) as usize]
}

fn tracking(order: u64) -> String {
    format!("{}{:08}", ["JD", "1Z", "3S", "RM"][(order % 4) as usize], order * 7_919 % 100_000_000)
}

fn hours(random: &mut Random, first: u64, last: u64) -> i64 {
    random.between(first * 60, last * 60) as i64 * MINUTE + random.below(HOUR as u64 / 60) as i64
}

fn minutes(random: &mut Random, first: u64, last: u64) -> i64 {
    random.between(first * 60_000, last * 60_000) as i64 * 1_000
}
