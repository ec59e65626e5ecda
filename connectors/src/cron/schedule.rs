//! Cron expressions as a pure calendar: text to instants.
//!
//! Owns the two dialects, their weekday numbers and what they do where clocks change. Reads no clock and waits for
//! nothing. The `cron` crate and `chrono` types stay inside this file.
//!
//! Posix (Vixie cron): five fields, or six with seconds first; Sunday is 0 or 7; day of month and day of week both
//! given mean either; `L`, `15W`, `1#2`, `5L` are understood. Where clocks go forward a time that does not exist runs
//! at the first instant after the gap; where they go back a fixed time runs once, an interval goes on.
//!
//! Quartz: six fields with seconds first, or seven with the year; Sunday is 1; day of month and day of week both given
//! mean both. Where clocks go forward a time that does not exist is skipped; where they go back it runs twice.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::Dialect;

/// Why a schedule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the schedule: {message}")]
pub struct ScheduleError {
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// A schedule in its time zone. Its granularity is one second.
#[derive(Clone)]
pub struct Schedule {
    rule: Rule,
    zone: TimeZone,
    text: String,
}

#[derive(Clone)]
enum Rule {
    Posix(Box<croner::Cron>),
    Quartz(Box<cron::Schedule>),
}

/// The instant from which a schedule must have a next one to be accepted: 2024-01-01, before a leap day.
const PROBE: Time = Time(1_704_067_200_000);

/// Clock changes looked through for one next instant; two a year cover every year the dialects know.
const MAX_TRANSITIONS: usize = 10_000;

impl Schedule {
    /// Reads a schedule. `zone` is an IANA name, for example `Europe/Berlin`. A date that never comes is refused.
    pub fn parse(expression: &str, dialect: Dialect, zone: &str) -> Result<Schedule, ScheduleError> {
        let named = TimeZone::get(zone).map_err(|_| ScheduleError {
            message: format!("there is no time zone '{zone}'"),
            help: "use an IANA name such as 'UTC' or 'Europe/Berlin'".to_owned(),
        })?;
        let rule = match dialect {
            Dialect::Posix => posix(expression)?,
            Dialect::Quartz => quartz(expression)?,
        };
        let name = match dialect {
            Dialect::Posix => "posix",
            Dialect::Quartz => "quartz",
        };
        let text = format!("{} {zone} {name}", expression.split_whitespace().collect::<Vec<_>>().join(" "));
        let schedule = Schedule { rule, zone: named, text };
        if schedule.next(PROBE).is_none() {
            return Err(ScheduleError {
                message: format!("'{expression}' never fires"),
                help: "it names a date that does not exist or lies in the past, such as 30 February"
                    .to_owned(),
            });
        }
        Ok(schedule)
    }

    /// The first instant after `after`.
    pub fn next(&self, after: Time) -> Option<Time> {
        let start = Timestamp::from_second(after.0.div_euclid(1000)).ok()?;
        let next = match &self.rule {
            Rule::Posix(cron) => {
                let from = Zoned::new(start, self.zone.clone());
                cron.find_next_occurrence(&from, false).ok()?.timestamp()
            }
            Rule::Quartz(cron) => self.next_quartz(cron, start)?,
        };
        Some(Time(next.as_millisecond()))
    }

    /// An instant as the clocks of the time zone show it, with offset and zone.
    pub fn local(&self, at: Time) -> String {
        Timestamp::from_millisecond(at.0)
            .map_or_else(|_| at.rfc3339(), |at| at.to_zoned(self.zone.clone()).to_string())
    }

    /// The instants after `after` up to and with `until`, at most `max`.
    pub fn between(&self, after: Time, until: Time, max: usize) -> Vec<Time> {
        let later = std::iter::successors(self.next(after), |at| self.next(*at));
        later.take_while(|at| *at <= until).take(max).collect()
    }

