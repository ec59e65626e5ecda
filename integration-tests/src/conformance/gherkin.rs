//! A reader for the kits' part of Gherkin: scenarios, outlines with examples, steps with docstrings.
//!
//! Owns the grammar. It knows nothing of what the steps mean.

use std::path::{Path, PathBuf};

/// The step at which the server is killed and started again.
pub const KILL: &str = "the server is killed and started again";

/// One scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The file's name without its ending.
    pub feature: String,
    /// What stands behind `Scenario:`; for a row of an outline with the row's cells.
    pub name: String,
    /// Its steps in order.
    pub steps: Vec<Step>,
}

/// One step without its keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The step's line, without keyword and outer blanks.
    pub line: String,
    /// The docstring below it, without its indentation.
    pub text: Option<String>,
}

impl Scenario {
    /// `FEATURE: NAME`, by which reports and proofs name it.
    pub fn full_name(&self) -> String {
        format!("{}: {}", self.feature, self.name)
    }

    /// Whether it kills the server.
    pub fn kills(&self) -> bool {
        self.steps.iter().any(|step| step.line == KILL)
    }
}

impl Step {
    /// A step without a docstring.
    pub fn new(line: impl Into<String>) -> Step {
        Step { line: line.into(), text: None }
    }

    /// A step with a docstring.
    pub fn with(line: impl Into<String>, text: impl Into<String>) -> Step {
        Step { line: line.into(), text: Some(text.into()) }
    }
}

/// Every scenario of every feature file of a folder, or of its folder `features`, by file name.
pub fn read_folder(dir: &Path) -> Vec<Scenario> {
    let features = dir.join("features");
    let dir = if features.is_dir() { features } else { dir.to_owned() };
    files(&dir, "feature").iter().flat_map(|file| read_file(file)).collect()
}

/// Every scenario of one feature file.
pub fn read_file(file: &Path) -> Vec<Scenario> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    read(&stem, &std::fs::read_to_string(file).unwrap_or_default())
}

/// The files of a folder with this ending, sorted.
pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut files: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == ending)).collect();
    files.sort();
    files
}

/// A scenario whose placeholders, if it is an outline, are not filled in yet.
struct Draft {
    scenario: Scenario,
    /// Cells of the table below `Examples:`, its heads first.
    table: Vec<Vec<String>>,
}

/// Every scenario of a text.
pub fn read(feature: &str, text: &str) -> Vec<Scenario> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        let name = ["Scenario:", "Scenario Outline:"].iter().find_map(|k| trimmed.strip_prefix(k));
        let step = ["Given ", "When ", "Then ", "And "].iter().find_map(|k| trimmed.strip_prefix(k));
        if let Some(name) = name {
            let scenario = Scenario { feature: feature.into(), name: name.trim().into(), steps: Vec::new() };
            drafts.push(Draft { scenario, table: Vec::new() });
            continue;
        }
        let Some(draft) = drafts.last_mut() else {
            continue;
        };
        if trimmed.starts_with("\"\"\"") {
            let body = docstring(line.len() - line.trim_start().len(), &mut lines);
            if let Some(step) = draft.scenario.steps.last_mut() {
                step.text = Some(body);
            }
        } else if let Some(step) = step {
            draft.scenario.steps.push(Step::new(step.trim()));
        } else if trimmed.starts_with('|') {
            draft.table.push(cells(trimmed));
        }
    }
    drafts.into_iter().flat_map(fill).collect()
}

/// The lines up to the closing quotes, less the indentation of the opening ones.
fn docstring<'a>(indent: usize, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut body = String::new();
    for line in lines.take_while(|line| line.trim() != "\"\"\"") {
        body.push_str(line.get(indent.min(line.len() - line.trim_start().len())..).unwrap_or(""));
        body.push('\n');
    }
    body
}

/// The cells of a row; `\\|` is a bar within a cell.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\u{0}");
    let row = row.strip_prefix('|').unwrap_or(&row);
    let row = row.strip_suffix('|').unwrap_or(row);
    row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// One scenario a row of the table; a scenario without a table is itself.
fn fill(draft: Draft) -> Vec<Scenario> {
    let Some((heads, rows)) = draft.table.split_first() else {
        return vec![draft.scenario];
    };
    let one = |row: &Vec<String>| {
        let put = |text: &str| {
            heads
                .iter()
                .zip(row)
                .fold(text.to_owned(), |text, (head, cell)| text.replace(&format!("<{head}>"), cell))
        };
        let mut scenario = draft.scenario.clone();
        scenario.name = format!("{} ({})", scenario.name, row.join(", "));
        for step in &mut scenario.steps {
            step.line = put(&step.line);
            step.text = step.text.as_deref().map(put);
        }
        scenario
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_steps_with_their_docstrings() {
        let text = "Feature: X\n  As a reader\n  # A comment\n  Scenario: A\n    Given a thing:\n    \"\"\"yaml\n    a:\n      b: 1\n    \"\"\"\n    When it runs\n";
        let steps = vec![Step::with("a thing:", "a:\n  b: 1\n"), Step::new("it runs")];
        assert_eq!(read("x", text), [Scenario { feature: "x".into(), name: "A".into(), steps }]);
    }

    #[test]
    fn an_outline_is_one_scenario_a_row() {
        let text = "Scenario Outline: B\n  Given <n> of:\n  \"\"\"\n  - <what>\n  \"\"\"\n  Examples:\n  | n | what |\n  | 1 | cat  |\n  | 2 | a\\|b  |\n";
        let scenarios = read("x", text);
        let names: Vec<_> = scenarios.iter().map(Scenario::full_name).collect();
        assert_eq!(names, ["x: B (1, cat)", "x: B (2, a|b)"]);
        assert_eq!(scenarios[1].steps, [Step::with("2 of:", "- a|b\n")]);
    }
}
