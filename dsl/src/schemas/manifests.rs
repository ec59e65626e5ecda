//! The shapes of manifests (manifests.md).
//!
//! Owns one function for each kind's `spec`.

use super::shape::{
    any as anything, choice, count, def, defining, either, flag, keys, label, like, list, map, number,
    object, one_key, said, some, text,
};
use crate::manifest::{KINDS, RoleBinding};
use crate::value::Value;

/// The `spec` of a kind.
fn spec(kind: &str) -> Value {
    match kind {
        "Source" => source(),
        "Trigger" => trigger(),
        "Function" => function(),
        "Secret" => one_key(
            keys([("env", text()), ("file", text()), ("value", anything())]),
            &["env", "file", "value"],
        ),
        "Connection" => {
            let kinds = keys([
                ("kafka", keys(kafka_address())),
                ("minio", keys(minio_address())),
                ("mysql", keys(mysql_address())),
                ("http", http_connection()),
            ]);
            one_key(kinds, &["kafka", "minio", "mysql", "http"])
        }
        "Queue" => {
            keys([("!via", keys([("!embedded", keys([]))])), ("buffer", buffer()), ("retention", duration())])
        }
        "Namespace" => namespace(),
        _ => keys([("!role", choice(&RoleBinding::ROLES)), ("!subjects", some(text()))]),
    }
}

/// A manifest of one kind.
pub(super) fn kind(kind: &str) -> Value {
    defining(shape(kind), definitions())
}

/// A manifest of any kind.
pub(super) fn any() -> Value {
    defining(Value::object([("oneOf", Value::array(KINDS.map(shape)))]), definitions())
}

fn shape(kind: &str) -> Value {
    let metadata = keys([
        ("!name", label()),
        ("namespace", label()),
        ("labels", map(text())),
        ("annotations", map(text())),
    ]);
    let spec = spec(kind);
    let spec = if kind == "Namespace" {
        either([spec, Value::object([("type", Value::text("null"))])])
    } else {
        spec
    };
    keys([
        ("apiVersion", choice(&["tidemill/v1"])),
        ("!kind", choice(&[kind])),
        ("!metadata", metadata),
        ("!spec", spec),
    ])
}

/// Filters hold filters.
fn definitions() -> [(&'static str, Value); 1] {
    let attributes = || map(either([text(), number(), flag()]));
    let dialects = keys([
        ("exact", attributes()),
        ("prefix", attributes()),
        ("suffix", attributes()),
        ("all", some(def("filter"))),
        ("any", some(def("filter"))),
        ("not", def("filter")),
        ("sql", said(text(), "CESQL over the attributes: type = 'a' AND subject LIKE 'in/%'.")),
    ]);
    [("filter", one_key(dialects, &["exact", "prefix", "suffix", "all", "any", "not", "sql"]))]
}

fn duration() -> Value {
    said(text(), "A duration: 100ms, 5s, 10m, 2h, 7d, or ISO 8601 (PT5S).")
}

fn size() -> Value {
    said(either([text(), count(1)]), "A size: 512B, 64KiB, 1MiB, or a number of bytes.")
}

fn rate() -> Value {
    said(like("^[0-9.]+/.+$"), "A rate: 100/s, 5/m, 10/30s.")
}

fn expression() -> Value {
    said(anything(), "A value; `${ ... }` is an expression over the CloudEvent envelope.")
}

fn secret() -> Value {
    keys([("!secret", text())])
}

fn setting() -> Value {
    either([text(), number(), flag(), secret()])
}

fn source() -> Value {
    let overrides = keys([
        ("type", expression()),
        ("source", expression()),
        ("subject", expression()),
        ("id", expression()),
        ("time", expression()),
        ("dataschema", expression()),
        ("extensions", map(expression())),
    ]);
    let kinds = keys([
        ("enabled", flag()),
        ("description", text()),
        ("event", said(overrides, "Replaces attributes of the events.")),
        ("limits", keys([("rate", rate()), ("maxInFlight", count(1))])),
        ("http", http_source()),
        ("cron", cron_source()),
        ("kafka", kafka_source()),
        ("minio", minio_source()),
        ("mysql", mysql_source()),
    ]);
    one_key(kinds, &["http", "cron", "kafka", "minio", "mysql"])
}

fn http_source() -> Value {
    let hmac = keys([
        ("!scheme", choice(&["standardWebhooks", "github", "generic"])),
        ("!secrets", some(text())),
        ("header", text()),
        ("tolerance", duration()),
    ]);
    let jwt = keys([
        ("!issuer", text()),
        ("!audience", either([text(), some(text())])),
        ("leeway", duration()),
        ("jwksUri", said(text(), "Where the key set is.")),
        ("jwks", either([keys([("!keys", some(object()))]), secret()])),
        ("key", secret()),
    ]);
    let jwt = one_key(jwt, &["jwksUri", "jwks", "key"]);
    let auth =
        keys([("none", keys([])), ("bearer", secret()), ("basic", secret()), ("hmac", hmac), ("jwt", jwt)]);
    keys([
        ("!path", said(text(), "Under /hooks/{namespace}/.")),
        ("methods", some(text())),
        ("!auth", said(one_key(auth, &["none", "bearer", "basic", "hmac", "jwt"]), "Who may call.")),
        ("respond", choice(&["accepted", "output"])),
        ("timeout", duration()),
        ("maxBody", size()),
    ])
}

fn cron_source() -> Value {
    keys([
        ("!schedule", said(text(), "Five fields, or six with seconds in front.")),
        ("timezone", text()),
        ("dialect", choice(&["posix", "quartz"])),
        ("catchUp", choice(&["skip", "once", "all"])),
        ("maxCatchUp", count(1)),
        ("data", object()),
    ])
}

fn kafka_address() -> [(&'static str, Value); 3] {
    let security = keys([
        ("!protocol", choice(&["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"])),
        ("mechanism", choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])),
        ("credentials", secret()),
    ]);
    [("!brokers", some(text())), ("security", security), ("options", map(either([text(), number(), flag()])))]
}

