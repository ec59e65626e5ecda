//! From the text of an expression to what evaluates it.

use std::sync::Arc;

use jaq_core::load::{Arena, File, Lexer, Loader, Parser, lex, parse};

use super::natives::{self, Data};
use super::plan::Plan;
use super::{ExprError, check, offset_in, prelude, rewrite, scan};

/// The most bytes of an expression.
pub const MAX_TEXT: usize = 64 << 10;

/// The deepest nesting of brackets in an expression.
pub const MAX_BRACKETS: usize = 64;

/// The most tokens of an expression that can nest without brackets, such as operators.
const MAX_OPERATORS: usize = 4000;

/// The most tokens of an expression for which the parser recurses without brackets.
const MAX_PREFIXES: usize = 400;

/// Those tokens.
const PREFIXES: [&str; 7] = ["-", "try", "reduce", "foreach", "def", "if", "label"];

/// A compiled expression.
pub(super) struct Program {
    pub(super) text: Arc<str>,
    /// The arguments it reads, without `$`.
    pub(super) vars: Vec<Arc<str>>,
    pub(super) body: Body,
    /// The depth of its terms.
    pub(super) levels: usize,
}

/// What evaluates an expression.
pub(super) enum Body {
    Plan(Plan),
    Filter(jaq_core::Filter<Data>),
}

/// The name of the program among the definitions given to jaq.
const MAIN: &str = "_main";

/// Compiles `text`; `short` allows the way around jaq.
pub(super) fn compile(text: &str, known: &[&str], short: bool) -> Result<Program, ExprError> {
    measure(text)?;
    let Some((written, kept)) = rewrite::known(text) else {
        return read(text, known, short);
    };
    let program = measure(&written).and_then(|()| read(&written, known, short));
    let program = program
        .map_err(|error| ExprError { offset: error.offset.filter(|offset| *offset <= kept), ..error })?;
    Ok(Program { text: text.into(), ..program })
}

/// Compiles text that jaq reads.
fn read(text: &str, known: &[&str], short: bool) -> Result<Program, ExprError> {
    let lines = Arena::default();
    let tokens = Lexer::new(text).lex().map_err(|errors| lex_error(text, &errors))?;
    count_operators(&tokens, &mut (0, 0))?;
    let parser = Parser::new(&tokens);
    let term = parser.parse(Parser::term).map_err(|errors| parse_error(text, &errors))?;
    let program = check::check(term, text, known, &lines)?;
    let vars = program.vars.iter().map(|name| Arc::from(&name[1..])).collect();
    let levels = program.levels;
    let plan = if short { Plan::of(&program.term) } else { None };
    let body = match plan {
        Some(plan) => Body::Plan(plan),
        None => Body::Filter(filter(program)?),
    };
    Ok(Program { text: text.into(), vars, body, levels })
}

/// Refuses text that is too long or too deep for the parser, before it runs.
fn measure(text: &str) -> Result<(), ExprError> {
    let refuse = |message: String| Err(ExprError { message, offset: None, help: None });
    if text.len() > MAX_TEXT {
        return refuse(format!("expression is longer than {MAX_TEXT} bytes (expression size)"));
    }
    if scan::bracket_depth(text) > MAX_BRACKETS {
        return refuse(format!("brackets are nested deeper than {MAX_BRACKETS} (expression nesting)"));
    }
    Ok(())
}

/// Counts the tokens that can nest terms, all of them and [`PREFIXES`].
fn count_operators(
    tokens: &[lex::Token<&str>],
    (all, prefixes): &mut (usize, usize),
) -> Result<(), ExprError> {
    for lex::Token(text, token) in tokens {
        match token {
            lex::Tok::Block(tokens) => count_operators(tokens, &mut (*all, *prefixes))?,
            lex::Tok::Str(parts) => {
                for part in parts {
                    if let lex::StrPart::Term(token) = part {
                        count_operators(std::slice::from_ref(token), &mut (*all, *prefixes))?;
                    }
                }
            }
            lex::Tok::Word | lex::Tok::Sym => {
                *all += 1;
                *prefixes += usize::from(PREFIXES.contains(text));
            }
            _ => {}
        }
        if *all > MAX_OPERATORS || *prefixes > MAX_PREFIXES {
            let message = "expression has too many names and operators (expression size)".to_owned();
            return Err(ExprError { message, offset: None, help: None });
        }
    }
    Ok(())
}

fn filter(program: check::Program) -> Result<jaq_core::Filter<Data>, ExprError> {
    let needed = prelude::needed(&program.calls);
    let main = parse::Def { name: MAIN, args: Vec::new(), body: program.term };
    let loader = Loader::new(needed.defs.into_iter().chain([main]));
    let arena = Arena::default();
    let broken =
        |what: &str| ExprError { message: format!("cannot be compiled: {what}"), offset: None, help: None };
    let modules = loader.load(&arena, File { code: MAIN, path: () }).map_err(|_| broken("loading failed"))?;
    let functions = natives::functions(|name, arity| needed.natives.contains(&(name, arity)));
    jaq_core::Compiler::default()
        .with_funs(functions)
        .with_global_vars(program.vars)
        .compile(modules)
        .map_err(|errors| {
            let names = errors.iter().flat_map(|(_, errors)| errors);
            let names: Vec<String> =
                names.map(|(name, kind)| format!("unknown {} `{name}`", kind.as_str())).collect();
            broken(&names.join(", "))
        })
}

fn lex_error(text: &str, errors: &[lex::Error<&str>]) -> ExprError {
    let Some((expected, found)) = errors.first() else {
        return ExprError { message: "syntax error".to_owned(), offset: None, help: None };
    };
    let found_text = found.chars().next().map_or("the end".to_owned(), |found| format!("`{found}`"));
    let message = format!("syntax error: expected {}, found {found_text}", expected.as_str());
    ExprError { message, offset: offset_in(text, found), help: None }
}

fn parse_error(text: &str, errors: &[parse::TError<&str>]) -> ExprError {
    let Some((expected, found)) = errors.first() else {
        return ExprError { message: "syntax error".to_owned(), offset: None, help: None };
    };
    let (found_text, offset) = match found {
        Some(token) => {
            let first: String = token.as_str().chars().take(20).collect();
            (format!("`{first}`"), offset_in(text, token.as_str()))
        }
        None => ("the end".to_owned(), Some(text.len())),
    };
    let message = format!("syntax error: expected {}, found {found_text}", expected.as_str());
    ExprError { message, offset, help: None }
}
