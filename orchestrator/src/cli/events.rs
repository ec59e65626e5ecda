//! `send`, `event` and `dead-letter`: what came in, why it fired or not, and what failed for good.

use reqwest::Method;
use tidemill_dsl::value::Value;

use super::args::{DeadLetterVerb, EventVerb, FilterArgs, Form, RedriveArgs, SendArgs, Shared};
use super::client::{Body, Client};
use super::exit::{Failure, LINT, OK, Outcome};
use super::output::{self, Column};
use super::{batches, input};

const EVENTS: &[Column] =
    &[("ID", "/id"), ("TYPE", "/type"), ("SOURCE", "/source"), ("SUBJECT", "/subject"), ("TIME", "/time")];
const DEAD: &[Column] = &[
    ("ID", "/id"),
    ("TRIGGER", "/trigger"),
    ("CAUSE", "/cause"),
    ("STATE", "/state"),
    ("EVENT", "/event/id"),
    ("AT", "/at"),
];

/// `send`: one event, or a batch of them.
pub(super) async fn send(args: &SendArgs, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    let event = match &args.file {
        Some(file) => input::json(Some(&input::read(file)?), Value::Null)?,
        None => made(args)?,
    };
    let media = match &event {
        Value::Array(_) => "application/cloudevents-batch+json",
        Value::Object(_) => "application/cloudevents+json",
        other => {
            let failure = Failure::new(LINT, format!("send a {}: an event is an object", other.kind()));
            return Err(failure.try_next("tidemill send --type order.created --data '{\"id\": 1}'"));
        }
    };
    let answer = client.call(Method::POST, &["events"], &[], Body::Text(media, event.to_string())).await?;
    if shared.output.is_some_and(|form| form != Form::Table) {
        output::object(shared.output, &answer.body, "/events/0/id");
        return Ok(OK);
    }
    let events = answer.body.get("events").and_then(Value::as_array).unwrap_or_default();
    let columns: &[Column] =
        &[("ID", "/id"), ("SOURCE", "/source"), ("DUPLICATE", "/duplicate"), ("TRIGGERS", "/triggers")];
    output::list(shared.output, events, columns);
    if let [event] = events {
        let text = |name: &str| output::cell(event.get(name));
        output::note(&format!(
            "see its way with: tidemill event trace '{}' '{}'",
            text("source"),
            text("id")
        ));
    }
    Ok(OK)
}

/// An event from options.
fn made(args: &SendArgs) -> Result<Value, Failure> {
    let id = args.id.clone().unwrap_or_else(|| crate::ids::fresh(crate::clock::system()()));
    let mut members = vec![
        ("specversion", Value::text("1.0")),
        ("id", Value::text(id)),
        ("source", Value::text(args.source.as_str())),
        ("type", Value::text(args.event_type.as_deref().unwrap_or_default())),
    ];
    if let Some(subject) = &args.subject {
        members.push(("subject", Value::text(subject.as_str())));
    }
    for extension in &args.extensions {
        let (name, value) = input::pair(extension, "an extension")?;
        members.push((name, Value::text(value)));
    }
    if args.data.is_some() {
        members.push(("datacontenttype", Value::text("application/json")));
        members.push(("data", input::json(args.data.as_deref(), Value::Null)?));
    }
    Ok(Value::object(members))
}

pub(super) async fn event(verb: EventVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        EventVerb::List { event_type, since, limit } => {
            let options = [("type", event_type.as_deref()), ("since", since.as_deref())];
            let query: Vec<(&str, &str)> =
                options.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
            let items: Vec<Value> =
                client.list(&["events"], &query, limit).await?.into_iter().map(bare).collect();
            output::list(shared.output, &items, EVENTS);
        }
        EventVerb::Show { source, id } => {
            output::object(shared.output, &client.get(&["events", &source, &id], &[]).await?, "/id");
        }
        EventVerb::Replay(args) => return batches::replay(&args, shared).await,
        EventVerb::Trace { source, id } => {
            let trace = client.get(&["events", &source, &id, "trace"], &[]).await?;
            if shared.output.is_some_and(|form| form != Form::Table) {
                output::object(shared.output, &trace, "/id");
            } else {
                explain(&trace);
            }
        }
    }
    Ok(OK)
}

/// An item of the list of events is the event, or has it under `event`.
fn bare(item: Value) -> Value {
    item.get("event").filter(|event| event.get("specversion").is_some()).cloned().unwrap_or(item)
}

