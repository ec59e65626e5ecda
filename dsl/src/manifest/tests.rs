//! Manifests that are read and manifests that are refused, by code and line.

use super::*;
use crate::yaml;

fn whole(kind: &str, spec: &str) -> String {
    format!("kind: {kind}\nmetadata: {{name: x}}\nspec:\n{spec}\n")
}

fn found(text: &str) -> (Option<Manifest>, Vec<Diagnostic>) {
    match yaml::parse(text) {
        Ok(node) => check(&node, text, "default"),
        Err(found) => (None, found),
    }
}

fn read(kind: &str, spec: &str) -> Manifest {
    let text = whole(kind, spec);
    let (manifest, found) = found(&text);
    let told: String = found.iter().map(|d| d.render("x.yaml", &text)).collect();
    manifest.unwrap_or_else(|| panic!("{told}"))
}

/// The mistakes of a text as `CODE:line`, in order; each must have a column, a message and a pointer that is there.
fn mistakes(text: &str) -> String {
    let (manifest, found) = found(text);
    let errors: Vec<_> = found.iter().filter(|d| d.severity == Severity::Error).collect();
    assert_eq!(manifest.is_none(), !errors.is_empty(), "{text}");
    for d in &errors {
        assert!(d.span.column >= 1 && !d.message.is_empty(), "{d:?}");
        assert!(d.span.line as usize <= text.lines().count(), "{d:?}");
        let root = yaml::parse(text).map(|node| node.pointer(&d.pointer).is_some());
        assert_ne!(root, Ok(false), "{}: {text}", d.pointer);
    }
    errors.iter().map(|d| format!("{}:{}", d.code, d.span.line)).collect::<Vec<_>>().join(" ")
}

fn source(spec: &str) -> Source {
    let Manifest::Source(source) = read("Source", spec) else { panic!("no source") };
    *source
}

fn trigger(spec: &str) -> Trigger {
    let Manifest::Trigger(trigger) = read("Trigger", spec) else { panic!("no trigger") };
    *trigger
}

fn function(spec: &str) -> Function {
    let Manifest::Function(function) = read("Function", spec) else { panic!("no function") };
    *function
}

#[test]
fn bad_manifests_by_code_and_line() {
    let check = |text: &str, expected: &str| assert_eq!(mistakes(text), expected, "\n{text}");
    check("kind: Sauce\nmetadata: {name: x}\nspec: {}\n", "E1001:1");
    check("kind: source\nmetadata: {name: x}\nspec: {}\n", "E1001:1");
    check("apiVersion: v1\nkind: Queue\nmetadata: {name: x}\nspec: {via: {embedded: {}}}\n", "E1002:1");
    check("metadata: {name: x}\nspec: {}\n", "E0202:1");
    check("kind: Queue\nspec: {via: {embedded: {}}}\n", "E0202:1");
    check("kind: Queue\nmetadata: {name: x}\n", "E0202:1");
    check("kind: Queue\nmetadata: {}\nspec: {via: {embedded: {}}}\n", "E0202:2");
    check("kind: Queue\nmetadata:\n  name: Bad_Name\nspec: {via: {embedded: {}}}\n", "E0208:3");
    check("kind: Queue\nmetadata:\n  name: x\n  namespace: a.b\nspec: {via: {embedded: {}}}\n", "E0208:4");
    check("kind: Queue\nmetadata:\n  name: x\n  labels: {a: 1}\nspec: {via: {embedded: {}}}\n", "E0203:4");
    check("kind: Queue\nmetadata:\n  nam: x\nspec: {via: {embedded: {}}}\n", "E0201:3 E0202:3");
    check("kind: Queue\nmetadata: {name: x}\nspecs: {}\n", "E0202:1 E0201:3");
    check("kind: Queue\nkind: Queue\nmetadata: {name: x}\n", "E0102:2");
    check("- kind: Queue\n", "E0203:1");
    check("kind: Namespace\nmetadata: {name: x, namespace: y}\nspec: {}\n", "E0204:2");
}

