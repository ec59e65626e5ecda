//! Numbers of the one JSON value: exact where JSON text is exact.
//!
//! Owns reading, printing and comparing numbers. It may not know about jq or about limits.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A JSON number: an `i64`, a finite `f64`, or the decimal text where neither holds it exactly
/// (and for plain integers beyond `i64`, which stay written out).
///
/// Integral values within `i64` are always held as integers (`1.0` and `1e3` too), so equality is
/// equality of value. Numbers made inside an expression may be non-finite; such a value never
/// leaves the evaluator (`crate::expr`).
#[derive(Clone)]
pub struct Number(Repr);

#[derive(Clone)]
enum Repr {
    Int(i64),
    Float(f64),
    Raw(Arc<str>),
}

/// 2^63, the first `f64` above the range of `i64`.
const I64_END: f64 = 9_223_372_036_854_775_808.0;

/// A decimal `0.DIGITS * 10^exponent`; no zeros at either end of the digits, no digits for zero.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Number {
    /// The number of a finite `f64`; `None` for NaN and the infinities.
    pub fn from_f64(value: f64) -> Option<Number> {
        value.is_finite().then(|| Number::from_any_f64(value))
    }

    /// The number of any `f64`. Only the evaluator, which refuses non-finite results, may use it.
    pub(crate) fn from_any_f64(value: f64) -> Number {
        let integral = value.fract() == 0.0 && value.abs() < I64_END;
        if integral && !(value == 0.0 && value.is_sign_negative()) {
            Number(Repr::Int(value as i64))
        } else {
            Number(Repr::Float(value))
        }
    }

    /// Reads a number in JSON's grammar; `None` when the text is not one.
    pub fn parse(text: &str) -> Option<Number> {
        let end = scan(text.as_bytes());
        (end == Some(text.len())).then(|| Number::from_scanned(text))
    }

    /// The number of text that [`scan`] has accepted.
    pub(crate) fn from_scanned(text: &str) -> Number {
        if let Ok(int) = text.parse::<i64>()
            && !(int == 0 && text.starts_with('-'))
        {
            return Number(Repr::Int(int));
        }
        let decimal = Decimal::read(text);
        if let Some(int) = decimal.as_i64() {
            return if int == 0 && decimal.negative {
                Number(Repr::Float(-0.0))
            } else {
                Number(Repr::Int(int))
            };
        }
        let plain = !text.contains(['.', 'e', 'E']);
        match text.parse::<f64>() {
            Ok(float) if !plain && float.is_finite() && decimal == Decimal::of_f64(float) => {
                Number(Repr::Float(float))
            }
            _ => Number(Repr::Raw(text.into())),
        }
    }

    /// The value as `i64`, if it is integral and within range.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Int(int) => Some(int),
            Repr::Float(float) => (float == 0.0).then_some(0),
            Repr::Raw(_) => None,
        }
    }

    /// The nearest `f64`; text beyond the range of `f64` gives the largest finite one of its sign.
    pub fn as_f64(&self) -> f64 {
        match &self.0 {
            Repr::Int(int) => *int as f64,
            Repr::Float(float) => *float,
            Repr::Raw(text) => text.parse().unwrap_or(f64::MAX).clamp(f64::MIN, f64::MAX),
        }
    }

    /// Whether the value is an integer of any size.
    pub fn is_integer(&self) -> bool {
        match &self.0 {
            Repr::Int(_) => true,
            Repr::Float(float) => float.fract() == 0.0,
            Repr::Raw(text) => {
                let decimal = Decimal::read(text);
                decimal.exponent >= decimal.digits.len() as i64
            }
        }
    }

    /// Whether the value is neither NaN nor infinite.
    pub(crate) fn is_finite(&self) -> bool {
        !matches!(self.0, Repr::Float(float) if !float.is_finite())
    }

    /// The number of characters printing takes, about.
    pub(crate) fn text_len(&self) -> usize {
        match &self.0 {
            Repr::Int(int) => {
                int.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1 + usize::from(*int < 0)
            }
            Repr::Float(_) => 17,
            Repr::Raw(text) => text.len(),
        }
    }

    /// The same number with the other sign.
    pub(crate) fn negated(&self) -> Number {
        match &self.0 {
            Repr::Int(0) => Number(Repr::Int(0)),
            Repr::Int(int) => match int.checked_neg() {
                Some(int) => Number(Repr::Int(int)),
                None => Number::from_scanned("9223372036854775808"),
            },
            Repr::Float(float) => Number::from_any_f64(-*float),
            Repr::Raw(text) => match text.strip_prefix('-') {
                Some(rest) => Number::from_scanned(rest),
                None => Number::from_scanned(&format!("-{text}")),
            },
        }
    }

    /// Orders by value; NaN is below every number and equal to itself.
    pub(crate) fn total_cmp(&self, other: &Number) -> Ordering {
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0) {
            return a.cmp(b);
        }
        let (a, b) = (self.as_f64(), other.as_f64());
        match a.partial_cmp(&b) {
            Some(Ordering::Equal) => {}
            Some(order) => return order,
            None => return b.is_nan().cmp(&a.is_nan()),
        }
        if let (Repr::Float(_), Repr::Float(_)) = (&self.0, &other.0) {
            return Ordering::Equal;
        }
        Decimal::of(self).cmp(&Decimal::of(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        match (&self.0, &other.0) {
            (Repr::Int(a), Repr::Int(b)) => a == b,
            (Repr::Float(a), Repr::Float(b)) => a == b,
            _ => self.total_cmp(other) == Ordering::Equal,
        }
    }
}

