//! One scenario under way: what it has defined and started, and what the server says of it.
//!
//! Owns the scenario's state and every request to the server under test; what steps mean is in `acts` and `claims`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::gherkin::{KILL, Scenario, Step};
use super::stand_in::{HOST, Place, StandIn};
use super::{acts, claims};
use crate::http::{Answer, Client};
use crate::server::Server;

/// Longest wait of a step.
const PATIENCE: Duration = Duration::from_secs(40);

/// The outcome of a step.
pub(super) type Done = Result<(), String>;

/// Where a scenario stands after it went on.
pub(super) enum Pause {
    /// It has ended.
    Ended(Done),
    /// Its next step needs a server that was killed and started again.
    Kill,
}

/// One scenario.
pub(super) struct World {
    pub(super) scenario: Scenario,
    next: usize,
    client: Client,
    pub(super) stand_in: Arc<StandIn>,
    /// The namespace of the scenario alone.
    pub(super) namespace: String,
    /// The definition under test, and whether the server has it.
    pub(super) definition: String,
    pub(super) registered: bool,
    pub(super) input: Value,
    /// The execution that was started last.
    pub(super) id: Option<String>,
    /// Why a definition was refused, code and message of each mistake.
    pub(super) refused: Vec<(String, String)>,
}

impl World {
    pub(super) fn new(scenario: Scenario, number: usize, server: &Server, stand_in: Arc<StandIn>) -> World {
        World {
            scenario,
            next: 0,
            client: server.client(),
            stand_in,
            namespace: format!("kit-{number}"),
            definition: String::new(),
            registered: false,
            input: Value::Null,
            id: None,
            refused: Vec::new(),
        }
    }

    /// What this release lacks, if that is all a definition was refused for.
    pub(super) fn lacking(&self) -> Option<String> {
        let lacks = !self.refused.is_empty() && self.refused.iter().all(|(code, _)| code.starts_with("E09"));
        lacks.then(|| self.refused[0].1.clone())
    }

    /// Forgets the connection to a server that was killed.
    pub(super) fn reconnect(&mut self, server: &Server) {
        self.client = server.client();
    }

    /// Performs steps until the scenario ends or needs a kill.
    pub(super) async fn go_on(&mut self) -> Pause {
        while let Some(step) = self.scenario.steps.get(self.next).cloned() {
            self.next += 1;
            if step.line == KILL {
                return Pause::Kill;
            }
            let step = self.own(step);
            if let Err(why) = self.perform(&step).await {
                return Pause::Ended(Err(format!("{}: {why}", step.line)));
            }
        }
        Pause::Ended(Ok(()))
    }

    async fn perform(&mut self, step: &Step) -> Done {
        let text = step.text.as_deref().unwrap_or_default();
        let began = Instant::now();
        let known = match acts::perform(self, &step.line, text).await {
            None => claims::check(self, &step.line, text).await,
            known => known,
        };
        let done = known.unwrap_or_else(|| Err("unknown step".into()));
        if began.elapsed() < PATIENCE { done } else { done.map_err(|why| format!("out of time: {why}")) }
    }

    /// A step with what is the scenario's alone: its namespace, and its part of the stand-in.
    fn own(&self, step: Step) -> Step {
        let own = |text: String| {
            text.replace("namespace: default", &format!("namespace: {}", self.namespace))
                .replace(&format!("{HOST}/"), &format!("{HOST}/{}/", self.namespace))
        };
        Step { line: step.line, text: step.text.map(own) }
    }

    /// A path of the stand-in.
    pub(super) fn place(&self, path: &str) -> Place {
        (self.namespace.clone(), path.to_owned())
    }

    /// A request below the namespace; the status must be below 300.
    pub(super) async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        let answer = self.request(method, path, body, &[("content-type", "application/json")]).await?;
        if answer.status < 300 {
            Ok(answer.json())
        } else {
            Err(format!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)))
        }
    }

    /// A request below the namespace.
    pub(super) async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let path = format!("/v1/namespaces/{}{path}", self.namespace);
        self.client.call(method, &path, headers, body.as_bytes()).await.map_err(|e| format!("{path}: {e}"))
    }

    /// What lint says of a text.
    pub(super) async fn lint(&mut self, text: &str) -> Result<Vec<Value>, String> {
        let headers = [("content-type", "application/yaml")];
        let answer = self.client.call("POST", "/v1/lint", &headers, text.as_bytes()).await;
        let answer = answer.map_err(|e| e.to_string())?.json();
        Ok(answer["diagnostics"].as_array().cloned().unwrap_or_default())
    }

    pub(super) fn path(&self) -> Result<String, String> {
        let id = self.id.as_deref().ok_or("no execution was started")?;
        Ok(format!("/executions/{id}"))
    }

    /// The execution as it is now.
    pub(super) async fn execution(&mut self) -> Result<Value, String> {
        let path = self.path()?;
        self.ask("GET", &path, "").await
    }

    /// The execution once it has ended.
    pub(super) async fn ended(&mut self) -> Result<Value, String> {
        let path = format!("{}?wait=30s", self.path()?);
        let execution = self.ask("GET", &path, "").await?;
        let ended = ["completed", "faulted", "cancelled"].contains(&text(&execution["status"]));
        if ended { Ok(execution) } else { Err(format!("it has not ended: {execution}")) }
    }

    /// The history as far as it goes now.
    pub(super) async fn history(&mut self) -> Result<Vec<Value>, String> {
        let path = format!("{}/history?pageSize=1000", self.path()?);
        let page = self.ask("GET", &path, "").await?;
        Ok(page["items"].as_array().cloned().unwrap_or_default())
    }

    /// Executions of a workflow, oldest first.
    pub(super) async fn executions(&mut self, workflow: &str) -> Result<Vec<Value>, String> {
        let page = self.ask("GET", &format!("/executions?workflow={workflow}&orderBy=startedAt"), "").await?;
        Ok(page["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until a look at the server finds what it looks for; tells what was seen last if it does not.
    pub(super) async fn until(
        &mut self,
        mut look: impl AsyncFnMut(&mut World) -> Result<Done, String>,
    ) -> Done {
        let began = Instant::now();
        loop {
            let seen = look(self).await?;
            if seen.is_ok() || began.elapsed() > PATIENCE {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// YAML, read as definitions are, as JSON.
pub(super) fn yaml(text: &str) -> Result<Value, String> {
    let node = tidemill_dsl::yaml::parse(text).map_err(|d| format!("{d:?}"))?;
    serde_json::from_slice(&node.to_value().to_json()).map_err(|e| e.to_string())
}

/// A string; nothing for any other value.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
