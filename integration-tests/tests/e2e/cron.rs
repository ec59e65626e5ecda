//! Cron sources from outside: what comes next, filling the past, limits, and what overlaps.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tidemill_integration_tests::server::{Server, binary};

use crate::contract::{ask, problem};
use crate::support::{all, apply, folder, get, millis, until};

const SOON: Duration = Duration::from_secs(30);

/// A cron source with a trigger of its own that starts `note`.
fn source(name: &str, fields: &str, cron: &str) -> String {
    format!(
        "kind: Source\nmetadata: {{name: {name}}}\nspec: {{{fields}cron: {{{cron}}}}}\n---\n\
         kind: Trigger\nmetadata: {{name: {name}}}\nspec: {{source: {name}, target: {{workflow: note}}}}\n---\n"
    )
}

const NOTE: &str = "
document: {dsl: '1.0.3', namespace: default, name: note, version: '1.0.0'}
do: [{keep: {set: {id: '${ .id }', recovered: '${ .recovered }', late: '${ .data.catchUp }'}}}]
---
";

/// The command line of the same server: exit code and standard output.
fn cli(server: &Server, words: &[&str]) -> (Option<i32>, String) {
    let server = format!("http://{}", server.address);
    let out = Command::new(binary()).args(words).args(["--server", &server]).output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_next_is_told_with_the_zones_clock() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    let set = source("nightly", "", "schedule: '30 2 * * *', timezone: Europe/Berlin")
        + NOTE
        + "kind: Source\nmetadata: {name: hook}\nspec: {http: {path: in, auth: {none: {}}}}\n";
    apply(&server, &set).await;
    let told = get(&server, "/sources/nightly/next?times=400").await;
    let times = told["times"].as_array().unwrap();
    assert_eq!((times.len(), &told["timezone"]), (400, &json!("Europe/Berlin")));
    let local = |time: &Value| time["local"].as_str().unwrap().to_owned();
    // One day of the year has no 02:30: it fires when the clocks have gone forward. Every other one does once.
    let odd: Vec<String> = times.iter().map(local).filter(|local| !local.contains("T02:30:00")).collect();
    assert!(odd.len() <= 2 && odd.iter().all(|local| local.contains("T03:00:00+02:00")), "{odd:?}");
    let pairs = times.windows(2).map(|pair| millis(&pair[1]["time"]) - millis(&pair[0]["time"]));
    assert!(pairs.clone().all(|gap| (22 * 3_600_000..=25 * 3_600_000).contains(&gap)));
    let (code, out) = cli(&server, &["source", "next", "nightly", "--count", "2", "-o", "json"]);
    let listed: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}"));
    assert_eq!((code, &listed[0], &listed[1]), (Some(0), &times[0], &times[1]));
    for (path, status) in [("nightly/next?times=0", 400), ("hook/next", 409), ("gone/next", 404)] {
        problem(&ask(&server, "GET", &format!("/sources/{path}"), "").await, status, path);
    }
    assert_eq!(cli(&server, &["source", "next", "hook"]).0, Some(5));
    assert_eq!(cli(&server, &["source", "next", "gone"]).0, Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_past_range_is_filled_once_however_often_it_is_asked_for() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    // Days that are rarely today.
    let set = NOTE.to_owned()
        + &source("hourly", "", "schedule: '0 * 1,2,28 2,3 *'")
        + &source("dense", "enabled: false, ", "schedule: '*/10 * * * *'");
    apply(&server, &set).await;
    until("it has a position", SOON, async || {
        get(&server, "/sources/hourly").await["status"]["position"]["fired"].is_string()
    })
    .await;
    let range = r#"{"since": "2024-03-01T00:00:00Z", "until": "2024-03-02T00:00:00Z"}"#;
    let fill = async |body: &str, query: &str| {
        ask(&server, "POST", &format!("/sources/hourly/backfill{query}"), body).await
    };
    let dry = fill(range, "?dryRun=true").await.json();
    assert_eq!((&dry["instants"], &dry["accepted"]), (&json!(24), &Value::Null), "{dry}");
    let first = fill(range, "").await.json();
    assert_eq!((&first["accepted"], &first["duplicates"]), (&json!(24), &json!(0)), "{first}");
    let wider = r#"{"since": "2024-02-28T22:00:00Z", "until": "2024-03-01T06:00:00Z"}"#;
    let second = fill(wider, "").await.json();
    assert_eq!((&second["accepted"], &second["duplicates"]), (&json!(2), &json!(6)), "{second}");
    until("all end", SOON, async || all(&server, "/executions", "&status=completed").await.len() == 26).await;
    let mut ids = Vec::new();
    for item in all(&server, "/executions", "").await {
        let shown = get(&server, &format!("/executions/{}", item["id"].as_str().unwrap())).await;
        let output = &shown["output"];
        assert!(output["recovered"] == true && output["late"] == true, "{output}");
        ids.push(output["id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), &*ids[0], &*ids[25]), (26, "2024-02-28T22:00:00Z", "2024-03-01T23:00:00Z"));
    // What the source fires itself is not filled: the range ends at its position.
    let open = fill(r#"{"since": "2024-03-01T23:30:00Z"}"#, "?dryRun=true").await.json();
    let position = get(&server, "/sources/hourly").await["status"]["position"]["fired"].clone();
    assert!(millis(&open["until"]) <= millis(&position) + 1000, "{open} {position}");
    let years = r#"{"since": "2000-01-01T00:00:00Z", "until": "2024-01-01T00:00:00Z"}"#;
    let many = ask(&server, "POST", "/sources/dense/backfill", years).await;
    problem(&many, 422, years);
    assert_eq!(many.json()["code"], "backfill-instants");
    for (body, status, code) in [
        (r#"{"since": "2024-03-01T00:00:00Z", "until": "2024-03-01T00:00:00Z"}"#, 400, "backfill-range"),
        (r#"{"since": "2024-03-01T00:00:00Z", "until": "2999-01-01T00:00:00Z"}"#, 400, "backfill-range"),
        (r#"{"since": "yesterday"}"#, 400, "bad-body"),
        (r#"{"from": "2024-03-01T00:00:00Z"}"#, 400, "bad-body"),
    ] {
        let answer = fill(body, "").await;
        problem(&answer, status, body);
        assert_eq!(answer.json()["code"], code, "{body}");
    }
    let words = [
        "source",
        "backfill",
        "hourly",
        "--since",
        "2024-03-01T00:00:00Z",
        "--until",
        "2024-03-01T02:00:00Z",
    ];
    let (code, out) = cli(&server, &[&words[..], &["-o", "json"]].concat());
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}"));
    assert_eq!((code, &told["duplicates"]), (Some(0), &json!(2)), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_instants_come_within_the_limits_of_the_source_and_none_is_lost() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    let every_minute = "schedule: '* * * * *', catchUp: all, maxCatchUp: 12";
    let set = NOTE.to_owned() + &source("rated", "limits: {rate: 5/s, maxInFlight: 2}, ", every_minute);
    apply(&server, &set).await;
    let position = async || get(&server, "/sources/rated").await["status"]["position"]["fired"].clone();
    until("it has a position", SOON, async || position().await.is_string()).await;
    let answer = ask(&server, "POST", "/sources/rated/seek", r#"{"position": "2024-01-01T00:00:00Z"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    until("the last twelve of the missed fire", SOON, async || {
        all(&server, "/executions", "&status=completed").await.len() >= 12
    })
    .await;
    let events = get(&server, "/events?type=cron.fired&pageSize=100").await;
    let mut times: Vec<i64> =
        events["items"].as_array().unwrap().iter().map(|item| millis(&item["receivedAt"])).collect();
    times.sort_unstable();
    let late: Vec<&Value> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["event"]["data"]["catchUp"] == true)
        .collect();
    assert_eq!(late.len(), 12, "no more than maxCatchUp: {events}");
    // Five at once, then five a second.
    assert!(times[11] - times[0] >= 1200, "the rate holds: {times:?}");
    let status = get(&server, "/sources/rated").await["status"].clone();
    assert_eq!(status["errors"], 0, "a limit that is kept is no trouble: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_goes_by_the_overlap_of_its_trigger() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    let work = "document: {dsl: '1.0.3', namespace: default, name: long, version: '1.0.0'}\n\
                do: [{nap: {wait: {hours: 1}}}]\n---\n";
    let tick = "kind: Source\nmetadata: {name: tick}\nspec: {cron: {schedule: '* * * * * *'}}\n---\n";
    let trigger = |overlap: &str| {
        format!(
            "kind: Trigger\nmetadata: {{name: {overlap}}}\n\
             spec: {{source: tick, target: {{workflow: long}}, overlap: {overlap}}}\n---\n"
        )
    };
    let set = [work, tick, &trigger("skip"), &trigger("replace"), &trigger("allow")].concat();
    apply(&server, &set).await;
    let open = async |trigger: &str, status: &str| {
        all(&server, "/executions", &format!("&trigger={trigger}&status={status}")).await.len()
    };
    until("ticks come", SOON, async || {
        open("allow", "waiting").await >= 3 && open("replace", "cancelled").await >= 2
    })
    .await;
    let answer = ask(&server, "POST", "/sources/tick/pause", "").await;
    assert_eq!(answer.status, 200);
    until("one is left", SOON, async || {
        open("replace", "waiting").await == 1 && open("replace", "pending").await == 0
    })
    .await;
    assert_eq!((open("skip", "waiting").await, open("skip", "pending").await), (1, 0));
    assert_eq!(all(&server, "/executions", "&trigger=skip").await.len(), 1);
}
