//! A host that serves, asked over HTTP and killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::host::{Killed, kill};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What it is, for the count of kills.
    pub(crate) kind: &'static str,
    pub(crate) path: String,
    pub(crate) body: Body,
    /// Events that it brings.
    pub(crate) events: i64,
}

#[derive(Clone)]
pub(crate) enum Body {
    /// A question.
    None,
    Json(Value),
    Component(Vec<u8>),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("nothing"),
            Self::Json(value) => write!(f, "{value}"),
            Self::Component(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// What a host answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Where a host listens. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    agent: ureq::Agent,
    url: String,
}

/// A host that was started.
pub(crate) struct Server {
    /// None once it is killed.
    child: Option<Child>,
    lines: Receiver<String>,
    /// What it has said so far.
    pub(crate) log: String,
}

impl Server {
    pub(crate) fn start(mut command: Command) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.spawn().expect("the host starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (told, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        Self { child: Some(child), lines, log: String::new() }
    }

    /// Where it listens, if it does so within that time.
    pub(crate) fn listens(&mut self, within: Duration) -> Option<Address> {
        let began = Instant::now();
        loop {
            match self.lines.recv_timeout(within.saturating_sub(began.elapsed())) {
                Ok(line) => {
                    self.note(&line);
                    if let Some((_, url)) = line.split_once("serving on ") {
                        return Some(Address::new(url));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("the host failed by itself:\n{}", self.log),
            }
        }
    }

    /// The same, of a host that nobody hurries.
    pub(crate) fn address(&mut self) -> Address {
        self.listens(PATIENCE).unwrap_or_else(|| panic!("the host does not come up:\n{}", self.log))
    }

    /// Kills it, and gives all that it has said.
    pub(crate) fn kill(mut self) -> String {
        let killed = kill(self.child.take().expect("a process to kill"));
        assert_eq!(killed, Killed::Yes, "the host ended by itself:\n{}", self.rest());
        self.rest()
    }

    /// Sends it a signal, which it may not hear: `STOP` for one.
    pub(crate) fn signal(&self, signal: Signal) {
        let number = self.child.as_ref().expect("a process").id();
        let process = i32::try_from(number).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(process, signal).expect("a process to signal");
    }

    /// Waits until it has ended as it was told to, and gives all that it has said.
    pub(crate) fn ends(mut self) -> String {
        let status = self.child.take().expect("a process").wait().expect("its end");
        assert!(status.success(), "{status}:\n{}", self.rest());
        self.rest()
    }

    /// All that it has said, once it is gone.
    fn rest(&mut self) -> String {
        while let Ok(line) = self.lines.recv() {
            self.note(&line);
        }
        std::mem::take(&mut self.log)
    }

    fn note(&mut self, line: &str) {
        self.log.push_str(line);
        self.log.push('\n');
    }
}

/// A test that has failed leaves no host behind.
impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            kill(child);
            if std::thread::panicking() {
                println!("a host said:\n{}", self.rest());
            }
        }
    }
}

impl Address {
    fn new(url: &str) -> Self {
        let settings = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Self { agent: settings.into(), url: url.trim().to_owned() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it answers; none if it is killed before it does.
    pub(crate) fn ask(&self, request: &Request) -> Option<Answer> {
        let url = format!("{}{}", self.url, request.path);
        let answered = match &request.body {
            Body::None => self.agent.get(url).call(),
            Body::Json(value) => self.agent.post(url).send_json(value),
            Body::Component(bytes) => self.agent.put(url).content_type("application/wasm").send(bytes.as_slice()),
        };
        let mut response = answered.ok()?;
        let body = response.body_mut().read_json().ok()?;
        Some(Answer { status: response.status().as_u16(), body })
    }

    /// What there is at `path`.
    pub(crate) fn get(&self, path: &str) -> Value {
        let request = Request { kind: "look", path: path.to_owned(), body: Body::None, events: 0 };
        let answer = self.ask(&request).unwrap_or_else(|| panic!("no answer from {path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }
}