impl Eq for Number {}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(int) => write!(f, "{int}"),
            Repr::Raw(text) => f.write_str(text),
            Repr::Float(float) if float.is_nan() => f.write_str("null"),
            Repr::Float(float) => f.write_str(&float_text(float.clamp(f64::MIN, f64::MAX))),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! from_small_integer {
    ($($int:ty),*) => {$(
        impl From<$int> for Number {
            fn from(value: $int) -> Number {
                Number(Repr::Int(i64::from(value)))
            }
        }
    )*};
}
from_small_integer!(i64, i32, u32);

impl From<u64> for Number {
    fn from(value: u64) -> Number {
        match i64::try_from(value) {
            Ok(int) => Number(Repr::Int(int)),
            Err(_) => Number::from_scanned(&value.to_string()),
        }
    }
}

/// The end of the JSON number that `bytes` begin with, if they begin with one.
pub(crate) fn scan(bytes: &[u8]) -> Option<usize> {
    let digits = |mut at: usize| {
        let start = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > start).then_some(at)
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut end = match bytes.get(start)? {
        b'0' => start + 1,
        _ => digits(start)?,
    };
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}

/// Prints a finite float with its shortest digits, laid out as jq lays out results of arithmetic.
fn float_text(value: f64) -> String {
    let decimal = Decimal::of_f64(value);
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let digits: String = decimal.digits.iter().map(|digit| char::from(*digit)).collect();
    if digits.is_empty() {
        return format!("{sign}0");
    }
    let (len, point) = (digits.len() as i64, decimal.exponent);
    if point <= -4 || point > len + 15 {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let exponent = point - 1;
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{dot}{rest}e{exponent_sign}{:02}", exponent.abs());
    }
    if point <= 0 {
        format!("{sign}0.{}{digits}", "0".repeat(-point as usize))
    } else if point >= len {
        format!("{sign}{digits}{}", "0".repeat((point - len) as usize))
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        format!("{sign}{whole}.{fraction}")
    }
}

