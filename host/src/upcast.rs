//! Upcasting: old events become current ones before anybody sees them, in chains.
//!
//! Level 1: batch in, batch out; no I/O.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::change::{Upcasted, UpcasterManifest};
use crate::event::{Batch, EventType, Position};

/// Something that upcasts a batch by one step per event.
pub trait Upcast: Send {
    /// Upcasts every event of `batch`, all of which it takes.
    ///
    /// # Errors
    /// Why it could not.
    fn upcast(&mut self, batch: Batch) -> Result<Upcasted, Refused>;
}

/// Why a batch was not upcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which event is to blame, by its row; none if that is not known.
    pub event: Option<u32>,
    /// A stable code.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// An event that could not be upcast. Whoever wants one of `kinds` can't go past it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poisoned {
    pub position: Position,
    pub event_id: Uuid,
    /// The names of the types that it could have become, and of the one that it is.
    pub kinds: Vec<Arc<str>>,
    /// A stable code.
    pub code: &'static str,
    /// For people: which upcaster, which event, and why.
    pub message: String,
}

/// Upcasters that cannot work together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    #[error("upcasters `{first}` and `{second}` both take {event_type}: remove one of them")]
    Twice { event_type: EventType, first: String, second: String },
    #[error("the upcasters go round in circles: {path}")]
    Circle { path: String },
}

/// All upcasters, and which of them takes what.
pub struct Chain {
    upcasters: Vec<(Arc<UpcasterManifest>, Box<dyn Upcast>)>,
    takers: HashMap<EventType, usize>,
    /// For each type that is taken: the names of all types that may come of it.
    kinds: HashMap<EventType, Vec<Arc<str>>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("takers", &self.takers).finish_non_exhaustive()
    }
}

impl Chain {
    /// Puts upcasters together.
    ///
    /// # Errors
    /// If two take the same, or events would be upcast for ever.
    pub fn new(upcasters: Vec<(Arc<UpcasterManifest>, Box<dyn Upcast>)>) -> Result<Self, Clash> {
        let manifests: Vec<&UpcasterManifest> = upcasters.iter().map(|(manifest, _)| &**manifest).collect();
        let (takers, kinds) = (takers(&manifests)?, kinds(&manifests)?);
        Ok(Self { upcasters, takers, kinds })
    }

    /// Whether there is nothing to do for any event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.takers.is_empty()
    }

    /// Upcasts what is old in `batch` until all of it is current.
    pub fn run(&mut self, mut batch: Batch) -> (Batch, Vec<Poisoned>) {
        let mut poisoned = Vec::new();
        let mut changed = false;
        // Ends, for the steps are known not to go round in circles.
        while let Some(number) = self.next_taker(&batch) {
            batch = self.step(number, batch, &mut poisoned);
            changed = true;
        }
        if changed {
            number_events(&mut batch);
        }
        (batch, poisoned)
    }

    /// The first upcaster that takes an event of `batch`.
    fn next_taker(&self, batch: &Batch) -> Option<usize> {
        let taken = batch.types.iter().enumerate().filter_map(|(code, known)| Some((code, *self.takers.get(known)?)));
        let occurs = |code: usize| batch.type_codes.iter().any(|&found| found as usize == code);
        taken.filter(|&(code, _)| occurs(code)).map(|(_, number)| number).min()
    }

    fn step(&mut self, number: usize, batch: Batch, poisoned: &mut Vec<Poisoned>) -> Batch {
        let taken: Vec<bool> = batch.types.iter().map(|known| self.takers.get(known) == Some(&number)).collect();
        let (old, rest): (Vec<u32>, Vec<u32>) =
            (0..row_count(&batch)).partition(|&row| taken[batch.type_codes[row as usize] as usize]);
        let mut made = Vec::new();
        self.upcast_rows(number, &batch, &old, &mut made, poisoned);
        splice(&batch, &rest, &made)
    }

    /// Upcasts `rows`; if that fails, finds the events to blame and does the others.
    fn upcast_rows(
        &mut self,
        number: usize,
        batch: &Batch,
        rows: &[u32],
        made: &mut Vec<(Vec<u32>, Upcasted)>,
        poisoned: &mut Vec<Poisoned>,
    ) {
        let mut waiting = vec![rows.to_vec()];
        while let Some(rows) = waiting.pop() {
            if rows.is_empty() {
                continue;
            }
            let (manifest, upcaster) = &mut self.upcasters[number];
            let outcome = upcaster.upcast(batch.gather(&rows));
            match outcome.and_then(|upcasted| expect_given(manifest, batch, &rows, upcasted)) {
                Ok(upcasted) => made.push((rows, upcasted)),
                Err(refused) => {
                    let blamed = refused.event.map(|event| event as usize).filter(|&event| event < rows.len());
                    let blamed = if rows.len() == 1 { Some(0) } else { blamed };
                    let cut = blamed.unwrap_or(rows.len() / 2);
                    if let Some(blamed) = blamed {
                        poisoned.push(blame(manifest, batch, rows[blamed] as usize, &self.kinds, &refused));
                    }
                    let after = if blamed.is_some() { cut + 1 } else { cut };
                    waiting.push(rows[after..].to_vec());
                    waiting.push(rows[..cut].to_vec());
                }
            }
        }
    }
}

