//! A text that must not be shown.

use std::path::Path;

/// A secret. Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for whoever must send or compare it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("********")
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("********")
    }
}

/// The secret in `file`, without the end of its line, and a warning if others can read it too.
///
/// # Errors
/// If it can't be read, or there is nothing in it.
pub fn read_secret(file: &Path) -> Result<(String, Option<String>), String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|fault| format!("`{name}` cannot be read: {fault}"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(format!("`{name}` is empty: the secret belongs into its first line"));
    }
    Ok((secret.to_owned(), warning_of(file)))
}

/// A warning if everybody on this machine can read `file`, which holds a secret.
pub(super) fn warning_of(file: &Path) -> Option<String> {
    let name = file.display();
    is_open_to_all(file).then(|| {
        format!("everybody on this machine can read `{name}`: take that right from others (`chmod o= {name}`)")
    })
}

#[cfg(unix)]
fn is_open_to_all(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_open_to_all(_: &Path) -> bool {
    false
}
