//! What a file must be before anything of it runs.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::bindings::projection_plugin::ProjectionPluginPre;
use super::bindings::upcaster_plugin::UpcasterPluginPre;
use super::cache::CompileFault;
use super::projection::{GuestProjection, describe};
use super::state::State;
use super::upcaster::{GuestUpcaster, describe as describe_upcaster};
use super::{Fault, Sandbox};
use model::change::{Digest, Manifest, UpcasterManifest};
use model::limits::Limits;

/// The WIT package that this host speaks.
const PACKAGE: &str = "fantascope:plugin";
const VERSION: &str = "0.1.0";

/// Interfaces that a guest may import, without their versions.
const GRANTED: &[&str] = &[
    "fantascope:plugin/log",
    "fantascope:plugin/types",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Why a file is not taken as a plugin.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("it has {bytes} bytes, more than limits.plugin_bytes_max ({max}) allows")]
    TooLarge { bytes: usize, max: usize },
    #[error("it is not WebAssembly")]
    NotWasm,
    #[error(
        "it is compiled machine code, which the host takes from nobody: deploy the WebAssembly component that it was made of"
    )]
    Precompiled,
    #[error("it is a core module, not a component: build it with --target wasm32-wasip2, or with `fantascope build`")]
    CoreModule,
    #[error("it is not valid WebAssembly: {0}")]
    Invalid(String),
    #[error(transparent)]
    Compile(#[from] CompileFault),
    #[error("it imports `{0}`, which no plugin is granted: do without files, network and environment")]
    NotGranted(String),
    #[error("it speaks {PACKAGE} {found}, this host speaks {VERSION}: {advice}")]
    OtherVersion { found: String, advice: &'static str },
    #[error(
        "it is a component of another world: it exports neither {PACKAGE}/projection nor {PACKAGE}/upcaster, but {found}"
    )]
    OtherWorld { found: String },
    #[error("it does not fit the world it claims: {0}")]
    Misfit(String),
    #[error("it could not be asked what it is: {0}")]
    Silent(#[from] Fault),
    #[error("its manifest is not right: {0}")]
    Manifest(String),
}

impl Refusal {
    /// The stable code of this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "plugin_too_large",
            Self::NotWasm => "plugin_not_wasm",
            Self::Precompiled => "plugin_precompiled",
            Self::CoreModule => "plugin_core_module",
            Self::Invalid(_) => "plugin_invalid",
            Self::Compile(_) => "plugin_not_compiled",
            Self::NotGranted(_) => "plugin_import_not_granted",
            Self::OtherVersion { .. } => "plugin_other_wit_version",
            Self::OtherWorld { .. } => "plugin_other_world",
            Self::Misfit(_) => "plugin_misfit",
            Self::Silent(_) => "plugin_not_described",
            Self::Manifest(_) => "plugin_manifest_invalid",
        }
    }
}

/// A plugin that was found fit to run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub digest: Digest,
    pub bytes: usize,
    pub kind: Kind,
}

/// What a plugin is.
#[derive(Clone, Debug)]
pub enum Kind {
    Projection(ProjectionPlugin),
    Upcaster(UpcasterPlugin),
}

/// The worlds of the WIT that plugins are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    Projection,
    Upcaster,
}

impl World {
    /// The one that exports `interface`.
    fn of(interface: &str) -> Option<Self> {
        match interface {
            "projection" => Some(Self::Projection),
            "upcaster" => Some(Self::Upcaster),
            _ => None,
        }
    }
}

/// A projection, linked against what it is granted; instances are started from it.
#[derive(Clone)]
pub struct ProjectionPlugin {
    pub manifest: Arc<Manifest>,
    pre: ProjectionPluginPre<State>,
    sandbox: Sandbox,
}

/// An upcaster, linked against what it is granted; instances are started from it.
#[derive(Clone)]
pub struct UpcasterPlugin {
    pub manifest: Arc<UpcasterManifest>,
    pre: UpcasterPluginPre<State>,
    sandbox: Sandbox,
}

impl std::fmt::Debug for ProjectionPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProjectionPlugin").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for UpcasterPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpcasterPlugin").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl ProjectionPlugin {
    /// A fresh instance.
    ///
    /// # Errors
    /// If it does not even start within the limits.
    pub fn start(&self) -> Result<GuestProjection, Fault> {
        GuestProjection::start(&self.sandbox, &self.pre, &self.manifest.tables)
    }
}

