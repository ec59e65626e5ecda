//! The OpenAPI 3.1 description, made from the table of routes and the types of the bodies.
//!
//! Owns nothing of its own: what is not in the table is not described.

use std::collections::BTreeMap;

use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApiBuilder, PathItem, PathsBuilder, RefOr, Required,
    ResponseBuilder, Schema,
};

use super::route::{Body, Permission, Route, Schemas, Scope, of};
use super::routes::ROUTES;
use crate::problem::{MEDIA_TYPE, ProblemBody};

/// The document as JSON.
pub fn document() -> Vec<u8> {
    let mut schemas = Schemas::new();
    let problem = of::<ProblemBody<'static>>(&mut schemas);
    let mut items: BTreeMap<String, PathItem> = BTreeMap::new();
    for route in ROUTES {
        let path = route.path.replace("{*", "{");
        for method in methods(route.method) {
            let operation = operation(route, method, &problem, &mut schemas);
            let item = PathItem::new(http_method(method), operation);
            match items.get_mut(&path) {
                Some(own) => own.merge_operations(item),
                None => {
                    items.insert(path.clone(), item);
                }
            }
        }
    }
    let paths = items.into_iter().fold(PathsBuilder::new(), |paths, (path, item)| paths.path(path, item));
    let components = ComponentsBuilder::new().schemas_from_iter(schemas);
    let info = InfoBuilder::new()
        .title("Tidemill")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Events in, matched against triggers, durable workflows out."));
    let document = OpenApiBuilder::new()
        .info(info.build())
        .paths(paths.build())
        .components(Some(components.build()))
        .build();
    document.to_json().map(String::into_bytes).unwrap_or_default()
}

/// The methods of a row.
pub fn methods(method: &'static str) -> Vec<&'static str> {
    if method == "ANY" { vec!["GET", "PUT", "POST", "DELETE", "PATCH"] } else { vec![method] }
}

fn http_method(method: &str) -> HttpMethod {
    match method {
        "PUT" => HttpMethod::Put,
        "POST" => HttpMethod::Post,
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        _ => HttpMethod::Get,
    }
}

fn operation(route: &Route, method: &str, problem: &RefOr<Schema>, schemas: &mut Schemas) -> Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id(route, method)))
        .summary(Some(route.summary))
        .tag(tag(route))
        .description(Some(needs(route)));
    for name in parameters(route.path) {
        operation = operation.parameter(parameter(name, ParameterIn::Path, Required::True));
    }
    for name in route.query {
        operation = operation.parameter(parameter(name, ParameterIn::Query, Required::False));
    }
    if route.body != Body::None && method != "GET" && method != "DELETE" {
        let content = ContentBuilder::new().schema(route.takes.map(|schema| schema(schemas))).build();
        let media = if route.takes.is_some() { "application/json" } else { "*/*" };
        operation = operation.request_body(Some(RequestBodyBuilder::new().content(media, content).build()));
    }
    for answer in route.answers {
        let mut response = ResponseBuilder::new().description(reason(answer.status));
        if !answer.media.is_empty() {
            let content = ContentBuilder::new().schema(answer.schema.map(|schema| schema(schemas)));
            response = response.content(answer.media, content.build());
        }
        operation = operation.response(answer.status.to_string(), response.build());
    }
    let refusal = ContentBuilder::new().schema(Some(problem.clone())).build();
    let refusal = ResponseBuilder::new().description("A problem (RFC 9457)").content(MEDIA_TYPE, refusal);
    operation.response("default", refusal.build()).build()
}

fn parameter(name: &str, place: ParameterIn, required: Required) -> utoipa::openapi::path::Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(schema)).build()
}

/// The names in braces of a path.
fn parameters(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(|name| name.trim_start_matches('*'))
}

/// Method and path as one word.
fn id(route: &Route, method: &str) -> String {
    let mut id = method.to_ascii_lowercase();
    for part in route.path.split('/').filter(|part| !matches!(*part, "" | "v1" | "namespaces" | "{ns}")) {
        let word = part.trim_matches(['{', '}', '*']);
        for piece in word.split(['-', '.']) {
            let mut letters = piece.chars();
            id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            id.push_str(letters.as_str());
        }
    }
    if route.path.ends_with("/namespaces") {
        id.push_str("Namespaces");
    } else if route.path.ends_with("/{ns}") {
        id.push_str("Namespace");
    }
    id
}

fn tag(route: &Route) -> String {
    let mut parts = route.path.split('/').filter(|part| !matches!(*part, "" | "v1" | "namespaces" | "{ns}"));
    parts.next().unwrap_or("namespaces").to_owned()
}

fn needs(route: &Route) -> String {
    let permission = match route.permission {
        Permission::None => return "Open to everyone.".into(),
        Permission::Viewer => "viewer",
        Permission::Operator => "operator",
        Permission::Editor => "editor",
        Permission::SecretAdmin => "secret-admin",
        Permission::Admin => "admin",
    };
    let scope = if route.scope == Scope::Cluster { "the service" } else { "the namespace" };
    format!("Needs the permission `{permission}` over {scope}.")
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "Done",
        201 => "Created",
        202 => "Accepted",
        204 => "Done, nothing to tell",
        _ => "An answer",
    }
}
