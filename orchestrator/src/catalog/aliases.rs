//! Aliases of functions in the catalog: versions with weights.
//!
//! Owns their stored form and the looking up. Which version an execution gets is the registry's.

use std::sync::Arc;

use tidemill_dsl::value::Value;
use tidemill_store::Definition;

use super::Space;

/// Versions of a function with their shares in a hundred.
pub type Weights = Vec<(u32, u8)>;

/// An alias of a function.
#[derive(Clone, Debug)]
pub struct AliasEntry {
    /// As stored: the function's name, the alias as version, the weights as text.
    pub definition: Arc<Definition>,
    /// The weights.
    pub weights: Weights,
}

impl Space {
    /// An alias of a function.
    pub fn alias(&self, function: &str, alias: &str) -> Option<&AliasEntry> {
        self.aliases.get(function)?.get(alias)
    }

    /// Every alias of a function.
    pub fn aliases(&self, function: &str) -> impl Iterator<Item = (&Arc<str>, &AliasEntry)> {
        self.aliases.get(function).into_iter().flatten()
    }

    /// Whether a function has what its caller names: a version by number, an alias, or simply the newest.
    pub fn has_function(&self, name: &str, version: Option<&str>) -> bool {
        match version {
            None | Some("latest") => self.functions.contains_key(name),
            Some(text) => match text.parse() {
                Ok(number) => self.function(name, Some(number)).is_some(),
                Err(_) => self.alias(name, text).is_some(),
            },
        }
    }

    pub(crate) fn put_alias(&mut self, entry: AliasEntry) {
        let (function, alias) = (entry.definition.name.clone(), entry.definition.version.clone());
        self.aliases.entry(function).or_default().insert(alias, entry);
    }
}

/// The weights of an alias as stored: `{"1": 90, "2": 10}`.
pub(super) fn weights(text: &str) -> Option<Weights> {
    let value = Value::parse(text.as_bytes()).ok()?;
    let pair = |(version, weight): (&Arc<str>, &Value)| {
        Some((version.parse().ok()?, u8::try_from(weight.as_i64()?).ok()?))
    };
    value.as_object()?.iter().map(pair).collect()
}
