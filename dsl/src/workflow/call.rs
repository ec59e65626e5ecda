//! `call`: what is called.

use std::sync::Arc;

use crate::codes;
use crate::order::{SINK, SINK_FUNCTION};
use crate::program::{FetchedCall, FunctionCall, Kind, LocalCall};
use crate::reader::{Place, Reader, with_guess};

use super::Compiler;
use super::resource::function_at;
use super::scope::Where;
use super::task::Site;
use super::values::At;

/// Built-in calls beside `http`, which this release does not run.
pub(super) const BUILT_IN: [(&str, &str); 5] = [
    ("openapi", codes::LATER_OPENAPI),
    ("grpc", codes::LATER_GRPC),
    ("asyncapi", codes::LATER_ASYNCAPI),
    ("a2a", codes::LATER_A2A),
    ("mcp", codes::LATER_MCP),
];

impl<'a> Compiler<'a> {
    /// `call` with the `with` that stands beside it.
    pub(super) fn call(&mut self, place: &Place<'a>, task: &mut Reader<'a, 'a>, site: &Site) -> Option<Kind> {
        let at = At::new(self.sink, site.scope, Where::Sent);
        let with = task.take("with");
        let name = place.text(self.sink)?;
        if &*name == "http" {
            let with = with.or_else(|| task.need("with"))?;
            return self.http(&with, at).map(|call| Kind::Http(Box::new(call)));
        }
        if let Some((_, code)) = BUILT_IN.iter().find(|(built_in, _)| **built_in == *name) {
            self.later(place, code, format!("`call: {name}` is not supported by this release"));
            return None;
        }
        let with = |at: At| with.map(|p| at.object(&p));
        let given = At { place: Where::Given, ..at };
        if let Some(number) = self.uses.function(&name) {
            if let Some(caller) = site.scope.function {
                self.calls.push((caller, number, place.clone()));
            }
            let with = super::given(with(given))?;
            return Some(Kind::Local(LocalCall { body: self.functions[number], with }));
        }
        if name.contains("://") {
            let (need, with) = (function_at(place, at), super::given(with(given)));
            return Some(Kind::Fetched(FetchedCall { need: need?, with: with? }));
        }
        let Some((name, version, catalog)) = self.published(&name, place) else {
            with(at);
            return None;
        };
        let with = super::given(with(if catalog.is_some() { given } else { at }));
        let need = super::given(catalog.map(|catalog| self.function_of(&catalog, (&name, &version), at)));
        let (with, need) = (with?, need?);
        Some(match need {
            Some(need) => Kind::Fetched(FetchedCall { need, with }),
            None => Kind::Function(FunctionCall { name, version, with }),
        })
    }

    /// `NAME:VERSION@CATALOG`, with the catalog unless it is the server's own, `default`.
    fn published(&self, text: &str, place: &Place) -> Option<(Arc<str>, Arc<str>, Option<Place<'a>>)> {
        let Some((function, catalog)) = text.split_once('@') else {
            let d = place.error(
                codes::UNKNOWN_NAME,
                format!("no function `{text}` is declared under `use.functions`"),
            );
            let built_in = BUILT_IN.iter().map(|(name, _)| *name);
            let names = self.uses.functions.entries.iter().map(|(name, _)| &**name);
            let d = with_guess(d, text, names.chain(built_in).chain(["http"]));
            let help = "declare it, or call a function of this server as `name:version@default`";
            self.sink.push(if d.help.is_some() { d } else { d.help(help) });
            return None;
        };
        let parts = function.split_once(':').filter(|(name, version)| {
            crate::ids::is_label(name) && !version.is_empty() && !version.contains([':', '/', ' '])
        });
        let Some((name, version)) = parts else {
            let d = place.error(codes::WRONG_NAME, format!("`{text}` names no function of a catalog"));
            self.sink.push(d.help("write `name:version@catalog`, for example `charge:2@default`"));
            return None;
        };
        if catalog == "default" {
            return Some((name.into(), version.into(), None));
        }
        let found = self.uses.catalog(catalog);
        if found.is_none() && (name, catalog) == SINK {
            return Some((SINK_FUNCTION.into(), version.into(), None));
        }
        if found.is_none() {
            let d = place.error(
                codes::UNKNOWN_CATALOG,
                format!("no catalog `{catalog}` is declared under `use.catalogs`"),
            );
            let d = with_guess(d, catalog, self.uses.catalog_names());
            let help = "the catalog of this server is `default`";
            self.sink.push(if d.help.is_some() { d } else { d.help(help) });
        }
        Some((name.into(), version.into(), Some(found?)))
    }

    fn later(&self, place: &Place, code: &'static str, message: String) {
        let d = place.error(code, message);
        self.sink.push(match codes::explain(code) {
            Some(text) => d.help(text.text),
            None => d,
        });
    }
}
