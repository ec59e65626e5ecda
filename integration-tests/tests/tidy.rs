//! House rules as a test: what the compiler and clippy cannot see.
//!
//! Owns the rules and the walk over the sources; each rule is a function from text to complaints with its own table.
//! It may not change a file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The most lines a source file may have, its `#[cfg(test)]` part not counted; the aim is 400.
const FILE_LINES: usize = 500;
/// The most lines a function may have; the aim is 60.
const FUNCTION_LINES: usize = 100;

/// Folders with product code.
const PRODUCT: &[&str] = &[
    "dsl/src/",
    "orchestrator/src/",
    "orchestrator/engine/src/",
    "orchestrator/store/src/",
    "connectors/src/",
    "workers/src/",
];
/// Folders whose code decides purely: no IO, no clock, no randomness, no threads.
const PURE: &[&str] = &["dsl/src/", "orchestrator/engine/src/"];
/// Folders that talk to the outside, the disk too: a line there may read the clock if it says why it must.
const OUTSIDE: &[&str] = &["connectors/src/", "workers/src/", "orchestrator/store/src/"];

/// What no pure crate may name.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "std::time::Instant",
    "rand::",
];
/// Maps whose order is drawn: walking one makes equal inputs give unequal outputs.
const HASH_ORDERED: &[&str] = &["HashMap", "HashSet"];
/// Reads of the clock.
const CLOCK: &[&str] =
    &["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now", "Utc::now", "Local::now"];
/// Reads of the environment.
const ENVIRONMENT: &[&str] = &["env::var(", "env::var_os(", "env::vars(", "env::vars_os("];
/// Queues without a limit.
const UNBOUNDED: &[&str] =
    &["unbounded_channel", "mpsc::unbounded", "channel::unbounded", "mpsc::channel()", "mpsc::channel::<"];
/// The mark of a line in a connector, worker or store that must read the clock.
const CLOCK_MARK: &str = "// tidy: clock";
/// The mark of a line in a pure crate that names a type of `std::net` for an address as text; nothing is connected.
const ADDRESS_MARK: &str = "// tidy: address type";
/// The types such a line may name.
const ADDRESSES: &[&str] = &["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr"];
/// The mark of a line in a pure crate that names a hash map which is only looked things up in, never walked.
const LOOKUP_MARK: &str = "// tidy: lookup only";

/// Which workspace crates each crate may import (ARCHITECTURE.md, invariant 7).
const IMPORTS: &[(&str, &[&str])] = &[
    ("dsl", &[]),
    ("orchestrator/engine", &["tidemill-dsl"]),
    ("orchestrator/store", &["tidemill-dsl", "tidemill-engine"]),
    ("connectors", &["tidemill-dsl"]),
    ("workers", &["tidemill-dsl"]),
    ("integration-tests/xtask", &[]),
];

