//! How fast a partition is folded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::event::Position;

/// The rate is taken over this time; one that was not renewed for so long has fallen to nothing.
const WINDOW: Duration = Duration::from_secs(5);

/// Notes are this far apart.
const APART: Duration = Duration::from_millis(100);

/// Events per second over the last few seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    notes: VecDeque<(Instant, Position)>,
    last: Option<(Instant, f64)>,
}

impl Rate {
    /// It stands at `position` now.
    pub(super) fn note(&mut self, position: Position, now: Instant) {
        while self.notes.front().is_some_and(|&(at, _)| now - at > WINDOW) && self.notes.len() > 1 {
            self.notes.pop_front();
        }
        if self.notes.back().is_some_and(|&(_, before)| before > position) {
            // It was set back.
            self.notes.clear();
        }
        if let Some(&(at, before)) = self.notes.front() {
            let seconds = (now - at).as_secs_f64().max(0.001);
            self.last = Some((now, position.ahead_of(before) as f64 / seconds));
        }
        if self.notes.back().is_none_or(|&(at, _)| now - at >= APART) {
            self.notes.push_back((now, position));
        }
    }

    /// Events per second now.
    pub(super) fn per_second(&self, now: Instant) -> f64 {
        self.last.filter(|&(at, _)| now.saturating_duration_since(at) <= WINDOW).map_or(0.0, |(_, rate)| rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_taken_over_a_few_seconds_and_falls_to_nothing() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        for second in 0..20_u64 {
            rate.note(Position(second * 100), start + Duration::from_secs(second));
        }
        let end = start + Duration::from_secs(19);
        assert!((rate.per_second(end) - 100.0).abs() < 1.0, "{}", rate.per_second(end));
        assert!(rate.per_second(end + Duration::from_secs(6)) == 0.0);
        rate.note(Position(7), end);
        rate.note(Position(57), end + Duration::from_secs(1));
        assert!((rate.per_second(end + Duration::from_secs(1)) - 50.0).abs() < 1.0);
    }
}
