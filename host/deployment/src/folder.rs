//! The plugin folder: what comes, changes and goes there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::deployments::FOLDER;
use super::upcasters::upcaster;
use super::{DeployOptions, Deployments, Fault, PluginInfo, PluginStatus};
use crate::catalogue::{Change, Entry, Watch, reject_clashes, reject_superseded, reject_twins};
use guest::Admitted;
use model::change::Digest;
use read_model::{SeenFile, Source};

/// How long is waited before something is tried again that was in the way, or away.
const AGAIN: Duration = Duration::from_millis(500);

/// Files that are deployed at once. Those that wait for others don't count.
const FILES_AT_ONCE: usize = 4;

/// The files that are being deployed, or wait to be.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The number of the last change of each.
    changes: Arc<Mutex<HashMap<String, u64>>>,
    turns: Arc<Semaphore>,
}

impl Default for Files {
    fn default() -> Self {
        Self { changes: Arc::default(), turns: Arc::new(Semaphore::new(FILES_AT_ONCE)) }
    }
}

impl Files {
    /// Notes a change of `file`.
    fn changed(&self, file: &str) {
        *self.changes().entry(file.to_owned()).or_default() += 1;
    }

    fn latest(&self, file: &str) -> u64 {
        self.changes().get(file).copied().unwrap_or_default()
    }

