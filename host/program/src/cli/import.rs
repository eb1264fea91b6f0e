//! Importing a file of events: first all of it is read and checked, then it is added,
//! so that a file with a fault adds nothing.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use hashbrown::HashMap;
use indicatif::ProgressBar;
use serde::Serialize;
use uuid::Uuid;

use super::import_file::{ImportFile, Lines};
use model::event::{ImportedEvent, Object};
use model::limits::Limits;
use store::{ImportFault, Store};

/// Events that are checked or added at a time.
const EVENTS_PER_CHUNK: usize = 1_000;

/// Faults that are shown; whoever has more has mended enough for one round.
const FAULTS_SHOWN: usize = 20;

/// What a line may have beside its payloads.
const LINE_BYTES_EXTRA: usize = 64 * 1024;

/// What an import did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Imported {
    /// Events in the file.
    pub read: u64,
    /// Those that were not in the store.
    pub added: u64,
    /// Those that were.
    pub present: u64,
    pub seconds: f64,
    pub events_per_second: f64,
}

/// Adds those events of `file` to `store` that it does not hold yet. `bar` shows the
/// bytes read; the file is read twice.
///
/// # Errors
/// All that is wrong with the file, by line; then nothing is added.
pub async fn import(
    store: &Store,
    file: &mut ImportFile,
    limits: &Limits,
    bar: &ProgressBar,
) -> anyhow::Result<Imported> {
    let started = Instant::now();
    bar.set_length(file.bytes() * 2);
    bar.set_message("checking");
    let read = check(store, file, limits, bar).await?;
    bar.set_message("adding");
    let added = add(store, file, limits, bar).await?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Imported { read, added, present: read - added, seconds, events_per_second: read as f64 / seconds.max(1e-9) })
}

/// Events of some lines.
#[derive(Debug, Default)]
struct Chunk {
    events: Vec<ImportedEvent>,
    /// The line of each.
    lines: Vec<u64>,
}

fn line_bytes_max(limits: &Limits) -> usize {
    // Payload and metadata are bounded each; escapes can make names longer than they are stored.
    limits.event_bytes_max.saturating_mul(2).saturating_add(LINE_BYTES_EXTRA)
}

/// Checks every line by itself, with the others, and with what is stored.
async fn check(store: &Store, file: &mut ImportFile, limits: &Limits, bar: &ProgressBar) -> anyhow::Result<u64> {
    let name = file.name().to_owned();
    let mut faults = Faults { file: name.clone(), lines: Vec::new() };
    let mut lines = file.lines(line_bytes_max(limits), bar)?;
    let mut first_lines: HashMap<Uuid, u64> = HashMap::new();
    let mut ahead = std::collections::HashMap::new();
    let mut read = 0;
    loop {
        let chunk = read_chunk(&mut lines, limits, &mut faults).with_context(|| format!("cannot import `{name}`"))?;
        for (event, &line) in chunk.events.iter().zip(&chunk.lines) {
            if let Some(first) = first_lines.insert(event.event_id, line) {
                faults.add(line, format!("event id {} occurs in line {first} already", event.event_id));
            }
        }
        if chunk.events.is_empty() || faults.are_many() {
            break;
        }
        read += chunk.events.len() as u64;
        // After a fault the versions of its aggregate would not add up, and every event
        // behind it would be blamed.
        if faults.lines.is_empty()
            && let Err(fault) = store.check_import(&chunk.events, &mut ahead).await
        {
            blame(&fault, &chunk, &mut faults)?;
            break;
        }
    }
    faults.refuse()?;
    Ok(read)
}

/// Adds a chunk while the next one is parsed.
async fn add(store: &Store, file: &mut ImportFile, limits: &Limits, bar: &ProgressBar) -> anyhow::Result<u64> {
    let mut faults = Faults { file: file.name().to_owned(), lines: Vec::new() };
    let mut lines = file.lines(line_bytes_max(limits), bar)?;
    let mut added = 0;
    let mut chunk = read_chunk(&mut lines, limits, &mut faults)?;
    while !chunk.events.is_empty() {
        let events = Arc::new(std::mem::take(&mut chunk.events));
        let importing = tokio::spawn({
            let store = store.clone();
            async move { store.import(events).await }
        });
        let next = read_chunk(&mut lines, limits, &mut faults)?;
        match importing.await? {
            Ok(count) => added += count as u64,
            Err(fault) => {
                let before =
                    || format!("stopped after {added} events were added: import the file again to add the others");
                blame(&fault, &chunk, &mut faults).with_context(before)?;
                break;
            }
        }
        chunk = next;
    }
    let half_done =
        || format!("the file or the store has changed since they were checked: {added} events were added before");
    faults.refuse().with_context(half_done)?;
    Ok(added)
}

/// The next events; none at the end. Lines at fault are left out and noted.
fn read_chunk(lines: &mut Lines<'_>, limits: &Limits, faults: &mut Faults) -> anyhow::Result<Chunk> {
    let mut chunk = Chunk::default();
    while chunk.events.len() < EVENTS_PER_CHUNK && !faults.are_many() {
        let Some((number, line)) = lines.next().map_err(anyhow::Error::msg)? else { break };
        match parse(line, limits) {
            Ok(event) => {
                chunk.events.push(event);
                chunk.lines.push(number);
            }
            Err((column, reason)) => faults.add_at(number, column, reason),
        }
    }
    Ok(chunk)
}

/// The event of a line; or the column at fault, from 1 (0 for the whole), and why.
fn parse(line: &[u8], limits: &Limits) -> Result<ImportedEvent, (usize, String)> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let Object(event): Object<ImportedEvent> = serde_path_to_error::deserialize(&mut json).map_err(|fault| {
        let path = fault.path().to_string();
        let at = if matches!(path.as_str(), "." | "?") { String::new() } else { format!("at {path}: ") };
        (fault.inner().column(), format!("{at}{}", without_place(fault.inner())))
    })?;
    json.end().map_err(|fault| (fault.column(), without_place(&fault)))?;
    event.check(limits).map_err(|fault| (0, fault.to_string()))?;
    Ok(event)
}

/// The text of a fault without `at line 1 column 5`, for the line is always 1 here.
fn without_place(fault: &serde_json::Error) -> String {
    let text = fault.to_string();
    let place = format!(" at line {} column {}", fault.line(), fault.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// Notes the fault at its line; gives it back if it has none, for then the store failed.
fn blame(fault: &ImportFault, chunk: &Chunk, faults: &mut Faults) -> anyhow::Result<()> {
    match fault.index.and_then(|index| chunk.lines.get(index)) {
        Some(&line) => {
            faults.add(line, fault.reason.clone());
            Ok(())
        }
        None => bail!("{}", fault.reason),
    }
}

/// What is wrong with a file.
struct Faults {
    file: String,
    lines: Vec<String>,
}

impl Faults {
    fn add(&mut self, line: u64, reason: String) {
        self.add_at(line, 0, reason);
    }

    fn add_at(&mut self, line: u64, column: usize, reason: String) {
        let column = if column == 0 { String::new() } else { format!(":{column}") };
        self.lines.push(format!("{}:{line}{column}: {reason}", self.file));
    }

    fn are_many(&self) -> bool {
        self.lines.len() >= FAULTS_SHOWN
    }

    fn refuse(&self) -> anyhow::Result<()> {
        let more = if self.are_many() { "\n  … and perhaps more" } else { "" };
        match self.lines.as_slice() {
            [] => Ok(()),
            lines => bail!("`{}` cannot be imported, nothing was added:\n  {}{more}", self.file, lines.join("\n  ")),
        }
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
