//! SIGKILL where it hurts besides under load: programs that were running, and listens for what other executions do.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};
use tidemill_integration_tests::server::Server;

use crate::support::{BASE, apply, folder, get, start, until};

const SOON: Duration = Duration::from_secs(20);

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// The numbers in the files of a folder.
fn pids(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<String> = files.map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect();
    texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
}

/// Programs of every kind, each with a child of its own; both tell their numbers.
const PROGRAMS: &str = "
kind: Function
metadata: {name: once}
spec: {process: {command: [sh, -c, 'SCRIPT']}}
---
kind: Function
metadata: {name: stays}
spec: {process: {command: [sh, -c, 'SCRIPT'], lifecycle: resident, minInstances: 1, startTimeout: 10m}}
---
document: {dsl: '1.0.3', namespace: default, name: calls, version: '1.0.0'}
do: [{ask: {call: 'once:1@default'}}]
---
document: {dsl: '1.0.3', namespace: default, name: waits, version: '1.0.0'}
do: [{ask: {run: {shell: {command: 'SCRIPT'}}}}]
---
document: {dsl: '1.0.3', namespace: default, name: leaves, version: '1.0.0'}
do: [{ask: {run: {shell: {command: 'SCRIPT'}, await: false}}}, {nap: {wait: {hours: 1}}}]
---
";

/// A process that ends with the test.
struct Bystander(Child);

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_left_running_are_ended_before_work_goes_on() {
    let folder = folder();
    let mut server =
        Server::start(folder.path(), &[("TIDEMILL_RUN__ALLOW", r#"["shell"]"#), ("TIDEMILL_DRAIN", "1s")])
            .await;
    let told = folder.path().join("pids");
    std::fs::create_dir(&told).unwrap();
    // A second run tells what it finds of the first.
    let script = format!(
        "f={0}/a$TIDEMILL_EXECUTION; for p in $(cat $f); do [ -e /proc/$p ] && ! grep -q \") Z\" /proc/$p/stat \
         && echo $p >> {0}/beside; done; sleep 3600 & echo $$ >> $f; echo $! >> $f; wait",
        told.display()
    );
    apply(&server, &PROGRAMS.replace("SCRIPT", &script)).await;
    for name in ["calls", "waits", "leaves"] {
        start(&mut server.client(), name, name, "{}").await.unwrap();
    }
    until("all run", SOON, async || pids(&told).len() == 8).await;
    let left = pids(&told);
    let groups = folder.path().join("groups");
    assert_eq!(std::fs::read_dir(&groups).unwrap().count(), 4);
    // A record whose number is another's by now.
    let bystander = Bystander(Command::new("sleep").arg("3600").spawn().unwrap());
    let number = bystander.0.id().to_string();
    let own = std::fs::read_dir(&groups).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(own, groups.join(&number)).unwrap();
    server.kill();
    assert!(left.iter().all(|pid| is_alive(pid)), "a kill does not reach them");
    server.restart().await;
    assert!(!left.iter().any(|pid| is_alive(pid)), "the next start does");
    assert!(is_alive(&number) && !groups.join(&number).exists());
    until("they run again, but for the one nobody waits for", SOON, async || pids(&told).len() == 14).await;
    assert_eq!(std::fs::read_dir(&groups).unwrap().count(), 3);
    assert!(!told.join("beside").exists(), "nothing of a first run lives beside the second");
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    assert_eq!(std::fs::read_dir(&groups).unwrap().count(), 0, "an orderly stop leaves nothing");
}

const LISTENING: &str = "
kind: Function
metadata: {name: held}
spec: {process: {command: [sh, -c, 'until [ -e GO.$TIDEMILL_EXECUTION ]; do sleep 0.02; done; echo 7']}}
---
document: {dsl: '1.0.3', namespace: default, name: works, version: '1.0.0'}
do: [{work: {call: 'held:1@default'}}]
---
document: {dsl: '1.0.3', namespace: default, name: hears, version: '1.0.0'}
do:
  - hear:
      listen:
        to:
          one:
            with:
              type: io.serverlessworkflow.workflow.completed.v1
              data: '${ .name == $input.name }'
        read: envelope
  - told: {set: {id: '${ .[0].id }', type: '${ .[0].type }'}}
---
";

/// Starts one; gives its id.
async fn begun(server: &Server, workflow: &str, key: &str, input: &Value) -> String {
    let answer = start(&mut server.client(), workflow, key, &input.to_string()).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.json());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listen_hears_the_end_of_another_execution_over_kills() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    let go = folder.path().join("go");
    apply(&server, &LISTENING.replace("GO", &go.display().to_string())).await;
    let status =
        async |server: &Server, id: &str| get(server, &format!("/executions/{id}")).await["status"].clone();
    let mut ends = Vec::new();
    // The kill falls before the end, behind it, and behind it with the listen not begun: a listen sees what was stored
    // since its execution started.
    for round in ["before", "behind", "at once"] {
        let work = begun(&server, "works", round, &json!({})).await;
        let name = format!("works-{work}.default");
        let hears = begun(&server, "hears", round, &json!({ "name": name })).await;
        until("it listens", SOON, async || status(&server, &hears).await == "waiting").await;
        if round == "before" {
            server.kill();
            server.restart().await;
        }
        std::fs::write(format!("{}.{work}", go.display()), "").unwrap();
        if round != "before" {
            until("the work ends", SOON, async || {
                round == "at once" || status(&server, &work).await == "completed"
            })
            .await;
            server.kill();
            server.restart().await;
        }
        until("the end is heard", SOON, async || status(&server, &hears).await == "completed").await;
        let output = get(&server, &format!("/executions/{hears}")).await["output"].clone();
        let kind = "io.serverlessworkflow.workflow.completed.v1";
        let id = output["id"].as_str().unwrap_or_else(|| panic!("{output}")).to_owned();
        assert!(id.starts_with(&work) && output["type"] == kind, "{output}");
        ends.push(id);
    }
    let path = format!("{BASE}/events?type=io.serverlessworkflow.workflow.completed.v1&pageSize=1000");
    let (_, listed) = server.client().get(&path).await.unwrap();
    for id in &ends {
        let times =
            listed["items"].as_array().unwrap().iter().filter(|item| item["event"]["id"] == **id).count();
        assert_eq!(times, 1, "{id} is stored once");
    }
}

const PING_PONG: &str = "
document: {dsl: '1.0.3', namespace: default, name: ping, version: '1.0.0'}
do: [{tell: {emit: {event: {with: {type: ping, data: 1}}}}}]
---
kind: Trigger
metadata: {name: ping}
spec: {filters: [{exact: {type: ping}}], target: {workflow: ping}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emits_that_lead_to_one_another_end_where_the_setting_says() {
    let folder = folder();
    let server = Server::start(folder.path(), &[("TIDEMILL_LIMITS__HOP_COUNT", "3")]).await;
    apply(&server, PING_PONG).await;
    begun(&server, "ping", "ping", &json!({})).await;
    let list = async |status: &str| {
        get(&server, &format!("/executions?status={status}")).await["items"].as_array().unwrap().clone()
    };
    until("it ends", SOON, async || list("faulted").await.len() == 1).await;
    assert_eq!(list("completed").await.len(), 3);
    let id = list("faulted").await[0]["id"].as_str().unwrap().to_owned();
    let error = get(&server, &format!("/executions/{id}")).await["error"].clone();
    assert!(error["detail"].as_str().unwrap().contains("limit hop-count: 3"), "{error}");
    assert_eq!(server.metric(r#"tidemill_limit_met_total{limit="hop-count"}"#).await as u64, 1);
}
