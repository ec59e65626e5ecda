//! Every example as its README tells it: `tidemill dev` on the folder, the events sent, the outputs as stated.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tidemill_integration_tests::http::Client;
use tidemill_integration_tests::server::binary;

use crate::support::{BASE, folder};

/// How long an example may take.
const LIMIT: Duration = Duration::from_mins(1);

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The events of an example with the outputs that they lead to, by the ends of their names.
fn cases(dir: &Path) -> Vec<(Option<Value>, Value)> {
    let names =
        std::fs::read_dir(dir).unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut ends: Vec<String> = names
        .filter_map(|name| Some(name.strip_prefix("expected-output")?.strip_suffix(".json")?.to_owned()))
        .collect();
    ends.sort();
    let event = |end: &str| Some(dir.join(format!("event{end}.json"))).filter(|path| path.exists());
    let case = |end: String| {
        (event(&end).map(|path| json(&path)), json(&dir.join(format!("expected-output{end}.json"))))
    };
    ends.into_iter().map(case).collect()
}

/// The JSON blocks of a README.
fn blocks(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("README.md")).unwrap();
    let parts = text.split("```json\n").skip(1);
    parts.map(|part| serde_json::from_str(part.split("```").next().unwrap()).unwrap()).collect()
}

/// The execution that an event began, or, without one, any, once it has ended.
async fn ended(client: &mut Client, event: Option<&Value>) -> Value {
    let began = Instant::now();
    loop {
        let (_, list) = client.get(&format!("{BASE}/executions?pageSize=100")).await.unwrap();
        for item in list["items"].as_array().unwrap() {
            let path = format!("{BASE}/executions/{}", item["id"].as_str().unwrap());
            let (_, execution) = client.get(&path).await.unwrap();
            let own = event.is_none_or(|event| execution["event"]["id"] == event["id"]);
            if own && execution["endedAt"].is_string() {
                return execution;
            }
        }
        assert!(began.elapsed() < LIMIT, "nothing has ended: {list}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Lets it happen; gives what the caller of the hook was answered.
fn happen(example: &Path, server: SocketAddr) -> Value {
    let script = example.join("happening.sh");
    let out = Command::new("sh").arg(script).env("SERVER", server.to_string()).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    serde_json::from_slice(&out.stderr).unwrap_or_else(|error| panic!("{error}: {out:?}"))
}

async fn check(name: &str) {
    let (work, source) = (folder(), examples().join(name));
    for entry in std::fs::read_dir(&source).unwrap().flatten() {
        std::fs::copy(entry.path(), work.path().join(entry.file_name())).unwrap();
    }
    let (address, metrics, desk) = (free(), free(), free());
    let mut command = Command::new(binary());
    command.arg("dev").arg(work.path()).args(["--listen", &address.to_string()]);
    command.args(["--metrics-listen", &metrics.to_string()]).stderr(Stdio::null()).stdout(Stdio::null());
    command.env("TIDEMILL_EGRESS__REWRITE", format!(r#"{{"desk.example": "http://{desk}"}}"#));
    let _server = Running(command.spawn().unwrap());
    let _desk = source.join("desk.py").exists().then(|| {
        let words = [desk.port().to_string(), format!("http://{address}")];
        let script = source.join("desk.py");
        Running(Command::new("python3").arg(script).args(words).stdout(Stdio::null()).spawn().unwrap())
    });
    let began = Instant::now();
    while source.join("desk.py").exists() && std::net::TcpStream::connect(desk).is_err() {
        assert!(began.elapsed() < LIMIT, "{name}: the desk is not ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut client = Client::new(address);
    let began = Instant::now();
    while !client.get("/readyz").await.is_ok_and(|(status, _)| status == 200) {
        assert!(began.elapsed() < LIMIT, "{name}: the server is not ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (cases, told) = (cases(&source), blocks(&source));
    assert!(!cases.is_empty(), "{name} states no output");
    if source.join("happening.sh").exists() {
        let answer = happen(&source, address);
        assert_eq!(
            Some(&answer),
            cases.first().map(|(_, expected)| expected),
            "{name}: the answer of the hook"
        );
    }
    for (event, expected) in cases {
        if let Some(event) = &event {
            let headers = [("content-type", "application/cloudevents+json")];
            let body = event.to_string();
            let answer =
                client.call("POST", &format!("{BASE}/events"), &headers, body.as_bytes()).await.unwrap();
            assert_eq!(answer.status, 202, "{name}");
            assert!(told.contains(&event["data"]), "README of {name} shows the input {}", event["data"]);
        }
        assert!(told.contains(&expected), "README of {name} shows the output {expected}");
        let execution = ended(&mut client, event.as_ref()).await;
        assert_eq!(
            (&execution["status"], &execution["output"]),
            (&"completed".into(), &expected),
            "{name}: {execution}"
        );
    }
}

macro_rules! examples {
    ($($test:ident $name:literal)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            check($name).await;
        }
    )*};
}

examples! {
    hello "01-hello"
    order "02-order"
    cron_report "03-cron-report"
    callback_approval "04-callback-approval"
    webhook_sync "13-webhook-sync"
}
