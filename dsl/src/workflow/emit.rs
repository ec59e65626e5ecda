//! `emit`: the event it describes.

use crate::codes;
use crate::program::Kind;
use crate::reader::{Place, Reader, with_guess};
use crate::value::Value;
use crate::yaml::NodeKind;

use super::values::At;

/// The attributes of a CloudEvent with its payload.
pub(super) const ATTRIBUTES: [&str; 9] =
    ["id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "specversion", "data"];

pub(super) fn emit(place: &Place, at: At) -> Option<Kind> {
    let mut emit = Reader::open(place.clone(), at.sink, "`emit`")?;
    let event = emit.need_map("event", "`event`");
    emit.finish();
    let mut event = event?;
    let with = event.need("with");
    event.finish();
    let with = with?;
    let before = at.sink.errors();
    let entries = with.entries(at.sink)?;
    if with.node.get("type").is_none() {
        let d = with.error(codes::MISSING_KEY, "the event lacks the key `type`");
        at.sink.push(d.help("add the key `type`"));
    }
    for (name, place) in &entries {
        attribute_name(name, place, at);
        if &**name == "data" {
            continue;
        }
        if ATTRIBUTES.contains(&&**name) {
            place.text(at.sink);
        } else if !matches!(&place.node.kind, NodeKind::Scalar { value, .. } if !value.is_null()) {
            place.wrong::<()>(at.sink, "a string, a number or a boolean");
        }
        if matches!(&place.node.kind, NodeKind::Scalar { value: Value::String(text), .. } if text.is_empty())
        {
            at.sink.push(place.error(codes::WRONG_VALUE, format!("the attribute `{name}` is empty")));
        }
    }
    let template = at.template(&with);
    (at.sink.errors() == before).then_some(())?;
    template.map(Kind::Emit)
}

/// Reports what cannot be the name of an attribute.
pub(super) fn attribute_name(name: &str, place: &Place, at: At) {
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if valid {
        return;
    }
    let d = place
        .key_error(codes::WRONG_NAME, format!("`{name}` cannot be the name of an attribute of an event"));
    let d = with_guess(d, name, ATTRIBUTES);
    at.sink.push(if d.help.is_some() {
        d
    } else {
        d.help("names of attributes are lower-case letters and digits")
    });
}
