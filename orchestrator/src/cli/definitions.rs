//! Definitions in files: finding them, telling workflows and manifests from other files, and sending many files as
//! one text whose diagnostics are told at their places in the files.
//!
//! Judges nothing itself beyond what is a definition at all.

use std::path::{Path, PathBuf};

use tidemill_dsl::diagnostic::{Diagnostic, Severity, Span};
use tidemill_dsl::value::Value;
use tidemill_dsl::yaml::{self, Node};

use super::exit::{Failure, NOT_FOUND, USAGE};

/// Folders that hold no definitions.
const SKIPPED_FOLDERS: [&str; 2] = ["node_modules", "target"];
/// What the names of JSON files begin with that belong to an example and define nothing.
const SKIPPED_FILES: [&str; 2] = ["event", "expected-output"];
/// Largest file read (limit `definition-bytes`, 1 MiB on the server; a folder may hold larger ones of other use).
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// A file that was read.
pub(super) struct SourceFile {
    /// As it was named.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
}

/// A document of a file.
pub(super) struct Document {
    /// Index of its file.
    pub(super) file: usize,
    /// Its root.
    pub(super) node: Node,
}

/// A diagnostic and the index of its file.
pub(super) type Found = (usize, Diagnostic);

/// Definitions of files.
#[derive(Default)]
pub(super) struct Definitions {
    /// The files.
    pub(super) files: Vec<SourceFile>,
    /// Their documents, in order.
    pub(super) documents: Vec<Document>,
    /// Files (or documents) of a folder that are no definitions.
    pub(super) skipped: Vec<String>,
    /// What cannot be read as YAML or JSON.
    pub(super) unreadable: Vec<Found>,
}

impl Definitions {
    /// Reads files and folders. What is named must be a definition; in a folder, what is none is skipped.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Definitions, Failure> {
        let mut definitions = Definitions::default();
        for path in paths {
            if path.as_os_str() == "-" {
                let text = std::io::read_to_string(std::io::stdin())
                    .map_err(|error| Failure::new(USAGE, format!("read standard input: {error}")))?;
                definitions.take(SourceFile { name: "standard input".into(), text }, true);
            } else if path.is_dir() {
                let mut found = Vec::new();
                walk(path, &mut found);
                for file in found {
                    definitions.open(&file, false)?;
                }
            } else {
                definitions.open(path, true)?;
            }
        }
        Ok(definitions)
    }

    fn open(&mut self, path: &Path, named: bool) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { USAGE };
            Failure::new(code, format!("read {}: {error}", path.display()))
                .try_next("name a file or a folder that is there")
        };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > MAX_FILE {
            self.skipped.push(path.display().to_string());
            return Ok(());
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        self.take(SourceFile { name: path.display().to_string(), text }, named);
        Ok(())
    }

    fn take(&mut self, file: SourceFile, named: bool) {
        let index = self.files.len();
        match yaml::parse_all(&file.text) {
            Ok(nodes) => {
                if nodes.is_empty() && named {
                    let span = Span { line: 1, column: 1, start: 0, end: 0 };
                    let found = Diagnostic::error(tidemill_dsl::codes::DOCUMENTS, span, "the text is empty");
                    self.unreadable.push((index, found));
                }
                for node in nodes {
                    if named || is_definition(&node) {
                        self.documents.push(Document { file: index, node });
                    } else {
                        self.skipped.push(file.name.clone());
                    }
                }
            }
            Err(found) => self.unreadable.extend(found.into_iter().map(|d| (index, d))),
        }
        self.files.push(file);
    }

    /// The namespaces that the documents are of, each once, in order of the documents. `fallback` is for those that
    /// name none.
    pub(super) fn namespaces(&self, fallback: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for document in &self.documents {
            let namespace = namespace_of(&document.node).unwrap_or(fallback).to_owned();
            if !all.contains(&namespace) {
                all.push(namespace);
            }
        }
        all
    }

    /// One text of all documents for which `keep` holds.
    pub(super) fn bundle(&self, keep: impl Fn(&Node) -> bool) -> Bundle {
        let mut bundle = Bundle { text: String::new(), pieces: Vec::new() };
        for document in self.documents.iter().filter(|document| keep(&document.node)) {
            let text = &self.files[document.file].text;
            let span = document.node.span;
            bundle.text.push_str("---\n");
            let line = bundle.text.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
            let begin = line_start(text, span.start);
            // The first line keeps its column, so that a map that begins indented stays one.
            let lead = text.get(begin..span.start).unwrap_or_default();
            bundle.text.extend(lead.chars().map(|_| ' '));
            bundle.pieces.push(Piece { file: document.file, own: span, line, start: bundle.text.len() });
            bundle.text.push_str(text.get(span.start..span.end).unwrap_or_default().trim_end());
            bundle.text.push('\n');
        }
        bundle
    }

    /// Text for a terminal: every diagnostic with its file, line, snippet and help, in the order of files and lines.
    pub(super) fn render(&self, found: &[Found]) -> String {
        let mut sorted: Vec<&Found> = found.iter().collect();
        sorted.sort_by_key(|(file, diagnostic)| (*file, diagnostic.span.line, diagnostic.span.column));
        sorted.iter().map(|(file, d)| d.render(&self.files[*file].name, &self.files[*file].text)).collect()
    }

    /// The diagnostics as data.
    pub(super) fn as_values(&self, found: &[Found]) -> Vec<Value> {
        found.iter().map(|(file, diagnostic)| as_value(&self.files[*file].name, diagnostic)).collect()
    }
}

