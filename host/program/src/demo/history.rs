//! The history: cases begin, go on side by side, and end.

use super::agenda::Agenda;
use super::families::{self, Family};
use super::journal::{Append, Journal};
use super::orders::{self, Order};
use super::plan::Plan;
use super::random::Random;
use model::event::Timestamp;

/// How many events there are for each family; a quarter of them are its own.
const EVENTS_PER_FAMILY: i64 = 120;

/// More than an append ever has: a family with its children.
const APPEND_EVENTS_MAX: u64 = 8;

/// An endless history, in the order in which it happened.
///
/// To go on with a history that a store holds already: read the [`Plan`] from the
/// metadata of the first event, make the history anew and [skip](Self::skip_to)
/// what is there. Should events be appended twice in spite of that, the store sees
/// it by their ids and adds nothing.
///
/// Behind the plan's last event the clock of the history runs ahead of the real one.
#[derive(Debug)]
pub struct History {
    journal: Journal,
    agenda: Agenda<Task>,
    /// An append that was made already, and is to be given next.
    waiting: Option<Append>,
    random: Random,
    orders: u64,
    families: u64,
}

#[derive(Debug)]
enum Task {
    BeginOrder,
    BeginFamily,
    Order(Order),
    Family(Family),
}

impl History {
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mut agenda = Agenda::new();
        agenda.put(plan.start, Task::BeginFamily);
        agenda.put(plan.start, Task::BeginOrder);
        let random = Random::of(plan.seed, "History", 0);
        Self { journal: Journal::new(plan), agenda, waiting: None, random, orders: 0, families: 0 }
    }

    /// What the history is made of.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.journal.plan()
    }

    /// How many events have been given or skipped.
    #[must_use]
    pub fn events_done(&self) -> u64 {
        let waiting = self.waiting.as_ref().map_or(0, |append| append.events.len());
        self.journal.written() - waiting as u64
    }

    /// Skips the first `events` events, or a few less: never a part of an append.
    /// Does nothing if so many are done already.
    pub fn skip_to(&mut self, events: u64) {
        if self.waiting.is_some() {
            return;
        }
        self.journal.set_counting(true);
        while self.journal.written() + APPEND_EVENTS_MAX < events {
            self.step();
        }
        self.journal.set_counting(false);
        // Only an append that was made shows where it ends.
        while self.events_done() < events {
            let append = self.next_append();
            if self.events_done() > events {
                self.waiting = Some(append);
                return;
            }
        }
    }

    /// What happens next.
    pub fn next_append(&mut self) -> Append {
        if let Some(append) = self.waiting.take() {
            return append;
        }
        loop {
            if let Some((aggregate_type, aggregate_id, version)) = self.step() {
                let events = self.journal.take_page();
                let expected_version = version - events.len() as u64;
                return Append { aggregate_type, aggregate_id, expected_version, events };
            }
        }
    }

    /// Does what is next on the agenda. Gives the aggregate to which it happened and
    /// its version now, unless nothing did.
    fn step(&mut self) -> Option<(&'static str, String, u64)> {
        let (at, task) = self.agenda.next()?;
        match task {
            Task::BeginOrder => {
                let pace = self.plan().pace();
                // Orders fill up what other events leave, so that the whole comes evenly.
                let next = self.plan().time_of(self.journal.written());
                let is_early = next > at;
                let pause = 1 + self.random.below(pace as u64) as i64;
                self.agenda.put(Timestamp(next.max(at).0 + pause), Task::BeginOrder);
                if is_early {
                    return None;
                }
                self.orders += 1;
                let order = Order::new(self.plan(), self.orders, at);
                Some(self.go_on_with_order(at, order))
            }
            Task::BeginFamily => {
                let pause = self.plan().pace() * EVENTS_PER_FAMILY;
                let jitter = self.random.below(pause as u64 / 4) as i64;
                self.agenda.put(Timestamp(at.0 + pause - jitter), Task::BeginFamily);
                self.families += 1;
                let family = Family::new(self.plan(), self.families, at);
                Some(self.go_on_with_family(at, family))
            }
            Task::Order(order) => Some(self.go_on_with_order(at, order)),
            Task::Family(family) => Some(self.go_on_with_family(at, family)),
        }
    }

    fn go_on_with_order(&mut self, at: Timestamp, mut order: Order) -> (&'static str, String, u64) {
        let again = order.advance(at, &mut self.journal);
        let done = (orders::AGGREGATE_TYPE, order.id(), order.version);
        if let Some(again) = again {
            self.agenda.put(again, Task::Order(order));
        }
        done
    }

    fn go_on_with_family(&mut self, at: Timestamp, mut family: Family) -> (&'static str, String, u64) {
        let again = family.advance(at, &mut self.journal);
        let done = (families::AGGREGATE_TYPE, family.id(), family.version);
        if let Some(again) = again {
            self.agenda.put(again, Task::Family(family));
        }
        done
    }
}

/// It never ends.
impl Iterator for History {
    type Item = Append;

