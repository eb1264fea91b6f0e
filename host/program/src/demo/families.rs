//! Families of a homeschool co-op: their children, their monthly dues, and whether
//! they can get into the portal.

use serde::Serialize;
use time::{Month, OffsetDateTime};
use uuid::Uuid;

use super::journal::{Fact, Journal};
use super::names;
use super::plan::{DAY, HOUR, MINUTE, Plan};
use super::random::Random;
use model::event::Timestamp;

pub(super) const AGGREGATE_TYPE: &str = "Family";

/// How long after its date a payment is overdue.
const GRACE: i64 = 15 * DAY;

const CURRENCY: &str = "USD";

/// Who keeps the books by hand.
const COORDINATOR: &str = "sarah";
/// What happens by itself.
const SYSTEM: &str = "system";

/// A family in the course of its months.
#[derive(Debug)]
pub(super) struct Family {
    number: u64,
    /// How many events it has.
    pub(super) version: u64,
    random: Random,
    next: Step,
    children: u64,
    /// When the dues of the current month were to be paid, and how many there were so far.
    due_at: Timestamp,
    dues: u64,
    /// The number of the event that causes the next one.
    cause: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Enrol,
    Due,
    Overdue,
    Pay { locked: bool },
    Ping,
    UpdateContact,
    AddChild,
    LockByHand,
    Unlock,
    Withdraw { reason: &'static str },
    ReverseWithdrawal,
}

impl Family {
    pub(super) fn new(plan: &Plan, number: u64, at: Timestamp) -> Self {
        let mut random = Random::of(plan.seed, AGGREGATE_TYPE, number);
        let children = random.pick(&[1, 1, 2, 2, 2, 3, 4]);
        Self { number, version: 0, random, next: Step::Enrol, children, due_at: at, dues: 0, cause: None }
    }

    pub(super) fn id(&self) -> String {
        format!("family-{:04}", self.number)
    }

    /// Does the next step, and says when to come back.
    pub(super) fn advance(&mut self, at: Timestamp, journal: &mut Journal) -> Option<Timestamp> {
        match self.next {
            Step::Enrol => self.enrol(at, journal),
            Step::Due => self.fall_due(at, journal),
            Step::Overdue => self.lock_for_overdue(at, journal),
            Step::Pay { locked } => self.pay(at, journal, locked),
            Step::Ping => self.ping(at, journal),
            Step::UpdateContact => self.update_contact(at, journal),
            Step::AddChild => {
                self.children += 1;
                self.add_child(at, journal, self.children, None);
            }
            Step::LockByHand => self.lock_by_hand(at, journal),
            Step::Unlock => self.unlock(at, journal, COORDINATOR, "locked by mistake", "support"),
            Step::Withdraw { reason } => self.withdraw(at, journal, reason),
            Step::ReverseWithdrawal => self.reverse_withdrawal(at, journal),
        }
        self.after(at, journal.plan())
    }

    /// Decides what comes after the step that was done at `at`.
    fn after(&mut self, at: Timestamp, plan: &Plan) -> Option<Timestamp> {
        let random = &mut self.random;
        let (next, delay) = match self.next {
            Step::Due if random.percent(82) => (Step::Pay { locked: false }, days(random, 0, 12)),
            Step::Due => (Step::Overdue, GRACE),
            Step::Overdue if random.percent(90) => (Step::Pay { locked: true }, days(random, 1, 9)),
            Step::Overdue => (Step::Withdraw { reason: "dues were not paid" }, days(random, 9, 12)),
            Step::Pay { .. } => match random.below(100) {
                0..35 if plan.is_old(at) => (Step::Ping, days(random, 0, 1)),
                35..40 => (Step::UpdateContact, days(random, 0, 1)),
                40..43 => (Step::AddChild, days(random, 0, 1)),
                43..45 => (Step::LockByHand, days(random, 0, 1)),
                45..47 => (Step::Withdraw { reason: "entered for another family" }, days(random, 0, 1)),
                47..49 => (Step::Withdraw { reason: "moved away" }, days(random, 0, 1)),
                _ => return self.next_month(),
            },
            Step::LockByHand => (Step::Unlock, days(random, 0, 1)),
            Step::Withdraw { reason: "entered for another family" } => (Step::ReverseWithdrawal, days(random, 0, 1)),
            Step::Withdraw { .. } => return None,
            Step::Enrol => {
                self.due_at = due_day(at, self.number % 28);
                return self.next_month();
            }
            Step::Ping | Step::UpdateContact | Step::AddChild | Step::Unlock | Step::ReverseWithdrawal => {
                return self.next_month();
            }
        };
        self.next = next;
        Some(Timestamp(at.0 + delay))
    }

