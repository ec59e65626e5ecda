//! `batch` and `event replay`: bulk work that the server does, begun, followed and steered from here.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use reqwest::Method;
use tidemill_dsl::value::Value;

use super::args::{BatchStartArgs, BatchVerb, PaceArgs, ReplayArgs, Shared};
use super::client::{Body, Client};
use super::exit::{FAILURE, OK, Outcome};
use super::input;
use super::output::{self, Column};
use super::progress::filled;

const BATCHES: &[Column] = &[
    ("ID", "/id"),
    ("ACTION", "/action"),
    ("STATE", "/state"),
    ("TOTAL", "/total"),
    ("HANDLED", "/handled"),
    ("DONE", "/done"),
    ("SKIPPED", "/skipped"),
    ("FAILED", "/failed"),
    ("CREATED", "/createdAt"),
];
/// Between two looks at a batch.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn batch(verb: BatchVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        BatchVerb::List => {
            output::list(shared.output, &client.list(&["batches"], &[], usize::MAX).await?, BATCHES);
            Ok(OK)
        }
        BatchVerb::Show { id } => {
            output::object(shared.output, &client.get(&["batches", &id], &[]).await?, "/id");
            Ok(OK)
        }
        BatchVerb::Start(args) => start(&client, shared, &args).await,
        BatchVerb::Watch { id } => follow(&client, shared, &id).await,
        BatchVerb::Pause { id } => turn(&client, &id, "pause").await,
        BatchVerb::Resume { id } => turn(&client, &id, "resume").await,
        BatchVerb::Cancel { id } => {
            input::confirm(&format!("cancel batch {id}"), shared.yes)?;
            turn(&client, &id, "cancel").await
        }
    }
}

async fn turn(client: &Client, id: &str, verb: &str) -> Outcome {
    client.call(Method::POST, &["batches", id, verb], &[], Body::None).await?;
    output::note(&format!("{verb}: done; see it with: tidemill batch show {id}"));
    Ok(OK)
}

async fn start(client: &Client, shared: &Shared, args: &BatchStartArgs) -> Outcome {
    if !args.pace.dry_run {
        input::confirm(&format!("{} executions in bulk", args.action.word()), shared.yes)?;
    }
    begin(client, shared, (&["batches"], start_body(args)), &args.pace).await
}

fn start_body(args: &BatchStartArgs) -> Value {
    let texts = |list: &[String]| Value::array(list.iter().map(|text| Value::text(text.as_str())));
    let mut filter: Vec<(&str, Value)> = Vec::new();
    for (name, list) in [("ids", &args.ids), ("status", &args.status), ("tags", &args.tag)] {
        if !list.is_empty() {
            filter.push((name, texts(list)));
        }
    }
    let options = [
        ("workflow", &args.workflow),
        ("trigger", &args.trigger),
        ("since", &args.since),
        ("until", &args.until),
    ];
    filter.extend(given(&options));
    let own = [("action", Value::text(args.action.word())), ("filter", Value::object(filter))];
    let reason = given(&[("reason", &args.reason)]);
    Value::object(own.into_iter().chain(reason).chain(pace(&args.pace)))
}

fn given<'a>(options: &[(&'a str, &Option<String>)]) -> Vec<(&'a str, Value)> {
    options.iter().filter_map(|(name, value)| Some((*name, Value::text(value.as_deref()?)))).collect()
}

/// The members of a body that say how fast and how far.
pub(super) fn pace(pace: &PaceArgs) -> Vec<(&'static str, Value)> {
    let mut members = vec![("dryRun", Value::from(pace.dry_run))];
    members.extend(pace.rate.iter().map(|rate| ("rate", Value::text(rate.as_str()))));
    members.extend(pace.limit.iter().map(|limit| ("limit", Value::from(*limit))));
    members
}

/// `event replay`.
pub(super) async fn replay(args: &ReplayArgs, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    let options = [("type", &args.event_type), ("since", &args.since), ("until", &args.until)];
    let own = std::iter::once(("trigger", Value::text(args.trigger.as_str())));
    let body = Value::object(own.chain(given(&options)).chain(pace(&args.pace)));
    begin(&client, shared, (&["events", "replay"], body), &args.pace).await
}

/// Begins a batch, or counts what it would touch; follows it if asked to.
pub(super) async fn begin(
    client: &Client,
    shared: &Shared,
    (path, body): (&[&str], Value),
    pace: &PaceArgs,
) -> Outcome {
    let answer = client.call(Method::POST, path, &[], Body::Json(body)).await?;
    output::object(shared.output, &answer.body, if pace.dry_run { "/matched" } else { "/id" });
    let Some(id) = answer.body.get("id").and_then(Value::as_str) else {
        output::note("nothing was done (--dry-run)");
        return Ok(OK);
    };
    if pace.wait {
        return follow(client, shared, id).await;
    }
    output::note(&format!("follow it with: tidemill batch watch {id}"));
    Ok(OK)
}

/// Follows a batch to its end; people at a terminal see how far it is.
async fn follow(client: &Client, shared: &Shared, id: &str) -> Outcome {
    let bar = std::io::stderr().is_terminal();
    loop {
        let batch = client.get(&["batches", id], &[]).await?;
        let state = batch.get("state").and_then(Value::as_str).unwrap_or_default();
        let ended = matches!(state, "completed" | "cancelled");
        if bar {
            progress(&batch, state, ended);
        }
        if ended {
            output::object(shared.output, &batch, "/id");
            let failed = batch.get("failed").and_then(Value::as_i64).unwrap_or_default();
            return Ok(if failed > 0 { FAILURE } else { OK });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One line on standard error, written over by the next.
fn progress(batch: &Value, state: &str, ended: bool) {
    let number = |name: &str| {
        batch.get(name).and_then(Value::as_i64).and_then(|n| u64::try_from(n).ok()).unwrap_or_default()
    };
    let (handled, total) = (number("handled"), number("total").max(1));
    let line = format!("{state} {} {handled}/{total}", filled(handled, total));
    let mut err = std::io::stderr().lock();
    let end = if ended { "\n" } else { "" };
    let _ = write!(err, "\r{line}{end}").and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::super::args::BatchAction;
    use super::*;

    #[test]
    fn bodies_state_only_what_was_given() {
        let pace = PaceArgs { rate: Some("10/s".into()), limit: Some(5), ..PaceArgs::default() };
        let args = BatchStartArgs {
            action: BatchAction::Retry,
            ids: Vec::new(),
            workflow: Some("order".into()),
            status: vec!["faulted".into()],
            trigger: None,
            tag: vec!["a:b".into()],
            since: None,
            until: None,
            reason: Some("mended".into()),
            pace,
        };
        let expected = r#"{"action":"retry","filter":{"status":["faulted"],"tags":["a:b"],"workflow":"order"},"reason":"mended","dryRun":false,"rate":"10/s","limit":5}"#;
        assert_eq!(start_body(&args).to_string(), expected);
    }
}
