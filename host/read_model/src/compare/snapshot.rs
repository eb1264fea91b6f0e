//! Comparing two versions of a projection, row by row.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::compare::pair::{Half, KINDS, Pair, find, lacking};
use crate::{Error, ReadModel};
use database::{Session as _, Transaction, query};
use model::change::{TableDefinition, VersionId};
use model::event::Position;

/// The read models as they stood when it was taken, whatever is committed since. It
/// holds one reader, and the database keeps for it what others write over: drop it soon.
#[derive(Debug)]
pub struct Snapshot {
    transaction: Transaction,
}

/// How the tables of two versions differ: `blue`, the one that is live, and `green`,
/// the one built beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// Blue's tables in their order, then those that only green has.
    pub tables: Vec<TableComparison>,
}

/// Who has a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    #[default]
    Both,
    BlueOnly,
    GreenOnly,
}

/// How one table differs. Columns are compared that have the same name and type on
/// both sides; whether they may be null does not matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableComparison {
    pub table: String,
    pub presence: Presence,
    /// All rows of blue; 0 if it has no such table.
    pub blue_rows: u64,
    /// All rows of green; 0 if it has no such table.
    pub green_rows: u64,
    pub columns_only_in_blue: Vec<String>,
    pub columns_only_in_green: Vec<String>,
    /// Columns that both have, but not of the same type: they are not compared.
    pub columns_of_other_type: Vec<String>,
    /// Why its rows can't be told apart, if both have the table but with other keys.
    pub incomparable: Option<String>,
    /// Rows whose key green lacks. Like the next two, 0 where nothing was compared.
    pub rows_only_in_blue: u64,
    /// Rows whose key blue lacks.
    pub rows_only_in_green: u64,
    /// Rows with a key that both have, but other values.
    pub rows_that_differ: u64,
    /// Some of those rows, by kind, each in the order of the key: the first of each kind.
    pub sample: Vec<RowDifference>,
}

/// A row that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RowDifference {
    #[schema(value_type = Object)]
    pub key: Map<String, Value>,
    /// The whole row in blue, if it is there.
    #[schema(value_type = Option<Object>)]
    pub blue: Option<Map<String, Value>>,
    /// The whole row in green, if it is there.
    #[schema(value_type = Option<Object>)]
    pub green: Option<Map<String, Value>>,
    /// The columns that differ, if both have the row.
    pub columns: Vec<String>,
}

impl Comparison {
    /// Whether the tables that both have hold the same rows, as far as they have the
    /// same columns. What only one has is expected of a new shape, and doesn't matter.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.tables.iter().all(TableComparison::holds)
    }
}

/// What differs, for people; or that nothing does.
impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let differing: Vec<String> =
            self.tables.iter().filter(|table| !table.holds()).map(ToString::to_string).collect();
        f.write_str(if differing.is_empty() { "all rows are the same" } else { "" })?;
        f.write_str(&differing.join("; "))
    }
}

impl std::fmt::Display for TableComparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(reason) = &self.incomparable {
            return write!(f, "table `{}`: {reason}", self.table);
        }
        match self.presence {
            Presence::BlueOnly => return write!(f, "table `{}` is only in the live version", self.table),
            Presence::GreenOnly => return write!(f, "table `{}` is only in the other version", self.table),
            Presence::Both => {}
        }
        let [blue, green, both] = self.differences();
        write!(f, "table `{}`: {both} rows differ, {blue} are gone, {green} are new", self.table)
    }
}

impl TableComparison {
    /// Whether no row differs that could be compared, and rows could be compared.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.incomparable.is_none() && self.differences() == [0; 3]
    }

    /// Rows only in blue, only in green, and those that differ.
    fn differences(&self) -> [u64; 3] {
        [self.rows_only_in_blue, self.rows_only_in_green, self.rows_that_differ]
    }
}

impl ReadModel {
    /// Begins to look at the read models as they stand now.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot { transaction: self.database.snapshot().await? })
    }
}

