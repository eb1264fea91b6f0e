//! Upcasters put together: they work on a batch until all of it is current.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::growth::{Fit, Part, bytes_of, fit};
use super::steps::Steps;
use model::change::{Upcasted, UpcasterManifest};
use model::event::{Batch, Checkpoint, EventType, Position, number_of};
use model::limits::Limits;

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

/// What a batch has become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Current {
    pub events: Batch,
    pub poisoned: Vec<Poisoned>,
    /// If more came of the batch than may: the last event of it that is in this, before upcasting.
    /// Those behind it are to be made current by themselves.
    pub cut: Option<Checkpoint>,
}

impl Current {
    /// Nothing of it comes after `position` any more.
    pub fn cut_after(&mut self, position: Position) {
        let end = self.events.positions.partition_point(|&known| known <= position.0);
        if end < self.events.len() {
            self.events = self.events.gather(&(0..number_of(end)).collect::<Vec<u32>>());
        }
        self.poisoned.retain(|event| event.position <= position);
    }
}

/// All upcasters, and which of them takes what.
pub struct Chain {
    upcasters: Vec<(Arc<UpcasterManifest>, Box<dyn Upcast>)>,
    steps: Arc<Steps>,
    /// So much may come of a batch, in bytes.
    bytes_max: usize,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl Chain {
    /// Puts upcasters together, whose `steps` these are.
    #[must_use]
    pub fn new(upcasters: Vec<(Arc<UpcasterManifest>, Box<dyn Upcast>)>, steps: Arc<Steps>, limits: &Limits) -> Self {
        Self { upcasters, steps, bytes_max: limits.upcast_bytes_max }
    }

    /// Upcasts what is old in `batch` until all of it is current, or as much as there is room for.
    pub fn run(&mut self, batch: Batch) -> Current {
        let mut current = Current { events: batch, ..Current::default() };
        let mut changed = false;
        // Ends, for the steps are known not to go round in circles.
        while let Some(number) = self.next_taker(&current.events) {
            self.step(number, &mut current);
            changed = true;
        }
        if changed {
            number_events(&mut current.events);
        }
        if let Some(cut) = current.cut {
            current.cut_after(cut.position);
        }
        current
    }

    /// The first upcaster that takes an event of `batch`.
    fn next_taker(&self, batch: &Batch) -> Option<usize> {
        let taken = batch.types.iter().enumerate().filter_map(|(code, known)| Some((code, self.steps.taker(known)?)));
        let occurs = |code: usize| batch.type_codes.iter().any(|&found| found as usize == code);
        taken.filter(|&(code, _)| occurs(code)).map(|(_, number)| number).min()
    }

    fn step(&mut self, number: usize, current: &mut Current) {
        let batch = std::mem::take(&mut current.events);
        let taken: Vec<bool> = batch.types.iter().map(|known| self.steps.taker(known) == Some(number)).collect();
        let (old, rest): (Vec<u32>, Vec<u32>) =
            (0..number_of(batch.len())).partition(|&row| taken[batch.type_codes[row as usize] as usize]);
        let (made, undone) = self.upcast_rows(number, &batch, old, &mut current.poisoned);
        match fit(&batch, &made, undone, self.bytes_max) {
            Fit::All => current.events = splice(&batch, &rest, &made),
            Fit::Before(end) => {
                let (position, event_id) = (batch.position(end - 1), batch.event_id(end - 1));
                current.events = splice(&batch, &rest, &made);
                current.cut = Some(Checkpoint::behind(position, event_id));
                current.cut_after(position);
            }
            Fit::Nothing(end) => {
                let (position, event_id) = (batch.position(0), batch.event_id(0));
                let message = format!("more comes of it than limits.upcast_bytes_max ({}) allows", self.bytes_max);
                let refused = Refused { event: None, code: "upcast_bytes_max", message };
                let row = (0..end).find(|&row| taken[batch.type_codes[row] as usize]).unwrap_or(0);
                let mut poisoned = blame(&self.upcasters[number].0, &batch, row, &self.steps, &refused);
                for row in 0..end {
                    poisoned.kinds.extend(self.steps.kinds(batch.event_type(row)));
                }
                current.poisoned.push(poisoned);
                current.cut = Some(Checkpoint::behind(position, event_id));
            }
        }
    }

    /// Upcasts `rows`; if that fails, finds the events to blame and does the others. Ends early
    /// if there is no room for more: before the row that is given.
    fn upcast_rows(
        &mut self,
        number: usize,
        batch: &Batch,
        rows: Vec<u32>,
        poisoned: &mut Vec<Poisoned>,
    ) -> (Vec<Part>, usize) {
        let (mut made, mut bytes) = (Vec::new(), 0);
        let mut waiting = vec![rows];
        while let Some(rows) = waiting.pop() {
            let Some(&first) = rows.first() else { continue };
            if bytes > self.bytes_max {
                return (made, first as usize);
            }
            let (manifest, upcaster) = &mut self.upcasters[number];
            let outcome = upcaster.upcast(batch.gather(&rows));
            match outcome.and_then(|upcasted| expect_given(&self.steps, batch, &rows, upcasted)) {
                Ok(upcasted) => {
                    bytes += bytes_of(&upcasted);
                    made.push((rows, upcasted));
                }
                Err(refused) => {
                    let blamed = refused.event.map(|event| event as usize).filter(|&event| event < rows.len());
                    let blamed = if rows.len() == 1 { Some(0) } else { blamed };
                    let cut = blamed.unwrap_or(rows.len() / 2);
                    if let Some(blamed) = blamed {
                        poisoned.push(blame(manifest, batch, rows[blamed] as usize, &self.steps, &refused));
                    }
                    let after = if blamed.is_some() { cut + 1 } else { cut };
                    waiting.push(rows[after..].to_vec());
                    waiting.push(rows[..cut].to_vec());
                }
            }
        }
        (made, batch.len())
    }
}

/// An upcaster may give only what it declares: all else could go round in circles.
fn expect_given(steps: &Steps, batch: &Batch, rows: &[u32], upcasted: Upcasted) -> Result<Upcasted, Refused> {
    let mut codes = upcasted.type_codes.iter();
    // What was seen to be declared, by the codes of both types.
    let mut declared = HashSet::new();
    for (event, (&row, &count)) in (0_u32..).zip(rows.iter().zip(&upcasted.counts)) {
        let taken_code = batch.type_codes[row as usize];
        for &code in codes.by_ref().take(count as usize) {
            if declared.contains(&(taken_code, code)) {
                continue;
            }
            let (taken, given) = (batch.event_type(row as usize), &upcasted.types[code as usize]);
            if !steps.gives(taken).contains(given) {
                let message = format!("it gave {given}, which it does not declare for {taken}");
                return Err(Refused { event: Some(event), code: "guest_answer_malformed", message });
            }
            declared.insert((taken_code, code));
        }
    }
    Ok(upcasted)
}

fn blame(manifest: &UpcasterManifest, batch: &Batch, row: usize, steps: &Steps, refused: &Refused) -> Poisoned {
    let (event_type, position, event_id) = (batch.event_type(row), batch.position(row), batch.event_id(row));
    Poisoned {
        position,
        event_id,
        kinds: steps.kinds(event_type),
        code: refused.code,
        message: format!(
            "upcaster {} v{}, position {position}, event {event_id}, {event_type}: {}",
            manifest.name, manifest.version, refused.message
        ),
    }
}

/// Puts what came of old events where they stood, between the `rest`.
fn splice(batch: &Batch, rest: &[u32], made: &[Part]) -> Batch {
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
    let mut data = model::event::Texts::default();
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
    number_of(code)
}

/// A type that no event has any more must not be asked for again.
fn keep_used_types(batch: &mut Batch) {
    let used: HashSet<u32> = batch.type_codes.iter().copied().collect();
    let mut new_codes = vec![0; batch.types.len()];
    let mut types = Vec::with_capacity(used.len());
    for (code, known) in batch.types.iter().enumerate() {
        if used.contains(&number_of(code)) {
            new_codes[code] = number_of(types.len());
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
    use std::collections::HashMap;

    use super::*;
    use model::change::Step;
    use model::event::Texts;

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

    fn chain_of(upcasters: &[&[(&str, &[&str])]], names_event: bool) -> Chain {
        chain_within(&Limits::default(), upcasters, names_event)
    }

    fn chain_within(limits: &Limits, upcasters: &[&[(&str, &[&str])]], names_event: bool) -> Chain {
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
        let upcasters: Vec<_> = upcasters.iter().map(upcaster).collect();
        let manifests: Vec<&UpcasterManifest> = upcasters.iter().map(|(manifest, _)| &**manifest).collect();
        let steps = Steps::of(&manifests, limits).expect("a chain");
        Chain::new(upcasters, Arc::new(steps), limits)
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
        );
        let Current { events: batch, poisoned, .. } =
            chain.run(batch_of(&[("A v1", "a"), ("X v1", "x"), ("Gone v1", "g"), ("Both v1", "b"), ("A v3", "z")]));
        assert_eq!(shown(&batch), ["1.0 A v3 a", "2.0 X v1 x", "4.0 A v3 b", "4.1 C v1 b", "4.2 C v1 b", "5.0 A v3 z"]);
        assert_eq!(poisoned, []);
        assert!(batch.types.iter().all(|known| known.name.as_ref() != "Gone"));
    }

    #[test]
    fn poisons_the_bad_event_alone_whether_or_not_the_upcaster_names_it() {
        for names_event in [true, false] {
            let mut chain = chain_of(&[&[("A v1", &["B v1"])]], names_event);
            let events = [("A v1", "1"), ("A v1", "bad"), ("A v1", "3"), ("A v1", "bad too"), ("A v1", "5")];
            let Current { events: batch, poisoned, .. } = chain.run(batch_of(&events));
            assert_eq!(shown(&batch), ["1.0 B v1 1", "3.0 B v1 3", "5.0 B v1 5"]);
            let mut positions: Vec<u64> = poisoned.iter().map(|event| event.position.0).collect();
            positions.sort_unstable();
            assert_eq!(positions, [2, 4]);
            assert_eq!(poisoned[0].kinds.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["A", "B"]);
            assert!(poisoned[0].message.contains("A v1: it is bad"), "{}", poisoned[0].message);
        }
    }

    #[test]
    fn what_is_too_much_is_left_to_the_next_page() {
        // Each diamond doubles what there is: 2^40 events of one.
        let names: Vec<[String; 3]> = (1..=40)
            .map(|number| [format!("A v{number}"), format!("B v{number}"), format!("A v{}", number + 1)])
            .collect();
        let gives: Vec<[[&str; 2]; 2]> =
            names.iter().map(|[_, b, next]| [[b, b], [next, next]].map(|pair| pair.map(String::as_str))).collect();
        let steps: Vec<(&str, &[&str])> = names
            .iter()
            .zip(&gives)
            .flat_map(|([a, b, _], [of_a, of_b])| [(a.as_str(), &of_a[..]), (b.as_str(), &of_b[1..])])
            .collect();
        let limits = Limits { upcast_bytes_max: 1 << 16, ..Limits::default() };
        let mut chain = chain_within(&limits, &[&steps], true);
        let current = chain.run(batch_of(&[("X v1", "x"), ("A v1", "a"), ("X v1", "y")]));
        assert_eq!((shown(&current.events), current.poisoned.len()), (vec!["1.0 X v1 x".to_owned()], 0));
        assert_eq!(current.cut, Some(Checkpoint::behind(Position(1), Uuid::from_u128(1))));
        let current = chain.run(batch_of(&[("A v1", "a"), ("X v1", "y")]));
        assert_eq!((current.events.len(), current.cut), (0, Some(Checkpoint::behind(Position(1), Uuid::from_u128(1)))));
        let poisoned = &current.poisoned[0];
        assert_eq!((current.poisoned.len(), poisoned.position, poisoned.code), (1, Position(1), "upcast_bytes_max"));
        assert!(poisoned.kinds.iter().any(|kind| kind.as_ref() == "A"), "{:?}", poisoned.kinds);
        assert!(poisoned.message.contains("limits.upcast_bytes_max (65536)"), "{}", poisoned.message);
    }

    #[test]
    fn a_batch_is_cut_between_positions() {
        let limits = Limits { upcast_bytes_max: 1_000, ..Limits::default() };
        let mut chain = chain_within(&limits, &[&[("A v1", &["B v1", "B v1", "B v1"])]], true);
        let mut events =
            batch_of(&[("A v1", "1"), ("A v1", "2"), ("A v1", "3"), ("A v1", "4"), ("A v1", "5"), ("A v1", "6")]);
        let mut seen = Vec::new();
        loop {
            let current = chain.run(events.clone());
            seen.extend(current.events.positions.chunk_by(|one, other| one == other).map(|same| (same[0], same.len())));
            let Some(Checkpoint { position, .. }) = current.cut else { break };
            let rest = events.positions.partition_point(|&known| known <= position.0);
            events = events.gather(&(number_of(rest)..number_of(events.len())).collect::<Vec<u32>>());
        }
        assert_eq!(seen, [(1, 3), (2, 3), (3, 3), (4, 3), (5, 3), (6, 3)]);
    }
}
