//! Pages of the manual whose YAML blocks are run.
//!
//! Owns the convention of the fences (docs/language/README.md): the word behind `yaml` says what a block is. A `yaml`
//! block without such a word is a mistake, so nothing in the manual is only shown. Blocks become steps of the kit.

use std::path::Path;

use super::gherkin::{Scenario, Step, files};

/// Every example of every page of a folder, or what is wrong with a block.
pub fn read_folder(dir: &Path) -> Result<Vec<Scenario>, String> {
    let mut scenarios = Vec::new();
    for file in files(dir, "md") {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        scenarios.extend(read(&stem, &text).map_err(|why| format!("{}: {why}", file.display()))?);
    }
    Ok(scenarios)
}

/// Every example of a page. An example begins with a block `workflow`, `refused` or `warned`.
pub fn read(page: &str, text: &str) -> Result<Vec<Scenario>, String> {
    let mut examples: Vec<Example> = Vec::new();
    let mut heading = "";
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim();
        }
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let body = block(indent, &mut lines);
        let words: Vec<&str> = info.split_whitespace().collect();
        if !matches!(words.first(), Some(&("yaml" | "text"))) || words == ["text"] {
            continue;
        }
        let wrong = |why: &str| format!("line {number}: `{info}` {why}");
        let name = format!("{heading} (line {number})");
        if let Some(step) = opening(&words, &body) {
            let scenario = Scenario { feature: page.into(), name, steps: step };
            examples.push(Example { scenario, phase: Phase::Given });
        } else {
            let example = examples.last_mut().ok_or_else(|| wrong("stands before a `yaml workflow`"))?;
            if !example.add(&words[1..], body) {
                return Err(wrong("is no kind of block, or stands in the wrong place"));
            }
        }
    }
    examples.into_iter().map(Example::ended).collect()
}

fn block<'a>(indent: usize, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> String {
    let mut body = String::new();
    for (_, line) in lines.take_while(|(_, line)| line.trim() != "```") {
        body.push_str(line.get(indent..).unwrap_or_else(|| line.trim_start()));
        body.push('\n');
    }
    body
}

#[derive(PartialEq)]
enum Phase {
    Given,
    Started,
    Ended,
}

/// An example as far as it was read.
struct Example {
    scenario: Scenario,
    phase: Phase,
}

/// The steps of a block that begins an example.
fn opening(words: &[&str], body: &str) -> Option<Vec<Step>> {
    let given = Step::with("a workflow with definition:", body);
    match words[1..] {
        ["workflow"] => Some(vec![given]),
        ["refused", code] => {
            Some(vec![given, Step::new(format!("the definition should be refused with '{code}'"))])
        }
        ["warned", code] => {
            Some(vec![given, Step::new(format!("the definition should be warned of '{code}'"))])
        }
        _ => None,
    }
}

impl Example {
    /// Adds a block; false if it has no meaning here.
    fn add(&mut self, words: &[&str], body: String) -> bool {
        let given = self.phase == Phase::Given;
        match words {
            ["input"] if given => self.step("the workflow input is:", body),
            ["also"] if given => self.step("another workflow with definition:", body),
            ["manifest"] if given => self.step("these manifests:", body),
            ["secret", name] if given => self.step(&format!("the secret '{name}' is:"), body),
            ["serves", path] if given => self.step(&format!("the address '{path}' serves:"), body),
            ["event"] => {
                if given {
                    self.scenario.steps.push(Step::new("the workflow is started"));
                    self.scenario.steps.push(Step::new("the execution becomes 'waiting'"));
                    self.phase = Phase::Started;
                }
                self.step("this event is posted:", body);
            }
            ["output"] => self.end("the workflow should complete with output:", body),
            ["output", "like"] => self.end("the workflow should complete with output like:", body),
            ["error"] => self.end("the workflow should fault with error:", body),
            ["history"] => self.end("the history should be:", body),
            ["request", path] => self.end(&format!("the call to '{path}' should carry:"), body),
            ["stored", kind] => self.end(&format!("an event of type '{kind}' should be stored with:"), body),
            _ => return false,
        }
        true
    }

    fn step(&mut self, line: &str, body: String) {
        self.scenario.steps.push(Step::with(line, body));
    }

    fn end(&mut self, line: &str, body: String) {
        if self.phase == Phase::Given {
            self.scenario.steps.push(Step::new("the workflow is executed"));
        }
        self.phase = Phase::Ended;
        self.step(line, body);
    }

    /// The scenario; an example that asserts nothing is a mistake.
    fn ended(self) -> Result<Scenario, String> {
        let asserts = self.scenario.steps.iter().any(|step| step.line.contains(" should "));
        if asserts { Ok(self.scenario) } else { Err(format!("{} asserts nothing", self.scenario.name)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_steps() {
        let page = "# Set\n\n```yaml workflow\ndo: []\n```\ntext\n```yaml input\n1\n```\n```sh\nls\n```\n```yaml output\n2\n```\n\n## No\n```yaml refused E0501\ndo: {}\n```\n";
        let scenarios = read("set", page).expect("a page");
        let lines: Vec<Vec<&str>> =
            scenarios.iter().map(|s| s.steps.iter().map(|step| step.line.as_str()).collect()).collect();
        assert_eq!(
            lines,
            [
                vec![
                    "a workflow with definition:",
                    "the workflow input is:",
                    "the workflow is executed",
                    "the workflow should complete with output:"
                ],
                vec!["a workflow with definition:", "the definition should be refused with 'E0501'"],
            ]
        );
        assert_eq!(scenarios[1].full_name(), "set: No (line 18)");
    }

    #[test]
    fn blocks_without_a_meaning_are_mistakes() {
        let check = |page: &str, expected: &str| {
            let why = read("p", page).expect_err(page);
            assert!(why.contains(expected), "{why}");
        };
        check("```yaml\na: 1\n```\n", "stands before");
        check("```yaml workflow\na: 1\n```\n```yaml\nb: 1\n```\n", "no kind of block");
        check("```yaml workflow\na: 1\n```\n", "asserts nothing");
        check("```yaml workflow\na: 1\n```\n```yaml output\n1\n```\n```yaml input\n1\n```\n", "wrong place");
    }
}