#[test]
fn bad_sources_by_code_and_line() {
    let check = |spec: &str, expected: &str| {
        let text = whole("Source", spec);
        assert_eq!(mistakes(&text), expected, "\n{text}");
    };
    check("", "E0206:3");
    check("  enabled: true", "E1003:4");
    check("  cron: {schedule: '* * * * *'}\n  http: {path: a, auth: {none: {}}}", "E1003:4");
    check("  enabled: 'yes'\n  cron: {schedule: '* * * * *'}", "E0203:4");
    check("  corn: {schedule: '* * * * *'}", "E0201:4 E1003:4");
    check("  cron:\n    schedule: '61 * * * *'", "E1010:5");
    check("  cron:\n    schedule: 5", "E0203:5");
    check("  cron:\n    schedul: '* * * * *'", "E0201:5 E0202:5");
    check("  cron:\n    schedule: '* * * * *'\n    timezone: 'Mars/ Base'", "E1011:6");
    check("  cron:\n    schedule: '* * * * *'\n    catchUp: always", "E0204:6");
    check("  cron:\n    schedule: '* * * * *'\n    maxCatchUp: 0", "E1018:6");
    check("  cron:\n    schedule: '* * * * *'\n    data: [1]", "E0203:6");
    check("  http:\n    path: /hooks/other/a\n    auth: {none: {}}", "E1009:5");
    check("  http:\n    path: a//b\n    auth: {none: {}}", "E1009:5");
    check("  http:\n    path: ../b\n    auth: {none: {}}", "E1009:5");
    check("  http:\n    path: a", "E0202:5");
    check("  http:\n    path: a\n    auth: {mtls: {ca: {file: x}}}", "E1107:6");
    let jwt = |fields: &str, expected: &str| {
        check(&format!("  http:\n    path: a\n    auth:\n      jwt: {{{fields}}}"), expected);
    };
    jwt("issuer: x", "E0202:7 E1003:7");
    jwt("issuer: x, audience: [], key: {secret: s}", "E0206:7");
    jwt("issuer: x, audience: a, key: {secret: s}, jwksUri: 'https://h/k'", "E1003:7");
    jwt("issuer: x, audience: a, jwksUri: 'ftp://h/k'", "E1014:7");
    jwt("issuer: x, audience: a, key: {secret: s}, leeway: 6m", "E1015:7");
    jwt("issuer: x, audience: a, jwks: {keys: [{kty: oct}]}", "E1043:7");
    jwt("issuer: x, audience: a, jwks: {keys: []}", "E0206:7");
    check("  http:\n    path: a\n    auth: {bearer: {secret: ''}}", "E0208:6");
    check("  http:\n    path: a\n    auth: {bearer: {token: x}}", "E0202:6 E0201:6");
    check("  http:\n    path: a\n    auth:\n      hmac: {scheme: gitlab, secrets: []}", "E0204:7 E0206:7");
    check("  http:\n    path: a\n    auth: {none: {}}\n    methods: [FETCH]", "E1021:7");
    check("  http:\n    path: a\n    auth: {none: {}}\n    maxBody: 11MiB", "E1016:7");
    check("  http:\n    path: a\n    auth: {none: {}}\n    maxBody: 1mb", "E1016:7");
    check("  http:\n    path: a\n    auth: {none: {}}\n    timeout: 30", "E0203:7");
    check("  http:\n    path: a\n    auth: {none: {}}\n    timeout: 30 parsecs", "E1015:7");
    check("  http:\n    path: a\n    auth: {none: {}}\n    timeout: 61s", "E1015:7");
    check("  kafka:\n    topics: [a]", "E0202:5");
    check("  kafka:\n    brokers: ['localhost']\n    topics: [a]", "E1012:5");
    check("  kafka:\n    brokers: ['localhost:99999']\n    topics: ['a b']", "E1012:5 E0208:6");
    check("  kafka:\n    brokers: []\n    topics: []", "E0206:5 E0206:6");
    check("  kafka:\n    connection: c\n    brokers: ['h:1']\n    topics: [a]", "E0205:6");
    check(
        "  kafka:\n    brokers: ['h:1']\n    topics: [a]\n    options:\n      group.id: x\n      fetch.min.bytes: [1]",
        "E1013:8 E0203:9",
    );
    check("  kafka:\n    brokers: ['h:1']\n    topics: [a]\n    security: {protocol: sasl_ssl}", "E1023:7");
    check(
        "  kafka:\n    brokers: ['h:1']\n    topics: [a]\n    security: {protocol: ssl, mechanism: PLAIN}",
        "E1023:7",
    );
    check("  kafka:\n    brokers: ['h:1']\n    topics: [a]\n    start: {timestamp: today}", "E0204:7");
    check("  kafka:\n    brokers: ['h:1']\n    topics: [a]\n    start: newest", "E0204:7");
    for later in ["rabbitmq", "nats"] {
        check(&format!("  {later}: {{anything: goes}}"), "E1101:4");
    }
    let event = |line: &str, expected: &str| {
        check(&format!("  cron: {{schedule: '* * * * *'}}\n  event:\n    {line}"), expected);
    };
    event("type: ''", "E1007:6");
    event("source: 'a b'", "E1007:6");
    event("time: noon", "E1007:6");
    event("typo: x", "E0201:6");
    event("extensions: {tidemillhop: 1}", "E1006:6");
    event("extensions: {subject: x}", "E1006:6");
    event("extensions: {my-ext: x}", "E1005:6");
    event("extensions: {ext: {a: 1}}", "E1007:6");
    check("  cron: {schedule: '* * * * *'}\n  limits: {rate: fast, maxInFlight: -1}", "E1017:5 E1018:5");
}

