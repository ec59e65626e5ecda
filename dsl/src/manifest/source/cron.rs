//! `cron` of a source: a time table.
//!
//! Owns its fields and the form of a schedule. Computes no times, and looks no time zone up: the connector does.

use std::sync::Arc;

use super::super::{codes, read};
use crate::reader::{Place, Reader, Sink};
use crate::value::Value;

/// A time table.
#[derive(Clone, Debug, PartialEq)]
pub struct CronSource {
    /// Five fields, or six with seconds in front; in its dialect.
    pub schedule: Arc<str>,
    /// IANA name.
    pub timezone: Arc<str>,
    /// How weekdays count and days combine.
    pub dialect: Dialect,
    /// What becomes of times that passed while it did not run.
    pub catch_up: CatchUp,
    /// Most times made up for by `catchUp: all`.
    pub max_catch_up: u32,
    /// What the events carry besides the times: a map.
    pub data: Option<Value>,
}

/// How a schedule is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Sunday is 0 or 7; day of month and weekday both given: either.
    #[default]
    Posix,
    /// Sunday is 1; seconds first.
    Quartz,
}

/// What becomes of times that passed while the source did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// Nothing.
    Skip,
    /// One event for the last of them.
    #[default]
    Once,
    /// One event each, at most `maxCatchUp`.
    All,
}

pub(super) fn read(place: Place, sink: &Sink) -> Option<CronSource> {
    let mut reader = Reader::open(place, sink, "a cron source")?;
    let dialect = reader.choice("dialect", &[("posix", Dialect::Posix), ("quartz", Dialect::Quartz)]);
    let schedule = reader.need("schedule").and_then(|place| schedule(&place, sink, dialect));
    let timezone = reader.take("timezone").map_or(Some("UTC".into()), |place| timezone(&place, sink));
    let catch_up =
        reader.choice("catchUp", &[("skip", CatchUp::Skip), ("once", CatchUp::Once), ("all", CatchUp::All)]);
    let max_catch_up =
        reader.take("maxCatchUp").map_or(Some(100), |place| read::count(&place, sink, 1..=10_000));
    let data = reader.object("data");
    reader.finish();
    Some(CronSource {
        schedule: schedule?,
        timezone: timezone?,
        dialect,
        catch_up,
        max_catch_up: max_catch_up?,
        data,
    })
}

fn timezone(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_+-/".contains(&b);
    let part = |part: &str| !part.is_empty() && part.bytes().all(good);
    if text.len() <= 64 && text.split('/').all(part) && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Some(text);
    }
    read::wrong(place, sink, codes::TIMEZONE, &format!("`{text}` is no name of a time zone"))
}

/// A field: its name, least and greatest number, and names for numbers (from the least).
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

fn fields(dialect: Dialect) -> [Field; 6] {
    let field = |name, least, most, names| Field { name, least, most, names };
    let weekday = match dialect {
        Dialect::Posix => (0, 7),
        Dialect::Quartz => (1, 7),
    };
    [
        field("second", 0, 59, &[]),
        field("minute", 0, 59, &[]),
        field("hour", 0, 23, &[]),
        field("day of month", 1, 31, &[]),
        field("month", 1, 12, &MONTHS),
        field("day of week", weekday.0, weekday.1, &DAYS),
    ]
}

const QUARTZ: &str = "a Quartz schedule has six fields, `second minute hour day-of-month month day-of-week`, Sunday is 1, or seven with the year";
const NICKNAMES: [&str; 7] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

fn schedule(place: &Place, sink: &Sink, dialect: Dialect) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    match judge(&text, dialect) {
        Ok(()) => Some(text),
        Err(why) => {
            let wrong = place.error(codes::SCHEDULE, format!("the schedule `{text}` {why}"));
            sink.push(match dialect {
                Dialect::Posix => read::explained(wrong),
                Dialect::Quartz => wrong.help(QUARTZ),
            });
            None
        }
    }
}

