//! Tokens to a tree, by precedence: functions, unary operators, LIKE, EXISTS and IN, products, sums, comparisons,
//! logic; equals from left to right (specification, section 3.6).

use super::functions;
use super::lexer::{Kind, Token, tokens};
use super::tree::{Call, Operator, Tree};
use super::{MAX_NESTING, SyntaxError};
use crate::event::is_attribute_name;
use crate::wildcard::Wildcard;

type Read<T> = Result<T, SyntaxError>;

/// Words that name no attribute.
const KEYWORDS: [&str; 9] = ["and", "or", "xor", "not", "like", "exists", "in", "true", "false"];

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Read<Tree> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let tree = parser.expression(1)?;
    match parser.token().kind {
        Kind::End => Ok(tree),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn token(&self) -> &Token {
        &self.tokens[self.at]
    }

    /// Goes on, but never behind the end.
    fn step(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn is_keyword(&self, ahead: usize, word: &str) -> bool {
        let token = self.tokens.get(self.at + ahead);
        token
            .is_some_and(|token| matches!(&token.kind, Kind::Word(found) if found.eq_ignore_ascii_case(word)))
    }

    fn is_sign(&self, ahead: usize, sign: &str) -> bool {
        self.tokens
            .get(self.at + ahead)
            .is_some_and(|token| matches!(token.kind, Kind::Sign(found) if found == sign))
    }

    fn take_keyword(&mut self, word: &str) -> bool {
        let found = self.is_keyword(0, word);
        if found {
            self.step();
        }
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(0, sign);
        if found {
            self.step();
        }
        found
    }

    fn error(&self, message: String) -> SyntaxError {
        SyntaxError { offset: self.token().offset, message, help: None }
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        self.error(match &self.token().kind {
            Kind::End => format!("expected {wanted}, found the end"),
            Kind::Word(word) | Kind::Integer(word) => format!("expected {wanted}, found `{word}`"),
            Kind::Text(text) => format!("expected {wanted}, found the text '{text}'"),
            Kind::Sign(sign) => format!("expected {wanted}, found `{sign}`"),
        })
    }

    fn close(&mut self) -> Read<()> {
        if self.take_sign(")") { Ok(()) } else { Err(self.unexpected("`)`")) }
    }

    /// Operators that bind at least so strongly.
    fn expression(&mut self, least: u8) -> Read<Tree> {
        let mut left = self.unary()?;
        loop {
            let negated =
                self.is_keyword(0, "not") && (self.is_keyword(1, "like") || self.is_keyword(1, "in"));
            if negated {
                self.step();
            }
            let value = Box::new(left);
            if self.take_keyword("like") {
                left = Tree::Like { value, pattern: self.pattern()?, negated };
            } else if self.take_keyword("in") {
                left = Tree::In { value, set: self.set()?, negated };
            } else if let Some(operator) = self.operator().filter(|operator| operator.strength() >= least) {
                self.step();
                let right = self.expression(operator.strength() + 1)?;
                left = Tree::Binary(operator, Box::new((*value, right)));
            } else {
                return Ok(*value);
            }
        }
    }

    fn operator(&self) -> Option<Operator> {
        Some(match &self.token().kind {
            Kind::Word(_) if self.is_keyword(0, "and") => Operator::And,
            Kind::Word(_) if self.is_keyword(0, "or") => Operator::Or,
            Kind::Word(_) if self.is_keyword(0, "xor") => Operator::Xor,
            Kind::Sign("=") => Operator::Equal,
            Kind::Sign("!=" | "<>") => Operator::Unequal,
            Kind::Sign("<") => Operator::Less,
            Kind::Sign("<=") => Operator::LessOrEqual,
            Kind::Sign(">") => Operator::Greater,
            Kind::Sign(">=") => Operator::GreaterOrEqual,
            Kind::Sign("+") => Operator::Add,
            Kind::Sign("-") => Operator::Subtract,
            Kind::Sign("*") => Operator::Multiply,
            Kind::Sign("/") => Operator::Divide,
            Kind::Sign("%") => Operator::Remainder,
            _ => return None,
        })
    }

    /// The pattern of LIKE, which must be a literal.
    fn pattern(&mut self) -> Read<Wildcard> {
        let Kind::Text(text) = &self.token().kind else {
            return Err(self.unexpected("a text in quotes as the pattern of LIKE"));
        };
        let pattern = Wildcard::like(text);
        self.step();
        Ok(pattern)
    }

    fn set(&mut self) -> Read<Vec<Tree>> {
        if !self.take_sign("(") {
            return Err(self.unexpected("`(`"));
        }
        self.list(false)
    }

    /// Expressions up to `)`.
    fn list(&mut self, may_be_empty: bool) -> Read<Vec<Tree>> {
        self.deeper(|parser| {
            let mut items = Vec::new();
            if may_be_empty && parser.take_sign(")") {
                return Ok(items);
            }
            loop {
                items.push(parser.expression(1)?);
                if !parser.take_sign(",") {
                    parser.close()?;
                    return Ok(items);
                }
            }
        })
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Parser) -> Read<T>) -> Read<T> {
        if self.depth == MAX_NESTING {
            return Err(self.error(format!("more than {MAX_NESTING} levels (limit cesql-nesting)")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn unary(&mut self) -> Read<Tree> {
        if self.take_keyword("not") {
            return Ok(Tree::Not(Box::new(self.deeper(Parser::unary)?)));
        }
        let minus = self.is_sign(0, "-");
        let next = self.tokens.get(self.at + 1).map(|token| &token.kind);
        if (minus || self.is_sign(0, "+")) && matches!(next, Some(Kind::Integer(_))) {
            self.step();
            return self.integer(minus);
        }
        if self.take_sign("-") {
            return Ok(Tree::Negate(Box::new(self.deeper(Parser::unary)?)));
        }
        self.primary()
    }

    fn integer(&mut self, negative: bool) -> Read<Tree> {
        let Kind::Integer(digits) = &self.token().kind else {
            return Err(self.unexpected("an integer"));
        };
        let signed = if negative { format!("-{digits}") } else { digits.clone() };
        let Ok(number) = signed.parse() else {
            return Err(self.error(format!("{signed} does not fit into 32 bits")));
        };
        self.step();
        Ok(Tree::Integer(number))
    }

    fn primary(&mut self) -> Read<Tree> {
        let Token { kind, offset } = self.token().clone();
        match kind {
            Kind::Integer(_) => return self.integer(false),
            Kind::Text(text) => {
                self.step();
                return Ok(Tree::Text(text.into()));
            }
            Kind::Sign("(") => {
                self.step();
                return self.deeper(|parser| {
                    let inner = parser.expression(1)?;
                    parser.close().map(|()| inner)
                });
            }
            Kind::Word(_) => {}
            _ => return Err(self.unexpected("a value")),
        }
        for (word, value) in [("true", true), ("false", false)] {
            if self.take_keyword(word) {
                return Ok(Tree::Boolean(value));
            }
        }
        if self.take_keyword("exists") {
            return self.name().map(|name| Tree::Exists(name.into()));
        }
        if self.is_sign(1, "(") && !self.at_keyword() {
            return self.call(offset);
        }
        self.name().map(|name| Tree::Attribute(name.into()))
    }

    fn at_keyword(&self) -> bool {
        KEYWORDS.iter().any(|word| self.is_keyword(0, word))
    }

    /// The name of an attribute; case does not count.
    fn name(&mut self) -> Read<String> {
        let name = match &self.token().kind {
            Kind::Word(word) if !self.at_keyword() => word.to_ascii_lowercase(),
            _ => return Err(self.unexpected("the name of an attribute")),
        };
        if !is_attribute_name(&name) {
            return Err(self.error(format!("`{name}` is no name of an attribute: letters and digits only")));
        }
        self.step();
        Ok(name)
    }

    fn call(&mut self, offset: usize) -> Read<Tree> {
        let Kind::Word(word) = &self.token().kind else {
            return Err(self.unexpected("a function"));
        };
        let name = word.to_ascii_uppercase();
        let sound = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if !sound {
            return Err(self.error(format!("`{word}` cannot be the name of a function")));
        }
        self.step();
        self.step();
        let arguments = self.list(true)?;
        let function = functions::find(&name, arguments.len());
        Ok(Tree::Call(Call { function, name: name.into(), offset, arguments }))
    }
}
