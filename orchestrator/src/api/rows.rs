//! Shapes of rows that come often in the table of routes.
//!
//! Owns nothing but the shapes; the rows stand in `routes.rs`.

use super::batches::BatchBody;
use super::body::{MAX_BODY, MAX_DOCUMENT};
use super::definitions::Resource;
use super::executions::Execution;
use super::route::{Answer, Body, Route, Run, bare, delete, get, json, list, of, post, put};
use super::workflows::Written;

/// Parameters of a page.
pub(super) const PAGED: &[&str] = &["pageSize", "pageToken", "count"];
/// The parameter of a dry run.
pub(super) const DRY: &[&str] = &["dryRun"];
/// A definition or another small body.
pub(super) const DOCUMENT: Body = Body::Read(MAX_DOCUMENT);
/// Events, inputs, sets of documents.
pub(super) const LARGE: Body = Body::Read(MAX_BODY);

/// The answer with a document.
const RESOURCE: &[Answer] = &[json(200, of::<Resource>)];

/// The answers to the writing of a document.
pub(super) const WRITTEN: &[Answer] = &[json(200, of::<Written>), json(201, of::<Written>)];
/// The answer to a removal.
pub(super) const GONE: &[Answer] = &[bare(204)];
/// The answer with an execution.
pub(super) const EXECUTION: &[Answer] = &[json(200, of::<Execution<'static>>)];
/// The answer with a batch.
pub(super) const BATCH: &[Answer] = &[json(200, of::<BatchBody>)];
const RESOURCES: &[Answer] = &[json(200, list::<Resource>)];

/// A list of documents.
pub(super) const fn documents_of(path: &'static str, summary: &'static str, run: Run) -> Route {
    get(path, summary, run).query(PAGED).gives(RESOURCES)
}

/// A document.
pub(super) const fn document(path: &'static str, summary: &'static str, run: Run) -> Route {
    get(path, summary, run).gives(RESOURCE)
}

/// The writing of a document.
pub(super) const fn write(path: &'static str, summary: &'static str, run: Run) -> Route {
    put(path, summary, run).query(DRY).body(DOCUMENT).gives(WRITTEN)
}

/// The removal of something.
pub(super) const fn remove(path: &'static str, summary: &'static str, run: Run) -> Route {
    delete(path, summary, run).query(DRY).gives(GONE)
}

/// What holds a document or lets it go on.
pub(super) const fn hold(path: &'static str, summary: &'static str, run: Run) -> Route {
    post(path, summary, run).query(DRY).body(DOCUMENT).gives(RESOURCE)
}

/// What an operator does to an execution.
pub(super) const fn verb(path: &'static str, summary: &'static str, run: Run) -> Route {
    post(path, summary, run).query(DRY).body(LARGE).gives(EXECUTION)
}
