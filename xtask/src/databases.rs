//! `cargo xtask servers`, and the same servers for `cargo xtask test`.

use std::io::{Read as _, stdin};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::cargo::root;
use crate::packages;
use crate::servers::{Durability, Installation, Kind, Server, Template};
use crate::steps::Steps;

/// A server of each database that is installed, until this is dropped. Tests make
/// databases of their own in it.
pub(crate) struct Databases {
    templates: PathBuf,
    servers: Vec<(Kind, Server)>,
}

impl Databases {
    /// Starts them. One that is missing is installed, if we may; if not, that is noted.
    pub(crate) fn start(steps: &mut Steps) -> Self {
        let mut databases = Self { templates: root().join("target/servers"), servers: Vec::new() };
        for kind in Kind::ALL {
            let (package, name) = words(kind);
            if Installation::find(kind).is_none()
                && packages::can_install()
                && let Err(error) = packages::install(package)
            {
                steps.note(format!("failed to install {kind}: {error:#}"));
            }
            let Some(installation) = Installation::find(kind) else {
                if std::env::var_os(kind.variable()).is_none() {
                    steps.note(format!("{kind} is not installed: its tests were skipped"));
                }
                continue;
            };
            let server = steps.run(name, || {
                let template = Template::ensure(&installation, &databases.templates.join(kind.name()))?;
                Server::start(&template, Durability::None)
            });
            databases.servers.extend(server.map(|server| (kind, server)));
        }
        databases
    }

    /// Those that run.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.servers.iter().map(|&(kind, _)| kind)
    }

    /// Tells `command` where they are.
    pub(crate) fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.variables())
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let url = |(kind, server): &(Kind, Server)| (kind.variable(), server.url(kind.administration()));
        let templates = (Template::VARIABLE, self.templates.display().to_string());
        self.servers.iter().map(url).chain([templates]).collect()
    }
}

/// The package of a database, and the name of the step that starts it.
const fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Postgres => ("postgresql", "a PostgreSQL server"),
        Kind::MariaDb => ("mariadb-server", "a MariaDB server"),
    }
}

/// Starts servers, prints the variables for a shell, and holds until the input ends.
/// Ctrl-C ends them as well.
///
/// # Errors
/// If one does not start.
pub(crate) fn hold() -> anyhow::Result<()> {
    let mut steps = Steps::default();
    let databases = Databases::start(&mut steps);
    steps.end()?;
    for (name, value) in databases.variables() {
        println!("export {name}='{value}'");
    }
    eprintln!("the servers run until Ctrl-C, or the end of the input");
    stdin().read_to_end(&mut Vec::new()).map(drop).context("cannot read the input")
}
