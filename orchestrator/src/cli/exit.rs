//! How a run of the binary ends: exit codes as constants, and the one error type of the command line.
//!
//! Every failure says what could not be done and, where there is one, what to try next.

use std::fmt;

use tidemill_dsl::value::Value;

use crate::error::Error;
use crate::problem::Problem;

/// All went well.
pub const OK: u8 = 0;
/// It failed, for a reason without a code of its own.
pub const FAILURE: u8 = 1;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;
/// A definition has mistakes, or a test failed.
pub const LINT: u8 = 3;
/// The thing does not exist.
pub const NOT_FOUND: u8 = 4;
/// The state does not allow it.
pub const CONFLICT: u8 = 5;
/// Credentials are missing or not enough.
pub const AUTH: u8 = 6;
/// No answer, not now, or not in time; also: the data folder is in use.
pub const UNAVAILABLE: u8 = 7;
/// The execution ended in a fault.
pub const FAULTED: u8 = 8;
/// Differences were found.
pub const DIFFERENT: u8 = 9;
/// Interrupted by the user.
pub const INTERRUPTED: u8 = 130;

/// Why a run of the binary failed.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// A fragment that reads after "cannot ...", or whole text (diagnostics) when `whole`.
    pub text: String,
    /// What to try next.
    pub next: Option<String>,
    /// Whether `text` is printed as it is.
    pub whole: bool,
}

/// What a part of the command line gives back: an exit code, or why not.
pub type Outcome = Result<u8, Failure>;

impl Failure {
    /// A failure that reads after "cannot ...".
    pub fn new(code: u8, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), next: None, whole: false }
    }

    /// A failure whose text is printed as it is.
    pub fn whole(code: u8, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), next: None, whole: true }
    }

    /// The same with the next thing to try.
    #[must_use]
    pub fn try_next(mut self, next: impl Into<String>) -> Failure {
        self.next = Some(next.into());
        self
    }

    /// From a problem that the server answered with (RFC 9457).
    pub fn of_problem(status: u16, problem: &Value) -> Failure {
        let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
        let detail = if text("detail").is_empty() { text("title") } else { text("detail") };
        let mut shown = match detail {
            "" => format!("error: the server answered with HTTP status {status}"),
            detail => format!("error: {detail}"),
        };
        if !text("code").is_empty() {
            shown = format!("{shown} [{}]", text("code"));
        }
        let next = match status {
            401 | 403 => "send credentials the server takes, or ask its operator",
            404 => lister(detail),
            409 => "look at its state first, for example: tidemill execution show ID",
            429 | 503 | 507 => "try again later; tidemill healthcheck tells how the server is",
            _ => "see tidemill help for what is expected",
        };
        // What was wrong is a word of the command line, not a definition.
        let code = if text("code") == "bad-parameter" { USAGE } else { code_of(status) };
        Failure::whole(code, shown).try_next(next)
    }
}

/// The command that lists things of the kind that a detail could not find.
fn lister(detail: &str) -> &'static str {
    const LISTERS: [(&str, &str); 10] = [
        ("workflow", "tidemill workflow list"),
        ("execution", "tidemill execution list"),
        ("trigger", "tidemill trigger list"),
        ("source", "tidemill source list"),
        ("function", "tidemill function list"),
        ("dead letter", "tidemill dead-letter list"),
        ("batch", "tidemill batch list"),
        ("buffer", "tidemill buffer list"),
        ("event", "tidemill event list"),
        ("secret", "tidemill secret list"),
    ];
    let what = detail.strip_prefix("cannot find ").unwrap_or_default();
    let found = LISTERS.iter().find(|(kind, _)| what.starts_with(kind));
    found.map_or("another --namespace, or tidemill workflow list", |(_, lister)| lister)
}

/// The exit code for an HTTP status.
pub fn code_of(status: u16) -> u8 {
    match status {
        200..=299 => OK,
        401 | 403 => AUTH,
        404 | 410 => NOT_FOUND,
        409 | 412 => CONFLICT,
        400 | 422 => LINT,
        408 | 429 | 502..=504 | 507 => UNAVAILABLE,
        _ => FAILURE,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.whole {
            f.write_str(self.text.trim_end())?;
        } else {
            write!(f, "error: cannot {}", self.text.trim_end())?;
        }
        match &self.next {
            Some(next) => write!(f, "\n  try: {next}"),
            None => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let problem = Problem::from(error);
        let text = format!("error: {} [{}]", problem.detail, problem.code);
        Failure::whole(code_of(problem.status), text)
            .try_next("tidemill lint PATH, or the same with --log-level debug")
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Failure {
        Failure::new(USAGE, error.to_string())
            .try_next("tidemill config show --effective, or tidemill serve --help")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_exit_codes() {
        let check = |status: u16, expected: u8| assert_eq!(code_of(status), expected, "{status}");
        check(202, OK);
        check(400, LINT);
        check(401, AUTH);
        check(404, NOT_FOUND);
        check(409, CONFLICT);
        check(422, LINT);
        check(429, UNAVAILABLE);
        check(500, FAILURE);
        check(503, UNAVAILABLE);
        check(507, UNAVAILABLE);
    }

    #[test]
    fn a_problem_reads_as_a_sentence_with_a_next_step() {
        let problem = br#"{"title": "Not Found", "detail": "cannot find workflow `x`", "code": "not-found"}"#;
        let problem = Value::parse(problem).unwrap();
        let failure = Failure::of_problem(404, &problem);
        assert_eq!(failure.code, NOT_FOUND);
        let parameter = Value::parse(br#"{"detail": "the parameter `x`", "code": "bad-parameter"}"#).unwrap();
        assert_eq!(Failure::of_problem(400, &parameter).code, USAGE);
        assert_eq!(
            failure.to_string(),
            "error: cannot find workflow `x` [not-found]\n  try: tidemill workflow list"
        );
    }
}
