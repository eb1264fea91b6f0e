//! The bytes of plugins, by digest, and what was last seen under the names of files.

use uuid::Uuid;

use crate::control::hosts::{fence_others, last_events_beyond};
use crate::control::operations::note;
use crate::control::writing::Writing;
use crate::schema::fits::STATEMENT_BYTES;
use crate::{Error, NewOperation, Outcome, ReadModel};
use database::{Row, Session, query};
use model::change::Digest;
use model::event::{Position, Timestamp};

/// In microseconds.
const DAY: i64 = 86_400_000_000;

/// Where a plugin file came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The plugin folder.
    Folder,
    /// An upload.
    Upload,
}

impl Source {
    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Upload => "upload",
        }
    }
}

/// What was last seen under the name of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFile {
    pub file: String,
    pub source: Source,
    pub digest: Digest,
}

/// Upcasters that work together, for events after a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpcasterSet {
    /// From 1; a later set has a higher number.
    pub number: u32,
    pub effective_after: Position,
    pub digests: Vec<Digest>,
}

/// A change of the set of upcasters that has begun. Dropped, nothing is changed.
#[derive(Debug)]
pub struct UpcasterChange {
    writing: Writing,
    /// The last events that other hosts have folded, with the set of before, beyond where this one
    /// has read. One that is not in the store is of a history before that was restored.
    pub ahead: Vec<(Position, Uuid)>,
}

impl UpcasterChange {
    /// Notes that from now on, for events after `effective_after`, these upcasters work
    /// together; and who wanted it. Gives the set, and the number of the operation.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record(
        mut self,
        effective_after: Position,
        digests: &[Digest],
        operation: NewOperation,
    ) -> Result<(UpcasterSet, i64), Error> {
        let texts: Vec<String> = digests.iter().map(ToString::to_string).collect();
        let next = query("SELECT coalesce(max(number), 0) + 1 AS number FROM fantascope_upcaster_sets");
        let number = next.one(&mut self.writing).await?.number("number")?;
        query("INSERT INTO fantascope_upcaster_sets (number, effective_after, digests, since) VALUES (?, ?, ?, ?)")
            .bind(number)
            .bind(effective_after.to_sql())
            .bind(serde_json::Value::from(texts).to_string())
            .bind(Timestamp::now().0)
            .execute(&mut self.writing)
            .await?;
        let operation = NewOperation { position: Some(effective_after), ..operation };
        let noted = note(&mut self.writing, &operation, Outcome::Done).await?;
        self.writing.commit().await?;
        Ok((UpcasterSet { number, effective_after, digests: digests.to_vec() }, noted))
    }
}

impl ReadModel {
    /// Keeps the bytes of a plugin.
    ///
    /// # Errors
    /// [`Error::PluginTooLarge`] if no statement can have so many.
    pub async fn keep_plugin(&self, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        let most = self.database.statement_bytes_max().saturating_sub(STATEMENT_BYTES);
        if bytes.len() > most {
            return Err(Error::PluginTooLarge { bytes: bytes.len(), most });
        }
        let mut writing = self.begin().await?;
        let again = writing.dialect().on_conflict(&["digest".into()], &["admitted_at".into()]);
        query(format!("INSERT INTO fantascope_plugins (digest, bytes, admitted_at) VALUES (?, ?, ?){again}"))
            .bind(digest.to_string())
            .bind(bytes.to_vec())
            .bind(Timestamp::now().0)
            .execute(&mut writing)
            .await?;
        writing.commit().await
    }

