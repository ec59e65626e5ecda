//! Checking and rewriting a parsed program before jaq compiles it.
//!
//! Owns the names: variables, functions and labels that do not exist are refused here, with a
//! place and a suggestion. Rewrites what jaq does otherwise than jq 1.7, and counts recursion.

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

use super::ExprError;
use super::control::{GUARD, LAST, MODIFY, TICK};
use super::natives;
use super::prelude::{self, ASSIGN, Signature};

/// The deepest nesting of a program's terms.
pub(super) const MAX_TERMS: usize = 300;

/// The variable that rewritten programs use; no program can write it.
const HELD: &str = "$!held";

type Tm<'s> = Term<&'s str>;
type Checked<T> = Result<T, ExprError>;

/// A program after checking.
pub(super) struct Program<'s> {
    pub(super) term: Tm<'s>,
    /// Arguments it reads, with `$`.
    pub(super) vars: BTreeSet<&'s str>,
    /// Functions of the prelude and native ones it calls.
    pub(super) calls: BTreeSet<Signature<'s>>,
}

/// Checks and rewrites `term`, parsed from `text`; `lines` keeps text made on the way.
pub(super) fn check<'s>(
    term: Tm<'s>,
    text: &'s str,
    known: &[&str],
    lines: &'s jaq_core::load::Arena,
) -> Checked<Program<'s>> {
    let mut checker = Checker {
        text,
        known,
        lines,
        scope: Vec::new(),
        next_id: 0,
        level: 0,
        vars: BTreeSet::new(),
        calls: BTreeSet::new(),
    };
    let term = checker.term(term, &[])?;
    Ok(Program { term, vars: checker.vars, calls: checker.calls })
}

