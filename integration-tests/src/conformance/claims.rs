//! The steps that assert something: `Then`.
//!
//! Owns their wording (docs: integration-tests/kit/README.md). Changes nothing on the server.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::acts::{number, shape};
use super::routes;
use super::world::{Done, World, text, yaml};

/// Until when an accepted, emitted or lifecycle event is listed after its commit.
const LISTED: Duration = Duration::from_secs(10);

/// Checks a step; none if it is not one of these.
pub(super) async fn check(world: &mut World, line: &str, body: &str) -> Option<Done> {
    let quoted: Vec<&str> = line.split('\'').skip(1).step_by(2).collect();
    let first = quoted.first().copied().unwrap_or_default();
    let done = match shape(line).as_str() {
        "the workflow should complete" => status(world, "completed").await.map(drop),
        "the workflow should cancel" => status(world, "cancelled").await.map(drop),
        "the workflow should fault" => status(world, "faulted").await.map(drop),
        "the workflow should complete with output:" => complete(world, body).await,
        "the workflow should complete with output like:" => complete_like(world, body).await,
        "the workflow should fault with error:" => fault(world, body).await,
        "the execution should be ''" => now(world, first).await,
        "the execution should refuse to ''" => refuses(world, first).await,
        "the execution should show:" => match (world.execution().await, yaml(body)) {
            (Ok(found), Ok(wanted)) => like(&found, &wanted),
            (Err(why), _) | (_, Err(why)) => Err(why),
        },
        "the history should be:" => history(world, body).await,
        "the call to '' should have come N times" => {
            let seen = world.stand_in.calls(&world.place(first)).len();
            if seen == number(line) { Ok(()) } else { Err(format!("it came {seen} times")) }
        }
        "the call to '' should carry:" => carried(world, first, body),
        "an event of type '' should be stored" => stored(world, first, "{}").await,
        "an event of type '' should be stored with:" => stored(world, first, body).await,
        "no event of type '' should be stored" => match events(world, first).await {
            Ok(found) if found.is_empty() => Ok(()),
            Ok(found) => Err(format!("{found:?}")),
            Err(why) => Err(why),
        },
        "N executions of '' should be ''" => others(world, number(line), first, quoted[1]).await,
        "the definition should be refused with ''" => told(world, "error", first, None).await,
        "the definition should be refused with '' at line N" => {
            told(world, "error", first, Some(number(line))).await
        }
        "the definition should be warned of ''" => told(world, "warning", first, None).await,
        "the definition should be accepted" => super::acts::registered(world).await.map(drop),
        _ => return output(world, line, body, &quoted).await,
    };
    Some(done)
}

async fn status(world: &mut World, wanted: &str) -> Result<Value, String> {
    let execution = world.ended().await?;
    if execution["status"] == wanted { Ok(execution) } else { Err(execution.to_string()) }
}

async fn complete(world: &mut World, body: &str) -> Done {
    equal(&status(world, "completed").await?["output"], &yaml(body)?)
}

async fn complete_like(world: &mut World, body: &str) -> Done {
    like(&status(world, "completed").await?["output"], &yaml(body)?)
}

async fn fault(world: &mut World, body: &str) -> Done {
    like(&status(world, "faulted").await?["error"], &yaml(body)?)
}

async fn now(world: &mut World, wanted: &str) -> Done {
    let execution = world.execution().await?;
    if execution["status"] == wanted { Ok(()) } else { Err(execution.to_string()) }
}

async fn refuses(world: &mut World, verb: &str) -> Done {
    let path = format!("{}/{verb}", world.path()?);
    let answer = world.request("POST", &path, "{}", &[("content-type", "application/json")]).await?;
    if answer.status == 409 { Ok(()) } else { Err(format!("answered with {}", answer.status)) }
}

