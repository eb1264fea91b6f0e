//! The words of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use deployment::Wanted;
use model::change::Name;
use model::event::Timestamp;

/// A projection host for event-sourced systems.
#[derive(Debug, Parser)]
#[command(name = "fantascope", version, about, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Read settings from this file instead of fantascope.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The host to talk to, unless it is the one that http.listen names
    #[arg(long, global = true, value_name = "URL", value_parser = server_url)]
    pub(super) server: Option<String>,
    /// The host's token; FANTASCOPE__HTTP__TOKEN keeps it out of the list of processes
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// How to print what was found
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub(super) output: Format,
    /// Print less: no headings, no progress
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Don't ask before something is done that can't be undone
    #[arg(long, global = true)]
    pub(super) yes: bool,
}

/// How to print what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what it does: a store with example events, the shipped plugins, a read model
    Demo(Demo),
    /// Run the host
    Serve(Serve),
    /// Add events from a file of JSON lines; repeating it adds nothing
    Import {
        /// The file, plain or gzipped; `-` for standard input
        file: PathBuf,
    },
    /// Copy an event store into another database; running it again goes on where it stopped
    Migrate(Migrate),
    /// Make a folder with a new plugin
    #[command(subcommand)]
    New(New),
    /// Build the plugin in a folder
    Build {
        /// The folder, with the Cargo.toml of the plugin
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Build the plugin in a folder and run its tests, natively and in the sandbox
    Test {
        /// The folder, with the Cargo.toml of the plugin
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// What the tests are given, such as a part of their names
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Plugins: which there are, what a file holds, and taking them in and away
    #[command(subcommand)]
    Plugin(Plugin),
    /// Projections: how they stand, and what becomes of them
    #[command(subcommand)]
    Projection(Projection),
    /// Operations: who did what, when, and how it ended
    #[command(subcommand)]
    Operations(Operations),
    /// Events: past ones, and those to come
    #[command(subcommand)]
    Events(Events),
    /// Settings: whether they are right, and what holds
    #[command(subcommand)]
    Config(Config),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Compile a component from standard input to standard output
    #[command(hide = true)]
    CompileComponent { memory_bytes_max: u64 },
    /// Run a case of an SDK's tests in the sandbox
    #[command(hide = true)]
    Spec { component: PathBuf },
}

#[derive(Clone, Debug, Args)]
pub(super) struct Serve {
    /// Listen on this address instead of the one that http.listen names
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<String>,
    /// End once every projection has caught up with the events
    #[arg(long)]
    pub(super) exit_when_caught_up: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Migrate {
    /// The store to copy: sqlite:PATH, postgres://… or mysql://…; hosts may go on using it
    #[arg(long, value_name = "URL")]
    pub(super) from: String,
    /// Where to copy it; no host may use it before it is done
    #[arg(long, value_name = "URL")]
    pub(super) to: String,
    /// A file that holds the password for --from, to keep it out of the list of processes
    #[arg(long, value_name = "FILE")]
    pub(super) from_password_file: Option<PathBuf>,
    /// A file that holds the password for --to
    #[arg(long, value_name = "FILE")]
    pub(super) to_password_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Demo {
    /// The folder for the store, the plugins and the read models
    #[arg(long, value_name = "DIR", default_value = "fantascope-demo")]
    pub(super) data: PathBuf,
    /// Listen on this address instead of the one that http.listen names
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<String>,
    /// How many events to append
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) events: Option<u64>,
    /// End once every projection has caught up with the events
    #[arg(long)]
    pub(super) exit_when_caught_up: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum New {
    /// A projection: tables that are folded from events
    Projection(NewPlugin),
    /// An upcaster: events of an old schema made current
    Upcaster(NewPlugin),
}

#[derive(Clone, Debug, Args)]
pub(super) struct NewPlugin {
    /// Its name and that of its folder: a lowercase letter, then up to 62 of a-z, 0-9 and _
    pub(super) name: Name,
    /// Where the SDK is, unless this program still finds the sources that it was built from
    #[arg(long, value_name = "PATH")]
    pub(super) sdk: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Plugin {
    /// The plugins that the host knows of
    List,
    /// Look a plugin file over, compile it and ask it what it is
    Inspect {
        /// The component, a file that ends in .wasm
        file: PathBuf,
    },
    /// Give a plugin file to the host; what is refused changes nothing
    Deploy(Deploy),
    /// Take a plugin away, by its name or its file
    Remove {
        /// The name of the plugin, for all of its versions; or that of a file in `plugin list`
        name: String,
        /// Also if it is live: with all its tables, not with its events
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct Deploy {
    /// The component, a file that ends in .wasm
    pub(super) file: PathBuf,
    /// When a new version takes the place of the live one
    #[arg(long, value_name = "WHEN")]
    pub(super) promote: Option<Promotion>,
    /// What becomes of other bytes for the same version, if they make other rows
    #[arg(long, value_name = "WHAT")]
    pub(super) when_rows_differ: Option<RowsDiffer>,
    /// In how many partitions the history is folded
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<u32>,
    /// Wait until a new version has caught up
    #[arg(long)]
    pub(super) wait: bool,
}

/// When a version takes the place of the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Promotion {
    /// When somebody says so
    Manual,
    /// Once it has caught up
    Ready,
    /// Once it has caught up and has the rows of the live one
    Verified,
}

/// What becomes of other bytes for the same version, if they make other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RowsDiffer {
    /// The version is built anew
    Build,
    /// They go on with the rows that there are
    Swap,
    /// They are refused
    Refuse,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Projection {
    /// All versions of all projections
    List,
    /// All that is known of one projection
    Show {
        /// The projection
        name: Name,
    },
    /// Stop it until it is resumed, also over restarts
    Pause(OnVersion),
    /// Let it go on
    Resume {
        #[command(flatten)]
        on: OnVersion,
        /// Fold the rest of the history in so many partitions
        #[arg(long, value_name = "N")]
        workers: Option<u32>,
    },
    /// Build it anew beside what there is; or as it was
    Rebuild(Rebuild),
    /// Let the stable names show another version
    Promote {
        #[command(flatten)]
        on: OnVersion,
        /// Also if it lags, is paused or has failed; never before its history is folded
        #[arg(long)]
        force: bool,
    },
    /// Let the stable names show the version that was live before
    Rollback {
        /// The projection
        name: Name,
        /// Also if that version lags, is paused or has failed
        #[arg(long)]
        force: bool,
    },
    /// Compare the live version with another; ends with 3 if they differ
    Verify(OnVersion),
    /// Give up a version that is built or waits to be promoted, and drop its tables
    Cancel(OnVersion),
    /// Fold again what comes after a position, over the rows that there are
    Reset {
        #[command(flatten)]
        on: OnVersion,
        /// Everything up to this position is left as it is
        #[arg(long, value_name = "POSITION")]
        to: u64,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct OnVersion {
    /// The projection
    pub(super) name: Name,
    /// Which version, such as 2, or a build of it, such as v2g3
    #[arg(long = "version", value_name = "VERSION")]
    pub(super) of: Option<Wanted>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Rebuild {
    /// The projection
    #[arg(required_unless_present = "affected_by")]
    pub(super) name: Option<Name>,
    /// All projections whose history this upcaster would have changed
    #[arg(long, value_name = "UPCASTER", conflicts_with_all = ["name", "of", "as_of"])]
    pub(super) affected_by: Option<Name>,
    /// Which version, unless it is the live one
    #[arg(long = "version", value_name = "VERSION")]
    pub(super) of: Option<Wanted>,
    /// As it was at this position or time (RFC 3339), under a name of its own
    #[arg(long, value_name = "POSITION|TIME")]
    pub(super) as_of: Option<String>,
    /// When it takes the place of the live one
    #[arg(long, value_name = "WHEN")]
    pub(super) promote: Option<Promotion>,
    /// In how many partitions the history is folded
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<u32>,
    /// Wait until it has caught up
    #[arg(long)]
    pub(super) wait: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Operations {
    /// The last operations, the latest first
    List {
        /// Only those on this projection or upcaster
        #[arg(long, value_name = "NAME")]
        subject: Option<Name>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Events {
    /// Past events
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Only events that happened then (RFC 3339) or later
        #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
        since: Option<Timestamp>,
        /// Only events of this correlation
        #[arg(long, value_name = "ID")]
        correlation_id: Option<String>,
    },
    /// Events as they come, until interrupted
    Tail {
        #[command(flatten)]
        filter: Filter,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct Filter {
    /// Only events after this position
    #[arg(long, value_name = "POSITION")]
    pub(super) after: Option<u64>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) event_type: Option<String>,
    /// Only events of aggregates of this type
    #[arg(long, value_name = "TYPE")]
    pub(super) aggregate_type: Option<String>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Config {
    /// Say everything that is wrong with the settings
    Check {
        /// Also connect to the databases, and say what is there; nothing is written
        #[arg(long)]
        connect: bool,
    },
    /// Show the settings that hold, and where each comes from
    Show,
}

fn server_url(text: &str) -> Result<String, String> {
    let uri: axum::http::Uri = text.parse().map_err(|fault| format!("not a URL: {fault}"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.authority().is_some() && uri.query().is_none() => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("not a URL such as http://127.0.0.1:7711".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_says_what_it_is() {
        let mut left = vec![Cli::command()];
        left[0].build();
        while let Some(command) = left.pop() {
            let name = command.get_bin_name().unwrap_or_default().to_owned();
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name} {argument}");
                let heading = argument.is_global_set().then_some("Global options");
                assert_eq!(argument.get_help_heading(), heading, "{name} {argument}");
            }
            left.extend(command.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
        }
    }

    #[test]
    fn takes_urls_of_servers() {
        for (url, expected) in [
            ("http://a:1", Some("http://a:1")),
            ("https://a/b/", Some("https://a/b")),
            ("a:1", None),
            ("/a", None),
            ("ftp://a", None),
            ("", None),
        ] {
            assert_eq!(server_url(url).ok().as_deref(), expected, "{url}");
        }
    }
}
