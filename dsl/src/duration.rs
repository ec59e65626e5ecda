//! Durations, sizes and rates as text (language, section 5 #30; manifests).
//!
//! Owns reading them into exact types. It may not know which field they stand in.

use std::time::Duration;

use crate::value::Value;

/// Why a duration, a size or a rate cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DurationError(String);

/// A rate such as `100/s`: `count` per `per`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many; above zero and finite.
    pub count: f64,
    /// In which time; above zero.
    pub per: Duration,
}

type Read<T> = Result<T, DurationError>;

/// The units of an ISO 8601 duration that have a fixed length: designator and milliseconds.
const ISO_DATE: [(char, u64); 2] = [('W', 604_800_000), ('D', 86_400_000)];
const ISO_TIME: [(char, u64); 3] = [('H', 3_600_000), ('M', 60_000), ('S', 1000)];

/// The members of a duration in object form, in milliseconds.
const OBJECT_UNITS: [(&str, u64); 5] =
    [("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1000), ("milliseconds", 1)];

/// The units of durations in manifests, in milliseconds.
const HUMAN_UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// The units of sizes, in bytes.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

fn error<T>(text: impl Into<String>) -> Read<T> {
    Err(DurationError(text.into()))
}

/// Reads a duration of the language: ISO 8601 text or the object form.
pub fn parse_value(value: &Value) -> Read<Duration> {
    match value {
        Value::String(text) => parse_iso(text),
        Value::Object(_) => parse_object(value),
        other => error(format!("expected an ISO 8601 duration or an object, found {}", other.kind())),
    }
}

/// Reads an ISO 8601 duration of weeks, days, hours, minutes and seconds, to the millisecond.
///
/// The smallest unit given may have a fraction (`PT1.5S`, `P0.5D`). Years and months have no fixed
/// length and are refused by name, and so is a sign.
pub fn parse_iso(text: &str) -> Read<Duration> {
    let refuse = |why: &str| error(format!("`{text}` is not an ISO 8601 duration: {why}"));
    let Some(rest) = text.strip_prefix('P') else {
        return refuse("it must begin with `P`, as in `PT5S`");
    };
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return refuse("nothing follows `T`"),
        Some((date, time)) => (date, time),
        None if rest.is_empty() => return refuse("nothing follows `P`"),
        None => (rest, ""),
    };
    let named = [('Y', "years"), ('M', "months")];
    if let Some((_, unit)) = named.iter().find(|(designator, _)| date.contains(*designator)) {
        return refuse(&format!("{unit} have no fixed length; use days, hours, minutes or seconds"));
    }
    let mut total = 0u64;
    let mut fraction = false;
    for (part, units) in [(date, &ISO_DATE[..]), (time, &ISO_TIME[..])] {
        match sum_units(part, units, &mut fraction) {
            Ok(millis) => total = total.saturating_add(millis),
            Err(why) => return refuse(&why),
        }
    }
    finish(total, text)
}

/// Sums `12H30M` given its units in falling order; `fraction` tells whether one was seen already.
fn sum_units(mut part: &str, units: &[(char, u64)], fraction: &mut bool) -> Result<u64, String> {
    let mut total = 0u64;
    let mut left = units;
    while !part.is_empty() {
        let end = part.find(|found: char| !found.is_ascii_digit() && found != '.' && found != ',');
        let end = end.ok_or("the last number has no unit")?;
        let number = part[..end].replace(',', ".");
        let designator = part[end..].chars().next().unwrap_or_default();
        let Some(at) = left.iter().position(|(unit, _)| *unit == designator) else {
            return Err(format!("`{designator}` is no unit here, or it is out of order"));
        };
        if *fraction {
            return Err("only the smallest unit may have a fraction".to_owned());
        }
        *fraction = number.contains('.');
        let millis = scaled(&number, left[at].1).ok_or_else(|| format!("`{number}` is not a number"))?;
        total = total.saturating_add(millis);
        left = &left[at + 1..];
        part = &part[end + designator.len_utf8()..];
    }
    Ok(total)
}

/// `number` times `unit`, rounded down; `None` when the text is not digits with at most one dot.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) =
        number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !fraction.is_none_or(digits) {
        return None;
    }
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit);
    let part = fraction.map_or(0, |fraction| {
        let fraction: String = fraction.chars().take(18).collect();
        let scale = 10u128.pow(fraction.len() as u32);
        let part = fraction.parse::<u128>().unwrap_or(0) * u128::from(unit) / scale;
        u64::try_from(part).unwrap_or(u64::MAX)
    });
    Some(whole.saturating_add(part))
}

