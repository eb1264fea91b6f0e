//! What the host keeps beside a guest: its limits, its log, its clock, its dice.

use wasmtime::ResourceLimiter;

use super::Fault;
use crate::limits::Limits;

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

/// The state of one store.
#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    lines: Vec<LogLine>,
    dropped: usize,
    partial: [String; 2],
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
        let max = self.limits.guest_log_line_bytes_max;
        let text = if text.len() <= max {
            text.to_owned()
        } else {
            format!(
                "{}… ({} bytes cut)",
                &text[..text.floor_char_boundary(max)],
                text.len() - text.floor_char_boundary(max)
            )
        };
        self.lines.push(LogLine { level, text });
    }

    /// What the guest prints: 0 is standard output, 1 standard error. Whole lines become log lines.
    pub(super) fn print(&mut self, stream: usize, bytes: &[u8]) {
        let mut pending = std::mem::take(&mut self.partial[stream]);
        pending.push_str(&String::from_utf8_lossy(bytes));
        let level = if stream == 0 { LogLevel::Info } else { LogLevel::Warn };
        while let Some(end) = pending.find('\n') {
            let rest = pending.split_off(end + 1);
            self.write_line(level, pending.trim_end_matches('\n'));
            pending = rest;
        }
        if pending.len() > self.limits.guest_log_line_bytes_max {
            self.write_line(level, &std::mem::take(&mut pending));
        }
        self.partial[stream] = pending;
    }

    /// The lines since the last time, and a word on those that were dropped.
    pub(super) fn take_lines(&mut self) -> Vec<LogLine> {
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

    pub(super) fn answer_bytes_max(&self) -> usize {
        self.limits.guest_answer_bytes_max
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let max = self.limits.guest_memory_bytes_max;
        if desired > max {
            self.denied = Some(Fault::OutOfMemory { bytes: desired, max });
        }
        Ok(desired <= max)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let max = self.limits.guest_table_elements_max;
        if desired > max {
            self.denied = Some(Fault::OutOfTable { elements: desired, max });
        }
        Ok(desired <= max)
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
        assert_eq!(texts, ["äö… (2 bytes cut)", "a", "1 more lines dropped: limits.guest_log_lines_max is 2"]);
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
