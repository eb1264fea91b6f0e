//! Telling the log of something that is away, once and not with every try.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What fails again so soon is worth a line only if it lasts for as long.
const SAME: Duration = Duration::from_secs(30);

/// Something that may be away for a while, and how it stands.
#[derive(Debug)]
pub struct Outage {
    subject: String,
    /// Whether there is a state to look at.
    lasts: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When it began, and what was last in the way.
    current: Option<(Instant, String)>,
    warned: Option<Instant>,
    is_told: bool,
}

impl Outage {
    /// `subject` stands at the beginning of what the log says.
    #[must_use]
    pub fn of(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), lasts: AtomicBool::new(false), state: Mutex::default() }
    }

    /// It fails: a warning the first time.
    pub fn failed(&self, fault: impl Display) {
        self.failed_since(Instant::now(), fault);
    }

    /// It fails, and has since `begun` if it did not before.
    pub(super) fn failed_since(&self, begun: Instant, fault: impl Display) {
        let mut state = self.state();
        self.lasts.store(true, Ordering::Release);
        let cause = fault.to_string();
        match &mut state.current {
            Some((_, last)) => last.clone_from(&cause),
            None => state.current = Some((begun, cause.clone())),
        }
        if !state.is_told && state.warned.is_none_or(|last| last.elapsed() > SAME) {
            (state.warned, state.is_told) = (Some(Instant::now()), true);
            tracing::warn!("{}: {cause}; trying again until it is well", self.subject);
        } else {
            tracing::debug!("{}: {cause}; trying again", self.subject);
        }
    }

    /// What is in the way, if it failed when it was tried last.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.lasts().then(|| self.state().current.as_ref().map(|(_, cause)| cause.clone())).flatten()
    }

    /// Whether it failed when it was tried last.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.lasts.load(Ordering::Acquire)
    }

    /// It works: worth a line if the log says that it does not.
    pub fn is_well(&self) {
        if !self.lasts() {
            return;
        }
        let mut state = self.state();
        self.lasts.store(false, Ordering::Release);
        let Some((begun, _)) = state.current.take() else { return };
        if std::mem::take(&mut state.is_told) {
            tracing::info!("{}: well again, after {:.1} s", self.subject, begun.elapsed().as_secs_f64());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_until_it_is_well() {
        let outage = Outage::of("the sea");
        assert_eq!((outage.lasts(), outage.cause()), (false, None));
        outage.failed("low tide");
        outage.failed("no moon");
        assert_eq!((outage.lasts(), outage.cause()), (true, Some("no moon".to_owned())));
        let begun = outage.state().current.as_ref().map(|&(begun, _)| begun);
        outage.failed_since(Instant::now(), "no moon");
        assert_eq!(outage.state().current.as_ref().map(|&(begun, _)| begun), begun, "it began once");
        outage.is_well();
        assert_eq!((outage.lasts(), outage.cause()), (false, None));
    }

    #[test]
    fn what_fails_again_soon_is_told_only_if_it_lasts() {
        let outage = Outage::of("the sea");
        let is_told = || outage.state().is_told;
        outage.failed("low tide");
        assert!(is_told());
        outage.is_well();
        outage.failed("low tide");
        assert!(!is_told(), "there was a line a moment ago");
        outage.state().warned = Instant::now().checked_sub(SAME * 2);
        outage.failed("low tide");
        assert!(is_told(), "it lasts");
    }
}
