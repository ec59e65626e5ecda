//! How far long work is: one line on standard error, for people at a terminal alone.
//!
//! Owns the line. A terminal gets it again for each hundredth, and it is gone when the work is done.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How often a file that grows is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Width of the bar.
const WIDTH: usize = 30;

/// The line of one piece of work.
pub(super) struct Bar {
    what: String,
    total: u64,
    done: u64,
    /// What stands on the terminal; none when there is none.
    shown: Option<String>,
}

impl Bar {
    /// Work on `total` of something; 0 if nobody knows how much it is.
    pub(super) fn new(what: impl Into<String>, total: u64) -> Bar {
        let shown = std::io::stderr().is_terminal().then(String::new);
        let mut bar = Bar { what: what.into(), total, done: 0, shown };
        bar.draw();
        bar
    }

    /// So much more is done.
    pub(super) fn add(&mut self, more: u64) {
        self.set(self.done + more);
    }

    /// So much is done.
    pub(super) fn set(&mut self, done: u64) {
        self.done = done;
        self.draw();
    }

    fn draw(&mut self) {
        let Some(shown) = &mut self.shown else { return };
        let line = line(&self.what, self.done, self.total);
        if line != *shown {
            let rest = " ".repeat(shown.chars().count().saturating_sub(line.chars().count()));
            put(&format!("\r{line}{rest}"));
            *shown = line;
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(shown) = &self.shown {
            put(&format!("\r{}\r", " ".repeat(shown.chars().count())));
        }
    }
}

fn put(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{text}").and_then(|()| err.flush());
}

/// `what [####      ] 40%`, or `what ...` when the total is not known.
fn line(what: &str, done: u64, total: u64) -> String {
    if total == 0 {
        return format!("{what} ...");
    }
    let percent = u128::from(done.min(total)) * 100 / u128::from(total);
    format!("{what} {} {percent}%", filled(done, total))
}

/// `[####      ]`.
pub(super) fn filled(done: u64, total: u64) -> String {
    let part = u128::from(done.min(total)) * WIDTH as u128 / u128::from(total.max(1));
    let part = usize::try_from(part).unwrap_or(WIDTH);
    format!("[{}{}]", "#".repeat(part), " ".repeat(WIDTH - part))
}

/// Does what makes a file grow to about `total` bytes.
pub(super) fn growing<T>(what: &str, (file, total): (&Path, u64), work: impl FnOnce() -> T) -> T {
    let mut bar = Bar::new(what, total);
    std::thread::scope(|scope| {
        let (done, ended) = channel::<()>();
        scope.spawn(move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                bar.set(std::fs::metadata(file).map_or(0, |data| data.len()));
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// Passes bytes on and counts them.
pub(super) struct Counted<W> {
    inner: W,
    bar: Bar,
}

impl<W> Counted<W> {
    pub(super) fn new(inner: W, bar: Bar) -> Counted<W> {
        Counted { inner, bar }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bar.add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check =
            |done: u64, total: u64, expected: &str| assert_eq!(line("copying", done, total), expected);
        check(0, 0, "copying ...");
        check(0, 7, &format!("copying [{}] 0%", " ".repeat(30)));
        check(40, 100, &format!("copying [{}{}] 40%", "#".repeat(12), " ".repeat(18)));
        check(9, 7, &format!("copying [{}] 100%", "#".repeat(30)));
        check(u64::MAX / 2, u64::MAX, &format!("copying [{}{}] 49%", "#".repeat(14), " ".repeat(16)));
    }

    #[test]
    fn work_goes_on_without_a_terminal() {
        let mut out = Counted::new(Vec::new(), Bar { what: "x".into(), total: 3, done: 0, shown: None });
        out.write_all(b"abc").unwrap();
        assert_eq!((out.inner.as_slice(), out.bar.done), (&b"abc"[..], 3));
        assert_eq!(growing("x", (Path::new("nowhere"), 1), || 7), 7);
    }
}
