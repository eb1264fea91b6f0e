//! A table as two versions have it, and the SQL that finds where its rows differ.

use serde_json::{Map, Value};

use crate::compare::snapshot::RowDifference;
use crate::rows::bulk::cells::{expressions, objects};
use crate::schema::ddl::{names, physical_table};
use database::{Dialect, Row, quote};
use model::change::{ColumnDefinition, ColumnType, Name, TableDefinition, VersionId};

/// How a row is not the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    OnlyInBlue,
    OnlyInGreen,
    Differs,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::OnlyInBlue, Kind::OnlyInGreen, Kind::Differs];

/// A table of one side.
pub(crate) struct Half<'a> {
    pub(crate) id: &'a VersionId,
    pub(crate) table: &'a TableDefinition,
}

impl Half<'_> {
    pub(crate) fn sql(&self) -> String {
        quote(&physical_table(self.id, &self.table.name))
    }
}

/// A table that both sides have.
pub(crate) struct Pair<'a> {
    pub(crate) blue: Half<'a>,
    pub(crate) green: Half<'a>,
}

impl Pair<'_> {
    pub(crate) fn of_other_type(&self) -> Vec<String> {
        let columns = self.blue.table.columns.iter();
        let other = columns.filter(|column| {
            column_of(self.green.table, &column.name).is_some_and(|other| other.of_type != column.of_type)
        });
        other.map(|column| column.name.to_string()).collect()
    }

    /// The columns behind the key that are compared.
    fn common(&self) -> impl Iterator<Item = &ColumnDefinition> {
        let is_common = |column: &&ColumnDefinition| is_in(column, self.green.table.values());
        self.blue.table.values().iter().filter(is_common)
    }

    /// Why rows of one side can't be found on the other; the order of the key is no reason.
    pub(crate) fn incomparable(&self) -> Option<String> {
        let (blue, green) = (self.blue.table.key(), self.green.table.key());
        let same = blue.len() == green.len() && blue.iter().all(|column| is_in(column, green));
        (!same).then(|| format!("blue is keyed by {}, green by {}", described(blue), described(green)))
    }

    /// Counts the keys that both have, and those of them with other values. It goes
    /// through blue once, in the order of the key, and looks each row up in green.
    pub(crate) fn totals(&self, dialect: Dialect) -> String {
        let (blue, green, key) = (self.blue.sql(), self.green.sql(), self.key());
        let (same, differs) = (self.same(), self.differs(dialect));
        // Without the order, which only a limit makes binding, SQLite goes along whatever
        // index is smallest, and looks up each row in both tables: ten times slower.
        let from = match dialect {
            Dialect::Sqlite => {
                format!("(SELECT * FROM {blue} ORDER BY {key} LIMIT -1) b CROSS JOIN {green} g ON {same}")
            }
            _ => format!("{blue} b JOIN {green} g ON {same}"),
        };
        format!("SELECT count(*), count(CASE WHEN {differs} THEN 1 END) FROM {from}")
    }

    /// The first rows of a kind, as many as a parameter says: the cells of blue, or green, or
    /// both and for each of the common columns whether it differs.
    pub(crate) fn sample(&self, dialect: Dialect, kind: Kind) -> String {
        let (blue, green) = (self.blue.sql(), self.green.sql());
        let same = self.same();
        let cells = |of: &str, half: &Half<'_>| expressions(dialect, of, &half.table.columns);
        match kind {
            Kind::OnlyInBlue => format!(
                "SELECT {} FROM {blue} b WHERE NOT EXISTS (SELECT 1 FROM {green} g WHERE {same}) ORDER BY {} LIMIT ?",
                cells("b", &self.blue).join(", "),
                self.key_of("b")
            ),
            Kind::OnlyInGreen => format!(
                "SELECT {} FROM {green} g WHERE NOT EXISTS (SELECT 1 FROM {blue} b WHERE {same}) ORDER BY {} LIMIT ?",
                cells("g", &self.green).join(", "),
                prefixed("g", self.green.table.key().iter().map(|column| &column.name))
            ),
            Kind::Differs => {
                let mut selected = cells("b", &self.blue);
                selected.extend(cells("g", &self.green));
                selected.extend(self.common().map(|column| differs(dialect, column)));
                let join = dialect.pick("CROSS JOIN", "JOIN", "STRAIGHT_JOIN");
                format!(
                    "SELECT {} FROM {blue} b {join} {green} g ON {same} WHERE {} ORDER BY {} LIMIT ?",
                    selected.join(", "),
                    self.differs(dialect),
                    self.key_of("b")
                )
            }
        }
    }

    /// What the rows of `sample` come to.
    pub(crate) fn differences(&self, kind: Kind, rows: &[Row]) -> sqlx::Result<Vec<RowDifference>> {
        let (blue, green) = (&self.blue.table.columns, &self.green.table.columns);
        let none = |_: &Row| None;
        let some = |columns: &[ColumnDefinition], first: usize| -> sqlx::Result<Vec<Option<Map<String, Value>>>> {
            Ok(objects(columns, rows, first)?.into_iter().map(Some).collect())
        };
        let (blues, greens) = match kind {
            Kind::OnlyInBlue => (some(blue, 0)?, rows.iter().map(none).collect()),
            Kind::OnlyInGreen => (rows.iter().map(none).collect(), some(green, 0)?),
            Kind::Differs => (some(blue, 0)?, some(green, blue.len())?),
        };
        let mut differences = Vec::with_capacity(rows.len());
        for ((row, blue_row), green_row) in rows.iter().zip(blues).zip(greens) {
            let mut columns = Vec::new();
            if kind == Kind::Differs {
                for (place, column) in (blue.len() + green.len()..).zip(self.common()) {
                    if row.at::<bool>(place)? {
                        columns.push(column.name.to_string());
                    }
                }
            }
            differences.push(self.difference(blue_row, green_row, columns));
        }
        Ok(differences)
    }

    /// The key's columns, in blue's order.
    fn key(&self) -> String {
        names(self.blue.table.key().iter().map(|column| &column.name))
    }

    fn key_of(&self, alias: &str) -> String {
        prefixed(alias, self.blue.table.key().iter().map(|column| &column.name))
    }

    /// The condition that `g` is the row of `b`.
    fn same(&self) -> String {
        let same = |column: &ColumnDefinition| format!("g.{0} = b.{0}", quote(column.name.as_str()));
        self.blue.table.key().iter().map(same).collect::<Vec<_>>().join(" AND ")
    }

    /// The condition that a row of `b` has other values than its row of `g`.
    fn differs(&self, dialect: Dialect) -> String {
        let differs: Vec<String> = self.common().map(|column| differs(dialect, column)).collect();
        if differs.is_empty() { "1 = 0".to_owned() } else { format!("({})", differs.join(" OR ")) }
    }

    fn difference(
        &self,
        blue: Option<Map<String, Value>>,
        green: Option<Map<String, Value>>,
        columns: Vec<String>,
    ) -> RowDifference {
        let row = blue.as_ref().or(green.as_ref());
        let cell = |column: &ColumnDefinition| {
            let name = column.name.as_str();
            Some((name.to_owned(), row?.get(name)?.clone()))
        };
        let key = self.blue.table.key().iter().filter_map(cell).collect();
        RowDifference { key, blue, green, columns }
    }
}

