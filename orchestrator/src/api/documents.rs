//! Whole sets of documents: `apply` and `lint`.
//!
//! Owns their JSON forms. Checking and storing is `apply`'s and the language's.

use axum::response::Response;
use serde::Serialize;
use tidemill_dsl::diagnostic::{Diagnostic, Severity};
use utoipa::ToSchema;

use super::body::{hex, json};
use super::call::Call;
use crate::apply::{self, Applied, Request};
use crate::problem::{Mistake, Problem};

/// The answer to an apply.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyBody {
    /// Rises with each apply that changed something.
    revision: u64,
    /// One per document, in order.
    results: Vec<AppliedBody>,
    warnings: Vec<Mistake>,
}

/// What became of one document.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedBody {
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// `created`, `updated` or `unchanged`.
    change: &'static str,
    digest: String,
}

/// The answer of lint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LintBody {
    /// Whether there is no error.
    valid: bool,
    diagnostics: Vec<Finding>,
}

/// One mistake or warning.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// `error` or `warning`.
    severity: &'static str,
    code: &'static str,
    line: u32,
    column: u32,
    pointer: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// Byte offsets in the text.
    start: usize,
    /// Byte offset behind the last character.
    end: usize,
}

/// What an apply did to one document.
pub(super) fn applied(result: &Applied) -> AppliedBody {
    AppliedBody {
        kind: result.kind,
        name: result.name.to_string(),
        version: result.version.as_ref().map(ToString::to_string),
        change: result.change.word(),
        digest: hex(&result.digest),
    }
}

/// Warnings as told beside an accepted definition.
pub(super) fn warnings(found: &[Diagnostic]) -> Vec<Mistake> {
    found.iter().map(Mistake::from).collect()
}

/// `POST /apply`.
pub async fn apply(call: Call) -> Result<Response, Problem> {
    let request = Request {
        namespace: &call.namespace,
        text: call.text()?,
        dry_run: call.query.flag("dryRun")?,
        expected: None,
        matching: None,
    };
    let outcome = apply::apply(call.rooms(), request).await?;
    let body = ApplyBody {
        revision: outcome.revision,
        results: outcome.results.iter().map(applied).collect(),
        warnings: warnings(&outcome.warnings),
    };
    json(200, &body)
}

/// `POST /v1/lint`: the same diagnostics as the CLI.
pub async fn lint(call: Call) -> Result<Response, Problem> {
    let diagnostics = crate::lint::check(call.text()?, "default");
    let valid = diagnostics.iter().all(|d| d.severity != Severity::Error);
    let diagnostics = diagnostics.into_iter().map(|found| Finding {
        severity: if found.severity == Severity::Error { "error" } else { "warning" },
        code: found.code,
        line: found.span.line.max(1),
        column: found.span.column.max(1),
        pointer: found.pointer,
        message: found.message,
        help: found.help,
        start: found.span.start,
        end: found.span.end,
    });
    json(200, &LintBody { valid, diagnostics: diagnostics.collect() })
}
