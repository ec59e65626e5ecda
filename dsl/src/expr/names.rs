//! The names of a program: definitions, calls, variables and labels.

use std::collections::BTreeSet;

use jaq_core::load::parse::{BinaryOp, Def, Term};

use super::ExprError;
use super::check::{Checked, Checker, Name, Tm, binary, error, text_of};
use super::control::{GUARD, TICK};
use super::limits;
use super::prelude::{self, Signature};
use super::syntax::calls;

/// Functions of jq that reach outside the data, and what stands in their place.
const OUTSIDE: [(&[&str], &str); 4] = [
    (
        &["now", "localtime", "strflocaltime", "mktime", "gmtime"],
        "expressions read no clock; `$workflow.startedAt` and `$task.startedAt` are instants",
    ),
    (&["env", "$ENV"], "expressions read no environment; pass the value as input or as a secret"),
    (&["input", "inputs", "debug", "stderr", "input_line_number", "input_filename"], "the only input is `.`"),
    (&["halt", "halt_error"], "an expression cannot end the program; `error(\"...\")` makes it fail"),
];

impl<'s> Checker<'s, '_> {
    pub(super) fn definitions(
        &mut self,
        defs: Vec<Def<&'s str>>,
        body: Tm<'s>,
        tail: &[usize],
    ) -> Checked<Tm<'s>> {
        let before = self.scope.len();
        let mut checked = Vec::with_capacity(defs.len());
        for def in defs {
            checked.push(self.definition(def, tail)?);
        }
        let body = self.boxed(body, tail)?;
        self.scope.truncate(before);
        Ok(Term::Def(checked, body))
    }

    /// Checks a definition and leaves it in scope.
    fn definition(&mut self, def: Def<&'s str>, tail: &[usize]) -> Checked<Def<&'s str>> {
        let Def { name, args, mut body } = def;
        let arity = args.len();
        let id = self.next_id;
        self.next_id += 1;
        let takes_filters = args.iter().any(|arg| !arg.starts_with('$'));
        let mut recursive = false;
        let mut called = BTreeSet::new();
        calls(&body, &mut |other, count| {
            recursive |= (other, count) == (name, arity);
            called.insert((other, count));
        });
        // `def f($a)` also makes the filter `a`.
        for arg in args.iter().filter_map(|arg| arg.strip_prefix('$')) {
            let var = args.iter().find(|other| other.strip_prefix('$') == Some(arg));
            if let Some(var) = var.filter(|_| called.contains(&(arg, 0)) && !args.contains(&arg)) {
                let filter = Def { name: arg, args: Vec::new(), body: Term::Var(*var) };
                body = Term::Def(vec![filter], Box::new(body));
            }
        }
        let before = self.scope.len();
        self.scope.push(Name::Def { name, arity, id, open: true, takes_filters });
        for arg in &args {
            self.scope.push(if arg.starts_with('$') {
                Name::Var(arg)
            } else {
                Name::Argument { name: arg, guarded: recursive }
            });
        }
        let tail: Vec<usize> = tail.iter().copied().chain([id]).collect();
        let outer = std::mem::replace(&mut self.start, self.level);
        let body = self.term(body, &tail)?;
        self.start = outer;
        self.scope.truncate(before);
        self.scope.push(Name::Def { name, arity, id, open: false, takes_filters });
        let tick = self.added(TICK, Vec::new());
        Ok(Def { name, args, body: binary(tick, BinaryOp::Pipe(None), body) })
    }

    pub(super) fn call(&mut self, name: &'s str, args: Vec<Tm<'s>>, tail: &[usize]) -> Checked<Tm<'s>> {
        let arity = args.len();
        let found = self.scope.iter().rev().find_map(|entry| match entry {
            Name::Argument { name: other, guarded } if *other == name && arity == 0 => Some(*guarded),
            Name::Def { name: other, arity: count, id, open, takes_filters }
                if *other == name && *count == arity =>
            {
                Some(*open && (*takes_filters || !tail.contains(id)))
            }
            _ => None,
        });
        let levels = if found.is_none() { limits::PRELUDE_LEVELS } else { 0 };
        self.level += levels;
        let args = args.into_iter().map(|arg| self.term(arg, &[])).collect::<Checked<Vec<_>>>()?;
        self.level -= levels;
        let call = Term::Call(name, args);
        match found {
            Some(true) => {
                let levels = self.number(self.level - self.start);
                Ok(self.added(GUARD, vec![levels, call]))
            }
            Some(false) => Ok(call),
            None if prelude::exists(name, arity) => {
                self.calls.insert((name, arity));
                Ok(call)
            }
            None => Err(self.unknown_function(name, arity)),
        }
    }

    fn unknown_function(&self, name: &str, arity: usize) -> ExprError {
        let own = self.scope.iter().filter_map(|entry| match entry {
            Name::Def { name, arity, .. } => Some((*name, *arity)),
            Name::Argument { name, .. } => Some((*name, 0)),
            _ => None,
        });
        let mut all: Vec<Signature> = own.collect();
        for (name, arity) in prelude::all() {
            all.push((name, arity));
        }
        let counts: BTreeSet<usize> =
            all.iter().filter(|(other, _)| *other == name).map(|(_, count)| *count).collect();
        let help = if counts.is_empty() {
            let guess = || closest(name, all.iter().map(|(name, _)| *name));
            let why =
                OUTSIDE.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| (*why).to_owned());
            why.or_else(|| guess().map(|other| format!("did you mean `{other}`?")))
        } else {
            let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
            Some(format!("`{name}` takes {} arguments", counts.join(" or ")))
        };
        let message = format!("unknown function `{name}/{arity}`");
        ExprError { message, offset: self.offset(name), help }
    }

    pub(super) fn variable(&mut self, name: &'s str) -> Checked<Tm<'s>> {
        let local = self.scope.iter().any(|entry| matches!(entry, Name::Var(other) if *other == name));
        if local {
            return Ok(Term::Var(name));
        }
        if name == "$__loc__" {
            return Ok(self.location(name));
        }
        let bare = &name[1..];
        if self.known.contains(&bare) {
            self.vars.insert(name);
            return Ok(Term::Var(name));
        }
        let locals = self.scope.iter().filter_map(|entry| match entry {
            Name::Var(other) => Some(&other[1..]),
            _ => None,
        });
        let known: Vec<&str> = self.known.iter().copied().chain(locals).collect();
        let help = closest(bare, known.iter().copied()).map(|other| format!("did you mean `${other}`?"));
        let help = help.or_else(|| {
            let names: Vec<String> = known.iter().map(|name| format!("${name}")).collect();
            (!names.is_empty()).then(|| format!("variables here: {}", names.join(", ")))
        });
        Err(ExprError { message: format!("unknown variable `{name}`"), offset: self.offset(name), help })
    }

    /// `$__loc__`: an object with the file and the line it stands in.
    fn location(&self, name: &str) -> Tm<'s> {
        let before = self.offset(name).map_or("", |offset| &self.text[..offset]);
        let line = self.number(before.matches('\n').count() + 1);
        Term::Obj(vec![(text_of("file"), Some(text_of("<top-level>"))), (text_of("line"), Some(line))])
    }

    fn number(&self, number: usize) -> Tm<'s> {
        let text: &'s str = self.lines.alloc(number.to_string());
        Term::Num(text)
    }

    pub(super) fn break_out(&self, label: &'s str) -> Checked<Tm<'s>> {
        let known = self.scope.iter().any(|entry| matches!(entry, Name::Label(other) if *other == label));
        if known {
            return Ok(Term::Break(label));
        }
        Err(error(format!("unknown label `{label}`"), self.offset(label)))
    }

    /// The byte offset of a name that is a part of the text.
    pub(super) fn offset(&self, name: &str) -> Option<usize> {
        super::offset_in(self.text, name)
    }
}

/// The name most like `name`, if one is near.
fn closest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let near = 1 + name.chars().count() / 4;
    let distances = names.map(|other| (distance(name, other), other));
    distances.filter(|(distance, _)| *distance <= near).min().map(|(_, other)| other)
}

/// The number of letters to insert, delete or replace to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
