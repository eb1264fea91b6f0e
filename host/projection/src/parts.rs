//! How the partitions of a version stand: those that this host folds, to the moment; those that
//! others fold, as of the last look.

use std::time::{Duration, Instant};

use super::rate::Rate;
use model::event::{Checkpoint, Position};
use read_model::{Trouble, Unit};

/// What others fold is told as of the last look, unless that is older than this.
const LOOK_FRESH: Duration = Duration::from_secs(5);

/// The partitions of a version, wherever they are folded.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    pub(super) all: Vec<Part>,
    pub(super) elsewhere: Option<Elsewhere>,
}

/// How a partition stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) position: Position,
    pub(super) rate: Rate,
    /// Whether this host folds it.
    is_here: bool,
}

/// What the last look has shown of other hosts that fold a part of a version.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    /// One of them.
    pub(super) host: String,
    pub(super) building: bool,
    trouble: Option<Trouble>,
    pub(super) looked_at: Instant,
}

impl Part {
    pub(super) fn moves_to(&mut self, position: Position, now: Instant) {
        self.position = position;
        self.rate.note(position, now);
    }
}

impl Parts {
    pub(super) fn position(&self) -> Position {
        self.all.iter().map(|part| part.position).min().unwrap_or_default()
    }

    /// They are where their checkpoints are, which were read just now.
    pub(super) fn stand_at(&mut self, checkpoints: &[Checkpoint]) {
        self.all.resize_with(checkpoints.len(), Part::default);
        for (part, checkpoint) in self.all.iter_mut().zip(checkpoints) {
            part.position = checkpoint.position;
        }
    }

    /// Those of `numbers`, and no others, are folded here.
    pub(super) fn are_here(&mut self, numbers: &[u32]) {
        for (number, part) in (0..).zip(&mut self.all) {
            part.is_here = numbers.contains(&number);
        }
    }

    /// Shows what others fold; `own` is the name of this host.
    pub(super) fn show(&mut self, units: &[&Unit], own: &str, now: Instant) {
        self.all.resize_with(units.len(), Part::default);
        let mut elsewhere: Option<Elsewhere> = None;
        for (part, unit) in self.all.iter_mut().zip(units) {
            let other = unit.owner.as_ref().filter(|(owner, _)| owner != own);
            part.is_here &= other.is_none();
            if !part.is_here {
                part.moves_to(unit.position, now);
            }
            if let Some((_, host)) = other {
                let trouble = elsewhere.take().and_then(|known| known.trouble).or_else(|| unit.trouble.clone());
                elsewhere = Some(Elsewhere { host: host.clone(), building: unit.building, trouble, looked_at: now });
            }
        }
        self.elsewhere = elsewhere;
    }

    /// What others say, if they alone fold it and are heard of.
    pub(super) fn others_alone(&self, now: Instant) -> Option<&Elsewhere> {
        let is_here = self.all.iter().any(|part| part.is_here);
        let is_fresh = |other: &&Elsewhere| now.saturating_duration_since(other.looked_at) < LOOK_FRESH;
        self.elsewhere.as_ref().filter(|_| !is_here).filter(is_fresh)
    }

    /// What others have recorded that keeps a part from going on.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.elsewhere.as_ref().and_then(|other| other.trouble.as_ref())
    }

    /// Events per second. Partitions go through the same positions, each through its own events.
    pub(super) fn per_second(&self, now: Instant) -> f64 {
        let rate = self.all.iter().map(|part| part.rate.per_second(now)).fold(f64::INFINITY, f64::min);
        if rate.is_finite() { rate } else { 0.0 }
    }
}
