//! Reading a program's outputs with a cap: everything is drained, a bounded part is kept.
//!
//! Owns the caps. May not interpret what was read.

use tokio::io::{AsyncRead, AsyncReadExt};

/// What is kept of each of stdout and stderr for the log, in bytes (limit `process-log`).
pub(crate) const LOG: usize = 64 * 1024;
/// What of stderr goes into an error.
const SAID: usize = 2000;

/// What was read of one output.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    /// The bytes, or the last of them.
    pub(crate) bytes: Vec<u8>,
    /// Bytes dropped at the front because of the cap.
    pub(crate) dropped: u64,
}

impl Captured {
    /// Adds bytes; beyond `cap` only the last `cap` bytes are kept.
    pub(crate) fn push(&mut self, chunk: &[u8], cap: usize) {
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() > cap * 2 {
            self.cut(cap);
        }
    }

    /// Keeps the last `cap` bytes.
    fn cut(&mut self, cap: usize) {
        let over = self.bytes.len().saturating_sub(cap);
        if over > 0 {
            self.bytes.drain(..over);
            self.dropped += over as u64;
        }
    }

    /// The end of the text, for an error.
    pub(crate) fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim();
        let count = text.chars().count();
        if count <= SAID {
            return text.to_owned();
        }
        let tail: String = text.chars().skip(count - SAID).collect();
        format!("...{tail}")
    }

    /// The text for the log.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.bytes[self.bytes.len().saturating_sub(LOG)..]).into_owned()
    }
}

/// Reads to the end into `into`, keeping the last `cap` bytes. Cancel safe: what was read stays in `into`.
pub(crate) async fn capture(mut from: impl AsyncRead + Unpin, cap: usize, into: &mut Captured) {
    let mut chunk = vec![0; 8 * 1024];
    while let Ok(count) = from.read(&mut chunk).await {
        if count == 0 {
            break;
        }
        into.push(&chunk[..count], cap);
    }
    into.cut(cap);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tail_is_kept() {
        for (given, cap, kept, dropped) in [("abc", 5, "abc", 0), ("abcdefgh", 3, "fgh", 5), ("", 3, "", 0)] {
            let mut captured = Captured::default();
            capture(given.as_bytes(), cap, &mut captured).await;
            assert_eq!((captured.bytes.as_slice(), captured.dropped), (kept.as_bytes(), dropped), "{given}");
        }
    }

    #[tokio::test]
    async fn a_flood_takes_bounded_memory() {
        let flood = vec![b'x'; 1 << 20];
        let mut captured = Captured::default();
        capture(flood.as_slice(), 1000, &mut captured).await;
        assert!(captured.bytes.capacity() < 64 * 1024);
        assert_eq!(captured.bytes.len() as u64 + captured.dropped, 1 << 20);
    }
}
