//! `run.shell` and `run.script` in their compiled form.
//!
//! Owns the types of programs that a task runs on the server's machine. Starts nothing.

use std::sync::Arc;

use super::Need;
use crate::expr::Template;

/// `run.shell` or `run.script`, unevaluated. Evaluated into a [`crate::order::ProcessRun`] when the call is sent.
#[derive(Debug)]
pub struct RunProcess {
    /// What is run.
    pub program: Runnable,
    /// Standard input: text as it is, other values as JSON; absent: empty.
    pub stdin: Option<Template>,
    /// Evaluates to a list of scalars.
    pub arguments: Option<Template>,
    /// Evaluates to an object of scalars.
    pub environment: Option<Template>,
    /// What the task outputs.
    pub returns: Returns,
    /// Wait for its end; else the task goes on once the program is started.
    pub wait: bool,
}

/// What a run task runs.
#[derive(Debug)]
pub enum Runnable {
    /// A command of `/bin/sh`; evaluates to text.
    Shell(Template),
    /// A script, never evaluated.
    Script(Language, Code),
}

/// The text of a script, here or elsewhere.
#[derive(Debug)]
pub enum Code {
    /// `code`.
    Here(Arc<str>),
    /// `source`: fetched before the task begins.
    Elsewhere(Need),
}

/// The languages of scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `js`, by node.
    JavaScript,
    /// `python`, by python3.
    Python,
}

/// `return`: what of a program becomes the task's raw output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Returns {
    /// What it wrote to standard output, as text.
    #[default]
    Stdout,
    /// What it wrote to standard error, as text.
    Stderr,
    /// Its exit code.
    Code,
    /// `{code, stdout, stderr}`.
    All,
    /// Null.
    None,
}
