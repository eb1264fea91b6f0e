//! What an upcaster makes of a batch.

use crate::event::{EventType, Texts};

/// What the events of a batch became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upcasted {
    /// How many events came of each event of the batch.
    pub counts: Vec<u32>,
    /// Types that occur.
    pub types: Vec<EventType>,
    /// Index into `types`, one per event that came out.
    pub type_codes: Vec<u32>,
    /// Payloads, one per event that came out.
    pub data: Texts,
}

impl Upcasted {
    /// Whether this can be what `events` events became.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, events: usize) -> Result<(), String> {
        let made: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        let counted = |what: &str, found: usize, expected: u64| {
            if found as u64 == expected { Ok(()) } else { Err(format!("{found} {what} for {expected} events")) }
        };
        counted("counts", self.counts.len(), events as u64)?;
        counted("types", self.type_codes.len(), made)?;
        counted("payloads", self.data.len(), made)?;
        if !self.data.is_well_formed() {
            return Err("the ends of the payloads do not fit their text".to_owned());
        }
        if self.type_codes.iter().any(|&code| code as usize >= self.types.len()) {
            return Err("a type that it does not list".to_owned());
        }
        if self.types.iter().any(|known| known.name.is_empty() || known.version == 0) {
            return Err("a type without a name or a version".to_owned());
        }
        match self.data.iter().find(|json| !is_object(json)) {
            Some(bad) => {
                Err(format!("a payload that is not a JSON object: {}", bad.chars().take(80).collect::<String>()))
            }
            None => Ok(()),
        }
    }
}

fn is_object(json: &str) -> bool {
    json.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok()
}
