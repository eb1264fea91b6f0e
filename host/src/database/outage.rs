//! Telling the log of something that is away, once and not with every try.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What fails again so soon has not been well.
const SAME: Duration = Duration::from_secs(30);

/// Something that may be away for a while, and how it stands.
#[derive(Debug)]
pub struct Outage {
    subject: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    warned: Option<Instant>,
    is_told: bool,
}

impl Outage {
    /// `subject` stands at the beginning of what the log says.
    #[must_use]
    pub fn of(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), state: Mutex::default() }
    }

    /// It fails: a warning the first time.
    pub fn failed(&self, fault: impl Display) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = state.since.is_none() && state.warned.is_none_or(|last| last.elapsed() > SAME);
        state.since.get_or_insert_with(Instant::now);
        if is_new {
            (state.warned, state.is_told) = (Some(Instant::now()), true);
            tracing::warn!("{}: {fault}; trying again until it is well", self.subject);
        } else {
            tracing::debug!("{}: {fault}; trying again", self.subject);
        }
    }

    /// Whether it failed when it was tried last.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).since.is_some()
    }

    /// It works: worth a line if the log says that it does not.
    pub fn is_well(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = state.since.take() else { return };
        if std::mem::take(&mut state.is_told) {
            tracing::info!("{}: well again, after {:.1} s", self.subject, since.elapsed().as_secs_f64());
        }
    }
}