/// Whether upcasters can work together.
///
/// # Errors
/// If two take the same, or events would be upcast for ever.
pub fn check(manifests: &[&UpcasterManifest]) -> Result<(), Clash> {
    takers(manifests)?;
    kinds(manifests).map(|_| ())
}

/// Which of the upcasters takes what.
fn takers(manifests: &[&UpcasterManifest]) -> Result<HashMap<EventType, usize>, Clash> {
    let mut takers: HashMap<EventType, usize> = HashMap::new();
    for (number, manifest) in manifests.iter().enumerate() {
        for step in &manifest.steps {
            if let Some(first) = takers.insert(step.takes.clone(), number) {
                return Err(Clash::Twice {
                    event_type: step.takes.clone(),
                    first: manifests[first].name.to_string(),
                    second: manifest.name.to_string(),
                });
            }
        }
    }
    Ok(takers)
}

/// For each type that is taken: the names of all types that may come of it.
fn kinds(manifests: &[&UpcasterManifest]) -> Result<HashMap<EventType, Vec<Arc<str>>>, Clash> {
    let mut gives: HashMap<&EventType, &[EventType]> = HashMap::new();
    for step in manifests.iter().flat_map(|manifest| &manifest.steps) {
        gives.insert(&step.takes, &step.gives);
    }
    let mut kinds = HashMap::new();
    for &taken in gives.keys() {
        let mut reached = Vec::new();
        follow(taken, &gives, &mut Vec::new(), &mut reached)?;
        kinds.insert(taken.clone(), reached);
    }
    Ok(kinds)
}

/// An upcaster may give only what it declares: all else could go round in circles.
fn expect_given(
    manifest: &UpcasterManifest,
    batch: &Batch,
    rows: &[u32],
    upcasted: Upcasted,
) -> Result<Upcasted, Refused> {
    let mut made = 0;
    for (event, (&row, &count)) in (0_u32..).zip(rows.iter().zip(&upcasted.counts)) {
        let taken = batch.event_type(row as usize);
        let gives = manifest.steps.iter().find(|step| step.takes == *taken).map_or(&[][..], |step| &step.gives);
        for _ in 0..count {
            let given = &upcasted.types[upcasted.type_codes[made] as usize];
            if !gives.contains(given) {
                let message = format!("it gave {given}, which it does not declare for {taken}");
                return Err(Refused { event: Some(event), code: "guest_answer_malformed", message });
            }
            made += 1;
        }
    }
    Ok(upcasted)
}

fn row_count(batch: &Batch) -> u32 {
    u32::try_from(batch.len()).unwrap_or(u32::MAX)
}

fn follow<'a>(
    event_type: &'a EventType,
    gives: &HashMap<&EventType, &'a [EventType]>,
    path: &mut Vec<&'a EventType>,
    reached: &mut Vec<Arc<str>>,
) -> Result<(), Clash> {
    if let Some(start) = path.iter().position(|&before| before == event_type) {
        let circle = path[start..].iter().copied().chain([event_type]);
        return Err(Clash::Circle { path: circle.map(EventType::to_string).collect::<Vec<_>>().join(" → ") });
    }
    if !reached.contains(&event_type.name) {
        reached.push(Arc::clone(&event_type.name));
    }
    path.push(event_type);
    for given in gives.get(event_type).copied().unwrap_or_default() {
        follow(given, gives, path, reached)?;
    }
    path.pop();
    Ok(())
}

