//! The matcher against judging every rule by itself.

use super::*;
use crate::cesql::Expr;
use crate::event::Data;
use crate::filter::Attributes;

/// A small generator of numbers with a fixed seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len())]
    }
}

const TYPES: [&str; 7] =
    ["a", "ab", "abc", "b", "io.serverlessworkflow.task.started.v1", "\u{e9}a", "a\u{e9}"];
const TEXTS: [&str; 6] = ["in/a", "in/", "a", "\u{e9}", "in/a.csv", ".csv"];
const NAMES: [&str; 4] = ["type", "subject", "source", "ext"];
const SOURCES: [&str; 3] = ["", "orders", "uploads"];

fn attributes(dice: &mut Dice) -> Attributes {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for _ in 0..=dice.roll(2) {
        let name = dice.pick(&NAMES);
        let text = if name == "type" { dice.pick(&TYPES) } else { dice.pick(&TEXTS) };
        if pairs.iter().all(|(known, _)| &**known != name) {
            pairs.push((name.into(), text.into()));
        }
    }
    Attributes::new(pairs)
}

fn filter(dice: &mut Dice, depth: usize) -> Filter {
    let list = |dice: &mut Dice| (0..=dice.roll(2)).map(|_| filter(dice, depth - 1)).collect();
    match dice.roll(if depth == 0 { 5 } else { 10 }) {
        0..=2 => Filter::Exact(attributes(dice)),
        3 => Filter::Prefix(attributes(dice)),
        4 => Filter::Suffix(attributes(dice)),
        5 => Filter::All(list(dice)),
        6 | 7 => Filter::Any(list(dice)),
        8 => Filter::Sql(expression(dice)),
        _ => Filter::Not(Box::new(filter(dice, depth - 1))),
    }
}

fn expression(dice: &mut Dice) -> Expr {
    let mut parts = Vec::new();
    for at in 0..=dice.roll(2) {
        parts.push(if at == 0 { "" } else { dice.pick(&[" AND ", " OR "]) }.to_owned());
        let (name, other) = (dice.pick(&NAMES), dice.pick(&NAMES));
        let value = if name == "type" { dice.pick(&TYPES) } else { dice.pick(&TEXTS) };
        parts.push(match dice.roll(4) {
            0 => format!("{name} IN ('{value}', 'b')"),
            1 => format!("{name} = {other}"),
            2 => format!("{name} LIKE '{value}%'"),
            _ => format!("{name} = '{value}'"),
        });
    }
    Expr::parse(&parts.concat()).unwrap()
}

const PATTERNS: [&str; 7] = [
    "{a: [x]}",
    "{a: [x, 1], b: {c: [1]}}",
    "{b: {c: [1.0, null]}}",
    "{b: {c: [1]}, $or: [{a: [x]}, {a: [y]}]}",
    "{a: [{anything-but: x}]}",
    "{l: {k: [v], n: [2]}}",
    "{a: [{exists: false}]}",
];
const PAYLOADS: [&str; 7] = [
    "{\"a\":\"x\"}",
    "{\"a\":[\"x\",1],\"b\":{\"c\":1}}",
    "{\"a\":\"y\",\"b\":{\"c\":1.0}}",
    "{\"l\":[{\"k\":\"v\",\"n\":1},{\"k\":\"v\",\"n\":2}]}",
    "{\"l\":[{\"k\":\"v\",\"n\":1},{\"k\":\"w\",\"n\":2}]}",
    "[{\"a\":\"x\"},{\"a\":\"x\"}]",
    "\"x\"",
];

fn pattern(text: &str) -> Pattern {
    let node = crate::yaml::parse(text).unwrap();
    let sink = crate::reader::Sink::new(text);
    crate::pattern::read(&crate::reader::Place::root(&node), &sink).unwrap()
}

fn rule(dice: &mut Dice) -> MatchRule {
    MatchRule {
        source: (dice.roll(3) == 0).then(|| dice.pick(&SOURCES[1..]).into()),
        filters: (0..dice.roll(3)).map(|_| filter(dice, 2)).collect(),
        data: (dice.roll(4) == 0).then(|| pattern(dice.pick(&PATTERNS))),
        enabled: dice.roll(10) != 0,
    }
}

fn event(dice: &mut Dice) -> Event {
    let mut event = posted(dice.pick(&TYPES));
    event.source = dice.pick(&TEXTS).into();
    event.subject = (dice.roll(3) != 0).then(|| dice.pick(&TEXTS).into());
    if dice.roll(2) == 0 {
        event.extensions.insert("ext".into(), Value::text(dice.pick(&TEXTS)));
    }
    if dice.roll(8) != 0 {
        event.data = Data::Json(Value::parse(dice.pick(&PAYLOADS).as_bytes()).unwrap());
    }
    event
}

