//! `emit`: an event of the namespace; the task gives the event itself (dsl.md section 2.2).

use std::sync::Arc;

use tidemill_dsl::event::{Data, Event};
use tidemill_dsl::expr::Template;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::ExecutionId;
use tidemill_dsl::value::{Map, Value};

use super::listen::envelope;
use crate::Effect;
use crate::apply::attempt_within;
use crate::machine::{Begun, Machine, Raw};
use crate::record::Birth;
use crate::scope::Site;

pub(super) fn begin(machine: &mut Machine<'_>, site: &Site, template: &Template) -> Result<Begun, Fault> {
    let with = machine.body(template, site)?;
    let Some(map) = with.as_object() else {
        return Err(Fault::expression(format!(
            "`emit.event.with` gives no object but a value of kind {}",
            with.kind()
        )));
    };
    let event = event(machine, site, map)?;
    let birth = machine.x.birth.clone();
    if birth.path.len() >= machine.hops {
        machine.effects.push(Effect::LimitMet("hop-count"));
        return Err(too_far(&birth, &event.kind, machine.hops));
    }
    let value = machine.weigh(envelope(&event))?;
    machine.effects.push(Effect::Emit(event));
    Ok(Begun::Done(Raw::Value(value), machine.program.task(site.task).then))
}

/// The refusal of an event that would go on for ever; names the cycle, or the way where it is none.
fn too_far(birth: &Birth, kind: &str, most: usize) -> Fault {
    let came_by = birth.path.iter().rposition(|name| *name == birth.workflow);
    let mut names: Vec<&str> = birth.path[came_by.unwrap_or(0)..].iter().map(AsRef::as_ref).collect();
    names.push(&birth.workflow);
    let what = if came_by.is_some() { "the cycle" } else { "the way" };
    Fault::configuration(format!(
        "cannot emit `{kind}`: {} emitted events have led to one another (limit hop-count: {most}); {what} is {}",
        birth.path.len(),
        names.join(" -> ")
    ))
}

/// Keeps the author's attributes and fills in id, source and time where absent (dsl.md section 12).
fn event(machine: &Machine<'_>, site: &Site, map: &Map) -> Result<Event, Fault> {
    let text = |name: &str| match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(other) => Err(Fault::expression(format!("the event attribute `{name}` cannot be {other}"))),
    };
    let Some(kind) = text("type")? else {
        return Err(Fault::expression("the event has no `type`"));
    };
    let birth = &machine.x.birth;
    let source = text("source")?.unwrap_or_else(|| {
        let (namespace, workflow) = (&birth.namespace, &birth.workflow);
        format!("/v1/namespaces/{namespace}/workflows/{workflow}").into()
    });
    Ok(Event {
        id: text("id")?.unwrap_or_else(|| event_id(machine, site)),
        source,
        kind,
        subject: text("subject")?,
        time: Some(text("time")?.unwrap_or_else(|| machine.now.rfc3339().into())),
        datacontenttype: text("datacontenttype")?,
        dataschema: text("dataschema")?,
        extensions: extensions(map)?,
        data: map.get("data").map_or(Data::None, |data| Data::Json(data.clone())),
    })
}

/// A hash of (execution, visit, attempt): nothing is drawn (dsl.md section 12).
fn event_id(machine: &Machine<'_>, site: &Site) -> Arc<str> {
    let visit = site.visit.unwrap_or(machine.x.upcoming(site.task));
    let attempt = attempt_within(machine.x, site.parent);
    let id = machine.x.birth.id;
    let parts: [&[u8]; 4] = [b"event", &id.0, &visit.to_be_bytes(), &attempt.to_be_bytes()];
    ExecutionId::derived(id.time(), &parts).to_string().into()
}

const ATTRIBUTES: [&str; 9] =
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"];

fn extensions(map: &Map) -> Result<Map, Fault> {
    let mut extensions = Map::new();
    for (name, value) in map.iter().filter(|(name, _)| !ATTRIBUTES.contains(&&***name)) {
        let fits =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) && !name.is_empty();
        match value {
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) if fits => {
                extensions.insert(name.clone(), value.clone());
            }
            _ => {
                return Err(Fault::expression(format!("the event attribute `{name}` cannot be {value}")));
            }
        }
    }
    Ok(extensions)
}