/// The condition that `b` and `g` have not the same in `column`; null is the same as null.
fn differs(dialect: Dialect, column: &ColumnDefinition) -> String {
    let name = quote(column.name.as_str());
    match dialect {
        Dialect::Sqlite => format!("b.{name} IS NOT g.{name}"),
        // It does not compare JSON.
        Dialect::Postgres if column.of_type == ColumnType::Json => {
            format!("b.{name}::text IS DISTINCT FROM g.{name}::text")
        }
        Dialect::Postgres => format!("b.{name} IS DISTINCT FROM g.{name}"),
        Dialect::MySql => format!("NOT (b.{name} <=> g.{name})"),
    }
}

pub(crate) fn find<'a>(tables: &'a [TableDefinition], name: &Name) -> Option<&'a TableDefinition> {
    tables.iter().find(|table| table.name == *name)
}

fn column_of<'a>(table: &'a TableDefinition, name: &Name) -> Option<&'a ColumnDefinition> {
    table.columns.iter().find(|column| column.name == *name)
}

/// Whether `columns` has one of the same name and type.
fn is_in(column: &ColumnDefinition, columns: &[ColumnDefinition]) -> bool {
    columns.iter().any(|other| (&other.name, other.of_type) == (&column.name, column.of_type))
}

/// The columns of `table` that `other` has not.
pub(crate) fn lacking(table: &TableDefinition, other: &TableDefinition) -> Vec<String> {
    let lacking = table.columns.iter().filter(|column| column_of(other, &column.name).is_none());
    lacking.map(|column| column.name.to_string()).collect()
}

