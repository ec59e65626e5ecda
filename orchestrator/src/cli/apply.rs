//! `apply` and `diff`: definitions of files sent to a server, all or nothing per namespace.
//!
//! A refusal of the server is told at its place in the files, as `lint` would tell it.

use reqwest::Method;
use tidemill_dsl::diagnostic::{Diagnostic, Span};
use tidemill_dsl::value::Value;

use super::args::{ApplyArgs, DiffArgs, Shared};
use super::client::{Answer, Body, Client, succeeded};
use super::definitions::{Bundle, Definitions, Found, namespace_of};
use super::exit::{DIFFERENT, Failure, LINT, OK, Outcome};
use super::output::{self, Column};

const CHANGES: &[Column] = &[
    ("CHANGE", "/change"),
    ("KIND", "/kind"),
    ("NAME", "/name"),
    ("VERSION", "/version"),
    ("NAMESPACE", "/namespace"),
];

pub(super) async fn run(args: &ApplyArgs, shared: &Shared) -> Outcome {
    let changes = send(shared, &args.files, args.dry_run).await?;
    output::list(shared.output, &changes, CHANGES);
    if args.dry_run {
        output::note("nothing was changed (--dry-run)");
    }
    Ok(OK)
}

pub(super) async fn diff(args: &DiffArgs, shared: &Shared) -> Outcome {
    let mut changes = send(shared, &args.files, true).await?;
    changes.retain(|change| change.get("change").and_then(Value::as_str) != Some("unchanged"));
    if changes.is_empty() {
        output::note("no differences");
        return Ok(OK);
    }
    output::list(shared.output, &changes, CHANGES);
    Ok(DIFFERENT)
}

/// Sends the set, namespace by namespace; with several of them each is judged before any is changed.
async fn send(shared: &Shared, files: &[std::path::PathBuf], dry_run: bool) -> Result<Vec<Value>, Failure> {
    let set = Definitions::read(files)?;
    if !set.unreadable.is_empty() {
        return Err(refused(&set, &set.unreadable));
    }
    for name in &set.skipped {
        output::note(&format!("skipped {name}: neither workflow nor manifest"));
    }
    if set.documents.is_empty() {
        let failure = Failure::new(LINT, "apply: there is no definition in these files");
        return Err(failure.try_next("name files that hold workflows or manifests"));
    }
    let client = Client::new(shared)?;
    // A namespace that was asked for is the one of all documents; the server refuses those that name another.
    let namespaces = match &shared.namespace {
        Some(namespace) => vec![namespace.clone()],
        None => set.namespaces(shared.namespace()),
    };
    if namespaces.len() > 1 && !dry_run {
        round(&client, shared, (&set, &namespaces), true).await?;
    }
    round(&client, shared, (&set, &namespaces), dry_run).await
}

async fn round(
    client: &Client,
    shared: &Shared,
    (set, namespaces): (&Definitions, &[String]),
    dry_run: bool,
) -> Result<Vec<Value>, Failure> {
    let (all, fallback) = (shared.namespace.is_some(), shared.namespace());
    let mut changes = Vec::new();
    for namespace in namespaces {
        let bundle = set.bundle(|node| all || namespace_of(node).unwrap_or(fallback) == namespace);
        changes.extend(post(&client.of_namespace(namespace), set, &bundle, (namespace, dry_run)).await?);
    }
    Ok(changes)
}

async fn post(
    client: &Client,
    set: &Definitions,
    bundle: &Bundle,
    (namespace, dry_run): (&str, bool),
) -> Result<Vec<Value>, Failure> {
    let query: &[(&str, &str)] = if dry_run { &[("dryRun", "true")] } else { &[] };
    let body = Body::Text("application/yaml", bundle.text.clone());
    let answer = client.ask(Method::POST, (&["apply"], query), body, &[]).await?;
    let found = mistakes(&answer, bundle);
    if !found.is_empty() {
        return Err(refused(set, &found));
    }
    let answer = succeeded(answer)?;
    let results = answer.body.get("results").and_then(Value::as_array).unwrap_or_default();
    Ok(results.iter().map(|result| named(result, namespace)).collect())
}

/// A result with its namespace.
fn named(result: &Value, namespace: &str) -> Value {
    let mut members = result.as_object().cloned().unwrap_or_default();
    members.insert("namespace".into(), Value::text(namespace));
    Value::from(members)
}

/// The failure that tells mistakes.
pub(super) fn refused(set: &Definitions, found: &[Found]) -> Failure {
    let failure = Failure::whole(LINT, set.render(found));
    match found.first() {
        Some((_, first)) => failure.try_next(format!("tidemill explain {}", first.code)),
        None => failure,
    }
}

/// The mistakes of a refusal, at their places in the files.
fn mistakes(answer: &Answer, bundle: &Bundle) -> Vec<Found> {
    if !matches!(answer.status, 400 | 422) {
        return Vec::new();
    }
    let errors = answer.body.get("errors").and_then(Value::as_array).unwrap_or_default();
    errors.iter().filter_map(|error| Some(bundle.place(diagnostic(error, &bundle.text)?))).collect()
}

fn diagnostic(error: &Value, text: &str) -> Option<Diagnostic> {
    let number = |name: &str| error.get(name).and_then(Value::as_i64).and_then(|n| u32::try_from(n).ok());
    let words = |name: &str| error.get(name).and_then(Value::as_str);
    let (line, column) = (number("line")?, number("column")?);
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(str::len).sum();
    let rest = text.get(before..)?;
    let start = before + rest.char_indices().nth(column.saturating_sub(1) as usize).map_or(0, |(at, _)| at);
    let width = text.get(start..)?.find([' ', ':', ',', '\n', '}', ']']).unwrap_or(1).max(1);
    let code = words("code").and_then(tidemill_dsl::codes::explain).map_or("refused", |code| code.code);
    let span = Span { line, column, start, end: start + width };
    let mut found = Diagnostic::error(code, span, words("message")?).at(words("pointer").unwrap_or_default());
    found.help = words("help").map(str::to_owned);
    Some(found)
}
