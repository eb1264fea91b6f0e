//! Finding a database's programs, and running them.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::kind::Kind;

/// Where packages of Debian and Ubuntu put PostgreSQL: a folder for each version, not in PATH.
const POSTGRES: &str = "/usr/lib/postgresql";

/// The oldest PostgreSQL that is used.
const POSTGRES_VERSION_MIN: u32 = 15;

/// Where servers are installed that are not in everybody's PATH.
const SYSTEM: [&str; 2] = ["/usr/local/sbin", "/usr/sbin"];

/// The programs of a database on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    pub(crate) kind: Kind,
    /// What the server says of its version.
    pub(super) version: String,
    pub(crate) server: PathBuf,
    /// The program that makes a data folder.
    pub(super) init: PathBuf,
    /// Whether it is MySQL in the place of MariaDB.
    pub(crate) is_mysql: bool,
}

impl Installation {
    /// The variable that names a server of MySQL, which then takes the place of MariaDB.
    pub(crate) const MYSQL: &str = "FANTASCOPE_MYSQLD";

    /// The newest one that can be used, if there is any.
    pub(crate) fn find(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Postgres => {
                let beside = |server: PathBuf| Some((server.with_file_name("initdb"), server));
                let found = postgres_of_packages().or_else(|| find_program(&["postgres"]).and_then(beside));
                let (init, server) = found.filter(|(init, _)| init.is_file())?;
                let version = version(&server)?;
                // "postgres (PostgreSQL) 15.18 (Debian …)"
                let number =
                    version.split_whitespace().nth(2)?.split(|letter: char| !letter.is_ascii_digit()).next()?;
                let is_new = number.parse().is_ok_and(|number: u32| number >= POSTGRES_VERSION_MIN);
                is_new.then_some(Self { kind, version, server, init, is_mysql: false })
            }
            Kind::MariaDb => {
                if let Some(server) = env::var_os(Self::MYSQL) {
                    return Self::mysql(Path::new(&server));
                }
                let server = find_program(&["mariadbd", "mysqld"])?;
                let init = find_program(&["mariadb-install-db"])?;
                let version = version(&server).filter(|version| version.contains("MariaDB"))?;
                Some(Self { kind, version, server, init, is_mysql: false })
            }
        }
    }

    /// A program that comes with the server: beside it, or where programs are.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        let beside = self.server.with_file_name(name);
        if beside.is_file() { Some(beside) } else { find_program(&[name]) }
    }

    /// MySQL, whose server is the program `server`; none if that can't be run, or is MariaDB.
    pub(crate) fn mysql(server: &Path) -> Option<Self> {
        let version = version(server).filter(|version| !version.contains("MariaDB"))?;
        let (server, init) = (server.to_owned(), server.to_owned());
        Some(Self { kind: Kind::MariaDb, version, server, init, is_mysql: true })
    }

    /// The name of its template's folder.
    pub(crate) const fn name(&self) -> &'static str {
        if self.is_mysql { "mysql" } else { self.kind.name() }
    }

    /// A command that runs `program` in `folder`. Servers refuse to run as root, and then
    /// run as the user that their package has made. MySQL takes root, if it is told so: its
    /// program may be where no other user can enter.
    pub(super) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = match self.user() {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={user}")]);
                command.args(["--init-groups", "--"]).arg(program);
                command
            }
        };
        command.current_dir(folder).stdin(Stdio::null());
        command
    }

    /// Gives what is in `folder` to whom the server runs as.
    ///
    /// # Errors
    /// If there is no such user.
    pub(super) fn hand_over(&self, folder: &Path) -> anyhow::Result<()> {
        let Some(user) = self.user() else { return Ok(()) };
        run(Command::new("chown").arg("--recursive").arg(format!("{user}:")).arg(folder))
    }

    fn user(&self) -> Option<&'static str> {
        (rustix::process::geteuid().is_root() && !self.is_mysql).then(|| self.kind.system_user())
    }
}

/// Its name and release, as in "PostgreSQL 15.18".
impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_mysql {
            f.write_str("MySQL")?
        } else {
            self.kind.fmt(f)?
        }
        let is_number = |word: &&str| word.starts_with(|letter: char| letter.is_ascii_digit());
        let release = self.version.split_whitespace().find(is_number);
        release.map_or(Ok(()), |release| write!(f, " {release}"))
    }
}

/// `initdb` and `postgres` of the newest version among the packages.
fn postgres_of_packages() -> Option<(PathBuf, PathBuf)> {
    let versions = fs::read_dir(POSTGRES).ok()?.filter_map(|entry| {
        let folder = entry.ok()?.path();
        let number: u32 = folder.file_name()?.to_str()?.parse().ok()?;
        let (init, server) = (folder.join("bin/initdb"), folder.join("bin/postgres"));
        (init.is_file() && server.is_file()).then_some((number, init, server))
    });
    versions.max_by_key(|(number, ..)| *number).map(|(_, init, server)| (init, server))
}

/// The first of the programs `names` that is in PATH, or where servers are.
fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).chain(SYSTEM.map(PathBuf::from)).collect();
    let mut places = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.find(|place| place.is_file())
}

fn version(server: &Path) -> Option<String> {
    let output = Command::new(server).arg("--version").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs `command` to its end, without its words unless it fails.
///
/// # Errors
/// If it can't be run or does not end well.
pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run `{program}`"))?;
    if !output.status.success() {
        let words = [output.stdout, output.stderr].concat();
        bail!("{command:?} ended with {}:\n{}", output.status, String::from_utf8_lossy(&words).trim());
    }
    Ok(())
}
