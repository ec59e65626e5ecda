//! `for`: one iteration after another.

use crate::codes;
use crate::program::{For, Kind};
use crate::reader::{Place, Reader};
use crate::yaml::NodeKind;

use super::Compiler;
use super::scope::Where;
use super::task::Site;
use super::values::{At, variable};

impl<'a> Compiler<'a> {
    /// `for` with `while` and `do`, which stand beside it.
    pub(super) fn for_each(
        &mut self,
        place: &Place<'a>,
        task: &mut Reader<'a, 'a>,
        site: &Site,
    ) -> Option<Kind> {
        let sink = self.sink;
        let condition = task.take("while");
        let body = task.need("do");
        let mut reader = Reader::open(place.clone(), sink, "`for`")?;
        let each = variable(&mut reader, "each", "item");
        let at = variable(&mut reader, "at", "index");
        if each == at {
            let d =
                place.key_error(codes::EXCLUSIVE, format!("`each` and `at` name the same variable `{each}`"));
            sink.push(d.help("give one of them another name"));
        }
        let outside = At::new(sink, site.scope, Where::Body);
        let items = reader.need("in").and_then(|p| items(&p, outside));
        reader.finish();
        let scope = site.scope.with(&[&each, &at]);
        let inside = At::new(sink, &scope, Where::Body);
        let condition = condition.map(|p| inside.condition(&p));
        let body = body.and_then(|p| self.list(&p, Some(site.id), &scope));
        Some(Kind::For(For { each, at, items: items?, condition: super::given(condition)?, body: body? }))
    }
}

/// The collection: an expression or a list.
fn items(place: &Place, at: At) -> Option<crate::expr::Template> {
    match &place.node.kind {
        NodeKind::List(_) => at.template(place),
        _ if place.node.as_str().is_some() => at.bare(place),
        _ => place.wrong(at.sink, "an expression or a list"),
    }
}
