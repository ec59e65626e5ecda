//! Reading bytes: the numbers and slices that binlog events are made of.
//!
//! Owns bounds: what is too short is an error, never a panic. Knows no event.

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// They end too early.
    #[error("it ends too early")]
    Short,
    /// A value that cannot be.
    #[error("{0}")]
    Wrong(String),
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A number of at most 8 bytes, the lowest first.
    pub(super) fn little(&mut self, count: usize) -> Result<u64, Malformed> {
        let bytes = self.take(count)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A number of at most 8 bytes, the highest first.
    pub(super) fn big(&mut self, count: usize) -> Result<u64, Malformed> {
        let bytes = self.take(count)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The same with a sign in the highest bit.
    pub(super) fn little_signed(&mut self, count: usize) -> Result<i64, Malformed> {
        let shift = 64 - 8 * count as u32;
        self.little(count).map(|number| (number << shift) as i64 >> shift)
    }

    /// A number whose first byte tells its length.
    pub(super) fn packed(&mut self) -> Result<u64, Malformed> {
        match self.byte()? {
            small @ 0..=250 => Ok(u64::from(small)),
            252 => self.little(2),
            253 => self.little(3),
            254 => self.little(8),
            _ => Err(Malformed::Wrong("a packed number begins with a byte that none begins with".into())),
        }
    }

    /// The same as a length of what is in memory.
    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        self.packed().and_then(|number| usize::try_from(number).map_err(|_| Malformed::Short))
    }

    /// Bytes behind their packed length.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.length()?;
        self.take(count)
    }

    /// The name in front of a zero, behind a length of one byte.
    pub(super) fn name(&mut self) -> Result<&'a str, Malformed> {
        let count = self.byte()?;
        let bytes = self.take(usize::from(count))?;
        self.take(1)?;
        std::str::from_utf8(bytes).map_err(|_| Malformed::Wrong("a name is no UTF-8".into()))
    }
}

/// Whether a bit is set; the lowest bit of the first byte is bit 0.
pub(super) fn bit(bytes: &[u8], index: usize) -> bool {
    bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |bytes: &[u8], expected: Result<u64, Malformed>| {
            assert_eq!(Cursor(bytes).packed(), expected, "{bytes:?}");
        };
        check(&[250], Ok(250));
        check(&[252, 1, 2], Ok(0x0201));
        check(&[253, 1, 2, 3], Ok(0x03_0201));
        check(&[254, 1, 0, 0, 0, 0, 0, 0, 0], Ok(1));
        check(&[252, 1], Err(Malformed::Short));
        check(&[], Err(Malformed::Short));
        assert!(Cursor(&[255]).packed().is_err());
        assert_eq!(Cursor(&[0xff, 0xff, 0xff]).little_signed(3), Ok(-1));
        assert_eq!(Cursor(&[0xfe, 0xff, 0x7f]).little_signed(3), Ok(0x7f_fffe));
        assert_eq!(Cursor(&[1, 2]).big(2), Ok(0x0102));
        assert_eq!(Cursor(&[2, b'a', b'b', 0, 9]).name(), Ok("ab"));
        assert!(bit(&[0, 2], 9) && !bit(&[0, 2], 8) && !bit(&[0], 20));
    }
}
