//! The steps that do something: `Given` and `When`.
//!
//! Owns their wording (docs: integration-tests/kit/README.md). Asserts nothing but that the server took what it was told.

use serde_json::Value;

use super::world::{Done, World, text, yaml};

/// What stands behind a definition that leaves its `document` out.
const DOCUMENT: &str = "document: {dsl: '1.0.3', namespace: default, name: example, version: '1.0.0'}\n";

/// Performs a step; none if it is not one of these.
pub(super) async fn perform(world: &mut World, line: &str, body: &str) -> Option<Done> {
    let quoted: Vec<&str> = line.split('\'').skip(1).step_by(2).collect();
    let first = quoted.first().copied().unwrap_or_default();
    let done = match shape(line).as_str() {
        "a workflow with definition:" => {
            world.definition = whole(world, body);
            world.registered = false;
            Ok(())
        }
        "another workflow with definition:" => register(world, &whole(world, body)).await.map(drop),
        "these manifests:" => apply(world, body).await,
        "given the workflow input is:" | "the workflow input is:" => {
            yaml(body).map(|input| world.input = input)
        }
        "the secret '' is:" => match yaml(body) {
            Ok(value) => world.ask("PUT", &format!("/secrets/{first}"), &value.to_string()).await.map(drop),
            Err(why) => Err(why),
        },
        "the address '' serves:" => {
            world.stand_in.put(world.place(first), body.to_owned());
            Ok(())
        }
        "the workflow is executed" => match start(world).await {
            Ok(()) => world.ended().await.map(drop),
            Err(why) => Err(why),
        },
        "the workflow is started" => start(world).await,
        "the execution becomes ''" => becomes(world, first).await,
        "the execution waits for a ''" => waits_for(world, first).await,
        "'' has started" => started(world, first, 1).await,
        "'' has started N times" => started(world, first, number(line)).await,
        "'' has completed" => entry(world, "task.completed", first, 1).await,
        "the call to '' has come" => called(world, first, 1).await,
        "the call to '' has come N times" => called(world, first, number(line)).await,
        "the call to '' is answered" => {
            world.stand_in.open(world.place(first));
            Ok(())
        }
        "this event is posted:" => post(world, body).await,
        "this event is posted to the execution:" => post_own(world, body).await,
        "'' is answered with:" => answer(world, first, "complete", body).await,
        "'' is failed with:" => answer(world, first, "fail", body).await,
        "the execution is cancelled" => command(world, "cancel", body).await,
        "the execution is suspended" => command(world, "suspend", body).await,
        "the execution is resumed" => command(world, "resume", body).await,
        "the execution is retried" | "the execution is retried with:" => command(world, "retry", body).await,
        "the execution of '' is cancelled" => command_other(world, first, "cancel").await,
        "the execution of '' becomes ''" => other_becomes(world, first, quoted[1]).await,
        _ => return None,
    };
    Some(done)
}

/// A step without what is quoted and without its numbers.
pub(super) fn shape(line: &str) -> String {
    let word = |word: &str| if word.parse::<usize>().is_ok() { "N".to_owned() } else { word.to_owned() };
    let outside = line.split('\'').step_by(2);
    let shapes = outside.map(|part| part.split(' ').map(word).collect::<Vec<_>>().join(" "));
    shapes.collect::<Vec<_>>().join("''")
}

/// The number in a step.
pub(super) fn number(line: &str) -> usize {
    line.split('\'')
        .step_by(2)
        .flat_map(str::split_whitespace)
        .find_map(|word| word.parse().ok())
        .unwrap_or_default()
}

/// A definition with its `document`.
fn whole(world: &World, body: &str) -> String {
    let has = body.lines().any(|line| line.starts_with("document:"));
    let document = if has { "" } else { DOCUMENT };
    format!("{body}{}", document.replace("namespace: default", &format!("namespace: {}", world.namespace)))
}

/// Writes a workflow; gives its name.
async fn register(world: &mut World, definition: &str) -> Result<String, String> {
    let document = yaml(definition)?;
    let name = text(&document["document"]["name"]).to_owned();
    let headers = [("content-type", "application/yaml")];
    let put = world.request("PUT", &format!("/workflows/{name}"), definition, &headers).await?;
    if put.status < 300 {
        return Ok(name);
    }
    let body = put.json();
    let mistakes = body["errors"].as_array().into_iter().flatten();
    let pair = |m: &Value| (text(&m["code"]).to_owned(), text(&m["message"]).to_owned());
    world.refused = mistakes.map(pair).collect();
    Err(format!("registered with {}: {body}", put.status))
}

/// Writes the definition under test if the server does not have it; gives its name.
pub(super) async fn registered(world: &mut World) -> Result<String, String> {
    let definition = world.definition.clone();
    if world.registered {
        return Ok(text(&yaml(&definition)?["document"]["name"]).to_owned());
    }
    let name = register(world, &definition).await?;
    world.registered = true;
    Ok(name)
}

async fn apply(world: &mut World, body: &str) -> Done {
    let headers = [("content-type", "application/yaml")];
    let answer = world.request("POST", "/apply", body, &headers).await?;
    if answer.status < 300 { Ok(()) } else { Err(String::from_utf8_lossy(&answer.body).into_owned()) }
}