#[test]
fn bad_triggers_by_code_and_line() {
    let check = |spec: &str, expected: &str| {
        let text = whole("Trigger", &format!("  target: {{workflow: w}}\n{spec}"));
        assert_eq!(mistakes(&text), expected, "\n{text}");
    };
    check("  filters: {exact: {type: a}}", "E0203:5");
    check("  filters:\n  - exact: {type: a}\n    prefix: {type: b}", "E1004:6");
    check("  filters: [{}]", "E1004:5");
    check("  filters: [{exakt: {type: a}}]", "E1004:5");
    check("  filters: [{sql: \"type = 'a' AND\"}]", "E1041:5");
    check("  filters:\n  - sql: >-\n      type = 'a'\n      AND NOPE(subject)", "E1041:7");
    check("  filters: [{sql: 1}]", "E0203:5");
    check("  filters: [{exact: {}}]", "E0206:5");
    check("  filters: [{exact: {type: ''}}]", "E0204:5");
    check("  filters: [{exact: {type: [a]}}]", "E0203:5");
    check("  filters: [{exact: {Type: a}}]", "E1005:5");
    check("  filters: [{exact: {data: a}}]", "E1005:5");
    check("  filters: [{any: []}]", "E0206:5");
    check(
        "  filters:\n  - not:\n      all:\n      - exact: {type: a}\n      - sufix: {subject: b}",
        "E1004:9",
    );
    check("  data: {}", "E0206:5");
    check("  data: {a: []}", "E0206:5");
    check("  data: {a: 1}", "E1040:5");
    check("  data: {a: [[1]]}", "E0203:5");
    check("  data:\n    a:\n    - {prefix: x, suffix: y}\n    - {sufix: y}", "E1040:7 E1040:8");
    check(
        "  data: {a: [{numeric: ['>', 1, '<']}, {numeric: ['>', '1']}, {numeric: ['~', 1]}]}",
        "E1040:5 E0203:5 E0204:5",
    );
    check("  data: {a: [{cidr: 10.0.0.0/33}, {wildcard: 'a**b'}, {exists: 1}]}", "E1040:5 E1040:5 E0203:5");
    check(
        "  data: {a: [{anything-but: []}, {anything-but: {cidr: x}}, {anything-but: [{a: b}]}]}",
        "E0206:5 E1040:5 E0203:5",
    );
    check("  data: {$or: []}", "E0206:5");
    check("  data:\n    $or:\n    - {a: [1]}\n    - {b: x}", "E1040:8");
    check(&format!("  data: {{a: [{}]}}", "1, ".repeat(1001)), "E1040:5");
    check("  overlap: maybe", "E0204:5");
    check("  integration: twoWay", "E1008:5");
    check("  integration: bothWays", "E0204:5");
    check("  source: Not A Name", "E0208:5");
    check("  tags: {'a b': x}", "E0208:5");
    check("  buffer: {rate: 100, burst: 0, capacity: 0}", "E0203:5 E1018:5 E1018:5");
    check("  buffer: {whenFull: explode}", "E0204:5");
    check("  buffer: {queue: q}", "E1105:5");
    check("  buffer:\n    orderby: x", "E0201:6");
    check("  retry: {}", "E1019:5");
    check("  retry: {preset: week}", "E0204:5");
    check("  retry: {maxAge: 8d}", "E1019:5");
    check("  retry: {attempts: 0}", "E1018:5");
    check("  retry: {backoff: {constant: 5s, schedule: [5s]}}", "E1003:5");
    check("  retry: {backoff: {exponential: {factor: 2}}}", "E0202:5");
    check("  retry: {backoff: {linear: {initial: 1s}}}", "E0202:5");
    check("  retry: {backoff: {exponential: {initial: 10s, max: 1s}}}", "E1019:5");
    check("  retry: {preset: day, jitter: 2}", "E1018:5");
    check("  deadLetter: {sink: {nats: {subject: t}}}", "E1104:5");
    check("  deadLetter: {sink: {kafka: {topic: t}}}", "E0202:5");
    check("  deadLetter: {queue: q}", "E1105:5");
    check("  deadLetter: {none: {}, workflow: w}", "E1003:5");
    let target = |target: &str, expected: &str| {
        let text = whole("Trigger", &format!("  target: {target}"));
        assert_eq!(mistakes(&text), expected, "\n{text}");
    };
    target("{}", "E1003:4");
    target("w", "E0203:4");
    target("{workflow: W}", "E0208:4");
    target("{workflow: w, version: 1.0.0}", "");
    target("{workflow: w, version: '1'}", "E1020:4");
    target("{workflow: w, alias: prod}", "E1111:4");
    target("{workflow: w, function: f}", "E1003:4");
    target("{function: 'f:'}", "E1020:4");
    target("{function: f, version: '3'}", "E1020:4");
    target("{sink: {http: {url: 'http://h'}}}", "");
    target("{sink: {http: {url: '${ .data.url }', sign: {secret: s}}}}", "");
    target("{sink: {kafka: {brokers: ['b:1'], topic: t, key: '${ .subject }'}}}", "");
    target("{sink: {kafka: {topic: '${ .type }'}, connection: bus}}", "");
    target("{sink: {mysql: {statement: s}}}", "E1104:4");
    target("{sink: {}}", "E1003:4");
    target("{sink: {http: {url: h}}}", "E1014:4");
    target("{sink: {http: {url: '${ . | }'}}}", "E0401:4");
    target("{sink: {http: {url: 'http://h'}, connection: c}}", "");
    target("{sink: {http: {}, connection: c}}", "");
    target("{sink: {http: {connection: c, url: 'a/b?c=d', sign: {secret: s}}}}", "");
    target("{sink: {http: {connection: c, url: '//h'}}}", "E1014:4");
    target("{sink: {http: {connection: c, url: 'ftp://h'}}}", "E1014:4");
    target("{sink: {http: {connection: c}, connection: c}}", "E0205:4");
    target("{sink: {http: {connection: c, auth: {bearer: {secret: s}}}}}", "E0205:4");
    target("{sink: {http: {auth: {bearer: {secret: s}}}}}", "E0202:4");
    target("{sink: {http: {url: 'http://h', auth: {basic: {secret: s}}, headers: {a: '${ .id }'}}}}", "");
    target("{sink: {http: {url: 'http://h', headers: {a: '${ .id | }'}}}}", "E0401:4");
    target("{sink: {http: {url: 'http://h', headers: {ce-id: a}}}}", "E1022:4");
    target("{sink: {http: {url: 'https://h', tls: {ca: {file: '${ .data.a }'}}}}}", "E0204:4");
    target("{sink: {http: {url: 'http://h', headers: {a: {secret: '${ .data.a }'}}}}}", "E0208:4");
    target("{sink: {http: {url: '${ .data.url }', headers: {a: b}}}}", "");
    target("{sink: {http: {url: '${ .data.url }', auth: {bearer: {secret: s}}}}}", "E0205:4");
    target("{sink: {http: {url: '${ .data.url }', headers: {a: {secret: s}}}}}", "E0205:4");
    target("{sink: {http: {url: 'http://h', tls: {ca: {secret: s}}}}}", "E1014:4");
    target("{sink: {http: {url: 'https://h', tls: {ca: {secret: s}}}}}", "");
    target("{sink: {http: {url: 'https://h', tls: {serverName: 127.0.0.1}}}}", "E0204:4");
    target("{sink: {kafka: {brokers: ['b:1'], topic: 'a b'}}}", "E0208:4");
    target("{sink: {kafka: {brokers: ['b:1'], topic: t}, connection: bus}}", "E0205:4");
    target("{sink: {kafka: {connection: bus, topic: t}, connection: bus}}", "E0205:4");
    assert_eq!(mistakes(&whole("Trigger", "  enabled: true")), "E0202:4");
}

