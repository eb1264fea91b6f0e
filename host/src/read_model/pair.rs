//! A table as two versions have it, and the SQL that finds where its rows differ.

use serde_json::{Map, Value};

use super::Error;
use super::compare::RowDifference;
use super::ddl::{names, physical_table, quote};
use super::packed::{decode_objects, expressions};
use crate::change::{ColumnDefinition, Name, TableDefinition, VersionId};

/// A table of one side.
pub(super) struct Half<'a> {
    pub(super) id: &'a VersionId,
    pub(super) table: &'a TableDefinition,
}

impl Half<'_> {
    pub(super) fn sql(&self) -> String {
        quote(&physical_table(self.id, &self.table.name))
    }

    /// Rows as `Pair::sample` packs them; none where this side has none.
    pub(super) fn decode(&self, json: &str) -> Result<Vec<Option<Map<String, Value>>>, Error> {
        let rows = decode_objects(json, &self.table.columns).map_err(|fault| self.unreadable(&fault))?;
        Ok(rows.into_iter().map(|(present, row)| (present == 1).then_some(row)).collect())
    }

    pub(super) fn unreadable(&self, fault: &serde_json::Error) -> Error {
        Error::Unreadable { id: self.id.clone(), reason: fault.to_string() }
    }
}

/// A table that both sides have.
pub(super) struct Pair<'a> {
    pub(super) blue: Half<'a>,
    pub(super) green: Half<'a>,
}

