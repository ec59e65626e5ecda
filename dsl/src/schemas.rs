//! JSON schemas of workflows and manifests, for editors.
//!
//! Owns the one place they are made from: shapes in Rust beside the readers. An editor completes and checks with them; what
//! is judged on writing is the readers' affair, and a test holds both together. Schemas are drafts 2020-12, closed
//! (unknown keys are errors, as for the readers).

mod manifests;
mod shape;
mod workflow;

use crate::manifest::KINDS;
use crate::value::Value;

/// The names: `workflow`, `manifest` (any kind), and each kind of manifest in lower case.
pub const NAMES: [&str; 10] = [
    "workflow",
    "manifest",
    "source",
    "trigger",
    "function",
    "secret",
    "connection",
    "queue",
    "namespace",
    "rolebinding",
];

/// A schema by its name; none if there is no such schema.
pub fn named(name: &str) -> Option<Value> {
    let schema = match name {
        "workflow" => workflow::schema(),
        "manifest" => manifests::any(),
        kind => manifests::kind(KINDS.iter().find(|known| known.to_ascii_lowercase() == kind)?),
    };
    Some(shape::document(name, schema))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;
    use crate::schema::Schema;
    use crate::yaml;

    fn compiled(name: &str) -> Schema {
        Schema::compile(&named(name).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    #[test]
    fn every_name_has_a_schema_and_every_kind_a_name() {
        for name in NAMES {
            drop(compiled(name));
        }
        for kind in KINDS {
            assert!(NAMES.contains(&&*kind.to_ascii_lowercase()), "{kind}");
        }
        assert_eq!(named("nothing"), None);
    }

    /// What a reader and the schema say of one document.
    fn check(text: &str, good: bool) {
        let node = yaml::parse(text).unwrap();
        let is_manifest = manifest::Document::of(&node) == manifest::Document::Manifest;
        let read = if is_manifest {
            manifest::parse(&node, text, "default").is_ok()
        } else {
            crate::workflow::check(text).program.is_some()
        };
        assert_eq!(read, good, "the reader: {text}");
        let kind = node.get("kind").and_then(|kind| kind.as_str()).map(str::to_ascii_lowercase);
        let names = match &kind {
            Some(kind) => vec![kind.as_str(), "manifest"],
            None => vec!["workflow"],
        };
        for name in names {
            let judged = compiled(name).validate(&node.to_value());
            assert_eq!(judged.is_ok(), good, "the schema {name}: {text}: {judged:?}");
        }
    }

    #[test]
    fn schemas_and_readers_agree_on_manifests() {
        let spec = |kind: &str, spec: &str, good: bool| {
            check(&format!("kind: {kind}\nmetadata: {{name: a, labels: {{x: y}}}}\nspec: {spec}\n"), good);
        };
        spec("Source", "{http: {path: in, auth: {bearer: {secret: s}}, maxBody: 1MiB}}", true);
        spec(
            "Source",
            "{http: {path: in, auth: {hmac: {scheme: github, secrets: [a]}}}, limits: {rate: 5/s}}",
            true,
        );
        spec("Source", "{http: {path: in}}", false);
        spec(
            "Source",
            "{cron: {schedule: '0 7 * * *', timezone: Europe/Berlin, catchUp: all, data: {a: 1}}}",
            true,
        );
        spec("Source", "{cron: {schedule: '0 7 * * *', catchUp: never}}", false);
        spec(
            "Source",
            "{kafka: {brokers: ['h:1'], topics: [t], start: {timestamp: '2026-01-01T00:00:00Z'}}}",
            true,
        );
        spec("Source", "{kafka: {connection: c, topics: [t]}, event: {type: '${ .key }'}}", true);
        spec("Source", "{kafka: {brokers: ['h:1']}}", false);
        spec("Source", "{cron: {schedule: '0 7 * * *'}, http: {path: in, auth: {none: {}}}}", false);
        let minio = "endpoint: 'http://h:9000', bucket: b1b, credentials: {secret: s}";
        spec(
            "Source",
            &format!("{{minio: {{{minio}, prefix: in/, via: {{listen: {{backfill: false}}}}}}}}"),
            true,
        );
        spec("Source", "{minio: {connection: c, bucket: b1b, via: {kafka: {source: bus}}}}", true);
        spec("Source", &format!("{{minio: {{{minio}}}}}"), false);
        spec("Connection", "{minio: {endpoint: 'h:9000', credentials: {secret: s}}}", true);
        let full = "{filters: [{exact: {type: a}}, {not: {any: [{prefix: {source: /x}}]}}], target: {workflow: w, version: 1.0.0}, input: '${ .data }', tags: {n: '${ .id }'}, overlap: queue, buffer: {rate: 100/s, burst: 5, capacity: 10, whenFull: divert, orderBy: '${ .subject }'}, retry: {attempts: 3, backoff: {linear: {initial: 1s, step: 1s}}}, deadLetter: {none: {}}}";
        spec("Trigger", full, true);
        spec("Trigger", "{target: {function: 'charge:prod'}, retry: {preset: day}}", true);
        spec("Trigger", "{target: {workflow: w}, filter: []}", false);
        spec("Trigger", "{target: {workflow: w}, overlap: sometimes}", false);
        spec("Trigger", "{filters: []}", false);
        spec("Function", "{builtin: echo, timeout: 5s, limits: {concurrency: 3}}", true);
        spec(
            "Function",
            "{http: {url: 'http://h/x', headers: {a: {secret: s}}, auth: {basic: {secret: s}}}}",
            true,
        );
        spec("Function", "{process: {command: [a, b], lifecycle: resident, environment: {K: v}}}", true);
        spec("Function", "{builtin: ecko}", false);
        spec("Function", "{process: {command: []}}", false);
        spec("Secret", "{env: VAR}", true);
        spec("Secret", "{}", false);
        spec("Connection", "{kafka: {brokers: ['h:1'], security: {protocol: ssl}}}", true);
        spec("Connection", "{kafka: {}}", false);
        spec("Queue", "{via: {embedded: {}}, retention: 7d, buffer: {capacity: 5}}", true);
        spec("Queue", "{retention: 7d}", false);
        spec(
            "Namespace",
            "{quotas: {running: 5, storedBytes: 1GiB}, retention: {events: 2d}, egress: {allow: [10.0.0.0/8]}}",
            true,
        );
        spec("Namespace", "{quota: {}}", false);
        spec("RoleBinding", "{role: viewer, subjects: [a]}", true);
        spec("RoleBinding", "{role: king, subjects: [a]}", false);
    }

    #[test]
    fn schemas_and_readers_agree_on_workflows() {
        let tasks = |tasks: &str, good: bool| {
            let document = "document: {dsl: '1.0.3', namespace: default, name: w, version: '1.0.0'}";
            check(&format!("{document}\ndo:\n{tasks}\n"), good);
        };
        tasks("- a: {set: {x: 1}, if: '${ true }', then: end}", true);
        tasks("- a: {call: http, with: {method: get, endpoint: 'http://h/{id}', query: {a: 1}}}", true);
        tasks("- a: {call: 'charge:prod@default', with: {n: 1}}", true);
        tasks("- a: {for: {each: x, in: '${ .list }'}, while: '${ true }', do: [{b: {set: {y: 1}}}]}", true);
        tasks("- a: {fork: {compete: true, branches: [{b: {wait: PT1S}}, {c: {wait: {seconds: 1}}}]}}", true);
        tasks("- a: {switch: [{one: {when: '${ true }', then: exit}}, {other: {then: continue}}]}", true);
        tasks(
            "- a: {try: [{b: {raise: {error: {type: 'https://e/x', status: 400}}}}], catch: {errors: {with: {status: 400}}, retry: {delay: PT1S, limit: {attempt: {count: 2}}}}}",
            true,
        );
        tasks("- a: {emit: {event: {with: {type: t, source: /s, data: {x: 1}}}}}", true);
        tasks("- a: {listen: {to: {one: {with: {type: t}}}}, timeout: {after: PT1M}}", true);
        tasks(
            "- a: {run: {workflow: {namespace: default, name: v, version: '1.0.0', input: {x: 1}}, await: false}}",
            true,
        );
        tasks(
            "- a: {set: {x: 1}, output: {as: '${ .x }'}, export: {as: '${ . }'}, input: {from: '${ . }'}}",
            true,
        );
        tasks("- a: {sett: {x: 1}}", false);
        tasks("- a: {set: {x: 1}, wait: PT1S}", false);
        tasks("- a: {switch: [{one: {when: '${ true }'}}]}", false);
        tasks("- {}", false);
        check("document: {dsl: '1.0.3', namespace: default, name: w}\ndo: [{a: {set: {x: 1}}}]\n", false);
    }
}
