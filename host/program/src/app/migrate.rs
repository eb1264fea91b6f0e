//! Copying an event store from one database to another.

use anyhow::{Context as _, bail};

use database::{Address, Connections, Database};
use model::limits::Limits;
use store::{Copied, Step, Store};

/// Copies the event store at `from` to `to`, and tells `tell` how it goes.
///
/// # Errors
/// If there is no store at `from`, `to` holds other events, or one of them can't be used.
pub async fn migrate(
    from: &Address,
    to: &Address,
    limits: &Limits,
    tell: &mut (dyn FnMut(Step) + Send),
) -> anyhow::Result<Copied> {
    // Opening a file makes it.
    if let Address::Sqlite(path) = from
        && !path.is_file()
    {
        bail!("cannot open --from: there is no file `{}`", path.display());
    }
    let connections = Connections::default();
    let origin = Database::open(from, &connections).await.context("cannot open --from")?;
    if !Store::is_in(&origin).await.context("cannot open --from")? {
        bail!("cannot open --from: there is no event store in `{from}`");
    }
    let origin = Store::open(&origin, limits).await.context("cannot open --from")?;
    let target = Database::open(to, &connections).await.context("cannot open --to")?;
    let target = Store::open(&target, limits).await.context("cannot open --to")?;
    let copied = origin.copy_to(&target, tell).await;
    origin.database().close().await;
    target.database().close().await;
    copied.context("cannot copy the events; run it again to go on where it stopped")
}