/// Compares the history, `task.created` aside, with lines or a list `NAME WORD, NAME WORD`; the workflow's own
/// entries have the name `workflow`. Every `task.created` stands before the `task.started` of its visit.
async fn history(world: &mut World, body: &str) -> Done {
    let history = world.history().await?;
    let mut found = Vec::new();
    let mut created = Vec::new();
    for entry in &history {
        let (of, word) = text(&entry["type"]).split_once('.').ok_or("an entry without a type")?;
        let visit = (&entry["task"]["visit"], &entry["task"]["attempt"]);
        match word {
            "created" => {
                created.push(visit);
                continue;
            }
            "started" if of == "task" => {
                let at = created.iter().position(|c| *c == visit).ok_or("started before it was created")?;
                created.remove(at);
            }
            _ => {}
        }
        let name = if of == "workflow" { of } else { text(&entry["task"]["name"]) };
        found.push(format!("{name} {word}"));
    }
    let wanted: Vec<String> = body
        .split([',', '\n'])
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.is_empty())
        .collect();
    if found == wanted { Ok(()) } else { Err(format!("it was {}", found.join(", "))) }
}

fn carried(world: &World, path: &str, body: &str) -> Done {
    let calls = world.stand_in.calls(&world.place(path));
    let last = calls.last().ok_or("it never came")?;
    like(&routes::told(last), &yaml(body)?)
}

async fn events(world: &mut World, kind: &str) -> Result<Vec<Value>, String> {
    let page = world.ask("GET", &format!("/events?type={kind}&pageSize=1000"), "").await?;
    let items = page["items"].as_array().cloned().unwrap_or_default();
    Ok(items.into_iter().map(|mut item| item.get_mut("event").map(Value::take).unwrap_or(item)).collect())
}