async fn start(world: &mut World) -> Done {
    let name = registered(world).await?;
    let input = world.input.to_string();
    let started = world.ask("POST", &format!("/workflows/{name}/executions"), &input).await?;
    world.id = Some(text(&started["id"]).to_owned());
    Ok(())
}

async fn becomes(world: &mut World, status: &str) -> Done {
    world
        .until(async |world| {
            let execution = world.execution().await?;
            Ok(if execution["status"] == status { Ok(()) } else { Err(execution.to_string()) })
        })
        .await
}

async fn waits_for(world: &mut World, what: &str) -> Done {
    world
        .until(async |world| {
            let execution = world.execution().await?;
            let mut waits = execution["waitingFor"].as_array().into_iter().flatten();
            let found = waits.any(|wait| wait["what"] == what);
            Ok(if found { Ok(()) } else { Err(execution.to_string()) })
        })
        .await
}

async fn started(world: &mut World, task: &str, times: usize) -> Done {
    entry(world, "task.started", task, times).await
}

async fn entry(world: &mut World, kind: &str, task: &str, times: usize) -> Done {
    world
        .until(async |world| {
            let history = world.history().await?;
            let of_task = |e: &&Value| e["type"] == kind && e["task"]["name"] == task;
            let seen = history.iter().filter(of_task).count();
            Ok(if seen >= times { Ok(()) } else { Err(format!("{seen} times")) })
        })
        .await
}

async fn called(world: &mut World, path: &str, times: usize) -> Done {
    let place = world.place(path);
    world
        .until(async |world| {
            let seen = world.stand_in.calls(&place).len();
            Ok(if seen >= times { Ok(()) } else { Err(format!("{seen} calls")) })
        })
        .await
}

/// An event with the attributes it leaves out.
fn event(body: &str) -> Result<String, String> {
    let mut event = yaml(body)?;
    let members = event.as_object_mut().ok_or("the event is no object")?;
    for (name, value) in [("specversion", "1.0"), ("source", "/kit"), ("id", "1")] {
        members.entry(name).or_insert_with(|| value.into());
    }
    Ok(event.to_string())
}

async fn post(world: &mut World, body: &str) -> Done {
    let headers = [("content-type", "application/cloudevents+json")];
    let answer = world.request("POST", "/events", &event(body)?, &headers).await?;
    if answer.status == 202 { Ok(()) } else { Err(String::from_utf8_lossy(&answer.body).into_owned()) }
}

async fn post_own(world: &mut World, body: &str) -> Done {
    let headers = [("content-type", "application/cloudevents+json")];
    let path = format!("{}/events", world.path()?);
    let answer = world.request("POST", &path, &event(body)?, &headers).await?;
    if answer.status < 300 { Ok(()) } else { Err(String::from_utf8_lossy(&answer.body).into_owned()) }
}

/// Ends the open call of a task that is answered later, once it waits for that.
async fn answer(world: &mut World, task: &str, verb: &str, body: &str) -> Done {
    let mut visit = Value::Null;
    world
        .until(async |world| {
            let execution = world.execution().await?;
            let waits = execution["waitingFor"].as_array().into_iter().flatten();
            let found = waits.into_iter().find(|w| w["task"] == task && w["what"] == "callback");
            visit = found.map_or(Value::Null, |wait| wait["visit"].clone());
            Ok(if visit.is_null() { Err(execution.to_string()) } else { Ok(()) })
        })
        .await?;
    let path = format!("{}/tasks/{visit}/{verb}", world.path()?);
    world.ask("POST", &path, &yaml(body)?.to_string()).await.map(drop)
}

async fn command(world: &mut World, verb: &str, body: &str) -> Done {
    let body = if body.is_empty() { Value::Object(serde_json::Map::new()) } else { yaml(body)? };
    let path = format!("{}/{verb}", world.path()?);
    world.ask("POST", &path, &body.to_string()).await.map(drop)
}

async fn command_other(world: &mut World, workflow: &str, verb: &str) -> Done {
    let all = world.executions(workflow).await?;
    let last = all.last().ok_or("there is none")?;
    world.ask("POST", &format!("/executions/{}/{verb}", text(&last["id"])), "{}").await.map(drop)
}

async fn other_becomes(world: &mut World, workflow: &str, status: &str) -> Done {
    world
        .until(async |world| {
            let all = world.executions(workflow).await?;
            let fits = all.last().is_some_and(|last| last["status"] == status);
            Ok(if fits { Ok(()) } else { Err(format!("{all:?}")) })
        })
        .await
}

#[cfg(test)]
mod tests {
    #[test]
    fn shapes() {
        let check = |line: &str, expected: &str, number: usize| {
            assert_eq!((super::shape(line).as_str(), super::number(line)), (expected, number), "{line}");
        };
        check("the call to '/flaky/2/503' has come 3 times", "the call to '' has come N times", 3);
        check("the workflow is started", "the workflow is started", 0);
        check("2 executions of 'a' should be 'b'", "N executions of '' should be ''", 2);
        check("refused with 'E0501' at line 3", "refused with '' at line N", 3);
    }
}