/// The longest duration, in milliseconds: a thousand years of 365 days.
const MAX_MILLIS: u64 = 1000 * 365 * 86_400_000;

fn finish(millis: u64, text: &str) -> Read<Duration> {
    if millis > MAX_MILLIS {
        return error(format!("duration `{text}` is longer than 1000 years"));
    }
    Ok(Duration::from_millis(millis))
}

/// Reads the object form: days, hours, minutes, seconds, milliseconds, whole numbers of zero or more.
pub fn parse_object(value: &Value) -> Read<Duration> {
    let Some(map) = value.as_object() else {
        return error(format!("expected an object, found {}", value.kind()));
    };
    if map.is_empty() {
        return error("duration has no member; give days, hours, minutes, seconds or milliseconds");
    }
    let mut total = 0u64;
    for (key, member) in map {
        let Some((_, unit)) = OBJECT_UNITS.iter().find(|(name, _)| *name == key.as_ref()) else {
            let years = matches!(key.as_ref(), "years" | "months");
            let why = if years { "has no fixed length" } else { "is no unit of a duration" };
            return error(format!("`{key}` {why}; use days, hours, minutes, seconds or milliseconds"));
        };
        let Some(count) = member.as_i64().and_then(|count| u64::try_from(count).ok()) else {
            return error(format!("`{key}` must be a whole number of zero or more, found {member}"));
        };
        total = total.saturating_add(count.saturating_mul(*unit));
    }
    finish(total, &value.to_string())
}

/// Reads a duration of a manifest: `100ms`, `5s`, `1.5h`, `2d`, `1h30m`, or ISO 8601 (`PT5S`).
pub fn parse_human(text: &str) -> Read<Duration> {
    let text = text.trim();
    if text.starts_with('P') {
        return parse_iso(text);
    }
    let refuse =
        || error(format!("`{text}` is not a duration; write it like `100ms`, `5s`, `10m`, `2h` or `PT5S`"));
    let mut total = 0u64;
    let mut rest = text;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let number = rest.find(|found: char| !found.is_ascii_digit() && found != '.').unwrap_or(rest.len());
        let (count, tail) = rest.split_at(number);
        let end = tail.find(|found: char| !found.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (name, tail) = tail.split_at(end);
        let Some((_, unit)) = HUMAN_UNITS.iter().find(|(unit, _)| *unit == name) else {
            return refuse();
        };
        let Some(millis) = scaled(count, *unit).filter(|_| *unit < smallest) else {
            return refuse();
        };
        total = total.saturating_add(millis);
        smallest = *unit;
        rest = tail;
    }
    if text.is_empty() { refuse() } else { finish(total, text) }
}

/// Reads a size in bytes: `512`, `512B`, `64KiB`, `1MiB`, `10MB`; fractions are rounded down.
pub fn parse_size(text: &str) -> Read<u64> {
    let text = text.trim();
    let end = text.find(|found: char| !found.is_ascii_digit() && found != '.').unwrap_or(text.len());
    let (count, name) = text.split_at(end);
    let name = name.trim_start();
    let unit = if name.is_empty() { Some(1) } else { size_unit(name) };
    let size = unit.and_then(|unit| scaled(count, unit)).filter(|size| *size < u64::MAX);
    size.map_or_else(
        || error(format!("`{text}` is not a size; write it like `512B`, `64KiB` or `10MiB`")),
        Ok,
    )
}

fn size_unit(name: &str) -> Option<u64> {
    SIZE_UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, bytes)| *bytes)
}