#[test]
fn the_sources_keep_the_house_rules() {
    let root = root();
    let files = files(&root);
    assert!(files.len() > 20, "the walk found only {} files", files.len());
    let mut complaints = String::new();
    for path in &files {
        let Ok(text) = fs::read_to_string(root.join(path)) else {
            continue;
        };
        for complaint in judge(path, &text) {
            let _ = writeln!(complaints, "{path}{complaint}");
        }
    }
    for (folder, allowed) in IMPORTS {
        let text = fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap();
        for name in foreign_crates(&text, allowed) {
            let _ = writeln!(complaints, "{folder}/Cargo.toml: must not import {name}");
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// Everything wrong with one file; each complaint starts with `:line: ` or `: `.
fn judge(path: &str, text: &str) -> Vec<String> {
    let mut complaints = machine_paths(text);
    if Path::new(path).extension().is_some_and(|kind| kind == "rs") {
        complaints.extend(judge_rust(path, text));
    }
    complaints
}

fn judge_rust(path: &str, text: &str) -> Vec<String> {
    let code = product_part(text);
    let is_in = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    let mut complaints = Vec::new();
    if path.contains("/src/") && !is_test_file(path) {
        complaints.extend(too_long(&code));
    }
    if !is_in(PRODUCT) {
        return complaints;
    }
    complaints.extend(undocumented(text));
    if is_test_file(path) {
        return complaints;
    }
    let may_mark = is_in(OUTSIDE);
    let clock_is_allowed = |line: &str| may_mark && line.contains(CLOCK_MARK);
    if path != "orchestrator/src/clock.rs" {
        complaints.extend(named(
            &code,
            CLOCK,
            "reads the clock; time comes from orchestrator/src/clock.rs",
            clock_is_allowed,
        ));
    }
    if path != "orchestrator/src/config.rs" && !path.starts_with("orchestrator/src/config/") {
        complaints.extend(named(
            &code,
            ENVIRONMENT,
            "reads the environment; settings come from orchestrator/src/config.rs",
            |_| false,
        ));
    }
    complaints.extend(named(&code, UNBOUNDED, "makes a queue without a limit", |_| false));
    if is_in(PURE) {
        let is_address =
            |line: &str| line.contains(ADDRESS_MARK) && ADDRESSES.iter().any(|kind| names(line, kind));
        complaints.extend(named(&code, IMPURE, "does not belong in a pure crate", is_address));
        complaints.extend(named(
            &code,
            HASH_ORDERED,
            "has no order of its own; take a BTreeMap or IndexMap",
            |line| line.contains(LOOKUP_MARK),
        ));
    }
    complaints
}

/// A module doc must open the file; a placeholder of one or two lines has nothing to explain.
fn undocumented(text: &str) -> Option<String> {
    let has_doc = text.lines().take(5).any(|line| line.starts_with("//!"));
    (!has_doc && text.lines().count() > 2)
        .then(|| ":1: has no module doc (`//!`) on its first lines".to_owned())
}

/// Lines of code, comments aside, that hold one of the words.
fn named(code: &str, words: &[&str], complaint: &str, allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let bare = without_comment(line);
        if let Some(word) = words.iter().find(|word| names(bare, word))
            && !allowed(line)
        {
            complaints.push(format!(":{number}: `{word}` {complaint}"));
        }
    }
    complaints
}

/// Whether a line holds a word that does not continue a longer one: `rand::` is not in `operand::`.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    })
}

/// A line up to its `//` comment; a `//` inside a text (`"http://..."`) is not one.
fn without_comment(line: &str) -> &str {
    let mut in_text = false;
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            b'/' if !in_text && bytes.get(at + 1) == Some(&b'/') => return &line[..at],
            _ => {}
        }
        at += 1;
    }
    line
}

/// The file with the lines of its `#[cfg(test)]` items blanked, so that line numbers stay true.
/// Counts on rustfmt: an item ends at the first line that closes it at its own indent.
fn product_part(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
            continue;
        }
        code.push('\n');
        let indent = &line[..line.len() - line.trim_start().len()];
        for line in lines.by_ref() {
            code.push('\n');
            let rest = line.strip_prefix(indent).unwrap_or_default();
            let opens = rest.starts_with([' ', '}', ')', '#']) || rest.is_empty();
            if rest.starts_with('}') || (!opens && rest.ends_with([';', '}', ','])) {
                break;
            }
        }
    }
    code
}

/// Files too long and functions too long.
fn too_long(code: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let count = code.trim_end().lines().count() - blank_run(code);
    if count > FILE_LINES {
        complaints.push(format!(": has {count} lines without its tests, more than {FILE_LINES}: split it"));
    }
    let mut open: Option<(usize, usize, &str)> = None;
    let mut has_body = false;
    for (number, line) in (1..).zip(code.lines()) {
        let indent = line.len() - line.trim_start().len();
        let end = without_comment(line).trim_end();
        if let Some((start, at, name)) = open {
            if !has_body && end.ends_with(';') {
                open = None; // a signature over several lines, without a body
            } else if line.starts_with(&format!("{:at$}}}", "")) && indent == at {
                let length = number - start + 1;
                if length > FUNCTION_LINES {
                    complaints.push(format!(
                        ":{start}: fn {name} has {length} lines, more than {FUNCTION_LINES}: split it"
                    ));
                }
                open = None;
            }
        } else if let Some(name) = function_name(line)
            && !end.ends_with(['}', ';'])
        {
            open = Some((number, indent, name));
            has_body = false;
        }
        has_body |= open.is_some() && end.ends_with('{');
    }
    complaints
}

/// Lines blanked by [`product_part`] beyond the single blank lines rustfmt leaves.
fn blank_run(code: &str) -> usize {
    let lines: Vec<&str> = code.trim_end().lines().collect();
    lines.windows(2).filter(|pair| pair[0].is_empty() && pair[1].is_empty()).count()
}

/// The name of the function a line begins, if it begins one.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async "] {
        words = words.strip_prefix(word).unwrap_or(words);
    }
    let name = words.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

