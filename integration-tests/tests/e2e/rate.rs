//! A buffer's rate over SIGKILL: what is started is what the rate allows, neither more nor noticeably less.

use std::time::{Duration, Instant};

use tidemill_integration_tests::server::Server;

use crate::support::{BASE, all, apply, folder, millis, open, until};

const RATE: f64 = 50.0;
/// Without a stated burst a tenth of a second's starts.
const BURST: f64 = 5.0;
/// While missed starts are made up for, so much more than the rate.
const PACE: f64 = 1.1;
/// A start may be this late after it was let out, as commits and threads take their time on a busy machine, seconds.
const LATE: f64 = 0.4;

const SET: &str = r"
document: {dsl: '1.0.3', namespace: default, name: quick, version: '1.0.0'}
do:
  - last: {set: {done: true}}
---
kind: Trigger
metadata: {name: shaved}
spec:
  filters: [{exact: {type: rate.event}}]
  target: {workflow: quick}
  tags: {event: '${ .id }'}
  buffer: {rate: 50/s}
";

/// Over two kills and two stalls of the process: what was missed is made up for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_rate_over_kills() {
    let measured = measure(850, 2, Duration::from_millis(500)).await;
    let expected = RATE * measured.span;
    assert!(measured.starts >= expected * 0.98 - BURST, "too slow: {} of {expected:.0}", measured.starts);
}

/// The published figure: a minute of rate, three kills and three stalls, within one part in a hundred of rate x time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn heavy_rate_over_a_minute() {
    let measured = measure(3000, 3, Duration::from_secs(1)).await;
    let expected = RATE * measured.span;
    let off = (measured.starts - expected).abs() / expected;
    assert!(off <= 0.01, "{} starts, {expected:.0} expected", measured.starts);
}

struct Measured {
    starts: f64,
    /// From the first start to the last, seconds.
    span: f64,
}

/// Offers so many events at once and lets them out, with kills and, before each of them, a stall of the process.
async fn measure(count: usize, kills: usize, stall: Duration) -> Measured {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    apply(&server, SET).await;
    offer(&server, count).await;
    let mut dark = 0.0;
    let part = Duration::from_secs_f64(count as f64 / RATE / (kills + 1) as f64);
    for n in 1..=kills {
        let left = count - count * n / (kills + 1);
        until("the backlog goes down", part * 4, async || open(&server).await <= left).await;
        let began = Instant::now();
        server.freeze(stall).await;
        server.kill();
        server.restart().await;
        dark += began.elapsed().as_secs_f64();
    }
    until("everything ends", part * 8, async || open(&server).await == 0).await;
    let executions = all(&server, "/executions", "&trigger=shaved").await;
    let mut starts: Vec<i64> = executions.iter().map(|e| millis(&e["startedAt"])).collect();
    starts.sort_unstable();
    assert_eq!(starts.len(), count, "each event starts one execution");
    let span = (starts[count - 1] - starts[0]) as f64 / 1000.0;
    let excess = largest_excess(&starts, RATE * PACE);
    eprintln!(
        "{count} starts in {span:.3} s = {:.3}/s ({:+.2} %), {kills} kills with {dark:.3} s dark, at most {excess:.1} above 1.1 x rate x time",
        count as f64 / span,
        (count as f64 / (RATE * span) - 1.0) * 100.0,
    );
    assert!(excess <= BURST + 1.0 + RATE * LATE, "more than 1.1 x rate x time + burst: {excess:.1}");
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    Measured { starts: count as f64, span }
}

async fn offer(server: &Server, count: usize) {
    let mut client = server.client();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    for first in (0..count).step_by(100) {
        let one = |n| format!(r#"{{"specversion":"1.0","id":"e{n}","source":"/e2e","type":"rate.event"}}"#);
        let events: Vec<String> = (first..count.min(first + 100)).map(one).collect();
        let body = format!("[{}]", events.join(","));
        let answer = client.call("POST", &format!("{BASE}/events"), &headers, body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    }
}

/// By how many the starts of any window exceed rate x its length.
fn largest_excess(starts: &[i64], rate: f64) -> f64 {
    // count(i..=j) - rate x (tj - ti) is largest where (j - rate x tj) - (i - rate x ti) + 1 is.
    let mut least = f64::MAX;
    let mut most = f64::MIN;
    for (n, at) in starts.iter().enumerate() {
        let level = n as f64 - rate * (*at - starts[0]) as f64 / 1000.0;
        least = least.min(level);
        most = most.max(level - least + 1.0);
    }
    most
}

#[test]
fn excess_is_that_of_the_worst_window() {
    let check = |starts: &[i64], expected: f64| {
        assert!((largest_excess(starts, RATE) - expected).abs() < 1e-9, "{starts:?}");
    };
    check(&[0, 20, 40, 60], 1.0);
    check(&[0, 1000, 1000, 1000, 1020], 3.0);
    check(&[0, 0, 5000, 5010, 5020], 2.0);
}
