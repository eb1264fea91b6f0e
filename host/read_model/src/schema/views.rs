//! The names under which read models are queried: views on the version that is live, and on
//! builds of the past.
//!
//! SQLite and PostgreSQL switch them in the transaction that moves the pointer to the live
//! version. MySQL can't: there the pointer is moved first, and the views follow it, all of a
//! projection at once by a single RENAME, which the server does whole or not at all. Whoever
//! comes after a host that was killed in between lets them follow.

use crate::control::record::{record, records};
use crate::control::versions::{live_version, point_live};
use crate::control::writing::Writing;
use crate::schema::ddl::{View, as_of_view, expect_length, physical_table, stable_view};
use crate::{Error, ReadModel, State};
use database::{Durability, Session, is_passing, query, quote};
use model::change::{Name, TableDefinition, VersionId};

/// SQLSTATE of PostgreSQL: other objects are made of this one.
const DEPENDED_ON: &str = "2BP01";

/// How often the views are tried to be switched while somebody who reads them is in the way.
const TRIES: u32 = 5;

impl ReadModel {
    /// Points the stable names at `id`.
    pub(crate) async fn show(
        &self,
        writing: &mut Writing,
        id: &VersionId,
        tables: &[TableDefinition],
    ) -> Result<(), Error> {
        let before = live_version(writing, &id.projection).await?;
        let old = match &before {
            Some(before) => record(writing, before).await?.tables,
            None => Vec::new(),
        };
        if self.dialect().has_transactional_ddl() {
            for table in &old {
                if !tables.iter().any(|new| new.name == table.name) {
                    let view = quote(&stable_view(&id.projection, &table.name));
                    query(format!("DROP VIEW IF EXISTS {view}")).execute(writing).await?;
                }
            }
        }
        if before.is_none() {
            point_live(writing, id).await?;
        }
        for table in tables {
            let view = View::stable(id, &table.name);
            let is_ours = old.iter().any(|old| old.name == table.name);
            if !is_ours {
                refuse_taken(writing, &id.projection, &view.name).await?;
            }
            if self.dialect().replaces_views() && is_ours {
                replace_with_grants(writing, &view, table).await?;
            } else if self.dialect().has_transactional_ddl() {
                query(format!("DROP VIEW IF EXISTS {}", quote(&view.name))).execute(writing).await?;
                query(view.create()).execute(writing).await?;
            }
        }
        Ok(())
    }

    /// Makes the name of its own under which a build of the past is read.
    pub(crate) async fn show_past(&self, writing: &mut Writing, view: &View, projection: &Name) -> Result<(), Error> {
        refuse_taken(writing, projection, &view.name).await?;
        if self.dialect().has_transactional_ddl() {
            query(view.create()).execute(writing).await?;
        }
        Ok(())
    }

    /// Takes `views` away.
    pub(crate) async fn hide(&self, writing: &mut Writing, views: &[String]) -> Result<(), Error> {
        if self.dialect().has_transactional_ddl() {
            for view in views {
                query(format!("DROP VIEW IF EXISTS {}", quote(view))).execute(writing).await?;
            }
        }
        Ok(())
    }

    /// Lets tables and views of `projection` follow what is recorded, on MySQL; elsewhere they
    /// changed with it. What is recorded holds: if somebody is in the way of the views, they
    /// follow later, by [`ReadModel::settle_left_over`].
    pub(crate) async fn settle(&self, projection: &Name) {
        if self.dialect().has_transactional_ddl() {
            return;
        }
        for _ in 0..TRIES {
            match self.settle_once(projection).await {
                Ok(()) => {
                    self.unsettled().remove(projection);
                    return;
                }
                Err(Error::Database(fault)) if is_passing(&fault) => {}
                Err(fault) => {
                    tracing::warn!(%projection, "its views do not show yet what is recorded, trying again: {fault}");
                    break;
                }
            }
        }
        if self.unsettled().insert(projection.clone()) {
            tracing::warn!(%projection, "somebody who has read its views does not end: they show later what is live");
        }
    }

    /// Lets views follow that could not before.
    pub async fn settle_left_over(&self) {
        let left: Vec<Name> = self.unsettled().iter().cloned().collect();
        for projection in left {
            self.settle(&projection).await;
        }
    }