/// Paths of one machine, which mean nothing on another.
fn machine_paths(text: &str) -> Vec<String> {
    let words = [concat!("/wo", "rk/"), concat!("/ro", "ot/.")];
    let lines = (1..).zip(text.lines());
    // `http://host` + path is an address, not a file: `names` wants no letter before it.
    let hit = lines
        .filter_map(|(number, line)| words.iter().find(|word| names(line, word)).map(|word| (number, word)));
    hit.map(|(number, word): (usize, _)| format!(":{number}: names a path of one machine (`{word}`)"))
        .collect()
}

/// Workspace crates a Cargo.toml imports beyond those it may; tests may import more.
fn foreign_crates(manifest: &str, allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut counts = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            counts = line.contains("dependencies") && !line.contains("dev-dependencies");
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if counts && name.starts_with("tidemill") && !allowed.contains(&name) {
            found.push(name.to_owned());
        }
    }
    found
}

/// Files that hold nothing but tests and what they share.
fn is_test_file(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("/testing.rs")
        || path.ends_with("_tests.rs")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the repository, as sorted paths from the root.
fn files(root: &Path) -> Vec<String> {
    const KINDS: &[&str] = &[
        "rs",
        "toml",
        "md",
        "yaml",
        "yml",
        "json",
        "ts",
        "js",
        "css",
        "html",
        "sh",
        "txt",
        "properties",
        "xml",
        "py",
    ];
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository is readable").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let kind = path.extension().map(|kind| kind.to_string_lossy().into_owned()).unwrap_or_default();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !matches!(name.as_str(), "target" | ".git" | "node_modules" | ".tidemill") {
                    folders.push(path);
                }
            } else if KINDS.contains(&kind.as_str()) || folder.ends_with(".ci") {
                found.push(
                    path.strip_prefix(root)
                        .expect("the walk stays below the root")
                        .to_string_lossy()
                        .into_owned(),
                );
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    let text = format!("//! Doc.\n{text}");
    assert_eq!(judge(path, &text), expected, "{path}\n{text}");
}

#[test]
fn module_docs() {
    assert_eq!(
        judge("dsl/src/a.rs", "use x;\n\nfn a() {}\n"),
        [":1: has no module doc (`//!`) on its first lines"]
    );
    assert_eq!(judge("dsl/src/a.rs", "#![deny(x)]\n//! Doc.\nfn a() {}\n"), [""; 0]);
    assert_eq!(judge("integration-tests/src/a.rs", "use x;\n\nfn a() {}\n"), [""; 0]);
}

#[test]
fn clock_reads() {
    let said = ":2: `Instant::now` reads the clock; time comes from orchestrator/src/clock.rs";
    check("orchestrator/src/a.rs", "let a = Instant::now();", &[said]);
    check("orchestrator/src/a.rs", "let a = Instant::now(); // tidy: clock", &[said]);
    check("orchestrator/src/clock.rs", "let a = Instant::now();", &[]);
    check("workers/src/a.rs", "let a = tokio::time::Instant::now();", &[said]);
    check("workers/src/a.rs", "let a = Instant::now(); // tidy: clock, a deadline", &[]);
    check("orchestrator/store/src/a.rs", "let a = Instant::now(); // tidy: clock, pacing", &[]);
    check("connectors/src/testing.rs", "let a = Instant::now();", &[]);
    check("workers/src/a.rs", "// Instant::now() is not called here", &[]);
    check(
        "workers/src/a.rs",
        "#[cfg(test)]\nmod tests {\n    fn a() {\n        Instant::now();\n    }\n}",
        &[],
    );
    check("integration-tests/src/a.rs", "let a = Instant::now();", &[]);
}

#[test]
fn environment_reads() {
    let said = ":2: `env::var(` reads the environment; settings come from orchestrator/src/config.rs";
    check("connectors/src/a.rs", "let a = std::env::var(\"A\");", &[said]);
    check("orchestrator/src/config.rs", "let a = std::env::var(\"A\");", &[]);
    check("orchestrator/src/config/env.rs", "let a = std::env::var(\"A\");", &[]);
    check("integration-tests/xtask/src/a.rs", "let a = std::env::var(\"A\");", &[]);
}

#[test]
fn queues_without_a_limit() {
    check(
        "orchestrator/src/a.rs",
        "let a = mpsc::unbounded_channel();",
        &[":2: `unbounded_channel` makes a queue without a limit"],
    );
    check(
        "orchestrator/src/a.rs",
        "let a = mpsc::channel();",
        &[":2: `mpsc::channel()` makes a queue without a limit"],
    );
    check("orchestrator/src/a.rs", "let a = mpsc::channel(64);", &[]);
}

