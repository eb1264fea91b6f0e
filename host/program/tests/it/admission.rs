//! What is not fit to run is refused, each with its own code, and the others run.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use fantascope::catalogue::{
    Entry, Rejected, Watch, WatchSettings, admit, reject_clashes, reject_superseded, reject_twins,
};
use fantascope::change::{ColumnDefinition, ColumnType, Digest, Manifest, Name, Subscription, TableDefinition};
use fantascope::guest::{Refusal, Sandbox};
use fantascope::limits::Limits;
use fantascope::read_model::{Error, ReadModel};
use fantascope::task::Tasks;

use crate::guests::guest;
use crate::place::Place;

const PLUGIN_BYTES_MAX: usize = 1 << 20;

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The same component in other bytes: with a custom section that means nothing.
fn with_a_note(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(b"\x00\x05\x04note");
    bytes
}

fn entries(folder: &Path, sandbox: &Sandbox) -> Vec<(String, String, String)> {
    let told = |entry: Entry| match entry.outcome {
        Ok(_) => (entry.file, "ok".to_owned(), String::new()),
        Err(rejected) => (entry.file, rejected.code().to_owned(), rejected.to_string()),
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    files.sort();
    let mut entries: Vec<Entry> = files.iter().map(|path| admit(path, sandbox)).collect();
    reject_twins(&mut entries);
    reject_superseded(&mut entries);
    reject_clashes(&mut entries);
    entries.into_iter().map(told).collect()
}

fn watch(folder: &Path) -> WatchSettings {
    let (settle, rescan) = (Duration::from_millis(10), Duration::from_secs(5));
    let (plugin_bytes_max, tasks) = (PLUGIN_BYTES_MAX, Tasks::default());
    WatchSettings { folder: folder.to_owned(), settle, rescan, plugin_bytes_max, tasks }
}

#[test]
fn every_bad_file_is_refused_by_name_and_the_good_ones_run() {
    let place = Place::with(Limits { plugin_bytes_max: PLUGIN_BYTES_MAX, ..Limits::default() });
    let good = guest("order_list");
    let cache = place.path("cache");
    let sandbox = place.sandbox_with_cache(&cache);
    sandbox.admit(&good).unwrap();
    let compiled = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();

    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        (
            "another_world",
            component("(component)"),
            "plugin_other_world",
            "exports neither fantascope:plugin/projection nor",
        ),
        ("compiled", std::fs::read(compiled).unwrap(), "plugin_precompiled", "compiled machine code"),
        ("core", component("(module)"), "plugin_core_module", "--target wasm32-wasip2"),
        ("damaged", damaged, "plugin_invalid", "not valid WebAssembly"),
        ("empty", Vec::new(), "plugin_not_wasm", "not WebAssembly"),
        ("files", guest("files"), "plugin_import_not_granted", "`wasi:filesystem/"),
        (
            "future",
            component("(component (instance $i) (export \"fantascope:plugin/projection@0.2.0\" (instance $i)))"),
            "plugin_other_wit_version",
            "speaks fantascope:plugin 0.2.0, this host speaks 0.1.0: upgrade the host",
        ),
        ("good", good.clone(), "ok", ""),
        (
            "hollow",
            component("(component (instance $i) (export \"fantascope:plugin/projection@0.1.0\" (instance $i)))"),
            "plugin_misfit",
            "does not fit the world it claims",
        ),
        ("large", vec![0; PLUGIN_BYTES_MAX + 1], "plugin_too_large", "limits.plugin_bytes_max (1048576)"),
        (
            "network",
            component("(component (import \"wasi:sockets/tcp@0.2.0\" (instance)))"),
            "plugin_import_not_granted",
            "`wasi:sockets/tcp@0.2.0`",
        ),
        (
            "past",
            component("(component (instance $i) (export \"fantascope:plugin/upcaster@0.0.9\" (instance $i)))"),
            "plugin_other_wit_version",
            "build it with a newer SDK",
        ),
        (
            "preopens",
            component("(component (import \"wasi:filesystem/preopens@0.2.0\" (instance)))"),
            "plugin_import_not_granted",
            "no plugin is granted",
        ),
        ("reserved", guest("reserved"), "plugin_name_reserved", "must not begin with `fantascope`"),
        ("text", b"#!/bin/sh\n".to_vec(), "plugin_not_wasm", "not WebAssembly"),
        ("truncated", good[..good.len() / 3].to_vec(), "plugin_invalid", "not valid WebAssembly"),
        ("upcaster", guest("schema_upcaster"), "ok", ""),
    ];
    let folder = place.path("plugins");
    std::fs::create_dir(&folder).unwrap();
    for (name, bytes, ..) in &cases {
        std::fs::write(folder.join(format!("{name}.wasm")), bytes).unwrap();
    }
    std::fs::write(folder.join("notes.txt"), "not a plugin, and not looked at").unwrap();

    let found = entries(&folder, &sandbox);
    assert_eq!(found.len(), cases.len());
    for ((name, _, code, said), (file, found_code, found_said)) in cases.iter().zip(&found) {
        assert_eq!((file, found_code.as_str()), (&format!("{name}.wasm"), *code), "{found_said}");
        assert!(found_said.contains(said), "{file}: {found_said} should say {said}");
    }
}

