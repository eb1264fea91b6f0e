//! The engine that all guests share, and what they are linked against.

use std::path::PathBuf;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine};

use super::bindings::{projection_plugin, wasi};
use super::state::{LogLevel, State};
use model::limits::Limits;

/// How often guests that run too long are looked for.
pub(super) const TICK_MS: u64 = 10;

/// Where plugins are compiled, and by what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This program: it is started anew to compile, within bounds of its own.
    pub program: PathBuf,
    /// A folder of the host's own for compiled code.
    pub cache: PathBuf,
    pub limits: Limits,
}

/// This machine, or this build, cannot run guests.
#[derive(Debug, thiserror::Error)]
#[error("cannot run WebAssembly: {0}")]
pub struct EngineFault(String);

impl From<wasmtime::Error> for EngineFault {
    fn from(source: wasmtime::Error) -> Self {
        Self(format!("{source:#}"))
    }
}

/// Runs guests. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    pub(super) engine: Engine,
    pub(super) linker: Linker<State>,
    pub(super) settings: Settings,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the engine and the clock that ends calls which take too long.
    ///
    /// # Errors
    /// If the machine cannot run compiled WebAssembly.
    pub fn new(settings: Settings) -> Result<Self, EngineFault> {
        let engine = engine()?;
        let weak = engine.weak();
        std::thread::Builder::new()
            .name("guest-clock".to_owned())
            .spawn(move || {
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(Duration::from_millis(TICK_MS));
                }
            })
            .map_err(|fault| EngineFault(format!("no thread for the clock of guests: {fault}")))?;
        let mut linker = Linker::new(&engine);
        projection_plugin::ProjectionPlugin::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        wasi::Start::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        Ok(Self { engine, linker, settings })
    }

    /// The largest plugin that is taken, in bytes.
    #[must_use]
    pub fn plugin_bytes_max(&self) -> usize {
        self.settings.limits.plugin_bytes_max
    }
}

/// An engine for guests: deterministic, interruptible, without what guests don't need.
///
/// # Errors
/// If the machine cannot run compiled WebAssembly.
pub(super) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20))
        .max_wasm_stack(1 << 20);
    Engine::new(&config)
}

impl projection_plugin::fantascope::plugin::types::Host for State {}

impl projection_plugin::fantascope::plugin::log::Host for State {
    fn write(&mut self, level: projection_plugin::fantascope::plugin::log::Level, message: String) {
        use projection_plugin::fantascope::plugin::log::Level;
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.write_line(level, &message);
    }
}
