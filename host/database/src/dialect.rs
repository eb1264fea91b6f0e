//! How the databases differ in the SQL that they speak.
//!
//! Sessions are set up so that they differ in little: identifiers are quoted with `"`,
//! texts with `'`, and `||` joins texts everywhere.

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
    /// MySQL and MariaDB.
    MySql,
}

impl Dialect {
    /// The one that is meant here, of three ways to say something.
    #[must_use]
    pub fn pick<T>(self, sqlite: T, postgres: T, mysql: T) -> T {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
            Self::MySql => mysql,
        }
    }

    /// Whether tables and views change within a transaction, together with what else is in it.
    #[must_use]
    pub fn has_transactional_ddl(self) -> bool {
        self.pick(true, true, false)
    }

    /// Whether `CREATE INDEX` knows `IF NOT EXISTS`.
    #[must_use]
    pub fn has_index_if_not_exists(self) -> bool {
        self.pick(true, true, false)
    }

    /// Whether a view is replaced, and keeps what was granted on it, instead of being dropped and
    /// made anew.
    #[must_use]
    pub fn replaces_views(self) -> bool {
        self.pick(false, true, false)
    }

    /// Whether a transaction can tell other sessions that something has changed (`NOTIFY`).
    #[must_use]
    pub fn can_notify(self) -> bool {
        self.pick(false, true, false)
    }

    /// Whether one transaction writes at a time, so that positions are seen in their order.
    #[must_use]
    pub fn has_one_writer(self) -> bool {
        self.pick(true, false, false)
    }

    /// Whether one look at the head finds all that is committed.
    #[must_use]
    pub fn finds_head_at_once(self) -> bool {
        self.pick(true, true, false)
    }

    /// Whether a commit without a change waits for the disk, and for what others have written.
    #[must_use]
    pub fn syncs_empty_commits(self) -> bool {
        self.pick(true, true, false)
    }

    /// The end of an INSERT that writes `values` where there is a row with this `key` already;
    /// without values the row stays as it is. Columns are quoted already.
    #[must_use]
    pub fn on_conflict(self, key: &[String], values: &[String]) -> String {
        let set = |new: fn(&str) -> String| -> Vec<String> {
            values.iter().map(|column| format!("{column} = {}", new(column))).collect()
        };
        if self == Self::MySql {
            let set = set(|column| format!("VALUES({column})"));
            let keep = format!("{0} = {0}", key[0]);
            return format!(" ON DUPLICATE KEY UPDATE {}", if set.is_empty() { keep } else { set.join(", ") });
        }
        let set = set(|column| format!("excluded.{column}"));
        let action = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
        format!(" ON CONFLICT ({}) DO {action}", key.join(", "))
    }

    /// `count` places for values, the first of which is number `first`, with commas between.
    #[must_use]
    pub fn places(self, first: usize, count: usize) -> String {
        let place = |number: usize| if self == Self::Postgres { format!("${number}") } else { "?".to_owned() };
        (first..first + count).map(place).collect::<Vec<_>>().join(",")
    }

    /// The clock of the server, in microseconds since 1970-01-01T00:00:00Z: the one clock that
    /// all hosts share.
    #[must_use]
    pub fn now(self) -> &'static str {
        self.pick(
            "(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER) * 1000)",
            "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
        )
    }

    /// `sql`, whose places are all `?`, with the places of this dialect. No other `?` may stand
    /// in it, in a literal neither: those are bound.
    pub(super) fn translate(self, sql: &str) -> String {
        if self != Self::Postgres {
            return sql.to_owned();
        }
        let mut parts = sql.split('?');
        let mut translated = parts.next().unwrap_or_default().to_owned();
        for (number, part) in (1..).zip(parts) {
            translated.push_str(&format!("${number}"));
            translated.push_str(part);
        }
        translated
    }
}

/// An identifier, quoted.
#[must_use]
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_as_each_database_does() {
        let (key, values) = (["\"a\"".to_owned()], ["\"b\"".to_owned(), "\"c\"".to_owned()]);
        let end = Dialect::Sqlite.on_conflict(&key, &values);
        assert_eq!(end, " ON CONFLICT (\"a\") DO UPDATE SET \"b\" = excluded.\"b\", \"c\" = excluded.\"c\"");
        let end = Dialect::MySql.on_conflict(&key, &values);
        assert_eq!(end, " ON DUPLICATE KEY UPDATE \"b\" = VALUES(\"b\"), \"c\" = VALUES(\"c\")");
        assert_eq!(Dialect::Postgres.on_conflict(&key, &[]), " ON CONFLICT (\"a\") DO NOTHING");
        assert_eq!(Dialect::MySql.on_conflict(&key, &[]), " ON DUPLICATE KEY UPDATE \"a\" = \"a\"");
        assert_eq!(Dialect::Postgres.translate("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!((Dialect::Postgres.places(3, 2), Dialect::MySql.places(3, 2)), ("$3,$4".into(), "?,?".into()));
    }

    #[test]
    fn quotes_what_sql_would_choke_on() {
        assert_eq!(quote("order"), "\"order\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}
