//! A folder to run the program in, and hosts that it starts.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_fantascope");

/// A folder with nothing in it, and the program run there.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// One on a disk that is mounted at `path`.
    pub(crate) fn below(path: &Path) -> Self {
        Self(tempfile::tempdir_in(path).expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.path().join(file), content).expect("written");
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(PROGRAM, arguments)
    }

    pub(crate) fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).args(arguments).env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FANTASCOPE") {
                command.env_remove(name);
            }
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().expect("it runs")
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        child.stdin.take().expect("an input").write_all(input).expect("written");
        child.wait_with_output().expect("it ends")
    }

    /// Checks exit code and words; gives standard output.
    pub(crate) fn check(&self, arguments: &[&str], code: i32, said: &str) -> String {
        check(&self.run(arguments), arguments, code, said)
    }
}

pub(crate) fn check(output: &Output, arguments: &[&str], code: i32, said: &str) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {all}");
    assert!(all.contains(said), "{arguments:?}: {all} should say {said}");
    stdout
}

pub(crate) const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// A host that serves until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    /// Whoever reads the rest of the log, and what that is in the end.
    log: Option<JoinHandle<String>>,
}

impl Server {
    pub(crate) fn start(place: &Place, environment: &[(&str, &str)]) -> Self {
        let mut command = place.command(&SERVE);
        Self::of(command.envs(environment.iter().copied()))
    }

    /// What `command` starts.
    pub(crate) fn of(command: &mut Command) -> Self {
        let (mut server, log) = Self::with_log(command);
        // The log must be read to its end, or the host would wait for it.
        server.log = Some(std::thread::spawn(move || {
            log.map_while(Result::ok).fold(String::new(), |text, line| text + &line + "\n")
        }));
        server
    }

    /// What `command` starts, and the rest of its log.
    pub(crate) fn with_log(command: &mut Command) -> (Self, Lines<BufReader<ChildStderr>>) {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a log")).lines();
        let line = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("http://"))
            .expect("it says where it serves");
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL").to_owned();
        (Self { child, url, log: None }, lines)
    }

    /// Ends it as an operator does, and gives the rest of its log.
    pub(crate) fn stop(mut self) -> String {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("told to end");
        let status = self.child.wait().expect("ended");
        let log = self.log.take().map(|log| log.join().expect("read")).unwrap_or_default();
        assert!(status.success(), "{status}: {log}");
        log
    }

    /// Appends two events; gives the status and the answer.
    pub(crate) fn append(&self) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let event = json!({ "event_type": "Counted", "event_data": {} });
        let events = json!({ "events": [event, event] });
        let mut answer =
            agent.post(format!("{}/v1/aggregates/Counter/c/events", self.url)).send_json(events).expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_json().expect("JSON"))
    }

    /// Bounds how large its files may be; nothing lifts the bound.
    #[cfg(target_os = "linux")]
    pub(crate) fn bound_files(&self, bytes: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let bound = Rlimit { current: bytes, maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, bound).expect("a bound");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

pub(crate) fn line(number: u64) -> String {
    format!(
        "{{\"event_id\":\"00000000-0000-0000-0000-{number:012}\",\"event_type\":\"Counted\",\"aggregate_type\":\"Counter\",\"aggregate_id\":\"c\",\
         \"aggregate_version\":{number},\"event_timestamp\":\"2026-01-31T09:30:00Z\",\"event_data\":{{\"n\":{number}}}}}\n"
    )
}

pub(crate) fn lines(count: u64) -> String {
    (1..=count).map(line).collect()
}

/// The guest `slides` of a version that does `mode`.
pub(crate) fn slides(version: u32, mode: &str) -> Vec<u8> {
    let folder = std::env::var_os("FANTASCOPE_GUESTS").map(std::path::PathBuf::from).unwrap_or_else(|| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["xtask", "guests"]).output().expect("cargo");
        std::path::PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    });
    let mut bytes = std::fs::read(folder.join("slides.wasm")).expect("a built guest");
    let start = b"slides:v=";
    let at = bytes.windows(start.len()).position(|window| window == start).expect("a marker");
    let marker = format!("slides:v={version:02};mode={mode:.<8};");
    bytes[at..at + marker.len()].copy_from_slice(marker.as_bytes());
    bytes
}