    /// The last `max` instants after `after` up to and with `until`, in order.
    pub fn latest(&self, after: Time, until: Time, max: usize) -> Vec<Time> {
        let mut reach = 60_000_i64.saturating_mul(i64::try_from(max).unwrap_or(i64::MAX)).max(60_000);
        loop {
            let from = Time(until.0.saturating_sub(reach)).max(after);
            let mut found = self.between(from, until, usize::MAX);
            if found.len() >= max || from == after {
                found.drain(..found.len().saturating_sub(max));
                return found;
            }
            reach = reach.saturating_mul(2);
        }
    }

    /// The next instant by wall-clock time, one stretch of constant offset after the other: the order of instants
    /// holds also where clocks go back.
    fn next_quartz(&self, cron: &cron::Schedule, start: Timestamp) -> Option<Timestamp> {
        let mut from = start;
        let changes = self.zone.following(start).map(|change| change.timestamp());
        let ends = changes.take(MAX_TRANSITIONS).map(Some).chain(std::iter::once(None));
        for end in ends {
            let offset = i64::from(self.zone.to_offset(from).seconds());
            let wall = DateTime::<Utc>::from_timestamp(from.as_second() + offset, 0)?;
            let next = cron.after(&wall).next()?;
            let next = Timestamp::from_second(next.timestamp() - offset).ok()?;
            let Some(end) = end else { return Some(next) };
            if next < end {
                return Some(next);
            }
            // The change itself may be an instant: the search is for what comes after `from`.
            let offset = i64::from(self.zone.to_offset(end).seconds());
            let wall = DateTime::<Utc>::from_timestamp(end.as_second() + offset, 0)?;
            if cron.includes(wall) {
                return Some(end);
            }
            from = end;
        }
        None
    }
}

/// Expression, zone and dialect in one line: two schedules with equal text fire at equal instants.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

fn posix(expression: &str) -> Result<Rule, ScheduleError> {
    let parser =
        CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).sloppy_ranges(true).build();
    let known = if expression.eq_ignore_ascii_case("@midnight") { "@daily" } else { expression };
    let cron = parser.parse(known).map_err(|error| refused(expression, &error))?;
    Ok(Rule::Posix(Box::new(cron)))
}

fn refused(expression: &str, error: &CronError) -> ScheduleError {
    let message = match error {
        CronError::EmptyPattern => "it is empty".to_owned(),
        CronError::InvalidPattern(text)
        | CronError::IllegalCharacters(text)
        | CronError::ComponentError(text) => {
            format!("'{expression}': {}", text.trim_end_matches('.'))
        }
        other => format!("'{expression}': {other}"),
    };
    let help = if expression.contains('?') || expression.split_whitespace().count() > 6 {
        "this looks like a Quartz expression: add 'dialect: quartz'"
    } else {
        "write five fields 'minute hour day-of-month month day-of-week', for example '30 2 * * MON-FRI', or six with \
         seconds first"
    };
    ScheduleError { message, help: help.to_owned() }
}

fn quartz(expression: &str) -> Result<Rule, ScheduleError> {
    let cron = cron::Schedule::from_str(expression).map_err(|error| ScheduleError {
        message: format!("'{expression}': {}", last_line(&error.to_string())),
        help: if expression.split_whitespace().count() == 5 {
            "a Quartz expression begins with seconds: put '0 ' before it, or use 'dialect: posix'".to_owned()
        } else {
            "write 'second minute hour day-of-month month day-of-week [year]', Sunday is 1; 'L', 'W' and '#' are only \
             understood with 'dialect: posix'"
                .to_owned()
        },
    })?;
    Ok(Rule::Quartz(Box::new(cron)))
}

