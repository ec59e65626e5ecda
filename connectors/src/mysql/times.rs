//! Dates and times of rows as text (ISO 8601), zero dates included.
//!
//! Owns the packed forms of the binlog and the one form they all become. A fraction has as many digits as its column.

use std::fmt::Write as _;

use tidemill_dsl::ids::Time;

use super::cursor::{Cursor, Malformed};

/// A calendar date and time as stored; every field may be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: u64,
    pub(super) month: u64,
    pub(super) day: u64,
    pub(super) hour: u64,
    pub(super) minute: u64,
    pub(super) second: u64,
    pub(super) micros: u64,
}

impl Civil {
    /// `2024-02-29`
    pub(super) fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `2024-02-29T10:11:12.50` with so many digits behind the second.
    pub(super) fn date_time(&self, digits: u8) -> String {
        let mut text = self.date();
        let _ = write!(text, "T{:02}:{:02}:{:02}", self.hour, self.minute, self.second);
        fraction(&mut text, self.micros, digits);
        text
    }
}

fn fraction(text: &mut String, micros: u64, digits: u8) {
    let digits = usize::from(digits.min(6));
    if digits > 0 {
        let all = format!("{micros:06}");
        text.push('.');
        text.push_str(&all[..digits]);
    }
}

/// `-12:34:56.5`: hours of two or three digits.
pub(super) fn duration(negative: bool, seconds: u64, micros: u64, digits: u8) -> String {
    let sign = if negative { "-" } else { "" };
    let mut text = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    fraction(&mut text, micros, digits);
    text
}

/// An instant in UTC. Second 0 is how the server writes the zero timestamp.
pub(super) fn instant(seconds: u64, micros: u64, digits: u8) -> String {
    if seconds == 0 {
        return Civil::default().date_time(digits) + "Z";
    }
    let text = Time(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)).rfc3339();
    let mut text = text.trim_end_matches(".000Z").to_owned();
    fraction(&mut text, micros, digits);
    text + "Z"
}

/// Micros of a fraction that is kept in hundredths of as many bytes as it needs.
fn stored_micros(cursor: &mut Cursor<'_>, digits: u8) -> Result<u64, Malformed> {
    let bytes = usize::from(digits.div_ceil(2));
    let scale = [0, 10_000, 100, 1];
    Ok(cursor.big(bytes)? * scale.get(bytes).copied().unwrap_or(0))
}

/// DATE: three bytes, day in the lowest five bits, month in four.
pub(super) fn date(cursor: &mut Cursor<'_>) -> Result<String, Malformed> {
    let packed = cursor.little(3)?;
    let civil = Civil { year: packed >> 9, month: packed >> 5 & 15, day: packed & 31, ..Civil::default() };
    Ok(civil.date())
}

/// DATETIME since 5.6: 40 bits, the highest first, and a fraction.
pub(super) fn date_time(cursor: &mut Cursor<'_>, digits: u8) -> Result<String, Malformed> {
    let packed = cursor.big(5)? & 0x7f_ffff_ffff;
    let (months, time) = (packed >> 22, packed & 0x1_ffff);
    let civil = Civil {
        year: months / 13,
        month: months % 13,
        day: packed >> 17 & 31,
        hour: time >> 12,
        minute: time >> 6 & 63,
        second: time & 63,
        micros: stored_micros(cursor, digits)?,
    };
    Ok(civil.date_time(digits))
}

/// DATETIME before 5.6: the decimal number YYYYMMDDHHMMSS.
pub(super) fn old_date_time(cursor: &mut Cursor<'_>) -> Result<String, Malformed> {
    let number = cursor.little(8)?;
    let (date, time) = (number / 1_000_000, number % 1_000_000);
    let civil = Civil {
        year: date / 10_000,
        month: date / 100 % 100,
        day: date % 100,
        hour: time / 10_000,
        minute: time / 100 % 100,
        second: time % 100,
        micros: 0,
    };
    Ok(civil.date_time(0))
}

/// TIMESTAMP since 5.6.
pub(super) fn timestamp(cursor: &mut Cursor<'_>, digits: u8) -> Result<String, Malformed> {
    let seconds = cursor.big(4)?;
    let micros = stored_micros(cursor, digits)?;
    Ok(instant(seconds, micros, digits))
}

/// TIME since 5.6: a number with its fraction as one, negative ones below the middle.
pub(super) fn time(cursor: &mut Cursor<'_>, digits: u8) -> Result<String, Malformed> {
    let bytes = usize::from(digits.div_ceil(2));
    let whole = cursor.big(3 + bytes)?;
    let bits = 8 * bytes as u32;
    let middle = 1_u64 << (23 + bits);
    let (negative, size) = (whole < middle, whole.abs_diff(middle));
    let (packed, part) = (size >> bits, size & ((1 << bits) - 1));
    let scale = [0, 10_000, 100, 1];
    let seconds = (packed >> 12 & 0x3ff) * 3600 + (packed >> 6 & 63) * 60 + (packed & 63);
    Ok(duration(negative, seconds, part * scale.get(bytes).copied().unwrap_or(0), digits))
}

/// TIME before 5.6: the decimal number HHMMSS.
pub(super) fn old_time(cursor: &mut Cursor<'_>) -> Result<String, Malformed> {
    let number = cursor.little_signed(3)?;
    let size = number.unsigned_abs();
    let seconds = size / 10_000 * 3600 + size / 100 % 100 * 60 + size % 100;
    Ok(duration(number < 0, seconds, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let civil = Civil { year: 2024, month: 2, day: 29, hour: 1, minute: 2, second: 3, micros: 450_000 };
        assert_eq!(civil.date_time(0), "2024-02-29T01:02:03");
        assert_eq!(civil.date_time(3), "2024-02-29T01:02:03.450");
        assert_eq!(Civil::default().date(), "0000-00-00");
        assert_eq!(duration(true, 838 * 3600 + 59 * 60 + 59, 0, 0), "-838:59:59");
        assert_eq!(duration(false, 5, 120_000, 2), "00:00:05.12");
        assert_eq!(instant(1_764_000_000, 7, 6), "2025-11-24T16:00:00.000007Z");
        assert_eq!(instant(0, 0, 0), "0000-00-00T00:00:00Z");
    }

    #[test]
    fn negative_fractions() {
        // -00:00:01.50 as the server packs it.
        assert_eq!(time(&mut Cursor(&[0x7f, 0xff, 0xfe, 0xce]), 2).unwrap(), "-00:00:01.50");
        assert_eq!(time(&mut Cursor(&[0x80, 0x00, 0x01, 0x32]), 2).unwrap(), "00:00:01.50");
        assert_eq!(old_time(&mut Cursor(&[0xd4, 0xff, 0xff])).unwrap(), "-00:00:44");
    }
}