/// A name that is visible at some place of the program.
enum Name<'s> {
    Var(&'s str),
    Label(&'s str),
    /// A filter that is an argument; guarded when it may grow with recursion.
    Argument { name: &'s str, guarded: bool },
    /// A definition; `open` while its own body is checked.
    Def { name: &'s str, arity: usize, id: usize, open: bool, takes_filters: bool },
}

struct Checker<'s, 'k> {
    text: &'s str,
    known: &'k [&'k str],
    lines: &'s jaq_core::load::Arena,
    scope: Vec<Name<'s>>,
    next_id: usize,
    level: usize,
    vars: BTreeSet<&'s str>,
    calls: BTreeSet<Signature<'s>>,
}

impl<'s> Checker<'s, '_> {
    /// Checks one term. `tail` holds the definitions whose calls here are tail calls.
    fn term(&mut self, term: Tm<'s>, tail: &[usize]) -> Checked<Tm<'s>> {
        self.level += 1;
        if self.level > MAX_TERMS {
            return Err(error(format!("expression is nested deeper than {MAX_TERMS} terms"), None));
        }
        let term = self.inner(term, tail);
        self.level -= 1;
        term
    }

    fn inner(&mut self, term: Tm<'s>, tail: &[usize]) -> Checked<Tm<'s>> {
        Ok(match term {
            Term::Id | Term::Recurse | Term::Num(_) => term,
            Term::Str(format, parts) => self.text_term(format, parts)?,
            Term::Arr(items) => Term::Arr(items.map(|items| self.boxed(*items, &[])).transpose()?),
            Term::Obj(members) => self.object(members)?,
            Term::Neg(term) => Term::Neg(self.boxed(*term, &[])?),
            Term::BinOp(l, op, r) => self.operation(*l, op, *r, tail)?,
            Term::Label(label, body) => {
                self.scope.push(Name::Label(label));
                let body = self.boxed(*body, &[])?;
                self.scope.pop();
                Term::Label(label, body)
            }
            Term::Break(label) => self.break_out(label)?,
            Term::Fold(name, source, pattern, args) => self.fold(name, *source, pattern, args, tail)?,
            Term::TryCatch(body, catch) => {
                let catch = catch.map(|catch| self.boxed(*catch, &[])).transpose()?;
                Term::TryCatch(self.boxed(*body, &[])?, catch)
            }
            Term::IfThenElse(branches, otherwise) => {
                let branch = |(condition, then)| Ok((self.term(condition, &[])?, self.term(then, tail)?));
                let branches = branches.into_iter().map(branch).collect::<Checked<_>>()?;
                Term::IfThenElse(branches, otherwise.map(|other| self.boxed(*other, tail)).transpose()?)
            }
            Term::Def(defs, body) => self.definitions(defs, *body, tail)?,
            Term::Call(name, args) => self.call(name, args, tail)?,
            Term::Var(name) => self.variable(name)?,
            Term::Path(base, path) => Term::Path(self.boxed(*base, &[])?, self.path(path)?),
        })
    }

    fn boxed(&mut self, term: Tm<'s>, tail: &[usize]) -> Checked<Box<Tm<'s>>> {
        self.term(term, tail).map(Box::new)
    }

    fn text_term(&mut self, format: Option<&'s str>, parts: Vec<StrPart<&'s str, Tm<'s>>>) -> Checked<Tm<'s>> {
        if let Some(format) = format {
            self.call(format, Vec::new(), &[])?;
        }
        self.level += parts.len();
        let part = |part| match part {
            StrPart::Term(term) => self.term(term, &[]).map(StrPart::Term),
            StrPart::Str(text) => Ok(StrPart::Str(text)),
            StrPart::Char(found) => Ok(StrPart::Char(found)),
        };
        let count = parts.len();
        let parts = parts.into_iter().map(part).collect::<Checked<Vec<_>>>()?;
        self.level -= count;
        Ok(Term::Str(format, parts))
    }

    fn object(&mut self, members: Vec<(Tm<'s>, Option<Tm<'s>>)>) -> Checked<Tm<'s>> {
        // jaq adds the members up one by one: each is a level.
        let count = members.len();
        self.level += count;
        let mut checked = Vec::with_capacity(count);
        for (key, value) in members {
            let member = match (key, value) {
                (Term::Var("$__loc__"), None) => (text_of("__loc__"), Some(self.variable("$__loc__")?)),
                (key, value) => (self.term(key, &[])?, value.map(|value| self.term(value, &[])).transpose()?),
            };
            checked.push(member);
        }
        self.level -= count;
        Ok(Term::Obj(checked))
    }

    fn path(&mut self, path: Path<Tm<'s>>) -> Checked<Path<Tm<'s>>> {
        let part = |(part, opt)| {
            let part = match part {
                Part::Index(index) => Part::Index(self.term(index, &[])?),
                Part::Range(from, upto) => Part::Range(
                    from.map(|from| self.term(from, &[])).transpose()?,
                    upto.map(|upto| self.term(upto, &[])).transpose()?,
                ),
            };
            Ok((part, opt))
        };
        path.0.into_iter().map(part).collect::<Checked<_>>().map(Path)
    }

    fn operation(&mut self, l: Tm<'s>, op: BinaryOp<&'s str>, r: Tm<'s>, tail: &[usize]) -> Checked<Tm<'s>> {
        let op = match op {
            BinaryOp::Pipe(Some(pattern)) => return self.bind(l, pattern, r, tail),
            op => op,
        };
        let l = self.term(l, if matches!(op, BinaryOp::Comma) { tail } else { &[] })?;
        let passes = matches!(op, BinaryOp::Comma | BinaryOp::Alt | BinaryOp::Pipe(None));
        let r = self.term(r, if passes { tail } else { &[] })?;
        Ok(match op {
            BinaryOp::Math(_) | BinaryOp::Cmp(_) if !is_single(&l) && !is_single(&r) => {
                // jq runs through the right side first.
                bind(r, binary(l, op, Term::Var(HELD)))
            }
            BinaryOp::Update if !is_plain_path(&l) => self.added(MODIFY, vec![l, r]),
            BinaryOp::Assign if !is_plain_path(&l) => self.added(ASSIGN, vec![l, r]),
            BinaryOp::UpdateMath(math) if !is_plain_path(&l) => {
                let update = binary(Term::Id, BinaryOp::Math(math), Term::Var(HELD));
                bind(r, self.added(MODIFY, vec![l, update]))
            }
            BinaryOp::UpdateAlt if !is_plain_path(&l) => {
                let update = binary(Term::Id, BinaryOp::Alt, Term::Var(HELD));
                bind(r, self.added(MODIFY, vec![l, update]))
            }
            op => binary(l, op, r),
        })
    }

    /// A call of a function that the rewriting brings in.
    fn added(&mut self, name: &'static str, args: Vec<Tm<'s>>) -> Tm<'s> {
        self.calls.insert((name, args.len()));
        Term::Call(name, args)
    }

    fn bind(&mut self, l: Tm<'s>, pattern: Pattern<&'s str>, r: Tm<'s>, tail: &[usize]) -> Checked<Tm<'s>> {
        let l = self.term(l, &[])?;
        let before = self.scope.len();
        let pattern = self.pattern(pattern)?;
        let r = self.term(r, tail)?;
        self.scope.truncate(before);
        Ok(binary(l, BinaryOp::Pipe(Some(pattern)), r))
    }

    /// Checks a pattern and brings its variables into scope.
    fn pattern(&mut self, pattern: Pattern<&'s str>) -> Checked<Pattern<&'s str>> {
        self.level += 1;
        if self.level > MAX_TERMS {
            return Err(error(format!("expression is nested deeper than {MAX_TERMS} terms"), None));
        }
        let pattern = match pattern {
            Pattern::Var(name) => {
                self.scope.push(Name::Var(name));
                Pattern::Var(name)
            }
            Pattern::Arr(items) => {
                Pattern::Arr(items.into_iter().map(|item| self.pattern(item)).collect::<Checked<_>>()?)
            }
            Pattern::Obj(members) => {
                let member = |(key, value)| Ok((self.term(key, &[])?, self.pattern(value)?));
                Pattern::Obj(members.into_iter().map(member).collect::<Checked<_>>()?)
            }
        };
        self.level -= 1;
        Ok(pattern)
    }

    fn fold(
        &mut self,
        name: &'s str,
        source: Tm<'s>,
        pattern: Pattern<&'s str>,
        args: Vec<Tm<'s>>,
        tail: &[usize],
    ) -> Checked<Tm<'s>> {
        let fits = if name == "reduce" { args.len() == 2 } else { matches!(args.len(), 2 | 3) };
        if !fits {
            let message = format!("{name} takes {} filters", if name == "reduce" { "2" } else { "2 or 3" });
            return Err(error(message, self.offset(name)));
        }
        let source = self.boxed(source, &[])?;
        let before = self.scope.len();
        let mut args = args.into_iter();
        let mut checked = Vec::new();
        if let Some(start) = args.next() {
            checked.push(self.term(start, &[])?);
        }
        let pattern = self.pattern(pattern)?;
        if let Some(update) = args.next() {
            let update = self.term(update, &[])?;
            let many = name == "reduce" && !is_single(&update);
            checked.push(if many { self.added(LAST, vec![update]) } else { update });
        }
        if let Some(project) = args.next() {
            checked.push(self.term(project, tail)?);
        }
        self.scope.truncate(before);
        Ok(Term::Fold(name, source, pattern, checked))
    }

    fn definitions(&mut self, defs: Vec<Def<&'s str>>, body: Tm<'s>, tail: &[usize]) -> Checked<Tm<'s>> {
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
            self.scope.push(match arg.starts_with('$') {
                true => Name::Var(arg),
                false => Name::Argument { name: arg, guarded: recursive },
            });
        }
        let tail: Vec<usize> = tail.iter().copied().chain([id]).collect();
        let body = self.term(body, &tail)?;
        self.scope.truncate(before);
        self.scope.push(Name::Def { name, arity, id, open: false, takes_filters });
        let tick = self.added(TICK, Vec::new());
        Ok(Def { name, args, body: binary(tick, BinaryOp::Pipe(None), body) })
    }

    fn call(&mut self, name: &'s str, args: Vec<Tm<'s>>, tail: &[usize]) -> Checked<Tm<'s>> {
        let arity = args.len();
        let found = self.scope.iter().rev().find_map(|entry| match entry {
            Name::Argument { name: other, guarded } if *other == name && arity == 0 => Some(*guarded),
            Name::Def { name: other, arity: count, id, open, takes_filters } if *other == name && *count == arity => {
                Some(*open && (*takes_filters || !tail.contains(id)))
            }
            _ => None,
        });
        let args = args.into_iter().map(|arg| self.term(arg, &[])).collect::<Checked<Vec<_>>>()?;
        let call = Term::Call(name, args);
        match found {
            Some(true) => Ok(self.added(GUARD, vec![call])),
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
        let counts: BTreeSet<usize> = all.iter().filter(|(other, _)| *other == name).map(|(_, count)| *count).collect();
        let help = if counts.is_empty() {
            closest(name, all.iter().map(|(name, _)| *name)).map(|other| format!("did you mean `{other}`?"))
        } else {
            let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
            Some(format!("`{name}` takes {} arguments", counts.join(" or ")))
        };
        let message = format!("unknown function `{name}/{arity}`");
        ExprError { message, offset: self.offset(name), help }
    }

    fn variable(&mut self, name: &'s str) -> Checked<Tm<'s>> {
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
        let line = before.matches('\n').count() + 1;
        let line: &'s str = self.lines.alloc(line.to_string());
        Term::Obj(vec![
            (text_of("file"), Some(text_of("<top-level>"))),
            (text_of("line"), Some(Term::Num(line))),
        ])
    }

    fn break_out(&self, label: &'s str) -> Checked<Tm<'s>> {
        let known = self.scope.iter().any(|entry| matches!(entry, Name::Label(other) if *other == label));
        if known {
            return Ok(Term::Break(label));
        }
        Err(error(format!("unknown label `{label}`"), self.offset(label)))
    }

    /// The byte offset of a name that is a part of the text.
    fn offset(&self, name: &str) -> Option<usize> {
        super::offset_in(self.text, name)
    }
}

fn error(message: impl Into<String>, offset: Option<usize>) -> ExprError {
    ExprError { message: message.into(), offset, help: None }
}

fn text_of(text: &str) -> Tm<'_> {
    Term::Str(None, vec![StrPart::Str(text)])
}

fn binary<'s>(l: Tm<'s>, op: BinaryOp<&'s str>, r: Tm<'s>) -> Tm<'s> {
    Term::BinOp(Box::new(l), op, Box::new(r))
}

/// `value as $held | body`.
fn bind<'s>(value: Tm<'s>, body: Tm<'s>) -> Tm<'s> {
    binary(value, BinaryOp::Pipe(Some(Pattern::Var(HELD))), body)
}

/// Whether a term has exactly one output (or an error), as far as its form shows.
fn is_single(term: &Tm) -> bool {
    match term {
        Term::Id | Term::Num(_) | Term::Var(_) | Term::Arr(_) => true,
        Term::Str(_, parts) => parts.iter().all(|part| !matches!(part, StrPart::Term(term) if !is_single(term))),
        Term::Neg(term) => is_single(term),
        Term::Obj(members) => {
            members.iter().all(|(key, value)| is_single(key) && value.as_ref().is_none_or(is_single))
        }
        Term::BinOp(l, BinaryOp::Pipe(_) | BinaryOp::Math(_) | BinaryOp::Cmp(_) | BinaryOp::And | BinaryOp::Or, r) => {
            is_single(l) && is_single(r)
        }
        Term::BinOp(_, BinaryOp::Assign | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt, r) => is_single(r),
        Term::BinOp(_, BinaryOp::Update, _) => true,
        Term::IfThenElse(branches, otherwise) => {
            branches.iter().all(|(condition, then)| is_single(condition) && is_single(then))
                && otherwise.as_deref().is_none_or(is_single)
        }
        Term::Path(base, path) => is_single(base) && path.0.iter().all(|(part, opt)| is_single_part(part, opt)),
        Term::Call(name, args) => {
            (natives::is_single(name, args.len()) || *name == LAST || *name == MODIFY) && args.iter().all(is_single)
        }
        _ => false,
    }
}

fn is_single_part(part: &Part<Tm>, opt: &jaq_core::path::Opt) -> bool {
    matches!(opt, jaq_core::path::Opt::Essential)
        && match part {
            Part::Index(index) => is_single(index),
            Part::Range(None, None) => false,
            Part::Range(from, upto) => from.iter().chain(upto).all(is_single),
        }
}

/// Whether updates through a term can be left to jaq: steps into the input, each to one place.
fn is_plain_path(term: &Tm) -> bool {
    match term {
        Term::Path(base, path) => {
            let plain = |part: &Part<Tm>| match part {
                Part::Index(index) => is_single(index),
                Part::Range(from, upto) => from.iter().chain(upto).all(is_single),
            };
            (matches!(**base, Term::Id) || is_plain_path(base)) && path.0.iter().all(|(part, _)| plain(part))
        }
        Term::BinOp(l, BinaryOp::Pipe(None), r) => is_plain_path(l) && is_plain_path(r),
        _ => false,
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

/// Tells every function call in a term by name and number of arguments.
pub(super) fn calls<'s>(term: &Tm<'s>, tell: &mut dyn FnMut(&'s str, usize)) {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => {}
        Term::Str(format, parts) => {
            if let Some(format) = format {
                tell(format, 0);
            }
            for part in parts {
                if let StrPart::Term(term) = part {
                    calls(term, tell);
                }
            }
        }
        Term::Arr(items) => items.iter().for_each(|items| calls(items, tell)),
        Term::Obj(members) => {
            for (key, value) in members {
                calls(key, tell);
                value.iter().for_each(|value| calls(value, tell));
            }
        }
        Term::Neg(term) | Term::Label(_, term) => calls(term, tell),
        Term::BinOp(l, op, r) => {
            if let BinaryOp::Pipe(Some(pattern)) = op {
                pattern_calls(pattern, tell);
            }
            calls(l, tell);
            calls(r, tell);
        }
        Term::Fold(_, source, pattern, args) => {
            calls(source, tell);
            pattern_calls(pattern, tell);
            args.iter().for_each(|arg| calls(arg, tell));
        }
        Term::TryCatch(body, catch) => {
            calls(body, tell);
            catch.iter().for_each(|catch| calls(catch, tell));
        }
        Term::IfThenElse(branches, otherwise) => {
            for (condition, then) in branches {
                calls(condition, tell);
                calls(then, tell);
            }
            otherwise.iter().for_each(|other| calls(other, tell));
        }
        Term::Def(defs, body) => {
            defs.iter().for_each(|def| calls(&def.body, tell));
            calls(body, tell);
        }
        Term::Call(name, args) => {
            tell(name, args.len());
            args.iter().for_each(|arg| calls(arg, tell));
        }
        Term::Path(base, path) => {
            calls(base, tell);
            for (part, _) in &path.0 {
                match part {
                    Part::Index(index) => calls(index, tell),
                    Part::Range(from, upto) => from.iter().chain(upto).for_each(|bound| calls(bound, tell)),
                }
            }
        }
    }
}

fn pattern_calls<'s>(pattern: &Pattern<&'s str>, tell: &mut dyn FnMut(&'s str, usize)) {
    match pattern {
        Pattern::Var(_) => {}
        Pattern::Arr(items) => items.iter().for_each(|item| pattern_calls(item, tell)),
        Pattern::Obj(members) => {
            for (key, value) in members {
                calls(key, tell);
                pattern_calls(value, tell);
            }
        }
    }
}