#[test]
fn purity() {
    check("dsl/src/a.rs", "use tokio::fs;", &[":2: `tokio` does not belong in a pure crate"]);
    check(
        "orchestrator/engine/src/a.rs",
        "std::fs::read(x)",
        &[":2: `std::fs` does not belong in a pure crate"],
    );
    check(
        "orchestrator/engine/src/a.rs",
        "use std::collections::HashMap;",
        &[":2: `HashMap` has no order of its own; take a BTreeMap or IndexMap"],
    );
    check(
        "dsl/src/a.rs",
        "let a = operand::new(\"http://tokio\");",
        &[":2: `tokio` does not belong in a pure crate"],
    );
    check("dsl/src/a.rs", "let a = operand::new(); // no tokio here", &[]);
    check("dsl/src/a.rs", "a: HashMap<K, V>, // tidy: lookup only", &[]);
    check("dsl/src/a.rs", "use std::net::IpAddr; // tidy: address type", &[]);
    let said = ":2: `std::net` does not belong in a pure crate";
    check("dsl/src/a.rs", "use std::net::IpAddr;", &[said]);
    check("dsl/src/a.rs", "use std::net::TcpStream; // tidy: address type", &[said]);
    check("orchestrator/store/src/a.rs", "std::fs::read(x)", &[]);
}

#[test]
fn machine_paths_are_found_anywhere() {
    let path = concat!("/wo", "rk/x");
    assert_eq!(
        judge("README.md", &format!("a\nsee {path}")),
        [format!(":2: names a path of one machine (`{}`)", concat!("/wo", "rk/"))]
    );
    assert_eq!(judge("README.md", &format!("network/x, work/x, http://host{path}")), [""; 0]);
}

#[test]
fn lengths() {
    let body = |count: usize| "    a();\n".repeat(count);
    check("dsl/src/a.rs", &format!("fn a() {{\n{}}}\n", body(FUNCTION_LINES - 2)), &[]);
    check(
        "dsl/src/a.rs",
        &format!("fn a() {{\n{}}}\n", body(FUNCTION_LINES - 1)),
        &[":2: fn a has 101 lines, more than 100: split it"],
    );
    check(
        "dsl/src/a.rs",
        &format!("fn s() -> u8;\npub async fn a<T>(\n    b: T,\n) {{\n{}}}\n", body(98)),
        &[":3: fn a has 102 lines, more than 100: split it"],
    );
    let signatures = "    fn a(&self)\n    -> u8;\n    fn b(\n        &self,\n    ) -> u8;\n".repeat(40);
    check("dsl/src/a.rs", &format!("trait T {{\n{signatures}}}\n"), &[]);
    let lines = |count: usize| "use a;\n".repeat(count);
    check("integration-tests/xtask/src/a.rs", &lines(FILE_LINES - 1), &[]);
    check(
        "integration-tests/xtask/src/a.rs",
        &lines(FILE_LINES),
        &[": has 501 lines without its tests, more than 500: split it"],
    );
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", body(600));
    check("dsl/src/a.rs", &format!("{}\n{tests}", lines(FILE_LINES - 20)), &[]);
    check("dsl/src/a/tests.rs", &lines(FILE_LINES), &[]);
}

#[test]
fn the_test_part_is_cut_out_and_lines_keep_their_numbers() {
    let check = |text: &str, expected: &str| assert_eq!(product_part(text), expected);
    check("a\n#[cfg(test)]\nmod tests {\n    x\n}\nb\n", "a\n\n\n\n\nb\n");
    check("#[cfg(test)]\nmod tests;\nb\n", "\n\nb\n");
    check(
        "mod m {\n    #[cfg(test)]\n    fn a() {\n        x\n    }\n    b\n}\n",
        "mod m {\n\n\n\n\n    b\n}\n",
    );
    check("#[cfg(test)]\n#[path = \"x\"]\nmod tests;\nb\n", "\n\n\nb\n");
    check("#[cfg(test)]\nfn a(\n    b: u8,\n) {\n    x\n}\nb\n", "\n\n\n\n\n\nb\n");
}

#[test]
fn imports() {
    let check = |text: &str, expected: &[&str]| assert_eq!(foreign_crates(text, &["tidemill-dsl"]), expected);
    check(
        "[package]\nname = \"tidemill-workers\"\n[dependencies]\ntidemill-dsl.workspace = true\nbytes = \"1\"\n",
        &[],
    );
    check("[dependencies]\ntidemill-store.workspace = true\n", &["tidemill-store"]);
    check("[target.'cfg(unix)'.dependencies]\ntidemill = { path = \"x\" }\n", &["tidemill"]);
    check("[dev-dependencies]\ntidemill-store.workspace = true\n", &[]);
}
