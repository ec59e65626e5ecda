//! Aliases of functions: versions with weights that sum to a hundred (grey release).
//!
//! Owns the reading of the weights and their writing. Which version an execution gets is the registry's.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidemill_dsl::codes;
use tidemill_dsl::diagnostic::{Diagnostic, Span};
use tidemill_dsl::ids::{Namespace, is_label};
use tidemill_dsl::value::Value;
use tidemill_dsl::yaml::{self, Entry};
use tidemill_store::{Batch, Class, Definition, DefinitionChange, DefinitionKind, Part};

use super::{Change, Match};
use crate::buffer::submit;
use crate::catalog::{AliasEntry, Space, Weights};
use crate::error::Error;
use crate::rooms::Rooms;

/// What to write.
pub struct AliasRequest<'a> {
    /// The function.
    pub function: &'a Arc<str>,
    /// The alias.
    pub alias: &'a Arc<str>,
    /// `{weights: {VERSION: WEIGHT, ...}}`, or the weights alone; YAML or JSON.
    pub text: &'a str,
    /// `If-Match`.
    pub matching: Option<Match>,
    /// Only judge.
    pub dry_run: bool,
}

/// Writes an alias; calls that are in flight end on their version.
pub async fn put_alias(
    rooms: &Rooms,
    namespace: &Namespace,
    request: AliasRequest<'_>,
) -> Result<(AliasEntry, Change), Error> {
    let (function, alias) = (request.function, request.alias);
    let _writing = rooms.catalog.writing.lock().await;
    let mut draft = rooms.catalog.space(namespace).draft();
    if draft.function(function, None).is_none() {
        return Err(Error::not_found("function", &**function));
    }
    if !is_label(alias) || &**alias == "latest" || alias.parse::<u32>().is_ok() {
        let detail =
            format!("`{alias}` is no name of an alias: a DNS label that is no number and not `latest`");
        return Err(Error::Unprocessable { code: "bad-alias", detail });
    }
    let weights = read(request.text, function, &draft).map_err(Error::Refused)?;
    let current = draft.alias(function, alias).cloned();
    Match::check(request.matching.as_ref(), current.as_ref().map(|c| c.definition.digest))?;
    let text = text(&weights);
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let change = match &current {
        Some(own) if own.definition.digest == digest => return Ok((own.clone(), Change::Unchanged)),
        Some(_) => Change::Updated,
        None => Change::Created,
    };
    let definition = Definition {
        kind: DefinitionKind::Alias,
        namespace: namespace.clone(),
        name: function.clone(),
        version: alias.clone(),
        text: text.into(),
        digest,
        generation: current.map_or(1, |c| c.definition.generation + 1),
        at: (rooms.clock)(),
        current: true,
        paused: false,
    };
    let entry = AliasEntry { definition: Arc::new(definition.clone()), weights };
    if !request.dry_run {
        let parts = vec![Part::Definitions(vec![DefinitionChange::Put(definition)])];
        submit(rooms, Batch { class: Class::New, parts }).await?;
        draft.put_alias(entry.clone());
        rooms.catalog.swap(namespace, Some(draft));
        // A call of the next moment goes by the weights of this one.
        rooms.dispatch.sync(rooms);
    }
    Ok((entry, change))
}

/// As stored.
fn text(weights: &Weights) -> String {
    let pairs =
        weights.iter().map(|(version, weight)| (version.to_string(), Value::from(i64::from(*weight))));
    Value::object(pairs).to_string()
}

/// The weights of a body, with every mistake at its place.
fn read(text: &str, function: &str, space: &Space) -> Result<Weights, Vec<Diagnostic>> {
    let node = yaml::parse(text)?;
    let inner = node.get("weights");
    let (entries, base, span) = match inner {
        Some(weights) => (weights.entries(), "/weights", weights.span),
        None => (node.entries(), "", node.span),
    };
    let mut found = Vec::new();
    let mut wrong = |span: Span, pointer: String, message: String| {
        found.push(Diagnostic::error(codes::WRONG_VALUE, span, message).at(pointer));
    };
    let beside = node.entries().iter().filter(|entry| inner.is_some() && &*entry.key != "weights");
    for entry in beside {
        wrong(entry.key_span, format!("/{}", entry.key), format!("unknown key `{}`", entry.key));
    }
    let mut weights = Weights::new();
    for entry in entries {
        match weight(entry, function, space) {
            Ok(pair) => weights.push(pair),
            Err(message) => wrong(entry.key_span, format!("{base}/{}", entry.key), message),
        }
    }
    let sum: u32 = weights.iter().map(|(_, weight)| u32::from(*weight)).sum();
    if weights.len() == entries.len() && sum != 100 {
        wrong(span, base.to_owned(), format!("the weights sum to {sum}, not to 100"));
    }
    weights.sort_unstable();
    if found.is_empty() { Ok(weights) } else { Err(found) }
}

fn weight(entry: &Entry, function: &str, space: &Space) -> Result<(u32, u8), String> {
    let version: u32 = entry.key.parse().map_err(|_| format!("`{}` is no version number", entry.key))?;
    if space.function(function, Some(version)).is_none() {
        return Err(format!("the function `{function}` has no version {version}"));
    }
    let weight = entry.value.to_value().as_i64().filter(|weight| (0..=100).contains(weight));
    match weight {
        Some(weight) => Ok((version, weight as u8)),
        None => Err("a weight is a whole number from 0 to 100".into()),
    }
}