    /// The bytes of a plugin, if they are kept.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn plugin(&self, digest: Digest) -> Result<Option<Vec<u8>>, Error> {
        let mut connection = self.database.read().await?;
        let kept = query("SELECT bytes FROM fantascope_plugins WHERE digest = ?").bind(digest.to_string());
        let kept = kept.optional(&mut connection).await?;
        Ok(kept.map(|row| row.get("bytes")).transpose()?)
    }

    /// Remembers what is seen under the name of a file.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn saw_file(&self, seen: &SeenFile) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        remember(&mut writing, seen).await?;
        writing.commit().await
    }

    /// Forgets a file.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_file(&self, file: &str, source: Source) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        query("DELETE FROM fantascope_plugin_files WHERE file = ? AND source = ?")
            .bind(file.to_owned())
            .bind(source.as_str())
            .execute(&mut writing)
            .await?;
        writing.commit().await
    }

    /// All files, by name.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn seen_files(&self) -> Result<Vec<SeenFile>, Error> {
        let mut connection = self.database.read().await?;
        let rows = query("SELECT file, source, digest FROM fantascope_plugin_files ORDER BY file");
        let rows = rows.all(&mut connection).await?;
        let mut seen = Vec::new();
        for row in &rows {
            let source = match row.get::<String>("source")?.as_str() {
                "folder" => Source::Folder,
                "upload" => Source::Upload,
                // Of a newer program.
                _ => continue,
            };
            seen.push(SeenFile { file: row.get("file")?, source, digest: digest(row.get("digest")?)? });
        }
        Ok(seen)
    }

    /// Begins to change the set of upcasters, where this host has read up to `position`. Other
    /// hosts write nothing more before they have heard of the change.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn change_upcasters(&self, position: Position) -> Result<UpcasterChange, Error> {
        let mut writing = self.begin().await?;
        fence_others(&mut writing, &self.host).await?;
        let ahead = last_events_beyond(&mut writing, position).await?;
        Ok(UpcasterChange { writing, ahead })
    }

    /// All sets that some version still reads with, by number; the last one is in force.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn upcaster_sets(&self) -> Result<Vec<UpcasterSet>, Error> {
        let mut connection = self.database.read().await?;
        sets(&mut connection).await
    }
}

/// Remembers what is seen under the name of a file.
pub(crate) async fn remember(connection: &mut dyn Session, seen: &SeenFile) -> Result<(), Error> {
    let again =
        connection.dialect().on_conflict(&["file".into(), "source".into()], &["digest".into(), "seen_at".into()]);
    query(format!("INSERT INTO fantascope_plugin_files (file, source, digest, seen_at) VALUES (?, ?, ?, ?){again}"))
        .bind(seen.file.clone())
        .bind(seen.source.as_str())
        .bind(seen.digest.to_string())
        .bind(Timestamp::now().0)
        .execute(connection)
        .await?;
    Ok(())
}

async fn sets(connection: &mut dyn Session) -> Result<Vec<UpcasterSet>, Error> {
    let rows = query("SELECT number, effective_after, digests FROM fantascope_upcaster_sets ORDER BY number");
    let set = |row: &Row| {
        let digests: Vec<String> =
            serde_json::from_str(&row.get::<String>("digests")?).map_err(|fault| sqlx::Error::Decode(fault.into()))?;
        Ok(UpcasterSet {
            number: row.number("number")?,
            effective_after: Position::from_sql(row.get("effective_after")?),
            digests: digests.into_iter().map(digest).collect::<Result<_, Error>>()?,
        })
    };
    rows.all(connection).await?.iter().map(set).collect()
}

/// Drops the bytes that nothing runs and no file holds any more, a day after they came.
pub(crate) async fn forget_unused_plugins(connection: &mut dyn Session) -> Result<(), Error> {
    let unused = query(
        "SELECT digest FROM fantascope_plugins WHERE admitted_at < ? \
         AND digest NOT IN (SELECT digest FROM fantascope_versions WHERE state <> 'retired') \
         AND digest NOT IN (SELECT digest FROM fantascope_plugin_files)",
    );
    let unused = unused.bind(Timestamp::now().0 - DAY).all(connection).await?;
    let in_sets: Vec<Digest> = sets(connection).await?.into_iter().flat_map(|set| set.digests).collect();
    for row in unused {
        let unused = digest(row.get("digest")?)?;
        if !in_sets.contains(&unused) {
            let forget = query("DELETE FROM fantascope_plugins WHERE digest = ?");
            forget.bind(unused.to_string()).execute(connection).await?;
        }
    }
    Ok(())
}

fn digest(text: String) -> Result<Digest, Error> {
    text.parse().map_err(|reason: String| Error::Database(sqlx::Error::Decode(reason.into())))
}
