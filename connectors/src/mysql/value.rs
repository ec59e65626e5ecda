//! Values of columns: pure.
//!
//! Owns what each type of column becomes in JSON, by the two ways a value comes: as bytes of the binlog and as a
//! value of a query. Both give the same (docs/connectors/mysql.md lists them).

use std::fmt::Write as _;
use std::sync::Arc;

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use mysql_async::Value as Queried;
use tidemill_dsl::value::{Number, Value};

use super::charset::Charset;
use super::cursor::{Cursor, Malformed, bit};
use super::json;
use super::times::{self, Civil};

/// The type of a column, with all that reading a value takes.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// So many bytes.
    Integer {
        bytes: u8,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Bit {
        bytes: u8,
    },
    Year,
    Date,
    Time {
        digits: u8,
    },
    DateTime {
        digits: u8,
    },
    Timestamp {
        digits: u8,
    },
    /// The forms of tables that were made before 5.6.
    OldTime,
    OldDateTime,
    OldTimestamp,
    Enum {
        bytes: u8,
        members: Arc<[Arc<str>]>,
    },
    Set {
        bytes: u8,
        members: Arc<[Arc<str>]>,
    },
    /// CHAR and BINARY: at most so many bytes.
    Fixed {
        most: u16,
        charset: Charset,
    },
    /// VARCHAR and VARBINARY.
    Varying {
        most: u16,
        charset: Charset,
    },
    /// TEXT and BLOB, with so many bytes of length.
    Long {
        length: u8,
        charset: Charset,
    },
    Json,
    /// Geometry and vector: bytes.
    Opaque {
        name: &'static str,
        length: u8,
    },
    /// One whose values cannot be told from those behind it.
    Unknown(u8),
}

/// Bytes as base64.
pub(super) fn base64(bytes: &[u8]) -> Value {
    Value::text(base64_text(bytes))
}

/// The same as text.
pub(super) fn base64_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

impl Kind {
    /// Reads one value from the binlog, which is not NULL.
    pub(super) fn read(&self, cursor: &mut Cursor<'_>) -> Result<Value, Malformed> {
        Ok(match self {
            Kind::Integer { bytes, unsigned: true } => unsigned(cursor.little(usize::from(*bytes))?),
            Kind::Integer { bytes, unsigned: false } => {
                Value::from(cursor.little_signed(usize::from(*bytes))?)
            }
            Kind::Float => float(f32::from_bits(cursor.little(4)? as u32)),
            Kind::Double => Value::from(f64::from_bits(cursor.little(8)?)),
            Kind::Decimal { precision, scale } => Value::text(decimal(cursor, *precision, *scale)?),
            Kind::Bit { bytes } => unsigned(cursor.big(usize::from(*bytes))?),
            Kind::Year => year(u64::from(cursor.byte()?)),
            Kind::Date => Value::text(times::date(cursor)?),
            Kind::Time { digits } => Value::text(times::time(cursor, *digits)?),
            Kind::DateTime { digits } => Value::text(times::date_time(cursor, *digits)?),
            Kind::Timestamp { digits } => Value::text(times::timestamp(cursor, *digits)?),
            Kind::OldTime => Value::text(times::old_time(cursor)?),
            Kind::OldDateTime => Value::text(times::old_date_time(cursor)?),
            Kind::OldTimestamp => Value::text(times::instant(cursor.little(4)?, 0, 0)),
            Kind::Enum { bytes, members } => member(members, cursor.little(usize::from(*bytes))?),
            Kind::Set { bytes, members } => subset(members, cursor.take(usize::from(*bytes))?),
            Kind::Fixed { most, charset } => {
                let length = cursor.little(if *most < 256 { 1 } else { 2 })? as usize;
                fixed(cursor.take(length)?, *most, *charset)
            }
            Kind::Varying { most, charset } => {
                let length = cursor.little(if *most < 256 { 1 } else { 2 })? as usize;
                charset.value(cursor.take(length)?)
            }
            Kind::Long { length, charset } => charset.value(long(cursor, *length)?),
            Kind::Json => json::read(long(cursor, 4)?)?,
            Kind::Opaque { length, .. } => base64(long(cursor, *length)?),
            Kind::Unknown(kind) => {
                return Err(Malformed::Wrong(format!("a column is of the type {kind}, which is not read")));
            }
        })
    }

