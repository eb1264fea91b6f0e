//! Compiling plugins: in a child process with bounds of its own, once per bytes and engine.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::Sandbox;
use super::sandbox::{EngineFault, engine};
use model::change::Digest;

/// Why a plugin was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileFault {
    #[error("{0}")]
    Rejected(String),
    #[error("compiling it took longer than limits.compile_ms_max ({ms_max} ms) allows")]
    OutOfTime { ms_max: u64 },
    #[error(
        "the compiler ended without a word ({status}): it may have needed more memory than limits.compile_memory_bytes_max ({max}) allows"
    )]
    Died { status: String, max: u64 },
    #[error("the folder for compiled code, `{}`, {reason}", path.display())]
    Cache { path: PathBuf, reason: String },
}

impl Sandbox {
    /// The compiled form of `bytes`, from the cache if it is there.
    pub(super) fn compile(&self, bytes: &[u8], digest: Digest) -> Result<Component, CompileFault> {
        let folder = &self.settings.cache;
        let fault = |reason: String| CompileFault::Cache { path: folder.clone(), reason };
        own_folder(folder).map_err(&fault)?;
        let path = folder.join(format!("{digest}-{:016x}.cwasm", compatibility(&self.engine)));
        if path.exists() {
            if let Ok(component) = load(&self.engine, &path) {
                return Ok(component);
            }
            tracing::warn!("`{}` is damaged, so its plugin is compiled anew", path.display());
        }
        self.compile_apart(bytes, &path)?;
        load(&self.engine, &path).map_err(|source| fault(format!("holds a file that can't be loaded: {source:#}")))
    }

    fn compile_apart(&self, bytes: &[u8], path: &Path) -> Result<(), CompileFault> {
        let fault = |source: std::io::Error| CompileFault::Cache {
            path: path.to_owned(),
            reason: format!("can't be written: {source}"),
        };
        let limits = &self.settings.limits;
        let input = tempfile::NamedTempFile::new_in(&self.settings.cache).map_err(fault)?;
        std::fs::write(input.path(), bytes).map_err(fault)?;
        let output = tempfile::NamedTempFile::new_in(&self.settings.cache).map_err(fault)?;
        let mut child = Command::new(&self.settings.program)
            .arg("compile-component")
            .arg(limits.compile_memory_bytes_max.to_string())
            .stdin(input.reopen().map_err(fault)?)
            .stdout(output.reopen().map_err(fault)?)
            .stderr(Stdio::piped())
            .env_clear()
            .spawn()
            .map_err(fault)?;
        let deadline = Instant::now() + limits.compile_max();
        let status = loop {
            match child.try_wait().map_err(fault)? {
                Some(status) => break status,
                None if Instant::now() >= deadline => {
                    child.kill().and_then(|()| child.wait()).map_err(fault)?;
                    return Err(CompileFault::OutOfTime { ms_max: limits.compile_ms_max });
                }
                None => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        if !status.success() {
            let mut words = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                stderr.read_to_string(&mut words).map_err(fault)?;
            }
            let words = words.trim();
            let max = limits.compile_memory_bytes_max;
            return Err(match status.code() {
                // All else is a panic or a signal, as of a compiler that found no memory.
                Some(1) if !words.is_empty() => CompileFault::Rejected(words.to_owned()),
                _ => CompileFault::Died { status: status.to_string(), max },
            });
        }
        output.as_file().sync_all().map_err(fault)?;
        output.persist(path).map_err(|source| fault(source.error))?;
        Ok(())
    }
}

/// The child's side: compiles standard input to standard output, within `memory_bytes_max`.
///
/// # Errors
/// If the input is not a component that the engine takes.
pub fn compile_stdin(memory_bytes_max: u64) -> Result<(), EngineFault> {
    compile_within(memory_bytes_max).map_err(EngineFault::from)
}

fn compile_within(memory_bytes_max: u64) -> wasmtime::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    let bound = rustix::process::Rlimit { current: Some(memory_bytes_max), maximum: Some(memory_bytes_max) };
    rustix::process::setrlimit(rustix::process::Resource::As, bound)?;
    let compiled = engine()?.precompile_component(&bytes)?;
    std::io::stdout().lock().write_all(&compiled)?;
    Ok(())
}

/// Stable for one build of the host on one kind of machine.
fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Makes `folder`, or sees that nobody but its owner can write to it.
fn own_folder(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| format!("can't be made: {source}"))?;
    let found = folder.metadata().map_err(|source| format!("can't be looked at: {source}"))?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err("belongs to another user: name one of the host's own as plugins.cache".to_owned());
    }
    if found.mode() & 0o022 != 0 {
        return Err("can be written by others: take that right away, or name another as plugins.cache".to_owned());
    }
    Ok(())
}

/// Loads compiled code.
#[expect(unsafe_code, reason = "the one place where compiled code enters the process")]
fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file must be what `precompile_component` made, unchanged. Only this
    // program writes files of this name, after the child that compiled them ended well,
    // by renaming a finished file; `own_folder` has just seen that the folder belongs to
    // this user and that nobody else can write to it. wasmtime itself checks that the
    // file fits this engine's version and settings.
    unsafe { Component::deserialize_file(engine, path) }
}