fn judge(text: &str, dialect: Dialect) -> Result<(), String> {
    if dialect == Dialect::Posix && NICKNAMES.contains(&&*text.to_ascii_lowercase()) {
        return Ok(());
    }
    let parts: Vec<&str> = text.split_whitespace().collect();
    let fields = fields(dialect);
    // A seventh field of Quartz is the year.
    let (skip, year) = match (parts.len(), dialect) {
        (5, Dialect::Posix) => (1, false),
        (6, _) => (0, false),
        (7, Dialect::Quartz) => (0, true),
        (count, Dialect::Posix) => return Err(format!("has {count} fields, not 5 or 6")),
        (count, Dialect::Quartz) => return Err(format!("has {count} fields, not 6 or 7")),
    };
    let year_field = Field { name: "year", least: 1970, most: 2100, names: &[] };
    let all = fields.iter().skip(skip).chain(year.then_some(&year_field));
    for (part, field) in parts.iter().zip(all) {
        for item in part.split(',') {
            if !is_item(item, field) {
                return Err(format!("has `{item}` as {}", field.name));
            }
        }
    }
    Ok(())
}

/// `*`, `?`, a number or name, a range, each with a step; for days also `L`, `15W`, `5L`, `1#2`.
fn is_item(item: &str, field: &Field) -> bool {
    let (body, step) = item.split_once('/').map_or((item, None), |(body, step)| (body, Some(step)));
    if step.is_some_and(|step| !step.parse::<u32>().is_ok_and(|n| (1..=field.most).contains(&n))) {
        return false;
    }
    let day = field.name.starts_with("day");
    match body {
        "*" => true,
        "?" => day,
        "L" | "LW" => day && step.is_none(),
        _ => {
            if let Some((low, high)) = body.split_once('-') {
                return matches!((number(low, field), number(high, field)), (Some(low), Some(high)) if low <= high || !field.names.is_empty());
            }
            let special =
                ['W', 'L'].iter().find_map(|mark| body.strip_suffix(*mark)).filter(|_| day && step.is_none());
            let nth = body.split_once('#').filter(|_| field.name == "day of week" && step.is_none());
            match (nth, special) {
                (Some((day, nth)), _) => {
                    number(day, field).is_some() && nth.parse::<u32>().is_ok_and(|n| (1..=5).contains(&n))
                }
                (None, Some(day)) if number(day, field).is_some() => true,
                _ => number(body, field).is_some(),
            }
        }
    }
}

fn number(text: &str, field: &Field) -> Option<u32> {
    let named = field.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let number = named.map(|at| at as u32 + field.least).or_else(|| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    });
    number.filter(|n| (field.least..=field.most).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        let check = |text: &str, dialect: Dialect, good: bool| {
            assert_eq!(judge(text, dialect).is_ok(), good, "{text}: {:?}", judge(text, dialect));
        };
        for text in [
            "* * * * *",
            "*/15 * * * *",
            "0 0 1 1 *",
            "30 2 * * 1-5",
            "0 9,17 * * MON,Fri",
            "0 0 13 * 5",
            "0 0 * * 7",
            "*/5 * * * * *",
            "0 0 L * *",
            "0 0 15W * *",
            "0 0 * * 5L",
            "0 0 * * 1#2",
            "0 0 1 jan-mar ?",
            "@daily",
            "0 0 * * fri-mon",
            "5/10 * * * *",
        ] {
            check(text, Dialect::Posix, true);
        }
        for text in [
            "",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "a * * * *",
            "5-1 * * * *",
            "1,,2 * * * *",
            "* * * * 1#6",
            "-1 * * * *",
            "1- * * * *",
            "+1 * * * *",
            "@never",
            "L * * * *",
            "*/ * * * *",
        ] {
            check(text, Dialect::Posix, false);
        }
        check("0 0 12 ? * 2", Dialect::Quartz, true);
        check("0 0 12 ? * 2 2030", Dialect::Quartz, true);
        check("0 12 ? * 2", Dialect::Quartz, false);
        check("0 0 12 ? * 0", Dialect::Quartz, false);
    }
}
