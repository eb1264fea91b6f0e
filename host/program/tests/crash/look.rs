//! What a database says of versions, and whether that can be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fantascope::route::Partition;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

/// Per aggregate: events, and the sum of their `n`.
type Sums = BTreeMap<String, (i64, i64)>;

/// Versions that were live and are kept.
pub(crate) const KEPT: usize = 1;

/// A version that was ever made.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) projection: String,
    pub(crate) version: u32,
    pub(crate) generation: u32,
    pub(crate) digest: String,
    pub(crate) state: String,
    pub(crate) paused: bool,
    pub(crate) live: bool,
    pub(crate) was_live: bool,
    pub(crate) as_of: Option<i64>,
    /// It is to take over by itself.
    promote: Option<String>,
    /// Of each partition, how far it is folded.
    pub(crate) checkpoints: Vec<i64>,
    tables: Vec<String>,
}

/// An entry of the log of operations.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: i64,
    pub(crate) operation: String,
    pub(crate) outcome: String,
    subject: String,
    version: Option<u32>,
    generation: Option<u32>,
    to_digest: Option<String>,
}

/// What stands in a database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) versions: Vec<Version>,
    /// The first one first.
    pub(crate) operations: Vec<Operation>,
    /// The last position of the store, and how many events there are.
    pub(crate) head: i64,
    pub(crate) events: i64,
    /// Projections with a live pointer, and where it points to.
    live: Vec<(String, u32, u32)>,
    /// Tables and views of projections with their SQL, and indexes.
    schema: BTreeMap<String, (String, String)>,
}

impl Version {
    /// `v1g2`.
    pub(crate) fn label(&self) -> String {
        format!("v{}g{}", self.version, self.generation)
    }

    /// As the host names it.
    pub(crate) fn name(&self) -> String {
        let generation = if self.generation == 1 { String::new() } else { format!("g{}", self.generation) };
        format!("{} v{}{generation}", self.projection, self.version)
    }

    pub(crate) fn stands(&self) -> bool {
        self.state != "retired"
    }

    /// A build that is neither retired nor of the past.
    pub(crate) fn is_current(&self) -> bool {
        self.stands() && self.as_of.is_none()
    }

    fn physical(&self, table: &str) -> String {
        format!("{}__{table}__v{}g{}", self.projection, self.version, self.generation)
    }
}

impl Operation {
    pub(crate) fn is(&self, operation: &str, outcome: &str) -> bool {
        self.operation == operation && self.outcome == outcome
    }

    fn is_on(&self, version: &Version) -> bool {
        (self.subject.as_str(), self.version, self.generation)
            == (version.projection.as_str(), Some(version.version), Some(version.generation))
    }

    fn is_build(&self) -> bool {
        ["deploy", "rebuild", "rebuild_as_of"].contains(&self.operation.as_str())
    }
}

impl Look {
    /// The version that `operation` was done to.
    pub(crate) fn version_of(&self, operation: &Operation) -> Option<&Version> {
        self.versions.iter().find(|version| operation.is_on(version))
    }

    /// Operations that ran when the host went away, and are not taken up again.
    pub(crate) fn cut_off(&self) -> Vec<&Operation> {
        let is_building = |version: &Version| version.state == "building";
        let goes_on = |operation: &Operation| self.version_of(operation).is_some_and(is_building);
        let running = self.operations.iter().filter(|operation| operation.outcome == "running");
        running.filter(|operation| !goes_on(operation)).collect()
    }

    /// Whether `later` has one of `operations` that was not there before.
    pub(crate) fn is_followed_by(&self, operations: &[&str], later: &Self) -> bool {
        let last = self.operations.last().map_or(0, |operation| operation.id);
        later.operations.iter().any(|new| new.id > last && operations.contains(&new.operation.as_str()))
    }

    /// Whether the host has something to retire.
    pub(crate) fn keeps_too_many(&self) -> bool {
        let previous = |version: &&Version| version.is_current() && version.was_live && !version.live;
        self.versions.iter().filter(previous).count() > KEPT
    }

    /// Whether the host has something left to do by itself.
    pub(crate) fn is_at_work(&self) -> bool {
        let live = self.live.first().map_or((0, 0), |live| (live.1, live.2));
        self.keeps_too_many()
            || self.versions.iter().filter(|version| version.stands()).any(|version| {
                let waits = version.promote.is_some() && (version.version, version.generation) > live;
                version.state == "building" || waits
            })
    }

    /// All that can't be, but for rows.
    fn faults(&self) -> Vec<String> {
        let mut faults = self.schema_faults();
        faults.extend(self.live_faults());
        for version in &self.versions {
            faults.extend(self.version_faults(version).into_iter().map(|fault| format!("{}: {fault}", version.name())));
        }
        faults
    }

