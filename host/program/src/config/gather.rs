//! Gathering: what was said in flags, environment and file, with where it was said.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Fault;
use super::key::{Key, Kind, nearest};

/// Variables of this prefix are settings: `FANTASCOPE__SECTION__KEY`.
const PREFIX: &str = "FANTASCOPE__";

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(String),
    /// A line of a file, from 1; 0 if it is about the file as a whole.
    File { path: PathBuf, line: usize },
    /// Nobody said anything.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment(variable) => f.write_str(variable),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting that was given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Which setting it is: `section.key`.
    pub key: &'static str,
    /// The flag, as it is written: `--listen`.
    pub flag: &'static str,
    pub value: String,
}

/// Everything that settings are read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub flags: Vec<Flag>,
    pub environment: Vec<(String, String)>,
    /// Path and content of the file, if there is one.
    pub file: Option<(PathBuf, String)>,
}

/// A value that was given, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// What was given for each key, by rank: a later one outranks an earlier one.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    values: Vec<(String, Given)>,
    pub(super) faults: Vec<Fault>,
}

impl Gathered {
    /// What holds for `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Given> {
        self.values.iter().rev().find(|(name, _)| name == key).map(|(_, given)| given)
    }

    fn refuse(&mut self, key: &str, origin: Origin, reason: String) {
        self.faults.push(Fault { key: key.to_owned(), origin, reason });
    }
}

/// All that `sources` say about `keys`.
pub(super) fn gather(keys: &[Key], sources: &Sources) -> Gathered {
    let mut gathered = Gathered::default();
    if let Some((path, text)) = &sources.file {
        gather_file(&mut gathered, keys, path, text);
    }
    let mut variables: Vec<_> = sources.environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (variable, value) in variables {
        let key = variable[PREFIX.len()..].to_ascii_lowercase().replacen("__", ".", 1);
        let origin = Origin::Environment(variable.clone());
        if keys.iter().any(|known| known.name == key) {
            gathered.values.push((key, Given { text: value.clone(), origin }));
        } else {
            let meant = nearest(&key, keys.iter().map(|key| key.name.as_str())).map(variable_of);
            gathered.refuse(&key, origin, unknown("setting", meant.as_deref()));
        }
    }
    for Flag { key, flag, value } in &sources.flags {
        gathered.values.push(((*key).to_owned(), Given { text: value.clone(), origin: Origin::Flag(flag) }));
    }
    gathered
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replacen('.', "__", 1).to_ascii_uppercase())
}

fn unknown(what: &str, meant: Option<&str>) -> String {
    match meant {
        Some(meant) => format!("there is no such {what}, did you mean `{meant}`?"),
        None => format!("there is no such {what}, see `fantascope config show` for those that there are"),
    }
}

fn gather_file(gathered: &mut Gathered, keys: &[Key], path: &Path, text: &str) {
    let origin = |offset: usize| Origin::File { path: path.to_owned(), line: line_of(text, offset) };
    let sections = match DeTable::parse(text) {
        Ok(sections) => sections.into_inner(),
        Err(fault) => {
            let at = fault.span().map_or(Origin::File { path: path.to_owned(), line: 0 }, |span| origin(span.start));
            return gathered.refuse("", at, format!("not TOML: {}", fault.message()));
        }
    };
    // The parser sorts by name; faults are easier to mend in the order of the file.
    let mut sections: Vec<_> = sections.into_iter().collect();
    sections.sort_by_key(|(name, _)| name.span().start);
    for (section, value) in sections {
        let at = origin(section.span().start);
        let section = section.into_inner();
        let prefix = format!("{section}.");
        if !keys.iter().any(|key| key.name.starts_with(&prefix)) {
            let known = keys.iter().filter_map(|key| key.name.split('.').next());
            let meant = nearest(&section, known).map(|meant| format!("[{meant}]"));
            gathered.refuse(&section, at, unknown("section", meant.as_deref()));
            continue;
        }
        let DeValue::Table(entries) = value.into_inner() else {
            gathered.refuse(&section, at, format!("this is a section: write `[{section}]`, and its settings below"));
            continue;
        };
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let at = origin(name.span().start);
            gather_entry(gathered, keys, format!("{prefix}{}", name.into_inner()), value, at);
        }
    }
}

fn gather_entry(gathered: &mut Gathered, keys: &[Key], name: String, value: Spanned<DeValue<'_>>, at: Origin) {
    let Some(key) = keys.iter().find(|key| key.name == name) else {
        let meant = nearest(&name, keys.iter().map(|key| key.name.as_str()));
        return gathered.refuse(&name, at, unknown("setting", meant));
    };
    match (key.kind, value.into_inner()) {
        (Kind::Text, DeValue::String(text)) => {
            gathered.values.push((name, Given { text: text.into_owned(), origin: at }))
        }
        (Kind::Number, DeValue::Integer(number)) => {
            let decoded = i128::from_str_radix(number.as_str(), number.radix());
            let text = decoded.map_or_else(|_| number.to_string(), |number| number.to_string());
            gathered.values.push((name, Given { text, origin: at }));
        }
        (Kind::Text, _) => gathered.refuse(&name, at, "must be a text, in quotes".to_owned()),
        (Kind::Number, _) => gathered.refuse(&name, at, "must be a whole number, without quotes".to_owned()),
    }
}

/// The line, from 1, of the byte at `offset`.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}