impl Pair<'_> {
    pub(super) fn of_other_type(&self) -> Vec<String> {
        let columns = self.blue.table.columns.iter();
        let other = columns.filter(|column| {
            column_of(self.green.table, &column.name).is_some_and(|other| other.of_type != column.of_type)
        });
        other.map(|column| column.name.to_string()).collect()
    }

    /// The columns behind the key that are compared.
    fn common(&self) -> impl Iterator<Item = &Name> {
        let is_common = |column: &&ColumnDefinition| is_in(column, self.green.table.values());
        self.blue.table.values().iter().filter(is_common).map(|column| &column.name)
    }

    /// Why rows of one side can't be found on the other; the order of the key is no reason.
    pub(super) fn incomparable(&self) -> Option<String> {
        let (blue, green) = (self.blue.table.key(), self.green.table.key());
        let same = blue.len() == green.len() && blue.iter().all(|column| is_in(column, green));
        (!same).then(|| format!("blue is keyed by {}, green by {}", described(blue), described(green)))
    }

    /// Counts the keys that both have, and those of them with other values. It goes
    /// through blue once, in the order of the key, and looks each row up in green.
    pub(super) fn totals(&self) -> String {
        let (blue, green, key) = (self.blue.sql(), self.green.sql(), self.key());
        let differs = self.differs();
        // Without the order, which only a limit makes binding, SQLite goes along whatever
        // index is smallest, and looks up each row in both tables: ten times slower.
        format!(
            "SELECT count(*), count(*) FILTER (WHERE {differs}) \
             FROM (SELECT * FROM {blue} ORDER BY {key} LIMIT -1) b CROSS JOIN {green} g USING ({key})"
        )
    }

    /// The first so many rows of each kind, for three numbers: only in blue, only in
    /// green, and those that differ. Gives three packed lists of the same length: the
    /// rows of blue, those of green, and per row which of the common columns differ.
    pub(super) fn sample(&self) -> String {
        let (blue, green, key) = (self.blue.sql(), self.green.sql(), self.key());
        let (of_blue, of_green, of_key) = (self.key_of("b"), self.key_of("g"), self.key_of("k"));
        let in_order_of_green = prefixed("g", self.green.table.key().iter().map(|column| &column.name));
        let differs = self.differs();
        let packed = |of: &str, half: &Half<'_>| {
            let present = format!("{of}.{} IS NOT NULL", quote(half.table.columns[0].name.as_str()));
            let cells = expressions(of, &half.table.columns).join(", ");
            format!("json_group_array(json_array({present}, {cells}) ORDER BY {of_key})")
        };
        let each_differs: Vec<String> =
            self.common().map(|name| format!("b.{column} IS NOT g.{column}", column = quote(name.as_str()))).collect();
        format!(
            "WITH k ({key}) AS ( \
               SELECT * FROM (SELECT {of_blue} FROM {blue} b WHERE NOT EXISTS \
                 (SELECT 1 FROM {green} g WHERE ({of_green}) = ({of_blue})) ORDER BY {of_blue} LIMIT ?1) \
               UNION ALL \
               SELECT * FROM (SELECT {of_green} FROM {green} g WHERE NOT EXISTS \
                 (SELECT 1 FROM {blue} b WHERE ({of_blue}) = ({of_green})) ORDER BY {in_order_of_green} LIMIT ?2) \
               UNION ALL \
               SELECT * FROM (SELECT {of_blue} FROM {blue} b CROSS JOIN {green} g USING ({key}) \
                 WHERE {differs} ORDER BY {of_blue} LIMIT ?3) \
             ) \
             SELECT {}, {}, json_group_array(json_array({}) ORDER BY {of_key}) \
             FROM k LEFT JOIN {blue} b USING ({key}) LEFT JOIN {green} g USING ({key})",
            packed("b", &self.blue),
            packed("g", &self.green),
            each_differs.join(", "),
        )
    }

    /// The key's columns, in blue's order.
    fn key(&self) -> String {
        names(self.blue.table.key().iter().map(|column| &column.name))
    }

    fn key_of(&self, alias: &str) -> String {
        prefixed(alias, self.blue.table.key().iter().map(|column| &column.name))
    }

    /// The condition that a row of `b` has other values than its row of `g`.
    fn differs(&self) -> String {
        match self.common().next() {
            Some(_) => format!("({}) IS NOT ({})", prefixed("b", self.common()), prefixed("g", self.common())),
            None => "false".to_owned(),
        }
    }

    pub(super) fn difference(
        &self,
        blue: Option<Map<String, Value>>,
        green: Option<Map<String, Value>>,
        differs: &[u8],
    ) -> RowDifference {
        let row = blue.as_ref().or(green.as_ref());
        let cell = |column: &ColumnDefinition| {
            let name = column.name.as_str();
            Some((name.to_owned(), row?.get(name)?.clone()))
        };
        let key = self.blue.table.key().iter().filter_map(cell).collect();
        let columns = if blue.is_some() && green.is_some() {
            let columns = self.common().zip(differs).filter(|&(_, &differs)| differs == 1);
            columns.map(|(name, _)| name.to_string()).collect()
        } else {
            Vec::new()
        };
        RowDifference { key, blue, green, columns }
    }
}

pub(super) fn find<'a>(tables: &'a [TableDefinition], name: &Name) -> Option<&'a TableDefinition> {
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
pub(super) fn lacking(table: &TableDefinition, other: &TableDefinition) -> Vec<String> {
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

    use super::super::ddl::{create_indexes, create_table};
    use super::*;
    use crate::change::ColumnType;

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
            let statements = [vec![create_table(id, &table)], create_indexes(id, &table)].concat();
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
        let totals = plan(pair.totals()).await;
        assert_eq!(totals, ["CO-ROUTINE b", "SCAN orders__lines__v1g1", "SCAN b", &search("g")]);
        // The rows that differ are found without sorting; only the few of the sample are sorted.
        let sample = plan(pair.sample()).await;
        let bad = |step: &&String| {
            let sorts = step.contains("TEMP B-TREE") && !step.contains("json_group_array");
            sorts || step.contains("AUTOMATIC") || step.contains("INDEX ")
        };
        assert_eq!(sample.iter().find(bad), None, "{sample:#?}");
        let searches =
            sample.iter().filter(|step| step.starts_with("SEARCH") && step.contains("PRIMARY KEY (id=? AND line=?)"));
        assert_eq!(searches.count(), 5, "{sample:#?}");
    }
}
