//! Query parameters: each taken by name, unknown and doubled ones refused.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::{Code, Problem};
use model::event::{Position, Timestamp};

/// The parameters of a request, until they are taken.
#[derive(Debug)]
pub(super) struct Parameters {
    left: Vec<(String, String)>,
    taken: Vec<&'static str>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(left)) => Ok(Self { left, taken: Vec::new() }),
            Err(fault) => Err(Problem::new(Code::InvalidParameter, format!("the query cannot be used: {fault}"))),
        }
    }
}

impl Parameters {
    /// The value of `name`, if it is given.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        self.taken.push(name);
        let Some(at) = self.left.iter().position(|(given, _)| given == name) else { return Ok(None) };
        let (_, value) = self.left.remove(at);
        if self.left.iter().any(|(given, _)| given == name) {
            return Err(Problem::parameter(name, "is given more than once"));
        }
        Ok(Some(value))
    }

    /// The value of `name` as a number.
    pub(super) fn number<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Problem::parameter(name, format_args!("must be a whole number from 0 up, not `{text}`"))),
        }
    }

    /// The value of `name`, which says itself what is wrong with it.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|reason: T::Err| Problem::parameter(name, format_args!("cannot be used: {reason}")))
    }

    /// The value of `name` as a position.
    pub(super) fn position(&mut self, name: &'static str) -> Result<Option<Position>, Problem> {
        Ok(self.number::<u64>(name)?.map(Position))
    }

    /// The value of `name` as a time.
    pub(super) fn timestamp(&mut self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        Timestamp::parse(&text)
            .map(Some)
            .map_err(|reason| Problem::parameter(name, format_args!("cannot be used: {reason}")))
    }

    /// How many items are wanted: `default`, or as given, from 1 to `max`.
    pub(super) fn limit(&mut self, default: usize, max: usize) -> Result<usize, Problem> {
        match self.number::<usize>("limit")? {
            None => Ok(default.min(max)),
            Some(limit) if (1..=max).contains(&limit) => Ok(limit),
            Some(limit) => Err(Problem::parameter(
                "limit",
                format_args!("must be from 1 to {max} (limits.page_events_max), not {limit}"),
            )),
        }
    }

    /// Those that nobody has taken: columns, where a route takes any.
    pub(super) fn rest(self) -> Vec<(String, String)> {
        self.left
    }

    /// Refuses those that nobody has taken.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) if self.taken.is_empty() => {
                Err(Problem::parameter(name, "is not known here: this route takes no parameters"))
            }
            Some((name, _)) => Err(Problem::parameter(
                name,
                format_args!("is not known here: this route takes {}", self.taken.join(", ")),
            )),
        }
    }
}
