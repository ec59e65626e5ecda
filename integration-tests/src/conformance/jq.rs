//! Files of jq programs with inputs and outputs, through `tidemill eval jq --jsonl`.
//!
//! Owns the format: blocks of lines with a blank line between them. A block is a program, its input and its outputs,
//! one a line; or `%%FAIL`, a program that is refused or fails on `null`, and the message, which is not compared.
//! Lines that begin with `#` are comments.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::gherkin::files;
use crate::server::binary;

/// One block of a file.
#[derive(Debug, PartialEq)]
struct Case {
    line: usize,
    program: String,
    input: String,
    /// What it gives; none if it has to fail.
    outputs: Option<Vec<String>>,
}

/// What a run gave.
#[derive(Debug, Default)]
pub struct Report {
    /// Blocks that gave what they say.
    pub passed: usize,
    /// All blocks.
    pub total: usize,
    /// `FILE:LINE: PROGRAM: why` of the others.
    pub misses: Vec<String>,
}

/// Runs a file, or every `.test` file of a folder.
pub fn run(path: &Path) -> std::io::Result<Report> {
    let list: Vec<PathBuf> = if path.is_dir() { files(path, "test") } else { vec![path.to_owned()] };
    let mut report = Report::default();
    for file in list {
        let cases = read(&std::fs::read_to_string(&file)?);
        let answers = evaluate(&cases)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (index, case) in cases.iter().enumerate() {
            report.total += 1;
            match judge(case, answers.get(index)) {
                Ok(()) => report.passed += 1,
                Err(why) => report.misses.push(format!("{name}:{}: {}: {why}", case.line, case.program)),
            }
        }
    }
    Ok(report)
}

fn read(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut block: Vec<(usize, &str)> = Vec::new();
    for (number, line) in (1..).zip(text.lines().chain([""])) {
        if !line.trim().is_empty() {
            if !line.starts_with('#') {
                block.push((number, line));
            }
            continue;
        }
        cases.extend(case(&block));
        block.clear();
    }
    cases
}

fn case(block: &[(usize, &str)]) -> Option<Case> {
    let fails = block.first()?.1.trim().starts_with("%%FAIL");
    let (line, program) = *block.get(usize::from(fails))?;
    let input = block.get(1).filter(|_| !fails).map_or("null", |(_, line)| line);
    let outputs = block.iter().skip(2).map(|(_, line)| (*line).to_owned()).collect();
    let outputs = if fails { None } else { Some(outputs) };
    Some(Case { line, program: program.to_owned(), input: input.to_owned(), outputs })
}

/// The answers of one process to all cases, in order.
fn evaluate(cases: &[Case]) -> std::io::Result<Vec<Value>> {
    let mut requests = String::new();
    for case in cases {
        // The input as it stands: numbers keep their digits.
        let (program, input) = (Value::from(case.program.as_str()), &case.input);
        let _ = writeln!(requests, r#"{{"expression": {program}, "input": {input}, "all": true}}"#);
    }
    let mut child = Command::new(binary())
        .args(["eval", "jq", "--jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    let writing = std::thread::spawn(move || stdin.write_all(requests.as_bytes()));
    let output = child.wait_with_output()?;
    let _ = writing.join();
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect())
}

fn judge(case: &Case, answer: Option<&Value>) -> Result<(), String> {
    let answer = answer.ok_or("no answer")?;
    let Some(outputs) = &case.outputs else {
        return if answer.get("error").is_some() { Ok(()) } else { Err(format!("gave {answer}")) };
    };
    let Some(values) = answer["values"].as_array() else {
        return Err(answer["error"]["detail"].as_str().unwrap_or("no values").to_owned());
    };
    let wanted: Result<Vec<Value>, _> = outputs.iter().map(|line| serde_json::from_str(line)).collect();
    let wanted = wanted.map_err(|_| format!("the outputs {outputs:?} are no JSON"))?;
    let same = values.len() == wanted.len() && values.iter().zip(&wanted).all(|(v, w)| equal(v, w));
    if same { Ok(()) } else { Err(format!("gave {}", answer["values"])) }
}

/// Equality where 1 is 1.0.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_blocks() {
        let text = "# comment\n.a\n{\"a\": 1}\n1\n\n\n%%FAIL\n.a +\nsome words\n\nempty\nnull\n";
        let case = |line, program: &str, input: &str, outputs: Option<&[&str]>| Case {
            line,
            program: program.into(),
            input: input.into(),
            outputs: outputs.map(|o| o.iter().map(|s| (*s).to_owned()).collect()),
        };
        let expected = [
            case(2, ".a", "{\"a\": 1}", Some(&["1"])),
            case(8, ".a +", "null", None),
            case(11, "empty", "null", Some(&[])),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn judges() {
        let check = |outputs: Option<&[&str]>, answer: Value, expected: Result<(), &str>| {
            let outputs = outputs.map(|o| o.iter().map(|s| (*s).to_owned()).collect());
            let case = Case { line: 1, program: ".".into(), input: "1".into(), outputs };
            assert_eq!(judge(&case, Some(&answer)), expected.map_err(str::to_owned), "{answer}");
        };
        check(Some(&["1", "[2]"]), json!({"values": [1.0, [2]]}), Ok(()));
        check(Some(&["1"]), json!({"values": [1, 2]}), Err("gave [1,2]"));
        check(Some(&["1"]), json!({"error": {"detail": "no"}}), Err("no"));
        check(None, json!({"error": {}}), Ok(()));
        check(None, json!({"values": []}), Err("gave {\"values\":[]}"));
    }
}
