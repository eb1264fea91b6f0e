//! A server of its own, from a template.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use super::installation::run;
use super::kind::{Kind, USER};
use super::process;
use super::template::{MARIADB_LOG, MYSQL_LOG, Template, joined};
use super::watchdog::Watchdog;

/// Longer than any start or stop takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ports from which the system gives none to clients. A client that tries again and again
/// to reach a server that is down could otherwise be given its port, and connect to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What a server does for commits to outlive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing: fast, for tests that don't kill it.
    None,
    /// All that it does by default: for benchmarks, and for tests that kill it.
    Full,
    /// The same, but for the binary log that MySQL writes by default.
    RedoLogAlone,
}

/// A server that runs until it is dropped, or its owner is gone.
#[derive(Debug)]
pub(crate) struct Server {
    template: Template,
    durability: Durability,
    port: u16,
    process: Option<Child>,
    watchdog: Watchdog,
    folder: TempDir,
}

impl Server {
    /// Starts one on a copy of `template`, and waits until it answers.
    ///
    /// # Errors
    /// If it does not start, with the end of its log.
    pub(crate) fn start(template: &Template, durability: Durability) -> anyhow::Result<Self> {
        let kind = template.installation.kind;
        let folder = template.unfold()?;
        let watchdog = Watchdog::start(kind, folder.path())?;
        let mut server = Self { template: template.clone(), durability, port: 0, process: None, watchdog, folder };
        // Another process may take the port before the server does.
        for _ in 0..5 {
            server.port = free_port()?;
            match server.restart() {
                Err(_) if server.log().contains("Address already in use") => {}
                outcome => return outcome.map(|()| server),
            }
        }
        bail!("failed to start {kind}: others take every port before it does")
    }

    /// Where `database` is reached, with the name and password of a superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        let (scheme, password) = (self.kind().scheme(), &self.template.password);
        format!("{scheme}://{USER}:{password}@{}:{}/{database}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Where it keeps its data, socket and log.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends all its processes by SIGKILL, and waits until they are gone. The data stays,
    /// as it is after a crash.
    ///
    /// # Errors
    /// If the system does not let us.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process {
            process::kill_all(process).with_context(|| format!("cannot kill {}", self.template.installation.kind))?;
            self.watchdog.forget();
            self.process = None;
        }
        Ok(())
    }

    /// Starts it again on its data, on the same port; if it still runs, it is killed first.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        let kind = self.kind();
        let child = self.command()?.spawn().with_context(|| format!("cannot run {kind}"))?;
        self.watchdog.watch(child.id())?;
        self.process = Some(child);
        self.wait_until_it_answers().with_context(|| format!("{kind} did not start, its log ends:\n{}", self.log()))
    }

    /// A copy of its data, as it is after a crash. It runs again afterwards.
    ///
    /// # Errors
    /// If it can't be copied, or the server does not start.
    pub(crate) fn copy_data(&mut self) -> anyhow::Result<TempDir> {
        self.kill()?;
        let copy = self.template.unfold_from(self.folder.path())?;
        self.restart()?;
        Ok(copy)
    }

    /// Puts `copy` in the place of its data, and starts it again.
    ///
    /// # Errors
    /// As [`Server::copy_data`].
    pub(crate) fn put_back(&mut self, copy: &TempDir) -> anyhow::Result<()> {
        self.kill()?;
        fs::remove_dir_all(self.folder.path().join("data"))?;
        super::template::copy(&copy.path().join("data"), self.folder.path())?;
        self.restart()
    }

    /// Whether it is MySQL in the place of MariaDB.
    pub(crate) fn is_mysql(&self) -> bool {
        self.template.installation.is_mysql
    }

    /// The program `name` that comes with it, if it is installed.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        self.template.installation.program(name)
    }

    /// A client of MariaDB or MySQL that is told where the server is.
    pub(crate) fn client(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--no-defaults").arg(format!("--user={USER}")).arg(joined("--socket=", &self.socket()));
        command.env("MYSQL_PWD", &self.template.password);
        command
    }

    pub(crate) fn kind(&self) -> Kind {
        self.template.installation.kind
    }

    fn command(&self) -> anyhow::Result<Command> {
        let (installation, folder) = (&self.template.installation, self.folder.path());
        let (data, is_durable) = (folder.join("data"), self.durability != Durability::None);
        let mut command = installation.command(&installation.server, folder);
        match installation.kind {
            Kind::Postgres => {
                command.arg("-D").arg(data).arg("-c").arg(joined("unix_socket_directories=", folder));
                postgres_settings(self.port, is_durable).iter().for_each(|setting| {
                    command.args(["-c", setting]);
                });
            }
            Kind::MariaDb => {
                command.arg("--no-defaults").arg(joined("--datadir=", &data)).arg(joined("--tmpdir=", folder));
                command.arg(joined("--socket=", &self.socket())).arg(joined("--pid-file=", &folder.join("own-pid")));
                command.args(mariadb_settings(self.port, is_durable));
                command.args(if installation.is_mysql { mysql_settings(is_durable) } else { vec![MARIADB_LOG] });
                if self.durability == Durability::RedoLogAlone {
                    command.arg("--skip-log-bin");
                }
            }
        }
        let log = File::create(self.log_file())?;
        // A group of its own, for Ctrl-C is meant for the owner.
        command.process_group(0).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// Its own socket, which no other server can have taken, and which it opens after its port.
    fn socket(&self) -> PathBuf {
        match self.kind() {
            Kind::Postgres => self.folder.path().join(format!(".s.PGSQL.{}", self.port)),
            Kind::MariaDb => self.folder.path().join("socket"),
        }
    }

    fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.answers() {
                return Ok(());
            }
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().transpose()) {
                self.watchdog.forget();
                bail!("it ended with {}", status?);
            }
            sleep(Duration::from_millis(5));
        }
        bail!("it does not answer after {PATIENCE:?}")
    }

    /// Whether it takes connections.
    fn answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.socket()) else { return false };
        if stream.set_read_timeout(Some(Duration::from_secs(1))).is_err() {
            return false;
        }
        match self.kind() {
            Kind::Postgres => {
                // A startup message of protocol 3.0 is answered by a request to
                // authenticate: see "Message Formats" in PostgreSQL's manual.
                let body = [&196_608_u32.to_be_bytes(), "user\0".as_bytes(), USER.as_bytes(), b"\0\0"].concat();
                let length = u32::try_from(body.len() + 4).unwrap_or_default().to_be_bytes();
                let mut answer = [0];
                stream.write_all(&[&length[..], &body].concat()).is_ok()
                    && stream.read_exact(&mut answer).is_ok()
                    && answer == *b"R"
            }
            Kind::MariaDb => {
                // The length and number of a packet, then protocol 10: see "Initial
                // Handshake Packet" in MariaDB's manual.
                let mut greeting = [0; 5];
                stream.read_exact(&mut greeting).is_ok() && greeting[4] == 10
            }
        }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The last lines of its log.
    fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Ends it so that nothing of it is left in the system.
    fn end(&mut self) -> anyhow::Result<()> {
        if self.kind() == Kind::MariaDb {
            return self.kill();
        }
        if let Some(process) = &mut self.process {
            // Ends at once, but gives shared memory back.
            process::send(process.id(), Signal::QUIT);
            let start = Instant::now();
            while process.try_wait()?.is_none() && start.elapsed() < PATIENCE {
                sleep(Duration::from_millis(5));
            }
        }
        self.kill()?;
        self.free_shared_memory()
    }

    /// Frees what a PostgreSQL that was killed has left: a few bytes that tell the next
    /// one on the same data whether it is alone. There is a limit on how many there are.
    fn free_shared_memory(&self) -> anyhow::Result<()> {
        let text = match fs::read_to_string(self.folder.path().join("data/postmaster.pid")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            text => text?,
        };
        // The seventh line is "KEY ID".
        match text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            Some(id) => run(Command::new("ipcrm").args(["--shmem-id", id])),
            None => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("warning: {} was not ended well: {error:#}", self.kind());
        }
    }
}

