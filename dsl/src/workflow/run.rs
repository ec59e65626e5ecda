//! `run`: another workflow, a shell command or a script.

use std::sync::Arc;

use crate::codes;
use crate::program::{Code, Kind, Language, ResourceKind, Returns, RunProcess, RunWorkflow, Runnable};
use crate::reader::{Place, Reader, Sink};
use crate::value::Value;
use crate::yaml::NodeKind;

use super::document::{self, label};
use super::scope::Where;
use super::values::At;
use super::{Compiler, given, one_of};

/// What `return` may say.
const RETURNS: [(&str, Returns); 5] = [
    ("stdout", Returns::Stdout),
    ("stderr", Returns::Stderr),
    ("code", Returns::Code),
    ("all", Returns::All),
    ("none", Returns::None),
];

impl Compiler<'_> {
    /// `run`.
    pub(super) fn run_task(&self, place: &Place, at: At) -> Option<Kind> {
        let mut reader = Reader::open(place.clone(), at.sink, "`run`")?;
        let before = at.sink.errors();
        let wait = reader.flag("await", true);
        let container = reader.refuse(
            "container",
            codes::LATER_CONTAINER,
            "`run.container` is not supported by this release",
        );
        let stated = reader.take("return");
        let returns = stated.as_ref().and_then(|p| p.choice(at.sink, &RETURNS)).unwrap_or_default();
        let what = one_of(&mut reader, &["workflow", "shell", "script"], container);
        reader.finish();
        let (key, place) = what?;
        let kind = match key {
            "workflow" => {
                if let Some(stated) = stated {
                    let d = stated.key_error(codes::EXCLUSIVE, "`return` does not apply to a workflow");
                    at.sink.push(d.help("a workflow gives its output; change it with `output.as`"));
                }
                workflow(&place, at, wait)
            }
            "shell" => process(&place, at, (returns, wait), shell),
            _ => process(&place, at, (returns, wait), |reader, at| self.script(reader, at)),
        };
        kind.filter(|_| at.sink.errors() == before)
    }

    fn script(&self, reader: &mut Reader, at: At) -> Option<Runnable> {
        let language = reader.need("language").and_then(|p| language(&p, at.sink));
        let code = match one_of(reader, &["code", "source"], false)? {
            ("code", place) => place.text(at.sink).map(Code::Here),
            (_, place) => self.external(&place, ResourceKind::Script, at).map(Code::Elsewhere),
        };
        Some(Runnable::Script(language?, code?))
    }
}

fn workflow(place: &Place, at: At, wait: bool) -> Option<Kind> {
    let mut reader = Reader::open(place.clone(), at.sink, "`workflow`")?;
    let namespace = reader.need("namespace").and_then(|p| label(&p, at.sink));
    let name = reader.need("name").and_then(|p| label(&p, at.sink));
    let version = reader.take("version").map_or(Some("latest".into()), |p| version(&p, at.sink));
    let kept = At { place: Where::Given, ..at };
    let input = reader.take("input").map(|p| kept.template(&p));
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

/// What `shell` and `script` share; `program` reads what is run.
fn process(
    place: &Place,
    at: At,
    (returns, wait): (Returns, bool),
    program: impl FnOnce(&mut Reader, At) -> Option<Runnable>,
) -> Option<Kind> {
    let mut reader = Reader::open(place.clone(), at.sink, "the program to run")?;
    let program = program(&mut reader, at);
    let stdin = reader.take("stdin").map(|p| at.text(&p));
    let arguments = reader.take("arguments").map(|p| arguments(&p, at));
    let environment = reader.take("environment").map(|p| environment(&p, at));
    reader.finish();
    let (stdin, arguments, environment) = (given(stdin)?, given(arguments)?, given(environment)?);
    let run = RunProcess { program: program?, stdin, arguments, environment, returns, wait };
    Some(Kind::RunProcess(Box::new(run)))
}

fn shell(reader: &mut Reader, at: At) -> Option<Runnable> {
    let place = reader.need("command")?;
    if let Some((offset, name)) = place.node.as_str().and_then(variable) {
        let message = format!("`${{{name}}}` is an expression, no variable of the shell");
        let d = place.error_at(at.sink, Some(offset), codes::EXPR_SYNTAX, message);
        at.sink.push(d.help(format!("write `${name}` for the variable")));
        return None;
    }
    at.text(&place).map(Runnable::Shell)
}

/// The first `${NAME}` of a command, which is meant for the shell: jq has no names in capitals.
fn variable(command: &str) -> Option<(usize, &str)> {
    command.match_indices("${").find_map(|(at, _)| {
        let (name, _) = command[at + 2..].split_once('}')?;
        let capital = |c: char| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit();
        (!name.is_empty() && name.chars().all(capital)).then_some((at, name))
    })
}

/// `js` or `python`; what people write in their place is named in the help.
fn language(place: &Place, sink: &Sink) -> Option<Language> {
    let text = place.text(sink)?;
    let meant = match &*text.to_ascii_lowercase() {
        "js" | "javascript" | "node" | "nodejs" | "ecmascript" => ("js", Language::JavaScript),
        "python" | "python3" | "py" => ("python", Language::Python),
        _ => return place.choice(sink, &[("js", Language::JavaScript), ("python", Language::Python)]),
    };
    if *text == *meant.0 {
        return Some(meant.1);
    }
    let d = place.error(codes::WRONG_VALUE, format!("`{text}` is not one of `js`, `python`"));
    sink.push(d.help(format!("did you mean `{}`?", meant.0)));
    None
}

/// A list of strings, numbers and booleans, or an expression that gives one.
fn arguments(place: &Place, at: At) -> Option<crate::expr::Template> {
    if place.node.as_str().is_some() {
        return at.object(place);
    }
    let before = at.sink.errors();
    for item in place.list(at.sink)? {
        scalar(&item, at);
    }
    if at.sink.errors() == before { at.template(place) } else { None }
}

/// A map of strings, numbers and booleans, or an expression that gives one.
fn environment(place: &Place, at: At) -> Option<crate::expr::Template> {
    let before = at.sink.errors();
    if let NodeKind::Map(_) = &place.node.kind {
        for (name, value) in place.entries(at.sink)? {
            if name.is_empty() || name.contains(['=', '\0']) {
                let d =
                    value.key_error(codes::WRONG_NAME, format!("`{name}` cannot be the name of a variable"));
                at.sink.push(d.help("names of the environment are not empty and hold no `=`"));
            }
            scalar(&value, at);
        }
    }
    let template = at.object(place);
    if at.sink.errors() == before { template } else { None }
}

fn scalar(place: &Place, at: At) {
    if !matches!(&place.node.kind, NodeKind::Scalar { value, .. } if *value != Value::Null) {
        place.wrong::<()>(at.sink, "a string, a number or a boolean");
    }
}
