//! `switch`: cases in order, the default last.

use crate::codes;
use crate::program::{Case, Kind};
use crate::reader::{Place, Reader};

use super::list::named;
use super::task::Site;
use super::values::At;

pub(super) fn switch(place: &Place, site: &Site, at: At) -> Option<Kind> {
    let items = place.list(at.sink)?;
    if items.is_empty() {
        at.sink.push(place.key_error(codes::EMPTY, "the switch has no cases"));
    }
    let before = at.sink.errors();
    let mut cases = Vec::new();
    let mut default: Option<Case> = None;
    for item in &items {
        let Some((name, place)) = named(item, at.sink, "a case") else {
            continue;
        };
        let Some(mut reader) = Reader::open(place.clone(), at.sink, "a case") else {
            continue;
        };
        let has_condition = reader.has("when");
        let when = reader.take("when").and_then(|p| at.condition(&p));
        let then = reader.need("then").and_then(|p| site.names.target(&p, site.index, at.sink));
        reader.finish();
        if !has_condition && let Some(first) = &default {
            let message = format!("a second default `{name}`; `{}` has no `when` either", first.name);
            at.sink.push(
                place.key_error(codes::TWO_DEFAULTS, message).help("add a `when`, or remove one of the two"),
            );
        }
        let Some(then) = then else { continue };
        let case = Case { name, when, then };
        if has_condition {
            cases.push(case);
        } else {
            default = Some(case);
        }
    }
    cases.extend(default);
    (at.sink.errors() == before && !items.is_empty()).then_some(Kind::Switch(cases))
}