#[test]
fn files_that_cannot_be_read_are_listed() {
    let place = Place::new();
    let folder = place.path("plugins");
    std::fs::create_dir(&folder).unwrap();
    std::fs::create_dir(folder.join("folder.wasm")).unwrap();
    symlink(folder.join("nowhere"), folder.join("vanished.wasm")).unwrap();
    let found = entries(&folder, &place.sandbox());
    let codes: Vec<(&str, &str)> = found.iter().map(|(file, code, _)| (file.as_str(), code.as_str())).collect();
    assert_eq!(codes, [("folder.wasm", "plugin_unreadable"), ("vanished.wasm", "plugin_unreadable")]);
}

#[test]
fn a_missing_folder_is_made_and_one_that_is_none_is_named() {
    let place = Place::new();
    let (_, found) = Watch::open(watch(&place.path("new/plugins"))).unwrap();
    assert!(found.is_empty());
    std::fs::write(place.path("file"), "").unwrap();
    let fault = Watch::open(watch(&place.path("file"))).unwrap_err().to_string();
    assert!(fault.contains("name another as plugins.dir"), "{fault}");
}

#[test]
fn of_two_that_claim_to_be_the_same_with_other_bytes_none_runs() {
    let place = Place::new();
    let folder = place.path("plugins");
    std::fs::create_dir(&folder).unwrap();
    let put = |file: &str, bytes: &[u8]| std::fs::write(folder.join(file), bytes).unwrap();
    let good = guest("order_list");
    let check = |expected: &[(&str, &str)]| {
        let found = entries(&folder, &place.sandbox());
        let codes: Vec<(&str, &str)> = found.iter().map(|(file, code, _)| (file.as_str(), code.as_str())).collect();
        assert_eq!(codes, expected, "{found:?}");
    };
    put("a.wasm", &good);
    put("b.wasm", &good);
    put("other.wasm", &guest("daily_revenue"));
    check(&[("a.wasm", "ok"), ("b.wasm", "plugin_copy"), ("other.wasm", "ok")]);
    put("b.wasm", &with_a_note(good));
    check(&[("a.wasm", "plugin_twin"), ("b.wasm", "plugin_twin"), ("other.wasm", "ok")]);
}

