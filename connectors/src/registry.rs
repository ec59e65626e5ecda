//! From a source's manifest to the connector that runs it.

use std::sync::Arc;

use tidemill_dsl::manifest;
use tidemill_dsl::value::Value;

use crate::{Source, SourceError};

/// The connector of a source; none where the kind has no run of its own (an HTTP route).
pub fn build(
    _namespace: &Arc<str>,
    _name: &Arc<str>,
    _spec: &manifest::Source,
    _resolve: &dyn Fn(&str) -> Option<Value>,
) -> Result<Option<Box<dyn Source>>, SourceError> {
    Ok(None)
}
