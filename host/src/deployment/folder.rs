//! The plugin folder: what comes, changes and goes there.

use std::time::Duration;

use super::deployments::FOLDER;
use super::upcasters::upcaster;
use super::{DeployOptions, Deployments, Fault, PluginInfo, PluginStatus};
use crate::catalogue::{Change, Entry, Watch, reject_clashes, reject_superseded, reject_twins};
use crate::change::Digest;
use crate::guest::Admitted;
use crate::read_model::{SeenFile, Source};

/// How long an operation is waited for that is in the way of a file.
const BUSY: Duration = Duration::from_millis(500);
const BUSY_TRIES: usize = 240;

impl Deployments {
    /// Deploys what the folder holds at the start.
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
        self.take(changes).await
    }

    /// Deploys what changes in the folder, until the host ends.
    pub async fn follow_folder(self, mut watch: Watch) {
        let stop = self.stop.clone();
        let follow = async {
            while let Some(changes) = watch.next().await {
                if let Some(Err(fault)) = self.store.tasks().run("plugin folder", self.take(changes)).await {
                    tracing::error!("what changed in the plugin folder could not be deployed: {fault}");
                }
            }
        };
        stop.run_until_cancelled(follow).await;
    }

    async fn take(&self, changes: Vec<Change>) -> Result<(), Fault> {
        let mut found: Vec<(Entry, Vec<u8>)> = Vec::new();
        for change in changes {
            match change {
                Change::Gone { file } => self.is_gone(&file).await?,
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
        self.skip_unchanged(&mut found).await?;
        let (upcasters, others): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|(entry, _)| entry.outcome.as_ref().is_ok_and(|admitted| upcaster(admitted).is_some()));
        // First, so that projections that come with them are built with them.
        self.take_upcasters(&upcasters).await?;
        for (entry, bytes) in others {
            self.take_one(&entry, &bytes).await;
        }
        Ok(())
    }

    /// Nobody is there to try again later, so an operation that is under way is waited for.
    async fn take_one(&self, entry: &Entry, bytes: &[u8]) {
        for _ in 0..BUSY_TRIES {
            // A refusal is listed and logged.
            let outcome = self.deploy_entry(entry, bytes, Source::Folder, DeployOptions::default(), FOLDER).await;
            if !matches!(outcome, Err(Fault::Busy { .. })) {
                return;
            }
            tokio::time::sleep(BUSY).await;
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
        let seen = self.read_model.seen_files().await?;
        let is_unchanged = |entry: &Entry| {
            let is_it = |seen: &SeenFile| {
                seen.source == Source::Folder && seen.file == entry.file && Some(seen.digest) == entry.digest
            };
            entry.outcome.is_ok() && seen.iter().any(is_it)
        };
        let (unchanged, rest): (Vec<_>, Vec<_>) =
            std::mem::take(found).into_iter().partition(|(entry, _)| is_unchanged(entry));
        *found = rest;
        if unchanged.is_empty() {
            return Ok(());
        }
        let running = self.running_digests().await?;
        for (entry, _) in unchanged {
            let mut info = PluginInfo::of(&entry, Source::Folder);
            if let Some(digest) = entry.digest {
                info.status = status_of(digest, &running);
            }
            self.plugins.put(info);
        }
        Ok(())
    }

    async fn take_upcasters(&self, found: &[(Entry, Vec<u8>)]) -> Result<(), Fault> {
        let admitted: Vec<Admitted> =
            found.iter().filter_map(|(entry, _)| entry.outcome.as_ref().ok().cloned()).collect();
        if admitted.is_empty() {
            return Ok(());
        }
        for (entry, bytes) in found {
            if let Some(digest) = entry.digest {
                self.read_model.keep_plugin(digest, bytes).await?;
            }
        }
        let mut outcome = self.deploy_upcasters(&admitted, FOLDER).await;
        for _ in 0..BUSY_TRIES {
            if !matches!(outcome, Err(Fault::Busy { .. })) {
                break;
            }
            tokio::time::sleep(BUSY).await;
            outcome = self.deploy_upcasters(&admitted, FOLDER).await;
        }
        for (entry, _) in found {
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
        tracing::info!(file, "plugin file is gone; what it was deployed as runs on");
        self.plugins.remove(file, Source::Folder);
        Ok(self.read_model.forget_file(file, Source::Folder).await?)
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
