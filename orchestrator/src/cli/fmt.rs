//! `fmt`: definitions in canonical layout.
//!
//! Owns which files are written. The layout is the language's; a file is replaced whole or not at all.

use std::path::Path;

use tidemill_dsl::yaml::layout::{LayoutError, layout};

use super::args::{FmtArgs, Form, Shared};
use super::definitions::{Definitions, SourceFile};
use super::exit::{FAILURE, Failure, LINT, OK, Outcome};
use super::output;

pub(super) fn run(args: &FmtArgs, shared: &Shared) -> Outcome {
    let set = Definitions::read(&args.paths)?;
    let mut changed = Vec::new();
    let mut unreadable = false;
    for (index, file) in set.files.iter().enumerate() {
        let is_definition = set.documents.iter().any(|document| document.file == index);
        let is_json = Path::new(&file.name).extension().is_some_and(|kind| kind == "json");
        let is_broken = set.unreadable.iter().any(|(file, _)| *file == index);
        if is_json || !(is_definition || is_broken) {
            continue;
        }
        match layout(&file.text) {
            Ok(text) => {
                if file.name == STDIN {
                    output::raw(&text);
                } else if text != file.text {
                    if !args.check {
                        replace(file, &text)?;
                    }
                    changed.push(file.name.as_str());
                }
            }
            Err(LayoutError::Unreadable(found)) => {
                unreadable = true;
                let found: Vec<_> = found.into_iter().map(|diagnostic| (index, diagnostic)).collect();
                output::note(set.render(&found).trim_end());
            }
            Err(LayoutError::LeftAlone(line, what)) => {
                output::note(&format!("{}:{line}: left as it is: {what} has no canonical layout", file.name));
            }
        }
    }
    if !matches!(shared.output, Some(Form::Github | Form::Sarif)) {
        for name in &changed {
            output::line(name);
        }
    }
    if unreadable {
        return Ok(LINT);
    }
    if args.check && !changed.is_empty() {
        output::note(&format!(
            "{} of {} files would change\n  try: tidemill fmt PATH",
            changed.len(),
            set.files.len()
        ));
        return Ok(LINT);
    }
    Ok(OK)
}

/// The name of what `-` reads.
const STDIN: &str = "standard input";

/// Writes beside the file and takes its place, so that a crash leaves one of the two texts.
fn replace(file: &SourceFile, text: &str) -> Result<(), Failure> {
    let path = Path::new(&file.name);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || {
        std::fs::write(&beside, text)?;
        std::fs::set_permissions(&beside, std::fs::metadata(path)?.permissions())?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|error| {
        Failure::new(FAILURE, format!("write {}: {error}", file.name)).try_next("tidemill fmt --check")
    })
}
