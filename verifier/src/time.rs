//! Time as seconds since 1970: dates, ages, spans. No time zones, no leap seconds.

use attest::day;
pub use client::now;

/// `2026-11-21T15:04:05Z`.
#[must_use]
pub fn format(seconds: u64) -> String {
    let rest = seconds % 86_400;
    format!("{}T{:02}:{:02}:{:02}Z", day::format(seconds / 86_400), rest / 3600, rest / 60 % 60, rest % 60)
}

/// The inverse of [`format()`]; `None` for any other spelling.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let [hours, minutes, seconds] = clock.split(':').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?.try_into().ok()?;
    let time = parse_date(date)?.checked_add(hours.checked_mul(3600)?)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)?;
    (format(time) == text).then_some(time)
}

/// The first second of a day given as `2026-11-21`; `None` for anything else, dates that do not exist included.
#[must_use]
pub fn parse_date(text: &str) -> Option<u64> {
    day::parse(text).map(|day| day * 86_400)
}

/// A span such as `90s`, `30m`, `24h` or `7d`, in seconds.
#[must_use]
pub fn parse_span(text: &str) -> Option<u64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86_400,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A span for people: `45 seconds`, `12 minutes`, `3 hours`, `5 days`.
#[must_use]
pub fn span(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_back() {
        assert_eq!(format(0), "1970-01-01T00:00:00Z");
        assert_eq!(format(1_795_273_445), "2026-11-21T15:04:05Z");
        assert_eq!(parse_date("2026-11-21"), Some(1_795_219_200));
        assert_eq!(parse_date("2024-02-29").map(format).as_deref(), Some("2024-02-29T00:00:00Z"));
        for wrong in ["2026-02-29", "2026-13-01", "2026-11-31", "26-11-21", "2026/11/21", "2026-11-2x", "", "1969-12-31"] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn spans() {
        assert_eq!(parse_span("24h"), Some(86_400));
        assert_eq!(parse_span("7d"), Some(604_800));
        for wrong in ["", "h", "24", "-1h", "1.5h", "+1h", "99999999999999999999d"] {
            assert_eq!(parse_span(wrong), None, "{wrong}");
        }
        assert_eq!(span(1), "1 second");
        assert_eq!(span(7200), "2 hours");
        assert_eq!(span(172_800), "2 days");
    }
}
