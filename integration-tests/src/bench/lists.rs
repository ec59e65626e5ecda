//! Lists over many stored executions: any page, filter or show, and a history of ten thousand tasks.
//!
//! The executions are written through the store, before the server starts on it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::program::Program;
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Birth, Cause, Ended, Status, Summary};
use tidemill_store::sqlite::{Durability, Options as StoreOptions};
use tidemill_store::{
    Batch, Class, Create, Definition, DefinitionChange, DefinitionKind, OperatorChange, Part, SqliteStore,
    Store,
};

use super::Options;
use super::seq10::{NOOP, measured, put, workflow};
use crate::http::Client;
use crate::probe;
use crate::server::Server;

const BASE: &str = "/v1/namespaces/default";
const WORKFLOWS: u64 = 10;
/// Executions of one batch, and batches under way.
const BATCH: u64 = 2000;
const UNDER_WAY: usize = 4;
/// Over so many milliseconds the starts are spread: less than the retention.
const SPREAD: i64 = 5 * 86_400_000;
/// Pages asked of each list.
const PAGES: usize = 60;
/// Between two openings of the long history beside W1.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Tasks of the long history.
const TASKS: usize = 10_000;

/// Every list that is measured.
const LISTS: [(&str, &str); 17] = [
    ("all", ""),
    ("oldest first", "&orderBy=startedAt"),
    ("workflow", "&workflow=w3"),
    ("status, most", "&status=completed"),
    ("status, few", "&status=faulted"),
    ("status, hardly any", "&status=waiting"),
    ("two statuses", "&status=faulted&status=cancelled"),
    ("trigger", "&trigger=t2"),
    ("tag of few", "&tag=customer:77"),
    ("tag of half", "&tag=region:eu"),
    ("tag of all", "&tag=all:yes"),
    ("workflow, status", "&workflow=w3&status=faulted"),
    ("trigger, status", "&trigger=t2&status=faulted"),
    ("tag, status", "&tag=region:eu&status=faulted"),
    ("tag, rare status", "&tag=all:yes&status=waiting"),
    ("two tags", "&tag=region:eu&tag=customer:77"),
    ("workflow, trigger, tag", "&workflow=w3&trigger=t3&tag=region:us"),
];

/// Fills, serves, asks.
pub(super) async fn run(options: &Options) {
    let dir = options.dir.join("lists");
    let _ = std::fs::remove_dir_all(&dir);
    let began = Instant::now();
    let first = fill(&dir, options.entries);
    println!(
        "lists: {} executions stored in {:.1} s, {:.0} MB",
        options.entries,
        began.elapsed().as_secs_f64(),
        std::fs::metadata(dir.join("tidemill.db")).map_or(0.0, |m| m.len() as f64 / 1e6)
    );
    let mut server = Server::start(&dir, &[]).await;
    for (name, filter) in LISTS {
        print(name, pages(&server, filter, "").await);
    }
    for (name, filter) in
        [("interval", ""), ("interval, workflow", "&workflow=w3"), ("interval, status", "&status=faulted")]
    {
        print(name, pages(&server, filter, "deep").await);
    }
    print("show", shows(&server, first).await);
    history(options, &server).await;
    server.terminate();
    super::retention::run(&dir);
}