fn blame(
    manifest: &UpcasterManifest,
    batch: &Batch,
    row: usize,
    kinds: &HashMap<EventType, Vec<Arc<str>>>,
    refused: &Refused,
) -> Poisoned {
    let (event_type, position, event_id) = (batch.event_type(row), batch.position(row), batch.event_id(row));
    Poisoned {
        position,
        event_id,
        kinds: kinds.get(event_type).cloned().unwrap_or_default(),
        code: refused.code,
        message: format!(
            "upcaster {} v{}, position {position}, event {event_id}, {event_type}: {}",
            manifest.name, manifest.version, refused.message
        ),
    }
}

/// Puts what came of old events where they stood, between the `rest`.
fn splice(batch: &Batch, rest: &[u32], made: &[(Vec<u32>, Upcasted)]) -> Batch {
    // Which row each new event comes from, and what it is now.
    let mut origins: Vec<(u32, Option<(usize, usize)>)> = rest.iter().map(|&row| (row, None)).collect();
    for (part, (rows, upcasted)) in made.iter().enumerate() {
        let mut next = 0;
        for (&row, &count) in rows.iter().zip(&upcasted.counts) {
            for _ in 0..count {
                origins.push((row, Some((part, next))));
                next += 1;
            }
        }
    }
    // Stable: events of one origin keep their order.
    origins.sort_by_key(|&(row, _)| row);
    let rows: Vec<u32> = origins.iter().map(|&(row, _)| row).collect();
    let mut spliced = batch.gather(&rows);
    let mut data = crate::event::Texts::default();
    for (row, &(_, origin)) in origins.iter().enumerate() {
        match origin {
            None => data.push(spliced.data.get(row)),
            Some((part, number)) => {
                let upcasted = &made[part].1;
                data.push(upcasted.data.get(number));
                spliced.type_codes[row] =
                    code_of(&mut spliced.types, &upcasted.types[upcasted.type_codes[number] as usize]);
            }
        }
    }
    spliced.data = data;
    keep_used_types(&mut spliced);
    spliced
}

fn code_of(types: &mut Vec<EventType>, wanted: &EventType) -> u32 {
    let code = types.iter().position(|known| known == wanted).unwrap_or_else(|| {
        types.push(wanted.clone());
        types.len() - 1
    });
    u32::try_from(code).unwrap_or(u32::MAX)
}

/// A type that no event has any more must not be asked for again.
fn keep_used_types(batch: &mut Batch) {
    let used: HashSet<u32> = batch.type_codes.iter().copied().collect();
    let mut new_codes = vec![0; batch.types.len()];
    let mut types = Vec::with_capacity(used.len());
    for (code, known) in batch.types.iter().enumerate() {
        if used.contains(&u32::try_from(code).unwrap_or(u32::MAX)) {
            new_codes[code] = u32::try_from(types.len()).unwrap_or(u32::MAX);
            types.push(known.clone());
        }
    }
    batch.types = types;
    batch.type_codes.iter_mut().for_each(|code| *code = new_codes[*code as usize]);
}

