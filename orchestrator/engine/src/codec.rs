//! Bytes: varints, texts, values. The primitives of stored bodies (D9).
//!
//! Knows nothing of records. Reading never panics and never allocates more than the bytes at hand justify.

use std::sync::Arc;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Time;
use tidemill_dsl::value::Value;

/// Why stored bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read a stored record: {0}")]
pub struct DecodeError(pub &'static str);

/// A reading's result.
pub(crate) type Read<T> = Result<T, DecodeError>;

/// Appends primitives.
#[derive(Default)]
pub(crate) struct Writer {
    pub bytes: Vec<u8>,
    scratch: Vec<u8>,
}

impl Writer {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub(crate) fn time(&mut self, time: Time) {
        self.number(zigzag(time.0));
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    pub(crate) fn value(&mut self, value: &Value) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        value.write(&mut scratch);
        self.raw(&scratch);
        self.scratch = scratch;
    }

    /// A presence byte, then the content.
    pub(crate) fn option<T: ?Sized>(&mut self, option: Option<&T>, write: impl FnOnce(&mut Writer, &T)) {
        self.byte(u8::from(option.is_some()));
        if let Some(content) = option {
            write(self, content);
        }
    }

    pub(crate) fn optional_text(&mut self, text: Option<&Arc<str>>) {
        self.option(text, |writer, text| writer.text(text));
    }

    pub(crate) fn optional_time(&mut self, time: Option<Time>) {
        self.option(time.as_ref(), |writer, time| writer.time(*time));
    }

    pub(crate) fn optional_value(&mut self, value: Option<&Value>) {
        self.option(value, Writer::value);
    }

    pub(crate) fn fault(&mut self, fault: &Fault) {
        self.text(&fault.kind);
        self.number(zigzag(fault.status));
        for text in [&fault.title, &fault.detail, &fault.instance] {
            self.optional_text(text.as_ref());
        }
    }
}

/// Reads primitives.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.bytes.split_first().ok_or(DecodeError("it ends too early"))?;
        self.bytes = rest;
        Ok(*first)
    }

    pub(crate) fn number(&mut self) -> Read<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(DecodeError("a number is too long"))
    }

    pub(crate) fn small(&mut self) -> Read<u32> {
        u32::try_from(self.number()?).map_err(|_| DecodeError("a number is too large"))
    }

    pub(crate) fn flag(&mut self) -> Read<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError("a flag is neither 0 nor 1")),
        }
    }

    pub(crate) fn signed(&mut self) -> Read<i64> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(crate) fn time(&mut self) -> Read<Time> {
        Ok(Time(self.signed()?))
    }

    pub(crate) fn raw(&mut self) -> Read<&'a [u8]> {
        let length = self.number()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.bytes.len());
        let (raw, rest) = self.bytes.split_at(length.ok_or(DecodeError("it ends too early"))?);
        self.bytes = rest;
        Ok(raw)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.raw()?.try_into().map_err(|_| DecodeError("an identity has the wrong length"))
    }

    pub(crate) fn text(&mut self) -> Read<Arc<str>> {
        std::str::from_utf8(self.raw()?).map(Arc::from).map_err(|_| DecodeError("a text is no UTF-8"))
    }

    pub(crate) fn value(&mut self) -> Read<Value> {
        Value::parse(self.raw()?).map_err(|_| DecodeError("a value is no JSON"))
    }

    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Read<T>) -> Read<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Reads as many items as a leading number says.
    pub(crate) fn list<T>(&mut self, mut read: impl FnMut(&mut Reader<'a>) -> Read<T>) -> Read<Vec<T>> {
        let count = self.number()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    pub(crate) fn fault(&mut self) -> Read<Fault> {
        Ok(Fault {
            kind: self.text()?,
            status: self.signed()?,
            title: self.option(Reader::text)?,
            detail: self.option(Reader::text)?,
            instance: self.option(Reader::text)?,
        })
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}
