//! Questions about the form of programs: what they call, how many results they have.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::{Opt, Part};

use super::control::{LAST, MODIFY};
use super::natives;

type Tm<'s> = Term<&'s str>;

/// Whether a term has exactly one output (or an error), as far as its form shows.
pub(super) fn is_single(term: &Tm) -> bool {
    match term {
        Term::Id | Term::Num(_) | Term::Var(_) | Term::Arr(_) | Term::BinOp(_, BinaryOp::Update, _) => true,
        Term::Str(_, parts) => {
            parts.iter().all(|part| !matches!(part, StrPart::Term(term) if !is_single(term)))
        }
        Term::Neg(term) => is_single(term),
        Term::Obj(members) => {
            members.iter().all(|(key, value)| is_single(key) && value.as_ref().is_none_or(is_single))
        }
        Term::BinOp(
            l,
            BinaryOp::Pipe(_) | BinaryOp::Math(_) | BinaryOp::Cmp(_) | BinaryOp::And | BinaryOp::Or,
            r,
        ) => is_single(l) && is_single(r),
        Term::BinOp(_, BinaryOp::Assign | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt, r) => is_single(r),
        Term::IfThenElse(branches, otherwise) => {
            branches.iter().all(|(condition, then)| is_single(condition) && is_single(then))
                && otherwise.as_deref().is_none_or(is_single)
        }
        Term::Path(base, path) => {
            is_single(base) && path.0.iter().all(|(part, opt)| is_single_part(part, *opt))
        }
        Term::Call(name, args) => {
            (natives::is_single(name, args.len()) || *name == LAST || *name == MODIFY)
                && args.iter().all(is_single)
        }
        _ => false,
    }
}

fn is_single_part(part: &Part<Tm>, opt: Opt) -> bool {
    matches!(opt, Opt::Essential)
        && match part {
            Part::Index(index) => is_single(index),
            Part::Range(None, None) => false,
            Part::Range(from, upto) => from.iter().chain(upto).all(is_single),
        }
}

/// Whether updates through a term can be left to jaq: steps into the input, each to one place.
pub(super) fn is_plain_path(term: &Tm) -> bool {
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

/// Tells every function call in a term by name and number of arguments.
#[allow(clippy::needless_for_each)] // options and lists alike, in one line each
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

#[allow(clippy::needless_for_each)]
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
