//! What authors use: init, fmt, lint, eval and explain.

use serde_json::Value;
use tidemill_dsl::codes::Example;

use crate::{folder, run};

/// A new project is in order, works, and is not written over.
#[test]
fn init_begins_a_project_that_works() {
    let dir = folder(&[]);
    let (code, out, err) = run(dir.path(), &["init"]);
    assert_eq!(code, 0, "{err}");
    for name in ["README.md", "workflow.yaml", "function.yaml", "greet.sh", "triggers.yaml", ".schemas"] {
        assert!(dir.path().join(name).exists() && out.contains(name), "{name}: {out}");
    }
    let schema = std::fs::read_to_string(dir.path().join(".schemas/workflow.json")).unwrap();
    assert!(serde_json::from_str::<Value>(&schema).unwrap().is_object());
    let (code, _, err) = run(dir.path(), &["lint", "--strict", "."]);
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = run(dir.path(), &["fmt", "--check", "."]);
    assert_eq!((code, &*out), (0, ""), "{err}");
    let input = r#"{"name":"Ann","language":"de"}"#;
    let words = ["run", "workflow.yaml", "-f", "function.yaml", "--input", input, "-o", "json"];
    let (code, out, err) = run(dir.path(), &words);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Hallo, Ann!"), "{out}");
    let (code, _, err) = run(dir.path(), &["init"]);
    assert_eq!(code, 5);
    assert!(err.contains("workflow.yaml") && err.contains("try: "), "{err}");
}

#[test]
fn fmt_lays_out_and_tells_what_it_changed() {
    let dir = folder(&[
        ("wide.yaml", "kind:   Queue\nmetadata:\n    name: a   # why\nspec:\n    via: { embedded: {} }\n"),
        ("good.yaml", "kind: Queue\nmetadata: {name: b}\nspec: {via: {embedded: {}}}\n"),
        ("other.yaml", "just:   data\n"),
        ("bad.yaml.txt", "a: ["),
    ]);
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let before = read("wide.yaml");
    let (code, out, err) = run(dir.path(), &["fmt", "--check", "."]);
    assert_eq!((code, out.trim()), (3, "./wide.yaml"), "{err}");
    assert!(err.contains("try: tidemill fmt"), "{err}");
    assert_eq!(read("wide.yaml"), before);
    let (code, out, err) = run(dir.path(), &["fmt", "."]);
    assert_eq!((code, out.trim()), (0, "./wide.yaml"), "{err}");
    assert_eq!(
        read("wide.yaml"),
        "kind: Queue\nmetadata:\n  name: a   # why\nspec:\n  via: {embedded: {}}\n"
    );
    assert_eq!(read("other.yaml"), "just:   data\n");
    let (code, out, _) = run(dir.path(), &["fmt", "."]);
    assert_eq!((code, &*out), (0, ""));
    let (code, _, err) = run(dir.path(), &["fmt", "bad.yaml.txt"]);
    assert_eq!(code, 3);
    assert!(err.contains("bad.yaml.txt:2:") && err.contains("E0101"), "{err}");
}

#[test]
fn strict_lint_fails_for_every_trap_and_for_no_remedy() {
    let traps = tidemill_dsl::codes::CODES.iter().filter(|code| code.code.starts_with('W'));
    let mut count = 0;
    for code in traps {
        let Some(example) = tidemill_dsl::codes::example(code.code) else { continue };
        let whole = |text| Example::whole(text).into_owned();
        let dir = folder(&[("bad.yaml", &whole(example.bad)), ("good.yaml", &whole(example.good))]);
        let (lax, _, told) = run(dir.path(), &["lint", "bad.yaml"]);
        assert_eq!(lax, 0, "{}: {told}", code.code);
        assert!(told.contains(&format!("warning[{}]", code.code)), "{told}");
        let (strict, _, told) = run(dir.path(), &["lint", "--strict", "bad.yaml"]);
        assert_eq!(strict, 3, "{}: {told}", code.code);
        assert!(told.contains(&format!("try: tidemill explain {}", code.code)), "{told}");
        let (strict, _, told) = run(dir.path(), &["lint", "--strict", "good.yaml"]);
        assert_eq!(strict, 0, "{}: {told}", code.code);
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn rules_are_tried_without_a_server() {
    let event = r#"{"type": "paid", "subject": "eu/1", "count": 3}"#;
    let dir = folder(&[
        ("event.json", event),
        (
            "requests",
            "{\"expression\": \"1 / 0\"}\n\n{\"expression\": \"type\", \"event\": {\"type\": \"t\"}}\n",
        ),
        ("data.json", r#"{"order": {"country": "de"}}"#),
    ]);
    let check = |words: &[&str], code: i32, out: &str, err: &str| {
        let (ended, printed, told) = run(dir.path(), &[&["eval"], words].concat());
        assert_eq!((ended, printed.trim_end()), (code, out), "{words:?}\n{told}");
        assert!(told.contains(err), "{words:?}\n{told}");
    };
    let sql = "subject LIKE 'eu/%' AND count = 3";
    let held = r#"{"value":true,"type":"boolean","errors":[]}"#;
    check(&["cesql", sql, "--input", "event.json", "-o", "jsonl"], 0, held, "");
    let wrong = r#"{"value":false,"type":"boolean","errors":["parse"]}"#;
    check(&["cesql", "type ==", "-o", "jsonl"], 1, wrong, "equality is `=`");
    check(
        &["cesql", "--jsonl", "--input", "requests"],
        0,
        "{\"value\":0,\"type\":\"integer\",\"errors\":[\"math\"]}\n{\"value\":\"t\",\"type\":\"string\",\"errors\":[]}",
        "",
    );
    let matched = r#"{"match":true,"clauses":[{"path":"/order/country","test":"equals \"de\"","actual":"de","verdict":"pass"}]}"#;
    check(&["pattern", "{order: {country: [de]}}", "--input", "data.json", "-o", "jsonl"], 0, matched, "");
    check(&["pattern", "{a: 1}"], 1, "", "error[E1040]");
    check(&["pattern"], 2, "", "try: tidemill eval pattern");
    check(&["cesql"], 2, "", "try: tidemill eval cesql");
}

#[test]
fn explain_shows_a_mistake_and_its_remedy() {
    let dir = folder(&[]);
    let (code, out, _) = run(dir.path(), &["explain", "e0504"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("E0504: ") && out.contains("then: shp") && out.contains("then: ship"), "{out}");
    let (_, out, _) = run(dir.path(), &["explain", "W0554", "-o", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert!(told["bad"].as_str().unwrap().contains("then: exit") && told["good"].is_string(), "{told}");
}
