//! `migrate`: an event store into another database, with a progress bar and both digests.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use indicatif::ProgressBar;

use super::arguments::Migrate;
use super::exit::Outcome;
use super::human;
use super::import_command::bar;
use super::output::Output;
use crate::app;
use crate::config::{Config, read_secret};
use database::Address;
use store::{Contents, Copied, Step};

pub(super) async fn run(command: &Migrate, config: &Config, output: Output) -> anyhow::Result<Outcome> {
    let from = address("--from", &command.from, command.from_password_file.as_deref())?;
    let to = address("--to", &command.to, command.to_password_file.as_deref())?;
    let bar = bar(output, "{msg:9} {wide_bar} {human_pos}/{human_len} events {per_sec} {eta}")?;
    let outcome = app::migrate(&from, &to, &config.limits, &mut |step| show(&bar, step)).await;
    bar.finish_and_clear();
    let done = outcome?;
    if output.is_json {
        output.json(&done)?;
    } else {
        print(&done, &from, &to, output)?;
    }
    if done.is_equal() {
        return Ok(Outcome::Done);
    }
    eprintln!("the two stores differ: something was appended to the target meanwhile, or is not kept as it was given");
    Ok(Outcome::Unhealthy)
}

fn address(flag: &str, url: &str, password_file: Option<&Path>) -> anyhow::Result<Address> {
    let password = match password_file {
        None => None,
        Some(file) => {
            let read = read_secret(file).map_err(|reason| anyhow!("{flag}-password-file: {reason}"));
            let (password, warning) = read?;
            if let Some(warning) = warning {
                eprintln!("warning: {flag}-password-file: {warning}");
            }
            Some(password)
        }
    };
    Address::parse(url, password.as_deref()).map_err(|reason| anyhow!(reason)).context(format!("cannot use {flag}"))
}

fn show(bar: &ProgressBar, step: Step) {
    match step {
        Step::Copying { events } => {
            bar.set_length(events);
            bar.set_message("copying");
        }
        Step::Verifying { events } => {
            bar.reset();
            bar.set_length(events);
            bar.set_message("verifying");
        }
        Step::Done { events } => bar.inc(events),
    }
}

fn print(done: &Copied, from: &Address, to: &Address, output: Output) -> anyhow::Result<()> {
    let Copied { up_to, copied, present, .. } = done;
    output.line(&format!(
        "{} events copied, {} were there already, up to position {up_to}",
        human::count(*copied),
        human::count(*present)
    ))?;
    let line = |word: &str, Contents { events, sha256 }: &Contents, address: &Address| {
        output.line(&format!("{word:4}  {sha256}  {} events  {address}", human::count(*events)))
    };
    line("from", &done.from, from)?;
    line("to", &done.to, to)
}