#[test]
fn other_bad_manifests_by_code_and_line() {
    let check = |kind: &str, spec: &str, expected: &str| {
        let text = whole(kind, spec);
        assert_eq!(mistakes(&text), expected, "\n{text}");
    };
    check("Function", "  timeout: 30s", "E1003:4");
    check("Function", "  builtin: eco", "E0204:4");
    for later in ["python", "node", "shell", "remote"] {
        check("Function", &format!("  {later}: {{handler: x}}"), "E1106:4");
    }
    check("Function", "  builtin: echo\n  onSuccess: {workflow: w}", "E1108:5");
    check("Function", "  builtin: echo\n  input: {schema: {type: nothing}}", "E0702:5");
    check("Function", "  http: {url: 'ftp://h'}", "E1014:4");
    check("Function", "  http: {url: 'http://u:p@h/'}", "E1014:4");
    check("Function", "  http: {url: 'http://'}", "E1014:4");
    check("Function", "  http: {method: POST}", "E0202:4");
    check("Function", "  http: {url: 'http://h', method: 'GET IT'}", "E1021:4");
    check("Function", "  http: {url: 'http://h', headers: {'a b': c}}", "E1022:4");
    check("Function", "  http: {url: 'http://h', headers: {Host: c}}", "E1022:4");
    check("Function", "  http: {url: 'http://h', headers: {a: \"b\\nc\"}}", "E1022:4");
    check("Function", "  http: {url: 'http://h', sign: {secret: s}}", "E1110:4");
    check("Function", "  http: {url: 'http://h', auth: {oauth2: {}}}", "E1107:4");
    check("Function", "  process: {command: []}", "E0206:4");
    check("Function", "  process: {command: [a], protocol: http}", "E0204:4");
    check("Function", "  process: {command: [a], minInstances: 2}", "E1018:4");
    check("Function", "  process: {command: [a], lifecycle: forever}", "E0204:4");
    check("Function", "  process: {command: [a], environment: {TIDEMILL_SOCKET: x}}", "E1022:4");
    check("Connection", "  nats: {servers: [a]}", "E1109:4");
    check("Connection", "  kafka: {}", "E0202:4");
    check("Connection", "  http: {url: 'https://h/a', auth: {bearer: {secret: s}}, headers: {a: b}}", "");
    check("Connection", "  http: {url: 'https://h', tls: {ca: {file: /a}, serverName: a.b}}", "");
    check("Connection", "  http: {url: 'https://h', tls: {certificate: {file: /a}}}", "E0205:4");
    check("Connection", "  http: {url: 'http://h', tls: {ca: {file: /a}}}", "E1014:4");
    check("Connection", "  http: {url: 'http://h?a=b'}", "E1014:4");
    check("Connection", "  http: {auth: {bearer: {secret: s}}}", "E0202:4");
    check("Connection", "  http: {url: 'http://h', auth: {oauth2: {}}}", "E1107:4");
    check("Connection", "  http: {url: 'http://h', headers: {Authorization: a}}", "E1022:4");
    check("Connection", "  http: {url: 'http://h', headers: {a: '${ .id }'}}", "E0204:4");
    check("Queue", "  via: {kafka: {connection: c, topic: t}}", "E1105:4");
    check("Queue", "  via: {embedded: {}}\n  retention: 7", "E0203:5");
    check("Secret", "  {}", "E1003:4");
    check("Secret", "  env: A\n  value: x", "E1003:5");
    check("Namespace", "  quotas: {running: many}", "E0203:4");
    check("Namespace", "  retention: {events: 1h}", "E1015:4");
    check("Namespace", "  egress: {allow: ['10.0.0.0/33', 'a b']}", "E1024:4 E1024:4");
    check("RoleBinding", "  role: king\n  subjects: [a]", "E0204:4");
    check("RoleBinding", "  role: viewer", "E0202:4");
}