impl UpcasterPlugin {
    /// The bounds within which it runs.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.sandbox.settings.limits
    }

    /// A fresh instance.
    ///
    /// # Errors
    /// If it does not even start within the limits.
    pub fn start(&self) -> Result<GuestUpcaster, Fault> {
        GuestUpcaster::start(&self.sandbox, &self.pre)
    }
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

impl Sandbox {
    /// Looks `bytes` over, compiles them, checks what they import and export, and asks
    /// them what they are. Takes as long as compiling takes: call it off the runtime.
    ///
    /// # Errors
    /// The first reason not to run them.
    pub fn admit(&self, bytes: &[u8]) -> Result<Admitted, Refusal> {
        self.look_over(bytes)?;
        let digest = digest(bytes);
        let component = self.compile(bytes, digest)?;
        self.check_imports(&component)?;
        let kind = match self.world(&component)? {
            World::Projection => self.admit_projection(&component)?,
            World::Upcaster => self.admit_upcaster(&component)?,
        };
        Ok(Admitted { digest, bytes: bytes.len(), kind })
    }

    fn look_over(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let max = self.settings.limits.plugin_bytes_max;
        if bytes.len() > max {
            return Err(Refusal::TooLarge { bytes: bytes.len(), max });
        }
        if wasmtime::Engine::detect_precompiled(bytes).is_some() {
            return Err(Refusal::Precompiled);
        }
        if !bytes.starts_with(b"\0asm") {
            return Err(Refusal::NotWasm);
        }
        if wasmparser::Parser::is_core_wasm(bytes) {
            return Err(Refusal::CoreModule);
        }
        wasmparser::validate(bytes).map(|_| ()).map_err(|fault| Refusal::Invalid(fault.to_string()))
    }

    fn check_imports(&self, component: &Component) -> Result<(), Refusal> {
        for (import, _) in component.component_type().imports(&self.engine) {
            let (interface, version) = import.split_once('@').unwrap_or((import, ""));
            if interface.starts_with(PACKAGE) && version != VERSION {
                return Err(other_version(version));
            }
            if !GRANTED.contains(&interface) {
                return Err(Refusal::NotGranted(import.to_owned()));
            }
        }
        Ok(())
    }

    /// The world that it was built for, told by the interface that it exports.
    fn world(&self, component: &Component) -> Result<World, Refusal> {
        let mut found = Vec::new();
        for (export, item) in component.component_type().exports(&self.engine) {
            let (interface, version) = export.split_once('@').unwrap_or((export, ""));
            if let Some(of_ours) = interface.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/'))
                && let Some(world) = World::of(of_ours)
                && matches!(item.ty, ComponentItem::ComponentInstance(_))
            {
                return if version == VERSION { Ok(world) } else { Err(other_version(version)) };
            }
            found.push(format!("`{export}`"));
        }
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        Err(Refusal::OtherWorld { found })
    }

    fn admit_projection(&self, component: &Component) -> Result<Kind, Refusal> {
        let misfit = |fault: wasmtime::Error| Refusal::Misfit(format!("{fault:#}"));
        let pre = self.linker.instantiate_pre(component).map_err(misfit)?;
        let pre = ProjectionPluginPre::new(pre).map_err(misfit)?;
        let manifest = describe(self, &pre)?.map_err(Refusal::Manifest)?;
        Ok(Kind::Projection(ProjectionPlugin { manifest: Arc::new(manifest), pre, sandbox: self.clone() }))
    }

    fn admit_upcaster(&self, component: &Component) -> Result<Kind, Refusal> {
        let misfit = |fault: wasmtime::Error| Refusal::Misfit(format!("{fault:#}"));
        let pre = self.linker.instantiate_pre(component).map_err(misfit)?;
        let pre = UpcasterPluginPre::new(pre).map_err(misfit)?;
        let manifest = describe_upcaster(self, &pre)?.map_err(Refusal::Manifest)?;
        Ok(Kind::Upcaster(UpcasterPlugin { manifest: Arc::new(manifest), pre, sandbox: self.clone() }))
    }
}

fn other_version(found: &str) -> Refusal {
    let newer = version_numbers(found) > version_numbers(VERSION);
    let advice = if newer {
        "upgrade the host, or build the plugin with the SDK of this one"
    } else {
        "build it with a newer SDK"
    };
    Refusal::OtherVersion { found: found.to_owned(), advice }
}

fn version_numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}
