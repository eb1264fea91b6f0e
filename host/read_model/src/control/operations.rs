//! Who did what, when, and how it ended.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::plugins::remember;
use crate::control::writing::Writing;
use crate::{Error, ReadModel, SeenFile};
use database::{Row, Session, query};
use model::change::{Digest, VersionId};
use model::event::{Position, Timestamp};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It goes on.
    Running,
    Done,
    /// It could not be carried out; `detail` says why.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// The host went away in the middle, and it was not taken up again.
    Interrupted,
    /// A newer program has recorded an end that this one does not know.
    Unknown,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be noted of an operation that begins.
#[derive(Clone, Debug, Default)]
pub struct NewOperation {
    /// Such as `promote`.
    pub operation: &'static str,
    /// The name of the projection or upcaster.
    pub subject: String,
    pub version: Option<u32>,
    pub generation: Option<u32>,
    /// Who asked for it.
    pub actor: String,
    pub from: Option<Digest>,
    pub to: Option<Digest>,
    pub position: Option<Position>,
    /// The plugin file that is deployed by it, which is remembered with it.
    pub seen: Option<SeenFile>,
    /// For people.
    pub detail: String,
}

impl NewOperation {
    /// An operation on `id`.
    #[must_use]
    pub fn on(operation: &'static str, id: &VersionId, actor: &str) -> Self {
        Self {
            operation,
            subject: id.projection.to_string(),
            version: Some(id.version),
            generation: Some(id.generation),
            actor: actor.to_owned(),
            ..Self::default()
        }
    }
}

/// An operation, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Grows with every operation.
    pub id: i64,
    /// `deploy`, `swap`, `rebuild`, `promote`, `rollback`, `pause`, `resume`, `cancel`, `retire`, `verify`, …
    pub operation: String,
    /// The name of the projection or upcaster.
    pub subject: String,
    pub version: Option<u32>,
    pub generation: Option<u32>,
    /// Who asked for it: the name of a token, `folder` for files, `policy` for the host itself.
    pub actor: String,
    /// The name of the host that was asked, or did it by itself.
    pub host: Option<String>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub outcome: Outcome,
    /// SHA-256 of the component that ran before, and of the one that ran after.
    pub from_digest: Option<String>,
    pub to_digest: Option<String>,
    /// The position at which it took effect.
    pub position: Option<Position>,
    /// For people: what came of it.
    pub detail: String,
}

impl ReadModel {
    /// Notes that an operation has begun, and gives its number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin_operation(&self, operation: &NewOperation) -> Result<i64, Error> {
        let mut writing = self.begin().await?;
        let id = note(&mut writing, operation, Outcome::Running).await?;
        writing.commit().await?;
        Ok(id)
    }

    /// Notes an operation that is over already.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_operation(&self, operation: &NewOperation, outcome: Outcome) -> Result<i64, Error> {
        let mut writing = self.begin().await?;
        let id = note(&mut writing, operation, outcome).await?;
        writing.commit().await?;
        Ok(id)
    }

    /// Notes how operation `id` ended.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_operation(&self, id: i64, outcome: Outcome, detail: &str) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        query("UPDATE fantascope_operations SET outcome = ?, detail = ?, ended_at = ? WHERE id = ? AND outcome = 'running'")
            .bind(outcome.as_str())
            .bind(detail.to_owned())
            .bind(Timestamp::now().0)
            .bind(id)
            .execute(&mut writing)
            .await?;
        writing.commit().await
    }

    /// Notes why the building of `id`, if that goes on, has stopped for now.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_stopped(&self, id: &VersionId, reason: &str) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        query(
            "UPDATE fantascope_operations SET detail = ? \
             WHERE outcome = 'running' AND subject = ? AND version = ? AND generation = ?",
        )
        .bind(format!("has stopped: {reason}"))
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .execute(&mut writing)
        .await?;
        writing.commit().await
    }

    /// Marks as interrupted what a host left running, but for builds, which go on.
    /// Gives what was marked.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn interrupt_operations(&self) -> Result<Vec<Operation>, Error> {
        let mut writing = self.begin().await?;
        let now = self.database.dialect().now();
        let left = query(format!(
            "SELECT o.* FROM fantascope_operations o WHERE o.outcome = 'running' \
             AND NOT EXISTS (SELECT 1 FROM fantascope_hosts h WHERE h.host = o.host AND h.expires_at > {now}) \
             AND NOT EXISTS (SELECT 1 FROM fantascope_versions v WHERE v.state NOT IN ('ready', 'retired') \
                AND v.projection = o.subject AND v.version = o.version AND v.generation = o.generation) ORDER BY o.id"
        ));
        let mut interrupted = Vec::new();
        for row in left.all(&mut writing).await? {
            let mut operation = decode(&row)?;
            let now = Timestamp::now();
            query("UPDATE fantascope_operations SET outcome = 'interrupted', ended_at = ? WHERE id = ?")
                .bind(now.0)
                .bind(operation.id)
                .execute(&mut writing)
                .await?;
            (operation.outcome, operation.ended_at) = (Outcome::Interrupted, Some(now));
            interrupted.push(operation);
        }
        writing.commit().await?;
        Ok(interrupted)
    }

    /// The last `limit` operations before number `before`, the latest first; of one subject, if it is given.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn operations(
        &self,
        subject: Option<&str>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Operation>, Error> {
        let subject_is = if subject.is_some() { " AND subject = ?" } else { "" };
        let mut rows =
            query(format!("SELECT * FROM fantascope_operations WHERE id < ?{subject_is} ORDER BY id DESC LIMIT ?"))
                .bind(before.unwrap_or(i64::MAX));
        if let Some(subject) = subject {
            rows = rows.bind(subject.to_owned());
        }
        let mut connection = self.database.read().await?;
        let rows = rows.bind(i64::try_from(limit).unwrap_or(i64::MAX)).all(&mut connection).await?;
        rows.iter().map(|row| decode(row).map_err(Error::from)).collect()
    }
}

