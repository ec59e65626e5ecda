//! `init`: a small project that works, to begin from.
//!
//! Owns the files it writes. It replaces none: if one is there already, nothing is written.

use std::path::Path;

use tidemill_dsl::schemas;

use super::args::InitArgs;
use super::exit::{CONFLICT, FAILURE, Failure, OK, Outcome};
use super::output;

/// Name and text of each file.
const FILES: [(&str, &str); 5] = [
    ("README.md", include_str!("project/README.md")),
    ("workflow.yaml", include_str!("project/workflow.yaml")),
    ("function.yaml", include_str!("project/function.yaml")),
    ("greet.sh", include_str!("project/greet.sh")),
    ("triggers.yaml", include_str!("project/triggers.yaml")),
];

/// Folder of the JSON Schemas that editors check definitions with; hidden, so that nothing takes them for definitions.
const SCHEMAS: &str = ".schemas";

pub(super) fn run(args: &InitArgs) -> Outcome {
    let names = FILES.iter().map(|(name, _)| *name).chain([SCHEMAS]);
    let there: Vec<_> = names.filter(|name| args.dir.join(name).exists()).collect();
    let dir = args.dir.display();
    if !there.is_empty() {
        let text = format!("begin a project in {dir}: {} is there already", there.join(", "));
        return Err(Failure::new(CONFLICT, text).try_next("tidemill init another-folder"));
    }
    for (name, text) in FILES {
        write(&args.dir.join(name), text)?;
        output::line(&args.dir.join(name).display().to_string());
    }
    for name in schemas::NAMES {
        let schema = schemas::named(name).map(|schema| output::pretty(&schema)).unwrap_or_default();
        write(&args.dir.join(SCHEMAS).join(format!("{name}.json")), &format!("{schema}\n"))?;
    }
    output::line(&args.dir.join(SCHEMAS).display().to_string());
    let run =
        format!("tidemill run {dir}/workflow.yaml -f {dir}/function.yaml --input '{{\"name\": \"Ann\"}}'");
    output::note(&format!("next: {run}\n      tidemill dev {dir}"));
    Ok(OK)
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    };
    write().map_err(|error| {
        let failure = Failure::new(FAILURE, format!("write {}: {error}", path.display()));
        failure.try_next("tidemill init another-folder")
    })
}