impl Decimal {
    /// Reads text that [`scan`] accepts, or what Rust prints for a finite `f64`.
    fn read(text: &str) -> Decimal {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let written = exponent.trim_start_matches('+').parse::<i64>();
        let written = written.unwrap_or(if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 });
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let trailing = all[leading..].iter().rev().take_while(|digit| **digit == b'0').count();
        let digits = all[leading..all.len() - trailing].to_vec();
        let exponent = written.saturating_add(whole.len() as i64 - leading as i64);
        let exponent = if digits.is_empty() { 0 } else { exponent };
        Decimal { negative, digits, exponent }
    }

    fn of_f64(value: f64) -> Decimal {
        Decimal::read(&format!("{value:e}"))
    }

    fn of(number: &Number) -> Decimal {
        match &number.0 {
            Repr::Int(int) => Decimal::read(&int.to_string()),
            Repr::Float(float) => Decimal::of_f64(*float),
            Repr::Raw(text) => Decimal::read(text),
        }
    }

    fn as_i64(&self) -> Option<i64> {
        let len = self.digits.len() as i64;
        if self.exponent < len || self.exponent > 19 {
            return None;
        }
        let sign = if self.negative { -1i128 } else { 1 };
        let whole = self.digits.iter().fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let scale = 10i128.pow((self.exponent - len) as u32);
        i64::try_from(sign * whole * scale).ok()
    }

    fn cmp(&self, other: &Decimal) -> Ordering {
        let sign = |decimal: &Decimal| match (decimal.digits.is_empty(), decimal.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let (a, b) = (sign(self), sign(other));
        if a != b || a == 0 {
            return a.cmp(&b);
        }
        let size = self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
        if a < 0 { size.reverse() } else { size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, printed: &str) {
        let number = Number::parse(text).unwrap_or_else(|| panic!("{text} is a number"));
        assert_eq!(number.to_string(), printed, "{text}");
    }

    #[test]
    fn numbers_print_as_integers_shortest_floats_or_their_text() {
        check("0", "0");
        check("-0", "-0");
        check("-0.0", "-0");
        check("1.0", "1");
        check("1e3", "1000");
        check("1.10", "1.1");
        check("-12.5e1", "-125");
        check("0.00001", "1e-05");
        check("0.001", "0.001");
        check("1E-7", "1e-07");
        check("9223372036854775807", "9223372036854775807");
        check("9223372036854775808", "9223372036854775808");
        check("-9223372036854775808", "-9223372036854775808");
        check("100000000000000000000", "100000000000000000000");
        check("1e20", "1e+20");
        check("100000000000000000001", "100000000000000000001");
        check("1.7976931348623157e308", "1.7976931348623157e+308");
        check("1e400", "1e400");
        check("0.1234567890123456789", "0.1234567890123456789");
        check("3.141592653589793", "3.141592653589793");
    }

    #[test]
    fn text_outside_the_grammar_is_no_number() {
        for text in ["", "-", "01", "+1", "1.", ".5", "1e", "1e+", "0x10", "NaN", "1 ", "--1"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn order_and_equality_are_by_value() {
        let number = |text| Number::parse(text).unwrap_or_else(|| panic!("{text}"));
        let rising = [
            "-1e400",
            "-9223372036854775809",
            "-9223372036854775808",
            "-1.5",
            "0",
            "0.1",
            "0.10000000000000000001",
            "9223372036854775807",
            "9223372036854775808",
            "9223372036854775809",
            "1e400",
            "1e401",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(number(a).total_cmp(&number(b)), i.cmp(&j), "{a} against {b}");
                assert_eq!(number(a) == number(b), i == j, "{a} against {b}");
            }
        }
        for (a, b) in [("1", "1.0"), ("-0", "0"), ("1e2", "100"), ("1e400", "10e399"), ("0.5", "5e-1")] {
            assert_eq!(number(a), number(b));
        }
    }

    #[test]
    fn negation_covers_the_edges() {
        let negated = |text| Number::parse(text).unwrap_or_else(|| panic!("{text}")).negated().to_string();
        assert_eq!(negated("-9223372036854775808"), "9223372036854775808");
        assert_eq!(negated("1e400"), "-1e400");
        assert_eq!(negated("0"), "0");
        assert_eq!(negated("1.5"), "-1.5");
    }
}
