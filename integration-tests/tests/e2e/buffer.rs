//! A full buffer: `reject` and `wait` answer 429, `divert` makes dead letters; over a kill it is as full as before; what
//! was accepted runs once, what was refused can be sent again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidemill_integration_tests::http::Answer;
use tidemill_integration_tests::server::Server;

use crate::responder::Responder;
use crate::support::{BASE, LOOPBACK, all, apply, event, folder, get, until};

const WORKFLOW: &str = r"
document: {dsl: '1.0.3', namespace: default, name: outside, version: '1.0.0'}
do:
  - ask: {call: 'held:1@default'}
";
const CAPACITY: usize = 5;

fn trigger(when_full: &str) -> String {
    format!(
        "---\nkind: Trigger\nmetadata: {{name: {when_full}}}\nspec:\n  filters: [{{exact: {{type: full.{when_full}}}}}]\n  \
         target: {{workflow: outside}}\n  tags: {{event: '${{ .id }}'}}\n  \
         buffer: {{concurrency: 1, capacity: {CAPACITY}, whenFull: {when_full}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_full_buffers_over_a_kill() {
    let responder = Responder::start();
    let folder = folder();
    let mut server = Server::start(folder.path(), &[LOOPBACK]).await;
    let triggers: String = ["reject", "divert", "wait"].map(trigger).concat();
    apply(&server, &format!("{}{WORKFLOW}{triggers}", responder.function("held"))).await;
    responder.hold();
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    for kind in ["reject", "divert", "wait"] {
        // One is let out, so many wait.
        offer(&server, kind, "first", 202).await;
        until("the first is in flight", Duration::from_secs(20), async || {
            get(&server, &format!("/buffers/{kind}")).await["inFlight"] == 1
        })
        .await;
        for n in 0..CAPACITY {
            offer(&server, kind, &format!("e{n}"), 202).await;
        }
        expected.insert(kind.to_owned(), CAPACITY + 1);
    }
    for round in 0..2 {
        for kind in ["reject", "wait"] {
            let began = Instant::now();
            let answer = offer(&server, kind, "refused", 429).await;
            assert_eq!(answer.json()["code"], "buffer-full");
            assert!(
                answer.header("retry-after").is_some_and(|v| v.parse::<u64>().is_ok_and(|n| n > 0)),
                "{}",
                answer.head
            );
            let took = began.elapsed();
            assert_eq!(kind == "wait", took > Duration::from_millis(900), "{kind} answered after {took:?}");
        }
        offer(&server, "divert", &format!("diverted{round}"), 202).await;
        let letters = all(&server, "/dead-letters", "&trigger=divert").await;
        assert_eq!(letters.len(), round + 1, "{letters:?}");
        assert!(letters.iter().all(|l| l["cause"] == "buffer-full"), "{letters:?}");
        if round == 0 {
            server.kill();
            server.restart().await;
        }
    }
    responder.release();
    until("the buffers drain", Duration::from_secs(30), async || crate::support::open(&server).await == 0)
        .await;
    // What was refused left nothing behind: it is no duplicate now.
    for kind in ["reject", "wait"] {
        let answer = offer(&server, kind, "refused", 202).await;
        assert_eq!(answer.json()["duplicates"], 0, "{kind}");
        *expected.get_mut(kind).unwrap() += 1;
    }
    let headers = [("content-type", "application/json")];
    let body = br#"{"filter": {"cause": "buffer-full"}}"#;
    let answer =
        server.client().call("POST", &format!("{BASE}/dead-letters/redrive"), &headers, body).await.unwrap();
    assert_eq!(answer.status, 202);
    *expected.get_mut("divert").unwrap() += 2;
    for (kind, count) in expected {
        until("each has run", Duration::from_secs(30), async || {
            all(&server, "/executions", &format!("&trigger={kind}&status=completed")).await.len() == count
        })
        .await;
        let executions = all(&server, "/executions", &format!("&trigger={kind}")).await;
        let events: std::collections::BTreeSet<&str> =
            executions.iter().map(|e| e["tags"]["event"].as_str().unwrap()).collect();
        assert_eq!((executions.len(), events.len()), (count, count), "{kind}: each event has one execution");
        let buffer = get(&server, &format!("/buffers/{kind}")).await;
        assert_eq!((&buffer["depth"], &buffer["inFlight"]), (&0.into(), &0.into()), "{buffer}");
    }
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

async fn offer(server: &Server, kind: &str, id: &str, expected: u16) -> Answer {
    let answer =
        event(&mut server.client(), &format!("full.{kind}"), &format!("{kind}-{id}"), "s", 0).await.unwrap();
    assert_eq!(answer.status, expected, "{kind} {id}: {}", String::from_utf8_lossy(&answer.body));
    answer
}