/// Latencies of one list.
fn print(name: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let at = |q: f64| {
        let index = ((latencies.len() as f64 * q) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or(0.0, |d| d.as_secs_f64() * 1000.0)
    };
    let verdict = if at(0.95) < 50.0 { "" } else { "  above 50 ms" };
    println!(
        "lists: {name:24} p50 {:>7.2} ms  p95 {:>7.2} ms  max {:>7.2} ms{verdict}",
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

/// Pages of a list, one after another; `deep` ones begin at instants spread over the whole time.
async fn pages(server: &Server, filter: &str, deep: &str) -> Vec<Duration> {
    let mut client = server.client();
    let mut latencies = Vec::new();
    let mut token = String::new();
    for page in 0..PAGES {
        let interval = if deep.is_empty() {
            String::new()
        } else {
            let until = now().0 - SPREAD * page as i64 / PAGES as i64;
            format!("&until={}&since={}", Time(until).rfc3339(), Time(until - 3_600_000).rfc3339())
        };
        let path = format!("{BASE}/executions?pageSize=100{filter}{interval}{token}");
        let began = Instant::now();
        let (status, body) = client.get(&path).await.unwrap_or_default();
        latencies.push(began.elapsed());
        assert_eq!(status, 200, "{path}: {body}");
        token = match body["nextPageToken"].as_str() {
            Some(next) if deep.is_empty() => format!("&pageToken={next}"),
            _ => String::new(),
        };
    }
    latencies
}

async fn shows(server: &Server, first: Vec<ExecutionId>) -> Vec<Duration> {
    let mut client = server.client();
    let mut latencies = Vec::new();
    for id in first {
        let began = Instant::now();
        let (status, _) = client.get(&format!("{BASE}/executions/{id}")).await.unwrap_or_default();
        latencies.push(began.elapsed());
        assert_eq!(status, 200);
    }
    latencies
}

/// A history of many tasks: how long it takes to open, what memory it takes, and what it costs others.
async fn history(options: &Options, server: &Server) {
    put(server, &format!("{BASE}/functions/noop"), NOOP).await;
    put(server, &format!("{BASE}/workflows/seq10"), &workflow("seq10", 10)).await;
    let long = format!(
        "document: {{dsl: '1.0.3', namespace: default, name: long, version: '1.0.0'}}\ndo:\n  - all: {{for: {{in: '${{ [range({TASKS})] }}'}}, do: [{{one: {{set: {{n: '${{ $item }}'}}}}}}]}}\n"
    );
    put(server, &format!("{BASE}/workflows/long"), &long).await;
    let mut client = server.client();
    let path = format!("{BASE}/workflows/long/executions");
    let answer = client.call("POST", &path, &[("prefer", "wait=60")], b"{}").await;
    let id = answer.map(|a| a.json()["id"].as_str().unwrap_or_default().to_owned()).unwrap_or_default();
    let before = probe::resident(server.pid());
    let (entries, first, took) = open(&mut client, &id).await;
    let grown = probe::resident(server.pid()).saturating_sub(before);
    println!(
        "lists: history of {entries} entries       first page {:.0} ms, all {:.0} ms, memory +{:.1} MB",
        first.as_secs_f64() * 1000.0,
        took.as_secs_f64() * 1000.0,
        grown as f64 / 1e6
    );
    let alone = async || measured(options, server, "W1(a) C=100, nobody reads", "seq10", 100).await;
    let first = alone().await;
    let mut reader = server.client();
    let reading = tokio::spawn(async move {
        loop {
            let _ = open(&mut reader, &id).await;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    let beside = measured(options, server, "W1(a) C=100, history opened", "seq10", 100).await;
    reading.abort();
    // What is stored meanwhile slows W1 too: the round beside the reader stands between two without him.
    let alone = f64::midpoint(first, alone().await);
    println!("lists: W1 beside the history {:>10.1} % of W1 alone", beside / alone * 100.0);
}

/// Reads every page; gives the number of entries, the time of the first page and of all.
async fn open(client: &mut Client, id: &str) -> (usize, Duration, Duration) {
    let began = Instant::now();
    let (mut entries, mut first, mut token) = (0, Duration::ZERO, String::new());
    loop {
        let path = format!("{BASE}/executions/{id}/history?pageSize=1000{token}");
        let (status, page) = client.get(&path).await.unwrap_or_default();
        assert_eq!(status, 200, "{page}");
        if entries == 0 {
            first = began.elapsed();
        }
        entries += page["items"].as_array().map_or(0, Vec::len);
        match page["nextPageToken"].as_str() {
            Some(next) => token = format!("&pageToken={next}"),
            None => return (entries, first, began.elapsed()),
        }
    }
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0)))
}

/// Writes the executions; gives some of their ids.
fn fill(dir: &Path, count: u64) -> Vec<ExecutionId> {
    std::fs::create_dir_all(dir).expect("a folder");
    let options = StoreOptions { durability: Durability::Process };
    let store = SqliteStore::open(dir.join("tidemill.db"), options).expect("a store");
    let (told, tell) = sync_channel(UNDER_WAY);
    let submit = |parts: Vec<Part>, told: SyncSender<bool>| {
        let done = Box::new(move |outcome: Result<_, _>| {
            let _ = told.send(outcome.is_ok());
        });
        store.submit(Batch { class: Class::New, parts }, done);
    };
    let now = now();
    let programs: Vec<Arc<Program>> = (0..WORKFLOWS).map(|n| program(&format!("w{n}"))).collect();
    let namespace = OperatorChange::Namespace { namespace: "default".into(), text: "".into(), at: now };
    submit(vec![Part::Operator(vec![namespace]), definitions(&programs, now)], told.clone());
    let (mut under_way, mut shown) = (1, Vec::new());
    for from in (0..count).step_by(BATCH as usize) {
        let parts: Vec<Part> = (from..(from + BATCH).min(count))
            .map(|n| {
                let at = Time(now.0 - SPREAD + (n as f64 / count as f64 * SPREAD as f64) as i64);
                let create = create(&programs, n, at);
                if n % (count / 200).max(1) == 0 {
                    shown.push(create.birth.id);
                }
                Part::Create(Box::new(create))
            })
            .collect();
        submit(parts, told.clone());
        under_way += 1;
        while under_way > UNDER_WAY {
            assert!(tell.recv().expect("the store answers"), "a batch was refused");
            under_way -= 1;
        }
    }
    (0..under_way).for_each(|_| assert!(tell.recv().expect("the store answers"), "a batch was refused"));
    store.close();
    shown
}

fn program(name: &str) -> Arc<Program> {
    tidemill_dsl::workflow::check(&workflow(name, 1)).program.expect("a workflow")
}

fn definitions(programs: &[Arc<Program>], at: Time) -> Part {
    let put = |program: &Arc<Program>| {
        DefinitionChange::Put(Definition {
            kind: DefinitionKind::Workflow,
            namespace: "default".into(),
            name: program.document.name.clone(),
            version: program.document.version.clone(),
            text: workflow(&program.document.name, 1).into(),
            digest: program.digest,
            generation: 1,
            at,
            current: true,
            paused: false,
        })
    };
    Part::Definitions(programs.iter().map(put).collect())
}

/// The nth execution: most have ended well, some failed, few wait; half came through a trigger.
fn create(programs: &[Arc<Program>], n: u64, at: Time) -> Create {
    // Scatters the numbers, so that no two conditions go together.
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    let mut tail = [0; 10];
    tail[..8].copy_from_slice(&n.to_be_bytes());
    let program = &programs[(mixed % WORKFLOWS) as usize];
    let cause = (mixed >> 8 & 1 == 0).then(|| Cause {
        trigger: format!("t{}", mixed % WORKFLOWS).into(),
        generation: 1,
        attempt: 1,
        binding: "".into(),
        source: "/bench".into(),
        id: n.to_string().into(),
        buffered: false,
    });
    let tag = |name: &str, value: String| (Arc::from(name), Arc::from(value));
    let region = if mixed >> 16 & 1 == 0 { "eu" } else { "us" };
    let birth = Arc::new(Birth {
        id: ExecutionId::new(at, tail),
        namespace: "default".into(),
        workflow: program.document.name.clone(),
        version: program.document.version.clone(),
        digest: program.digest,
        created: at,
        input: Value::object([("n", Value::from(n as i64))]),
        cause,
        parent: None,
        tags: vec![
            tag("customer", (mixed >> 20 & 1023).to_string()),
            tag("region", region.to_owned()),
            tag("all", "yes".to_owned()),
        ],
        path: Vec::new(),
    });
    let (status, result) = match mixed >> 32 & 1023 {
        0..=19 => (Status::Faulted, Some(Ended::Faulted(tidemill_dsl::fault::Fault::timeout("too slow")))),
        20..=24 => (Status::Cancelled, Some(Ended::Cancelled)),
        25 if n.is_multiple_of(8) => (Status::Waiting, None),
        _ => (Status::Completed, Some(Ended::Completed(Value::object([("n", Value::from(n as i64))])))),
    };
    let ended = result.as_ref().map(|_| Time(at.0 + 40));
    let mut execution = tidemill_engine::create(program, birth.clone());
    let first = tidemill_engine::created(&mut execution);
    let summary = Summary { execution: birth.id, status, started: Some(at), ended, result };
    Create { birth, first, summary, key: None }
}