#[test]
fn unknown_keys_are_guessed() {
    let text = whole("Trigger", "  target: {workflow: w}\n  filtres: []");
    let (_, found) = found(&text);
    assert_eq!(
        found[0].render("t.yaml", &text),
        "t.yaml:5:3: error[E0201]: unknown key `filtres` in the spec of a Trigger\n  |\n5 |   filtres: []\n  |   ^^^^^^^\n  = help: did you mean `filters`?\n"
    );
}

#[test]
fn sources_with_their_defaults() {
    let SourceKind::Http(http) =
        source("  http: {path: /hooks/default/in/orders, auth: {hmac: {scheme: github, secrets: [s, t]}}}")
            .kind
    else {
        panic!("no http")
    };
    assert_eq!(
        http,
        HttpSource {
            path: "in/orders".into(),
            methods: vec!["POST".into()],
            auth: HttpAuth::Hmac {
                scheme: HmacScheme::GitHub,
                secrets: vec!["s".into(), "t".into()],
                header: None,
                tolerance: std::time::Duration::from_mins(5)
            },
            respond: Respond::Accepted,
            timeout: std::time::Duration::from_secs(30),
            max_body: 1024 * 1024,
        }
    );
    let SourceKind::Cron(cron) = source("  cron: {schedule: '*/5 * * * *'}").kind else { panic!("no cron") };
    assert_eq!(
        cron,
        CronSource {
            schedule: "*/5 * * * *".into(),
            timezone: "UTC".into(),
            dialect: Dialect::Posix,
            catch_up: CatchUp::Once,
            max_catch_up: 100,
            data: None
        }
    );
    let SourceKind::Kafka(kafka) = source("  kafka: {brokers: ['h:9092', '[::1]:9093'], topics: [t]}").kind
    else {
        panic!("no kafka")
    };
    assert_eq!(
        (&*kafka.group, kafka.start, kafka.format),
        ("tidemill.default.x", Start::Latest, Format::Auto)
    );
    let Link::Inline(connection) = kafka.connection else { panic!("no connection") };
    assert_eq!((connection.brokers.len(), connection.security), (2, KafkaSecurity::default()));
}

