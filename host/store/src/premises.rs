//! What requests take for granted: if it is so, one statement is enough to write what they add.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::append::{Expected, Request};
use super::insert::NewRow;
use super::known::Known;
use super::lookup::Aggregate;
use database::Dialect;

/// Rows of one statement, where there is another one for each number of rows.
const ROWS_MAX: usize = 16;

/// Bytes of its payloads on MySQL, which takes statements of a bounded size.
const BYTES_MAX_ON_MYSQL: usize = 512 << 10;

/// No aggregate comes to this version.
const VERSION_MAX: u64 = i64::MAX.unsigned_abs() / 2;

/// What must be so.
#[derive(Debug)]
pub(super) struct Premises {
    /// Each aggregate once, with the version that it is at.
    pub(super) aggregates: Vec<(Aggregate, Base)>,
    /// Events with these ids are not stored.
    pub(super) new_ids: Vec<Uuid>,
}

/// The version of an aggregate before anything is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// It must be this.
    At(u64),
    /// Whatever it is: the versions of rows count from it.
    Any,
}

impl Premises {
    /// What `requests` take for granted, and what is known of the store if it is so; none if they
    /// are not to be written by one statement.
    pub(super) fn of(requests: &[Request]) -> Option<(Self, Known)> {
        let mut bases: HashMap<Aggregate, Base> = HashMap::new();
        let (mut aggregates, mut new_ids) = (Vec::new(), Vec::new());
        for request in requests {
            let Request::Append { append, .. } = request else { return None };
            if append.is_in_doubt() {
                return None;
            }
            let base = match append.expected {
                Expected::Any => Base::Any,
                Expected::Version(version) if version < VERSION_MAX => Base::At(version),
                Expected::Version(_) => return None,
            };
            match bases.get(&append.aggregate()) {
                // What it expects is decided upon by what those before it add.
                Some(Base::At(_)) => {}
                Some(Base::Any) if base == Base::Any => {}
                Some(Base::Any) => return None,
                None => {
                    bases.insert(append.aggregate(), base);
                    aggregates.push((append.aggregate(), base));
                }
            }
            new_ids.extend(append.given_ids());
        }
        let version = |(aggregate, base)| match base {
            Base::At(version) => (aggregate, version),
            Base::Any => (aggregate, 0),
        };
        let known = Known::assumed(bases.into_iter().map(version).collect());
        Some((Self { aggregates, new_ids }, known))
    }

    /// Whether one statement can write `rows`: whatever they are on PostgreSQL, and a few of one
    /// aggregate elsewhere. MySQL does not tell the versions that it counts.
    pub(super) fn suit(&self, rows: &[NewRow<'_>], dialect: Dialect) -> bool {
        let is_little = || rows.iter().map(NewRow::payload_bytes).sum::<usize>() <= BYTES_MAX_ON_MYSQL;
        let few = (1..=ROWS_MAX).contains(&rows.len());
        match (dialect, self.aggregates.as_slice()) {
            (Dialect::Postgres, _) => !rows.is_empty(),
            (Dialect::Sqlite, [_]) => few,
            (Dialect::MySql, [(_, Base::At(_))]) => few && is_little(),
            _ => false,
        }
    }

    /// Of each row, whether its version counts from that of its aggregate.
    pub(super) fn counted(&self, rows: &[NewRow<'_>]) -> Vec<bool> {
        let any = self.aggregates.iter().filter(|(_, base)| *base == Base::Any);
        let any: HashSet<(&str, &str)> = any.map(|((of_type, id), _)| (&**of_type, &**id)).collect();
        rows.iter().map(|row| any.contains(&(row.aggregate_type, row.aggregate_id))).collect()
    }
}

impl Base {
    /// The version that must be found; none if it does not matter.
    pub(super) fn as_sql(self) -> Option<i64> {
        match self {
            Self::At(version) => Some(version.cast_signed()),
            Self::Any => None,
        }
    }
}