    fn next_month(&mut self) -> Option<Timestamp> {
        self.next = Step::Due;
        self.due_at = a_month_after(self.due_at);
        self.dues += 1;
        Some(self.due_at)
    }

    fn enrol(&mut self, at: Timestamp, journal: &mut Journal) {
        let monthly_cents = self.monthly_cents();
        let fact = fact("FamilyEnrolled", COORDINATOR, self.enrolment(), None);
        let enrolled = self.write(at, journal, fact, |household| Payload::Enrolled {
            family_name: format!("{} Family", household.last),
            parent_name: format!("{} {}", household.parent, household.last),
            enrolled_on: day(at),
            monthly_cents,
            currency: CURRENCY,
        });
        for child in 1..=self.children {
            self.add_child(at, journal, child, Some(enrolled));
        }
    }

    fn add_child(&mut self, at: Timestamp, journal: &mut Journal, child: u64, cause: Option<u64>) {
        let age = 5 + (self.number * 3 + child * 2) % 11;
        let fact = fact("ChildAdded", COORDINATOR, self.enrolment(), cause);
        self.write(at, journal, fact, |household| Payload::ChildAdded {
            child_name: household.child(child),
            age,
            grade: age - 5,
        });
    }

    fn fall_due(&mut self, at: Timestamp, journal: &mut Journal) {
        let (due_id, amount_cents, due_on) = self.dues_of_month();
        let fact = fact("PaymentDue", SYSTEM, self.matter("dues"), None);
        let due = self.write(at, journal, fact, |_| Payload::Due { due_id, amount_cents, currency: CURRENCY, due_on });
        self.cause = Some(due);
    }

    fn lock_for_overdue(&mut self, at: Timestamp, journal: &mut Journal) {
        let (due_id, amount_cents, due_on) = self.dues_of_month();
        let overdue = fact("PaymentOverdue", SYSTEM, self.matter("dues"), self.cause);
        let overdue = self.write(at, journal, overdue, |_| Payload::Overdue {
            due_id,
            amount_cents,
            currency: CURRENCY,
            due_on,
            overdue_since: day(at),
        });
        let locked = fact("PortalAccessLocked", SYSTEM, self.matter("dues"), Some(overdue));
        let locked =
            self.write(at, journal, locked, |_| Payload::Locked { reason: "payment overdue", automatic: true });
        self.cause = Some(locked);
    }

    fn pay(&mut self, at: Timestamp, journal: &mut Journal, was_locked: bool) {
        let number = self.number;
        let (due_id, amount_cents, _) = self.dues_of_month();
        let method = ["card", "transfer", "cash"][((number + self.dues) % 3) as usize];
        let fact = fact("PaymentReceived", SYSTEM, self.matter("dues"), self.cause);
        let paid = self.write(at, journal, fact, |_| Payload::Received {
            payment_id: format!("fee-{number:04}-{due_id}"),
            due_id,
            amount_cents,
            currency: CURRENCY,
            method,
        });
        if was_locked {
            self.cause = Some(paid);
            self.unlock(at, journal, SYSTEM, "payment received", "dues");
        }
    }

    fn unlock(&mut self, at: Timestamp, journal: &mut Journal, user: &str, reason: &'static str, matter: &str) {
        let automatic = user == SYSTEM;
        let fact = fact("PortalAccessRestored", user, self.matter(matter), self.cause);
        self.write(at, journal, fact, |_| Payload::Restored { reason, automatic });
    }

    fn lock_by_hand(&mut self, at: Timestamp, journal: &mut Journal) {
        let fact = fact("PortalAccessLocked", COORDINATOR, self.matter("support"), None);
        let locked =
            self.write(at, journal, fact, |_| Payload::Locked { reason: "papers are missing", automatic: false });
        self.cause = Some(locked);
    }

    fn ping(&mut self, at: Timestamp, journal: &mut Journal) {
        let visit = format!("visit-{:04}-{}", self.number, self.dues);
        let fact = fact("PortalPinged", SYSTEM, visit.clone(), None);
        self.write(at, journal, fact, |_| Payload::PingedV1 { visit });
    }

    fn update_contact(&mut self, at: Timestamp, journal: &mut Journal) {
        let number = self.number;
        let fact = fact("ContactUpdated", COORDINATOR, self.matter("support"), None);
        self.write(at, journal, fact, |household| Payload::ContactUpdated {
            email: format!("{}@example.org", names::login(household.parent, household.last)),
            phone: format!("+1-202-555-{:04}", number * 37 % 10_000),
        });
    }

    fn withdraw(&mut self, at: Timestamp, journal: &mut Journal, reason: &'static str) {
        let fact = fact("FamilyWithdrawn", COORDINATOR, self.matter("withdrawal"), None);
        let withdrawn = self.write(at, journal, fact, |_| Payload::Withdrawn { reason, withdrawn_on: day(at) });
        self.cause = Some(withdrawn);
    }

