//! `cargo xtask bindings`: generates the SDK's bindings from the WIT, which are
//! committed so that a plugin's build needs neither the generator nor a parser.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::{Opts, WithOption};

/// The newest released WIT; the SDK is always generated from this one.
const WIT: &str = "wit/v0.1.0";
const PACKAGE: &str = "fantascope:plugin";
const VERSION: &str = "0.1.0";

/// A world, the file that its bindings go to, and the interfaces that it shares
/// with the world before it instead of generating them again.
struct World {
    name: &'static str,
    file: &'static str,
    shared: &'static [(&'static str, &'static str)],
}

const WORLDS: &[World] = &[
    World { name: "projection-plugin", file: "projection.rs", shared: &[] },
    World {
        name: "upcaster-plugin",
        file: "upcaster.rs",
        shared: &[
            ("types", "crate::bindings::projection::fantascope::plugin::types"),
            ("log", "crate::bindings::projection::fantascope::plugin::log"),
        ],
    },
];

/// Writes the bindings.
pub(crate) fn write() -> anyhow::Result<()> {
    for (path, text) in generate()? {
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// Fails if the committed bindings are not what `write` would write.
pub(crate) fn check() -> anyhow::Result<()> {
    for (path, text) in generate()? {
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if committed != text {
            bail!("{} is not what the WIT in {WIT} gives: run `cargo xtask bindings`", path.display());
        }
    }
    Ok(())
}

fn generate() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    WORLDS
        .iter()
        .map(|world| {
            let text = bindings_of(&root.join(WIT), world)
                .with_context(|| format!("failed to generate world `{}`", world.name))?;
            Ok((root.join("sdk/src/bindings").join(world.file), text))
        })
        .collect()
}

fn bindings_of(wit: &Path, world: &World) -> anyhow::Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let id = resolve.select_world(&[package], Some(world.name))?;
    let module = world.file.trim_end_matches(".rs");
    let options = Opts {
        format: true,
        pub_export_macro: true,
        export_macro_name: Some(format!("export_{module}")),
        default_bindings_module: Some(format!("fantascope_sdk::__private::bindings::{module}")),
        with: world
            .shared
            .iter()
            .map(|(interface, path)| (format!("{PACKAGE}/{interface}@{VERSION}"), WithOption::Path((*path).to_owned())))
            .collect(),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, id, &mut files)?;
    let (_, contents) = files.iter().next().context("the generator gave no file")?;
    Ok(String::from_utf8(contents.to_vec())?)
}
