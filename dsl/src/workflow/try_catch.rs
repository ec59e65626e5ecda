//! `try` with `catch`.

use crate::codes;
use crate::expr::Template;
use crate::program::{Kind, Try};
use crate::reader::{Place, Reader};

use super::Compiler;
use super::scope::Where;
use super::task::Site;
use super::uses::status;
use super::values::{At, variable};

impl<'a> Compiler<'a> {
    /// `try` with the `catch` that stands beside it.
    pub(super) fn try_catch(
        &mut self,
        place: &Place<'a>,
        task: &mut Reader<'a, 'a>,
        site: &Site,
    ) -> Option<Kind> {
        let sink = self.sink;
        let body = self.list(place, Some(site.id), site.scope);
        let mut catch = task.need_map("catch", "`catch`")?;
        let before = sink.errors();
        let outside = At::new(sink, site.scope, Where::Body);
        let with = catch.map("errors", "`errors`").and_then(|mut errors| {
            let with = errors.take("with").and_then(|p| filter(&p, outside));
            errors.finish();
            with
        });
        let variable = variable(&mut catch, "as", "error");
        let scope = site.scope.with(&[&variable]);
        let inside = At::new(sink, &scope, Where::Body);
        let when = catch.take("when").and_then(|p| inside.condition(&p));
        let except_when = catch.take("exceptWhen").and_then(|p| inside.condition(&p));
        let retry = catch.take("retry").and_then(|p| self.uses.retry(&p, inside));
        let then = catch.take("then").and_then(|p| site.names.target(&p, site.index, sink));
        let handler = catch.take("do").and_then(|p| self.list(&p, Some(site.id), &scope));
        catch.finish();
        let parts = Try { body: body?, with, variable, when, except_when, retry, handler, then };
        (sink.errors() == before).then(|| Kind::Try(Box::new(parts)))
    }
}

/// `errors.with`: equality on the keys given.
fn filter(place: &Place, at: At) -> Option<Template> {
    let mut reader = Reader::open(place.clone(), at.sink, "an error filter")?;
    if place.node.entries().is_empty() {
        at.sink.push(
            place
                .key_error(codes::EMPTY, "the error filter is empty")
                .help("leave `with` out to catch every error"),
        );
    }
    let before = at.sink.errors();
    for key in ["type", "instance", "title", "detail"] {
        reader.take(key).and_then(|p| at.text(&p));
    }
    reader.take("status").and_then(|p| status(&p, at));
    reader.finish();
    if at.sink.errors() == before { at.template(place) } else { None }
}