#[test]
fn a_kafka_source_with_everything() {
    let spec = "
  enabled: false
  description: orders
  limits: {rate: 100/s, maxInFlight: 50}
  kafka:
    brokers: [h:9092]
    security: {protocol: sasl_ssl, mechanism: SCRAM-SHA-512, credentials: {secret: k}}
    options: {fetch.min.bytes: 1, socket.keepalive.enable: true, ssl.ca.location: /ca.pem}
    topics: [a, b]
    group: g
    start: {timestamp: 2026-01-01T00:00:00Z}
    format: plain";
    let source = source(spec);
    assert_eq!((source.enabled, source.limits.max_in_flight), (false, Some(50)));
    let SourceKind::Kafka(kafka) = source.kind else { panic!("no kafka") };
    assert_eq!(kafka.start, Start::Timestamp(crate::ids::Time::parse("2026-01-01T00:00:00Z").unwrap()));
    let Link::Inline(connection) = kafka.connection else { panic!("no connection") };
    assert_eq!(connection.security.mechanism, Some(Mechanism::ScramSha512));
    assert_eq!(connection.options[1], ("socket.keepalive.enable".into(), "true".into()));
}

#[test]
fn triggers() {
    let least = trigger("  target: {workflow: w}");
    assert!(
        least.enabled
            && least.buffer.is_none()
            && least.retry_policy().is_none()
            && least.rule(false).enabled
    );
    assert_eq!((least.overlap, &least.dead_letter), (Overlap::Allow, &DeadLetter::Store));
    assert_eq!(least.integration_with(None), Integration::OneWay);
    assert!(!least.rule(true).enabled);
    let full = trigger(
        "
  source: uploads
  integration: oneWay
  filters:
  - exact: {type: a, priority: 7}
  - any: [{prefix: {subject: in/}}, {not: {suffix: {subject: .csv}}}]
  target: {function: charge:prod}
  input: '${ .data }'
  tags: {orderId: '${ .data.orderId }'}
  overlap: queue
  buffer: {rate: 100/s, burst: 200, concurrency: 20, orderBy: '${ .subject }', whenFull: divert, priority: -3}
  retry: {attempts: 5, maxAge: 24h, backoff: {exponential: {initial: 1s, factor: 2, max: 10m}}, jitter: 0.2}
  deadLetter: {workflow: repair}",
    );
    assert_eq!(full.filters.len(), 2);
    assert_eq!(full.target, Target::Function { name: "charge".into(), version: Some("prod".into()) });
    let buffer = full.buffer.as_ref().unwrap();
    assert_eq!((buffer.burst, buffer.capacity, buffer.priority), (Some(200), 1_000_000, -3));
    assert_eq!(buffer.when_full, WhenFull::Divert);
    let retry = full.retry_policy().unwrap();
    assert_eq!((retry.attempts, retry.jitter), (Some(5), 0.2));
    let names: Vec<_> = Manifest::Trigger(Box::new(full.clone()))
        .references()
        .into_iter()
        .map(|r| (r.kind, r.name.to_string(), r.span.line))
        .collect();
    let expected = [("Source", "uploads", 5), ("Function", "charge", 10), ("Workflow", "repair", 16)];
    assert_eq!(names, expected.map(|(kind, name, line)| (kind, name.to_owned(), line)));
    assert_eq!(trigger("  target: {function: f}").retry_policy(), RetryPolicy::preset("day"));
    let sink = trigger("  target: {sink: {kafka: {topic: t}, connection: bus}}");
    assert_eq!(sink.retry_policy(), RetryPolicy::preset("day"));
    let named = Manifest::Trigger(Box::new(sink)).references().remove(0);
    assert_eq!((named.kind, &*named.name, &*named.pointer), ("Connection", "bus", "/spec/target/sink"));
    let scheduled =
        trigger("  target: {workflow: w}\n  retry: {backoff: {schedule: [5s, 5m]}}").retry.unwrap();
    assert_eq!(scheduled.attempts, Some(3));
    assert_eq!(trigger("  target: {workflow: w}\n  deadLetter: {none: {}}").dead_letter, DeadLetter::Drop);
}