/// Columns with their types, for people.
fn described(columns: &[ColumnDefinition]) -> String {
    columns.iter().map(|column| format!("{} ({})", column.name, column.of_type)).collect::<Vec<_>>().join(", ")
}

/// Column names of `alias`, quoted, with commas between.
fn prefixed<'a>(alias: &str, columns: impl Iterator<Item = &'a Name>) -> String {
    columns.map(|name| format!("{alias}.{}", quote(name.as_str()))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

    use super::*;
    use crate::schema::ddl::{create_indexes, create_table};
    use database::Flavour;

    #[tokio::test]
    async fn goes_through_each_table_in_the_order_of_its_key() {
        let column =
            |name: &str, of_type| ColumnDefinition { name: name.parse().expect("a name"), of_type, nullable: false };
        let table = TableDefinition {
            name: "lines".parse().expect("a name"),
            columns: vec![
                column("id", ColumnType::Text),
                column("line", ColumnType::Integer),
                column("total", ColumnType::Float),
                column("photo", ColumnType::Bytes),
            ],
            key_columns: 2,
            keyed_by_aggregate: false,
            indexes: vec![vec!["total".parse().expect("a name")]],
        };
        let id = |version| VersionId { projection: "orders".parse().expect("a name"), version, generation: 1 };
        let (blue, green) = (id(1), id(2));
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("a database");
        for id in [&blue, &green] {
            let mut statements = vec![create_table(Dialect::Sqlite, Flavour::MySql, id, &table)];
            statements.extend(create_indexes(Dialect::Sqlite, id, &table).into_iter().map(|index| index.statement));
            for statement in statements {
                sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("made");
            }
        }
        let pair = Pair { blue: Half { id: &blue, table: &table }, green: Half { id: &green, table: &table } };
        let mut plan = async |sql: String| -> Vec<String> {
            let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let steps: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(sql).fetch_all(&mut connection).await.expect("a plan");
            steps.into_iter().map(|(.., step)| step).collect()
        };
        let search = |alias: &str| format!("SEARCH {alias} USING PRIMARY KEY (id=? AND line=?)");
        let totals = plan(pair.totals(Dialect::Sqlite)).await;
        assert_eq!(totals, ["CO-ROUTINE b", "SCAN orders__lines__v1g1", "SCAN b", &search("g")]);
        // The rows that differ are found without sorting, and each is looked up by its key.
        for (kind, other) in [(Kind::OnlyInBlue, "g"), (Kind::OnlyInGreen, "b"), (Kind::Differs, "g")] {
            let steps = plan(pair.sample(Dialect::Sqlite, kind)).await;
            let bad = |step: &&String| ["TEMP B-TREE", "AUTOMATIC", "INDEX "].iter().any(|bad| step.contains(bad));
            assert_eq!(steps.iter().find(bad), None, "{kind:?}: {steps:#?}");
            assert!(steps.iter().any(|step| step.starts_with(&search(other))), "{kind:?}: {steps:#?}");
        }
    }
}