    /// The value that a query gives, with a session in UTC that speaks utf8mb4.
    pub(super) fn queried(&self, value: &Queried) -> Value {
        match (self, value) {
            (_, Queried::NULL) => Value::Null,
            (_, Queried::Int(number)) => Value::from(*number),
            (_, Queried::UInt(number)) => unsigned(*number),
            (_, Queried::Float(number)) => float(*number),
            (_, Queried::Double(number)) => Value::from(*number),
            (_, Queried::Date(year, month, day, hour, minute, second, micros)) => {
                let civil = Civil {
                    year: (*year).into(),
                    month: (*month).into(),
                    day: (*day).into(),
                    hour: (*hour).into(),
                    minute: (*minute).into(),
                    second: (*second).into(),
                    micros: (*micros).into(),
                };
                match self {
                    Kind::Date => Value::text(civil.date()),
                    Kind::Timestamp { digits } => Value::text(civil.date_time(*digits) + "Z"),
                    Kind::OldTimestamp => Value::text(civil.date_time(0) + "Z"),
                    Kind::DateTime { digits } => Value::text(civil.date_time(*digits)),
                    _ => Value::text(civil.date_time(0)),
                }
            }
            (_, Queried::Time(negative, days, hours, minutes, seconds, micros)) => {
                let seconds = u64::from(*days) * 86_400
                    + u64::from(*hours) * 3600
                    + u64::from(*minutes) * 60
                    + u64::from(*seconds);
                let digits = if let Kind::Time { digits } = self { *digits } else { 0 };
                Value::text(times::duration(*negative, seconds, (*micros).into(), digits))
            }
            (_, Queried::Bytes(bytes)) => self.queried_bytes(bytes),
        }
    }

    fn queried_bytes(&self, bytes: &[u8]) -> Value {
        let text = || std::str::from_utf8(bytes).ok();
        match self {
            Kind::Bit { .. } => Cursor(bytes).big(bytes.len().min(8)).map_or(Value::Null, unsigned),
            Kind::Decimal { .. } => text().map_or_else(|| base64(bytes), |text| Value::text(trimmed(text))),
            Kind::Set { .. } => {
                let members = text().unwrap_or_default().split(',').filter(|member| !member.is_empty());
                Value::array(members.map(Value::text))
            }
            Kind::Json => Value::parse(bytes).unwrap_or_else(|_| base64(bytes)),
            Kind::Fixed { charset, .. } | Kind::Varying { charset, .. } | Kind::Long { charset, .. }
                if !matches!(charset, Charset::Binary | Charset::Unread) =>
            {
                text().map_or_else(|| base64(bytes), Value::text)
            }
            Kind::Enum { .. } => text().map_or_else(|| base64(bytes), Value::text),
            _ => base64(bytes),
        }
    }

    /// Its name, as a table is written.
    pub(super) fn name(&self) -> String {
        let binary = |charset: &Charset, bytes: &str, text: &str| {
            (if charset.is_binary() { bytes } else { text }).to_owned()
        };
        match self {
            Kind::Integer { bytes, unsigned } => {
                let name = ["", "tinyint", "smallint", "mediumint", "int"].get(usize::from(*bytes));
                let name = name.copied().unwrap_or("bigint");
                if *unsigned { format!("{name} unsigned") } else { name.to_owned() }
            }
            Kind::Float => "float".into(),
            Kind::Double => "double".into(),
            Kind::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            Kind::Bit { .. } => "bit".into(),
            Kind::Year => "year".into(),
            Kind::Date => "date".into(),
            Kind::Time { .. } | Kind::OldTime => "time".into(),
            Kind::DateTime { .. } | Kind::OldDateTime => "datetime".into(),
            Kind::Timestamp { .. } | Kind::OldTimestamp => "timestamp".into(),
            Kind::Enum { .. } => "enum".into(),
            Kind::Set { .. } => "set".into(),
            Kind::Fixed { charset, .. } => binary(charset, "binary", "char"),
            Kind::Varying { charset, .. } => binary(charset, "varbinary", "varchar"),
            Kind::Long { charset, .. } => binary(charset, "blob", "text"),
            Kind::Json => "json".into(),
            Kind::Opaque { name, .. } => (*name).into(),
            Kind::Unknown(kind) => format!("type {kind}"),
        }
    }
}

