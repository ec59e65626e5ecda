//! The operator's desk over kills: answers that come later, batches that act once on each, backups of a live server.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tidemill_engine::history::Record;
use tidemill_integration_tests::http::Answer;
use tidemill_integration_tests::server::{Server, binary};
use tidemill_store::sqlite::{Durability, Options};
use tidemill_store::{Read, SqliteStore};

use crate::responder::Responder;
use crate::support::{BASE, LOOPBACK, all, apply, folder, get, start, until};

async fn post(server: &Server, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    let body = body.to_string();
    server.client().call("POST", path, &headers, body.as_bytes()).await.unwrap()
}

/// A function says that its answer comes later; the server is killed; the answer ends the task, once, and the function
/// is not called again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_survive_a_kill() {
    const SET: &str = "
document: {dsl: '1.0.3', namespace: default, name: asks, version: '1.0.0'}
do:
  - ask: {call: 'later:1@default', with: {what: answer later, n: '${ .n }'}, timeout: {after: {minutes: 5}}}
";
    let responder = Responder::start();
    let folder = folder();
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    let function = responder
        .function("later")
        .replace("timeout:", "output: {schema: {document: {type: object}}}, timeout:");
    apply(&server, &format!("{function}{SET}")).await;
    let mut client = server.client();
    let mut ids = Vec::new();
    for n in 0..3 {
        let begun = start(&mut client, "asks", &n.to_string(), &json!({"n": n}).to_string()).await.unwrap();
        ids.push(begun.json()["id"].as_str().unwrap().to_owned());
    }
    until("all say later", Duration::from_secs(30), async || {
        let mut later = 0;
        for id in &ids {
            let shown = get(&server, &format!("/executions/{id}")).await;
            later +=
                usize::from(shown["waitingFor"][0]["what"] == "callback" && shown["status"] == "running");
        }
        later == ids.len()
    })
    .await;
    server.kill();
    server.restart().await;
    let paths = responder.callbacks();
    assert_eq!((responder.calls(), paths.len()), (3, 3), "nothing is called again");
    let path = |id: &String| paths.iter().find(|path| path.contains(id.as_str())).unwrap().clone();
    let done = post(&server, &format!("{}/complete", path(&ids[0])), &json!({"yes": true})).await;
    assert_eq!((done.status, &done.json()["output"]), (200, &json!({"yes": true})));
    let failed = json!({"type": "https://example.com/no", "status": 403, "title": "No"});
    let answer = post(&server, &format!("{}/fail", path(&ids[1])), &failed).await;
    assert_eq!((answer.status, &answer.json()["error"]["title"]), (200, &json!("No")));
    // What does not fit the function's schema fails the task, as an answer at once would.
    let unfit = post(&server, &format!("{}/complete", path(&ids[2])), &json!(7)).await.json();
    assert_eq!((&unfit["status"], &unfit["error"]["status"]), (&json!("faulted"), &json!(400)), "{unfit}");
    server.kill();
    server.restart().await;
    for (id, status) in ids.iter().zip(["completed", "faulted", "faulted"]) {
        assert_eq!(get(&server, &format!("/executions/{id}")).await["status"], status);
        let again = post(&server, &format!("{}/complete", path(id)), &json!({})).await;
        assert_eq!((again.status, &again.json()["code"]), (409, &json!("state")));
    }
    assert_eq!(responder.calls(), 3);
    server.terminate();
}

const BROKEN: &str = "
document: {dsl: '1.0.3', namespace: default, name: broken, version: '1.0.0'}
do:
  - no: {raise: {error: {type: 'https://example.com/no', status: 500}}}
---
document: {dsl: '1.0.3', namespace: default, name: breaks, version: '1.0.0'}
do:
  - each:
      for: {in: '${ [range(1000)] }'}
      do: [{one: {run: {await: false, workflow: {namespace: default, name: broken, input: '${ $item }'}}}}]
";
const MANY: usize = 100_000;
/// Children of one execution of `breaks`: begun without a request and an event for each.
const CHILDREN: usize = 1000;

