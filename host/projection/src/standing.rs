//! Whether a version runs, waits or rests, and what leads from one to the other.
//!
//! ```text
//!            fails for now             waited
//!   runs ──────────────────▶ waits ──────────────▶ runs
//!    │                         │
//!    │ pause, failed for good, │ pause
//!    │ complete, retired       │
//!    ▼                         ▼
//!   rests ─────────────────────────▶ runs
//!           resume; if it has failed, other code or a rewind too
//! ```

use std::time::Duration;

use super::phase::Phase;

/// How long it waits before it runs again: first and last, doubling in between.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(2);

/// Why a version rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Somebody has paused it.
    Paused,
    /// It can't go on.
    Failed,
    /// A build of the past that is folded.
    Complete,
    /// Another host has retired it, or done what this one does not know.
    Retired,
}

impl Rest {
    /// How it is shown.
    pub(super) fn phase(self) -> Phase {
        match self {
            Self::Paused => Phase::Paused,
            Self::Failed => Phase::Failed,
            Self::Complete => Phase::Complete,
            Self::Retired => Phase::Stopped,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    Waits(Duration),
    Rests(Rest),
}

/// Whether it runs, waits or rests.
#[derive(Debug)]
pub(super) struct Standing {
    state: State,
    /// How long it waits after the next failure that may be over later.
    pause: Duration,
}

impl Standing {
    /// Of a version that runs, or rests from the start.
    pub(super) fn new(rest: Option<Rest>) -> Self {
        Self { state: rest.map_or(State::Runs, State::Rests), pause: RETRY_FIRST }
    }

    /// Why it rests, if it does.
    pub(super) fn rest(&self) -> Option<Rest> {
        match self.state {
            State::Rests(rest) => Some(rest),
            State::Runs | State::Waits(_) => None,
        }
    }

    /// It does not run until somebody says so.
    pub(super) fn rests(&mut self, rest: Rest) {
        self.state = State::Rests(rest);
    }

    /// It failed, and may do better later; it waits the longer the more often it failed at the same
    /// place. What rests goes on doing so.
    pub(super) fn failed_for_now(&mut self, came_further: bool) {
        let pause = if came_further { RETRY_FIRST } else { self.pause };
        self.pause = (pause * 2).min(RETRY_LAST);
        if self.rest().is_none() {
            self.state = State::Waits(pause);
        }
    }

    /// How long it waits before it runs, if it does; after that it runs, and so it does if whoever
    /// waits is interrupted.
    pub(super) fn take_wait(&mut self) -> Option<Duration> {
        match self.state {
            State::Waits(pause) => {
                self.state = State::Runs;
                Some(pause)
            }
            State::Runs | State::Rests(_) => None,
        }
    }

    /// Somebody wants it to go on, whatever it was.
    pub(super) fn resumes(&mut self) {
        self.state = State::Runs;
    }

    /// What it failed at may be mended: it has other code, or was set back. One that somebody
    /// paused rests on.
    pub(super) fn is_mended(&mut self) {
        if self.rest() == Some(Rest::Failed) {
            self.state = State::Runs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_and_longer_until_it_comes_further() {
        let mut standing = Standing::new(None);
        let mut waits = |came_further| {
            standing.failed_for_now(came_further);
            standing.take_wait().expect("it waits").as_millis()
        };
        assert_eq!([false, false, false, false, false].map(&mut waits), [250, 500, 1_000, 2_000, 2_000]);
        assert_eq!([true, false].map(&mut waits), [250, 500]);
        assert_eq!(standing.take_wait(), None, "it waits once");
    }

    #[test]
    fn what_rests_goes_on_when_it_is_told_to() {
        let mut standing = Standing::new(Some(Rest::Paused));
        standing.failed_for_now(false);
        standing.is_mended();
        assert_eq!((standing.rest(), standing.take_wait()), (Some(Rest::Paused), None), "a pause is somebody's will");
        standing.resumes();
        assert_eq!(standing.rest(), None);
        standing.rests(Rest::Failed);
        standing.is_mended();
        assert_eq!((standing.rest(), standing.take_wait()), (None, None));
        standing.failed_for_now(false);
        standing.rests(Rest::Paused);
        standing.resumes();
        assert_eq!(standing.take_wait(), None, "whoever resumes it does not wait");
    }
}