fn as_value(file: &str, diagnostic: &Diagnostic) -> Value {
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    Value::object([
        ("file", Value::text(file)),
        ("line", Value::from(diagnostic.span.line)),
        ("column", Value::from(diagnostic.span.column)),
        ("severity", Value::text(severity)),
        ("code", Value::text(diagnostic.code)),
        ("message", Value::text(&*diagnostic.message)),
        ("help", Value::from(diagnostic.help.clone().map(Value::from))),
        ("pointer", Value::text(&*diagnostic.pointer)),
    ])
}

/// The offset of the first character of the line that holds `offset`.
fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// Documents as one text.
pub(super) struct Bundle {
    /// The text, documents separated by `---`.
    pub(super) text: String,
    pieces: Vec<Piece>,
}

/// One document's place in a bundle.
struct Piece {
    file: usize,
    own: Span,
    line: u32,
    start: usize,
}

impl Bundle {
    /// The file of a diagnostic about the bundle, and the diagnostic at its place there.
    pub(super) fn place(&self, mut diagnostic: Diagnostic) -> Found {
        let line = diagnostic.span.line;
        let Some(piece) = self.pieces.iter().rev().find(|piece| piece.line <= line).or(self.pieces.first())
        else {
            return (0, diagnostic);
        };
        let span = &mut diagnostic.span;
        span.line = line.saturating_sub(piece.line) + piece.own.line;
        let moved = |offset: usize| (offset + piece.own.start).saturating_sub(piece.start);
        (span.start, span.end) = (moved(span.start), moved(span.end));
        (piece.file, diagnostic)
    }
}

/// The namespace that a document states.
pub(super) fn namespace_of(node: &Node) -> Option<&str> {
    let section = if node.get("document").is_some() { "document" } else { "metadata" };
    node.get(section)?.get("namespace")?.as_str()
}

/// Whether a document is meant as a definition.
fn is_definition(node: &Node) -> bool {
    ["document", "kind", "apiVersion"].iter().any(|key| node.get(key).is_some())
}

/// Files of a folder that may hold definitions, by name; hidden ones and links to folders are left out.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if name.starts_with('.') || is_folder && SKIPPED_FOLDERS.contains(&name.as_str()) {
            continue;
        }
        if is_folder {
            walk(&path, found);
        } else if may_define(&name) {
            found.push(path);
        }
    }
}

/// `NAME.test` is a test of the workflow NAME.
fn is_test(stem: &str) -> bool {
    stem.rsplit_once('.').is_some_and(|(_, last)| last == "test")
}

/// Whether a file of this name may hold definitions.
pub(super) fn may_define(name: &str) -> bool {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let of_example =
        |own: &&str| stem.strip_prefix(*own).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let beside = ending == "json" && SKIPPED_FILES.iter().any(of_example);
    let ending = matches!(ending, "yaml" | "yml" | "json");
    ending && !beside && !is_test(stem) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions(files: &[(&str, &str)]) -> Definitions {
        let mut definitions = Definitions::default();
        for (name, text) in files {
            definitions.take(SourceFile { name: (*name).into(), text: (*text).into() }, false);
        }
        definitions
    }

    #[test]
    fn names_that_may_define() {
        let check = |name: &str, expected: bool| assert_eq!(may_define(name), expected, "{name}");
        check("a.yaml", true);
        check("a.yml", true);
        check("a.json", true);
        check("a.test.yaml", false);
        check("event.json", false);
        check("event-late.json", false);
        check("events.json", true);
        check("expected-output.json", false);
        check("README.md", false);
        check(".hidden.yaml", false);
        check("yaml", false);
    }

    #[test]
    fn places_of_a_bundle_are_places_of_the_files() {
        let one =
            "# a comment\n\nkind: Queue\nmetadata: {name: a}\n---\n  kind: Queue\n  metadata: {nam: b}\n";
        let two = "{\"kind\": \"Queue\",\n \"metadata\": {\"nam\": \"c\"}}\n";
        let set = definitions(&[("one.yaml", one), ("two.json", two), ("other.json", "{\"a\": 1}")]);
        assert_eq!(set.skipped, ["other.json"]);
        let bundle = set.bundle(|_| true);
        let nodes = yaml::parse_all(&bundle.text).unwrap();
        let span = |node: &Node| node.entry("metadata").map(|e| e.value.entries()[0].key_span).unwrap();
        let placed: Vec<_> = nodes
            .iter()
            .map(|node| {
                let (file, d) = bundle.place(Diagnostic::error("E0201", span(node), "x"));
                let text = &set.files[file].text[d.span.start..d.span.end];
                (file, d.span.line, d.span.column, text.to_owned())
            })
            .collect();
        let expected = [(0, 4, 12, "name"), (0, 7, 14, "nam"), (1, 2, 15, "\"nam\"")];
        assert_eq!(placed, expected.map(|(f, l, c, t)| (f, l, c, t.to_owned())));
    }

    #[test]
    fn documents_are_grouped_by_the_namespace_they_state() {
        let set = definitions(&[
            ("a.yaml", "kind: Queue\nmetadata: {name: a, namespace: x}"),
            ("b.yaml", "document: {namespace: y}\n---\nkind: Queue"),
        ]);
        assert_eq!(set.namespaces("default"), ["x", "y", "default"]);
    }
}
