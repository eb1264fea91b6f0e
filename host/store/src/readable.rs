//! When positions could be read first, as this host has seen it.
//!
//! The head of the store tells whenever it moves, so nothing is paid per event. What is older is
//! known less exactly: entries are merged so that there are never more than a few hundred, and
//! an answer is too early by an eighth of its age at the most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::event::Position;

/// Entries are merged when there are more.
const ENTRIES_MAX: usize = 512;

/// What can be read within this time of each other counts as one.
const TOGETHER: Duration = Duration::from_millis(5);

/// Merged are entries that are apart by no more than this part of their age.
const PART: u32 = 8;

/// Since when what can be read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readable(Arc<Mutex<Vec<Entry>>>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// What stands beyond the entry before, up to here, …
    up_to: Position,
    /// … can be read since then, …
    since: Instant,
    /// … the last of it since then.
    last: Instant,
}

impl Readable {
    /// Since when the event after `position` can be read: since this host has seen that, or has
    /// begun to look. None if there is no such event.
    #[must_use]
    pub fn since(&self, position: Position) -> Option<Instant> {
        let entries = self.entries();
        let first = entries.partition_point(|entry| entry.up_to <= position);
        entries.get(first).map(|entry| entry.since)
    }

    /// The head is at `position` now.
    pub(super) fn note(&self, position: Position) {
        self.note_at(position, Instant::now());
    }

    fn note_at(&self, position: Position, now: Instant) {
        let mut entries = self.entries();
        // A store that was put back to an older state.
        while entries.last().is_some_and(|last| last.up_to > position) {
            let last = entries.pop();
            let before = entries.last().map_or(Position::START, |before| before.up_to);
            entries.extend(last.filter(|_| before < position).map(|last| Entry { up_to: position, ..last }));
        }
        match entries.last_mut() {
            Some(last) if last.up_to == position => return,
            Some(last) if now.saturating_duration_since(last.since) < TOGETHER => {
                (last.up_to, last.last) = (position, now);
            }
            _ => entries.push(Entry { up_to: position, since: now, last: now }),
        }
        if entries.len() > ENTRIES_MAX {
            thin_out(&mut entries, now);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        // Whoever panicked while holding it left whole entries behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Merges what is close together, measured by its age. Of each group the earliest time counts.
fn thin_out(entries: &mut Vec<Entry>, now: Instant) {
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    for &entry in entries.iter() {
        match kept.last_mut() {
            Some(group) if entry.last - group.since < now.saturating_duration_since(group.since) / PART => {
                (group.up_to, group.last) = (entry.up_to, entry.last);
            }
            _ => kept.push(entry),
        }
    }
    *entries = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn knows_since_when_the_next_event_can_be_read() {
        let (readable, start) = (Readable::default(), Instant::now());
        assert_eq!(readable.since(Position::START), None);
        for (position, seconds) in [(100, 0), (101, 10), (150, 70)] {
            readable.note_at(Position(position), start + SECOND * seconds);
        }
        let check = |position: u64, seconds: Option<u32>| {
            assert_eq!(
                readable.since(Position(position)),
                seconds.map(|seconds| start + SECOND * seconds),
                "{position}"
            );
        };
        // What was there when the host began to look can be read since then at the least.
        check(0, Some(0));
        check(99, Some(0));
        check(100, Some(10));
        check(101, Some(70));
        check(149, Some(70));
        check(150, None);
    }

    #[test]
    fn follows_a_store_that_was_put_back() {
        let (readable, start) = (Readable::default(), Instant::now());
        for (position, seconds) in [(100, 0), (200, 10), (300, 20)] {
            readable.note_at(Position(position), start + SECOND * seconds);
        }
        readable.note_at(Position(150), start + SECOND * 30);
        assert_eq!(readable.since(Position(120)), Some(start + SECOND * 10));
        assert_eq!(readable.since(Position(150)), None);
        readable.note_at(Position(160), start + SECOND * 40);
        assert_eq!(readable.since(Position(150)), Some(start + SECOND * 40));
        readable.note_at(Position::START, start + SECOND * 50);
        assert_eq!(readable.since(Position::START), None);
    }

    #[test]
    fn is_bounded_and_hardly_wrong_however_much_there_is() {
        // Ten events a second for ten days, then a second at full rate.
        let (readable, start) = (Readable::default(), Instant::now());
        let count = 10 * 86_400 * 10_u32;
        let at = |number: u32| start + Duration::from_millis(100) * number;
        for number in 1..=count {
            readable.note_at(Position(number.into()), at(number));
            assert!(readable.entries().len() <= ENTRIES_MAX);
        }
        let now = at(count);
        for number in [1, 1_000, count / 2, count - 10_000, count - 600, count - 10, count - 1] {
            let found = readable.since(Position(number.into())).expect("there is one after it");
            let (age, truth) = ((now - found).as_secs_f64(), (now - at(number + 1)).as_secs_f64());
            assert!(age >= truth && age <= truth * 8.0 / 7.0 + 0.2, "{number}: {age} s instead of {truth} s");
        }
    }
}
