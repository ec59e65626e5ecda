//! The official examples and the conformance kit, where they lie beside the project.

use std::fs;
use std::path::{Path, PathBuf};

use super::{check, told};

fn kit() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().map(|a| a.join("shared/conformance/open-workflow")).find(|p| p.is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: shared/conformance/open-workflow is not beside the project");
    }
    found
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

#[test]
fn examples_compile_or_name_what_is_not_run_yet() {
    let Some(kit) = kit() else { return };
    let mut compiled = 0;
    let examples = files(&kit.join("examples"), "yaml");
    for file in &examples {
        let checked = check(&fs::read_to_string(file).unwrap());
        compiled += usize::from(checked.program.is_some());
        for d in &checked.diagnostics {
            assert!(
                d.code.starts_with("E09") || d.code.starts_with('W'),
                "{}: {:?}",
                file.display(),
                told(&checked)
            );
        }
    }
    eprintln!("{compiled} of {} examples compile", examples.len());
    assert!(compiled >= 25, "{compiled}");
}

/// The workflow definitions of a feature file: the texts in `"""` after "workflow with definition".
fn definitions(feature: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = feature.lines();
    while let Some(line) = lines.next() {
        if !line.trim_start().starts_with("Given a workflow with definition") {
            continue;
        }
        let open = lines.next().unwrap();
        let indent = open.len() - open.trim_start().len();
        let mut text = String::new();
        for line in lines.by_ref().take_while(|l| l.trim() != "\"\"\"") {
            text.push_str(line.get(indent..).unwrap_or(""));
            text.push('\n');
        }
        found.push(text);
    }
    found
}

#[test]
fn kit_definitions_compile() {
    let Some(kit) = kit() else { return };
    let mut count = 0;
    for file in files(&kit.join("ctk/features"), "feature") {
        for text in definitions(&fs::read_to_string(&file).unwrap()) {
            count += 1;
            let checked = check(&text);
            let openapi = checked.diagnostics.iter().all(|d| d.code == "E0902");
            assert!(checked.program.is_some() || openapi, "{}: {:?}", file.display(), told(&checked));
        }
    }
    assert!(count >= 12, "{count}");
}