/// What the parser says below its picture of the expression.
fn last_line(error: &str) -> &str {
    let line = error.lines().last().unwrap_or("").trim_start_matches([' ', '^']).trim_end_matches(['.', ' ']);
    if line.is_empty() { "it is no Quartz expression" } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_YORK: &str = "America/New_York";

    fn read(expression: &str, dialect: Dialect, zone: &str) -> Schedule {
        Schedule::parse(expression, dialect, zone).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Fires of `expression` in New York after a local time, as local time with offset.
    fn check(dialect: Dialect, expression: &str, after: &str, expected: &[&str]) {
        let zone = TimeZone::get(NEW_YORK).unwrap();
        let after = after.parse::<jiff::civil::DateTime>().unwrap().to_zoned(zone.clone()).unwrap();
        let schedule = read(expression, dialect, NEW_YORK);
        let fires =
            schedule.between(Time(after.timestamp().as_millisecond()), Time(i64::MAX), expected.len());
        let shown = fires.iter().map(|at| {
            let at = Timestamp::from_millisecond(at.0).unwrap().to_zoned(zone.clone());
            at.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{expression} after {after}");
    }

    use Dialect::{Posix, Quartz};

    #[test]
    fn weekdays_follow_the_dialect() {
        // 2026-11-23 is a Monday.
        let after = "2026-11-23 12:00";
        check(Posix, "0 9 * * 0", after, &["Sun 2026-11-29 09:00:00 -05:00"]);
        check(Posix, "0 9 * * 7", after, &["Sun 2026-11-29 09:00:00 -05:00"]);
        check(Posix, "0 9 * * 2", after, &["Tue 2026-11-24 09:00:00 -05:00"]);
        check(Posix, "0 9 * * MON", after, &["Mon 2026-11-30 09:00:00 -05:00"]);
        check(Quartz, "0 0 9 * * 1", after, &["Sun 2026-11-29 09:00:00 -05:00"]);
        check(Quartz, "0 0 9 * * 7", after, &["Sat 2026-11-28 09:00:00 -05:00"]);
        check(Quartz, "0 0 9 * * 2", after, &["Mon 2026-11-30 09:00:00 -05:00"]);
        check(Quartz, "0 0 9 ? * TUE", after, &["Tue 2026-11-24 09:00:00 -05:00"]);
    }

    #[test]
    fn five_and_six_fields() {
        let after = "2026-11-23 12:00";
        check(
            Posix,
            "*/15 * * * *",
            after,
            &["Mon 2026-11-23 12:15:00 -05:00", "Mon 2026-11-23 12:30:00 -05:00"],
        );
        check(
            Posix,
            "*/20 * * * * *",
            after,
            &["Mon 2026-11-23 12:00:20 -05:00", "Mon 2026-11-23 12:00:40 -05:00"],
        );
        check(Posix, "@hourly", after, &["Mon 2026-11-23 13:00:00 -05:00"]);
        check(Posix, "@midnight", after, &["Tue 2026-11-24 00:00:00 -05:00"]);
        check(Quartz, "*/20 * * * * *", after, &["Mon 2026-11-23 12:00:20 -05:00"]);
        check(Quartz, "0 0 0 1 1 ? 2030", after, &["Tue 2030-01-01 00:00:00 -05:00"]);
    }

    #[test]
    fn ranges_and_steps() {
        let after = "2026-11-23 12:00";
        check(
            Posix,
            "5/20 * * * *",
            after,
            &["Mon 2026-11-23 12:05:00 -05:00", "Mon 2026-11-23 12:25:00 -05:00"],
        );
        check(
            Posix,
            "0 0 * * FRI-SUN",
            after,
            &["Fri 2026-11-27 00:00:00 -05:00", "Sat 2026-11-28 00:00:00 -05:00"],
        );
        check(Posix, "0 0 1 JAN-mar ?", after, &["Fri 2027-01-01 00:00:00 -05:00"]);
    }

    #[test]
    fn last_nearest_and_nth_days() {
        let after = "2026-11-23 12:00";
        check(
            Posix,
            "0 0 L * *",
            after,
            &["Mon 2026-11-30 00:00:00 -05:00", "Thu 2026-12-31 00:00:00 -05:00"],
        );
        // 15 November 2026 was a Sunday, 15 August 2026 a Saturday.
        check(Posix, "0 0 15W * *", "2026-11-01 00:00", &["Mon 2026-11-16 00:00:00 -05:00"]);
        check(Posix, "0 0 15W * *", "2026-08-01 00:00", &["Fri 2026-08-14 00:00:00 -04:00"]);
        check(Posix, "0 0 * * 1#2", after, &["Mon 2026-12-14 00:00:00 -05:00"]);
        check(
            Posix,
            "0 0 * * 5L",
            after,
            &["Fri 2026-11-27 00:00:00 -05:00", "Fri 2026-12-25 00:00:00 -05:00"],
        );
    }

    #[test]
    fn day_of_month_and_day_of_week() {
        let after = "2026-11-23 12:00";
        let either = ["Fri 2026-11-27 00:00:00 -05:00", "Fri 2026-12-04 00:00:00 -05:00"];
        check(Posix, "0 0 13 * 5", after, &either);
        check(Posix, "0 0 13 * 5", "2026-12-11 12:00", &["Sun 2026-12-13 00:00:00 -05:00"]);
        check(
            Quartz,
            "0 0 0 13 * 6",
            after,
            &["Thu 2027-05-13 00:00:00 -04:00"].map(|_| "Fri 2027-08-13 00:00:00 -04:00"),
        );
    }

    #[test]
    fn clocks_going_forward() {
        // 2026-03-08: 02:00 becomes 03:00.
        let after = "2026-03-07 12:00";
        check(
            Posix,
            "30 2 * * *",
            after,
            &["Sun 2026-03-08 03:00:00 -04:00", "Mon 2026-03-09 02:30:00 -04:00"],
        );
        check(
            Quartz,
            "0 30 2 * * *",
            after,
            &["Mon 2026-03-09 02:30:00 -04:00", "Tue 2026-03-10 02:30:00 -04:00"],
        );
        check(
            Quartz,
            "0 0 3 * * *",
            after,
            &["Sun 2026-03-08 03:00:00 -04:00", "Mon 2026-03-09 03:00:00 -04:00"],
        );
        let half_hours = [
            "Sun 2026-03-08 01:30:00 -05:00",
            "Sun 2026-03-08 03:00:00 -04:00",
            "Sun 2026-03-08 03:30:00 -04:00",
        ];
        check(Posix, "*/30 * * * *", "2026-03-08 01:00", &half_hours);
        check(Quartz, "0 */30 * * * *", "2026-03-08 01:00", &half_hours);
    }

    #[test]
    fn clocks_going_back() {
        // 2026-11-01: 02:00 EDT becomes 01:00 EST.
        let after = "2026-10-31 12:00";
        check(
            Posix,
            "30 1 * * *",
            after,
            &["Sun 2026-11-01 01:30:00 -04:00", "Mon 2026-11-02 01:30:00 -05:00"],
        );
        check(
            Quartz,
            "0 30 1 * * *",
            after,
            &[
                "Sun 2026-11-01 01:30:00 -04:00",
                "Sun 2026-11-01 01:30:00 -05:00",
                "Mon 2026-11-02 01:30:00 -05:00",
            ],
        );
        let half_hours = [
            "Sun 2026-11-01 01:00:00 -04:00",
            "Sun 2026-11-01 01:30:00 -04:00",
            "Sun 2026-11-01 01:00:00 -05:00",
            "Sun 2026-11-01 01:30:00 -05:00",
            "Sun 2026-11-01 02:00:00 -05:00",
        ];
        check(Posix, "*/30 * * * *", "2026-11-01 00:30", &half_hours);
        check(Quartz, "0 */30 * * * *", "2026-11-01 00:30", &half_hours);
    }

    #[test]
    fn refusals_say_what_to_write() {
        let check = |dialect, expression: &str, zone: &str| {
            let error = Schedule::parse(expression, dialect, zone).unwrap_err();
            format!("{}\n{}", error.message, error.help)
        };
        insta::assert_snapshot!(check(Posix, "0 0 30 2 *", "UTC"), @r#"
            '0 0 30 2 *' never fires
            it names a date that does not exist or lies in the past, such as 30 February
        "#);
        insta::assert_snapshot!(check(Quartz, "0 0 0 30 2 ?", "UTC"), @r#"
            '0 0 0 30 2 ?' never fires
            it names a date that does not exist or lies in the past, such as 30 February
        "#);
        insta::assert_snapshot!(check(Posix, "", "UTC"), @r#"
            it is empty
            write five fields 'minute hour day-of-month month day-of-week', for example '30 2 * * MON-FRI', or six with seconds first
        "#);
        insta::assert_snapshot!(check(Posix, "61 * * * *", "UTC"), @r#"
            '61 * * * *': Number out of bounds
            write five fields 'minute hour day-of-month month day-of-week', for example '30 2 * * MON-FRI', or six with seconds first
        "#);
        insta::assert_snapshot!(check(Posix, "* * *", "UTC"), @r#"
            '* * *': Pattern must have 5 or 6 fields when years are disallowed
            write five fields 'minute hour day-of-month month day-of-week', for example '30 2 * * MON-FRI', or six with seconds first
        "#);
        insta::assert_snapshot!(check(Posix, "0 0 12 1 1 ? 2030", "UTC"), @r#"
            '0 0 12 1 1 ? 2030': Pattern must have 5 or 6 fields when years are disallowed
            this looks like a Quartz expression: add 'dialect: quartz'
        "#);
        insta::assert_snapshot!(check(Quartz, "0 9 * * 1", "UTC"), @r#"
            '0 9 * * 1': it is no Quartz expression
            a Quartz expression begins with seconds: put '0 ' before it, or use 'dialect: posix'
        "#);
        insta::assert_snapshot!(check(Quartz, "0 0 9 * * 0", "UTC"), @r#"
            '0 0 9 * * 0': Days of Week must be greater than or equal to 1. ('0' specified.)
            write 'second minute hour day-of-month month day-of-week [year]', Sunday is 1; 'L', 'W' and '#' are only understood with 'dialect: posix'
        "#);
        insta::assert_snapshot!(check(Quartz, "0 0 9 L * ?", "UTC"), @r#"
            '0 0 9 L * ?': The 'Days of Month' field does not support using names. 'L' specified
            write 'second minute hour day-of-month month day-of-week [year]', Sunday is 1; 'L', 'W' and '#' are only understood with 'dialect: posix'
        "#);
        insta::assert_snapshot!(check(Posix, "* * * * *", "Europe/Berln"), @r#"
            there is no time zone 'Europe/Berln'
            use an IANA name such as 'UTC' or 'Europe/Berlin'
        "#);
    }

    #[test]
    fn ranges_of_instants() {
        let schedule = read("0 * * * *", Posix, "UTC");
        let at = |text: &str| Time::parse(text).unwrap();
        let (noon, three) = (at("2026-11-23T12:00:00Z"), at("2026-11-23T15:00:00Z"));
        assert_eq!(
            schedule.between(noon, three, 10),
            [13, 14, 15].map(|h| at(&format!("2026-11-23T{h}:00:00Z")))
        );
        assert_eq!(schedule.between(noon, three, 1), [at("2026-11-23T13:00:00Z")]);
        assert_eq!(schedule.between(three, noon, 10), []);
        let year_ago = at("2025-11-23T12:00:00Z");
        assert_eq!(
            schedule.latest(year_ago, three, 2),
            [14, 15].map(|h| at(&format!("2026-11-23T{h}:00:00Z")))
        );
        assert_eq!(schedule.latest(noon, three, 100).len(), 3);
        assert_eq!(schedule.latest(three, three, 100), []);
        let berlin = read("0 * * * *", Posix, "Europe/Berlin");
        assert_eq!(berlin.local(noon), "2026-11-23T13:00:00+01:00[Europe/Berlin]");
        assert_eq!(schedule.next(Time(noon.0 + 1)), Some(at("2026-11-23T13:00:00Z")));
        assert_eq!(schedule.next(Time(noon.0 - 1)), Some(noon));
    }
}
