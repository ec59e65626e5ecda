//! A full disk (D14): new work is refused and told so, reads and cancel work, also after a restart while full; with
//! space again everything acknowledged ends. On a file system of 256 MiB of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tidemill_integration_tests::http::Client;
use tidemill_integration_tests::probe;
use tidemill_integration_tests::server::Server;

use crate::responder::Responder;
use crate::support::{
    self, BASE, LOOPBACK, all, apply, event, get, open, post, refused_for_space, start, until,
};

/// Size of the file system.
const SIZE: &str = "256M";
/// Calls that are in flight while the disk is full, at least.
const HELD: usize = 40;
/// Calls that are answered while the disk is full.
const ANSWERED: usize = 10;
/// Memory that a server under refusals may gain, bytes.
const GAIN: u64 = 64 << 20;

const SET: &str = r"
document: {dsl: '1.0.3', namespace: default, name: outside, version: '1.0.0'}
do:
  - ask: {call: 'held:1@default'}
  - last: {set: {done: true}}
---
document: {dsl: '1.0.3', namespace: default, name: reserved, version: '1.0.0'}
do:
  - ask: {call: 'reserved:1@default'}
  - last: {set: {done: true}}
---
document: {dsl: '1.0.3', namespace: default, name: inside, version: '1.0.0'}
do:
  - pause: {wait: {milliseconds: 100}}
  - last: {set: {done: true}}
---
kind: Trigger
metadata: {name: direct}
spec:
  filters: [{exact: {type: disk.direct}}]
  target: {workflow: inside}
  tags: {event: '${ .id }'}
---
kind: Trigger
metadata: {name: shaved}
spec:
  filters: [{exact: {type: disk.shaved}}]
  target: {workflow: inside}
  tags: {event: '${ .id }'}
  buffer: {concurrency: 20, capacity: 1000000}
";

/// A mounted file system; unmounted at the end.
struct Disk {
    at: PathBuf,
    _image: TempDir,
}