fn unsigned(number: u64) -> Value {
    i64::try_from(number)
        .map_or_else(|_| Number::parse(&number.to_string()).map_or(Value::Null, Value::from), Value::from)
}

/// The shortest number that is the same float.
fn float(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// 0 is 0, others count from 1900.
fn year(stored: u64) -> Value {
    Value::from(if stored == 0 { 0 } else { 1900 + stored })
}

/// Members count from 1; 0 is what was not valid, and stands for the empty text.
fn member(members: &[Arc<str>], index: u64) -> Value {
    if index == 0 {
        return Value::text("");
    }
    match members.get(index as usize - 1) {
        Some(member) => Value::String(member.clone()),
        None => Value::from(index),
    }
}

fn subset(members: &[Arc<str>], bits: &[u8]) -> Value {
    if members.is_empty() {
        return Cursor(bits).little(bits.len()).map_or(Value::Null, unsigned);
    }
    let chosen = members.iter().enumerate().filter(|(index, _)| bit(bits, *index));
    Value::array(chosen.map(|(_, member)| Value::String(member.clone())))
}

/// The log leaves zeros at the end of BINARY out.
fn fixed(bytes: &[u8], most: u16, charset: Charset) -> Value {
    if charset.is_binary() && bytes.len() < usize::from(most) {
        let mut whole = bytes.to_vec();
        whole.resize(usize::from(most), 0);
        return base64(&whole);
    }
    charset.value(bytes)
}

fn long<'a>(cursor: &mut Cursor<'a>, length: u8) -> Result<&'a [u8], Malformed> {
    let count = cursor.little(usize::from(length))? as usize;
    cursor.take(count)
}

/// Bytes that so many digits take.
fn digit_bytes(digits: usize) -> usize {
    [0, 1, 1, 2, 2, 3, 3, 4, 4][digits % 9] + digits / 9 * 4
}

/// DECIMAL: groups of nine digits in four bytes, the shorter groups at both ends; the first bit is set in numbers that
/// are not negative, and all bits of negative ones are turned.
pub(super) fn decimal(cursor: &mut Cursor<'_>, precision: u8, scale: u8) -> Result<String, Malformed> {
    let scale = usize::from(scale);
    let whole = usize::from(precision).checked_sub(scale).ok_or(Malformed::Short)?;
    let mut bytes = cursor.take(digit_bytes(whole) + digit_bytes(scale))?.to_vec();
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 == 0);
    if let Some(first) = bytes.first_mut() {
        *first ^= 0x80;
    }
    if negative {
        for byte in &mut bytes {
            *byte = !*byte;
        }
    }
    let mut groups = Cursor(&bytes);
    let mut digits = String::new();
    let mut group = |count: usize, text: &mut String| -> Result<(), Malformed> {
        if count > 0 {
            let number = groups.big(digit_bytes(count))?;
            let _ = write!(text, "{number:0count$}");
        }
        Ok(())
    };
    group(whole % 9, &mut digits)?;
    for _ in 0..whole / 9 {
        group(9, &mut digits)?;
    }
    let mut behind = String::new();
    for _ in 0..scale / 9 {
        group(9, &mut behind)?;
    }
    group(scale % 9, &mut behind)?;
    let sign = if negative { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    Ok(trimmed(&format!("{sign}{digits}{point}{behind}")))
}

/// Without zeros in front, one before the point excepted.
fn trimmed(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let kept = digits.trim_start_matches('0');
    let zero = if kept.is_empty() || kept.starts_with('.') { "0" } else { "" };
    format!("{sign}{zero}{kept}")
}
