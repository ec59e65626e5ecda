//! The table, the router and the OpenAPI description say the same.

use std::collections::BTreeSet;

use reqwest::Method;
use tidemill::api::openapi;
use tidemill::api::route::{Class, Permission, Scope};
use tidemill::api::routes::ROUTES;

use crate::service::{Service, send};

#[test]
fn the_description_is_the_table() {
    let document: serde_json::Value = serde_json::from_slice(&openapi::document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert((method.to_ascii_uppercase(), path.clone()));
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
            assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object());
        }
    }
    let table: BTreeSet<_> = ROUTES
        .iter()
        .flat_map(|route| {
            openapi::methods(route.method).into_iter().map(|m| (m.to_owned(), route.path.replace("{*", "{")))
        })
        .collect();
    assert_eq!(described, table);
    // Every reference leads to a schema that is there.
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn every_row_has_a_scope_that_fits_its_path() {
    for route in ROUTES {
        assert_eq!(route.scope == Scope::Cluster, !route.path.contains("{ns}"), "{}", route.path);
        assert_eq!(route.class == Class::Open, ["/livez", "/readyz"].contains(&route.path), "{}", route.path);
        let open = route.permission == Permission::None;
        assert_eq!(
            open,
            ["/livez", "/readyz", "/hooks/{ns}/{*path}"].contains(&route.path),
            "{}",
            route.path
        );
        assert!(!route.answers.is_empty(), "{}", route.path);
    }
}

#[test]
fn every_write_takes_a_dry_run() {
    // What judges and writes nothing is no write.
    let judges =
        ["/v1/lint", "/v1/namespaces/{ns}/triggers/{name}/test", "/v1/namespaces/{ns}/trigger-tests"];
    for route in ROUTES.iter().filter(|route| !matches!(route.method, "GET" | "ANY")) {
        let dry = route.query.contains(&"dryRun");
        assert_eq!(dry, !judges.contains(&route.path), "{} {}", route.method, route.path);
    }
}

#[test]
fn every_list_counts_when_asked() {
    for route in ROUTES.iter().filter(|route| route.query.contains(&"pageToken")) {
        for name in ["pageSize", "count"] {
            assert!(route.query.contains(&name), "{} {name}", route.path);
        }
    }
}

#[tokio::test]
async fn live_routes_are_the_table() {
    let service = Service::new().await;
    let fill = |path: &str| {
        let path = path.replace("{ns}", "default").replace("{name}", "nothing").replace("{*path}", "x");
        let path = path.replace("{alias}", "prod");
        path.replace("{id}", "00000000000000000000000000").replace("{source}", "s").replace("{event}", "e")
    };
    let all = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];
    let paths: BTreeSet<_> = ROUTES.iter().map(|route| route.path).collect();
    for path in paths {
        let of = |m: &Method| {
            ROUTES.iter().any(|r| r.path == path && openapi::methods(r.method).contains(&m.as_str()))
        };
        for method in &all {
            // What would change or end the service under test is only looked at from outside.
            if path == "/v1/namespaces/{ns}" && method == Method::DELETE || path.ends_with("/stream") {
                continue;
            }
            let answer = send(service.request(method.clone(), &fill(path)).body("")).await;
            assert_eq!(of(method), answer.status != 405, "{method} {path}: {}", answer.text);
            if answer.status == 405 && path != "/hooks/{ns}/{*path}" {
                for allowed in all.iter().filter(|m| of(m)) {
                    assert!(
                        answer.header("allow").contains(allowed.as_str()),
                        "{path}: {}",
                        answer.header("allow")
                    );
                }
                answer.problem(405, "method-not-allowed");
            }
        }
    }
    service.get("/openapi.json").await.is(200);
    service.stop().await;
}
