//! Appends that failed, in the log: each cause at once, then now and again with how many there were.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use database::Cause;

/// A cause that comes again gets no more than a line in so long.
const AGAIN: Duration = Duration::from_secs(60);

/// What the log was told, by cause.
#[derive(Debug, Default)]
pub(super) struct Complaints(HashMap<Cause, Told>);

#[derive(Debug)]
struct Told {
    at: Instant,
    /// How many it was not told of since.
    more: u64,
}

impl Complaints {
    /// Tells the log that nothing was appended, unless it was told of this cause a while ago.
    pub(super) fn tell(&mut self, cause: Cause, fault: &sqlx::Error) {
        if let Some(more) = self.due(cause, Instant::now()) {
            tracing::error!(cause = ?cause, more, "nothing was appended, for {cause}: {fault}");
        }
    }

    /// How many were left out since the last line, if it is time for another one.
    fn due(&mut self, cause: Cause, now: Instant) -> Option<u64> {
        let Some(told) = self.0.get_mut(&cause) else {
            self.0.insert(cause, Told { at: now, more: 0 });
            return Some(0);
        };
        if now.duration_since(told.at) < AGAIN {
            told.more += 1;
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_each_cause_now_and_again() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.due(Cause::Full, start), Some(0));
        assert_eq!(complaints.due(Cause::Refused, start), Some(0));
        for _ in 0..3 {
            assert_eq!(complaints.due(Cause::Full, start + AGAIN / 2), None);
        }
        assert_eq!(complaints.due(Cause::Full, start + AGAIN), Some(3));
        assert_eq!(complaints.due(Cause::Full, start + AGAIN * 2), Some(0));
    }
}