    fn next(&mut self) -> Option<Append> {
        Some(self.next_append())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use model::event::ImportedEvent;

    const NOW: Timestamp = Timestamp(1_767_225_600_000_000);

    fn history(events: u64) -> History {
        History::new(Plan::ending_at(7, events, NOW))
    }

    fn events(history: &mut History, count: usize) -> Vec<ImportedEvent> {
        history.flat_map(Append::into_imported).take(count).collect()
    }

    fn count_of(events: &[ImportedEvent], event_type: &str, version: u32) -> usize {
        events.iter().filter(|event| event.event_type == event_type && event.event_version == version).count()
    }

    #[test]
    fn gives_the_same_events_for_the_same_plan() {
        let text = |seed| format!("{:?}", events(&mut History::new(Plan::ending_at(seed, 3_000, NOW)), 3_000));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn numbers_the_events_of_each_aggregate_without_gaps() {
        let mut versions: HashMap<String, u64> = HashMap::new();
        for append in history(20_000).take(20_000) {
            let version = versions.entry(append.aggregate_id.clone()).or_default();
            assert_eq!(append.expected_version, *version, "{}", append.aggregate_id);
            assert!((1..=APPEND_EVENTS_MAX as usize).contains(&append.events.len()));
            *version += append.events.len() as u64;
        }
    }

    #[test]
    fn gives_every_event_an_id_of_its_own() {
        let mut history = history(20_000);
        let plan = history.plan().clone();
        let events = events(&mut history, 20_000);
        let ids: HashSet<_> = events.iter().map(|event| event.event_id).collect();
        assert_eq!(ids.len(), events.len());
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event.event_id, plan.event_id(number as u64));
            assert_eq!(event.event_id.get_version_num(), 8);
        }
    }

    #[test]
    fn names_causes_that_happened_before() {
        let mut known = HashSet::new();
        let mut caused = 0;
        for event in events(&mut history(5_000), 5_000) {
            if let Some(cause) = event.causation_id {
                assert!(known.contains(&cause), "{} of {}", event.event_type, event.aggregate_id);
                caused += 1;
            }
            known.insert(event.event_id.to_string());
        }
        assert!(caused > 2_000, "{caused}");
    }

    #[test]
    fn goes_on_exactly_where_it_was_left() {
        let whole: Vec<Append> = history(4_000).take(4_000).collect();
        let mut boundaries = HashSet::from([0]);
        let mut end = 0;
        for append in &whole {
            end += append.events.len() as u64;
            boundaries.insert(end);
        }
        for events_done in [0, 1, 2, 3, 4, 5, 999, 1_000, 1_001, 1_002, 1_003, 2_000] {
            let mut resumed = history(4_000);
            resumed.skip_to(events_done);
            let boundary = (0..=events_done).rev().find(|at| boundaries.contains(at));
            assert_eq!(Some(resumed.events_done()), boundary);
            let skipped = resumed.events_done() as usize;
            let expected = whole.iter().cloned().flat_map(Append::into_imported).skip(skipped);
            for (event, expected) in events(&mut resumed, 500).iter().zip(expected) {
                assert_eq!(format!("{event:?}"), format!("{expected:?}"));
            }
        }
    }

    #[test]
    fn rises_from_the_start_to_about_now() {
        for count in [500, 5_000, 50_000] {
            let mut history = history(count);
            let plan = history.plan().clone();
            let events = events(&mut history, count as usize);
            assert_eq!(events[0].event_timestamp, plan.start);
            assert!(events.is_sorted_by(|a, b| a.event_timestamp < b.event_timestamp));
            let last = events[events.len() - 1].event_timestamp;
            let share_missing = NOW.seconds_since(last) / NOW.seconds_since(plan.start);
            assert!(
                (-0.01..0.01).contains(&share_missing),
                "{count} events end {share_missing} of the span before now"
            );
        }
    }

    #[test]
    fn is_told_in_old_schemas_at_first_and_in_those_of_today_later() {
        let events = events(&mut history(30_000), 30_000);
        let (old, new) = events.split_at(9_000);
        let is_old = [("OrderPlaced", 1), ("OrderPaidAndShipped", 1), ("PortalPinged", 1)];
        for (event_type, version) in is_old {
            assert!(count_of(old, event_type, version) > 50, "{event_type}");
            assert_eq!(count_of(&new[2_000..], event_type, version), 0, "{event_type}");
        }
        for event_type in ["OrderPaid", "OrderShipped", "OrderCancelled", "OrderRefunded", "FamilyWithdrawalReversed"] {
            assert!(count_of(new, event_type, 1) > 10, "{event_type}");
        }
        assert_eq!(count_of(old, "OrderPlaced", 2), 0);
    }

    #[test]
    fn has_nearly_three_events_for_each_order() {
        let events = events(&mut history(100_000), 100_000);
        let of_orders = events.iter().filter(|event| event.aggregate_type == "Order").count();
        let placed = count_of(&events, "OrderPlaced", 1) + count_of(&events, "OrderPlaced", 2);
        let ratio = of_orders as f64 / placed as f64;
        assert!((2.4..3.0).contains(&ratio), "{ratio}");
        assert!((60_000..90_000).contains(&of_orders), "{of_orders}");
    }

    #[test]
    fn tells_its_plan_in_the_first_event_alone() {
        let mut history = history(1_000);
        let plan = history.plan().clone();
        let events = events(&mut history, 1_000);
        let metadata = events[0].metadata.as_ref().map(|metadata| metadata.get()).unwrap_or_default();
        assert_eq!(Plan::recorded_in(metadata), Some(plan));
        assert!(events[1..].iter().all(|event| event.metadata.is_none()));
        assert_eq!(Plan::recorded_in("{}"), None);
    }

    #[test]
    fn makes_events_that_the_store_takes() {
        let limits = model::limits::Limits::default();
        for append in history(20_000).take(15_000) {
            for event in &append.events {
                assert_eq!(event.check(&limits), Ok(()));
            }
        }
    }
}
