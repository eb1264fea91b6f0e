//! Data folders that no server runs on, to copy for servers.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use tempfile::TempDir;

use super::installation::{Installation, run};
use super::kind::{Kind, USER};

/// How templates are made. A higher number has them made anew.
const RECIPE: u32 = 1;

/// MariaDB's redo log, the same in the template as in servers, which would resize it.
pub(super) const MARIADB_LOG: &str = "--innodb-log-file-size=32M";

/// The same of MySQL.
pub(super) const MYSQL_LOG: &str = "--innodb-redo-log-capacity=64M";

const PASSWORD: &str = "password";
/// Written last: where it is, all is.
const STAMP: &str = "version";

/// A data folder of a database, and the password that is in it.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(super) installation: Installation,
    pub(super) password: String,
    folder: PathBuf,
}

impl Template {
    /// The variable that names the folder of all templates, for tests that need a server
    /// of their own.
    pub(crate) const VARIABLE: &str = "FANTASCOPE_SERVER_TEMPLATES";

    /// The one among those that this run of the tests was given. There is none if the
    /// database is not installed, or nobody made templates.
    ///
    /// # Errors
    /// If it is of another version than the server.
    pub(crate) fn given(kind: Kind) -> anyhow::Result<Option<Self>> {
        let Some((folders, installation)) = std::env::var_os(Self::VARIABLE).zip(Installation::find(kind)) else {
            return Ok(None);
        };
        let folder = Path::new(&folders).join(installation.name());
        if !folder.join(STAMP).is_file() {
            return Ok(None);
        }
        let found = Self::open(&installation, &folder)?;
        let stale = || format!("`{}` is stale: `cargo xtask servers` makes it anew", folder.display());
        found.with_context(stale).map(Some)
    }

    /// The one in `folder`, made anew unless it is there and of this version.
    ///
    /// # Errors
    /// If it can't be made.
    pub(crate) fn ensure(installation: &Installation, folder: &Path) -> anyhow::Result<Self> {
        if let Some(found) = Self::open(installation, folder)? {
            return Ok(found);
        }
        Self::make(installation, folder)
            .with_context(|| format!("failed to make a template of {installation} in `{}`", folder.display()))
    }

    fn open(installation: &Installation, folder: &Path) -> anyhow::Result<Option<Self>> {
        let read = |name: &str| match fs::read_to_string(folder.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            text => text.with_context(|| format!("cannot read `{name}` in `{}`", folder.display())),
        };
        let (stamp, password) = (read(STAMP)?, read(PASSWORD)?);
        let is_current = stamp == self::stamp(installation);
        Ok(is_current.then(|| Self { installation: installation.clone(), password, folder: folder.to_owned() }))
    }

    fn make(installation: &Installation, folder: &Path) -> anyhow::Result<Self> {
        if folder.exists() {
            // First, for the removal may be cut off.
            drop(fs::remove_file(folder.join(STAMP)));
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let password = random_word()?;
        let place = place(installation.kind)?;
        initialise(installation, place.path(), &password)?;
        copy(&place.path().join("data"), folder)?;
        write_secret(&folder.join(PASSWORD), &password)?;
        fs::write(folder.join(STAMP), stamp(installation))?;
        Ok(Self { installation: installation.clone(), password, folder: folder.to_owned() })
    }

    /// Puts a copy of the data into a new folder.
    pub(super) fn unfold(&self) -> anyhow::Result<TempDir> {
        self.unfold_from(&self.folder)
    }

    /// The same with what a server has made of it, in `folder`.
    pub(super) fn unfold_from(&self, folder: &Path) -> anyhow::Result<TempDir> {
        let place = place(self.installation.kind)?;
        copy(&folder.join("data"), place.path())?;
        self.installation.hand_over(place.path())?;
        Ok(place)
    }
}

fn stamp(installation: &Installation) -> String {
    format!("{RECIPE} {}\n", installation.version)
}

/// A folder that the server's user can enter: those below `target` it may not.
fn place(kind: Kind) -> anyhow::Result<TempDir> {
    let prefix = format!("fantascope-{}-", kind.name());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).permissions(Permissions::from_mode(0o755));
    let place = builder.tempdir().context("no temporary folder")?;
    // The umask may have taken some of it.
    fs::set_permissions(place.path(), Permissions::from_mode(0o755))?;
    Ok(place)
}

/// Makes the data folder `data` in `place`, with a superuser that has this password and
/// no way in without it.
fn initialise(installation: &Installation, place: &Path, password: &str) -> anyhow::Result<()> {
    let (secret, data) = (place.join("secret"), place.join("data"));
    let mut command = installation.command(&installation.init, place);
    let text = match installation.kind {
        Kind::Postgres => {
            command.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
            command.arg(format!("--username={USER}")).arg("--pwfile").arg(&secret).arg("--pgdata").arg(&data);
            password.to_owned()
        }
        Kind::MariaDb if installation.is_mysql => {
            command.args(["--no-defaults", "--user=root", "--initialize-insecure", MYSQL_LOG]);
            command.arg(joined("--init-file=", &secret)).arg(joined("--datadir=", &data));
            format!(
                "CREATE USER {USER}@'%' IDENTIFIED BY '{password}';
                GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;
                ALTER USER root@localhost ACCOUNT LOCK;\n"
            )
        }
        Kind::MariaDb => {
            command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-name-resolve"]);
            command.args(["--skip-test-db", MARIADB_LOG]);
            // Nothing is lost that can't be made again.
            command.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF"]);
            command.arg(joined("--extra-file=", &secret)).arg(joined("--datadir=", &data));
            // No server has read the users yet when this is run.
            format!(
                "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';
                FLUSH PRIVILEGES;
                CREATE USER {USER}@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('{password}');
                GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;\n"
            )
        }
    };
    write_secret(&secret, &text)?;
    installation.hand_over(place)?;
    run(&mut command)
}

/// A setting whose value is a path.
pub(super) fn joined(option: &str, path: &Path) -> std::ffi::OsString {
    [option.as_ref(), path.as_os_str()].into_iter().collect()
}

pub(super) fn copy(from: &Path, into: &Path) -> anyhow::Result<()> {
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(into))
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// Nobody else on this machine may enter: a superuser can run programs.
fn random_word() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("no randomness")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
