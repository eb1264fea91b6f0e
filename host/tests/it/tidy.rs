//! What `ARCHITECTURE.md` promises of the sources, kept by reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules of the host, lowest first. A module imports from lower levels only.
const LEVELS: &[&[&str]] = &[
    &["limits", "task", "event", "change"],
    &["database", "store", "read_model", "guest", "upcast", "route"],
    &["projection"],
    &["catalogue"],
    &["deployment"],
    &["http"],
    &["config", "demo", "app"],
    &["cli"],
];

/// Those that may import a neighbour of their own level, and which.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("event", "limits"),
    ("change", "event"),
    ("store", "database"),
    ("read_model", "database"),
    ("app", "config"),
    ("app", "demo"),
];

/// Crates that only some modules may know of.
const OWNERS: &[(&str, &[&str])] = &[
    ("wasmtime", &["guest"]),
    ("wasmparser", &["guest"]),
    ("sqlx", &["database", "store", "read_model"]),
    ("clap", &["cli"]),
    ("notify", &["catalogue"]),
    ("notify_debouncer_full", &["catalogue"]),
];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "misc"];

const LINES_MAX: usize = 500;

/// Where machine code enters the process: the only place that needs `unsafe`.
const UNSAFE: &str = "guest/cache.rs";

/// A source file of the host, by its path below `src`.
struct File {
    path: String,
    text: String,
}

impl File {
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The text without comments that stand alone.
    fn code(&self) -> String {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn level(module: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.contains(&module))
}

/// The modules that `code` names as `crate::MODULE` or within `crate::{…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        let rest = &code[at + start.len()..];
        let names = match rest.strip_prefix('{').and_then(|group| group.split_once('}')) {
            Some((group, _)) => group.split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        found.extend(names.into_iter().map(|name| name.chars().take_while(|&letter| is_part(letter)).collect()));
    }
    found.retain(|name: &String| name.chars().next().is_some_and(|first| first.is_ascii_lowercase()));
    found
}

/// Every broken promise, one line each.
fn faults(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        faults.extend(import_faults(file));
        faults.extend(shape_faults(file));
        faults.extend(owner_faults(file));
    }
    let unsafe_files: Vec<&str> = files.iter().flat_map(|file| vec![file.path.as_str(); unsafe_blocks(file)]).collect();
    if unsafe_files != [UNSAFE] {
        faults.push(format!("unsafe code belongs into one function of {UNSAFE}, found: {unsafe_files:?}"));
    }
    faults
}

fn import_faults(file: &File) -> Vec<String> {
    let (path, module) = (&file.path, file.module());
    if ["lib", "main"].contains(&module) {
        return Vec::new();
    }
    let Some(own) = level(module) else { return vec![format!("{path}: module `{module}` has no level")] };
    let is_wrong = |other: &str| match level(other) {
        None => true,
        Some(level) => level >= own && other != module && !NEIGHBOURS.contains(&(module, other)),
    };
    let wrong = imports(&file.code()).into_iter().filter(|other| is_wrong(other));
    wrong.map(|other| format!("{path}: `{module}` must not know `{other}`")).collect()
}

fn shape_faults(file: &File) -> Vec<String> {
    let path = &file.path;
    let mut faults = Vec::new();
    if !file.text.starts_with("//!") && path != "main.rs" {
        faults.push(format!("{path}: must begin with //!, saying what it is for"));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{path}: {lines} lines, more than {LINES_MAX}"));
    }
    if let Some(name) = path.split('/').map(|part| part.trim_end_matches(".rs")).find(|part| EMPTY_NAMES.contains(part))
    {
        faults.push(format!("{path}: `{name}` says nothing, name what is in it"));
    }
    if (path.ends_with("mod.rs") || path == "lib.rs")
        && let Some(logic) = logic(file)
    {
        faults.push(format!("{path}: only modules and names belong here, not `{logic}`"));
    }
    faults
}

/// The first item that is neither `mod` nor `use`, attributes aside.
fn logic(file: &File) -> Option<String> {
    let mut code = String::new();
    let mut in_attribute = false;
    for line in file.code().lines() {
        in_attribute |= line.trim_start().starts_with('#');
        if !in_attribute {
            code.push_str(line);
            code.push('\n');
        }
        in_attribute &= !line.trim_end().ends_with(']');
    }
    let is_name = |item: &str| {
        let item = item.strip_prefix("pub(crate) ").or(item.strip_prefix("pub(super) ")).unwrap_or(item);
        let item = item.strip_prefix("pub ").unwrap_or(item);
        item.starts_with("use ") || (item.starts_with("mod ") && !item.contains('{'))
    };
    let item = code.split(';').map(str::trim).find(|item| !item.is_empty() && !is_name(item))?;
    item.lines().next().map(str::to_owned)
}

fn owner_faults(file: &File) -> Vec<String> {
    let (code, module) = (file.code(), file.module());
    let names = |name: &str| code.contains(&format!("{name}::")) || code.contains(&format!("use {name};"));
    let foreign = OWNERS.iter().filter(|(name, owners)| !owners.contains(&module) && names(name));
    foreign.map(|(name, owners)| format!("{}: only {owners:?} may know `{name}`", file.path)).collect()
}