#[test]
fn compiling_is_bounded() {
    let check = |limits: Limits, said: &str| {
        let place = Place::with(limits);
        let refusal = place.sandbox_with_cache(&place.path("cache")).admit(&guest("order_list")).unwrap_err();
        assert_eq!(refusal.code(), "plugin_not_compiled", "{refusal}");
        assert!(refusal.to_string().contains(said), "{refusal} should say {said}");
        let left = std::fs::read_dir(place.path("cache")).unwrap().count();
        assert_eq!(left, 0, "nothing may be left in the cache");
    };
    check(Limits { compile_ms_max: 1, ..Limits::default() }, "limits.compile_ms_max (1 ms)");
    check(Limits { compile_memory_bytes_max: 48 << 20, ..Limits::default() }, "limits.compile_memory_bytes_max");
}

#[test]
fn a_cache_that_others_can_write_to_is_not_used() {
    let place = Place::new();
    let cache = place.path("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    let refusal = place.sandbox_with_cache(&cache).admit(&guest("order_list")).unwrap_err();
    assert_eq!(refusal.code(), "plugin_not_compiled");
    assert!(refusal.to_string().contains("can be written by others"), "{refusal}");
}

#[test]
fn compiled_code_that_is_damaged_is_made_anew() {
    let place = Place::new();
    let (cache, plugin) = (place.path("cache"), guest("order_list"));
    let sandbox = place.sandbox_with_cache(&cache);
    sandbox.admit(&plugin).unwrap();
    let file = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let compiled = std::fs::read(&file).unwrap();
    for damaged in [&b""[..], b"no machine code", &compiled[..compiled.len() / 2], &vec![0; compiled.len()]] {
        // A new file: the old one may still be mapped into memory.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, damaged).unwrap();
        sandbox.admit(&plugin).unwrap();
        assert!(std::fs::read(&file).unwrap() == compiled, "{} bytes were kept", damaged.len());
    }
}

#[test]
fn one_that_does_not_even_start_within_its_limits_is_refused() {
    for (limits, said) in [
        (Limits { guest_table_elements_max: 1, ..Limits::default() }, "limits.guest_table_elements_max (1)"),
        (Limits { guest_memory_bytes_max: 1 << 16, ..Limits::default() }, "limits.guest_memory_bytes_max (65536)"),
    ] {
        let refusal = Place::with(limits).sandbox().admit(&guest("order_list")).unwrap_err();
        assert_eq!(refusal.code(), "plugin_not_described");
        assert!(refusal.to_string().contains(said), "{refusal} should say {said}");
    }
}

#[test]
fn no_two_reasons_share_a_code() {
    let refusals = [
        Refusal::TooLarge { bytes: 0, max: 0 },
        Refusal::NotWasm,
        Refusal::Precompiled,
        Refusal::CoreModule,
        Refusal::Invalid(String::new()),
        Refusal::NotGranted(String::new()),
        Refusal::OtherVersion { found: String::new(), advice: "" },
        Refusal::OtherWorld { found: String::new() },
        Refusal::Misfit(String::new()),
        Refusal::Manifest(String::new()),
    ];
    let rejections = [
        Rejected::Copy(String::new()),
        Rejected::Twin { other: String::new(), what: String::new() },
        Rejected::Reserved("pg"),
    ];
    let mut codes: Vec<&str> =
        refusals.iter().map(Refusal::code).chain(rejections.iter().map(Rejected::code)).collect();
    let all = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), all);
    assert!(codes.iter().all(|code| code.starts_with("plugin_")), "{codes:?}");
}

/// A name, and columns beside the key.
type Table<'a> = (&'a str, &'a [(&'a str, ColumnType)]);

/// A projection with tables of the given names, each with a key `id` and the given columns.
fn manifest(projection: &str, version: u32, tables: &[Table<'_>]) -> Manifest {
    let name = |text: &str| text.parse::<Name>().unwrap();
    let column =
        |&(text, of_type): &(&str, ColumnType)| ColumnDefinition { name: name(text), of_type, nullable: false };
    let table = |&(text, columns): &Table<'_>| TableDefinition {
        name: name(text),
        columns: [("id", ColumnType::Text)].iter().chain(columns).map(column).collect(),
        key_columns: 1,
        keyed_by_aggregate: true,
        indexes: Vec::new(),
    };
    Manifest {
        sdk: String::new(),
        name: name(projection),
        version,
        subscription: Subscription::All,
        replayable: false,
        tables: tables.iter().map(table).collect(),
    }
}

