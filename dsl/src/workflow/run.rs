//! `run`: another workflow.

use std::sync::Arc;

use crate::codes;
use crate::program::{Kind, RunWorkflow};
use crate::reader::{Place, Reader, Sink};

use super::document::{self, label};
use super::values::At;
use super::{given, one_of};

pub(super) fn run(place: &Place, at: At) -> Option<Kind> {
    let mut reader = Reader::open(place.clone(), at.sink, "`run`")?;
    let wait = reader.flag("await", true);
    let later = [
        ("container", codes::LATER_CONTAINER, "`run.container` is not supported by this release"),
        ("script", codes::LATER_SCRIPT, "`run.script` is not supported by this release"),
        ("shell", codes::LATER_SHELL, "`run.shell` is not supported by this release"),
    ];
    let refused = later.iter().filter(|(key, code, text)| reader.refuse(key, code, text)).count();
    if let Some(place) = reader.take("return") {
        let words = ["stdout", "stderr", "code", "all", "none"].map(|w| (w, ()));
        if place.choice(at.sink, &words).is_some() && refused == 0 {
            let d = place.key_error(codes::EXCLUSIVE, "`return` does not apply to a workflow");
            at.sink.push(d.help("a workflow gives its output; change it with `output.as`"));
        }
    }
    if refused > 1 {
        at.sink.push(place.key_error(codes::EXCLUSIVE, "`run` has more than one thing to run"));
    }
    let workflow = one_of(&mut reader, &["workflow"], refused > 0);
    reader.finish();
    let mut reader = Reader::open(workflow?.1, at.sink, "`workflow`")?;
    let namespace = reader.need("namespace").and_then(|p| label(&p, at.sink));
    let name = reader.need("name").and_then(|p| label(&p, at.sink));
    let version = reader.take("version").map_or(Some("latest".into()), |p| version(&p, at.sink));
    let input = reader.take("input").map(|p| at.template(&p));
    reader.finish();
    let input = given(input)?;
    Some(Kind::RunWorkflow(RunWorkflow {
        namespace: namespace?,
        name: name?,
        version: version?,
        input,
        wait,
    }))
}

fn version(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    if place.node.as_str() == Some("latest") {
        return Some("latest".into());
    }
    document::version(place, sink)
}
