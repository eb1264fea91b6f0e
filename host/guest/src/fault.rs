//! How a call into a guest can end badly.

use model::change::Malformed;

/// Why a guest did not do what it was asked to. Nothing that it did counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest says so itself.
    #[error("{}{message}", path.as_ref().map_or_else(String::new, |path| format!("at {path}: ")))]
    Refused {
        /// The event to blame, by its row in the batch.
        event: Option<u32>,
        /// Where in its payload.
        path: Option<String>,
        message: String,
    },
    #[error("the guest trapped: {message}")]
    Trapped { message: String },
    #[error("the call took longer than limits.guest_call_ms_max ({ms_max} ms) allows")]
    OutOfTime { ms_max: u64 },
    #[error("the guest wanted {bytes} bytes of memory in all, more than limits.guest_memory_bytes_max ({max}) allows")]
    OutOfMemory { bytes: usize, max: usize },
    #[error(
        "the guest wanted tables of {elements} elements in all, more than limits.guest_table_elements_max ({max}) allows"
    )]
    OutOfTable { elements: usize, max: usize },
    #[error("the guest has more {what} than limits.{limit} ({max}) allows")]
    TooMany { what: &'static str, limit: &'static str, max: usize },
    #[error("the answer is larger than limits.guest_answer_bytes_max ({max}) allows")]
    AnswerTooLarge { max: usize },
    #[error("the guest asked for {what}, which it has not")]
    NotGranted { what: &'static str },
    #[error("the answer is not what it should be: {what}")]
    Lied { what: String },
}

impl Fault {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "event_refused",
            Self::Trapped { .. } => "guest_trapped",
            Self::OutOfTime { .. } => "guest_call_ms_max",
            Self::OutOfMemory { .. } => "guest_memory_bytes_max",
            Self::OutOfTable { .. } => "guest_table_elements_max",
            Self::TooMany { limit, .. } => limit,
            Self::AnswerTooLarge { .. } => "guest_answer_bytes_max",
            Self::NotGranted { .. } => "guest_not_granted",
            Self::Lied { .. } => "guest_answer_malformed",
        }
    }

    /// Whether the guest named the event to blame; else the host has to find it.
    #[must_use]
    pub fn event(&self) -> Option<u32> {
        match self {
            Self::Refused { event, .. } => *event,
            _ => None,
        }
    }

    /// What a guest says of `table` breaks a promise.
    #[must_use]
    pub fn lied(table: &str, malformed: &Malformed) -> Self {
        Self::Lied { what: format!("table `{table}`, {malformed}") }
    }
}