fn kafka_source() -> Value {
    let [(_, brokers), security, options] = kafka_address();
    let shape = keys([
        ("connection", label()),
        ("brokers", brokers),
        security,
        options,
        ("!topics", some(text())),
        ("group", text()),
        ("start", either([choice(&["earliest", "latest"]), keys([("!timestamp", text())])])),
        ("format", choice(&["auto", "cloudevents", "plain"])),
    ]);
    one_key(shape, &["connection", "brokers"])
}

fn minio_address() -> [(&'static str, Value); 4] {
    [("!endpoint", text()), ("!credentials", secret()), ("region", text()), ("pathStyle", flag())]
}

fn minio_source() -> Value {
    let [(_, endpoint), (_, credentials), region, path_style] = minio_address();
    let carried = || keys([("!source", label())]);
    let via = keys([
        ("webhook", keys([("!arn", text()), ("path", text()), ("!token", secret())])),
        ("listen", keys([("backfill", flag())])),
        ("kafka", carried()),
        ("rabbitmq", carried()),
        ("nats", carried()),
    ]);
    let shape = keys([
        ("connection", label()),
        ("endpoint", endpoint),
        ("credentials", credentials),
        region,
        path_style,
        ("!bucket", text()),
        ("events", some(text())),
        ("prefix", text()),
        ("suffix", text()),
        ("!via", one_key(via, &["webhook", "listen", "kafka", "rabbitmq", "nats"])),
    ]);
    one_key(shape, &["connection", "endpoint"])
}

fn mysql_address() -> [(&'static str, Value); 3] {
    [("!url", said(text(), "mysql://host:port")), ("!credentials", secret()), ("tls", tls())]
}

fn tls() -> Value {
    let pem = || one_key(keys([("file", text()), ("secret", text())]), &["file", "secret"]);
    keys([("ca", pem()), ("certificate", pem()), ("key", pem()), ("serverName", text())])
}

fn http_connection() -> Value {
    let [auth, headers, tls] = http_access();
    keys([("!url", text()), auth, headers, tls])
}

fn http_access() -> [(&'static str, Value); 3] {
    [("auth", call_auth()), ("headers", map(setting())), ("tls", tls())]
}

fn call_auth() -> Value {
    one_key(keys([("basic", secret()), ("bearer", secret())]), &["basic", "bearer"])
}

fn mysql_source() -> Value {
    let [(_, url), (_, credentials), tls] = mysql_address();
    let shape = keys([
        ("connection", label()),
        ("url", url),
        ("credentials", credentials),
        tls,
        ("!tables", said(some(text()), "DATABASE.TABLE or DATABASE.*")),
        ("exclude", some(text())),
        ("operations", some(choice(&["insert", "update", "delete"]))),
        ("snapshot", choice(&["never", "initial"])),
        ("onGap", choice(&["stop", "snapshot", "skip"])),
        ("serverId", count(1)),
        ("heartbeat", duration()),
    ]);
    one_key(shape, &["connection", "url"])
}

fn target() -> Value {
    let shape = keys([("workflow", label()), ("version", text()), ("function", text()), ("sink", sink())]);
    one_key(shape, &["workflow", "function", "sink"])
}

fn sink() -> Value {
    let [(_, brokers), security, options] = kafka_address();
    let kafka = keys([
        ("connection", label()),
        ("brokers", brokers),
        security,
        options,
        ("!topic", expression()),
        ("key", expression()),
    ]);
    let [auth, headers, tls] = http_access();
    let http = [("url", expression()), ("sign", secret()), ("connection", label()), auth, headers, tls];
    let http = keys(http);
    one_key(keys([("http", http), ("kafka", kafka), ("connection", label())]), &["http", "kafka"])
}

fn buffer() -> Value {
    keys([
        ("rate", rate()),
        ("burst", count(1)),
        ("concurrency", count(1)),
        ("capacity", count(1)),
        ("orderBy", expression()),
        ("whenFull", choice(&["wait", "reject", "divert"])),
        ("priority", count(i32::MIN.into())),
    ])
}

fn retry() -> Value {
    let growing =
        |more: &'static str| keys([("!initial", duration()), (more, anything()), ("max", duration())]);
    let backoff = keys([
        ("constant", duration()),
        ("linear", growing("!step")),
        ("exponential", growing("factor")),
        ("schedule", some(duration())),
    ]);
    keys([
        ("preset", choice(&["fast", "day", "webhook", "aws", "none"])),
        ("attempts", count(1)),
        ("maxAge", duration()),
        ("backoff", one_key(backoff, &["constant", "linear", "exponential", "schedule"])),
        ("jitter", number()),
    ])
}

fn trigger() -> Value {
    let dead_letter = keys([
        ("workflow", label()),
        ("version", text()),
        ("function", text()),
        ("sink", sink()),
        ("none", keys([])),
    ]);
    keys([
        ("enabled", flag()),
        ("source", said(label(), "Absent: every event of the namespace.")),
        ("integration", choice(&["oneWay", "twoWay", "proxy"])),
        ("filters", said(list(def("filter")), "All must hold.")),
        (
            "data",
            said(map(anything()), "A content pattern in the shape of the payload: {order: {country: [de]}}."),
        ),
        ("!target", target()),
        ("input", expression()),
        ("tags", map(expression())),
        ("overlap", choice(&["allow", "skip", "queue", "replace"])),
        ("buffer", buffer()),
        ("retry", retry()),
        ("deadLetter", one_key(dead_letter, &["workflow", "function", "sink", "none"])),
    ])
}

fn function() -> Value {
    let limits = || {
        keys([
            ("concurrency", count(1)),
            ("queue", count(0)),
            ("queueAge", duration()),
            ("memory", size()),
            ("cpu", number()),
        ])
    };
    let http = [("!url", text()), ("method", text()), ("headers", map(setting())), ("auth", call_auth())];
    let http = keys(http);
    let process = keys([
        ("!command", some(text())),
        ("lifecycle", choice(&["oneShot", "resident"])),
        ("protocol", choice(&["http", "json"])),
        ("workdir", text()),
        ("environment", map(setting())),
        ("limits", limits()),
        ("minInstances", count(0)),
        ("maxInstances", count(1)),
        ("concurrency", count(1)),
        ("idle", duration()),
        ("startTimeout", duration()),
    ]);
    let schema = || keys([("!schema", anything())]);
    let shape = keys([
        ("timeout", duration()),
        ("limits", limits()),
        ("input", schema()),
        ("output", schema()),
        ("http", http),
        ("process", process),
        ("builtin", choice(&["echo", "sleep", "fail"])),
    ]);
    one_key(shape, &["http", "process", "builtin"])
}

fn namespace() -> Value {
    let quotas = keys([
        ("executionsPerSecond", number()),
        ("running", count(0)),
        ("storedBytes", size()),
        ("bufferBytes", size()),
    ]);
    keys([
        ("quotas", quotas),
        ("retention", keys([("executions", duration()), ("events", duration())])),
        ("egress", keys([("!allow", list(text()))])),
    ])
}