/// Notes an operation in the transaction that carries it out.
pub(crate) async fn note(writing: &mut Writing, operation: &NewOperation, outcome: Outcome) -> Result<i64, Error> {
    let now = Timestamp::now().0;
    let id = query(
        "INSERT INTO fantascope_operations (operation, subject, version, generation, actor, started_at, ended_at, \
         outcome, from_digest, to_digest, position, detail, host, host_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
         (SELECT h.name FROM fantascope_hosts h WHERE h.host = ?))",
    )
    .bind(operation.operation)
    .bind(operation.subject.clone())
    .bind(operation.version)
    .bind(operation.generation)
    .bind(operation.actor.clone())
    .bind(now)
    .bind((outcome != Outcome::Running).then_some(now))
    .bind(outcome.as_str())
    .bind(operation.from.map(|digest| digest.to_string()))
    .bind(operation.to.map(|digest| digest.to_string()))
    .bind(operation.position.map(Position::to_sql))
    .bind(operation.detail.clone())
    .bind(writing.host())
    .bind(writing.host())
    .insert_numbered(writing)
    .await?;
    if let Some(seen) = &operation.seen {
        remember(writing, seen).await?;
    }
    Ok(id)
}

/// Ends what runs on `id`, in the transaction that brings the end.
pub(crate) async fn end_running(
    connection: &mut dyn Session,
    id: &VersionId,
    outcome: Outcome,
    position: Position,
) -> Result<(), Error> {
    query(
        "UPDATE fantascope_operations SET outcome = ?, ended_at = ?, position = ? \
         WHERE outcome = 'running' AND subject = ? AND version = ? AND generation = ?",
    )
    .bind(outcome.as_str())
    .bind(Timestamp::now().0)
    .bind(position.to_sql())
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .execute(connection)
    .await?;
    Ok(())
}

fn decode(row: &Row) -> sqlx::Result<Operation> {
    let outcome: String = row.get("outcome")?;
    Ok(Operation {
        id: row.get("id")?,
        operation: row.get("operation")?,
        subject: row.get("subject")?,
        version: row.optional_number("version")?,
        generation: row.optional_number("generation")?,
        actor: row.get("actor")?,
        host: row.get("host_name")?,
        started_at: Timestamp(row.get("started_at")?),
        ended_at: row.get::<Option<i64>>("ended_at")?.map(Timestamp),
        outcome: match outcome.as_str() {
            "running" => Outcome::Running,
            "done" => Outcome::Done,
            "cancelled" => Outcome::Cancelled,
            "interrupted" => Outcome::Interrupted,
            "failed" => Outcome::Failed,
            _ => Outcome::Unknown,
        },
        from_digest: row.get("from_digest")?,
        to_digest: row.get("to_digest")?,
        position: row.get::<Option<i64>>("position")?.map(Position::from_sql),
        detail: row.get("detail")?,
    })
}
