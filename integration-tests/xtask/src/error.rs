//! Why a task could not be done, and the exit code that says so.
//!
//! Owns the one error type of this crate. It may not print: `main` does.

use std::fmt;

/// What a task of this crate returns.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a task ended early.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The command line is not understood; exit code 2.
    Usage(String),
    /// Something could not be done; the text reads after "cannot"; exit code 1.
    Failed(String),
    /// A program that was started has already said what is wrong; nothing more is printed and its exit code is kept.
    Ended(u8),
}

impl Error {
    /// A failure from a fragment that reads after "cannot".
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// The exit code of the whole run.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            Self::Ended(code) => *code,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => out.write_str(text),
            Self::Failed(text) => write!(out, "cannot {text}"),
            Self::Ended(code) => write!(out, "ended with exit code {code}"),
        }
    }
}

/// Puts "cannot ..." text round an IO error: what was tried comes first, the system's reason last.
pub(crate) trait While<T> {
    /// Names what was tried.
    fn cannot(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> While<T> for std::io::Result<T> {
    fn cannot(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|reason| Error::Failed(format!("{}: {reason}", what())))
    }
}
