//! A store with one plugin in it, and calls into it within bounds.

use wasmtime::{Engine, Store, Trap};

use super::Fault;
use super::fault::Fault as F;
use super::sandbox::TICK;
use super::state::{LogLine, State};
use crate::limits::Limits;

/// A store, and how long a call may take in it.
pub(super) struct Cell {
    pub(super) store: Store<State>,
    ticks: u64,
    ms_max: u64,
}

impl Cell {
    pub(super) fn new(engine: &Engine, limits: &Limits) -> Self {
        let mut store = Store::new(engine, State::new(limits));
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.guest_answer_bytes_max);
        store.set_max_component_handles(1_000);
        store.epoch_deadline_trap();
        let ticks = limits.guest_call_max().as_millis().div_ceil(TICK.as_millis());
        Self { store, ticks: u64::try_from(ticks).unwrap_or(u64::MAX / 2), ms_max: limits.guest_call_ms_max }
    }

    /// Makes `call` within the bounds; `now` is the time that the guest is told,
    /// in microseconds since 1970.
    pub(super) fn call<R>(
        &mut self,
        now: i64,
        call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.store.data_mut().reset(now);
        // One tick more, for the next one may be just about to come.
        self.store.set_epoch_deadline(self.ticks + 1);
        call(&mut self.store).map_err(|error| self.fault(&error))
    }

    pub(super) fn take_lines(&mut self) -> Vec<LogLine> {
        self.store.data_mut().take_lines()
    }

    fn fault(&mut self, error: &wasmtime::Error) -> Fault {
        let state = self.store.data_mut();
        if let Some(denied) = state.denied.take() {
            return denied;
        }
        if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
            return F::OutOfTime { ms_max: self.ms_max };
        }
        let text = error.root_cause().to_string();
        if text.contains("fuel allocated for hostcalls") {
            return F::AnswerTooLarge { max: state.answer_bytes_max() };
        }
        // A guest that panics logs its message before it traps.
        let message = state.last_error().map_or(text, str::to_owned).replace('\n', " ");
        F::Trapped { message }
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").field("ms_max", &self.ms_max).finish_non_exhaustive()
    }
}
