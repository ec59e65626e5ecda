//! The tests of a leaf.

use core::net::IpAddr;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::value::{Number, Value};
use crate::wildcard::Wildcard;

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// The very value: text, number, boolean or null.
    Equal(Value),
    /// There is a leaf.
    Present,
    /// There is none; judged by the field, which knows the way to it.
    Absent,
    /// A text that begins so.
    Prefix(Text),
    /// A text that ends so.
    Suffix(Text),
    /// A text, whatever its case.
    SameFolded(Text),
    /// A text with wildcards.
    Like(Arc<str>, Wildcard),
    /// None of these tests hold.
    Not(Vec<Test>),
    /// A number that passes all comparisons.
    Numeric(Vec<(Comparison, Number)>),
    /// An address of a network.
    Within(Network),
}

/// A text to compare with, perhaps whatever its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: Arc<str>,
    /// In lower case, when case does not count.
    pub(super) folded: Option<Arc<str>>,
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(super) const WORDS: [(&'static str, Comparison); 5] = [
        ("=", Comparison::Equal),
        ("<", Comparison::Less),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        (">=", Comparison::GreaterOrEqual),
    ];

    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    length: u32,
}

impl Network {
    /// `10.0.0.0/8` or `2001:db8::/32`.
    pub(super) fn parse(text: &str) -> Option<Network> {
        let (address, length) = text.split_once('/')?;
        let network = Network { address: address.parse().ok()?, length: length.parse().ok()? };
        (network.length <= bits(network.address).1).then_some(network)
    }

    fn holds(self, text: &str) -> bool {
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        let ((own, width), (other, other_width)) = (bits(self.address), bits(address));
        let differing = own ^ other;
        // Shifting by the whole width is no shift.
        width == other_width && differing.checked_shr(width - self.length).unwrap_or_default() == 0
    }
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl Text {
    pub(super) fn exact(text: &str) -> Text {
        Text { text: text.into(), folded: None }
    }

    pub(super) fn folded(text: &str) -> Text {
        Text { text: text.into(), folded: Some(text.to_lowercase().into()) }
    }

    fn passes(&self, text: &str, test: fn(&str, &str) -> bool) -> bool {
        match &self.folded {
            Some(folded) => test(&text.to_lowercase(), folded),
            None => test(text, &self.text),
        }
    }
}

impl Test {
    /// Whether a leaf passes.
    pub(super) fn holds(&self, leaf: &Value) -> bool {
        let text = |test: &dyn Fn(&str) -> bool| leaf.as_str().is_some_and(test);
        match self {
            Test::Equal(value) => value == leaf,
            Test::Present => true,
            Test::Absent => false,
            Test::Prefix(wanted) => text(&|text| wanted.passes(text, |a, b| a.starts_with(b))),
            Test::Suffix(wanted) => text(&|text| wanted.passes(text, |a, b| a.ends_with(b))),
            Test::SameFolded(wanted) => text(&|text| wanted.passes(text, |a, b| a == b)),
            Test::Like(_, wildcard) => text(&|text| wildcard.matches(text)),
            Test::Not(tests) => !tests.iter().any(|test| test.holds(leaf)),
            Test::Numeric(limits) => match leaf {
                Value::Number(number) => {
                    limits.iter().all(|(comparison, limit)| comparison.holds(number.total_cmp(limit)))
                }
                _ => false,
            },
            Test::Within(network) => text(&|text| network.holds(text)),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = if self.folded.is_some() { ", whatever its case" } else { "" };
        write!(f, "{}{case}", Value::text(self.text.clone()))
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Test::Equal(value) => write!(f, "equals {value}"),
            Test::Present => f.write_str("is there"),
            Test::Absent => f.write_str("is not there"),
            Test::Prefix(text) => write!(f, "begins with {text}"),
            Test::Suffix(text) => write!(f, "ends with {text}"),
            Test::SameFolded(text) => write!(f, "equals {text}"),
            Test::Like(text, _) => write!(f, "is like {}", Value::text(text.clone())),
            Test::Not(tests) => write!(f, "is there, and nothing that {}", Joined(tests, " or ")),
            Test::Numeric(limits) => {
                let sign = |wanted| {
                    Comparison::WORDS.iter().find(|(_, word)| *word == wanted).map_or("", |(sign, _)| sign)
                };
                let limits: Vec<_> = limits
                    .iter()
                    .map(|(comparison, limit)| format!("{} {limit}", sign(*comparison)))
                    .collect();
                write!(f, "is a number {}", limits.join(" and "))
            }
            Test::Within(network) => write!(f, "is an address of {}/{}", network.address, network.length),
        }
    }
}

/// Tests in one line.
pub(super) struct Joined<'t>(pub(super) &'t [Test], pub(super) &'static str);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, test) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(self.1)?;
            }
            test.fmt(f)?;
        }
        Ok(())
    }
}
