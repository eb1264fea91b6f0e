//! What `ARCHITECTURE.md` promises of the sources, kept by reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "misc"];

const LINES_MAX: usize = 500;

/// Where machine code enters the process: the only place that needs `unsafe`.
const UNSAFE: &str = "guest/src/cache.rs";

/// A source file of the host, by its path below `host`.
struct File {
    path: String,
    text: String,
}

impl File {
    /// The text without comments that stand alone.
    fn code(&self) -> String {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Every broken promise, one line each.
fn faults(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        faults.extend(shape_faults(file));
    }
    let unsafe_files: Vec<&str> = files.iter().flat_map(|file| vec![file.path.as_str(); unsafe_blocks(file)]).collect();
    if unsafe_files != [UNSAFE] {
        faults.push(format!("unsafe code belongs into one function of {UNSAFE}, found: {unsafe_files:?}"));
    }
    faults
}

fn shape_faults(file: &File) -> Vec<String> {
    let path = &file.path;
    let mut faults = Vec::new();
    if !file.text.starts_with("//!") && !path.ends_with("src/main.rs") {
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
    if (path.ends_with("mod.rs") || path.ends_with("src/lib.rs"))
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

/// The host's crates: the name of each, and its folder.
fn packages() -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(root().join("host")).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

#[test]
fn the_sources_keep_what_was_promised() {
    let mut files = Vec::new();
    for (name, folder) in packages() {
        read_files(&folder.join("src"), &format!("{name}/src/"), &mut files);
    }
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
    check("store/src/a.rs", "//! It.\nuse model::event::Batch;", "");
    check("route.rs", "use std::fmt;", "must begin with //!");
    check("route.rs", &"//! It.\n".repeat(501), "501 lines");
    check("route/helpers.rs", "//! It.", "`helpers` says nothing");
    check("route/mod.rs", "//! It.\nmod a;\n#[expect(\n  x\n)]\npub use a::{\n  B,\n};\n#[cfg(test)]\nmod tests;", "");
    check("route/mod.rs", "//! It.\nmod a;\npub fn logic() {}", "not `pub fn logic() {}`");
    check("store/src/lib.rs", "//! It.\nconst A: u8 = 1;", "not `const A: u8 = 1`");
    check("guest/src/b.rs", "//! It.\nunsafe fn a() {}", "unsafe code belongs");
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
    let of_users = profile("host/program/src/cli/plugin_build.rs");
    assert!(of_users.len() >= 5, "{of_users:?}");
    assert_eq!(profile("xtask/src/guests.rs"), of_users);
}

/// The files that `page` names and that belong there: `a/{b,c}.rs` are two.
fn named_files(page: &str, is_on_map: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let quoted = page.split('`').skip(1).step_by(2).filter(|text| text.ends_with(".rs") && text.contains('/'));
    let mut named = BTreeSet::new();
    for text in quoted {
        match text.split_once('{').and_then(|(start, rest)| Some((start, rest.split_once('}')?))) {
            Some((start, (names, end))) => named.extend(names.split(',').map(|name| format!("{start}{name}{end}"))),
            None => drop(named.insert(text.to_owned())),
        }
    }
    named.retain(|name| is_on_map(name) && !name.contains('*'));
    named
}

/// Files that are not where the map has them, and files that are not on it.
fn map_faults(named: &BTreeSet<String>, files: &BTreeSet<String>) -> Vec<String> {
    let gone = named.difference(files).map(|name| format!("{name} is named, and not there"));
    let is_missing = |name: &&String| !name.starts_with("program/") && !name.ends_with("/mod.rs");
    let missing = files.difference(named).filter(is_missing).map(|name| format!("{name} is not named"));
    gone.chain(missing).collect()
}

#[test]
fn the_map_of_the_code_is_complete() {
    let (mut files, mut crates) = (BTreeSet::new(), BTreeSet::new());
    for (name, folder) in packages() {
        let mut found = Vec::new();
        read_files(&folder.join("src"), &format!("{name}/"), &mut found);
        crates.insert(name);
        files.extend(found.into_iter().map(|file| file.path).filter(|path| !path.ends_with("/lib.rs")));
    }
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let is_on_map = |name: &str| name.split('/').next().is_some_and(|first| crates.contains(first));
    let map_faults = |page: &str, files: &BTreeSet<String>| map_faults(&named_files(page, is_on_map), files);
    assert_eq!(map_faults(&page, &files), [""; 0]);

    files.insert("store/novelty.rs".to_owned());
    files.remove("store/head.rs");
    assert_eq!(map_faults(&page, &files), ["store/head.rs is named, and not there", "store/novelty.rs is not named"]);
}

/// Dependencies of `manifest` that neither `sources` nor, if they are for tests, `tests` name.
fn unused(manifest: &str, sources: &str, tests: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let listed = |table: &str| manifest.get(table).and_then(|table| table.as_table()).into_iter().flatten();
    let is_named = |name: &str, code: &str| {
        let name = name.replace('-', "_");
        code.contains(&format!("{name}::")) || code.contains(&format!("use {name};"))
    };
    let own = listed("dependencies").filter(|(name, _)| !is_named(name, sources)).map(|(name, _)| name.clone());
    let of_tests = listed("dev-dependencies").filter(|(name, _)| !is_named(name, sources) && !is_named(name, tests));
    own.chain(of_tests.map(|(name, _)| name.clone())).collect()
}

#[test]
fn no_crate_depends_on_what_it_does_not_use() {
    for (name, folder) in packages() {
        let code = |folders: &[&str]| {
            let mut files = Vec::new();
            for below in folders.iter().map(|below| folder.join(below)).filter(|below| below.is_dir()) {
                read_files(&below, "", &mut files);
            }
            files.iter().map(File::code).collect::<String>()
        };
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert_eq!(unused(&manifest, &code(&["src"]), &code(&["tests", "benches"])), [""; 0], "{name}");
    }
    let manifest =
        "[dependencies]\nused-here.workspace = true\nidle = '1'\n[dev-dependencies]\ntried = '1'\nlazy = '1'";
    assert_eq!(unused(manifest, "use used_here::A;", "tried::b()"), ["idle", "lazy"]);
}
