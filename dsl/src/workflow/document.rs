//! The parts `document` and `evaluate`.

use std::sync::Arc;

use crate::codes;
use crate::ids::is_label;
use crate::program::Document;
use crate::reader::{Place, Reader, Sink};

/// The part `document`.
pub(super) fn document(reader: &mut Reader) -> Option<Document> {
    let mut document = reader.need_map("document", "`document`")?;
    let sink = document.sink();
    let dsl = document.need("dsl").and_then(|p| dsl_version(&p, sink));
    let namespace = document.need("namespace").and_then(|p| label(&p, sink));
    let name = document.need("name").and_then(|p| label(&p, sink));
    let version = document.need("version").and_then(|p| version(&p, sink));
    let title = document.text("title");
    let summary = document.text("summary");
    let tags = document.object("tags").unwrap_or_default();
    let metadata = document.object("metadata").unwrap_or_default();
    document.finish();
    Some(Document {
        dsl: dsl?,
        namespace: namespace?,
        name: name?,
        version: version?,
        title,
        summary,
        tags,
        metadata,
    })
}

fn dsl_version(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let version = semver::Version::parse(&text).ok();
    if version.is_some_and(|v| v.major == 1 && v.minor == 0 && v.pre.is_empty()) {
        return Some(text);
    }
    let d = place.error(codes::DSL_VERSION, format!("version `{text}` of the language is not supported"));
    sink.push(d.help("write `dsl: '1.0.3'`"));
    None
}

/// A DNS label.
pub(super) fn label(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    if is_label(&text) {
        return Some(text);
    }
    let d = place.error(codes::WRONG_NAME, format!("`{text}` is no DNS label"));
    sink.push(d.help("use at most 63 of a-z, 0-9 and `-`, with a letter or digit at both ends"));
    None
}

/// A semantic version.
pub(super) fn version(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let help = "write three numbers in quotes, for example `'1.0.0'`";
    let Some(text) = place.node.as_str() else {
        let message = format!("`version` must be a string, not {}", place.node.describe());
        sink.push(place.error(codes::WRONG_TYPE, message).help(help));
        return None;
    };
    if semver::Version::parse(text).is_err() {
        sink.push(place.error(codes::VERSION, format!("`{text}` is no semantic version")).help(help));
        return None;
    }
    Some(text.into())
}

/// The part `evaluate`: whether the mode is `loose`.
pub(super) fn evaluate(reader: &mut Reader) -> bool {
    let Some(mut evaluate) = reader.map("evaluate", "`evaluate`") else {
        return false;
    };
    let sink = evaluate.sink();
    if let Some(place) = evaluate.take("language")
        && let Some(language) = place.text(sink)
        && &*language != "jq"
    {
        let message = format!("expressions are written in jq, `{language}` is not supported");
        sink.push(
            place.error(codes::LANGUAGE, message).help("leave `language` out, or write `language: jq`"),
        );
    }
    let loose = evaluate.choice("mode", &[("strict", false), ("loose", true)]);
    evaluate.finish();
    loose
}
