//! A thread of its own for each guest: calls into guests block, and must not hold
//! up the tasks of the async runtime.

use tokio::sync::{mpsc, oneshot};

use model::task::{Panic, caught};

/// A thread that owns `G` and does with it what callers ask for, one call after the other.
#[derive(Debug)]
pub struct Thread<G> {
    jobs: mpsc::Sender<Job<G>>,
}

/// Done with a guest that may not be there yet. A call that panics leaves none behind.
type Job<G> = Box<dyn FnOnce(&mut Option<G>, &mut Make<G>) + Send>;
type Make<G> = Box<dyn FnMut() -> G + Send>;

impl<G: 'static> Thread<G> {
    /// Starts the thread, on which `make` makes the guest: for the first call, and anew for the
    /// next one if a call has panicked. It ends when this handle is dropped.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn spawn(name: &str, make: impl FnMut() -> G + Send + 'static) -> std::io::Result<Self> {
        let mut make: Make<G> = Box::new(make);
        // One job at a time: whoever calls waits for the answer, in the order of asking.
        let (jobs, mut queue) = mpsc::channel::<Job<G>>(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut guest = None;
            while let Some(job) = queue.blocking_recv() {
                job(&mut guest, &mut make);
            }
        })?;
        Ok(Self { jobs })
    }

    /// Runs `call` on the thread. Nothing but the caller waits for its turn.
    ///
    /// # Errors
    /// If `call` has panicked, on the host's side of the guest.
    pub async fn call<R: Send + 'static>(&self, call: impl FnOnce(&mut G) -> R + Send + 'static) -> Result<R, Panic> {
        let (reply, answer) = oneshot::channel();
        let job: Job<G> = Box::new(move |guest, make| {
            // Nobody waits any more if the caller was cancelled.
            if reply.is_closed() {
                return;
            }
            let outcome = caught(|| call(guest.get_or_insert_with(make)));
            if outcome.is_err() {
                // It may be half changed.
                *guest = None;
            }
            drop(reply.send(outcome));
        });
        self.jobs.send(job).await.map_err(|_| Panic::unseen())?;
        answer.await.unwrap_or_else(|_| Err(Panic::unseen()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    #[tokio::test]
    async fn callers_that_wait_hold_up_nobody_else() {
        let thread = Arc::new(Thread::spawn("slow", || 0_u32).expect("a thread"));
        // Until the test says so, the first call does not end.
        let (begun, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (at, until) = (Arc::clone(&begun), Arc::clone(&go_on));
        let slow = move |calls: &mut u32| {
            at.wait();
            until.wait();
            *calls += 1;
            *calls
        };
        let mut callers = tokio::task::JoinSet::new();
        callers.spawn({
            let thread = Arc::clone(&thread);
            async move { thread.call(slow).await }
        });
        tokio::task::yield_now().await;
        begun.wait();
        for _ in 0..4 {
            let thread = Arc::clone(&thread);
            callers.spawn(async move {
                thread
                    .call(|calls| {
                        *calls += 1;
                        *calls
                    })
                    .await
            });
        }
        // The one worker of this runtime comes by here although all of them wait.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        go_on.wait();
        let mut answers: Vec<_> =
            callers.join_all().await.into_iter().map(|answer| answer.expect("no panic")).collect();
        answers.sort_unstable();
        assert_eq!(answers, [1, 2, 3, 4, 5]);
    }

    #[tokio::test]
    async fn a_call_that_panics_leaves_a_new_guest_to_the_next_one() {
        let mut made = 0;
        let make = move || {
            made += 1;
            made
        };
        let thread = Thread::spawn("panics", make).expect("a thread");
        assert_eq!(thread.call(|made| *made).await, Ok(1));
        let panic = thread.call(|_| panic!("a lamp fell over")).await.expect_err("a panic");
        assert!(panic.to_string().ends_with("a lamp fell over"), "{panic}");
        assert_eq!(thread.call(|made| *made).await, Ok(2));
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_is_not_made() {
        let thread = Thread::spawn("left", || 0_u32).expect("a thread");
        let (begun, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (at, until) = (Arc::clone(&begun), Arc::clone(&go_on));
        let mut first = Box::pin(thread.call(move |_| {
            at.wait();
            until.wait();
        }));
        let mut second = Box::pin(thread.call(|calls| *calls += 1));
        std::future::poll_fn(|context| {
            assert!(first.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        begun.wait();
        std::future::poll_fn(|context| {
            assert!(second.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(second);
        go_on.wait();
        first.await.expect("no panic");
        assert_eq!(thread.call(|calls| *calls).await, Ok(0));
    }
}