/// Reads a rate: `100/s`, `5/m`, `0.5/h`, `10/30s`.
pub fn parse_rate(text: &str) -> Read<Rate> {
    let refuse = || error(format!("`{text}` is not a rate; write it like `100/s`, `5/m` or `10/30s`"));
    let Some((count, per)) = text.trim().split_once('/') else {
        return refuse();
    };
    let (count, per) = (count.trim(), per.trim());
    let plain = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let count = if plain { count.parse::<f64>().ok() } else { None };
    let bare =
        HUMAN_UNITS.iter().find(|(unit, _)| *unit == per).map(|(_, millis)| Duration::from_millis(*millis));
    let per = bare.map_or_else(|| parse_human(per).ok(), Some);
    match (count, per) {
        (Some(count), Some(per)) if count > 0.0 && !per.is_zero() => Ok(Rate { count, per }),
        _ => refuse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: PartialEq + std::fmt::Debug>(got: Read<T>, expected: Result<T, &str>, text: &str) {
        match (got, expected) {
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (got, expected) => {
                assert_eq!(got, expected.map_err(|part| DurationError(part.to_owned())), "{text}")
            }
        }
    }

    #[test]
    fn iso_8601_durations() {
        let iso = |text: &str, expected: Result<u64, &str>| {
            check(parse_iso(text), expected.map(Duration::from_millis), text);
        };
        iso("PT5S", Ok(5000));
        iso("PT0S", Ok(0));
        iso("PT0.25S", Ok(250));
        iso("PT1,5S", Ok(1500));
        iso("P1D", Ok(86_400_000));
        iso("P0.5D", Ok(43_200_000));
        iso("P2W", Ok(1_209_600_000));
        iso("P1DT2H3M4.005S", Ok(93_784_005));
        iso("PT90M", Ok(5_400_000));
        iso("PT0.0001S", Ok(0));
        iso("P1Y", Err("years have no fixed length"));
        iso("P1M", Err("months have no fixed length"));
        iso("P1Y2M", Err("years"));
        iso("P", Err("nothing follows `P`"));
        iso("PT", Err("nothing follows `T`"));
        iso("P1DT", Err("nothing follows `T`"));
        iso("PT5", Err("has no unit"));
        iso("PT1S2M", Err("out of order"));
        iso("PT1S1S", Err("out of order"));
        iso("P1H", Err("no unit here"));
        iso("PT1.5H2M", Err("only the smallest unit"));
        iso("P1.5DT2H", Err("only the smallest unit"));
        iso("-PT5S", Err("begin with `P`"));
        iso("PT-5S", Err("no unit here"));
        iso("5s", Err("begin with `P`"));
        iso("", Err("begin with `P`"));
        iso("PTS", Err("not a number"));
        iso("PT1.S", Err("not a number"));
        iso("PT99999999999999999999S", Err("longer than 1000 years"));
    }

    #[test]
    fn object_durations() {
        let object = |json: &str, expected: Result<u64, &str>| {
            let value = Value::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
            check(parse_value(&value), expected.map(Duration::from_millis), json);
        };
        object(r#"{"seconds":5}"#, Ok(5000));
        object(r#"{"days":1,"hours":2,"minutes":3,"seconds":4,"milliseconds":5}"#, Ok(93_784_005));
        object(r#""PT1S""#, Ok(1000));
        object("{}", Err("no member"));
        object(r#"{"years":1}"#, Err("`years` has no fixed length"));
        object(r#"{"sec":1}"#, Err("`sec` is no unit"));
        object(r#"{"seconds":-1}"#, Err("whole number"));
        object(r#"{"seconds":1.5}"#, Err("whole number"));
        object("5", Err("found number"));
        object(r#"{"days":9223372036854775807}"#, Err("longer than 1000 years"));
    }

    #[test]
    fn manifest_durations() {
        let human = |text: &str, expected: Result<u64, &str>| {
            check(parse_human(text), expected.map(Duration::from_millis), text);
        };
        human("100ms", Ok(100));
        human("5s", Ok(5000));
        human("10m", Ok(600_000));
        human("1.5h", Ok(5_400_000));
        human("2d", Ok(172_800_000));
        human("1h30m", Ok(5_400_000));
        human("PT5S", Ok(5000));
        human("0s", Ok(0));
        for text in ["", "5", "s", "5 s", "-5s", "5y", "5s5s", "5s1h", "1.s", "5S", "fast"] {
            human(text, Err("is not a duration"));
        }
    }

    #[test]
    fn sizes() {
        check(parse_size("512"), Ok(512), "512");
        check(parse_size("1MiB"), Ok(1 << 20), "1MiB");
        check(parse_size("1.5 KiB"), Ok(1536), "1.5 KiB");
        check(parse_size("10MB"), Ok(10_000_000), "10MB");
        for text in ["", "MiB", "1mib", "-1", "1 M", "99999999999TiB"] {
            check(parse_size(text), Err("is not a size"), text);
        }
    }

    #[test]
    fn rates() {
        let rate = |count, seconds| Ok(Rate { count, per: Duration::from_secs(seconds) });
        check(parse_rate("100/s"), rate(100.0, 1), "100/s");
        check(parse_rate("5/m"), rate(5.0, 60), "5/m");
        check(parse_rate("0.5/h"), rate(0.5, 3600), "0.5/h");
        check(parse_rate("10/30s"), rate(10.0, 30), "10/30s");
        for text in ["", "5", "/s", "0/s", "-1/s", "5/", "5/0s", "inf/s", "1e3/s"] {
            check(parse_rate(text), Err("is not a rate"), text);
        }
    }
}
