//! What goes to standard output: data, in the form that was asked for. Everything else goes to standard error.
//!
//! Owns the forms (table, JSON, JSON lines, YAML, names). Knows no API.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use tidemill_dsl::value::Value;

use super::args::Form;
use super::yaml;

/// One column of a table: its title and the JSON pointer of its value in an item.
pub(super) type Column = (&'static str, &'static str);

/// Writes a line to standard output. A reader that went away is no failure.
#[allow(clippy::print_stdout)]
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes text to standard output as it is.
#[allow(clippy::print_stdout)]
pub(super) fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Tells something beside the data, on standard error.
pub(super) fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{text}");
}

/// The same, if there is something to tell.
pub(super) fn note_unless_empty(text: &str) {
    if !text.is_empty() {
        note(text);
    }
}

/// Prints a list; the first column holds the names.
pub(super) fn list(form: Option<Form>, items: &[Value], columns: &[Column]) {
    match form.unwrap_or(Form::Table) {
        Form::Table if items.is_empty() => note("nothing found"),
        Form::Table => line(&table(items, columns)),
        Form::Json | Form::Github | Form::Sarif => line(&pretty(&Value::array(items.iter().cloned()))),
        Form::Jsonl => items.iter().for_each(|item| line(&item.to_string())),
        Form::Yaml => line(yaml::write(&Value::array(items.iter().cloned())).trim_end()),
        Form::Name => {
            let name = columns.first().map_or("", |column| column.1);
            for item in items {
                line(&cell(item.pointer(name)));
            }
        }
    }
}

/// Prints one thing; people get YAML.
pub(super) fn object(form: Option<Form>, value: &Value, name: &str) {
    match form.unwrap_or(Form::Table) {
        Form::Table | Form::Yaml => line(yaml::write(value).trim_end()),
        Form::Json | Form::Github | Form::Sarif => line(&pretty(value)),
        Form::Jsonl => line(&value.to_string()),
        Form::Name => line(&cell(value.pointer(name))),
    }
}

fn table(items: &[Value], columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.0));
    for item in items {
        table.add_row(columns.iter().map(|column| cell(item.pointer(column.1))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The text of a value in a table.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.replace(['\n', '\r', '\t'], " "),
        Some(other) => other.to_string(),
    }
}

/// JSON with two blanks of indentation.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    indent(value, 0, &mut out);
    out
}

fn indent(value: &Value, depth: usize, out: &mut String) {
    let pad = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                pad(out, depth + 1);
                indent(item, depth + 1, out);
            }
            pad(out, depth);
            out.push(']');
        }
        Value::Object(members) if !members.is_empty() => {
            out.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                pad(out, depth + 1);
                out.push_str(&Value::text(key.clone()).to_string());
                out.push_str(": ");
                indent(member, depth + 1, out);
            }
            pad(out, depth);
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Value {
        Value::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn tables_have_a_column_for_each_pointer() {
        let items =
            [read(r#"{"id":"a1","workflow":{"name":"hello"},"n":3}"#), read(r#"{"id":"b2","n":null}"#)];
        let columns = [("ID", "/id"), ("WORKFLOW", "/workflow/name"), ("N", "/n")];
        assert_eq!(table(&items, &columns), "ID  WORKFLOW  N\na1  hello     3\nb2  -         -");
    }

    #[test]
    fn json_is_indented() {
        let value = read(r#"{"a":[1.5,{}],"b":"x\n","c":[]}"#);
        let expected = "{\n  \"a\": [\n    1.5,\n    {}\n  ],\n  \"b\": \"x\\n\",\n  \"c\": []\n}";
        assert_eq!(pretty(&value), expected);
    }
}
