//! `new`: a folder with a plugin that builds and passes its tests.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::arguments::{New, NewPlugin};
use super::output::Output;

/// Where the SDK was when this program was built.
const SDK_OF_BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk");

const MANIFEST: &str = include_str!("templates/manifest.toml");
const GITIGNORE: &str = "/target\n";

struct Template {
    kind: &'static str,
    description: &'static str,
    source: &'static str,
    readme: &'static str,
}

const PROJECTION: Template = Template {
    kind: "projection",
    description: "A projection for Fantascope",
    source: include_str!("templates/projection.rs.txt"),
    readme: include_str!("templates/projection.md"),
};

const UPCASTER: Template = Template {
    kind: "upcaster",
    description: "An upcaster for Fantascope",
    source: include_str!("templates/upcaster.rs.txt"),
    readme: include_str!("templates/upcaster.md"),
};

pub(super) fn run(new: &New, output: Output) -> anyhow::Result<()> {
    let (template, NewPlugin { name, sdk }) = match new {
        New::Projection(plugin) => (PROJECTION, plugin),
        New::Upcaster(plugin) => (UPCASTER, plugin),
    };
    let name = name.as_str();
    let sdk = find_sdk(sdk.as_deref(), Path::new(SDK_OF_BUILD))?;
    make(Path::new(name), name, &template, &sdk)?;
    if output.quiet {
        return Ok(());
    }
    output.line(&format!("made `{name}`, a new {}; now try: fantascope test {name}", template.kind))
}

fn find_sdk(given: Option<&Path>, of_build: &Path) -> anyhow::Result<PathBuf> {
    let is_sdk = |path: &Path| path.join("Cargo.toml").is_file();
    let path = match given {
        Some(path) if is_sdk(path) => path,
        Some(path) => bail!("`{}` is not the SDK: there is no Cargo.toml in it", path.display()),
        None if is_sdk(of_build) => of_build,
        None => bail!("cannot find the SDK: say where the `sdk` folder of fantascope's sources is, with --sdk PATH"),
    };
    path.canonicalize().with_context(|| format!("cannot look at `{}`", path.display()))
}

fn make(folder: &Path, name: &str, template: &Template, sdk: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        bail!("`{}` is there already: choose another name, or another place", folder.display());
    }
    // TOML has JSON's escapes, so a path with a quote or backslash in it survives.
    let sdk = sdk.to_str().with_context(|| format!("the path of the SDK, `{}`, is not UTF-8", sdk.display()))?;
    let sdk = serde_json::to_string(sdk)?;
    let fill = |text: &str| {
        text.replace("{{name}}", name).replace("{{description}}", template.description).replace("{{sdk}}", &sdk)
    };
    let files = [
        ("Cargo.toml", fill(MANIFEST)),
        (".gitignore", GITIGNORE.to_owned()),
        ("README.md", fill(template.readme)),
        ("src/lib.rs", fill(template.source)),
    ];
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
    };
    std::fs::create_dir_all(folder.join("src"))
        .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    for (file, text) in &files {
        write(&folder.join(file), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_every_gap() {
        let folder = tempfile::tempdir().expect("a folder");
        for template in [PROJECTION, UPCASTER] {
            let plugin = folder.path().join(template.kind);
            make(&plugin, "seats", &template, Path::new("/a \"b\"/sdk")).expect("made");
            for file in ["Cargo.toml", "README.md", "src/lib.rs", ".gitignore"] {
                let text = std::fs::read_to_string(plugin.join(file)).expect(file);
                assert!(!text.contains("{{"), "{file}: {text}");
            }
            let manifest = std::fs::read_to_string(plugin.join("Cargo.toml")).expect("a manifest");
            let manifest: toml::Table = manifest.parse().expect("TOML");
            assert_eq!(manifest["dependencies"]["fantascope-sdk"]["path"].as_str(), Some("/a \"b\"/sdk"));
            let fault = make(&plugin, "seats", &template, Path::new("/sdk")).expect_err("refused").to_string();
            assert!(fault.contains("is there already"), "{fault}");
        }
    }

    #[test]
    fn says_how_to_find_the_sdk() {
        let empty = tempfile::tempdir().expect("a folder");
        let fault = find_sdk(None, empty.path()).expect_err("none").to_string();
        assert!(fault.contains("--sdk PATH"), "{fault}");
        assert!(find_sdk(Some(empty.path()), Path::new(SDK_OF_BUILD)).is_err());
        assert!(find_sdk(None, Path::new(SDK_OF_BUILD)).is_ok());
    }
}
