//! The pages of the connectors that need no server of somebody else: their documents are applied, their commands run in
//! order, and what a command prints is what the block behind it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tidemill_integration_tests::server::{Server, binary};

use crate::support::{apply, folder, get, until};

/// A command and what it must print, if the page says it.
struct Shown {
    command: String,
    prints: Option<Value>,
}

/// The blocks of a page: its documents, and its commands.
fn read(page: &str) -> (String, Vec<Shown>) {
    let (mut documents, mut commands) = (Vec::new(), Vec::<Shown>::new());
    for block in page.split("\n```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').unwrap_or((block, ""));
        match kind {
            "yaml" => documents.push(text.to_owned()),
            "sh" => commands.push(Shown { command: text.to_owned(), prints: None }),
            "json" => {
                let shown = commands.last_mut().expect("a command goes before what it prints");
                shown.prints = Some(serde_json::from_str(text).unwrap());
            }
            kind => panic!("a block of kind {kind}"),
        }
    }
    (documents.join("\n---\n"), commands)
}

/// Whether a value is as a page says it: objects may have more, and a `*` in a text stands for anything.
fn fits(value: &Value, said: &Value) -> bool {
    match (value, said) {
        (Value::Object(own), Value::Object(said)) => {
            said.iter().all(|(name, said)| own.get(name).is_some_and(|own| fits(own, said)))
        }
        (Value::Array(own), Value::Array(said)) => {
            own.len() == said.len() && own.iter().zip(said).all(|(own, said)| fits(own, said))
        }
        (Value::String(own), Value::String(said)) => match said.split_once('*') {
            Some((before, after)) => own.starts_with(before) && own.ends_with(after),
            None => own == said,
        },
        _ => value == said,
    }
}

async fn check(name: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/connectors").join(name);
    let (documents, commands) = read(&std::fs::read_to_string(page).unwrap());
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    apply(&server, &documents).await;
    until("sources run", std::time::Duration::from_secs(20), async || {
        let sources = get(&server, "/sources").await;
        sources["items"].as_array().unwrap().iter().all(|source| source["status"]["state"] == "running")
    })
    .await;
    let own: Vec<PathBuf> = binary().parent().into_iter().map(Path::to_owned).collect();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&others))).unwrap();
    assert!(commands.len() >= 3, "{name}");
    for Shown { command, prints } in commands {
        let address = format!("http://{}", server.address);
        let mut shell = Command::new("sh");
        shell.args(["-euc", &command]).env("PATH", &path);
        let out = shell.env("SERVER", &address).env("TIDEMILL_SERVER", &address).output().unwrap();
        let printed = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{name}: {command}: {out:?}");
        if let Some(said) = prints {
            let printed: Value =
                serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{command}: {printed}"));
            assert!(fits(&printed, &said), "{name}: {command}\nprints {printed}\nnot    {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_http_hooks_holds() {
    check("http.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_cron_holds() {
    check("cron.md").await;
}