/// A retry of a hundred thousand executions over kills: each is retried once, and the batch counts each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_batch_over_kills() {
    let folder = folder();
    let environment = [("TIDEMILL_DURABILITY", "process")];
    let mut server = Server::start(folder.path(), &environment).await;
    apply(&server, BROKEN).await;
    let mut client = server.client();
    for number in 0..MANY / CHILDREN {
        assert_eq!(start(&mut client, "breaks", &number.to_string(), "{}").await.unwrap().status, 202);
    }
    let faulted = async |server: &Server| {
        get(server, "/executions?status=faulted&count=true&pageSize=1").await["total"].as_u64().unwrap()
            as usize
    };
    // Counting walks over all of them: it is done once nothing is open any more.
    until("all have ended", Duration::from_mins(4), async || !any_open(&server).await).await;
    assert_eq!(faulted(&server).await, MANY);
    let begun = post(&server, &format!("{BASE}/batches"), &json!({"action": "retry"})).await;
    assert_eq!(begun.status, 202, "{}", begun.json());
    let place = format!("/batches/{}", begun.json()["id"].as_str().unwrap());
    for part in 1..=3 {
        until("a part is handled", Duration::from_mins(4), async || {
            get(&server, &place).await["handled"].as_u64().unwrap() as usize > MANY * part / 5
        })
        .await;
        server.kill();
        server.restart().await;
    }
    until("the batch ends", Duration::from_mins(4), async || {
        get(&server, &place).await["state"] == "completed"
    })
    .await;
    let batch = get(&server, &place).await;
    assert_eq!(
        (&batch["total"], &batch["done"], &batch["skipped"]),
        (&json!(MANY), &json!(MANY), &json!(0)),
        "{batch}"
    );
    until("all have ended again", Duration::from_mins(4), async || !any_open(&server).await).await;
    assert_eq!(faulted(&server).await, MANY);
    server.terminate();
    let retried = retries(&folder.path().join("tidemill.db"));
    assert_eq!((retried.len(), retried.values().all(|count| *count == 1)), (MANY, true));
}

/// Whether an execution has not ended.
async fn any_open(server: &Server) -> bool {
    for status in ["pending", "running"] {
        let page = get(server, &format!("/executions?status={status}&pageSize=1")).await;
        if !page["items"].as_array().unwrap().is_empty() {
            return true;
        }
    }
    false
}

/// How often each execution was retried, by the log of a store.
fn retries(path: &Path) -> BTreeMap<String, usize> {
    let store = SqliteStore::open(path, Options { durability: Durability::Process }).unwrap();
    let (mut counts, mut after) = (BTreeMap::new(), 0);
    loop {
        let page = store.stream(after, true, 1000).unwrap();
        let Some((last, _)) = page.last() else { return counts };
        after = *last;
        for (_, transition) in &page {
            let records = tidemill_engine::decode(&transition.body).unwrap();
            let own = records.iter().filter(|record| matches!(record, Record::Reopened { .. })).count();
            if own > 0 {
                *counts.entry(transition.execution.to_string()).or_default() += own;
            }
        }
    }
}

const LOAD: &str = "
kind: Function
metadata: {name: noop}
spec: {builtin: echo}
---
document: {dsl: '1.0.3', namespace: default, name: works, version: '1.0.0'}
do:
  - a: {call: 'noop:1@default'}
  - b: {set: {n: '${ .n }'}}
---
document: {dsl: '1.0.3', namespace: default, name: naps, version: '1.0.0'}
do:
  - nap: {wait: {hours: 1}}
---
kind: Trigger
metadata: {name: on-work}
spec: {filters: [{exact: {type: work}}], target: {workflow: works}, input: '${ {n: .id} }'}
---
kind: Trigger
metadata: {name: shaved}
spec: {filters: [{exact: {type: shave}}], target: {workflow: naps}, buffer: {rate: 1/h, concurrency: 1}}
---
kind: Source
metadata: {name: door}
spec: {http: {path: door, auth: {none: {}}}}
";

