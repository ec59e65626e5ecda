//! `lint`: definitions checked without a server.

use tidemill_dsl::codes::{self, Example};
use tidemill_dsl::diagnostic::Severity;
use tidemill_dsl::manifest;
use tidemill_dsl::value::Value;

use super::args::{Form, LintArgs, Shared};
use super::definitions::{Definitions, Found};
use super::exit::{LINT, OK, Outcome};
use super::{output, report};

pub(super) fn run(args: &LintArgs, shared: &Shared) -> Outcome {
    let set = Definitions::read(&args.paths)?;
    let found = check(&set, shared.namespace());
    let errors = count(&found, Severity::Error);
    let warnings = found.len() - errors;
    match shared.output {
        None | Some(Form::Table) => output::note(set.render(&found).trim_end()),
        Some(Form::Name) => {
            let mut names: Vec<&str> = found.iter().map(|(file, _)| set.files[*file].name.as_str()).collect();
            names.dedup();
            for name in names {
                output::line(name);
            }
        }
        Some(Form::Github) if found.is_empty() => {}
        Some(Form::Github) => output::line(&report::github(&set, &found)),
        Some(Form::Sarif) => output::line(&output::pretty(&report::sarif(&set, &found))),
        form => output::list(form, &set.as_values(&found), &[]),
    }
    for name in &set.skipped {
        output::note(&format!("skipped {name}: neither workflow nor manifest"));
    }
    let summary = format!(
        "{} checked, {} and {}",
        plural(set.documents.len(), "document"),
        plural(errors, "error"),
        plural(warnings, "warning")
    );
    output::note(&summary);
    let failed = errors > 0 || args.strict && warnings > 0;
    if let Some((_, first)) = found.first().filter(|_| failed) {
        output::note(&format!("  try: tidemill explain {}", first.code));
    }
    Ok(if failed { LINT } else { OK })
}

/// Every mistake of the documents, each judged by itself.
pub(super) fn check(set: &Definitions, namespace: &str) -> Vec<Found> {
    let mut found = set.unreadable.clone();
    for document in &set.documents {
        let text = &set.files[document.file].text;
        let own = crate::lint::judge(&document.node, text, namespace).diagnostics;
        found.extend(own.into_iter().map(|diagnostic| (document.file, diagnostic)));
    }
    found.sort_by_key(|(file, diagnostic)| (*file, diagnostic.span.line, diagnostic.span.column));
    found
}

pub(super) fn count(found: &[Found], severity: Severity) -> usize {
    found.iter().filter(|(_, diagnostic)| diagnostic.severity == severity).count()
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `explain`.
pub(super) fn explain(code: &str, shared: &Shared) -> Outcome {
    let Some(found) = codes::explain(code) else {
        let codes = codes::CODES.iter().chain(manifest::codes::CODES).map(|c| c.code);
        let guess = tidemill_dsl::diagnostic::nearest(code, codes);
        let next =
            guess.map_or_else(|| "tidemill lint PATH".to_owned(), |code| format!("tidemill explain {code}"));
        return Err(super::exit::Failure::new(super::exit::NOT_FOUND, format!("find the code `{code}`"))
            .try_next(next));
    };
    let example = codes::example(found.code);
    match shared.output {
        None | Some(Form::Table) => {
            output::line(&format!("{}: {}\n\n{}", found.code, found.title, found.text));
            if let Some(example) = &example {
                output::line(&format!(
                    "\nNot so:\n\n{}\nBut so:\n\n{}",
                    indented(example.bad),
                    indented(example.good).trim_end()
                ));
            }
        }
        form => {
            let of = |part: fn(&Example) -> &'static str| {
                Value::from(example.as_ref().map(|e| part(e).to_owned()).map(Value::from))
            };
            let members = [
                ("code", Value::text(found.code)),
                ("title", Value::text(found.title)),
                ("text", Value::text(found.text)),
                ("bad", of(|example| example.bad)),
                ("good", of(|example| example.good)),
            ];
            output::object(form, &Value::object(members), "/code");
        }
    }
    Ok(OK)
}

/// The text, each line four columns to the right.
fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |out, line| out + "    " + line + "\n")
}