/// Numbers the events that share a position.
fn number_events(batch: &mut Batch) {
    for row in 1..batch.len() {
        let same = batch.positions[row] == batch.positions[row - 1];
        batch.indexes[row] = if same { batch.indexes[row - 1] + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Step;
    use crate::event::Texts;

    fn event_type(text: &str) -> EventType {
        let (name, version) = text.split_once(" v").expect("name and version");
        EventType { name: name.into(), version: version.parse().expect("a number") }
    }

    /// Makes of each event the types listed for it; refuses payloads that hold "bad".
    struct Fake(HashMap<EventType, Vec<EventType>>, bool);

    impl Upcast for Fake {
        fn upcast(&mut self, batch: Batch) -> Result<Upcasted, Refused> {
            if let Some(bad) = batch.data.iter().position(|data| data.contains("bad")) {
                let event = self.1.then(|| u32::try_from(bad).expect("small"));
                return Err(Refused { event, code: "event_refused", message: "it is bad".to_owned() });
            }
            let mut upcasted = Upcasted { counts: vec![], types: vec![], type_codes: vec![], data: Texts::default() };
            for row in 0..batch.len() {
                let given = &self.0[batch.event_type(row)];
                upcasted.counts.push(u32::try_from(given.len()).expect("small"));
                for known in given {
                    let code = code_of(&mut upcasted.types, known);
                    upcasted.type_codes.push(code);
                    upcasted.data.push(batch.data.get(row));
                }
            }
            Ok(upcasted)
        }
    }

    fn chain_of(upcasters: &[&[(&str, &[&str])]], names_event: bool) -> Result<Chain, Clash> {
        let upcaster = |steps: &&[(&str, &[&str])]| {
            let steps: Vec<Step> = steps
                .iter()
                .map(|(takes, gives)| Step {
                    takes: event_type(takes),
                    gives: gives.iter().map(|given| event_type(given)).collect(),
                })
                .collect();
            let fake = Fake(steps.iter().map(|step| (step.takes.clone(), step.gives.clone())).collect(), names_event);
            let name = format!("u{}", steps.len()).parse().expect("a name");
            (
                Arc::new(UpcasterManifest { sdk: String::new(), name, version: 1, steps }),
                Box::new(fake) as Box<dyn Upcast>,
            )
        };
        Chain::new(upcasters.iter().map(upcaster).collect())
    }

    fn batch_of(events: &[(&str, &str)]) -> Batch {
        let mut batch = Batch::default();
        for (number, (kind, data)) in (1_u64..).zip(events) {
            batch.positions.push(number);
            batch.indexes.push(0);
            batch.ids.extend_from_slice(Uuid::from_u128(u128::from(number)).as_bytes());
            let code = code_of(&mut batch.types, &event_type(kind));
            batch.type_codes.push(code);
            batch.aggregate_types = vec!["A".to_owned()];
            batch.aggregate_type_codes.push(0);
            batch.aggregate_versions.push(number);
            batch.timestamps.push(0);
            for texts in [
                &mut batch.aggregate_ids,
                &mut batch.user_ids,
                &mut batch.correlation_ids,
                &mut batch.causation_ids,
                &mut batch.metadata,
            ] {
                texts.push("");
            }
            batch.data.push(data);
        }
        batch
    }

    fn shown(batch: &Batch) -> Vec<String> {
        (0..batch.len())
            .map(|row| {
                format!(
                    "{}.{} {} {}",
                    batch.positions[row],
                    batch.indexes[row],
                    batch.event_type(row),
                    batch.data.get(row)
                )
            })
            .collect()
    }

    #[test]
    fn carries_events_through_chains_of_steps() {
        let mut chain = chain_of(
            &[
                &[("A v1", &["A v2"]), ("Both v1", &["A v1", "B v1"])],
                &[("A v2", &["A v3"]), ("Gone v1", &[]), ("B v1", &["C v1", "C v1"])],
            ],
            true,
        )
        .expect("a chain");
        let (batch, poisoned) =
            chain.run(batch_of(&[("A v1", "a"), ("X v1", "x"), ("Gone v1", "g"), ("Both v1", "b"), ("A v3", "z")]));
        assert_eq!(shown(&batch), ["1.0 A v3 a", "2.0 X v1 x", "4.0 A v3 b", "4.1 C v1 b", "4.2 C v1 b", "5.0 A v3 z"]);
        assert_eq!(poisoned, []);
        assert!(batch.types.iter().all(|known| known.name.as_ref() != "Gone"));
    }

    #[test]
    fn poisons_the_bad_event_alone_whether_or_not_the_upcaster_names_it() {
        for names_event in [true, false] {
            let mut chain = chain_of(&[&[("A v1", &["B v1"])]], names_event).expect("a chain");
            let events = [("A v1", "1"), ("A v1", "bad"), ("A v1", "3"), ("A v1", "bad too"), ("A v1", "5")];
            let (batch, poisoned) = chain.run(batch_of(&events));
            assert_eq!(shown(&batch), ["1.0 B v1 1", "3.0 B v1 3", "5.0 B v1 5"]);
            let mut positions: Vec<u64> = poisoned.iter().map(|event| event.position.0).collect();
            positions.sort_unstable();
            assert_eq!(positions, [2, 4]);
            assert_eq!(poisoned[0].kinds.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["A", "B"]);
            assert!(poisoned[0].message.contains("A v1: it is bad"), "{}", poisoned[0].message);
        }
    }

    #[test]
    fn refuses_circles_and_two_takers() {
        let fault = chain_of(&[&[("A v1", &["B v1"]), ("B v1", &["A v1"])]], true).expect_err("a circle");
        assert!(fault.to_string().contains(" → "), "{fault}");
        let fault = chain_of(&[&[("A v1", &["A v2"])], &[("A v1", &[]), ("C v1", &[])]], true).expect_err("two takers");
        assert!(fault.to_string().contains("both take A v1"), "{fault}");
    }
}
