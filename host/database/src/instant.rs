//! Instants as each database keeps them, to the microsecond: SQLite as a number, PostgreSQL
//! as `timestamptz`, MySQL as `DATETIME(6)` in UTC.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};
use time::{OffsetDateTime, PrimitiveDateTime};

/// Microseconds from 1970, where ours begin, to 2000, where those of PostgreSQL do.
const EPOCH: i64 = 946_684_800_000_000;

/// `timestamptz`, as microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgInstant(pub i64);

impl PgInstant {
    /// As it travels.
    ///
    /// # Errors
    /// If PostgreSQL knows no such time.
    pub fn to_be_bytes(self) -> Result<[u8; 8], BoxDynError> {
        Ok(self.0.checked_sub(EPOCH).ok_or("a time that PostgreSQL does not know")?.to_be_bytes())
    }

    /// From how it travelled.
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 8]) -> Self {
        Self(i64::from_be_bytes(bytes).saturating_add(EPOCH))
    }
}

impl Type<Postgres> for PgInstant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }

    fn compatible(of_type: &PgTypeInfo) -> bool {
        of_type.oid() == Some(Oid(1184))
    }
}

impl PgHasArrayType for PgInstant {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for PgInstant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.to_be_bytes()?);
        Ok(IsNull::No)
    }
}

impl<'r> Decode<'r, Postgres> for PgInstant {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::from_be_bytes(value.as_bytes()?.try_into()?))
    }
}

/// `DATETIME(6)`, from microseconds since 1970.
///
/// # Errors
/// If there is no such date.
pub fn date_time(micros: i64) -> sqlx::Result<PrimitiveDateTime> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000);
    let at = at.map_err(|fault| sqlx::Error::Encode(format!("a time that MySQL does not know: {fault}").into()))?;
    Ok(PrimitiveDateTime::new(at.date(), at.time()))
}

/// Microseconds since 1970, from `DATETIME(6)`.
#[must_use]
pub fn micros(at: PrimitiveDateTime) -> i64 {
    i64::try_from(at.assume_utc().unix_timestamp_nanos() / 1_000).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_microseconds() {
        for at in [0, -1, 1_763_736_251_123_456, 253_402_300_799_999_999, -62_135_596_800_000_000] {
            let bytes = PgInstant(at).to_be_bytes().expect("a time");
            assert_eq!(PgInstant::from_be_bytes(bytes), PgInstant(at));
            assert_eq!(micros(date_time(at).expect("a date")), at);
        }
        assert!(PgInstant(i64::MIN).to_be_bytes().is_err() && date_time(i64::MAX).is_err());
    }
}