    fn reverse_withdrawal(&mut self, at: Timestamp, journal: &mut Journal) {
        let reversed = self.cause.map(|withdrawn| journal.event_id(withdrawn)).unwrap_or_default();
        let fact = fact("FamilyWithdrawalReversed", COORDINATOR, self.matter("withdrawal"), self.cause);
        let reason = "the wrong family was withdrawn";
        self.write(at, journal, fact, |_| Payload::WithdrawalReversed { reason, reversed });
    }

    fn write(
        &mut self,
        at: Timestamp,
        journal: &mut Journal,
        fact: Fact,
        tell: impl FnOnce(Household) -> Payload,
    ) -> u64 {
        let number = self.number;
        self.version += 1;
        journal.write(at, |journal| (fact, tell(Household::of(journal.plan(), number))))
    }

    /// What belongs together with the enrolment.
    fn enrolment(&self) -> String {
        format!("enrolment-{:04}", self.number)
    }

    /// What belongs together in this month, of a kind.
    fn matter(&self, kind: &str) -> String {
        format!("{kind}-{:04}-{}", self.number, &day(self.due_at)[..7])
    }

    /// Name, amount and day of this month's dues.
    fn dues_of_month(&self) -> (String, i64, String) {
        let due_on = day(self.due_at);
        (due_on[..7].to_owned(), self.monthly_cents(), due_on)
    }

    fn monthly_cents(&self) -> i64 {
        15_000 + 15_000 * self.children as i64
    }
}

/// The people of a family: a function of its number.
struct Household {
    last: &'static str,
    parent: &'static str,
    random: Random,
}

impl Household {
    fn of(plan: &Plan, number: u64) -> Self {
        let mut random = Random::of(plan.seed, "Household", number);
        Self { last: names::last(&mut random), parent: names::first(&mut random), random }
    }

    /// The name of the child with that number, from 1: no two of a family share one.
    fn child(&self, number: u64) -> String {
        let mut random = self.random.clone();
        let mut names: Vec<&str> = Vec::new();
        while (names.len() as u64) < number {
            let name = names::first(&mut random);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        format!("{} {}", names.last().unwrap_or(&"Kim"), self.last)
    }
}

/// What is said of a family.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload {
    Enrolled {
        family_name: String,
        parent_name: String,
        enrolled_on: String,
        monthly_cents: i64,
        currency: &'static str,
    },
    ChildAdded {
        child_name: String,
        age: u64,
        grade: u64,
    },
    Due {
        due_id: String,
        amount_cents: i64,
        currency: &'static str,
        due_on: String,
    },
    Overdue {
        due_id: String,
        amount_cents: i64,
        currency: &'static str,
        due_on: String,
        overdue_since: String,
    },
    Received {
        payment_id: String,
        due_id: String,
        amount_cents: i64,
        currency: &'static str,
        method: &'static str,
    },
    Locked {
        reason: &'static str,
        automatic: bool,
    },
    Restored {
        reason: &'static str,
        automatic: bool,
    },
    PingedV1 {
        visit: String,
    },
    ContactUpdated {
        email: String,
        phone: String,
    },
    Withdrawn {
        reason: &'static str,
        withdrawn_on: String,
    },
    WithdrawalReversed {
        reason: &'static str,
        reversed: Uuid,
    },
}

fn fact(event_type: &'static str, user: &str, matter: String, cause: Option<u64>) -> Fact {
    Fact { event_type, version: 1, user: user.to_owned(), correlation: matter, cause }
}

fn day(at: Timestamp) -> String {
    let mut text = at.to_string();
    text.truncate("2026-01-31".len());
    text
}

/// Some time after that many days, in the daytime of whoever wrote `at`.
fn days(random: &mut Random, first: u64, last: u64) -> i64 {
    random.between(first, last) as i64 * DAY + random.between(60, 9 * 60) as i64 * MINUTE
}

/// The same day of the next month, which has it: dues fall on the 1st to the 28th.
fn a_month_after(at: Timestamp) -> Timestamp {
    let date = date(at);
    let month = date.month().next();
    let year = date.year() + i32::from(month == Month::January);
    let next = date.replace_year(year).and_then(|date| date.replace_month(month));
    next.map_or(Timestamp(at.0 + 30 * DAY), |next| Timestamp(next.unix_timestamp() * 1_000_000))
}

/// Six o'clock on a day of the month of `at`; `number` is below 28.
fn due_day(at: Timestamp, number: u64) -> Timestamp {
    let midnight = date(at).replace_day(number as u8 + 1).map_or(at.0, |date| date.unix_timestamp() * 1_000_000);
    Timestamp(midnight - midnight.rem_euclid(DAY) + 6 * HOUR)
}

fn date(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1_000_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
