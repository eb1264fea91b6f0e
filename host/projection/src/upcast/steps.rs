//! The steps of all upcasters together: who takes what, what may come of it, and whether
//! that comes to an end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::change::UpcasterManifest;
use model::event::EventType;
use model::limits::Limits;

/// Types at either end of a circle that are named; of longer ones those between are counted.
const NAMED_OF_A_CIRCLE: usize = 5;

/// Upcasters that cannot work together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    #[error("upcasters `{first}` and `{second}` both take {event_type}: remove one of them")]
    Twice { event_type: EventType, first: String, second: String },
    #[error("the upcasters go round in circles: {path}")]
    Circle { path: String },
    #[error(
        "an event of {event_type} goes through more steps than limits.upcast_steps_max ({max}) allows until it is current: let steps skip schema versions, or raise the limit"
    )]
    TooLong { event_type: EventType, max: usize },
}

/// Who takes what, and what may come of it. There are no circles.
#[derive(Debug)]
pub struct Steps {
    /// By the type that is taken: the number of the upcaster, and all that it may give.
    taken: HashMap<EventType, (usize, Vec<EventType>)>,
}

impl Steps {
    /// Puts the steps of all upcasters together.
    ///
    /// # Errors
    /// If two take the same, or events would be upcast for ever or in too many steps.
    pub fn of(manifests: &[&UpcasterManifest], limits: &Limits) -> Result<Self, Clash> {
        let mut taken: HashMap<EventType, (usize, Vec<EventType>)> = HashMap::new();
        for (number, manifest) in manifests.iter().enumerate() {
            for step in &manifest.steps {
                if let Some((first, _)) = taken.insert(step.takes.clone(), (number, step.gives.clone())) {
                    return Err(Clash::Twice {
                        event_type: step.takes.clone(),
                        first: manifests[first].name.to_string(),
                        second: manifest.name.to_string(),
                    });
                }
            }
        }
        let steps = Self { taken };
        let mut lengths = HashMap::new();
        for step in manifests.iter().flat_map(|manifest| &manifest.steps) {
            steps.measure(&step.takes, limits.upcast_steps_max, &mut lengths)?;
        }
        Ok(steps)
    }

    /// Whether there is nothing to do for any event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// The number of the upcaster that takes `event_type`.
    pub(super) fn taker(&self, event_type: &EventType) -> Option<usize> {
        self.taken.get(event_type).map(|&(number, _)| number)
    }

    /// What one step may make of `event_type`.
    pub(super) fn gives(&self, event_type: &EventType) -> &[EventType] {
        self.taken.get(event_type).map_or(&[], |(_, gives)| gives)
    }

    /// The names of all types that may come of `event_type`, its own first.
    pub(super) fn kinds(&self, event_type: &EventType) -> Vec<Arc<str>> {
        let (mut kinds, mut named) = (Vec::new(), HashSet::new());
        let (mut seen, mut waiting) = (HashSet::from([event_type]), vec![event_type]);
        while let Some(next) = waiting.pop() {
            if named.insert(&next.name) {
                kinds.push(Arc::clone(&next.name));
            }
            waiting.extend(self.gives(next).iter().filter(|given| seen.insert(given)));
        }
        kinds
    }

    /// How many steps events of `start` go through at the most, into `lengths`, which has
    /// this of types that were measured before; each is looked at once.
    fn measure<'a>(
        &'a self,
        start: &'a EventType,
        max: usize,
        lengths: &mut HashMap<&'a EventType, usize>,
    ) -> Result<(), Clash> {
        if lengths.contains_key(start) {
            return Ok(());
        }
        // The way here: each type, and what it gives that was not followed yet.
        let mut path = vec![(start, self.gives(start).iter())];
        let mut places = HashMap::from([(start, 0)]);
        while let Some((current, gives)) = path.last_mut() {
            let current = *current;
            match gives.find(|given| self.taken.contains_key(given) && !lengths.contains_key(given)) {
                Some(given) => {
                    if let Some(&place) = places.get(given) {
                        let circle = path[place..].iter().map(|&(on_path, _)| on_path).chain([given]);
                        return Err(Clash::Circle { path: told(&circle.collect::<Vec<_>>()) });
                    }
                    places.insert(given, path.len());
                    path.push((given, self.gives(given).iter()));
                }
                None => {
                    let longest = self.gives(current).iter().filter_map(|given| lengths.get(given)).max();
                    let length = longest.copied().unwrap_or(0) + 1;
                    if length > max {
                        return Err(Clash::TooLong { event_type: current.clone(), max });
                    }
                    lengths.insert(current, length);
                    places.remove(current);
                    path.pop();
                }
            }
        }
        Ok(())
    }
}

