//! Numbers and times as people read them.

use model::event::Timestamp;

/// `8,577`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate, rounded to what is worth reading.
pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 10.0 || per_second == 0.0 {
        // Rates are far below 2^64, and rounding is meant.
        format!("{}/s", count(per_second.round() as u64))
    } else {
        format!("{per_second:.1}/s")
    }
}

/// `1.5 s`, `3 min 20 s`, `2 d 4 h`: the two largest units.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (large, small) = match whole {
        0..60 => return format!("{whole} s"),
        60..3_600 => ((whole / 60, "min"), (whole % 60, "s")),
        3_600..86_400 => ((whole / 3_600, "h"), (whole % 3_600 / 60, "min")),
        _ => ((whole / 86_400, "d"), (whole % 86_400 / 3_600, "h")),
    };
    let large = format!("{} {}", count(large.0), large.1);
    if small.0 == 0 { large } else { format!("{large} {} {}", small.0, small.1) }
}

/// `3 min 20 s ago`, seen from `now`.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.seconds_since(at);
    if seconds < 0.0 { format!("in {}", duration(-seconds)) } else { format!("{} ago", duration(seconds)) }
}

/// `12.5 MiB`.
pub(super) fn bytes(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1_024.0 {
            return if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1_024.0;
    }
    format!("{value:.1} GiB")
}

/// `text`, cut to `width` characters, in one line and without anything that would
/// steer a terminal.
pub(super) fn one_line(text: &str, width: usize) -> String {
    let mut characters = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut line: String = characters.by_ref().take(width).collect();
    if characters.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers() {
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (8_577, "8,577"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count(number), expected);
        }
        for (number, expected) in [(512, "512 B"), (2_048, "2.0 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")] {
            assert_eq!(bytes(number), expected);
        }
        for (number, expected) in [(0.0, "0/s"), (0.25, "0.2/s"), (12_345.6, "12,346/s")] {
            assert_eq!(rate(number), expected);
        }
    }

    #[test]
    fn writes_durations() {
        for (seconds, expected) in [
            (0.04, "0.0 s"),
            (1.25, "1.2 s"),
            (42.0, "42 s"),
            (200.0, "3 min 20 s"),
            (7_200.0, "2 h"),
            (187_200.0, "2 d 4 h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
        assert_eq!(ago(Timestamp(0), Timestamp(61_000_000)), "1 min 1 s ago");
        assert_eq!(ago(Timestamp(61_000_000), Timestamp(0)), "in 1 min 1 s");
    }

    #[test]
    fn cuts_lines_and_disarms_terminals() {
        assert_eq!(one_line("abc", 3), "abc");
        assert_eq!(one_line("abcd", 3), "ab…");
        assert_eq!(one_line("a\n\u{1b}[2Jb", 9), "a  [2Jb");
    }
}
