//! A store with one plugin in it, and calls into it within bounds.

use wasmtime::{Engine, Store, Trap};

use super::Fault;
use super::fault::Fault as F;
use super::sandbox::TICK_MS;
use super::state::{LogLine, State};
use model::limits::Limits;

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
        let ms_max = limits.guest_call_ms_max;
        Self { store, ticks: ms_max.div_ceil(TICK_MS), ms_max }
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

    /// What the guest says of an event, no longer than a line of its log.
    pub(super) fn refused(&self, event: Option<u32>, path: Option<String>, message: &str) -> Fault {
        let state = self.store.data();
        F::Refused { event, path: path.map(|path| state.cut(&path, 0)), message: state.cut(message, 0) }
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
        if let Some(fault) = state.too_many(&text) {
            return fault;
        }
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

#[cfg(test)]
mod tests {
    use wasmtime::component::{Component, Linker};

    use super::*;
    use crate::sandbox::engine;

    /// Starts a component of so many instances of a core module.
    fn start(limits: &Limits, instances: usize, module: &str) -> Result<(), Fault> {
        let instances = "(core instance (instantiate $m))".repeat(instances);
        let bytes = wat::parse_str(format!("(component (core module $m {module}) {instances})")).expect("a component");
        let engine = engine().expect("an engine");
        let component = Component::new(&engine, bytes).expect("a component");
        let linker = Linker::new(&engine);
        Cell::new(&engine, limits).call(0, |store| linker.instantiate(store, &component)).map(|_| ())
    }

    /// Grows its memory, whose first page is there, by nine more; it traps if it can't.
    const GROWS: &str = "(memory 1) (func $grow (if (i32.eq (memory.grow (i32.const 9)) (i32.const -1)) \
        (then unreachable))) (start $grow)";

    #[test]
    fn all_memories_and_tables_of_a_guest_share_its_bounds() {
        const PAGE: usize = 1 << 16;
        let limits = Limits { guest_memory_bytes_max: 80 * PAGE, guest_table_elements_max: 80, ..Limits::default() };
        let check = |instances: usize, module: &str, expected: Option<&str>| {
            let found = start(&limits, instances, module).err();
            assert_eq!(found.as_ref().map(Fault::code), expected, "{instances} times {module}: {found:?}");
            let named = expected.is_none_or(|code| found.is_some_and(|fault| fault.to_string().contains(code)));
            assert!(named, "{instances} times {module}");
        };
        check(8, "(memory 10)", None);
        check(9, "(memory 10)", Some("guest_memory_bytes_max"));
        check(8, GROWS, None);
        check(9, GROWS, Some("guest_memory_bytes_max"));
        check(8, "(table 10 funcref)", None);
        check(9, "(table 10 funcref)", Some("guest_table_elements_max"));
        check(1, &"(memory 0)".repeat(16), None);
        check(1, &"(memory 0)".repeat(17), Some("guest_memories_max"));
        check(4, &"(table 0 funcref)".repeat(25), None);
        check(3, &"(table 0 funcref)".repeat(34), Some("guest_tables_max"));
        check(101, "", Some("guest_instances_max"));
    }

    #[test]
    fn growth_that_fails_gives_no_room_back() {
        // Grown by 60 pages; what is refused for the type of the memory makes no room for a second one.
        let tricks = "(memory 1 61) (memory 1) (func $grow \
            (drop (memory.grow 0 (i32.const 60))) (drop (memory.grow 0 (i32.const 65535))) \
            (drop (memory.grow 0 (i32.const 1))) \
            (if (i32.eq (memory.grow 1 (i32.const 60)) (i32.const -1)) (then unreachable))) (start $grow)";
        let limits = Limits { guest_memory_bytes_max: 80 << 16, ..Limits::default() };
        let fault = start(&limits, 1, tricks).expect_err("too much memory");
        assert_eq!(fault.code(), "guest_memory_bytes_max");
    }
}
