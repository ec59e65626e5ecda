//! The functions of jq that are written in jq, compiled only as far as a program needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jaq_core::load::parse::Def;

use super::natives;
use super::syntax::calls;

/// A function by name and number of arguments.
pub(super) type Signature<'s> = (&'s str, usize);

struct Prelude {
    defs: Vec<Entry>,
    index: BTreeMap<Signature<'static>, usize>,
    /// Native functions: their numbers of arguments by name.
    natives: BTreeMap<&'static str, Vec<usize>>,
}

struct Entry {
    def: Def<&'static str>,
    defs: Vec<usize>,
    natives: Vec<Signature<'static>>,
}

/// What a program needs: definitions in order, and native functions.
pub(super) struct Needed {
    pub(super) defs: Vec<Def<&'static str>>,
    pub(super) natives: BTreeSet<Signature<'static>>,
}

/// The definition behind `places = value` where the places are more than a plain path.
pub(super) const ASSIGN: &str = "!assign";

static PRELUDE: LazyLock<Prelude> = LazyLock::new(|| {
    let parsed = jaq_core::load::parse(include_str!("prelude.jq"), |parser| parser.defs());
    let mut prelude = Prelude { defs: Vec::new(), index: BTreeMap::new(), natives: BTreeMap::new() };
    for (name, arity) in natives::signatures() {
        prelude.natives.entry(name).or_default().push(arity);
    }
    for mut def in parsed.expect("the prelude is jq") {
        if def.name == "_assign" {
            def.name = ASSIGN;
        }
        prelude.push(def);
    }
    prelude
});

impl Prelude {
    fn native(&self, name: &str, arity: usize) -> Option<Signature<'static>> {
        let (name, arities) = self.natives.get_key_value(name)?;
        arities.contains(&arity).then_some((*name, arity))
    }

    fn push(&mut self, def: Def<&'static str>) {
        let own = (def.name, def.args.len());
        let (mut defs, mut natives) = (Vec::new(), Vec::new());
        calls(&def.body, &mut |name, arity| {
            if let Some(at) = self.index.get(&(name, arity)) {
                defs.push(*at);
            } else if (name, arity) != own {
                natives.extend(self.native(name, arity));
            }
        });
        self.index.insert(own, self.defs.len());
        self.defs.push(Entry { def, defs, natives });
    }
}

/// Whether users can call a function of this name and number of arguments.
pub(super) fn exists(name: &str, arity: usize) -> bool {
    let hidden = name.starts_with(['_', '!']);
    !hidden && (PRELUDE.index.contains_key(&(name, arity)) || PRELUDE.native(name, arity).is_some())
}

/// The names and numbers of arguments of all functions users can call.
pub(super) fn all() -> impl Iterator<Item = Signature<'static>> {
    let natives =
        PRELUDE.natives.iter().flat_map(|(name, arities)| arities.iter().map(|arity| (*name, *arity)));
    PRELUDE.index.keys().copied().chain(natives).filter(|(name, _)| !name.starts_with(['_', '!']))
}

/// Everything that a program with these calls needs.
pub(super) fn needed(calls: &BTreeSet<Signature<'_>>) -> Needed {
    let mut defs = BTreeSet::new();
    let mut found = BTreeSet::new();
    let mut open = Vec::new();
    for signature in calls {
        if let Some(at) = PRELUDE.index.get(signature) {
            open.push(*at);
        } else {
            found.extend(PRELUDE.native(signature.0, signature.1));
        }
    }
    while let Some(at) = open.pop() {
        if defs.insert(at) {
            open.extend(&PRELUDE.defs[at].defs);
            found.extend(&PRELUDE.defs[at].natives);
        }
    }
    Needed { defs: defs.into_iter().map(|at| PRELUDE.defs[at].def.clone()).collect(), natives: found }
}
