//! What a route is: method, path, permission, namespace scope, class, query, body, answers (D16).
//!
//! Owns the type of the table's rows. The rows stand in `routes.rs`.

use std::future::Future;
use std::pin::Pin;

use axum::response::Response;
use axum::routing::MethodFilter;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::call::Call;
use crate::problem::Problem;

/// What a caller must be allowed to do (security.md 5a).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Nothing: the route is open to everyone.
    None,
    /// Read.
    Viewer,
    /// Run, cancel, retry, redrive, pause, post events.
    Operator,
    /// Write definitions.
    Editor,
    /// Write secrets.
    SecretAdmin,
    /// Everything.
    Admin,
}

/// Over what a permission is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The path's namespace, which a read needs to exist.
    Namespace,
    /// The path's namespace, which need not exist (it is made or declared here, or found out otherwise).
    FreeNamespace,
    /// The whole service.
    Cluster,
}

/// How a request is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// New work: counted against the limit `front-door`.
    FrontDoor,
    /// Reads and control: always let in.
    Control,
    /// Probes: outside every check.
    Open,
}

/// What is done with a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none; what is sent is not read.
    None,
    /// Read up to so many bytes before the route runs.
    Read(usize),
    /// Left to the route.
    Unread,
}

/// A JSON schema from a type.
pub type SchemaOf = fn(&mut Schemas) -> RefOr<Schema>;
/// Named schemas collected on the way.
pub type Schemas = Vec<(String, RefOr<Schema>)>;
/// A route's work.
pub type Run = fn(Call) -> Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// One answer of a route.
#[derive(Clone, Copy)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub media: &'static str,
    /// Its schema, if it has a JSON body.
    pub schema: Option<SchemaOf>,
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Route {
    /// HTTP method, or `ANY`.
    pub method: &'static str,
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// What it needs.
    pub permission: Permission,
    /// Over what.
    pub scope: Scope,
    /// How it is let in.
    pub class: Class,
    /// Query parameters it takes; others are refused.
    pub query: &'static [&'static str],
    /// Its body.
    pub body: Body,
    /// Schema of its JSON body, if that is what it takes.
    pub takes: Option<SchemaOf>,
    /// Its answers besides problems.
    pub answers: &'static [Answer],
    /// One line for people.
    pub summary: &'static str,
    /// Its work.
    pub run: Run,
}

impl Route {
    const fn new(method: &'static str, path: &'static str, summary: &'static str, run: Run) -> Route {
        Route {
            method,
            path,
            permission: Permission::Viewer,
            scope: Scope::Namespace,
            class: Class::Control,
            query: &[],
            body: Body::None,
            takes: None,
            answers: &[],
            summary,
            run,
        }
    }

    /// The axum filters of its method.
    pub fn filters(&self) -> Vec<MethodFilter> {
        match self.method {
            "GET" => vec![MethodFilter::GET],
            "PUT" => vec![MethodFilter::PUT],
            "POST" => vec![MethodFilter::POST],
            "DELETE" => vec![MethodFilter::DELETE],
            _ => vec![
                MethodFilter::GET,
                MethodFilter::PUT,
                MethodFilter::POST,
                MethodFilter::DELETE,
                MethodFilter::PATCH,
                MethodFilter::HEAD,
                MethodFilter::OPTIONS,
            ],
        }
    }

    /// What it needs.
    pub(super) const fn needs(mut self, permission: Permission) -> Route {
        self.permission = permission;
        self
    }

    /// Over what.
    pub(super) const fn over(mut self, scope: Scope) -> Route {
        self.scope = scope;
        self
    }

    /// How it is let in.
    pub(super) const fn class(mut self, class: Class) -> Route {
        self.class = class;
        self
    }

    /// Its query parameters.
    pub(super) const fn query(mut self, names: &'static [&'static str]) -> Route {
        self.query = names;
        self
    }

    /// Its body.
    pub(super) const fn body(mut self, body: Body) -> Route {
        self.body = body;
        self
    }

    /// Its JSON body.
    pub(super) const fn takes(mut self, schema: SchemaOf) -> Route {
        self.takes = Some(schema);
        self
    }

    /// Its answers.
    pub(super) const fn gives(mut self, answers: &'static [Answer]) -> Route {
        self.answers = answers;
        self
    }
}

/// A read.
pub(super) const fn get(path: &'static str, summary: &'static str, run: Run) -> Route {
    Route::new("GET", path, summary, run)
}

/// A write of a whole thing.
pub(super) const fn put(path: &'static str, summary: &'static str, run: Run) -> Route {
    Route::new("PUT", path, summary, run).needs(Permission::Editor)
}

/// Something to do.
pub(super) const fn post(path: &'static str, summary: &'static str, run: Run) -> Route {
    Route::new("POST", path, summary, run).needs(Permission::Operator)
}

/// A removal.
pub(super) const fn delete(path: &'static str, summary: &'static str, run: Run) -> Route {
    Route::new("DELETE", path, summary, run).needs(Permission::Editor)
}

/// Every method.
pub(super) const fn any(path: &'static str, summary: &'static str, run: Run) -> Route {
    Route::new("ANY", path, summary, run)
}

/// An answer with a JSON body.
pub(super) const fn json(status: u16, schema: SchemaOf) -> Answer {
    Answer { status, media: "application/json", schema: Some(schema) }
}

/// An answer without a body.
pub(super) const fn bare(status: u16) -> Answer {
    Answer { status, media: "", schema: None }
}

/// An answer of another media type.
pub(super) const fn media(status: u16, media: &'static str) -> Answer {
    Answer { status, media, schema: None }
}

/// The schema of a type, by reference.
pub(super) fn of<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    T::schemas(schemas);
    let name = T::name().into_owned();
    schemas.push((name.clone(), T::schema()));
    utoipa::openapi::Ref::from_schema_name(name).into()
}

/// The schema of a list of a type: `{items, nextPageToken}`.
pub(super) fn list<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder};
    let items = ArrayBuilder::new().items(of::<T>(schemas));
    let object = ObjectBuilder::new()
        .property("items", items)
        .required("items")
        .property("nextPageToken", <Option<String> as PartialSchema>::schema());
    RefOr::T(object.into())
}

/// The schema of one type or another.
pub(super) fn either<A: ToSchema, B: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    let either = utoipa::openapi::schema::OneOfBuilder::new().item(of::<A>(schemas)).item(of::<B>(schemas));
    RefOr::T(either.build().into())
}

/// Any JSON value.
pub(super) fn anything(_: &mut Schemas) -> RefOr<Schema> {
    <serde_json::Value as PartialSchema>::schema()
}