fn postgres_settings(port: u16, is_durable: bool) -> Vec<String> {
    let durability = if is_durable { "on" } else { "off" };
    let switches = ["fsync", "synchronous_commit", "full_page_writes"];
    let mut settings: Vec<String> = switches.iter().map(|name| format!("{name}={durability}")).collect();
    settings.push(format!("port={port}"));
    // Files in the data folder, which go with it.
    settings.push("dynamic_shared_memory_type=mmap".to_owned());
    settings.extend(["listen_addresses=127.0.0.1", "max_connections=300"].map(str::to_owned));
    settings
}

fn mariadb_settings(port: u16, is_durable: bool) -> Vec<String> {
    let (flush, twice) = if is_durable { (1, "ON") } else { (0, "OFF") };
    let mut settings = vec![
        format!("--port={port}"),
        format!("--innodb-flush-log-at-trx-commit={flush}"),
        format!("--innodb-doublewrite={twice}"),
    ];
    let others = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--skip-networking=OFF",
        "--character-set-server=utf8mb4",
        "--max-connections=300",
        "--innodb-buffer-pool-size=128M",
    ];
    settings.extend(others.map(str::to_owned));
    settings
}

/// Beside those of MariaDB.
fn mysql_settings(is_durable: bool) -> Vec<&'static str> {
    // It writes a binary log by default, and would let administrators alone make triggers.
    let triggers = "--log-bin-trust-function-creators=ON";
    let (user, files, protocol) = ("--user=root", "--secure-file-priv=NULL", "--mysqlx=OFF");
    vec![MYSQL_LOG, user, files, protocol, triggers, if is_durable { "--sync-binlog=1" } else { "--sync-binlog=0" }]
}

/// A port that nobody listens on now.
fn free_port() -> anyhow::Result<u16> {
    let count = u128::from(PORTS.end - PORTS.start);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    // Processes that start at the same time begin at other places.
    let first = (now / 100 + u128::from(std::process::id()) * 7_919) % count;
    let mut ports = (0..count).filter_map(|step| u16::try_from(u128::from(PORTS.start) + (first + step) % count).ok());
    let port = ports.find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    port.context("every port is taken")
}
