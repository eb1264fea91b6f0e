use std::fmt;
use std::str::FromStr;

use super::{ParseError, serde_as_text};
use crate::column::{ColumnType, KeyColumn, Scalar, carrier};
use crate::error::Result;

/// A moment in microseconds, UTC: a column of type `timestamp`. In JSON and in
/// print it is RFC 3339, such as `2026-01-02T03:04:05.000006Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

impl Timestamp {
    const EXPECTED: &str = "a time in RFC 3339 such as \"2026-01-02T03:04:05Z\"";

    /// The moment that lies this many microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The day, UTC: `2026-01-02`.
    #[must_use]
    pub fn day(self) -> String {
        let (year, month, day) = self.date();
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// The month, UTC: `2026-01`.
    #[must_use]
    pub fn month(self) -> String {
        let (year, month, _) = self.date();
        format!("{year:04}-{month:02}")
    }

    /// The year, UTC.
    #[must_use]
    pub fn year(self) -> i64 {
        self.date().0
    }

    /// Year, month from 1, and day from 1 of the Gregorian calendar: Howard
    /// Hinnant's `civil_from_days`.
    fn date(self) -> (i64, i64, i64) {
        let days = self.0.div_euclid(MICROS_PER_DAY) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day)
    }
}

/// Days from 1970-01-01 to a date: Howard Hinnant's `days_from_civil`.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.rem_euclid(MICROS_PER_DAY);
        let seconds = micros / MICROS_PER_SECOND;
        write!(
            f,
            "{}T{:02}:{:02}:{:02}.{:06}Z",
            self.day(),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            micros % MICROS_PER_SECOND
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text.as_bytes()).ok_or_else(|| ParseError::new(Self::EXPECTED, text))
    }
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<i64> {
        text.get(from..to)?
            .iter()
            .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
    };
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|byte| wanted.contains(byte));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let signs = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let in_range = (1..=12).contains(&month) && (1..=days_in_month).contains(&day);
    if !signs || !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }

    let mut at = 19;
    let mut fraction_micros = 0;
    if is(at, b".") {
        let digits = text[20..].iter().take_while(|b| b.is_ascii_digit()).count();
        let kept = digits.min(6);
        fraction_micros = number(20, 20 + kept)? * 10_i64.pow(6 - u32::try_from(kept).ok()?);
        at = 20 + digits;
        if digits == 0 {
            return None;
        }
    }
    let (offset_minutes, end) = if is(at, b"Zz") {
        (0, at + 1)
    } else if is(at, b"+-") && is(at + 3, b":") {
        let minutes = number(at + 1, at + 3)? * 60 + number(at + 4, at + 6)?;
        (if text[at] == b'-' { -minutes } else { minutes }, at + 6)
    } else {
        return None;
    };
    if end != text.len() {
        return None;
    }
    let seconds = (hour * 60 + minute - offset_minutes) * 60 + second;
    let micros = days_of(year, month, day) * MICROS_PER_DAY + seconds * MICROS_PER_SECOND;
    Some(Timestamp(micros + fraction_micros))
}

serde_as_text!(Timestamp);

impl Scalar for Timestamp {
    type Carrier = carrier::Integers;
    const TYPE: ColumnType = ColumnType::Timestamp;

    fn to_cell(&self) -> i64 {
        self.0
    }

    fn of_cell(cell: i64) -> Result<Self> {
        Ok(Self(cell))
    }
}

impl KeyColumn for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        text.parse::<Timestamp>().expect(text).as_micros()
    }

    #[test]
    fn reads_rfc_3339() {
        assert_eq!(micros("1970-01-01T00:00:00Z"), 0);
        assert_eq!(micros("1969-12-31T23:59:59.999999Z"), -1);
        assert_eq!(micros("2026-01-02T03:04:05.000006Z"), 1_767_323_045_000_006);
        assert_eq!(micros("2026-01-02T05:04:05.5+02:00"), micros("2026-01-02T03:04:05.500Z"));
        assert_eq!(micros("2026-01-02T03:04:05.1234567Z") % 1_000_000, 123_456);
        for text in [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05Zz",
            "2026-01-02T03:04:05+0200",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads_on_every_day() {
        for day in -200_000..200_000 {
            let moment = Timestamp::from_micros(day * MICROS_PER_DAY + 1_234_567);
            if (0..=9999).contains(&moment.year()) {
                assert_eq!(moment.to_string().parse(), Ok(moment));
            }
        }
    }

    #[test]
    fn tells_day_and_month() {
        let moment = Timestamp::from_micros(micros("2024-02-29T23:59:59Z"));
        assert_eq!((moment.day(), moment.month()), ("2024-02-29".into(), "2024-02".into()));
    }
}
