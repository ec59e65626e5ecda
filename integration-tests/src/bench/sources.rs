//! Many sources in one process: memory and CPU while nothing happens. `--entries` says how many, by default 1,000: first
//! schedules and hooks alone, then some of each kind whose server is named alone (`TIDEMILL_TEST_KAFKA`, `_MINIO` and
//! `_MYSQL`), then all together.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Options;
use super::binlog::{connect, query};
use super::kafka::{broker, make};
use super::seq10::serve;
use crate::probe;

const BASE: &str = "/v1/namespaces/default";
/// Without `--entries`.
const COUNT: u64 = 1000;
/// How long all may take to run.
const PATIENCE: Duration = Duration::from_mins(5);
const BUCKET: &str = "bench-idle";
const DATABASE: &str = "bench_idle";
/// User name and password of the MinIO of `cargo xtask services`.
const KEYS: (&str, &str) = ("tidemill", "tidemill-secret");
const SECRETS: &str = "kind: Secret\nmetadata: {name: keys}\nspec: {value: {accessKey: tidemill, secretKey: tidemill-secret}}\n---\nkind: Secret\nmetadata: {name: login}\nspec: {value: {username: root, password: ''}}\n";

/// A kind of source, and what of its server is needed.
#[derive(Clone)]
enum Kind {
    Schedule,
    Hook,
    Kafka(String),
    Listen(String),
    Rows(String),
}

impl Kind {
    /// The `spec` of the one with a number.
    fn spec(&self, n: u64) -> String {
        match self {
            Kind::Schedule => "{cron: {schedule: '0 0 1 1 *'}}".to_owned(),
            Kind::Hook => format!("{{http: {{path: hook-{n}, auth: {{none: {{}}}}}}}}"),
            Kind::Kafka(broker) => {
                format!("{{kafka: {{brokers: ['{broker}'], topics: [idle-{n}], group: bench-{n}}}}}")
            }
            Kind::Listen(address) => format!(
                "{{minio: {{endpoint: 'http://{address}', bucket: {BUCKET}, credentials: {{secret: keys}}, via: {{listen: {{}}}}}}}}"
            ),
            Kind::Rows(address) => format!(
                "{{mysql: {{url: 'mysql://{address}', credentials: {{secret: login}}, tables: ['{DATABASE}.t']}}}}"
            ),
        }
    }
}

/// Each round.
pub(super) async fn run(options: &Options) {
    let count = if options.entries == super::ENTRIES { COUNT } else { options.entries };
    let own = |count: u64| {
        let kind = |n| if n % 2 == 0 { Kind::Schedule } else { Kind::Hook };
        (0..count).map(kind).collect::<Vec<_>>()
    };
    round(options, "schedules and hooks", &own(count)).await;
    let mut all = Vec::new();
    if let Some(broker) = broker("sources with Kafka") {
        let topics: Vec<String> = (0..count / 5).map(|n| format!("idle-{n}")).collect();
        make(&broker, &topics, 1).await;
        all.extend(vec![Kind::Kafka(broker); topics.len()]);
        round(options, "Kafka consumers", &all).await;
    }
    if let Some(address) = named("TIDEMILL_TEST_MINIO") {
        make_bucket(&address);
        let listens = vec![Kind::Listen(address); (count / 5) as usize];
        round(options, "listening to MinIO", &listens).await;
        all.extend(listens);
    }
    if let Some(address) = named("TIDEMILL_TEST_MYSQL") {
        make_table(&address).await;
        // Each takes up to two of the 151 connections that a server has by default.
        let logs = vec![Kind::Rows(address); (count / 20) as usize];
        round(options, "reading MySQL", &logs).await;
        all.extend(logs);
    }
    if !all.is_empty() {
        all.extend(own(count.saturating_sub(all.len() as u64)));
        round(options, "of all kinds", &all).await;
    }
}

fn named(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if found.is_none() {
        println!("{:28} SKIPPED: {variable}=host:port is not set", "sources");
    }
    found
}

/// Starts them, lets them settle, measures a time in which nothing happens.
async fn round(options: &Options, what: &str, kinds: &[Kind]) {
    let count = kinds.len() as u64;
    let server = serve(options, "sources").await;
    sleep(Duration::from_secs(2)).await;
    let empty = probe::resident(server.pid());
    let began = Instant::now();
    let numbered: Vec<_> = (0..).zip(kinds).collect();
    for part in numbered.chunks(100) {
        let text = part.iter().fold(SECRETS.to_owned(), |mut text, (n, kind)| {
            let spec = kind.spec(*n);
            let _ = write!(text, "---\nkind: Source\nmetadata: {{name: s{n}}}\nspec: {spec}\n");
            text
        });
        let headers = [("content-type", "application/yaml")];
        let answer = server.client().call("POST", &format!("{BASE}/apply"), &headers, text.as_bytes()).await;
        match answer {
            Ok(answer) if answer.status == 200 => {}
            other => panic!("cannot apply: {other:?}"),
        }
    }
    let mut running = 0;
    while running < count {
        assert!(began.elapsed() < PATIENCE, "{running} of {count} run");
        sleep(Duration::from_secs(1)).await;
        // Counted by the gauge that tells each one's state.
        running = server.metric("tidemill_source_up").await as u64;
    }
    let started = began.elapsed();
    sleep(Duration::from_secs(5)).await;
    let (from, cpu) = (Instant::now(), probe::cpu_seconds(server.pid()));
    sleep(options.round()).await;
    let share = (probe::cpu_seconds(server.pid()) - cpu) / from.elapsed().as_secs_f64() * 100.0;
    let resident = probe::resident(server.pid());
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).map_or(0, Iterator::count);
    println!(
        "sources: {count} {what}: resident {:.0} MB ({:.0} MB without them, {:.0} KB each), {share:.1} % of a core while idle, {threads} threads, all running {:.1} s after the first was applied",
        resident as f64 / 1e6,
        empty as f64 / 1e6,
        (resident.saturating_sub(empty)) as f64 / 1e3 / count as f64,
        started.as_secs_f64()
    );
    for (thread, cpu) in probe::cpu_by_thread(server.pid()).into_iter().take(5) {
        println!("{:28} {thread}: {cpu:.1} s of CPU in all", "");
    }
}

/// A bucket of the shared server; one that is there already will do.
fn make_bucket(address: &str) {
    let login = format!("{}:{}", KEYS.0, KEYS.1);
    let url = format!("http://{address}/{BUCKET}");
    let done = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &login])
        .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-X", "PUT", &url])
        .status();
    assert!(done.is_ok_and(|status| status.success()), "cannot ask for the bucket {BUCKET}");
}

async fn make_table(address: &str) {
    let mut conn = connect(address).await;
    query(&mut conn, &format!("CREATE DATABASE IF NOT EXISTS {DATABASE}")).await;
    query(&mut conn, &format!("CREATE TABLE IF NOT EXISTS {DATABASE}.t (id INT PRIMARY KEY)")).await;
}
