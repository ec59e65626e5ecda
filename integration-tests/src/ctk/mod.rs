//! The official conformance kit: reads its feature files, runs each scenario through the HTTP API of a real binary whose
//! outbound calls to public hosts go to a local stand-in (`egress.rewrite`).

mod gherkin;
mod petstore;

use std::path::Path;

use serde_json::Value;

use crate::http::Client;
use crate::server::Server;
use gherkin::{Scenario, Step};

/// What a run gave.
#[derive(Debug, Default)]
pub struct Report {
    /// One line per scenario.
    pub lines: Vec<String>,
    /// Scenarios that passed.
    pub passed: usize,
    /// Scenarios that failed.
    pub failed: usize,
    /// Scenarios that need what this release does not have.
    pub skipped: usize,
}

/// Runs every scenario below `DIR/features` (or `DIR`).
pub async fn run(dir: &Path) -> Report {
    let mock = petstore::start().await;
    let rewrite = format!(r#"{{"petstore.swagger.io": "http://{mock}", "httpbin.org": "http://{mock}"}}"#);
    let data = std::env::temp_dir().join(format!("tidemill-ctk-{}", std::process::id()));
    let environment =
        [("TIDEMILL_EGRESS__ALLOW", r#"["127.0.0.1/32"]"#), ("TIDEMILL_EGRESS__REWRITE", rewrite.as_str())];
    let server = Server::start(&data, &environment).await;
    let mut report = Report::default();
    for scenario in gherkin::read_folder(dir) {
        let name = format!("{}: {}", scenario.feature, scenario.name);
        if let Some(why) = unsupported(&scenario) {
            report.skipped += 1;
            report.lines.push(format!("SKIP {name} ({why})"));
            continue;
        }
        match one(&server, &scenario, report.lines.len()).await {
            Ok(()) => {
                report.passed += 1;
                report.lines.push(format!("pass {name}"));
            }
            Err(why) => {
                report.failed += 1;
                report.lines.push(format!("FAIL {name}: {why}"));
            }
        }
    }
    drop(server);
    let _ = std::fs::remove_dir_all(data);
    report
}

/// OpenAPI calls come with a later release.
fn unsupported(scenario: &Scenario) -> Option<&'static str> {
    scenario.steps.iter().any(|s| s.text.is_some_and_contains("call: openapi")).then_some("call: openapi")
}

trait Contains {
    fn is_some_and_contains(&self, part: &str) -> bool;
}

impl Contains for Option<String> {
    fn is_some_and_contains(&self, part: &str) -> bool {
        self.as_deref().is_some_and(|t| t.contains(part))
    }
}

#[derive(Default)]
struct State {
    definition: String,
    input: Value,
    execution: Value,
    order: Vec<String>,
}

async fn one(server: &Server, scenario: &Scenario, number: usize) -> Result<(), String> {
    let mut client = server.client();
    // Features reuse names and versions; each scenario gets a namespace of its own.
    let namespace = format!("ctk-{number}");
    let mut state = State::default();
    for step in &scenario.steps {
        perform(&mut client, &namespace, &mut state, step)
            .await
            .map_err(|e| format!("{}: {e}", step.line))?;
    }
    Ok(())
}

async fn perform(client: &mut Client, namespace: &str, state: &mut State, step: &Step) -> Result<(), String> {
    let text = step.text.clone().unwrap_or_default();
    let line = step.line.as_str();
    match line {
        "a workflow with definition:" => {
            state.definition = text.replace("namespace: default", &format!("namespace: {namespace}"));
            Ok(())
        }
        "given the workflow input is:" => {
            state.input = yaml(&text)?;
            Ok(())
        }
        "the workflow is executed" => execute(client, namespace, state).await,
        "the workflow should complete" => status(state, "completed"),
        "the workflow should cancel" => status(state, "cancelled"),
        "the workflow should fault" => status(state, "faulted"),
        "the workflow should complete with output:" => {
            status(state, "completed")?;
            equal(&state.execution["output"], &yaml(&text)?)
        }
        "the workflow should fault with error:" => {
            status(state, "faulted")?;
            let wanted = yaml(&text)?;
            for (key, value) in wanted.as_object().ok_or("the expected error is no object")? {
                equal(&state.execution["error"][key], value)?;
            }
            Ok(())
        }
        _ => shape(state, line, &text),
    }
}

/// Steps about the output's shape and the order of tasks.
fn shape(state: &State, line: &str, text: &str) -> Result<(), String> {
    let output = &state.execution["output"];
    let quoted: Vec<&str> = line.split('\'').skip(1).step_by(2).collect();
    if line.starts_with("the workflow output should have properties") {
        return quoted
            .iter()
            .try_for_each(|p| at(output, p).map(|_| ()).ok_or_else(|| format!("no `{p}` in {output}")));
    }
    if line.contains("property with value") {
        let found = at(output, quoted[0]).ok_or_else(|| format!("no `{}` in {output}", quoted[0]))?;
        return equal(found, &yaml(text)?);
    }
    if line.contains("property containing") {
        let wanted: usize =
            line.split_whitespace().rev().nth(1).and_then(|n| n.parse().ok()).ok_or("no number")?;
        let found = at(output, quoted[0]).and_then(Value::as_array).map(Vec::len);
        return if found == Some(wanted) { Ok(()) } else { Err(format!("{found:?} items in {output}")) };
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let place =
        |task: &str| state.order.iter().position(|t| t == task).ok_or_else(|| format!("{task} did not run"));
    let holds = match words.as_slice() {
        [task, "should", "run", "first"] => place(task)? == 0,
        [task, "should", "run", "last"] => place(task)? + 1 == state.order.len(),
        [task, "should", "run", "after", other] => place(task)? > place(other)?,
        [task, "should", "run", "before", other] => place(task)? < place(other)?,
        _ => return Err("unknown step".into()),
    };
    if holds { Ok(()) } else { Err(format!("the order was {:?}", state.order)) }
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |v, key| v.get(key))
}

fn status(state: &State, wanted: &str) -> Result<(), String> {
    if state.execution["status"] == wanted { Ok(()) } else { Err(state.execution.to_string()) }
}

fn equal(found: &Value, wanted: &Value) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("found {found}, wanted {wanted}")) }
}

