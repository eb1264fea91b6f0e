//! Money as decimal text, as it was written of old.

use fantascope_sdk::prelude::*;

/// `12.50` is 1250 cents, exactly: no floating point comes near money.
pub(crate) fn cents(text: &str) -> Result<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "00"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    ensure!(
        are_digits(whole) && are_digits(fraction) && fraction.len() == 2,
        "{text:?} is not an amount such as \"12.50\""
    );
    Ok(format!("{whole}{fraction}").parse()?)
}

#[cfg(test)]
mod tests {
    use super::cents;

    #[test]
    fn reads_whole_cents() {
        for (text, expected) in [("12.50", 1250), ("0.07", 7), ("12", 1200)] {
            assert_eq!(cents(text).expect(text), expected);
        }
        for text in ["", "12,50", "12.5", "-1.00", "1.234", ".50", "1.", "99999999999999999999.00"] {
            assert!(cents(text).is_err(), "{text}");
        }
    }
}
