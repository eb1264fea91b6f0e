//! A thread of its own for each guest: calls into guests block, and must not hold
//! up the tasks of the async runtime.

use std::sync::mpsc;

use tokio::sync::oneshot;

/// A thread that owns `G` and does with it what callers ask for, one call after the other.
#[derive(Debug)]
pub struct Thread<G> {
    jobs: mpsc::SyncSender<Job<G>>,
}

type Job<G> = Box<dyn FnOnce(&mut G) + Send>;

/// The thread has ended: the guest's code panicked on the host's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread of the guest has ended")]
pub struct Gone;

impl<G: 'static> Thread<G> {
    /// Starts the thread, on which `make` makes the guest. It ends when this handle is dropped.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn spawn(name: &str, make: impl FnOnce() -> G + Send + 'static) -> std::io::Result<Self> {
        // One job at a time: whoever calls waits for the answer.
        let (jobs, queue) = mpsc::sync_channel::<Job<G>>(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut guest = make();
            while let Ok(job) = queue.recv() {
                job(&mut guest);
            }
        })?;
        Ok(Self { jobs })
    }

    /// Runs `call` on the thread.
    ///
    /// # Errors
    /// If the thread has ended.
    pub async fn call<R: Send + 'static>(&self, call: impl FnOnce(&mut G) -> R + Send + 'static) -> Result<R, Gone> {
        let (reply, answer) = oneshot::channel();
        let job: Job<G> = Box::new(move |guest| {
            // Nobody waits any more if the caller was cancelled.
            drop(reply.send(call(guest)));
        });
        self.jobs.send(job).map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}
