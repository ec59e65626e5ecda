//! `call: http`: the request, unevaluated.

use crate::codes;
use crate::expr::Template;
use crate::program::{Auth, HttpCall, HttpOutput};
use crate::reader::{Place, Reader};
use crate::value::Value;
use crate::yaml::NodeKind;

use super::Compiler;
use super::values::{At, absolute};

impl Compiler<'_> {
    /// The arguments of an HTTP call.
    pub(super) fn http(&self, with: &Place, at: At) -> Option<HttpCall> {
        let mut reader = Reader::open(with.clone(), at.sink, "`with` of an HTTP call")?;
        let before = at.sink.errors();
        let method = reader.need("method").and_then(|p| method(&p, at));
        let endpoint = reader.need("endpoint").and_then(|p| self.endpoint(&p, at));
        let headers = reader.take("headers").and_then(|p| fields(&p, at));
        let query = reader.take("query").and_then(|p| fields(&p, at));
        let body = reader.take("body").and_then(|p| at.template(&p));
        let words =
            [("content", HttpOutput::Content), ("response", HttpOutput::Response), ("raw", HttpOutput::Raw)];
        let output = reader.choice("output", &words);
        let redirect = reader.flag("redirect", false);
        reader.finish();
        let (uri, auth) = endpoint?;
        let call = HttpCall { method: method?, uri, auth, headers, query, body, output, redirect };
        (at.sink.errors() == before).then_some(call)
    }

    /// An endpoint: a URI, or a map with one and its authentication.
    fn endpoint(&self, place: &Place, at: At) -> Option<(Template, Option<Auth>)> {
        if place.node.as_str().is_some() {
            return uri(place, at).map(|uri| (uri, None));
        }
        let mut reader = Reader::open(place.clone(), at.sink, "`endpoint`")?;
        let uri = reader.need("uri").and_then(|p| uri(&p, at));
        let auth = reader.take("authentication").map(|p| self.uses.authentication(&p, at));
        reader.finish();
        Some((uri?, super::given(auth)?))
    }
}

fn uri(place: &Place, at: At) -> Option<Template> {
    let text = place.text(at.sink)?;
    let start = text.trim_start();
    let open = start.starts_with("${") || start.starts_with('{') || at.is_expression(&text);
    if !open && !absolute(&text) {
        let d = place.error(codes::URI, format!("`{text}` is no absolute http or https URI"));
        at.sink.push(d.help("write for example `https://example.com/orders/{id}`"));
        return None;
    }
    if let Some(wrong) = template_mistake(&text).filter(|_| !at.is_expression(&text)) {
        at.sink.push(place.error(codes::URI, format!("`{text}` is no URI template: {wrong}")));
        return None;
    }
    super::traps::placeholders(at.sink, place, &text);
    at.template(place)
}

/// What is wrong with the braces of a literal URI template.
fn template_mistake(text: &str) -> Option<&'static str> {
    if text.contains("${") {
        return None;
    }
    let mut open = false;
    let mut empty = false;
    for c in text.chars() {
        match (c, open) {
            ('{', true) => return Some("a `{` stands inside braces"),
            ('{', false) => (open, empty) = (true, true),
            ('}', false) => return Some("a `}` closes nothing"),
            ('}', true) if empty => return Some("the braces are empty"),
            ('}', true) => open = false,
            (c, false) if c.is_whitespace() => return Some("it has a blank in it"),
            _ => empty = false,
        }
    }
    open.then_some("a `{` is not closed")
}

fn method(place: &Place, at: At) -> Option<Template> {
    let text = place.text(at.sink)?;
    if !text.contains("${")
        && !at.is_expression(&text)
        && (text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphabetic()))
    {
        at.sink.push(
            place.error(codes::METHOD, format!("`{text}` is no HTTP method")).help("write for example `get`"),
        );
        return None;
    }
    at.template(place)
}

/// `headers` or `query`: a map of strings, numbers and booleans, or an expression that gives one.
fn fields(place: &Place, at: At) -> Option<Template> {
    let before = at.sink.errors();
    if let NodeKind::Map(_) = &place.node.kind {
        for (_, value) in place.entries(at.sink)? {
            if !matches!(&value.node.kind, NodeKind::Scalar { value, .. } if *value != Value::Null) {
                value.wrong::<()>(at.sink, "a string, a number or a boolean");
            }
        }
    }
    let template = at.object(place);
    if at.sink.errors() == before { template } else { None }
}
