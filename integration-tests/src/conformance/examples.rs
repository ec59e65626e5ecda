//! The official examples: each is checked, and those that need only what this release has are run.
//!
//! Owns the table of what became of each. Which are run, with what and to what end, stands in
//! `kit/official/examples.feature`, whose scenarios are named like the files.

use std::fmt::Write as _;
use std::path::Path;

use super::gherkin::{Scenario, Step, files, read_file};
use super::{Outcome, run};

/// What became of an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It ran, and ended as it has to.
    Run,
    /// It ran and did not.
    Failed(String),
    /// It is valid; running it is left out, for this reason.
    Valid(String),
    /// It is refused, with these diagnostics.
    Refused(Vec<String>),
}

/// The file of scenarios beside the kit.
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kit/official/examples.feature");

/// Checks every example of a folder and runs those that have a scenario; file names and verdicts, sorted.
pub async fn judge(dir: &Path) -> Vec<(String, Verdict)> {
    let known = read_file(Path::new(SCENARIOS));
    let mut verdicts = Vec::new();
    let mut scenarios = Vec::new();
    for file in files(dir, "yaml") {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let scenario = known.iter().find(|s| s.name == name);
        let refused: Vec<String> = check(&text);
        let verdict = match scenario.map(|scenario| (scenario, reason(scenario))) {
            _ if !refused.is_empty() => Verdict::Refused(refused),
            None => Verdict::Valid("no scenario".into()),
            Some((_, Some(why))) => Verdict::Valid(why),
            Some((scenario, None)) => {
                scenarios.push(with_definition(scenario.clone(), &text));
                Verdict::Run
            }
        };
        verdicts.push((name, verdict));
    }
    for (name, outcome) in run(scenarios).await.outcomes {
        if let Outcome::Failed(why) = outcome {
            let found = verdicts.iter_mut().find(|(file, _)| name.ends_with(&format!(": {file}")));
            if let Some((_, verdict)) = found {
                *verdict = Verdict::Failed(why);
            }
        }
    }
    verdicts
}

/// The errors of a definition, `CODE message`.
fn check(text: &str) -> Vec<String> {
    let checked = tidemill_dsl::workflow::check(text);
    if checked.program.is_some() {
        return Vec::new();
    }
    let errors = checked.diagnostics.iter().filter(|d| !d.code.starts_with('W'));
    errors.map(|d| format!("{} {}", d.code, d.message)).collect()
}

/// Why a scenario says that its example is only checked.
fn reason(scenario: &Scenario) -> Option<String> {
    let line = &scenario.steps.first()?.line;
    line.strip_prefix("it is only checked: ").map(str::to_owned)
}

fn with_definition(mut scenario: Scenario, text: &str) -> Scenario {
    scenario.steps.insert(0, Step::with("a workflow with definition:", in_namespace(text)));
    scenario
}

/// The definition in the namespace `default`, which is the scenario's own.
fn in_namespace(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim_start().starts_with("namespace: ") {
            format!("{indent}namespace: default\n")
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

/// The verdicts as a table, and a line with their counts.
pub fn table(verdicts: &[(String, Verdict)]) -> String {
    let width = verdicts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut counts = [0; 4];
    let mut out = String::new();
    for (name, verdict) in verdicts {
        let (index, told) = match verdict {
            Verdict::Run => (0, "run".to_owned()),
            Verdict::Failed(why) => (1, format!("FAILED: {why}")),
            Verdict::Valid(why) => (2, format!("validated only: {why}")),
            Verdict::Refused(codes) => (3, format!("refused: {}", codes.join("; "))),
        };
        counts[index] += 1;
        let _ = writeln!(out, "{name:width$}  {told}");
    }
    let [run, failed, valid, refused] = counts;
    let _ = writeln!(out, "{run} run, {failed} failed, {valid} validated only, {refused} refused");
    out
}
