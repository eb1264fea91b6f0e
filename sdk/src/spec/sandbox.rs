//! Runs a case in the sandbox: `fantascope spec COMPONENT`, with the events on its
//! standard input and what came of them on its standard output, both as JSON.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use super::events::Events;
use super::outcome::{Outcome, blamed};
use super::upcaster::event_to_json;
use crate::wire;

const HOST: &str = "FANTASCOPE_SPEC_HOST";
const COMPONENT: &str = "FANTASCOPE_SPEC_COMPONENT";

/// An installed host and a built component.
pub(super) struct Sandbox {
    host: OsString,
    component: OsString,
}

/// The sandbox that the environment names, if it names one.
pub(super) fn from_environment() -> Option<Sandbox> {
    Some(Sandbox { host: std::env::var_os(HOST)?, component: std::env::var_os(COMPONENT)? })
}

/// What the host answers.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Tables(HashMap<String, Vec<Value>>),
    Events(Vec<Upcasted>),
    Failure(Failure),
}

#[derive(Deserialize)]
struct Upcasted {
    event_type: String,
    event_version: u32,
    event_data: Value,
}

#[derive(Deserialize)]
struct Failure {
    position: Option<u64>,
    #[serde(default)]
    event_id: Option<String>,
    #[serde(default)]
    event_type: Option<String>,
    #[serde(default)]
    event_version: Option<u64>,
    #[serde(default)]
    path: Option<String>,
    message: String,
}

impl Failure {
    fn text(self) -> String {
        match self.position {
            Some(position) => blamed(
                position,
                &self.event_id.unwrap_or_default(),
                &self.event_type.unwrap_or_default(),
                self.event_version.unwrap_or_default(),
                self.path.as_deref(),
                &self.message,
            ),
            None => self.message,
        }
    }
}

impl Sandbox {
    /// The rows of a table, after the events.
    #[track_caller]
    pub(super) fn rows(&self, events: &Events, table: &str) -> Outcome {
        match self.run(events) {
            Answer::Tables(mut tables) => match tables.remove(table) {
                Some(rows) => Ok(rows),
                None => panic!("the component in {COMPONENT} has no table `{table}`"),
            },
            Answer::Failure(failure) => Err(failure.text()),
            Answer::Events(_) => panic!("the component in {COMPONENT} is no projection"),
        }
    }

    /// What becomes of the events.
    #[track_caller]
    pub(super) fn events(&self, events: &Events) -> Outcome {
        match self.run(events) {
            Answer::Events(events) => {
                let events = events.into_iter().map(|event| {
                    let of_type = wire::EventType { name: event.event_type, version: event.event_version };
                    event_to_json(&of_type, event.event_data)
                });
                Ok(events.collect())
            }
            Answer::Failure(failure) => Err(failure.text()),
            Answer::Tables(_) => panic!("the component in {COMPONENT} is no upcaster"),
        }
    }

    #[track_caller]
    fn run(&self, events: &Events) -> Answer {
        match self.try_run(events) {
            Ok(answer) => answer,
            Err(message) => panic!(
                "the sandbox failed ({HOST}={}, {COMPONENT}={}): {message}",
                self.host.display(),
                self.component.display()
            ),
        }
    }

    fn try_run(&self, events: &Events) -> Result<Answer, String> {
        let mut host = Command::new(&self.host)
            .arg("spec")
            .arg(&self.component)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the host can't be started: {error}"))?;
        let mut input = host.stdin.take().ok_or("the host takes no input")?;
        let case = events.to_json();
        // On a thread of its own, for the host may write before it has read all. When
        // it doesn't read all it says why, so that this fails matters not.
        let writer = std::thread::spawn(move || input.write_all(case.as_bytes()).is_ok());
        let output = host.wait_with_output().map_err(|error| format!("the host can't be waited for: {error}"))?;
        let _ = writer.join();
        let stdout = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&stdout).map_err(|error| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            format!("it ended with {} and no answer ({error}): {stdout}{stderr}", output.status)
        })
    }
}
