//! Days of the Gregorian calendar as `2026-11-21`, and as numbers since 1970.

/// Year, month and day of a day number since 1970 (the proleptic Gregorian calendar, in eras of 400 years).
#[must_use]
pub const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// A day as text.
#[must_use]
pub fn format(days: u64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The number of a day from 1970 on given as `2026-11-21`; `None` for anything else, dates that do not exist included.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().enumerate().all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    if text.len() != 10 || !digits {
        return None;
    }
    let (year, month, day) = (text.get(..4)?.parse().ok()?, text.get(5..7)?.parse().ok()?, text.get(8..)?.parse().ok()?);
    let days = days_from_civil(year, month, day)?;
    (civil(days) == (year, month, day)).then_some(days)
}

fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_back() {
        assert_eq!(parse("2026-11-21"), Some(20_778));
        for text in ["1970-01-01", "2024-02-29", "2000-12-31", "9999-12-31"] {
            assert_eq!(parse(text).map(format).as_deref(), Some(text));
        }
        for wrong in ["2026-02-29", "2026-13-01", "2026-11-31", "26-11-21", "2026/11/21", "2026-11-2x", "", "1969-12-31", "2026-11-211"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
