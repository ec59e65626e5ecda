//! One task: what all kinds share, and which kind it is. Kinds of a few lines (do, set, raise, wait) are here.

use crate::codes;
use crate::program::{Code, Kind, Need, Runnable, Task, TaskId};
use crate::reader::{Place, Reader};
use crate::yaml::NodeKind;

use super::Compiler;
use super::list::Names;
use super::scope::{Scope, Where};
use super::values::At;

/// The keys that make a task what it is (dsl.md section 2.2).
pub(super) const KINDS: [&str; 12] =
    ["call", "do", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait"];

/// Keys that stand beside some of them.
const COMPANIONS: [&str; 4] = ["with", "while", "catch", "foreach"];

/// Where a task stands.
pub(super) struct Site<'c> {
    pub(super) id: TaskId,
    pub(super) index: usize,
    pub(super) names: &'c Names,
    pub(super) scope: &'c Scope,
}

impl<'a> Compiler<'a> {
    /// Compiles the task at `index` of its list into its draft.
    pub(super) fn task(&mut self, place: &Place<'a>, names: &Names, index: usize, scope: &Scope) {
        let sink = self.sink;
        let Some(mut reader) = Reader::open(place.clone(), sink, "the task") else {
            return;
        };
        let (name, id) = names.tasks[index].clone();
        let site = Site { id, index, names, scope };
        let before = At::new(sink, scope, Where::Before);
        let body = At::new(sink, scope, Where::Body);
        let condition = reader.take("if").and_then(|p| before.condition(&p));
        let mut needs = Vec::new();
        let input = self.intake(&mut reader, before, &mut needs);
        let output = self.shape(&mut reader, "output", body, &mut needs);
        let export = self.shape(&mut reader, "export", At::new(sink, scope, Where::Export), &mut needs);
        let timeout = self.uses.timeout(&mut reader, body);
        reader.object("metadata");
        let following = names.following(index);
        let then = reader.take("then").map_or(Some(following), |p| names.target(&p, index, sink));
        let key = only_kind(&mut reader);
        let kind = key.and_then(|key| self.kind(key, &mut reader, &site));
        reader.finish();
        let (Some(key), Some(kind), Some(then)) = (key, kind, then) else {
            return;
        };
        needs.extend(fetched(&kind).cloned());
        let extensions = self.extending(key, scope);
        self.drafts[id.own()].task = Some(Task {
            name,
            reference: place.pointer.as_str().into(),
            list: names.list,
            definition: self.definition.pointer(&place.pointer).cloned().unwrap_or_default(),
            condition,
            input,
            output,
            export,
            timeout,
            then,
            following,
            extensions,
            needs,
            kind,
        });
    }

    /// The extensions for a task of this kind.
    fn extending(&self, key: &str, scope: &Scope) -> Vec<u32> {
        let all = self.uses.extensions.iter().enumerate().filter(|(_, e)| !scope.extension && e.extends(key));
        all.map(|(at, _)| at as u32).collect()
    }

    fn kind(&mut self, key: &'static str, reader: &mut Reader<'a, 'a>, site: &Site) -> Option<Kind> {
        let place = reader.take(key)?;
        let body = At::new(self.sink, site.scope, Where::Body);
        match key {
            "call" => self.call(&place, reader, site),
            "do" => self.list(&place, Some(site.id), site.scope).map(Kind::Do),
            "emit" => super::emit::emit(&place, body),
            "for" => self.for_each(&place, reader, site),
            "fork" => self.fork(&place, site),
            "listen" => super::listen::listen(&place, reader, body),
            "raise" => self.raise(&place, body),
            "run" => self.run_task(&place, At::new(self.sink, site.scope, Where::Sent)),
            "set" => set(&place, body),
            "switch" => super::switch::switch(&place, site, body),
            "try" => self.try_catch(&place, reader, site),
            _ => body.duration(&place).map(Kind::Wait),
        }
    }

    fn raise(&self, place: &Place, at: At) -> Option<Kind> {
        let mut reader = Reader::open(place.clone(), at.sink, "`raise`")?;
        let error = reader.need("error").and_then(|p| self.uses.error(&p, at));
        reader.finish();
        error.map(Kind::Raise)
    }
}

/// What a task of this kind is fetched from.
fn fetched(kind: &Kind) -> Option<&Need> {
    match kind {
        Kind::Fetched(call) => Some(&call.need),
        Kind::RunProcess(run) => match &run.program {
            Runnable::Script(_, Code::Elsewhere(need)) => Some(need),
            _ => None,
        },
        _ => None,
    }
}

/// The key that says the task's kind. None and a second one are reported.
fn only_kind(reader: &mut Reader) -> Option<&'static str> {
    let (sink, node) = (reader.sink(), reader.place().node);
    let found: Vec<_> = node
        .entries()
        .iter()
        .filter_map(|e| Some((*KINDS.iter().find(|k| ***k == *e.key)?, e)))
        .filter(|(kind, _)| *kind != "do" || node.get("for").is_none())
        .collect();
    reader.also(&KINDS);
    if let [first, second, ..] = found.as_slice() {
        let message = format!("the task has two kinds: `{}` and `{}`", first.0, second.0);
        let pointer = crate::yaml::join(&reader.place().pointer, second.0);
        let d =
            crate::diagnostic::Diagnostic::error(codes::TWO_KINDS, second.1.key_span, message).at(pointer);
        sink.push(d.help("split it into two tasks"));
        for key in KINDS.iter().chain(&COMPANIONS) {
            reader.take(key);
        }
        return None;
    }
    let Some((kind, _)) = found.first() else {
        let near = |key: &str| crate::diagnostic::nearest(key, KINDS).is_some();
        let misspelt = node.entries().iter().any(|e| near(&e.key) && !reader.asked(&e.key));
        if misspelt {
            for key in COMPANIONS {
                reader.take(key);
            }
        } else {
            let d = reader.place().key_error(codes::NO_KIND, "the task has no kind");
            sink.push(d.help(format!("write one of: {}", KINDS.join(", "))));
        }
        return None;
    };
    Some(kind)
}

fn set(place: &Place, at: At) -> Option<Kind> {
    match &place.node.kind {
        NodeKind::Map(entries) if entries.is_empty() => {
            at.sink
                .push(place.key_error(codes::EMPTY, "`set` is empty").help("name at least one value to set"));
            None
        }
        NodeKind::Map(_) => at.template(place).map(Kind::Set),
        _ => match place.node.as_str() {
            Some(text) => {
                super::traps::lines(at.sink, place, text);
                if at.is_expression(text) || text.contains("${") {
                    let template = at.template(place)?;
                    if template.constant().is_none() {
                        return Some(Kind::Set(template));
                    }
                }
                let d = place.error(codes::EXPR_NEEDED, "`set` is a map or one expression, not a literal");
                at.sink.push(d.help("write an expression as `${ ... }`"));
                None
            }
            None => place.wrong(at.sink, "a map or an expression"),
        },
    }
}