    /// Lets all views follow what is recorded: a host that was killed may have left some behind.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn settle_all(&self) -> Result<(), Error> {
        if self.dialect().has_transactional_ddl() {
            return Ok(());
        }
        let rows = query("SELECT DISTINCT projection FROM fantascope_versions");
        for row in rows.all(&mut self.database.read().await?).await? {
            self.settle(&crate::control::record::parse_name(&row.get::<String>("projection")?)?).await;
        }
        Ok(())
    }

    fn unsettled(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeSet<Name>> {
        // Each change is one call to the set.
        self.unsettled.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn settle_once(&self, projection: &Name) -> Result<(), Error> {
        // A transaction for the turn alone: each statement below is one for itself.
        let mut writing = self.begin().await?;
        let mut definer = self.database.begin(Durability::Full).await?;
        let known = records(&mut writing, "WHERE v.projection = ?", projection.as_str()).await?;
        let mut wanted = Vec::new();
        for version in known.iter().filter(|version| version.state.is_standing()) {
            for table in &version.tables {
                match version.as_of {
                    Some(position) => wanted.push(as_of_view(&version.id, &table.name, position)),
                    None if version.live => wanted.push(View::stable(&version.id, &table.name)),
                    None => {}
                }
            }
        }
        let existing = views_of(&mut writing, projection).await?;
        let mut renames = Vec::new();
        let mut old = Vec::new();
        for view in &wanted {
            match existing.iter().find(|(name, _)| *name == view.name) {
                Some((_, definition)) if definition.contains(&format!("`{}`", view.physical)) => {}
                found => {
                    let next = quote(&format!("{}__n", view.name));
                    query(format!("DROP VIEW IF EXISTS {next}")).execute(&mut definer).await?;
                    query(View::create_named(&next, &view.physical)).execute(&mut definer).await?;
                    if found.is_some() {
                        let gone = quote(&format!("{}__o", view.name));
                        renames.push(format!("{} TO {gone}", quote(&view.name)));
                        old.push(gone);
                    }
                    renames.push(format!("{next} TO {}", quote(&view.name)));
                }
            }
        }
        if !renames.is_empty() {
            query(format!("RENAME TABLE {}", renames.join(", "))).execute(&mut definer).await?;
        }
        // Of a version that this program does not know nothing is touched.
        let foreign = known.iter().filter(|version| matches!(version.state, State::Foreign(_)));
        let foreign: Vec<String> =
            foreign.map(|version| format!("__v{}g{}`", version.id.version, version.id.generation)).collect();
        let unwanted = existing.iter().filter(|(name, definition)| {
            !wanted.iter().any(|view| view.name == *name) && !foreign.iter().any(|end| definition.contains(end))
        });
        old.extend(unwanted.map(|(name, _)| quote(name)));
        for view in old {
            query(format!("DROP VIEW IF EXISTS {view}")).execute(&mut definer).await?;
        }
        for version in known.iter().filter(|version| version.state == State::Retired) {
            for table in &version.tables {
                let table = quote(&physical_table(&version.id, &table.name));
                query(format!("DROP TABLE IF EXISTS {table}")).execute(&mut definer).await?;
            }
        }
        definer.commit().await?;
        writing.commit().await
    }
}

/// The views of `projection` that this program made, each with its definition: those that read
/// from a table of one of its versions.
async fn views_of(session: &mut dyn Session, projection: &Name) -> Result<Vec<(String, String)>, Error> {
    let rows = query(
        "SELECT table_name AS name, view_definition AS definition FROM information_schema.views \
         WHERE table_schema = database()",
    );
    let mut views = Vec::new();
    for row in rows.all(session).await? {
        let (name, definition): (String, String) = (row.get("name")?, row.get("definition")?);
        let ours = format!("{projection}_");
        if name.starts_with(&ours) && definition.contains(&format!("`{projection}__")) {
            views.push((name, definition));
        }
    }
    Ok(views)
}

/// Replaces a view by another of the same name, for which the same may do the same as before; with
/// single columns, too, if `table` has them.
async fn replace_with_grants(writing: &mut Writing, view: &View, table: &TableDefinition) -> Result<(), Error> {
    let grants = query(
        "SELECT a.privilege_type AS privilege, g.of_column::text AS of_column, \
                CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee, \
                a.is_grantable AS passed_on \
         FROM (SELECT relowner, relacl AS acl, NULL::name AS of_column FROM pg_class WHERE oid = to_regclass(?) \
               UNION ALL \
               SELECT c.relowner, t.attacl, t.attname FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid \
               WHERE c.oid = to_regclass(?)) g, \
              aclexplode(g.acl) a \
         WHERE a.grantee <> g.relowner",
    );
    let name = quote(&view.name);
    let grants = grants.bind(name.clone()).bind(name.clone()).all(writing).await?;
    let dropped = query(format!("DROP VIEW IF EXISTS {name}")).execute(writing).await;
    dropped.map_err(|fault| match fault.as_database_error().and_then(|fault| fault.code()).as_deref() {
        Some(DEPENDED_ON) => Error::ViewInUse { view: view.name.clone(), reason: fault.to_string() },
        _ if is_passing(&fault) => Error::ViewBusy { view: view.name.clone() },
        _ => fault.into(),
    })?;
    query(view.create()).execute(writing).await?;
    for grant in grants {
        let (privilege, grantee): (String, String) = (grant.get("privilege")?, grant.get("grantee")?);
        let passed_on = if grant.get::<bool>("passed_on")? { " WITH GRANT OPTION" } else { "" };
        let of = match grant.get::<Option<String>>("of_column")? {
            None => String::new(),
            Some(of) if table.columns.iter().any(|column| column.name.as_str() == of) => format!(" ({})", quote(&of)),
            Some(_) => continue,
        };
        query(format!("GRANT {privilege}{of} ON {name} TO {grantee}{passed_on}")).execute(writing).await?;
    }
    Ok(())
}

/// Two projections may not meet under one name: `a` with table `b_c`, `a_b` with table `c`.
pub(crate) async fn refuse_taken(session: &mut dyn Session, projection: &Name, name: &str) -> Result<(), Error> {
    expect_length(session.dialect(), projection, name)?;
    if is_taken(session, name).await? {
        Err(Error::NameTaken { projection: projection.clone(), view: name.to_owned() })
    } else {
        Ok(())
    }
}

pub(crate) async fn is_taken(session: &mut dyn Session, name: &str) -> Result<bool, Error> {
    let sql = session.dialect().pick(
        "SELECT count(*) AS n FROM sqlite_schema WHERE name = ? COLLATE NOCASE",
        "SELECT count(*) AS n FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace \
         WHERE s.nspname = current_schema() AND c.relname = ?",
        "SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = database() AND table_name = ?",
    );
    Ok(query(sql).bind(name.to_owned()).one(session).await?.get::<i64>("n")? > 0)
}