fn unsafe_blocks(file: &File) -> usize {
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().map(|what| file.code().matches(what).count()).sum()
}

fn read_files(folder: &Path, below: &str, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{below}{name}");
        if entry.file_type().unwrap().is_dir() {
            read_files(&entry.path(), &format!("{path}/"), files);
        } else if name.ends_with(".rs") {
            files.push(File { path, text: std::fs::read_to_string(entry.path()).unwrap() });
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn the_sources_keep_what_was_promised() {
    let mut files = Vec::new();
    read_files(&root().join("host/src"), "", &mut files);
    assert!(files.len() > 50, "{} files are not all", files.len());
    let faults = faults(&files);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_broken_promise_would_be_found() {
    let check = |path: &str, text: &str, expected: &str| {
        let kept = File { path: UNSAFE.to_owned(), text: "//! It.\nunsafe { load() }".to_owned() };
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let found = faults(&[kept, file]).join("\n");
        assert!(if expected.is_empty() { found.is_empty() } else { found.contains(expected) }, "{path}: {found}");
    };
    check("store/a.rs", "//! It.\nuse crate::event::Batch;", "");
    check("store/a.rs", "//! It.\nuse crate::{event::Batch, database};", "");
    check("store/a.rs", "//! It.\nuse crate::read_model::ReadModel;", "`store` must not know `read_model`");
    check("store/a.rs", "//! It.\nuse crate::{event::Batch, read_model};", "`store` must not know `read_model`");
    check("event/a.rs", "//! It.\nfn a() { crate::cli::run() }", "`event` must not know `cli`");
    check("event/a.rs", "//! It.\n// as crate::cli does", "");
    check("event/a.rs", "//! It.\nuse crate::novelty::New;", "`event` must not know `novelty`");
    check("novelty.rs", "//! It.", "module `novelty` has no level");
    check("route.rs", "use std::fmt;", "must begin with //!");
    check("route.rs", &"//! It.\n".repeat(501), "501 lines");
    check("route/helpers.rs", "//! It.", "`helpers` says nothing");
    check("route/mod.rs", "//! It.\nmod a;\n#[expect(\n  x\n)]\npub use a::{\n  B,\n};\n#[cfg(test)]\nmod tests;", "");
    check("route/mod.rs", "//! It.\nmod a;\npub fn logic() {}", "not `pub fn logic() {}`");
    check("lib.rs", "//! It.\nconst A: u8 = 1;", "not `const A: u8 = 1`");
    check("projection/a.rs", "//! It.\nfn a(_: sqlx::Error) {}", "may know `sqlx`");
    check("app/a.rs", "//! It.\nuse wasmtime::Engine;", "may know `wasmtime`");
    check("guest/b.rs", "//! It.\nunsafe fn a() {}", "unsafe code belongs");
}

/// The names of migrations, by concern and database.
fn migration_faults(names: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (concern, databases) in names {
        let all: BTreeSet<&String> = databases.values().flatten().collect();
        for (database, own) in databases {
            let missing = all.iter().filter(|name| !own.contains(**name));
            faults.extend(missing.map(|name| format!("{database}/{concern} has no {name}")));
        }
    }
    faults
}

#[test]
fn all_databases_have_the_same_migrations() {
    let mut names: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    let list = |folder: &Path| -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".md")).collect()
    };
    let folder = root().join("migrations");
    for database in list(&folder) {
        for concern in list(&folder.join(&database)) {
            let files = list(&folder.join(&database).join(&concern)).into_iter().collect();
            names.entry(concern).or_default().insert(database.clone(), files);
        }
    }
    assert!(names.contains_key("store") && names.contains_key("read_model"), "{names:?}");
    assert_eq!(migration_faults(&names), [""; 0]);

    names.entry("store".to_owned()).or_default().insert("other".to_owned(), BTreeSet::new());
    assert_eq!(migration_faults(&names)[0], "other/store has no 0001_events.sql");
}

/// Dependencies without a line, and lines without a dependency.
fn dependency_faults(manifest: &str, page: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    let foreign: BTreeSet<&str> =
        dependencies.iter().filter(|(_, value)| value.get("path").is_none()).map(|(name, _)| name.as_str()).collect();
    let lines = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let lines: BTreeSet<&str> = lines.collect();
    let lacking = foreign.difference(&lines).map(|name| format!("{name} has no line"));
    lacking.chain(lines.difference(&foreign).map(|name| format!("{name} is no dependency"))).collect()
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    assert_eq!(dependency_faults(&read("Cargo.toml"), &read("docs/dependencies.md")), [""; 0]);

    let manifest = "[workspace.dependencies]\na = '1'\nb = '1'\nown = { path = 'own' }";
    assert_eq!(dependency_faults(manifest, "| `a` | x |\n| `c` | x |"), ["b has no line", "c is no dependency"]);
}

#[test]
fn tests_run_guests_that_are_built_as_users_build_them() {
    let profile = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        text.lines().map(str::trim).filter(|line| line.starts_with("(\"CARGO_PROFILE_")).map(str::to_owned).collect()
    };
    let of_users = profile("host/src/cli/plugin_build.rs");
    assert!(of_users.len() >= 5, "{of_users:?}");
    assert_eq!(profile("xtask/src/guests.rs"), of_users);
}
