//! A plugin is taken away.

use super::deployments::{standing, those_there_are};
use super::{Deployments, Fault, PluginInfo, PluginStatus};
use read_model::{NewOperation, Outcome, Source, VersionRecord};

impl Deployments {
    /// Takes away the plugin of a file, which is one version, or of a name, which is all of
    /// them. What is live goes only if `force` is said, and then all of the projection:
    /// views, tables and versions. Its events stay.
    ///
    /// # Errors
    /// If there is no such plugin, or it is live.
    pub async fn remove(&self, file_or_name: &str, force: bool, actor: &str) -> Result<PluginInfo, Fault> {
        let all = self.plugins.get();
        let by_file = all.iter().find(|known| known.file == file_or_name);
        let by_name = || {
            let named = all.iter().filter(|known| known.name.as_deref() == Some(file_or_name));
            named.max_by_key(|known| (known.status == PluginStatus::Active, known.version))
        };
        let Some(info) = by_file.or_else(by_name).cloned() else {
            let known: Vec<&str> = all.iter().map(|known| known.file.as_str()).collect();
            return Err(Fault::UnknownPlugin { name: file_or_name.to_owned(), known: those_there_are(&known) });
        };
        let version = if by_file.is_some() { info.version } else { None };
        if info.status == PluginStatus::Active {
            match (info.kind.as_deref(), &info.name) {
                (Some("upcaster"), Some(name)) => drop(self.remove_upcaster(name, actor).await?),
                (Some("projection"), Some(name)) => self.remove_projection(name, version, force, actor).await?,
                _ => {}
            }
        }
        for known in
            all.iter().filter(|known| known.file == info.file || (by_file.is_none() && known.name == info.name))
        {
            self.forget(known.clone()).await?;
        }
        Ok(info)
    }

    /// What was uploaded is forgotten. A file in the folder stays there: it is known as it
    /// is, and deployed again only when it changes.
    async fn forget(&self, mut info: PluginInfo) -> Result<(), Fault> {
        if info.source == Source::Upload.as_str() {
            self.plugins.remove(&info.file, Source::Upload);
            return Ok(self.read_model.forget_file(&info.file, Source::Upload).await?);
        }
        info.status = PluginStatus::Superseded;
        self.plugins.put(info);
        Ok(())
    }

    /// Takes one version away, or all of them.
    async fn remove_projection(&self, name: &str, version: Option<u32>, force: bool, actor: &str) -> Result<(), Fault> {
        let _exclusive = self.exclusively(name, "a removal").await?;
        let versions = self.versions_of(name).await?;
        let is_meant = |known: &VersionRecord| version.is_none_or(|version| version == known.id.version);
        let live = standing(&versions).into_iter().find(|known| known.live && is_meant(known));
        let is_all = live.is_some();
        for version in versions.iter().filter(|known| is_all || is_meant(known)) {
            version.expect_known()?;
        }
        if let Some(live) = &live {
            if !force {
                return Err(Fault::Live { id: live.id.clone(), advice: "promote another version first, or say force" });
            }
            for version in &versions {
                self.projections.end(&version.id).await;
            }
        }
        let going: Vec<&VersionRecord> = versions.iter().filter(|known| is_all || is_meant(known)).collect();
        // It is one operation, whatever goes with it, noted with the first that goes.
        let Some(first) = live.as_ref().or(going.first().copied()) else { return Ok(()) };
        let labels: Vec<String> = going.iter().map(|known| known.id.label().to_string()).collect();
        let detail = format!("builds: {}", labels.join(", "));
        let from = Some(first.digest);
        let mut operation = Some(NewOperation { from, detail, ..NewOperation::on("remove", &first.id, actor) });
        if let Some(live) = &live {
            self.read_model.remove_live(&live.id, operation.take().unwrap_or_default()).await?;
        }
        for version in going {
            self.retire(&version.id, operation.take()).await?;
        }
        tracing::info!(projection = name, outcome = %Outcome::Done, "was removed");
        Ok(())
    }
}
