//! Tasks that must not end while the host runs: one that panics is named in the log, counted,
//! shown to whoever asks how the host is, and begun again.
//!
//! Knows nothing of what the tasks do.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::JoinError;

/// How long a task rests after a panic: first and last, doubling in between.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(10);

/// A task that has run for so long since it panicked is well again.
const STEADY: Duration = Duration::from_secs(30);

/// A panic in the host's own code: a fault of the host, whatever led to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host panicked, which is a fault of its own: {0}")]
pub struct Panic(String);

impl Panic {
    /// The code under which it is shown.
    pub const CODE: &str = "panicked";

    /// One of which nothing is known but that it must have been.
    #[must_use]
    pub fn unseen() -> Self {
        Self("the thread that was to answer has ended".to_owned())
    }

    fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "it did not say why".to_owned()))
    }
}

impl From<JoinError> for Panic {
    fn from(fault: JoinError) -> Self {
        match fault.try_into_panic() {
            Ok(payload) => Self::of(&*payload),
            Err(cancelled) => Self(cancelled.to_string()),
        }
    }
}

/// What `call` gives, or its panic.
///
/// # Errors
/// If it panicked. Whatever it was changing may be half done.
pub fn caught<R>(call: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| Panic::of(&*payload))
}

/// The tasks of a host, and which of them have panicked. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    known: Arc<Mutex<BTreeMap<String, Task>>>,
}

#[derive(Debug, Default)]
struct Task {
    /// Whether the host as a whole needs it: not what one version needs alone.
    is_for_all: bool,
    panics: u64,
    last: Option<Instant>,
    /// How long it rests after the next panic.
    pause: Duration,
    #[cfg(feature = "fault-injection")]
    is_to_panic: bool,
}

impl Tasks {
    /// Lets `work` run, which is the task `name`. None if it has panicked: it is to be begun again.
    pub fn run<F: Future>(&self, name: &str, work: F) -> impl Future<Output = Option<F::Output>> {
        self.known().entry(name.to_owned()).or_default().is_for_all = true;
        let (tasks, name, work) = (self.clone(), name.to_owned(), self.watch(name, work));
        async move {
            match work.await {
                Ok(output) => Some(output),
                Err(panic) => {
                    tokio::time::sleep(tasks.note(&name, &panic)).await;
                    None
                }
            }
        }
    }

    /// Lets `work` run, of which the caller sees to what becomes of it: what it comes to, or its
    /// panic. Then whatever it was changing may be half done.
    pub fn watch<F: Future>(&self, name: &str, work: F) -> impl Future<Output = Result<F::Output, Panic>> {
        #[cfg(feature = "fault-injection")]
        let faults = (self.clone(), name.to_owned());
        #[cfg(not(feature = "fault-injection"))]
        let _ = name;
        // In a box of its own: each future around it would hold it once more.
        let mut work = Box::pin(work);
        std::future::poll_fn(move |context| {
            let polled = caught(|| {
                #[cfg(feature = "fault-injection")]
                faults.0.panic_if_told(&faults.1);
                work.as_mut().poll(context)
            });
            match polled {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        })
    }

    /// As `run`, on a thread of its own.
    pub fn run_blocking<R>(&self, name: &str, work: impl FnOnce() -> R) -> Option<R> {
        self.known().entry(name.to_owned()).or_default().is_for_all = true;
        match caught(work) {
            Ok(output) => Some(output),
            Err(panic) => {
                std::thread::sleep(self.note(name, &panic));
                None
            }
        }
    }

    /// The task `name` has panicked. Says how long it is to rest.
    pub fn note(&self, name: &str, panic: &Panic) -> Duration {
        let mut known = self.known();
        let task = known.entry(name.to_owned()).or_default();
        let is_again = task.last.is_some_and(|last| last.elapsed() < STEADY);
        let pause = if is_again { task.pause } else { RETRY_FIRST };
        task.panics += 1;
        task.last = Some(Instant::now());
        task.pause = (pause * 2).min(RETRY_LAST);
        tracing::error!(task = name, panics = task.panics, "{name}: {panic}; begun again in {pause:?}");
        pause
    }

    /// How often each task has panicked.
    #[must_use]
    pub fn panics(&self) -> Vec<(String, u64)> {
        self.known().iter().map(|(name, task)| (name.clone(), task.panics)).collect()
    }

    /// Those that the host as a whole needs, that have panicked, and have not run for long since.
    #[must_use]
    pub fn unsteady(&self) -> Vec<String> {
        let known = self.known();
        let is_unsteady = |task: &Task| task.is_for_all && task.last.is_some_and(|last| last.elapsed() < STEADY);
        known.iter().filter(|(_, task)| is_unsteady(task)).map(|(name, _)| name.clone()).collect()
    }

    /// Lets the task `name` panic when it goes on next.
    #[cfg(feature = "fault-injection")]
    pub fn inject_panic(&self, name: &str) {
        self.known().entry(name.to_owned()).or_default().is_to_panic = true;
    }

    #[cfg(feature = "fault-injection")]
    fn panic_if_told(&self, name: &str) {
        let is_to_panic = self.known().get_mut(name).is_some_and(|task| std::mem::take(&mut task.is_to_panic));
        assert!(!is_to_panic, "a test wants it");
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Task>> {
        // Each change leaves a whole map behind.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_is_begun_again_and_counted() {
        let tasks = Tasks::default();
        let mut left = vec!["once", "twice"];
        let mut runs = 0;
        loop {
            runs += 1;
            let work = async {
                tokio::task::yield_now().await;
                if let Some(word) = left.pop() {
                    panic!("{word} more");
                }
                runs
            };
            if let Some(output) = tasks.run("work", work).await {
                assert_eq!(output, 3);
                break;
            }
        }
        assert_eq!(tasks.panics(), [("work".to_owned(), 2)]);
        assert_eq!(tasks.unsteady(), ["work"]);
        assert_eq!(tasks.run("other", async { 1 }).await, Some(1));
        tasks.note("of one", &Panic::unseen());
        assert_eq!(tasks.panics(), [("of one".to_owned(), 1), ("other".to_owned(), 0), ("work".to_owned(), 2)]);
        assert_eq!(tasks.unsteady(), ["work"]);
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let tasks = Tasks::default();
        let pauses: Vec<u128> = (0..8).map(|_| tasks.note("work", &Panic("why".to_owned())).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    }

    #[test]
    fn a_panic_says_what_it_was_told() {
        let said = |call: fn()| caught(call).expect_err("a panic").to_string();
        assert!(said(|| panic!("a lamp fell over")).ends_with("a lamp fell over"));
        assert!(said(|| panic!("lamp {} fell over", 1 + 1)).ends_with("lamp 2 fell over"));
        assert!(said(|| std::panic::panic_any(7)).ends_with("it did not say why"));
    }
}
