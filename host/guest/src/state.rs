//! What the host keeps beside a guest: its limits, its log, its clock, its dice.

use wasmtime::ResourceLimiter;

use super::Fault;
use model::limits::Limits;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// A line that a guest wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub level: LogLevel,
    pub text: String,
}

/// Every guest starts its dice here, and again before each call, so that what it
/// rolls never depends on what ran before.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The beginning of a line that is being printed.
#[derive(Debug, Default)]
struct Partial {
    /// As much of it as a line may have.
    bytes: Vec<u8>,
    /// How much more of it there was.
    cut: usize,
}

impl Partial {
    fn push(&mut self, bytes: &[u8], max: usize) {
        let (kept, cut) = bytes.split_at(bytes.len().min(max.saturating_sub(self.bytes.len())));
        self.bytes.extend_from_slice(kept);
        self.cut += cut.len();
    }
}

/// The state of one store.
#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    lines: Vec<LogLine>,
    dropped: usize,
    /// What was printed and is not a whole line yet: on standard output and standard error.
    partial: [Partial; 2],
    /// All linear memories together, and all tables.
    memory_bytes: usize,
    table_elements: usize,
    /// Microseconds since 1970: the time of the batch.
    pub(super) now: i64,
    dice: u64,
    /// Why the host said no, if it did: the guest itself learns only that it failed.
    pub(super) denied: Option<Fault>,
}

impl State {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            lines: Vec::new(),
            dropped: 0,
            partial: Default::default(),
            memory_bytes: 0,
            table_elements: 0,
            now: 0,
            dice: SEED,
            denied: None,
        }
    }

    /// Before each call.
    pub(super) fn reset(&mut self, now: i64) {
        self.now = now;
        self.dice = SEED;
        self.denied = None;
    }

    pub(super) fn write_line(&mut self, level: LogLevel, text: &str) {
        if self.lines.len() >= self.limits.guest_log_lines_max {
            self.dropped += 1;
            return;
        }
        let text = self.cut(text, 0);
        self.lines.push(LogLine { level, text });
    }

    /// As much of `text`, of which so many bytes are missing already, as a line may have.
    pub(super) fn cut(&self, text: &str, missing: usize) -> String {
        let end = text.floor_char_boundary(self.limits.guest_log_line_bytes_max);
        match missing + text.len() - end {
            0 => text.to_owned(),
            missing => format!("{}… ({missing} bytes cut)", &text[..end]),
        }
    }

    /// What the guest prints: 0 is standard output, 1 standard error. Whole lines become log
    /// lines. Each byte is looked at once, for nothing interrupts the host.
    pub(super) fn print(&mut self, stream: usize, bytes: &[u8]) {
        let mut rest = bytes;
        while self.lines.len() < self.limits.guest_log_lines_max {
            let Some(end) = memchr::memchr(b'\n', rest) else { break };
            self.partial[stream].push(&rest[..end], self.limits.guest_log_line_bytes_max);
            self.end_line(stream);
            rest = &rest[end + 1..];
        }
        if let Some(last) = memchr::memrchr(b'\n', rest) {
            // There is no room for any of these lines.
            self.dropped += memchr::memchr_iter(b'\n', &rest[..=last]).count();
            self.partial[stream] = Partial::default();
            rest = &rest[last + 1..];
        }
        self.partial[stream].push(rest, self.limits.guest_log_line_bytes_max);
    }

    fn end_line(&mut self, stream: usize) {
        let Partial { mut bytes, mut cut } = std::mem::take(&mut self.partial[stream]);
        if cut > 0
            && let Err(fault) = std::str::from_utf8(&bytes)
            && fault.error_len().is_none()
        {
            // Cut within a character.
            cut += bytes.len() - fault.valid_up_to();
            bytes.truncate(fault.valid_up_to());
        }
        let level = if stream == 0 { LogLevel::Info } else { LogLevel::Warn };
        if self.lines.len() >= self.limits.guest_log_lines_max {
            self.dropped += 1;
        } else {
            let text = self.cut(&String::from_utf8_lossy(&bytes), cut);
            self.lines.push(LogLine { level, text });
        }
    }

    /// The lines since the last time, and a word on those that were dropped. A line that has no
    /// end yet ends here.
    pub(super) fn take_lines(&mut self) -> Vec<LogLine> {
        for stream in 0..self.partial.len() {
            if !self.partial[stream].bytes.is_empty() {
                self.end_line(stream);
            }
        }
        let mut lines = std::mem::take(&mut self.lines);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let max = self.limits.guest_log_lines_max;
            lines.push(LogLine {
                level: LogLevel::Warn,
                text: format!("{dropped} more lines dropped: limits.guest_log_lines_max is {max}"),
            });
        }
        lines
    }

    /// The last error that the guest logged: the message of its panic, if it panicked.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.lines.iter().rev().find(|line| line.level == LogLevel::Error).map(|line| line.text.as_str())
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    pub(super) fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Which bound on numbers wasmtime speaks of, if it does.
    pub(super) fn too_many(&self, text: &str) -> Option<Fault> {
        let counted = text.strip_prefix("resource limit exceeded: ")?.split_once(" count ")?.0;
        let (what, limit, max) = match counted {
            "memory" => ("linear memories", "guest_memories_max", self.memories()),
            "table" => ("tables", "guest_tables_max", self.tables()),
            "instance" => ("instances of core modules", "guest_instances_max", self.instances()),
            _ => return None,
        };
        Some(Fault::TooMany { what, limit, max })
    }

    pub(super) fn answer_bytes_max(&self) -> usize {
        self.limits.guest_answer_bytes_max
    }
}

