//! A pattern judged clause by clause.

use super::test::Joined;
use super::{Branch, Field, Part, Pattern, composite};
use crate::event::Data;
use crate::filter::{Clause, Verdict};
use crate::value::Value;

impl Pattern {
    /// Every clause for a payload; `path` is the pattern's own pointer.
    pub fn explain(&self, path: &str, data: &Data) -> Vec<Clause> {
        match data {
            Data::Json(value) => self.clauses(path, value),
            Data::None | Data::Binary(_) => self.clauses(path, &Value::Null),
        }
    }

    /// Every clause for a JSON value.
    pub fn clauses(&self, path: &str, value: &Value) -> Vec<Clause> {
        let mut clauses = Vec::new();
        self.0.explain((Some(value), Some(value)), path, &mut clauses);
        clauses
    }
}

/// The value at a place, and the whole payload; without the payload every clause is skipped.
type Seen<'v> = (Option<&'v Value>, Option<&'v Value>);

impl Branch {
    /// Appends the clauses, and tells whether all hold. Of an array the element is shown that passes, else the one
    /// that passes most.
    fn explain(&self, (value, root): Seen<'_>, path: &str, out: &mut Vec<Clause>) -> bool {
        let Some(Value::Array(items)) = value else {
            return self.explain_object((value, root), path, out);
        };
        let mut best: Option<(bool, usize, Vec<Clause>)> = None;
        for item in items.iter().filter(|item| composite(item)) {
            let mut clauses = Vec::new();
            let holds = self.explain((Some(item), root), path, &mut clauses);
            let passed = clauses.iter().filter(|clause| clause.verdict == Verdict::Pass).count();
            if best.as_ref().is_none_or(|(known, most, _)| (holds, passed) > (*known, *most)) {
                best = Some((holds, passed, clauses));
            }
            if holds {
                break;
            }
        }
        match best {
            Some((holds, _, clauses)) => {
                out.extend(clauses);
                holds
            }
            None => self.explain_object((None, root), path, out),
        }
    }

    fn explain_object(&self, (value, root): Seen<'_>, path: &str, out: &mut Vec<Clause>) -> bool {
        let mut holds = true;
        for field in &self.fields {
            let own = value.and_then(|value| value.get(&field.name));
            holds &= field.explain((own, root), &crate::yaml::join(path, &field.name), out);
        }
        for any in &self.either {
            let (path, at) = (format!("{path}/$or"), out.len());
            out.push(Clause::new(&path, "at least one pattern holds", None, Verdict::Skip));
            let mut pass = false;
            for (index, branch) in any.iter().enumerate() {
                let root = root.filter(|_| !pass);
                pass |= branch.explain((value, root), &format!("{path}/{index}"), out);
            }
            if root.is_some() {
                out[at].verdict = Verdict::of(pass);
            }
            holds &= pass;
        }
        holds && root.is_some()
    }
}

impl Field {
    fn explain(&self, (value, root): Seen<'_>, path: &str, out: &mut Vec<Clause>) -> bool {
        let tests = match &self.part {
            Part::Below(branch) => return branch.explain((value, root), path, out),
            Part::Tests(tests) => tests,
        };
        let holds = root.is_some_and(|root| self.holds(value, root));
        let verdict = root.map_or(Verdict::Skip, |_| Verdict::of(holds));
        let actual = root.and(value).cloned();
        out.push(Clause::new(path, Joined(tests, ", or ").to_string(), actual, verdict));
        holds
    }
}