    fn changes(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        // Each change is one call to the map.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is to be deployed.
#[derive(Debug)]
struct Found {
    entry: Entry,
    bytes: Vec<u8>,
    change: u64,
}

impl Found {
    /// Whether the file has not changed since.
    fn is_latest(&self, files: &Files) -> bool {
        files.latest(&self.entry.file) == self.change
    }
}

/// What the log was told of what is waited for.
#[derive(Debug, Default)]
struct Waiting {
    said: String,
}

impl Waiting {
    /// Waits a little for what is in the way of `files`, and says what that is, once.
    ///
    /// # Errors
    /// The fault, if it does not pass.
    async fn for_it(&mut self, files: &[&str], fault: Fault) -> Result<(), Fault> {
        if !fault.is_passing() {
            return Err(fault);
        }
        let reason = fault.to_string();
        if self.said != reason {
            tracing::info!(file = files.join(", "), code = fault.code(), "plugin waits: {reason}");
            self.said = reason;
        }
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }
}

impl Deployments {
    /// Deploys what the folder holds at the start. What has to wait is deployed later.
    ///
    /// # Errors
    /// If the databases fail. A file that is not fit is listed with the reason.
    pub async fn deploy_folder(&self, changes: Vec<Change>) -> Result<(), Fault> {
        let files: Vec<&str> = changes.iter().map(file_of).collect();
        let running = self.running_digests().await?;
        for seen in self.read_model.seen_files().await? {
            if seen.source == Source::Folder && !files.contains(&seen.file.as_str()) {
                self.read_model.forget_file(&seen.file, Source::Folder).await?;
            } else if seen.source == Source::Upload {
                self.list_upload(&seen, &running).await?;
            }
        }
        let (upcasters, others) = self.take(changes).await?;
        if self.try_upcasters_of(&upcasters).await.is_err() {
            tokio::spawn(self.clone().deploy_in_time(upcasters, others));
            return Ok(());
        }
        for found in others {
            if self.try_file(&found).await.is_err() {
                tokio::spawn(self.clone().deploy_in_time(Vec::new(), vec![found]));
            }
        }
        Ok(())
    }

    /// Deploys what changes in the folder, until the host ends.
    pub async fn follow_folder(self, mut watch: Watch) {
        let stop = self.stop.clone();
        let follow = async {
            while let Some(changes) = watch.next().await {
                match self.store.tasks().run("plugin folder", self.take(changes)).await {
                    Some(Ok((upcasters, others))) => drop(tokio::spawn(self.clone().deploy_in_time(upcasters, others))),
                    Some(Err(fault)) => {
                        tracing::error!("what changed in the plugin folder could not be deployed: {fault}");
                    }
                    // The log has its panic.
                    None => {}
                }
            }
        };
        stop.run_until_cancelled(follow).await;
    }

    /// Admits what has changed, and lists it; gives what is to be deployed, upcasters apart.
    async fn take(&self, changes: Vec<Change>) -> Result<(Vec<Found>, Vec<Found>), Fault> {
        let mut found: Vec<(Entry, Vec<u8>)> = Vec::new();
        let mut waiting = Waiting::default();
        for change in changes {
            self.files.changed(file_of(&change));
            match change {
                Change::Gone { file } => {
                    while let Err(fault) = self.is_gone(&file).await {
                        waiting.for_it(&[&file], fault).await?;
                    }
                }
                Change::Unreadable { file, bytes, reason } => {
                    let entry = Entry { file, bytes, digest: None, outcome: Err(reason) };
                    tracing::error!(file = entry.file, "plugin refused: {}", reason_of(&entry));
                    self.plugins.put(PluginInfo::of(&entry, Source::Folder));
                }
                Change::Found { file, bytes } => {
                    let entry = self.admit(&file, bytes.clone()).await?;
                    found.push((entry, bytes));
                }
            }
        }
        self.reject(&mut found);
        let mut outcome = self.skip_unchanged(&mut found).await;
        while let Err(fault) = outcome {
            let files: Vec<&str> = found.iter().map(|(entry, _)| entry.file.as_str()).collect();
            waiting.for_it(&files, fault).await?;
            outcome = self.skip_unchanged(&mut found).await;
        }
        let found = found.into_iter().map(|(entry, bytes)| {
            let change = self.files.latest(&entry.file);
            Found { entry, bytes, change }
        });
        Ok(found.partition(|found| found.entry.outcome.as_ref().is_ok_and(|admitted| upcaster(admitted).is_some())))
    }

    /// Deploys files, upcasters first, so that projections that come with them are built with
    /// them. Nobody is there to try again later, so whatever is in the way is waited for, for as
    /// long as it takes; each projection for itself.
    async fn deploy_in_time(self, mut upcasters: Vec<Found>, others: Vec<Found>) {
        let stop = self.stop.clone();
        let deploy = async {
            let mut waiting = Waiting::default();
            while let Err(fault) = self.try_upcasters_of(&upcasters).await {
                let files: Vec<&str> = upcasters.iter().map(|found| found.entry.file.as_str()).collect();
                if waiting.for_it(&files, fault).await.is_err() {
                    return;
                }
                upcasters.retain(|found| found.is_latest(&self.files));
            }
            let mut files = JoinSet::new();
            for found in others {
                files.spawn(self.clone().deploy_file(found));
            }
            files.join_all().await;
        };
        stop.run_until_cancelled(deploy).await;
    }

    async fn deploy_file(self, found: Found) {
        let mut waiting = Waiting::default();
        while found.is_latest(&self.files) {
            let turn = self.files.turns.acquire().await;
            let outcome = self.try_file(&found).await;
            drop(turn);
            let Err(fault) = outcome else { return };
            if waiting.for_it(&[&found.entry.file], fault).await.is_err() {
                return;
            }
        }
    }

    /// Deploys a file; what is refused is listed and logged. A fault is one that passes.
    async fn try_file(&self, Found { entry, bytes, .. }: &Found) -> Result<(), Fault> {
        let deployed = self.deploy_entry(entry, bytes, Source::Folder, DeployOptions::default(), FOLDER);
        match Box::pin(deployed).await {
            Err(fault) if fault.is_passing() => Err(fault),
            _ => Ok(()),
        }
    }

    /// Refuses files that contradict each other, or a file that is there already.
    fn reject(&self, found: &mut Vec<(Entry, Vec<u8>)>) {
        found.sort_by(|(one, _), (other, _)| one.file.cmp(&other.file));
        let (mut entries, bytes): (Vec<Entry>, Vec<Vec<u8>>) = std::mem::take(found).into_iter().unzip();
        reject_twins(&mut entries);
        reject_superseded(&mut entries);
        reject_clashes(&mut entries);
        for entry in &mut entries {
            let info = PluginInfo::of(entry, Source::Folder);
            let is_twin = |other: &PluginInfo| {
                other.source == Source::Folder.as_str()
                    && other.status == PluginStatus::Active
                    && other.file != entry.file
                    && other.claims_the_same_as(&info)
            };
            if let Some(other) = self.plugins.get().into_iter().find(is_twin) {
                entry.reject_beside(other.file, other.digest == info.digest);
            }
        }
        *found = entries.into_iter().zip(bytes).collect();
    }

    /// A file that is as it was when it was deployed is not deployed again: something
    /// else may have taken its place since, and a restart must not undo that.
    async fn skip_unchanged(&self, found: &mut Vec<(Entry, Vec<u8>)>) -> Result<(), Fault> {
        let (seen, running) = (self.read_model.seen_files().await?, self.running_digests().await?);
        let is_unchanged = |entry: &Entry| {
            let is_it = |seen: &SeenFile| {
                seen.source == Source::Folder && seen.file == entry.file && Some(seen.digest) == entry.digest
            };
            entry.outcome.is_ok() && seen.iter().any(is_it)
        };
        let (unchanged, rest): (Vec<_>, Vec<_>) =
            std::mem::take(found).into_iter().partition(|(entry, _)| is_unchanged(entry));
        *found = rest;
        for (entry, _) in unchanged {
            let mut info = PluginInfo::of(&entry, Source::Folder);
            if let Some(digest) = entry.digest {
                info.status = status_of(digest, &running);
            }
            self.plugins.put(info);
        }
        Ok(())
    }

    /// Deploys upcasters as one; if that is refused, all are listed so. A fault is one that passes.
    async fn try_upcasters_of(&self, found: &[Found]) -> Result<(), Fault> {
        let admitted: Vec<Admitted> =
            found.iter().filter_map(|found| found.entry.outcome.as_ref().ok().cloned()).collect();
        if admitted.is_empty() {
            return Ok(());
        }
        for Found { entry, bytes, .. } in found {
            if let Some(digest) = entry.digest {
                self.read_model.keep_plugin(digest, bytes).await?;
            }
        }
        let outcome = self.deploy_upcasters(&admitted, FOLDER).await;
        if let Err(fault) = outcome.as_ref()
            && fault.is_passing()
        {
            return outcome.map(drop);
        }
        for Found { entry, .. } in found {
            let mut info = PluginInfo::of(entry, Source::Folder);
            match (&outcome, entry.digest) {
                (Ok(_), Some(digest)) => {
                    info.status = PluginStatus::Active;
                    self.supersede(&info);
                    let seen = SeenFile { file: entry.file.clone(), source: Source::Folder, digest };
                    self.read_model.saw_file(&seen).await?;
                }
                (Err(fault), _) => {
                    tracing::error!(file = entry.file, code = fault.code(), "plugin refused: {fault}");
                    info.refuse(fault.code(), fault.to_string());
                }
                (Ok(_), None) => {}
            }
            self.plugins.put(info);
        }
        Ok(())
    }

    async fn is_gone(&self, file: &str) -> Result<(), Fault> {
        self.read_model.forget_file(file, Source::Folder).await?;
        tracing::info!(file, "plugin file is gone; what it was deployed as runs on");
        self.plugins.remove(file, Source::Folder);
        Ok(())
    }

    /// Lists a plugin that came before the host started, or to another one.
    async fn list_upload(&self, seen: &SeenFile, running: &[Digest]) -> Result<(), Fault> {
        if let Some(bytes) = self.read_model.plugin(seen.digest).await? {
            let entry = self.admit(&seen.file, bytes).await?;
            let mut info = PluginInfo::of(&entry, seen.source);
            if entry.outcome.is_ok() {
                info.status = status_of(seen.digest, running);
            }
            self.plugins.put(info);
        }
        Ok(())
    }

    /// Lists the plugins that came to other hosts, and those that are out of date by it.
    pub(super) async fn follow_files(&self) -> Result<(), Fault> {
        let running = self.running_digests().await?;
        for seen in self.read_model.seen_files().await? {
            let is_it = |known: &PluginInfo| known.file == seen.file && known.source == seen.source.as_str();
            let known = self.plugins.get().into_iter().find(is_it);
            let is_settled = |status| matches!(status, PluginStatus::Active | PluginStatus::Superseded);
            if known.is_none_or(|known| is_settled(known.status) && known.digest != seen.digest.to_string()) {
                self.list_upload(&seen, &running).await?;
            }
        }
        self.list_what_runs().await
    }

    /// What runs the versions that there are, and the upcasters in force.
    pub(super) async fn running_digests(&self) -> Result<Vec<Digest>, Fault> {
        let versions = self.read_model.versions().await?;
        let in_force = self.read_model.upcaster_sets().await?.pop().map(|set| set.digests).unwrap_or_default();
        Ok(versions.iter().map(|known| known.digest).chain(in_force).collect())
    }
}

/// Whether a plugin that was deployed before is among those that run.
pub(super) fn status_of(digest: Digest, running: &[Digest]) -> PluginStatus {
    if running.contains(&digest) { PluginStatus::Active } else { PluginStatus::Superseded }
}

fn file_of(change: &Change) -> &str {
    match change {
        Change::Found { file, .. } | Change::Unreadable { file, .. } | Change::Gone { file } => file,
    }
}

fn reason_of(entry: &Entry) -> String {
    entry.outcome.as_ref().err().map(ToString::to_string).unwrap_or_default()
}