impl ResourceLimiter for State {
    // Growth that was allowed and fails all the same keeps what it was allowed: that a call of
    // `memory_grow_failed` belongs to the growth before it is not promised.

    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|own| desired > own) {
            return Ok(false);
        }
        let (bytes, max) = ((self.memory_bytes - current).saturating_add(desired), self.limits.guest_memory_bytes_max);
        if bytes > max {
            self.denied = Some(Fault::OutOfMemory { bytes, max });
            return Ok(false);
        }
        self.memory_bytes = bytes;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|own| desired > own) {
            return Ok(false);
        }
        let (elements, max) =
            ((self.table_elements - current).saturating_add(desired), self.limits.guest_table_elements_max);
        if elements > max {
            self.denied = Some(Fault::OutOfTable { elements, max });
            return Ok(false);
        }
        self.table_elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.guest_instances_max
    }

    fn tables(&self) -> usize {
        self.limits.guest_tables_max
    }

    fn memories(&self) -> usize {
        self.limits.guest_memories_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_long_lines_and_counts_dropped_ones() {
        let limits = Limits { guest_log_lines_max: 2, guest_log_line_bytes_max: 4, ..Limits::default() };
        let mut state = State::new(&limits);
        state.write_line(LogLevel::Error, "äöü");
        state.print(0, b"a\nb\nc");
        let texts: Vec<String> = state.take_lines().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["äö… (2 bytes cut)", "a", "2 more lines dropped: limits.guest_log_lines_max is 2"]);
    }

    #[test]
    fn what_is_printed_costs_no_more_than_looking_at_it_once() {
        let mut state = State::new(&Limits::default());
        // Were the rest moved at each line, this would take hours.
        state.print(0, &vec![b'\n'; 16 << 20]);
        let lines = state.take_lines();
        assert_eq!(lines.len(), 201);
        let dropped = (16 << 20) - 200;
        assert!(lines[200].text.starts_with(&format!("{dropped} more lines dropped")), "{}", lines[200].text);
    }

    #[test]
    fn a_line_that_does_not_end_takes_no_more_than_one_that_does() {
        let mut state = State::new(&Limits { guest_log_line_bytes_max: 4, ..Limits::default() });
        for part in [&b"ab\xc3"[..], b"\xa4x", &[b'y'; 1 << 20]] {
            state.print(1, part);
        }
        assert!(state.partial.iter().map(|partial| partial.bytes.len()).sum::<usize>() <= 4);
        let texts: Vec<String> = state.take_lines().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["abä… (1048577 bytes cut)"]);
    }

    #[test]
    fn rolls_the_same_numbers_in_every_call() {
        let mut state = State::new(&Limits::default());
        let first = [state.roll(), state.roll()];
        state.reset(5);
        assert_eq!([state.roll(), state.roll()], first);
        assert_ne!(first[0], first[1]);
    }
}