fn posted(kind: &str) -> Event {
    let mut event = Event::parse(br#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#).unwrap();
    event.kind = kind.into();
    event
}

fn exact(pairs: &[(&str, &str)]) -> Filter {
    Filter::Exact(Attributes::new(
        pairs.iter().map(|(name, text)| (Arc::from(*name), Arc::from(*text))).collect(),
    ))
}

#[test]
fn equals_judging_each_rule_over_a_million_random_pairs() {
    let mut dice = Dice(7);
    let (mut pairs, mut matched) = (0_u64, 0_u64);
    for _ in 0..50 {
        let rules: Vec<(usize, MatchRule)> = (0..200).map(|number| (number * 3, rule(&mut dice))).collect();
        let matcher = Matcher::new(rules.clone());
        for _ in 0..101 {
            let (event, binding) = (event(&mut dice), dice.pick(&SOURCES));
            let naive: Vec<usize> = rules
                .iter()
                .filter(|(_, rule)| rule.matches(binding, &event))
                .map(|(number, _)| *number)
                .collect();
            assert_eq!(matcher.matches(binding, &event), naive, "{binding:?} {:?}", event.to_value());
            pairs += rules.len() as u64;
            matched += naive.len() as u64;
        }
    }
    assert!(pairs >= 1_000_000, "{pairs} pairs");
    assert!(
        (pairs / 20..pairs / 2).contains(&matched),
        "{matched} of {pairs} matched: the dice tell too little"
    );
}

#[test]
fn a_rule_explained_agrees_with_a_rule_judged() {
    let mut dice = Dice(11);
    for _ in 0..2000 {
        let (rule, event, binding) = (rule(&mut dice), event(&mut dice), dice.pick(&SOURCES));
        let clauses = rule.explain(binding, &event);
        // Clauses of the top level: those of one filter's map stand beside one another.
        let top = |clause: &&Clause| match clause.path.strip_prefix("/filters/") {
            Some(rest) => match rest.split('/').nth(1) {
                Some("all" | "any" | "not") => rest.split('/').count() == 2,
                _ => true,
            },
            // The alternatives of a pattern stand below the clause that sums them up.
            None => clause.path.split("/$or/").count() == 1,
        };
        let fails = clauses.iter().filter(top).any(|clause| clause.verdict == Verdict::Fail);
        assert_eq!(rule.matches(binding, &event), !fails, "{rule:?} {clauses:?}");
    }
}

#[test]
fn rules_that_pin_other_values_cost_nothing() {
    let many = |of: &dyn Fn(usize) -> MatchRule| Matcher::new((0..10_000).map(|n| (n, of(n))).collect());
    let with = |filters: Vec<Filter>| MatchRule { filters, enabled: true, ..MatchRule::default() };
    let check = |matcher: Matcher, binding: &str, event: &Event, expected: &[usize]| {
        assert_eq!(matcher.matches(binding, event), expected);
        assert_eq!(matcher.candidates(binding, event), expected.len());
    };
    let event = posted("type-77");
    check(many(&|n| with(vec![exact(&[("type", &format!("type-{n}"))])])), "", &event, &[77]);
    let either = |n: usize| {
        let one = |kind: String| exact(&[("type", &kind)]);
        with(vec![Filter::Any(vec![one(format!("type-{n}")), one(format!("other-{n}"))])])
    };
    check(many(&either), "", &event, &[77]);
    check(many(&|n| MatchRule { source: Some(format!("s{n}").into()), ..with(vec![]) }), "s5", &event, &[5]);
    let mut upload = posted("uploaded");
    upload.subject = Some("bucket-123/in/a.csv".into());
    let prefixed = |n: usize| {
        let prefix = Attributes::new(vec![("subject".into(), format!("bucket-{n}/").into())]);
        with(vec![exact(&[("type", "uploaded")]), Filter::Prefix(prefix)])
    };
    check(many(&prefixed), "", &upload, &[123]);
    let suffixed = |n: usize| {
        with(vec![Filter::Suffix(Attributes::new(vec![("subject".into(), format!(".{n}").into())]))])
    };
    check(many(&suffixed), "", &upload, &[]);
    let mut order = posted("order");
    order.data = Data::Json(Value::parse(br#"{"customer":{"id":77},"tags":["t5","x"]}"#).unwrap());
    let whose =
        |n: usize| MatchRule { data: Some(pattern(&format!("{{customer: {{id: [{n}]}}}}"))), ..with(vec![]) };
    // Reading so many patterns takes its time: fewer tell as much.
    let few = |of: &dyn Fn(usize) -> MatchRule| Matcher::new((0..300).map(|n| (n, of(n))).collect());
    check(few(&whose), "", &order, &[77]);
    let tagged = |n: usize| MatchRule { data: Some(pattern(&format!("{{tags: [t{n}]}}"))), ..with(vec![]) };
    check(few(&tagged), "", &order, &[5]);
}

#[test]
fn lifecycle_events_need_their_type_stated() {
    let kind = "io.serverlessworkflow.workflow.completed.v1";
    let check = |filters: Vec<Filter>, expected: bool| {
        let matcher = Matcher::new(vec![(4, MatchRule { filters, enabled: true, ..MatchRule::default() })]);
        let found = matcher.matches("", &posted(kind));
        assert_eq!(found, if expected { vec![4] } else { vec![] });
        assert_eq!(matcher.matches("", &posted("io.serverlessworkflows")).len(), usize::from(!expected));
    };
    check(vec![], false);
    check(vec![exact(&[("specversion", "1.0")])], false);
    check(vec![exact(&[("type", kind)])], true);
    check(vec![Filter::Any(vec![exact(&[("type", kind)]), exact(&[("type", "x")])])], true);
    let prefix = Attributes::new(vec![("type".into(), "io.serverlessworkflow".into())]);
    check(vec![Filter::Prefix(prefix)], false);
    check(vec![Filter::Not(Box::new(exact(&[("type", "x")])))], false);
    let sql = |text: &str| vec![Filter::Sql(Expr::parse(text).unwrap())];
    check(sql(&format!("type = '{kind}'")), true);
    check(sql(&format!("type IN ('x', '{kind}')")), true);
    check(sql("type LIKE 'io.serverlessworkflow%'"), false);
}