/// The types of a circle, for people.
fn told(circle: &[&EventType]) -> String {
    let left_out = circle.len().saturating_sub(2 * NAMED_OF_A_CIRCLE);
    let mut names: Vec<String> = circle.iter().map(|known| known.to_string()).collect();
    if left_out > 0 {
        names.splice(NAMED_OF_A_CIRCLE..NAMED_OF_A_CIRCLE + left_out, [format!("({left_out} more)")]);
    }
    names.join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::change::Step;

    fn event_type(name: &str, version: usize) -> EventType {
        EventType { name: name.into(), version: u32::try_from(version).expect("small") }
    }

    fn manifest(name: &str, steps: impl IntoIterator<Item = (EventType, Vec<EventType>)>) -> UpcasterManifest {
        let steps = steps.into_iter().map(|(takes, gives)| Step { takes, gives }).collect();
        UpcasterManifest { sdk: String::new(), name: name.parse().expect("a name"), version: 1, steps }
    }

    fn of(manifests: &[UpcasterManifest]) -> Result<Steps, Clash> {
        manifests.iter().for_each(|manifest| manifest.check().expect("a manifest"));
        Steps::of(&manifests.iter().collect::<Vec<_>>(), &Limits::default())
    }

    /// A chain of so many steps.
    fn chain(steps: usize) -> UpcasterManifest {
        manifest("chain", (1..=steps).map(|number| (event_type("A", number), vec![event_type("A", number + 1)])))
    }

    #[test]
    fn refuses_circles_and_two_takers() {
        let (a, b) = (event_type("A", 1), event_type("B", 1));
        let fault = of(&[manifest("both", [(a.clone(), vec![b.clone()]), (b.clone(), vec![a.clone()])])]);
        let fault = fault.expect_err("a circle").to_string();
        assert_eq!(fault, "the upcasters go round in circles: A v1 → B v1 → A v1");
        let fault = of(&[manifest("one", [(a.clone(), vec![b])]), manifest("two", [(a, vec![])])]);
        let fault = fault.expect_err("two takers").to_string();
        assert_eq!(fault, "upcasters `one` and `two` both take A v1: remove one of them");
    }

    #[test]
    fn a_long_circle_is_told_by_its_ends() {
        let mut manifest = chain(100_000);
        manifest.steps[99_999].gives = vec![event_type("A", 1)];
        let fault = of(&[manifest]).expect_err("a circle").to_string();
        let expected = "A v1 → A v2 → A v3 → A v4 → A v5 → (99991 more) → \
            A v99997 → A v99998 → A v99999 → A v100000 → A v1";
        assert_eq!(fault, format!("the upcasters go round in circles: {expected}"));
    }

    #[test]
    fn a_chain_has_as_many_steps_as_the_limit_allows() {
        let max = Limits::default().upcast_steps_max;
        assert_eq!(of(&[chain(max)]).map(|steps| steps.kinds(&event_type("A", 1)).len()), Ok(1));
        for steps in [max + 1, 100_000] {
            let fault = of(&[chain(steps)]).expect_err("too long").to_string();
            assert!(fault.contains(&format!("more steps than limits.upcast_steps_max ({max}) allows")), "{fault}");
        }
    }

    #[test]
    fn each_type_is_looked_at_once_however_many_ways_lead_to_it() {
        // A v1 → B v1 or C v1 → A v2 → B v2 or C v2 → …: 2^40 ways from the first to the last.
        let steps = (1..=40).flat_map(|number| {
            let [a, b, c, next] = [("A", number), ("B", number), ("C", number), ("A", number + 1)]
                .map(|(name, number)| event_type(name, number));
            [(a, vec![b.clone(), c.clone()]), (b, vec![next.clone()]), (c, vec![next])]
        });
        let steps = of(&[manifest("diamonds", steps)]).expect("no circle");
        let mut kinds = steps.kinds(&event_type("A", 1));
        kinds.sort();
        assert_eq!(kinds.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["A", "B", "C"]);
    }
}