async fn stored(world: &mut World, kind: &str, body: &str) -> Done {
    let wanted = yaml(body)?;
    let began = Instant::now();
    loop {
        let found = events(world, kind).await?;
        if found.iter().any(|event| like(event, &wanted).is_ok()) {
            return Ok(());
        }
        if began.elapsed() > LISTED {
            return Err(format!("there is {found:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn others(world: &mut World, count: usize, workflow: &str, status: &str) -> Done {
    world
        .until(async |world| {
            let all = world.executions(workflow).await?;
            let fits = all.len() == count && all.iter().all(|e| e["status"] == status);
            Ok(if fits { Ok(()) } else { Err(format!("{all:?}")) })
        })
        .await
}

async fn told(world: &mut World, severity: &str, code: &str, line: Option<usize>) -> Done {
    let definition = world.definition.clone();
    let found = world.lint(&definition).await?;
    let fits = |d: &&Value| {
        d["severity"] == severity && d["code"] == code && line.is_none_or(|line| d["line"] == line)
    };
    if found.iter().any(|d| fits(&d)) {
        return Ok(());
    }
    let told: Vec<String> = found
        .iter()
        .map(|d| {
            format!("{} {} line {}: {}", text(&d["severity"]), text(&d["code"]), d["line"], d["message"])
        })
        .collect();
    Err(format!("told were {told:?}"))
}

/// Steps about the output's parts and about single tasks.
async fn output(world: &mut World, line: &str, body: &str, quoted: &[&str]) -> Option<Done> {
    if line.starts_with("the workflow output should have") {
        let execution = match world.ended().await {
            Ok(execution) => execution,
            Err(why) => return Some(Err(why)),
        };
        return Some(part(&execution["output"], line, body, quoted));
    }
    let (task, rest) = line.split_once(" should ")?;
    Some(match world.history().await {
        Ok(history) => task_claim(&history, task.trim_matches('\''), rest, body),
        Err(why) => Err(why),
    })
}

fn part(output: &Value, line: &str, body: &str, quoted: &[&str]) -> Done {
    let find = |path: &str| at(output, path).ok_or_else(|| format!("no `{path}` in {output}"));
    if line.contains("should have properties") {
        return quoted.iter().try_for_each(|path| find(path).map(drop));
    }
    let path = quoted.first().ok_or("no property is named")?;
    if line.contains("property with value") {
        return equal(find(path)?, &yaml(body)?);
    }
    let count = find(path)?.as_array().map(Vec::len);
    if count == Some(number(line)) { Ok(()) } else { Err(format!("{count:?} items in {output}")) }
}

fn task_claim(history: &[Value], task: &str, rest: &str, body: &str) -> Done {
    let of = |kind: &str| {
        history.iter().filter(|e| e["type"] == kind && e["task"]["name"] == task).collect::<Vec<_>>()
    };
    let last = |kind: &str| of(kind).last().copied().ok_or_else(|| format!("{task} has no {kind}"));
    let order: Vec<&str> =
        history.iter().filter(|e| e["type"] == "task.started").map(|e| text(&e["task"]["name"])).collect();
    let place = |name: &str| {
        order.iter().position(|t| *t == name.trim_matches('\'')).ok_or_else(|| format!("{name} did not run"))
    };
    let holds = match rest {
        "complete" => return last("task.completed").map(drop),
        "cancel" => return last("task.cancelled").map(drop),
        "fault" => return last("task.faulted").map(drop),
        "complete with output:" => return equal(&last("task.completed")?["output"], &yaml(body)?),
        "fault with error:" => return like(&last("task.faulted")?["error"], &yaml(body)?),
        "start with input:" => return equal(&last("task.started")?["input"], &yaml(body)?),
        "have the reference:" => return equal(&last("task.started")?["task"]["reference"], &yaml(body)?),
        "run first" => place(task)? == 0,
        "run last" => place(task)? + 1 == order.len(),
        "not run" => place(task).is_err(),
        _ => match rest.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["run", "after", other] => place(task)? > place(other)?,
            ["run", "before", other] => place(task)? < place(other)?,
            ["run", times, "times"] => times.parse() == Ok(order.iter().filter(|t| **t == task).count()),
            ["run", "once"] => order.iter().filter(|t| **t == task).count() == 1,
            _ => return Err("unknown step".into()),
        },
    };
    if holds { Ok(()) } else { Err(format!("the order was {order:?}")) }
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |v, key| v.get(key))
}

fn equal(found: &Value, wanted: &Value) -> Done {
    if found == wanted { Ok(()) } else { Err(format!("found {found}, wanted {wanted}")) }
}

/// Whether a value has what is wanted: of an object the members named, of a list every item, of a text the pattern
/// with `*` for anything.
fn like(found: &Value, wanted: &Value) -> Done {
    let fits = match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| like(found, wanted).is_ok()))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| like(f, w).is_ok())
        }
        (Value::String(found), Value::String(wanted)) => glob(found, wanted),
        _ => found == wanted,
    };
    if fits { Ok(()) } else { Err(format!("found {found}, wanted {wanted}")) }
}

fn glob(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    let parts: Vec<&str> = pattern.split('*').collect();
    for (index, part) in parts.iter().enumerate() {
        let at = match index {
            0 if rest.starts_with(part) => Some(0),
            0 => None,
            last if last + 1 == parts.len() => rest.ends_with(part).then(|| rest.len() - part.len()),
            _ => rest.find(part),
        };
        let Some(at) = at else { return false };
        rest = &rest[at + part.len()..];
    }
    parts.len() > 1 || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness() {
        let check = |found: &str, wanted: &str, expected: bool| {
            let (f, w) = (yaml(found).expect("yaml"), yaml(wanted).expect("yaml"));
            assert_eq!(like(&f, &w).is_ok(), expected, "{found} like {wanted}");
        };
        check("{a: 1, b: 2}", "{a: 1}", true);
        check("{a: 1}", "{a: 1, b: 2}", false);
        check("[{a: 1}]", "[{}]", true);
        check("[1, 2]", "[1]", false);
        check("abc", "a*c", true);
        check("abc", "'*'", true);
        check("abc", "a", false);
        check("abc", "'*bc'", true);
        check("abcx", "'*bc'", false);
        check("1", "'1'", false);
    }
}