impl Disk {
    fn mount(kind: &str) -> Result<Disk, String> {
        let image = support::folder();
        let at = image.path().join("disk");
        std::fs::create_dir(&at).map_err(|e| e.to_string())?;
        let file = image.path().join("image");
        let (image_path, mount_path) = (file.to_str().unwrap_or_default(), at.to_str().unwrap_or_default());
        match kind {
            "ext4" => {
                run("truncate", &["-s", SIZE, image_path])?;
                run("mkfs.ext4", &["-q", "-m", "0", image_path])?;
                run("mount", &["-o", "loop", image_path, mount_path])?;
            }
            _ => run("mount", &["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs", mount_path])?,
        }
        Ok(Disk { at, _image: image })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = self.at.to_str().unwrap_or_default();
        if run("umount", &[at]).is_err() {
            let _ = run("umount", &["-l", at]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(arguments).env("PATH", path).output();
    let output = output.map_err(|e| format!("cannot run {program}: {e}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// Fills a file until there is no space left.
fn fill(path: &Path) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    for size in [1 << 20, 4096, 512] {
        let block = vec![7u8; size];
        while file.write(&block).is_ok_and(|n| n > 0) {}
    }
    let _ = file.sync_all();
}

#[derive(Default)]
struct Load {
    number: AtomicU64,
    over: AtomicBool,
    refused: AtomicU64,
    odd: Mutex<Vec<String>>,
    /// Acknowledged starts by key, acknowledged events.
    starts: Mutex<BTreeMap<String, String>>,
    events: Mutex<BTreeSet<String>>,
}

impl Load {
    fn acknowledged(&self) -> usize {
        self.starts.lock().unwrap().len() + self.events.lock().unwrap().len()
    }
}

/// Starts and events in turn, each once.
async fn work(load: Arc<Load>, address: SocketAddr) {
    let mut client = Client::new(address);
    let input = format!(r#"{{"pad":"{}"}}"#, "x".repeat(2000));
    while !load.over.load(Ordering::Relaxed) {
        let n = load.number.fetch_add(1, Ordering::Relaxed);
        let key = format!("k{n}");
        let answer = match n % 3 {
            0 => start(&mut client, "inside", &key, &input).await,
            1 => event(&mut client, "disk.direct", &key, "s", 2000).await,
            _ => event(&mut client, "disk.shaved", &key, "s", 2000).await,
        };
        match answer {
            Ok(answer) if answer.status == 202 && n.is_multiple_of(3) => {
                let id = answer.json()["id"].as_str().unwrap_or_default().to_owned();
                load.starts.lock().unwrap().insert(key, id);
            }
            Ok(answer) if answer.status == 202 => drop(load.events.lock().unwrap().insert(key)),
            Ok(answer) if refused_for_space(&answer) => {
                load.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(answer) => {
                let text = format!("{} {}", answer.head, String::from_utf8_lossy(&answer.body));
                load.odd.lock().unwrap().push(text);
            }
            // Killed meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_full_ext4() {
    full("ext4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_full_tmpfs() {
    full("tmpfs").await;
}

async fn full(kind: &str) {
    let disk = match Disk::mount(kind) {
        Ok(disk) => disk,
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "cannot mount {kind}: {why}");
            eprintln!("SKIPPED full disk on {kind}: cannot mount: {why}");
            return;
        }
    };
    let (responder, reserved) = (Responder::start(), Responder::start());
    let mut server = Server::start(&disk.at.join("data"), &[LOOPBACK]).await;
    let functions = responder.function("held") + &reserved.function("reserved");
    apply(&server, &format!("{functions}{SET}")).await;
    responder.hold();
    reserved.hold();
    let load = Arc::new(Load::default());
    let mut client = server.client();
    for n in 0..HELD + ANSWERED {
        let key = format!("h{n}");
        let workflow = if n < HELD { "outside" } else { "reserved" };
        let answer = start(&mut client, workflow, &key, "{}").await.unwrap();
        assert_eq!(answer.status, 202);
        load.starts.lock().unwrap().insert(key, answer.json()["id"].as_str().unwrap().to_owned());
    }
    until("the calls are in flight", Duration::from_secs(30), async || {
        responder.calls() >= HELD && reserved.calls() >= ANSWERED
    })
    .await;
    let tasks: Vec<_> = (0..16).map(|_| tokio::spawn(work(load.clone(), server.address))).collect();
    until("load is acknowledged", Duration::from_mins(1), async || load.acknowledged() > HELD + 300).await;

    let filler = disk.at.join("filler");
    fill(&filler);
    until("new work is refused", Duration::from_secs(30), async || load.refused.load(Ordering::Relaxed) > 50)
        .await;
    let mut cancelled = BTreeSet::new();
    while_full(&mut server, &load, &mut cancelled).await;
    // The reserve is there for outcomes.
    reserved.release();
    until("calls end while the disk is full", Duration::from_secs(20), async || {
        all(&server, "/executions", "&workflow=reserved&status=completed").await.len() == ANSWERED
    })
    .await;
    flat(&server, &load).await;
    // Whoever fills the disk takes what the server gives up meanwhile, too.
    fill(&filler);
    while_full(&mut server, &load, &mut cancelled).await;

    server.kill();
    fill(&filler);
    let took = server.restart().await;
    eprintln!("{kind}: ready {took:?} after a kill with a full disk");
    while_full(&mut server, &load, &mut cancelled).await;
    flat(&server, &load).await;

    std::fs::remove_file(&filler).unwrap();
    let before = load.acknowledged();
    until("new work is accepted again", Duration::from_secs(20), async || load.acknowledged() > before + 50)
        .await;
    load.over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    responder.release();
    until("everything ends", Duration::from_mins(2), async || open(&server).await == 0).await;
    check(&server, &load, &cancelled).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

/// What api.md promises while the disk is full.
async fn while_full(server: &mut Server, load: &Load, cancelled: &mut BTreeSet<String>) {
    let mut client = server.client();
    let answer = start(&mut client, "inside", "while-full", "{}").await;
    let answer =
        answer.unwrap_or_else(|e| panic!("a start: {e}; ended {:?}; {}", server.ended(), server.log()));
    assert!(refused_for_space(&answer), "a start: {} {}", answer.head, String::from_utf8_lossy(&answer.body));
    let answer = event(&mut client, "disk.direct", "while-full", "s", 10).await.unwrap();
    assert!(
        refused_for_space(&answer),
        "an event: {} {}",
        answer.head,
        String::from_utf8_lossy(&answer.body)
    );
    let answer = support::try_apply(server, &SET.replace("1.0.0", "1.0.1")).await;
    assert!(
        refused_for_space(&answer),
        "an apply: {} {}",
        answer.head,
        String::from_utf8_lossy(&answer.body)
    );
    for path in
        ["/livez", &format!("{BASE}/workflows/inside"), &format!("{BASE}/buffers"), &format!("{BASE}/events")]
    {
        let answer = client.call("GET", path, &[], b"").await;
        let answer =
            answer.unwrap_or_else(|e| panic!("{path}: {e}; ended {:?}; {}", server.ended(), server.log()));
        assert_eq!(answer.status, 200, "{path} while full: {}", String::from_utf8_lossy(&answer.body));
    }
    let running = get(server, "/executions?workflow=outside&status=running&pageSize=1000").await;
    let running = running["items"].as_array().unwrap();
    assert_eq!(running.len() + cancelled.len(), HELD, "calls in flight are listed");
    for (n, execution) in running.iter().take(3).enumerate() {
        let id = execution["id"].as_str().unwrap();
        assert!(
            !get(server, &format!("/executions/{id}/history")).await["items"].as_array().unwrap().is_empty()
        );
        if n > 0 {
            continue;
        }
        let answer = post(server, &format!("/executions/{id}/cancel")).await;
        assert!((200..300).contains(&answer.status), "cancel: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(get(server, &format!("/executions/{id}")).await["status"], "cancelled");
        cancelled.insert(id.to_owned());
    }
    assert_eq!(
        *load.odd.lock().unwrap(),
        [""; 0],
        "answers that are neither 202 nor a refusal for want of space"
    );
}

/// Memory stays where it is while thousands are refused.
async fn flat(server: &Server, load: &Load) {
    let (before, resident) = (load.refused.load(Ordering::Relaxed), probe::resident(server.pid()));
    until("refusals", Duration::from_mins(1), async || load.refused.load(Ordering::Relaxed) > before + 3000)
        .await;
    let now = probe::resident(server.pid());
    eprintln!("resident while full: {} -> {} MiB over 3000 refusals", resident >> 20, now >> 20);
    assert!(now < resident + GAIN, "memory grows while the disk is full: {resident} -> {now}");
}

async fn check(server: &Server, load: &Load, cancelled: &BTreeSet<String>) {
    let mut status = BTreeMap::new();
    let mut fired: BTreeMap<String, u32> = BTreeMap::new();
    for execution in all(server, "/executions", "").await {
        let id = execution["id"].as_str().unwrap().to_owned();
        if let Some(event) = execution["tags"]["event"].as_str() {
            *fired.entry(event.to_owned()).or_default() += 1;
        }
        status.insert(id, execution["status"].as_str().unwrap().to_owned());
    }
    let (starts, events) = (load.starts.lock().unwrap(), load.events.lock().unwrap());
    eprintln!(
        "{} starts, {} events acknowledged, {} refused",
        starts.len(),
        events.len(),
        load.refused.load(Ordering::Relaxed)
    );
    for (key, id) in starts.iter() {
        let expected = if cancelled.contains(id) { "cancelled" } else { "completed" };
        assert_eq!(status.get(id).map(String::as_str), Some(expected), "acknowledged start {key} = {id}");
    }
    for event in events.iter() {
        assert_eq!(fired.get(event), Some(&1), "acknowledged event {event}");
    }
    assert!(fired.values().all(|n| *n == 1), "an event fired twice");
    assert!(!fired.contains_key("while-full"), "a refused event fired");
    assert_eq!(cancelled.len(), 3, "an execution was cancelled at each stage");
}