impl Snapshot {
    /// How far each partition of version `id` had come; none if there is no such version.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn positions(&mut self, id: &VersionId) -> Result<Vec<Position>, Error> {
        let positions = query(
            "SELECT position FROM fantascope_checkpoints \
             WHERE projection = ? AND version = ? AND generation = ? ORDER BY \"partition\"",
        );
        let positions = positions.bind(id.projection.to_string()).bind(id.version).bind(id.generation);
        let rows = positions.all(&mut self.transaction).await?;
        rows.iter().map(|row| Ok(Position::from_sql(row.get("position")?))).collect()
    }

    /// Compares two versions, each with its tables, with at most `samples` rows a table
    /// to show for it. It means something if both are at the same position.
    ///
    /// The rows themselves are compared, not hashes of them, so the totals are exact:
    /// null is equal to null only, floats and bytes are equal to the last bit, texts to
    /// the last byte. So is JSON: the same value written in another way differs.
    ///
    /// It goes through each table once or a few times. Given up before it has ended, it
    /// holds its reader until the table at hand is done.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn compare(
        &mut self,
        blue: (&VersionId, &[TableDefinition]),
        green: (&VersionId, &[TableDefinition]),
        samples: usize,
    ) -> Result<Comparison, Error> {
        let mut tables = Vec::new();
        for table in blue.1 {
            let half = Half { id: blue.0, table };
            tables.push(match find(green.1, &table.name) {
                Some(other) => {
                    let pair = Pair { blue: half, green: Half { id: green.0, table: other } };
                    self.compare_pair(&pair, samples).await?
                }
                None => TableComparison {
                    table: table.name.to_string(),
                    presence: Presence::BlueOnly,
                    blue_rows: self.count(&half).await?,
                    ..TableComparison::default()
                },
            });
        }
        for table in green.1 {
            if find(blue.1, &table.name).is_some() {
                continue;
            }
            tables.push(TableComparison {
                table: table.name.to_string(),
                presence: Presence::GreenOnly,
                green_rows: self.count(&Half { id: green.0, table }).await?,
                ..TableComparison::default()
            });
        }
        Ok(Comparison { tables })
    }

    async fn compare_pair(&mut self, pair: &Pair<'_>, samples: usize) -> Result<TableComparison, Error> {
        let (blue, green) = (pair.blue.table, pair.green.table);
        let mut found = TableComparison {
            table: blue.name.to_string(),
            presence: Presence::Both,
            blue_rows: self.count(&pair.blue).await?,
            green_rows: self.count(&pair.green).await?,
            columns_only_in_blue: lacking(blue, green),
            columns_only_in_green: lacking(green, blue),
            columns_of_other_type: pair.of_other_type(),
            incomparable: pair.incomparable(),
            ..TableComparison::default()
        };
        if found.incomparable.is_some() {
            return Ok(found);
        }
        let totals = query(pair.totals(self.transaction.dialect())).one(&mut self.transaction).await?;
        let (shared, differ): (i64, i64) = (totals.at(0)?, totals.at(1)?);
        // A key stands at most once on each side, so what is not shared is on one side only.
        found.rows_only_in_blue = found.blue_rows - shared.cast_unsigned();
        found.rows_only_in_green = found.green_rows - shared.cast_unsigned();
        found.rows_that_differ = differ.cast_unsigned();
        found.sample = self.sample(pair, shares(found.differences(), samples)).await?;
        Ok(found)
    }

    /// Some of the rows that are not the same, in the order of blue's key, by kind.
    async fn sample(&mut self, pair: &Pair<'_>, shares: [u64; 3]) -> Result<Vec<RowDifference>, Error> {
        let mut sample = Vec::new();
        for (kind, share) in KINDS.into_iter().zip(shares).filter(|&(_, share)| share > 0) {
            let rows = query(pair.sample(self.transaction.dialect(), kind)).bind(share.cast_signed());
            sample.extend(pair.differences(kind, &rows.all(&mut self.transaction).await?)?);
        }
        Ok(sample)
    }

    async fn count(&mut self, half: &Half<'_>) -> Result<u64, Error> {
        let row = query(format!("SELECT count(*) AS n FROM {}", half.sql())).one(&mut self.transaction).await?;
        Ok(row.get::<i64>("n")?.cast_unsigned())
    }
}

/// Shares `samples` among three kinds of which `found` exist, as evenly as they allow.
fn shares(found: [u64; 3], samples: usize) -> [u64; 3] {
    let mut shares = [0; 3];
    let mut left = samples as u64;
    let mut rarest_first = [0, 1, 2];
    rarest_first.sort_by_key(|&kind| found[kind]);
    for (kind, kinds_left) in rarest_first.into_iter().zip([3, 2, 1]) {
        shares[kind] = found[kind].min(left / kinds_left);
        left -= shares[kind];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn shares_samples_fairly() {
        let check = |found, samples, expected| assert_eq!(shares(found, samples), expected, "{found:?} by {samples}");
        check([0, 0, 0], 5, [0, 0, 0]);
        check([9, 9, 9], 9, [3, 3, 3]);
        check([9, 1, 9], 9, [4, 1, 4]);
        check([2, 0, 90], 10, [2, 0, 8]);
        check([9, 9, 9], 10, [3, 3, 4]);
        check([1, 9, 2], 1, [0, 1, 0]);
        check([1, 2, 3], usize::MAX, [1, 2, 3]);
    }
}