/// A trace for people: received, the verdict of every trigger clause by clause, what began.
fn explain(trace: &Value) {
    let items = |name: &str| trace.get(name).and_then(Value::as_array).unwrap_or_default().to_vec();
    let text = |value: &Value, name: &str| output::cell(value.get(name));
    for received in items("received") {
        output::line(&format!("received {} by {}", text(&received, "at"), binding(&received)));
    }
    for trigger in items("triggers") {
        let fired = trigger.get("matched").and_then(Value::as_bool).unwrap_or_default();
        output::line(&format!(
            "trigger {}: {}",
            text(&trigger, "name"),
            if fired { "matches" } else { "does not match" }
        ));
        for clause in trigger.get("clauses").and_then(Value::as_array).unwrap_or_default() {
            let actual = clause.get("actual").map_or_else(|| "absent".to_owned(), ToString::to_string);
            let (verdict, path, test) = (text(clause, "verdict"), text(clause, "path"), text(clause, "test"));
            output::line(&format!("  {verdict}: {path} {test}, is {actual}"));
        }
    }
    for begun in items("executions") {
        output::line(&format!(
            "execution {}: {} ({})",
            text(&begun, "id"),
            text(&begun, "status"),
            text(&begun, "trigger")
        ));
    }
    for dead in items("deadLetters") {
        output::line(&format!(
            "dead letter {}: {} ({})",
            text(&dead, "id"),
            text(&dead, "cause"),
            text(&dead, "trigger")
        ));
    }
}

fn binding(received: &Value) -> String {
    match received.get("binding").and_then(Value::as_str) {
        None | Some("") => "POST /events".into(),
        Some(source) => format!("source {source}"),
    }
}

pub(super) async fn dead_letter(verb: DeadLetterVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        DeadLetterVerb::List { trigger, limit } => {
            let query: Vec<(&str, &str)> =
                trigger.iter().map(|trigger| ("trigger", trigger.as_str())).collect();
            let items = client.list(&["dead-letters"], &query, limit).await?;
            output::list(shared.output, &items, DEAD);
        }
        DeadLetterVerb::Show { id } => {
            output::object(shared.output, &client.get(&["dead-letters", &id], &[]).await?, "/id");
        }
        DeadLetterVerb::Redrive(args) => return redrive(&client, shared, &args).await,
        DeadLetterVerb::Purge(args) => {
            input::confirm("remove dead letters for good", shared.yes)?;
            let mut query: Vec<(&str, &str)> = args.ids.iter().map(|id| ("id", id.as_str())).collect();
            query.extend(options(&args));
            let answer = client.call(Method::DELETE, &["dead-letters"], &query, Body::None).await?;
            output::object(shared.output, &answer.body, "/matched");
        }
    }
    Ok(OK)
}

fn options(args: &FilterArgs) -> Vec<(&str, &str)> {
    let all =
        [("trigger", &args.trigger), ("cause", &args.cause), ("since", &args.since), ("until", &args.until)];
    all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
}

async fn redrive(client: &Client, shared: &Shared, args: &RedriveArgs) -> Outcome {
    let what = (&["dead-letters", "redrive"][..], redrive_body(args));
    batches::begin(client, shared, what, &args.pace).await
}

fn redrive_body(args: &RedriveArgs) -> Value {
    let mut filter: Vec<(&str, Value)> =
        options(&args.filter).into_iter().map(|(name, value)| (name, Value::text(value))).collect();
    if !args.filter.ids.is_empty() {
        filter.push(("ids", Value::array(args.filter.ids.iter().map(|id| Value::text(id.as_str())))));
    }
    let filter = std::iter::once(("filter", Value::object(filter)));
    let edit = args.edit.iter().map(|edit| ("edit", Value::text(edit.as_str())));
    Value::object(filter.chain(edit).chain(batches::pace(&args.pace)))
}

#[cfg(test)]
mod tests {
    use super::super::args::PaceArgs;
    use super::*;

    #[test]
    fn events_are_made_from_options() {
        let args = SendArgs {
            file: None,
            event_type: Some("order.created".into()),
            source: "/shop".into(),
            id: Some("1".into()),
            subject: Some("4711".into()),
            data: Some(r#"{"total": 1.1}"#.into()),
            extensions: vec!["partitionkey=a=b".into()],
        };
        let expected = r#"{"specversion":"1.0","id":"1","source":"/shop","type":"order.created","subject":"4711","partitionkey":"a=b","datacontenttype":"application/json","data":{"total":1.1}}"#;
        assert_eq!(made(&args).unwrap().to_string(), expected);
    }

    #[test]
    fn redrives_state_only_what_was_given() {
        let filter =
            FilterArgs { ids: vec!["7".into()], trigger: None, cause: None, since: None, until: None };
        let pace = PaceArgs { rate: Some("10/s".into()), dry_run: true, ..PaceArgs::default() };
        let args = RedriveArgs { filter, edit: None, pace };
        assert_eq!(
            redrive_body(&args).to_string(),
            r#"{"filter":{"ids":["7"]},"dryRun":true,"rate":"10/s"}"#
        );
    }
}
