//! What the log was told in a test. It must run on one thread, the only one that is listened to.

use std::io::{Result, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::subscriber::DefaultGuard;

/// The log, until it is dropped.
pub(crate) struct Log {
    told: Ear,
    _listening: DefaultGuard,
}

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<u8>>>);

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Log {
    /// Listens from now on.
    pub(crate) fn listen() -> Self {
        let told = Ear::default();
        let ear = told.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO);
        let listening = tracing::subscriber::set_default(log.with_writer(move || ear.clone()).finish());
        Self { told, _listening: listening }
    }

    /// The lines that hold `part`.
    pub(crate) fn lines(&self, part: &str) -> Vec<String> {
        let told = self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&told).lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}
