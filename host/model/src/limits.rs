//! Every bound of the host in one place, each with its name, default and reason.
//!
//! Settings name them as they are named here (`[limits]` in `fantascope.toml`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The depth of JSON that every supported database takes: MariaDB refuses 32.
pub const JSON_DEPTH_MAX: usize = 31;

/// Bounds on what is stored, read, folded and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest payload of one event, in bytes; its metadata is bounded by the same.
    pub event_bytes_max: usize,
    /// The most events in one append.
    pub append_events_max: usize,
    /// The most bytes in the body of one HTTP request.
    pub request_bytes_max: usize,
    /// The most events in one page of an HTTP answer.
    pub page_events_max: usize,
    /// The most events in one batch of a projection.
    pub batch_events_max: usize,
    /// The most payload bytes in one batch, unless a single event is larger.
    pub batch_bytes_max: usize,
    /// Recently written rows that a projection keeps at hand, in bytes.
    pub recent_rows_bytes_max: usize,
    /// Changes of rows that a projection has folded and not committed yet, in bytes.
    pub waiting_rows_bytes_max: usize,
    /// What a version that is built from zero spends, per table, on knowing which
    /// keys it has written, in bytes.
    pub key_filter_bytes: usize,
    /// Pages of events that are kept for others that read the same part of the history, in bytes.
    pub shared_pages_bytes_max: usize,
    /// Of its time a version that is built beside a live one may work so much, in percent.
    pub backfill_percent_max: u64,
    /// It makes way while a live version is later than this, in milliseconds.
    pub backfill_yield_lag_ms: u64,
    /// The most partitions in which the history is folded at once.
    pub backfill_workers_max: u64,
    /// A version that has made no progress for so long, though there is work, is stuck; in milliseconds.
    pub stuck_after_ms: u64,
    /// The largest plugin file, in bytes.
    pub plugin_bytes_max: usize,
    /// Memory of one guest, all its linear memories together, in bytes.
    pub guest_memory_bytes_max: usize,
    /// Elements of a guest's tables, all together.
    pub guest_table_elements_max: usize,
    /// How many linear memories a guest may have.
    pub guest_memories_max: usize,
    /// How many tables a guest may have.
    pub guest_tables_max: usize,
    /// How many instances of core modules a guest may consist of.
    pub guest_instances_max: usize,
    /// How long one call into a guest may take, in milliseconds.
    pub guest_call_ms_max: u64,
    /// What a guest may hand over in one call, answers and log lines together, in bytes.
    pub guest_answer_bytes_max: usize,
    /// Log lines that a guest may write in one call; further ones are dropped and counted.
    pub guest_log_lines_max: usize,
    /// Bytes of one line of a guest's log; the rest is cut.
    pub guest_log_line_bytes_max: usize,
    /// How many steps of upcasters an event may go through until it is current.
    pub upcast_steps_max: usize,
    /// What the events of a page may become when they are made current, in bytes; what would be
    /// more is left to the next page.
    pub upcast_bytes_max: usize,
    /// How long compiling a plugin may take, in milliseconds.
    pub compile_ms_max: u64,
    /// Memory that compiling a plugin may take, in bytes.
    pub compile_memory_bytes_max: u64,
    /// How many clients may follow the live events at once.
    pub live_clients_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1 << 10;
        const MIB: usize = 1 << 20;
        Self {
            event_bytes_max: 256 * KIB,
            append_events_max: 1_000,
            request_bytes_max: 16 * MIB,
            page_events_max: 1_000,
            batch_events_max: 8_000,
            batch_bytes_max: 8 * MIB,
            recent_rows_bytes_max: 8 * MIB,
            waiting_rows_bytes_max: 32 * MIB,
            key_filter_bytes: 8 * MIB,
            shared_pages_bytes_max: 24 * MIB,
            backfill_percent_max: 100,
            backfill_yield_lag_ms: 250,
            backfill_workers_max: 16,
            stuck_after_ms: 10_000,
            plugin_bytes_max: 32 * MIB,
            guest_memory_bytes_max: 256 * MIB,
            guest_table_elements_max: 100_000,
            guest_memories_max: 16,
            guest_tables_max: 100,
            guest_instances_max: 100,
            guest_call_ms_max: 5_000,
            guest_answer_bytes_max: 64 * MIB,
            guest_log_lines_max: 200,
            guest_log_line_bytes_max: 4 * KIB,
            upcast_steps_max: 1_000,
            upcast_bytes_max: 64 * MIB,
            compile_ms_max: 120_000,
            compile_memory_bytes_max: 4 << 30,
            live_clients_max: 64,
        }
    }
}

impl Limits {
    /// What each of so many partitions of a projection may spend of what is bounded per projection.
    #[must_use]
    pub fn among(&self, partitions: u32) -> Self {
        let share = |bytes: usize| bytes / partitions.max(1) as usize;
        Self {
            recent_rows_bytes_max: share(self.recent_rows_bytes_max),
            waiting_rows_bytes_max: share(self.waiting_rows_bytes_max),
            key_filter_bytes: share(self.key_filter_bytes),
            ..self.clone()
        }
    }

    /// How long compiling a plugin may take.
    #[must_use]
    pub fn compile_max(&self) -> Duration {
        Duration::from_millis(self.compile_ms_max)
    }

    /// The names of those bounds that are 0, which would stop all work.
    #[must_use]
    pub fn zeros(&self) -> Vec<String> {
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) else {
            return Vec::new();
        };
        let is_zero = |value: &serde_json::Value| value.as_u64() == Some(0);
        fields.into_iter().filter(|(_, value)| is_zero(value)).map(|(name, _)| name).collect()
    }
}