fn yaml(text: &str) -> Result<Value, String> {
    let node = tidemill_dsl::yaml::parse(text).map_err(|d| format!("{d:?}"))?;
    serde_json::from_slice(&node.to_value().to_json()).map_err(|e| e.to_string())
}

async fn execute(client: &mut Client, namespace: &str, state: &mut State) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    let document = yaml(&state.definition)?;
    let name = document["document"]["name"].as_str().ok_or("the definition has no name")?;
    let base = format!("/v1/namespaces/{namespace}");
    let headers = [("content-type", "application/yaml")];
    let path = format!("{base}/workflows/{name}");
    let put = client.call("PUT", &path, &headers, state.definition.as_bytes()).await.map_err(io)?;
    if put.status >= 300 {
        return Err(format!("registered with {}: {}", put.status, String::from_utf8_lossy(&put.body)));
    }
    let headers = [("content-type", "application/json"), ("prefer", "wait=30")];
    let input = state.input.to_string();
    let started =
        client.call("POST", &format!("{path}/executions"), &headers, input.as_bytes()).await.map_err(io)?;
    state.execution = started.json();
    let id = state.execution["id"].as_str().ok_or_else(|| state.execution.to_string())?.to_owned();
    let (_, history) =
        client.get(&format!("{base}/executions/{id}/history?pageSize=1000")).await.map_err(io)?;
    state.order = history["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|e| e["type"] == "task.started")
        .filter_map(|e| e["task"]["name"].as_str().map(str::to_owned))
        .collect();
    Ok(())
}