#[test]
fn an_integration_agrees_with_its_source() {
    let cron = source("  cron: {schedule: '* * * * *'}");
    let check = |integration: &str, with: Option<&Source>, expected: Option<&str>| {
        let trigger =
            trigger(&format!("  source: x\n  target: {{workflow: w}}\n  integration: {integration}"));
        let found = trigger.check_integration(with);
        assert_eq!(
            found.as_ref().map(|d| (d.code, d.span.line, &*d.message)),
            expected.map(|m| ("E1008", 6, m))
        );
    };
    check("oneWay", Some(&cron), None);
    check(
        "proxy",
        Some(&cron),
        Some("`integration: proxy` does not agree with the source `x` of kind cron, which is oneWay"),
    );
    check("proxy", None, None);
    assert_eq!((Integration::OneWay.rule_home(), Integration::OneWay.fires_from()), ("engine", "engine"));
}

#[test]
fn functions() {
    let noop = function("  builtin: echo");
    assert_eq!((noop.kind, noop.timeout.as_secs()), (FunctionKind::Builtin(Builtin::Echo), 30));
    let http = function(
        "  timeout: PT5S
  limits: {concurrency: 4, queueAge: 10s}
  input: {schema: {format: json, document: {type: object}}}
  http: {url: 'https://h:8443/x?y=1', headers: {x-a: 1, x-b: {secret: s}}, auth: {bearer: {secret: t}}}",
    );
    assert!(http.input.as_ref().is_some_and(|schema| schema.validate(&Value::from(1)).is_err()));
    let FunctionKind::Http { method, headers, auth, .. } = http.kind else { panic!("no http") };
    assert_eq!((&*method, auth), ("POST", Some(CallAuth::Bearer { secret: "t".into() })));
    assert_eq!(headers[1], ("x-b".into(), Setting::Secret("s".into())));
    let resident = function("  process: {command: [./serve], lifecycle: resident, limits: {memory: 64MiB}}");
    assert_eq!(resident.limits.memory, Some(64 << 20));
    let FunctionKind::Process(process) = resident.kind else { panic!("no process") };
    assert_eq!((process.protocol, process.max_instances, process.concurrency), (ProcessProtocol::Http, 1, 1));
    assert_eq!((process.idle.as_secs(), process.start_timeout.as_secs()), (300, 10));
}

