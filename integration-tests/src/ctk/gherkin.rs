//! A reader for the kit's subset of Gherkin: features, scenarios, steps with docstrings.

use std::path::Path;

/// One scenario.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) feature: String,
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// One step without its keyword.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) line: String,
    pub(super) text: Option<String>,
}

/// Every scenario of every feature file below a folder, by file name.
pub(super) fn read_folder(dir: &Path) -> Vec<Scenario> {
    let features = dir.join("features");
    let dir = if features.is_dir() { features } else { dir.to_owned() };
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "feature"))
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            read(&stem, &std::fs::read_to_string(file).unwrap_or_default())
        })
        .collect()
}

fn read(feature: &str, text: &str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix("Scenario:") {
            let scenario = Scenario { feature: feature.into(), name: name.trim().into(), steps: Vec::new() };
            scenarios.push(scenario);
        } else if trimmed.starts_with("\"\"\"") {
            let indent = line.len() - line.trim_start().len();
            let mut body = String::new();
            for line in lines.by_ref() {
                if line.trim() == "\"\"\"" {
                    break;
                }
                body.push_str(line.get(indent.min(line.len() - line.trim_start().len())..).unwrap_or(""));
                body.push('\n');
            }
            if let Some(step) = scenarios.last_mut().and_then(|s| s.steps.last_mut()) {
                step.text = Some(body);
            }
        } else if let Some(rest) =
            ["Given ", "When ", "Then ", "And "].iter().find_map(|k| trimmed.strip_prefix(k))
            && let Some(scenario) = scenarios.last_mut()
        {
            scenario.steps.push(Step { line: rest.trim().into(), text: None });
        }
    }
    scenarios
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_steps_with_their_docstrings() {
        let text = "Feature: X\n  Scenario: A\n    Given a thing:\n    \"\"\"yaml\n    a:\n      b: 1\n    \"\"\"\n    When it runs\n";
        let scenarios = read("x", text);
        assert_eq!(scenarios.len(), 1);
        assert_eq!(scenarios[0].steps[0].line, "a thing:");
        assert_eq!(scenarios[0].steps[0].text.as_deref(), Some("a:\n  b: 1\n"));
        assert_eq!(scenarios[0].steps[1].line, "it runs");
    }
}
