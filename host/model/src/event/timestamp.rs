//! Instants, in microseconds: what every supported database keeps exactly.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Microseconds since 1970-01-01T00:00:00Z. In JSON an RFC 3339 text in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// The first and the last instant that every database keeps: those of the years 1 and 9999, in UTC.
const FIRST: Timestamp = Timestamp(-62_135_596_800_000_000);
const LAST: Timestamp = Timestamp(253_402_300_799_999_999);

impl Timestamp {
    /// This moment, by the system's clock.
    #[must_use]
    pub fn now() -> Self {
        Self::from_date_time(OffsetDateTime::now_utc())
    }

    /// From RFC 3339, at any offset; what is finer than a microsecond is cut.
    ///
    /// # Errors
    /// What is wrong with `text`, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let at = OffsetDateTime::parse(text, &Rfc3339)
            .map(Self::from_date_time)
            .map_err(|fault| format!("`{text}` is not an RFC 3339 time such as 2026-01-31T09:30:00Z: {fault}"))?;
        if !(FIRST..=LAST).contains(&at) {
            return Err(format!("`{text}` is not within the years 1 to 9999 in UTC, which every database keeps"));
        }
        Ok(at)
    }

    fn from_date_time(at: OffsetDateTime) -> Self {
        Self(i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX))
    }

    /// Seconds from `earlier` to `self`; negative if it is the other way round.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1e6
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nanos = i128::from(self.0) * 1_000;
        match OffsetDateTime::from_unix_timestamp_nanos(nanos) {
            Ok(at) => {
                let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
                let (hour, minute, second, micro) = (at.hour(), at.minute(), at.second(), at.microsecond());
                write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
            }
            Err(_) => write!(f, "{}µs", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn reads_and_writes_microseconds_in_utc() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Timestamp::parse(text).map(|at| at.to_string()).as_deref(), Ok(expected), "{text}");
        };
        check("2010-10-02T07:20:39.266000Z", "2010-10-02T07:20:39.266000Z");
        check("2026-01-31T10:30:00+01:00", "2026-01-31T09:30:00.000000Z");
        check("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z");
        check("2026-01-31T09:30:00.1234567Z", "2026-01-31T09:30:00.123456Z");
    }

    #[test]
    fn names_a_text_that_is_no_time() {
        let fault = Timestamp::parse("yesterday").expect_err("not a time");
        assert!(fault.starts_with("`yesterday` is not an RFC 3339 time"), "{fault}");
    }

    #[test]
    fn refuses_times_that_not_every_database_keeps() {
        for text in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"] {
            assert!(Timestamp::parse(text).is_ok(), "{text}");
        }
        for text in ["0000-12-31T23:59:59Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"] {
            let fault = Timestamp::parse(text).expect_err("out of range");
            assert!(fault.contains("years 1 to 9999"), "{fault}");
        }
    }
}
