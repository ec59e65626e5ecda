//! Checking and rewriting a parsed program before jaq compiles it.
//!
//! Owns the names: variables, functions and labels that do not exist are refused here, with a
//! place and a suggestion. Rewrites what jaq does otherwise than jq 1.7, and counts recursion.

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::{Part, Path};

use super::ExprError;
use super::control::{LAST, MODIFY};
use super::prelude::{ASSIGN, Signature};
use super::syntax::{is_plain_path, is_single};

/// The deepest nesting of a program's terms.
pub(super) const MAX_TERMS: usize = 300;

/// The variable that rewritten programs use; no program can write it.
const HELD: &str = "$!held";

pub(super) type Tm<'s> = Term<&'s str>;
pub(super) type Checked<T> = Result<T, ExprError>;

/// A program after checking.
pub(super) struct Program<'s> {
    pub(super) term: Tm<'s>,
    /// Arguments it reads, with `$`.
    pub(super) vars: BTreeSet<&'s str>,
    /// Functions of the prelude and native ones it calls.
    pub(super) calls: BTreeSet<Signature<'s>>,
    /// The depth of its terms.
    pub(super) levels: usize,
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
        deepest: 0,
        start: 0,
        vars: BTreeSet::new(),
        calls: BTreeSet::new(),
    };
    let term = checker.term(term, &[])?;
    Ok(Program { term, vars: checker.vars, calls: checker.calls, levels: checker.deepest })
}

/// A name that is visible at some place of the program.
pub(super) enum Name<'s> {
    Var(&'s str),
    Label(&'s str),
    /// A filter that is an argument; guarded when it may grow with recursion.
    Argument {
        name: &'s str,
        guarded: bool,
    },
    /// A definition; `open` while its own body is checked.
    Def {
        name: &'s str,
        arity: usize,
        id: usize,
        open: bool,
        takes_filters: bool,
    },
}

pub(super) struct Checker<'s, 'k> {
    pub(super) text: &'s str,
    pub(super) known: &'k [&'k str],
    pub(super) lines: &'s jaq_core::load::Arena,
    pub(super) scope: Vec<Name<'s>>,
    pub(super) next_id: usize,
    /// The nesting of the term being checked.
    pub(super) level: usize,
    pub(super) deepest: usize,
    /// The nesting at which the body of the definition being checked begins.
    pub(super) start: usize,
    pub(super) vars: BTreeSet<&'s str>,
    pub(super) calls: BTreeSet<Signature<'s>>,
}

impl<'s> Checker<'s, '_> {
    /// Checks one term. `tail` holds the definitions whose calls here are tail calls.
    pub(super) fn term(&mut self, term: Tm<'s>, tail: &[usize]) -> Checked<Tm<'s>> {
        self.level += 1;
        if self.level > MAX_TERMS {
            return Err(error(format!("expression is nested deeper than {MAX_TERMS} terms"), None));
        }
        self.deepest = self.deepest.max(self.level);
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

    pub(super) fn boxed(&mut self, term: Tm<'s>, tail: &[usize]) -> Checked<Box<Tm<'s>>> {
        self.term(term, tail).map(Box::new)
    }

    fn text_term(
        &mut self,
        format: Option<&'s str>,
        parts: Vec<StrPart<&'s str, Tm<'s>>>,
    ) -> Checked<Tm<'s>> {
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
    pub(super) fn added(&mut self, name: &'static str, args: Vec<Tm<'s>>) -> Tm<'s> {
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

    // One argument for each part of the term.
    #[allow(clippy::too_many_arguments)]
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
}

pub(super) fn error(message: impl Into<String>, offset: Option<usize>) -> ExprError {
    ExprError { message: message.into(), offset, help: None }
}

pub(super) fn text_of(text: &str) -> Tm<'_> {
    Term::Str(None, vec![StrPart::Str(text)])
}

pub(super) fn binary<'s>(l: Tm<'s>, op: BinaryOp<&'s str>, r: Tm<'s>) -> Tm<'s> {
    Term::BinOp(Box::new(l), op, Box::new(r))
}

/// `value as $held | body`.
fn bind<'s>(value: Tm<'s>, body: Tm<'s>) -> Tm<'s> {
    binary(value, BinaryOp::Pipe(Some(Pattern::Var(HELD))), body)
}