#[test]
fn secrets_are_not_shown() {
    let manifest = read("Secret", "  value: {token: hunter2}");
    assert!(!format!("{manifest:?}{}", manifest.to_value()).contains("hunter2"));
    let Manifest::Secret(secret) = &manifest else { panic!("no secret") };
    assert_eq!(secret.origin, SecretOrigin::Value(Value::object([("token", Value::text("hunter2"))])));
    let (_, found) = found(&whole("Secret", "  value: x"));
    assert_eq!((found[0].code, found[0].severity), ("W1052", Severity::Warning));
}

#[test]
fn manifests_are_given_back_as_written() {
    let text = r#"{"kind":"Queue","metadata":{"name":"x","labels":{"a":"b"}},"spec":{"retention":"7d","via":{"embedded":{}}}}"#;
    let manifest = parse(&yaml::parse(text).unwrap(), text, "shop").unwrap();
    assert_eq!(manifest.to_value().to_string(), text);
    assert_eq!((manifest.kind(), &**manifest.name(), &**manifest.namespace()), ("Queue", "x", "shop"));
    let namespace = read(
        "Namespace",
        "  quotas: {running: 5}\n  egress: {allow: [10.0.0.0/8, example.com, '*.example.com', '::1']}",
    );
    assert_eq!(&**namespace.namespace(), "x");
    read("Namespace", "");
    read("RoleBinding", "  role: viewer\n  subjects: [a]");
    read("Connection", "  kafka: {brokers: ['h:1']}");
}

#[test]
fn documents_are_told_apart_by_their_first_key() {
    for (text, expected) in [
        ("document: {}\nkind: x", Document::Workflow),
        ("kind: Source", Document::Manifest),
        ("apiVersion: tidemill/v1", Document::Manifest),
        ("metadata: {}\nkind: Source", Document::Manifest),
        ("do: []", Document::Workflow),
        ("7", Document::Workflow),
    ] {
        assert_eq!(Document::of(&yaml::parse(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn overrides_replace_attributes() {
    let json = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"old","data":{"a":1}}"#;
    let event = crate::event::Event::parse(json).unwrap();
    assert_eq!(EventOverrides::default().apply(&event, &Value::Null), Ok(event.clone()));
    let check = |overrides: &str, expected: Result<&str, &str>| {
        let source = source(&format!("  cron: {{schedule: '* * * * *'}}\n  event: {overrides}"));
        let record =
            Value::parse(br#"{"body":{"id":7,"kind":"order"},"headers":{"x-tenant":"acme"}}"#).unwrap();
        match (source.event.apply(&event, &record), expected) {
            (Ok(event), Ok(expected)) => assert_eq!(event.to_value().to_string(), expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (got, _) => panic!("{overrides}: {got:?}"),
        }
    };
    check(
        "{type: '${ \"shop.\" + .body.kind }', id: '${ .body.id }', subject: '${ null }', extensions: {tenant: '${ .headers[\"x-tenant\"] }', n: '${ .body.id }'}}",
        Ok(
            r#"{"specversion":"1.0","id":"7","source":"/s","type":"shop.order","tenant":"acme","n":7,"data":{"a":1}}"#,
        ),
    );
    check(
        "{subject: 'order ${ .body.id }'}",
        Ok(r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"order 7","data":{"a":1}}"#),
    );
    check("{type: '${ .body.none }'}", Err("lacks `type`"));
    check("{time: '${ .body.kind }'}", Err("`time` is no RFC 3339 timestamp"));
    check("{id: '${ .body | error }'}", Err("event.id"));
}

#[test]
fn bad_expressions_are_placed() {
    let text = whole(
        "Trigger",
        "  target: {workflow: w}\n  input:\n    a: [1, '${ .data. }']\n  tags: {x: '${ $nothing }'}",
    );
    assert_eq!(mistakes(&text), "E0401:6 E0401:7");
    let (_, found) = found(&text);
    assert_eq!((found[0].pointer.as_str(), found[1].pointer.as_str()), ("/spec/input/a/1", "/spec/tags/x"));
    assert!(found[0].span.column > 13, "{:?}", found[0].span);
}