    /// Every version that is not retired has all its tables, the live one is what the
    /// stable names show, and there is nothing else.
    fn schema_faults(&self) -> Vec<String> {
        let mut expected: BTreeMap<String, String> = BTreeMap::new();
        for version in self.versions.iter().filter(|version| version.stands()) {
            for table in &version.tables {
                let physical = version.physical(table);
                let shows = |view: &str| format!("CREATE VIEW \"{view}\" AS SELECT * FROM \"{physical}\"");
                let stable = format!("{}_{table}", version.projection);
                if let Some(position) = version.as_of {
                    let view = format!("{stable}__as_of_{position}__{}", version.label());
                    expected.insert(view.clone(), shows(&view));
                }
                if version.live {
                    expected.insert(stable.clone(), shows(&stable));
                }
                expected.insert(physical, String::new());
            }
        }
        let rows = self.schema.iter().filter(|(_, (kind, _))| kind != "index");
        let found: BTreeMap<&String, &String> = rows.map(|(name, (_, sql))| (name, sql)).collect();
        let names: BTreeSet<&String> = expected.keys().chain(found.keys().copied()).collect();
        let mut faults = Vec::new();
        for name in names {
            match (expected.get(name), found.get(name)) {
                (Some(_), None) => faults.push(format!("`{name}` is missing")),
                (None, Some(_)) => faults.push(format!("`{name}` belongs to nobody")),
                (Some(sql), Some(found)) if !sql.is_empty() && sql != *found => {
                    faults.push(format!("`{name}` is `{found}`, not `{sql}`"));
                }
                _ => {}
            }
        }
        faults
    }

    /// One version of each projection is live, and it is the one that the log says.
    fn live_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let projections: BTreeSet<&String> = self.versions.iter().map(|version| &version.projection).collect();
        for projection in projections {
            let live: Vec<String> = self.live.iter().filter(|live| live.0 == *projection).map(label_of).collect();
            let ours = || self.operations.iter().filter(|operation| operation.subject == **projection);
            let switched = ours().rfind(|known| known.is("promote", "done") || known.is("rollback", "done"));
            let said = switched.or_else(|| ours().find(|known| known.operation == "deploy"));
            let said: Vec<String> =
                said.and_then(|said| self.version_of(said)).map(Version::label).into_iter().collect();
            if live != said {
                faults.push(format!("{projection}: {live:?} is live, but the log says {said:?}"));
            }
        }
        let is_known = |live: &(String, u32, u32)| {
            self.versions.iter().any(|version| {
                version.live
                    && version.stands()
                    && (&version.projection, version.version, version.generation) == (&live.0, live.1, live.2)
            })
        };
        let lost = self.live.iter().filter(|live| !is_known(live));
        faults.extend(lost.map(|live| format!("{} {} is live and does not stand", live.0, label_of(live))));
        faults
    }

    /// What the log says of a version is how it stands.
    fn version_faults(&self, version: &Version) -> Vec<String> {
        let ours = || self.operations.iter().filter(|operation| operation.is_on(version));
        let mut faults = Vec::new();
        let mut expect = |holds: bool, fault: &str| {
            if !holds {
                faults.push(format!("{fault}: {version:?}, {:?}", ours().collect::<Vec<_>>()));
            }
        };
        let builds: Vec<&Operation> = ours().filter(|known| known.is_build()).collect();
        expect(builds.len() == 1, "was not built once");
        let running = builds.iter().any(|build| build.outcome == "running");
        expect(running == (version.state == "building"), "is building, or a build runs, but not both");
        let gone = ours().any(|known| known.is("cancel", "done") || known.is("retire", "done"));
        expect(gone != version.stands(), "is retired, or was to be, but not both");
        let paused = ours().rfind(|known| known.is("pause", "done") || known.is("resume", "done"));
        expect(
            version.paused == paused.is_some_and(|last| last.operation == "pause"),
            "is paused, or was, but not both",
        );
        let code = ours().rfind(|known| known.is("swap", "done")).or(builds.first().copied());
        let code = code.and_then(|known| known.to_digest.as_ref());
        expect(code == Some(&version.digest), "does not run what was deployed last");
        expect(!version.live || version.was_live, "is live, but was never made so");
        let last = version.checkpoints.iter().max().copied().unwrap_or(-1);
        expect((0..=version.as_of.unwrap_or(self.head)).contains(&last), "has folded what is not there");
        let indexed =
            version.tables.iter().all(|table| self.schema.contains_key(&format!("{}__i1", version.physical(table))));
        expect(version.state != "ready" || indexed, "is ready without its index");
        faults
    }
}

fn label_of(live: &(String, u32, u32)) -> String {
    format!("v{}g{}", live.1, live.2)
}

/// Looks into a database, past any host.
pub(crate) fn look(data: &Path) -> Look {
    block_on(async { read(&mut open(data).await?).await }).expect("a database to look into")
}

