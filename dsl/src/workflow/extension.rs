//! `use.extensions`: tasks before and after tasks of a kind.

use std::sync::Arc;

use crate::program::Extension;
use crate::reader::{Place, Reader};

use super::Compiler;
use super::list::named;
use super::scope::Where;
use super::values::At;

/// What `extend` may say, and the kinds of task it means.
const EXTENDED: [(&str, &[&str]); 12] = [
    ("all", &super::task::KINDS),
    ("composite", &["do", "fork"]),
    ("call", &["call"]),
    ("emit", &["emit"]),
    ("for", &["for"]),
    ("listen", &["listen"]),
    ("raise", &["raise"]),
    ("run", &["run"]),
    ("set", &["set"]),
    ("switch", &["switch"]),
    ("try", &["try"]),
    ("wait", &["wait"]),
];

/// An extension as written, in its order.
#[derive(Clone)]
pub(super) struct Declared<'a> {
    name: Arc<str>,
    place: Place<'a>,
    kinds: &'static [&'static str],
}

impl Declared<'_> {
    /// Whether it is for tasks of this kind.
    pub(super) fn extends(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }
}

/// `use.extensions`: a list of maps with one key.
pub(super) fn declared<'a>(uses: &mut Reader<'a, 'a>) -> Vec<Declared<'a>> {
    let sink = uses.sink();
    let items = uses.take("extensions").and_then(|p| p.list(sink)).unwrap_or_default();
    let declared = |item: &Place<'a>| {
        let (name, place) = named(item, sink, "an extension")?;
        let word = place.node.get("extend").and_then(|node| node.as_str()).unwrap_or_default();
        let kinds = EXTENDED.iter().find(|(extend, _)| *extend == word).map_or(&[][..], |(_, kinds)| kinds);
        Some(Declared { name, place, kinds })
    };
    items.iter().filter_map(declared).collect()
}

impl Compiler<'_> {
    /// The extensions, compiled. Their tasks are not extended themselves.
    pub(super) fn extensions(&mut self) -> Vec<Extension> {
        let sink = self.sink;
        let (outer, scope) = (self.outermost.clone(), self.outermost.of_extension());
        let mut extensions = Vec::new();
        for Declared { name, place, .. } in self.uses.extensions.clone() {
            let Some(mut reader) = Reader::open(place, sink, "an extension") else {
                continue;
            };
            if let Some(place) = reader.need("extend") {
                place.choice(sink, &EXTENDED.map(|(word, _)| (word, ())));
            }
            let when = reader.take("when").and_then(|p| At::new(sink, &outer, Where::Body).condition(&p));
            let before = reader.take("before").and_then(|p| self.before(&p, &scope));
            let after = reader.take("after").and_then(|p| self.list(&p, None, &scope));
            reader.finish();
            extensions.push(Extension { name, when, before, after });
        }
        extensions
    }
}
