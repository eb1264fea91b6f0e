//! `cargo xtask servers`, and the same servers for `cargo xtask test`.

use std::io::{Read as _, stdin};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::cargo::root;
use crate::servers::{Durability, Installation, Kind, Server, Template};
use crate::steps::Steps;
use crate::{mysql, packages};

/// A server of each database that is installed, until this is dropped. Tests make
/// databases of their own in it.
pub(crate) struct Databases {
    templates: PathBuf,
    servers: Vec<(Installation, Server)>,
}

/// Which of them takes the place of MariaDB, in which tests of both are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// MariaDB itself, unless the environment names a MySQL.
    MariaDb,
    /// MySQL, downloaded unless the environment names one.
    MySql,
}

impl Databases {
    /// Starts them. One that is missing is installed, if we may; if not, that is noted.
    pub(crate) fn start(steps: &mut Steps, flavour: Flavour) -> Self {
        let mut databases = Self { templates: root().join("target/servers"), servers: Vec::new() };
        let mysql = (flavour == Flavour::MySql).then(|| find_mysql(steps)).flatten();
        for kind in Kind::ALL {
            let mysql = mysql.clone().filter(|mysql| mysql.kind == kind);
            let Some(installation) = mysql.or_else(|| find(kind, steps)) else { continue };
            let server = steps.run(format!("a server of {installation}"), || {
                let template = Template::ensure(&installation, &databases.templates.join(installation.name()))?;
                Server::start(&template, Durability::None)
            });
            databases.servers.extend(server.map(|server| (installation, server)));
        }
        databases
    }

    /// Those that run.
    pub(crate) fn installations(&self) -> impl Iterator<Item = &Installation> {
        self.servers.iter().map(|(installation, _)| installation)
    }

    /// Tells `command` where they are.
    pub(crate) fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.variables())
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let url = |(installation, server): &(Installation, Server)| {
            (installation.kind.variable(), server.url(installation.kind.administration()))
        };
        let templates = (Template::VARIABLE, self.templates.display().to_string());
        let mysql = self.installations().find(|installation| installation.is_mysql);
        let mysql = mysql.map(|mysql| (Installation::MYSQL, mysql.server.display().to_string()));
        self.servers.iter().map(url).chain([templates]).chain(mysql).collect()
    }
}

/// That of `kind`, installed if we may; if there is none, that is noted.
fn find(kind: Kind, steps: &mut Steps) -> Option<Installation> {
    let found = Installation::find(kind).or_else(|| {
        if packages::can_install()
            && let Err(error) = packages::install(package(kind))
        {
            steps.note(format!("failed to install {kind}: {error:#}"));
        }
        Installation::find(kind)
    });
    if found.is_none() && std::env::var_os(kind.variable()).is_none() {
        steps.note(format!("{kind} is not installed: its tests were skipped"));
    }
    found
}

/// MySQL, downloaded unless one is named; if it can't be had, that is noted.
fn find_mysql(steps: &mut Steps) -> Option<Installation> {
    let named = std::env::var_os(Installation::MYSQL).map(PathBuf::from);
    let program = named.map_or_else(mysql::ensure, Ok);
    let found = program.and_then(|program| {
        Installation::mysql(&program).with_context(|| format!("`{}` is no server of MySQL", program.display()))
    });
    let note = |error: &anyhow::Error| format!("MySQL can't be had, so its tests were skipped: {error:#}");
    found.inspect_err(|error| steps.note(note(error))).ok()
}

const fn package(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "postgresql",
        Kind::MariaDb => "mariadb-server",
    }
}

/// Starts servers, prints the variables for a shell, and holds until the input ends.
/// Ctrl-C ends them as well.
///
/// # Errors
/// If one does not start.
pub(crate) fn hold(flavour: Flavour) -> anyhow::Result<()> {
    let mut steps = Steps::default();
    let databases = Databases::start(&mut steps, flavour);
    steps.end()?;
    for (name, value) in databases.variables() {
        println!("export {name}='{value}'");
    }
    eprintln!("the servers run until Ctrl-C, or the end of the input");
    stdin().read_to_end(&mut Vec::new()).map(drop).context("cannot read the input")
}
