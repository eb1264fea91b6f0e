//! Asking before something is done that can't be undone.

use std::io::IsTerminal as _;

use super::exit::Usage;

/// Goes on if `yes` was said, or is said now. `question` names what is lost.
///
/// # Errors
/// If the answer is no, or nobody can be asked: standard input is no terminal.
pub(super) fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Usage::error(format!(
            "{question} There is no terminal to ask on, so nothing was done: say --yes to do it"
        )));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { anyhow::bail!("nothing was done") }
}