/// Looks into a database, and names all that can't be: what does not agree with what,
/// and rows that are not what the events up to their checkpoint add up to. `factor`
/// tells what the code with a digest multiplies with.
pub(crate) fn check(data: &Path, factor: impl Fn(&str) -> i64) -> (Look, Vec<String>) {
    let checked = block_on(async {
        let mut connection = open(data).await?;
        let look = read(&mut connection).await?;
        let mut faults = look.faults();
        if faults.is_empty() {
            for version in look.versions.iter().filter(|version| version.stands()) {
                let folded = folded(&mut connection, version, factor(&version.digest)).await?;
                let rows = rows(&mut connection, &version.physical("counts")).await?;
                if rows != folded {
                    faults.push(format!("{version:?}: its rows are\n{rows:?}, but the events add up to\n{folded:?}"));
                }
            }
        }
        Ok((look, faults))
    });
    checked.expect("a database to look into")
}

fn block_on<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn open(data: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new().filename(data).read_only(true).connect().await
}

async fn read(connection: &mut SqliteConnection) -> sqlx::Result<Look> {
    // All of it at one moment, should a host be at work.
    let mut moment = connection.begin().await?;
    let live: Vec<(String, u32, u32)> =
        sqlx::query_as("SELECT projection, version, generation FROM fantascope_live").fetch_all(&mut *moment).await?;
    let versions = sqlx::query(
        "SELECT v.*, (SELECT json_group_array(position ORDER BY partition) FROM fantascope_checkpoints c \
            WHERE (c.projection, c.version, c.generation) = (v.projection, v.version, v.generation)) AS checkpoints \
         FROM fantascope_versions v ORDER BY projection, version, generation",
    )
    .fetch_all(&mut *moment)
    .await?;
    let operations = sqlx::query("SELECT * FROM fantascope_operations ORDER BY id").fetch_all(&mut *moment).await?;
    let schema: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT name, type, coalesce(sql, '') FROM sqlite_schema WHERE name LIKE 'slides%' AND type <> 'trigger'",
    )
    .fetch_all(&mut *moment)
    .await?;
    let (head, events) =
        sqlx::query_as("SELECT coalesce(max(position), 0), count(*) FROM events").fetch_one(&mut *moment).await?;
    moment.rollback().await?;
    Ok(Look {
        versions: versions.iter().map(|row| version(row, &live)).collect::<sqlx::Result<_>>()?,
        operations: operations.iter().map(operation).collect::<sqlx::Result<_>>()?,
        head,
        events,
        live,
        schema: schema.into_iter().map(|(name, kind, sql)| (name, (kind, sql))).collect(),
    })
}

fn version(row: &SqliteRow, live: &[(String, u32, u32)]) -> sqlx::Result<Version> {
    let decode = |fault: serde_json::Error| sqlx::Error::Decode(fault.into());
    let id: (String, u32, u32) = (row.try_get("projection")?, row.try_get("version")?, row.try_get("generation")?);
    Ok(Version {
        live: live.contains(&id),
        digest: row.try_get("digest")?,
        state: row.try_get("state")?,
        paused: row.try_get("paused")?,
        was_live: row.try_get::<Option<i64>, _>("live_from")?.is_some(),
        as_of: row.try_get("as_of")?,
        promote: row.try_get("promote")?,
        checkpoints: serde_json::from_str(row.try_get("checkpoints")?).map_err(decode)?,
        tables: names_of(row.try_get("tables")?),
        projection: id.0,
        version: id.1,
        generation: id.2,
    })
}

fn operation(row: &SqliteRow) -> sqlx::Result<Operation> {
    Ok(Operation {
        id: row.try_get("id")?,
        operation: row.try_get("operation")?,
        outcome: row.try_get("outcome")?,
        subject: row.try_get("subject")?,
        version: row.try_get("version")?,
        generation: row.try_get("generation")?,
        to_digest: row.try_get("to_digest")?,
    })
}

/// The names of tables, as a version declares them.
fn names_of(tables: &str) -> Vec<String> {
    let tables: Vec<serde_json::Value> = serde_json::from_str(tables).expect("tables");
    tables.iter().filter_map(|table| Some(table["name"].as_str()?.to_owned())).collect()
}

/// What the events up to its checkpoint add up to, each partition up to its own.
async fn folded(connection: &mut SqliteConnection, version: &Version, factor: i64) -> sqlx::Result<Sums> {
    let count = u32::try_from(version.checkpoints.len()).expect("few partitions");
    let mut sums = Sums::new();
    for (number, position) in (0..count).zip(&version.checkpoints) {
        let partition = Partition { number, count };
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT aggregate_id, count(*), sum(json_extract(event_data, '$.n')) FROM events \
             WHERE event_type = 'Slide' AND position <= ? GROUP BY aggregate_id",
        )
        .bind(position)
        .fetch_all(&mut *connection)
        .await?;
        let ours = rows.into_iter().filter(|(id, ..)| partition.of(id) == number);
        sums.extend(ours.map(|(id, events, total)| (id, (events, total * factor))));
    }
    Ok(sums)
}

async fn rows(connection: &mut SqliteConnection, table: &str) -> sqlx::Result<Sums> {
    let sql = format!("SELECT id, events, total FROM \"{table}\"");
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(id, events, total)| (id, (events, total))).collect())
}
