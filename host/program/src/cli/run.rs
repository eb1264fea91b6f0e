//! From arguments to calls.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};

use super::arguments::{Cli, Command, Config as ConfigCommand, Demo, Format, Global, Operations, Plugin, Serve};
use super::client::Client;
use super::exit::{Form, Outcome, Usage, exit_code, refuse_arguments};
use super::output::Output;
use super::{
    events, import_command, migrate, operations, plugin_build, plugin_test, plugins, projections, scaffold, settings,
};
use crate::app::{self, ServeOptions, demo};
use crate::config::{Config, Flag, LogFormat, Sources};
use guest;

/// Runs what the command line says, and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => {
            let form = form_of(&cli);
            exit_code(run(cli), form)
        }
        Err(fault) if fault.use_stderr() && asks_for_json(std::env::args()) => refuse_arguments(&fault),
        // Ends here, with clap's words and exit code 2 if the usage is wrong.
        Err(fault) => fault.exit(),
    }
}

/// How a failure of this command is told.
fn form_of(cli: &Cli) -> Form {
    let runs_host = matches!(cli.command, Command::Serve(_) | Command::Demo(_));
    if cli.global.output == Format::Json {
        Form::Problem
    } else if runs_host && LogFormat::wanted(cli.global.config.as_deref()) == LogFormat::Json {
        Form::LogLine
    } else {
        Form::Text
    }
}

/// Whether arguments that can't be parsed say `-o json` all the same.
fn asks_for_json(arguments: impl Iterator<Item = String>) -> bool {
    let arguments: Vec<String> = arguments.collect();
    let is_pair = |pair: &[String]| matches!([pair[0].as_str(), pair[1].as_str()], ["-o" | "--output", "json"]);
    arguments.windows(2).any(is_pair)
        || arguments.iter().any(|one| matches!(one.as_str(), "-ojson" | "-o=json" | "--output=json"))
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let Cli { global, command } = cli;
    if global.server.is_some() {
        expect_host(&command)?;
    }
    let output = Output::new(&global);
    let config = |flags: Vec<Flag>| read_config(&global, flags);
    let client = || anyhow::Ok(Client::new(&global, &config(Vec::new())?));
    match command {
        Command::Serve(options) => serve(&config(listen(options.listen.as_deref()))?, &options),
        Command::Demo(options) => run_demo(&config(demo_flags(&options))?, &options, output),
        Command::Import { file } => {
            let config = config(Vec::new())?;
            block_on(import_command::run(&file, &config, output))
        }
        Command::Migrate(command) => {
            let config = config(Vec::new())?;
            return block_on(migrate::run(&command, &config, output));
        }
        Command::New(new) => scaffold::run(&new, output),
        Command::Build { dir } => plugin_build::run(&dir, output),
        Command::Test { dir, arguments } => plugin_test::run(&dir, &arguments),
        Command::Plugin(Plugin::List) => plugins::list(&client()?, output),
        Command::Plugin(Plugin::Inspect { file }) => plugins::inspect(&file, &config(Vec::new())?, output),
        Command::Plugin(Plugin::Deploy(deploy)) => return plugins::deploy(&deploy, &client()?, output),
        Command::Plugin(Plugin::Remove { name, force }) => {
            plugins::remove(&name, force, global.yes, &client()?, output)
        }
        Command::Projection(command) => return projections::run(&command, global.yes, &client()?, output),
        Command::Operations(Operations::List { subject, limit }) => {
            operations::list(subject.as_ref(), limit, &client()?, output)
        }
        Command::Events(command) => events::run(&command, &client()?, output),
        Command::Config(ConfigCommand::Check { connect }) => {
            let config = config(Vec::new())?;
            let found = if connect { block_on(app::connect(&config))? } else { Vec::new() };
            settings::check(&config, &found, output)
        }
        Command::Config(ConfigCommand::Show) => settings::show(&config(Vec::new())?, output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "fantascope", &mut script);
            output.line(String::from_utf8_lossy(&script).trim_end())
        }
        Command::CompileComponent { memory_bytes_max } => Ok(guest::compile_stdin(memory_bytes_max)?),
        Command::Spec { component } => app::spec(&component, &config(Vec::new())?),
    }?;
    Ok(Outcome::Done)
}

/// Only what speaks to a host can be told to which.
fn expect_host(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Plugin(Plugin::List | Plugin::Deploy(_) | Plugin::Remove { .. })
        | Command::Projection(_)
        | Command::Operations(_)
        | Command::Events(_) => Ok(()),
        Command::Import { .. } => Err(Usage::error(
            "`import` writes to the database that store.url names, and speaks to no host: leave --server out, and \
             set store.url (in the settings file, or FANTASCOPE__STORE__URL) to the database of that host, which may \
             run meanwhile",
        )),
        _ => Err(Usage::error("this command speaks to no host: leave --server out")),
    }
}

fn serve(config: &Config, options: &Serve) -> anyhow::Result<()> {
    let options = ServeOptions { exit_when_caught_up: options.exit_when_caught_up };
    block_on(app::serve(config, options))
}

fn run_demo(config: &Config, options: &Demo, output: Output) -> anyhow::Result<()> {
    let options = demo::DemoOptions {
        events: options.events.unwrap_or(demo::EVENTS),
        exit_when_caught_up: options.exit_when_caught_up,
        quiet: output.quiet,
        json: output.is_json,
        plugins: plugin_build::build_packages(&source_tree()?, demo::PLUGINS)?,
    };
    block_on(demo::run(config, options))
}

/// The sources that this program was built from, which hold the demo's plugins.
fn source_tree() -> anyhow::Result<PathBuf> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if tree.join("plugins").is_dir() {
        return Ok(tree);
    }
    anyhow::bail!(
        "the sources that this program was built from are gone, and the demo's plugins with them: run it in a checkout, with `cargo run --release -- demo`"
    )
}

fn listen(address: Option<&str>) -> Vec<Flag> {
    let flag = |address: &str| Flag { key: "http.listen", flag: "--listen", value: address.to_owned() };
    address.map(flag).into_iter().collect()
}

/// A demo keeps everything in one folder, whatever the settings say.
fn demo_flags(options: &Demo) -> Vec<Flag> {
    let data = options.data.display();
    let flag = |key, value: String| Flag { key, flag: "--data", value };
    let mut flags = listen(options.listen.as_deref());
    flags.push(flag("store.url", format!("sqlite:{data}/fantascope.sqlite")));
    flags.push(flag("read_models.url", format!("sqlite:{data}/fantascope.sqlite")));
    flags.push(flag("plugins.dir", format!("{data}/plugins")));
    flags.push(flag("plugins.cache", format!("{data}/cache")));
    flags
}

fn read_config(global: &Global, mut flags: Vec<Flag>) -> anyhow::Result<Config> {
    let token = global.token.clone().map(|value| Flag { key: "http.token", flag: "--token", value });
    flags.extend(token);
    let sources = Sources::of_process(global.config.as_deref(), flags)?;
    Ok(Config::read(&sources)?)
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the threads of this program")?;
    runtime.block_on(work)
}
