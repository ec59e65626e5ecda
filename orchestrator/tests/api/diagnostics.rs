//! Every mistake reads the same wherever it is told: lint on the command line and by the API, apply, PUT.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tidemill_dsl::codes::{self, CODES, Example};
use tidemill_dsl::manifest;

use crate::service::Service;

/// Told only of a definition that is sent: the request and the set, which lint does not know.
const SENT: [&str; 7] = ["E0110", "E0111", "E0112", "E0510", "E0512", "E0520", "E1029"];

/// Code, line and column of each mistake.
type Told = Vec<(String, u64, u64)>;

/// The bad example of every code, and every document of the language's own tests.
fn texts() -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for code in CODES.iter().chain(manifest::codes::CODES) {
        // Examples of limits show them in small.
        if let Some(example) = codes::example(code.code).filter(|_| !code.code.starts_with("E080")) {
            texts.insert(code.code.to_owned(), Example::whole(example.bad).into_owned());
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dsl/tests/mistakes");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        texts.insert(name, std::fs::read_to_string(&path).unwrap());
    }
    // A path names one definition.
    texts.remove("two-documents");
    texts
}

fn told(found: &Value, severity: Option<&str>) -> Told {
    let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut told: Told = found
        .iter()
        .filter(|d| severity.is_none_or(|severity| d["severity"] == severity))
        .map(|d| {
            assert!(d["message"].as_str().is_some_and(|text| !text.is_empty()), "{d}");
            (
                d["code"].as_str().unwrap().to_owned(),
                d["line"].as_u64().unwrap(),
                d["column"].as_u64().unwrap(),
            )
        })
        .filter(|(code, ..)| !SENT.contains(&code.as_str()))
        .collect();
    told.sort();
    told
}

/// The path that takes a document: of its kind, or of workflows.
fn path(text: &str) -> String {
    let after = |key: &str| {
        let rest = text.split_once(key)?.1.trim_start();
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().filter(|word| !word.is_empty())
    };
    let kind = match after("kind:") {
        Some("Source") => "sources",
        Some("Function") => "functions",
        Some("Connection") => "connections",
        Some(_) => "triggers",
        None => "workflows",
    };
    let name = after("name:").filter(|name| tidemill_dsl::ids::is_label(name)).unwrap_or("order");
    format!("/v1/namespaces/shop/{kind}/{name}?dryRun=true")
}

#[tokio::test]
async fn every_way_tells_the_same() {
    let service = Service::empty().await;
    let texts = texts();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &texts {
        std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
    }
    let files = texts.keys().map(|name| format!("{name}.yaml"));
    let output = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .current_dir(folder.path())
        .args(["lint", "-o", "json", "-n", "shop"])
        .args(files)
        .output()
        .unwrap();
    let by_command: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (name, text) in &texts {
        let file = format!("{name}.yaml");
        let own = by_command.as_array().unwrap().iter().filter(|d| d["file"] == *file).cloned().collect();
        let expected = told(&own, None);
        assert!(!expected.is_empty() || SENT.contains(&name.as_str()), "{name}");
        let lint = service.post("/v1/lint", text.clone()).await.is(200).json();
        assert_eq!(told(&lint["diagnostics"], None), expected, "lint of {name}");
        let errors = told(&own, Some("error"));
        let sent = [
            ("apply", service.post("/v1/namespaces/shop/apply?dryRun=true", text.clone()).await),
            ("PUT", service.put(&path(text), text.clone()).await),
        ];
        for (way, answer) in sent {
            if errors.is_empty() {
                let body = answer.json();
                let list = if answer.status < 300 { &body["warnings"] } else { &body["errors"] };
                let expected = if answer.status < 300 { told(&own, None) } else { Vec::new() };
                assert_eq!(told(list, None), expected, "{way} of {name}: {}", answer.text);
            } else {
                assert!(matches!(answer.status, 400 | 422), "{way} of {name}: {}", answer.text);
                assert_eq!(told(&answer.json()["errors"], None), errors, "{way} of {name}: {}", answer.text);
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn what_only_a_server_can_tell_is_explained_and_told() {
    let service = Service::empty().await;
    let workflow = "document: {dsl: '1.0.3', namespace: default, name: order, version: '1.0.0'}\ndo: [{a: {wait: PT1S}}]\n";
    let trigger = |spec: &str| {
        format!("kind: Trigger\nmetadata: {{name: t}}\nspec: {{target: {{workflow: order}}, {spec}}}\n")
    };
    let cron = |schedule: &str| {
        format!("kind: Source\nmetadata: {{name: s}}\nspec: {{cron: {{schedule: '{schedule}'}}}}\n")
    };
    service.put("/v1/namespaces/default/workflows/order", workflow).await.is(201);
    let checks = [
        ("E0110", "/v1/namespaces/other/workflows/order", workflow.to_owned()),
        ("E0111", "/v1/namespaces/default/workflows/other", workflow.to_owned()),
        // That its version is taken with another text is told after its mistakes.
        ("E0111", "/v1/namespaces/default/workflows/other", workflow.replace("PT1S", "PT2S")),
        ("E0112", "/v1/namespaces/default/sources/t", trigger("enabled: true")),
        ("E0510", "/v1/namespaces/default/triggers/t", trigger("source: nowhere")),
        ("E0512", "/v1/namespaces/default/sources/s", cron("0 8 30 2 *")),
    ];
    for (code, path, text) in checks {
        let answer = service.put(path, text).await;
        assert!(matches!(answer.status, 400 | 422), "{code}: {}", answer.text);
        let body = answer.json();
        let codes: Vec<_> =
            body["errors"].as_array().unwrap().iter().map(|e| e["code"].as_str().unwrap()).collect();
        assert_eq!(codes, [code], "{body}");
        assert!(body["errors"][0]["line"].as_u64().is_some_and(|line| line > 0), "{body}");
        assert!(codes::explain(code).is_some(), "{code}");
    }
    service.stop().await;
}
