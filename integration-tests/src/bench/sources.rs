//! Many sources in one process: memory and CPU while nothing happens. `--entries` says how many, by default 1,000: four
//! tenths are schedules, four tenths hooks, and, with a broker, two tenths Kafka consumers of one topic each.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Options;
use super::kafka::{broker, make};
use super::seq10::serve;
use crate::probe;

const BASE: &str = "/v1/namespaces/default";
/// Without `--entries`.
const COUNT: u64 = 1000;
/// How long all may take to run.
const PATIENCE: Duration = Duration::from_mins(5);

/// Starts them, lets them settle, measures a round in which nothing happens.
pub(super) async fn run(options: &Options) {
    let count = if options.entries == super::ENTRIES { COUNT } else { options.entries };
    let broker = broker("sources with Kafka");
    if let Some(broker) = &broker {
        let topics: Vec<String> = (0..count).filter(|n| n % 10 < 2).map(|n| format!("idle-{n}")).collect();
        make(broker, &topics, 1).await;
    }
    let server = serve(options, "sources").await;
    sleep(Duration::from_secs(2)).await;
    let empty = probe::resident(server.pid());
    let began = Instant::now();
    for part in (0..count).collect::<Vec<_>>().chunks(100) {
        let text = part.iter().fold(String::new(), |mut text, n| {
            let _ = write!(
                text,
                "---\nkind: Source\nmetadata: {{name: s{n}}}\nspec: {}\n",
                spec(*n, broker.as_deref())
            );
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
        "sources {count:20} resident {:.0} MB ({:.0} MB without them, {:.0} KB each), {share:.1} % of a core while idle, {threads} threads, all running {:.1} s after the first was applied",
        resident as f64 / 1e6,
        empty as f64 / 1e6,
        (resident.saturating_sub(empty)) as f64 / 1e3 / count as f64,
        started.as_secs_f64()
    );
    for (thread, cpu) in probe::cpu_by_thread(server.pid()).into_iter().take(5) {
        println!("{:28} {thread}: {cpu:.1} s of CPU in all", "");
    }
}

fn spec(n: u64, broker: Option<&str>) -> String {
    match (n % 10, broker) {
        (0 | 1, Some(broker)) => {
            format!("{{kafka: {{brokers: ['{broker}'], topics: [idle-{n}], group: bench-{n}}}}}")
        }
        (n, _) if n < 6 => "{cron: {schedule: '0 0 1 1 *'}}".to_owned(),
        _ => format!("{{http: {{path: hook-{n}, auth: {{none: {{}}}}}}}}"),
    }
}