async fn prepare(read_model: &ReadModel, manifest: &Manifest) -> Result<u32, Error> {
    read_model.prepare(manifest, Digest([0; 32])).await.map(|prepared| prepared.id.version)
}

#[tokio::test]
async fn tables_may_not_change_under_the_same_version() {
    const TEXT: (&str, ColumnType) = ("note", ColumnType::Text);
    let place = Place::new();
    let read_model = ReadModel::open(&place.database().await).await.unwrap();
    prepare(&read_model, &manifest("lamp", 1, &[("slides", &[TEXT])])).await.unwrap();
    let cases: &[(&[Table<'_>], &str)] = &[
        (&[("pictures", &[TEXT])], "table `slides` is gone"),
        (&[("slides", &[TEXT]), ("pictures", &[])], "table `pictures` is new"),
        (
            &[("slides", &[TEXT, ("more", ColumnType::Text)])],
            "column `more` of table `slides` is new or of another type",
        ),
        (&[("slides", &[("note", ColumnType::Json)])], "column `note` of table `slides` is new or of another type"),
        (&[("slides", &[])], "table `slides` has other columns"),
    ];
    for (tables, said) in cases {
        let fault = prepare(&read_model, &manifest("lamp", 1, tables)).await.unwrap_err();
        assert!(matches!(fault, Error::TablesChanged { .. }), "{fault}");
        let text = fault.to_string();
        assert!(text.contains(said) && text.contains("raise its version"), "{text} should say {said}");
        // As a version of its own, anything goes.
    }
    assert_eq!(prepare(&read_model, &manifest("lamp", 2, cases[0].0)).await.unwrap(), 2);
    assert_eq!(prepare(&read_model, &manifest("lamp", 1, &[("slides", &[TEXT])])).await.unwrap(), 1);
}

#[tokio::test]
async fn two_projections_may_not_meet_under_one_name() {
    let place = Place::new();
    let read_model = ReadModel::open(&place.database().await).await.unwrap();
    prepare(&read_model, &manifest("a", 1, &[("b_c", &[])])).await.unwrap();
    let fault = prepare(&read_model, &manifest("a_b", 1, &[("c", &[])])).await.unwrap_err();
    assert!(matches!(fault, Error::NameTaken { .. }), "{fault}");
    assert!(fault.to_string().contains("`a_b_c`"), "{fault}");
    // Nothing of it is left behind, so that another table fits.
    prepare(&read_model, &manifest("a_b", 1, &[("d", &[])])).await.unwrap();
    // Nor may one hide a table that the host keeps.
    let fault = prepare(&read_model, &manifest("fantascope", 1, &[("live", &[])])).await.unwrap_err();
    assert!(matches!(fault, Error::NameTaken { .. }), "{fault}");
}

#[tokio::test]
async fn a_store_of_another_program_or_a_newer_version_is_not_touched() {
    let place = Place::new();
    let store = place.store().await;
    drop(store);
    let raw = place.raw().await;
    raw.run("UPDATE fantascope_store_migrations SET version = 99").await.unwrap();
    let fault = store::Store::open(&place.database().await, &place.limits).await.unwrap_err().to_string();
    assert!(fault.contains("written by a newer version"), "{fault}");

    let place = Place::on_file();
    place.raw().await.rows("PRAGMA journal_mode").await;
    place.raw().await.run("PRAGMA application_id = 7").await.unwrap();
    let fault = database::Database::at(place.url()).await.unwrap_err().to_string();
    assert!(fault.contains("a database of another program"), "{fault}");
}
