//! MySQL's binary JSON as a value: pure.
//!
//! Owns the format of JSON columns in the binlog. Dates and decimals in it become what the server prints for them.

use std::sync::Arc;

use tidemill_dsl::value::{Map, Number, Value};

use super::cursor::{Cursor, Malformed};
use super::times::{self, Civil};
use super::value::{base64_text, decimal};

/// Deepest nesting that is read; the server allows 100.
const MAX_DEPTH: usize = 128;

/// Reads a whole document; no bytes are `null`.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Malformed> {
    match bytes.split_first() {
        None => Ok(Value::Null),
        Some((kind, body)) => value(*kind, body, MAX_DEPTH),
    }
}

fn value(kind: u8, body: &[u8], depth: usize) -> Result<Value, Malformed> {
    if depth == 0 {
        return Err(Malformed::Wrong("a JSON value is nested too deeply".into()));
    }
    let mut cursor = Cursor(body);
    Ok(match kind {
        0x00 | 0x02 => container(body, kind == 0x00, 2, depth)?,
        0x01 | 0x03 => container(body, kind == 0x01, 4, depth)?,
        0x04 => literal(cursor.byte()?)?,
        0x05 => Value::from(cursor.little_signed(2)?),
        0x06 => Value::from(cursor.little(2)?),
        0x07 => Value::from(cursor.little_signed(4)?),
        0x08 => Value::from(cursor.little(4)?),
        0x09 => Value::from(cursor.little_signed(8)?),
        0x0a => Value::from(cursor.little(8)?),
        0x0b => Value::from(f64::from_bits(cursor.little(8)?)),
        0x0c => {
            let bytes = counted(&mut cursor)?;
            let text = std::str::from_utf8(bytes).map_err(|_| wrong("a JSON string is no UTF-8"))?;
            Value::text(text)
        }
        0x0f => {
            let kind = cursor.byte()?;
            opaque(kind, counted(&mut cursor)?)?
        }
        other => return Err(wrong(&format!("a JSON value is of the unknown kind {other}"))),
    })
}

fn wrong(why: &str) -> Malformed {
    Malformed::Wrong(why.to_owned())
}

fn literal(byte: u8) -> Result<Value, Malformed> {
    match byte {
        0 => Ok(Value::Null),
        1 => Ok(Value::Bool(true)),
        2 => Ok(Value::Bool(false)),
        _ => Err(wrong("a JSON literal is neither null nor true nor false")),
    }
}

/// Bytes behind a length in groups of seven bits.
fn counted<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let mut length = 0_usize;
    for group in 0..5 {
        let byte = cursor.byte()?;
        length |= usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return cursor.take(length);
        }
    }
    Err(wrong("the length of a JSON string does not end"))
}

/// An object or an array; offsets count from its first byte, and small values stand in place of their offsets.
fn container(body: &[u8], is_object: bool, width: usize, depth: usize) -> Result<Value, Malformed> {
    let mut cursor = Cursor(body);
    let count = cursor.little(width)? as usize;
    cursor.take(width)?;
    let entry = width + 1 + if is_object { width + 2 } else { 0 };
    if count.saturating_mul(entry) > cursor.0.len() {
        return Err(Malformed::Short);
    }
    let from = |offset: usize| body.get(offset..).ok_or(Malformed::Short);
    let mut keys: Vec<Arc<str>> = Vec::new();
    if is_object {
        for _ in 0..count {
            let (offset, length) = (cursor.little(width)? as usize, cursor.little(2)? as usize);
            let bytes = Cursor(from(offset)?).take(length)?;
            keys.push(std::str::from_utf8(bytes).map_err(|_| wrong("a JSON key is no UTF-8"))?.into());
        }
    }
    let mut item = || {
        let kind = cursor.byte()?;
        let place = cursor.take(width)?;
        let inline = matches!(kind, 0x04..=0x06) || (width == 4 && matches!(kind, 0x07 | 0x08));
        let bytes = if inline { place } else { from(Cursor(place).little(width)? as usize)? };
        value(kind, bytes, depth - 1)
    };
    if is_object {
        let members: Result<Map, Malformed> = keys.into_iter().map(|key| Ok((key, item()?))).collect();
        return members.map(Value::from);
    }
    let items: Result<Vec<Value>, Malformed> = (0..count).map(|_| item()).collect();
    items.map(Value::from)
}

/// A value of a column type that JSON lacks.
fn opaque(kind: u8, bytes: &[u8]) -> Result<Value, Malformed> {
    let mut cursor = Cursor(bytes);
    Ok(match kind {
        246 => {
            let (precision, scale) = (cursor.byte()?, cursor.byte()?);
            let text = decimal(&mut cursor, precision, scale)?;
            Number::parse(&text).map_or_else(|| Value::text(text), Value::from)
        }
        7 | 10 | 12 => {
            let packed = cursor.little(8)?;
            let (micros, rest) = (packed & 0xff_ffff, packed >> 24);
            let months = rest >> 22;
            let civil = Civil {
                year: months / 13,
                month: months % 13,
                day: rest >> 17 & 31,
                hour: rest >> 12 & 31,
                minute: rest >> 6 & 63,
                second: rest & 63,
                micros,
            };
            Value::text(if kind == 10 { civil.date() } else { civil.date_time(6).replace('T', " ") })
        }
        11 => {
            let packed = cursor.little_signed(8)?;
            let size = packed.unsigned_abs();
            let (micros, rest) = (size & 0xff_ffff, size >> 24);
            let seconds = (rest >> 12 & 0x3ff) * 3600 + (rest >> 6 & 63) * 60 + (rest & 63);
            Value::text(times::duration(packed < 0, seconds, micros, 6))
        }
        other => Value::text(format!("base64:type{other}:{}", base64_text(bytes))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(read(bytes).unwrap().to_string(), expected);
    }

    #[test]
    fn documents() {
        check(&[], "null");
        check(&[0x04, 1], "true");
        check(&[0x05, 0xfe, 0xff], "-2");
        check(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "18446744073709551615");
        check(&[0x0b, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "1.5");
        check(&[0x0c, 3, b'a', b'"', b'b'], r#""a\"b""#);
        // {"a": [1, "x"], "b": null}
        let object = [
            0x00, 2, 0, 38, 0, 18, 0, 1, 0, 19, 0, 1, 0, 0x02, 20, 0, 0x04, 0, 0, b'a', b'b', 2, 0, 12, 0,
            0x05, 1, 0, 0x0c, 10, 0, 1, b'x',
        ];
        check(&object, r#"{"a":[1,"x"],"b":null}"#);
        // 12.50 as decimal(4,2), and a date with its time.
        check(&[0x0f, 246, 4, 4, 2, 0x8c, 50], "12.5");
        check(&[0x0f, 11, 8, 0, 0, 0, 1, 0, 0, 0, 0], r#""00:00:01.000000""#);
        check(&[0x0f, 252, 1, 7], r#""base64:type252:Bw==""#);
    }

    #[test]
    fn what_is_broken_is_told() {
        for bytes in [&[0x00, 2][..], &[0x02, 0xff, 0xff, 0, 0], &[0x0c, 9, b'a'], &[0x04, 7], &[0x99]] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        // An array that holds itself.
        assert!(read(&[0x02, 1, 0, 7, 0, 0x02, 0, 0]).is_err());
    }
}