fn tidemill(words: &[&str]) -> String {
    let output = Command::new(binary()).args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{words:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Backs a server's folder up, checks the backup and restores it to a new folder.
fn moved(server: &Server, work: &Path, name: &str) -> std::path::PathBuf {
    let (backup, data) = (work.join(format!("{name}-backup")), work.join(format!("{name}-data")));
    let (backup, data) = (backup.to_str().unwrap(), data.to_str().unwrap());
    tidemill(&["backup", "create", backup, "--data-dir", server.dir.to_str().unwrap()]);
    tidemill(&["backup", "verify", backup]);
    tidemill(&["backup", "restore", backup, "--data-dir", data]);
    data.into()
}

/// Everything the API lists, and every history.
async fn everything(server: &Server) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for list in [
        "workflows",
        "triggers",
        "functions",
        "sources",
        "secrets",
        "events",
        "buffers",
        "dead-letters",
        "batches",
        "executions",
    ] {
        let mut items = all(server, &format!("/{list}"), "").await;
        for item in &mut items {
            // What runs is of one process: since when, how old.
            for volatile in
                ["status", "oldestAge"].iter().filter(|_| !["executions", "dead-letters"].contains(&list))
            {
                item.as_object_mut().unwrap().remove(*volatile);
            }
        }
        found.insert(list.to_owned(), Value::Array(items));
    }
    let executions = found["executions"].as_array().unwrap().clone();
    for id in executions.iter().map(|execution| execution["id"].as_str().unwrap()) {
        let path = format!("/executions/{id}");
        found.insert(path.clone(), get(server, &path).await);
        found.insert(
            format!("{path}/history"),
            Value::Array(all(server, &format!("{path}/history"), "").await),
        );
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_of_a_live_server_restore_to_its_equal() {
    let (folder, work) = (folder(), folder());
    let mut server = Server::start(folder.path(), &[]).await;
    apply(&server, LOAD).await;
    let secret = post_secret(&server).await;
    assert_eq!(secret, 204);
    // While it is written: what was acknowledged before the copy began is in it.
    let address = server.address;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (told, mut known) = tokio::sync::watch::channel(0_usize);
    let writer = tokio::spawn(async move {
        let mut client = tidemill_integration_tests::http::Client::new(address);
        let mut n = 0;
        while !*stopped.borrow() {
            let kind = if n % 50 == 0 { "shave" } else { "work" };
            let body = format!(r#"{{"specversion":"1.0","id":"{n:05}","source":"/e2e","type":"{kind}"}}"#);
            let headers = [("content-type", "application/cloudevents+json")];
            let answer =
                client.call("POST", &format!("{BASE}/events"), &headers, body.as_bytes()).await.unwrap();
            assert_eq!(answer.status, 202);
            n += 1;
            let _ = told.send(n);
        }
    });
    known.wait_for(|n| *n >= 200).await.unwrap();
    let before = *known.borrow();
    let live = moved(&server, work.path(), "live");
    assert!(*known.borrow() > before, "the server went on meanwhile");
    stop.send(true).unwrap();
    writer.await.unwrap();
    let mut second = Server::start(&live, &[]).await;
    let events: Vec<String> = all(&second, "/events", "")
        .await
        .iter()
        .map(|item| item["event"]["id"].as_str().unwrap().to_owned())
        .collect();
    for n in 0..before {
        assert!(events.contains(&format!("{n:05}")), "{n} of {before} is missing");
    }
    second.terminate();
    // At rest: the restored one is its equal in all it lists.
    until("the work is done", Duration::from_mins(1), async || {
        let open = get(&server, "/executions?status=running&count=true").await["total"] == 0;
        open && all(&server, "/executions", "&status=pending")
            .await
            .iter()
            .all(|item| item["trigger"] == "shaved")
    })
    .await;
    let rest = moved(&server, work.path(), "rest");
    let first = everything(&server).await;
    let mut second = Server::start(&rest, &[]).await;
    let restored = everything(&second).await;
    assert_eq!(first.keys().collect::<Vec<_>>(), restored.keys().collect::<Vec<_>>());
    for (name, found) in &restored {
        assert_eq!(&first[name], found, "{name}");
    }
    second.terminate();
    server.terminate();
}

async fn post_secret(server: &Server) -> u16 {
    let headers = [("content-type", "application/json")];
    server
        .client()
        .call("PUT", &format!("{BASE}/secrets/token"), &headers, b"\"s3cret\"")
        .await
        .unwrap()
        .status
}
