//! From a Source manifest to a source that runs: one line per kind.
//!
//! Owns the shapes of secrets that sources take. Looks nothing up itself: the caller brings secrets and connections.

mod mysql;

use std::sync::Arc;

use tidemill_dsl::event::Event;
use tidemill_dsl::manifest::{
    self, ConnectionKind, CronSource, HttpAuth, HttpSource, JwtAuth, JwtKeys, KafkaSource, Link,
    MinioConnection, MinioSource, MinioVia, SourceKind,
};
use tidemill_dsl::value::{Map, Value};

use crate::cron::{self, Schedule, ScheduleError};
use crate::http::jwt::{Jwt, KeySet, Keys};
use crate::http::{self, Auth, auth};
use crate::{Source, SourceError};
use crate::{kafka, minio, sink};

/// Where a manifest's references lead.
pub struct Lookup<'a> {
    /// The value of a secret of the namespace.
    pub secret: &'a dyn Fn(&str) -> Option<Value>,
    /// A connection of the namespace.
    pub connection: &'a dyn Fn(&str) -> Option<ConnectionKind>,
}

/// Makes the source of a manifest. None for `http`, which is a route (see [`route`]) that could be made now, and for a `minio` source that
/// another one carries (see [`mapping`]).
pub fn build(source: &manifest::Source, lookup: &Lookup<'_>) -> Result<Option<Box<dyn Source>>, SourceError> {
    Ok(match &source.kind {
        SourceKind::Http(_) => {
            route(source, lookup)?;
            None
        }
        SourceKind::Cron(cron) => Some(Box::new(cron::Cron(cron_spec(source, cron)?))),
        SourceKind::Kafka(kafka) => Some(Box::new(kafka::Kafka(kafka_spec(source, kafka, lookup)?))),
        SourceKind::Minio(minio) => {
            minio_spec(source, minio, lookup)?.map(|spec| Box::new(minio::Minio(spec)) as Box<dyn Source>)
        }
        SourceKind::Mysql(mysql) => Some(Box::new(crate::mysql::Mysql(mysql::spec(source, mysql, lookup)?))),
    })
}

/// What of the records of its carrier is a `minio` source's, and how it becomes events; none for other kinds.
pub fn mapping(
    source: &manifest::Source,
    lookup: &Lookup<'_>,
) -> Result<Option<minio::Mapping>, SourceError> {
    let SourceKind::Minio(found) = &source.kind else {
        return Ok(None);
    };
    let connection = minio_connection(found, lookup)?;
    Ok(Some(minio_mapping(source, found, &connection)))
}

/// The hook of a `minio` source that the server calls; none for other kinds and ways.
pub fn hook(source: &manifest::Source, lookup: &Lookup<'_>) -> Result<Option<minio::Hook>, SourceError> {
    let SourceKind::Minio(found) = &source.kind else {
        return Ok(None);
    };
    let MinioVia::Webhook { path, token, .. } = &found.via else {
        return Ok(None);
    };
    let connection = minio_connection(found, lookup)?;
    Ok(Some(minio::Hook {
        path: path.clone(),
        auth: Auth::Bearer(auth::Secret(text(token, lookup)?)),
        mapping: minio_mapping(source, found, &connection),
    }))
}

fn minio_connection(minio: &MinioSource, lookup: &Lookup<'_>) -> Result<MinioConnection, SourceError> {
    match &minio.connection {
        Link::Inline(connection) => Ok(connection.clone()),
        Link::Named(name) => match (lookup.connection)(name) {
            Some(ConnectionKind::Minio(connection)) => Ok(connection),
            _ => Err(connection_absent("MinIO", name)),
        },
    }
}

fn minio_mapping(
    source: &manifest::Source,
    minio: &MinioSource,
    connection: &MinioConnection,
) -> minio::Mapping {
    let authority = connection.endpoint.split_once("://").map_or(&*connection.endpoint, |(_, rest)| rest);
    minio::Mapping {
        authority: authority.into(),
        bucket: minio.bucket.clone(),
        events: minio.events.clone(),
        prefix: minio.prefix.clone(),
        suffix: minio.suffix.clone(),
        overrides: source.event.clone(),
    }
}

fn minio_spec(
    source: &manifest::Source,
    minio: &MinioSource,
    lookup: &Lookup<'_>,
) -> Result<Option<minio::Spec>, SourceError> {
    let (via, hook) = match &minio.via {
        MinioVia::Carried { .. } => return Ok(None),
        MinioVia::Listen { backfill } => (minio::Via::Listen { backfill: *backfill }, String::new()),
        MinioVia::Webhook { arn, path, token } => {
            // The hook takes nothing without it.
            text(token, lookup)?;
            let hook = format!("/hooks/{}/{path}", source.meta.namespace);
            (minio::Via::Webhook { arn: arn.clone() }, hook)
        }
    };
    let connection = minio_connection(minio, lookup)?;
    let keys = value(&connection.credentials, lookup)?;
    let (access, secret) = match (keys.get("accessKey"), keys.get("secretKey")) {
        (Some(Value::String(access)), Some(Value::String(secret))) => (access.clone(), secret.clone()),
        _ => return Err(misshapen(&connection.credentials, "an object with `accessKey` and `secretKey`")),
    };
    Ok(Some(minio::Spec {
        mapping: minio_mapping(source, minio, &connection),
        place: minio::Place {
            endpoint: connection.endpoint,
            region: connection.region.unwrap_or_else(|| "us-east-1".into()),
            keys: minio::Keys { access, secret: auth::Secret(secret) },
            path_style: connection.path_style,
            bucket: minio.bucket.clone(),
        },
        via,
        hook,
    }))
}

fn connection_absent(kind: &str, name: &str) -> SourceError {
    let message = format!("there is no {kind} connection `{name}`");
    refused("connection-absent", &message, "apply the Connection, or correct `connection`")
}

/// The route of an `http` manifest with its secrets; none for the other kinds.
pub fn route(source: &manifest::Source, lookup: &Lookup<'_>) -> Result<Option<http::Spec>, SourceError> {
    let SourceKind::Http(http) = &source.kind else {
        return Ok(None);
    };
    Ok(Some(http::Spec {
        path: http.path.clone(),
        methods: http.methods.clone(),
        auth: http_auth(http, lookup)?,
        max_body: usize::try_from(http.max_body).unwrap_or(usize::MAX),
        overrides: source.event.clone(),
    }))
}

/// The schedule of a `cron` manifest; none for the other kinds. Refuses what the manifest's own check cannot see:
/// time zones that do not exist and dates that never come. Also what lists the coming instants.
pub fn schedule(source: &manifest::Source) -> Result<Option<Schedule>, ScheduleError> {
    let SourceKind::Cron(cron) = &source.kind else {
        return Ok(None);
    };
    Schedule::parse(&cron.schedule, cron.dialect, &cron.timezone).map(Some)
}

/// How the instants of a `cron` manifest become events; also for filling a past range by hand.
pub fn cron_spec(source: &manifest::Source, cron: &CronSource) -> Result<cron::Spec, SourceError> {
    let parsed = Schedule::parse(&cron.schedule, cron.dialect, &cron.timezone);
    let schedule = parsed.map_err(|error| refused("cron-schedule", &error.message, &error.help))?;
    Ok(cron::Spec {
        schedule,
        catch_up: cron.catch_up,
        max_catch_up: cron.max_catch_up as usize,
        data: cron.data.as_ref().and_then(Value::as_object).cloned().unwrap_or_else(Map::new),
        overrides: source.event.clone(),
    })
}

fn kafka_spec(
    source: &manifest::Source,
    kafka: &KafkaSource,
    lookup: &Lookup<'_>,
) -> Result<kafka::Spec, SourceError> {
    let connection = match &kafka.connection {
        Link::Inline(connection) => connection.clone(),
        Link::Named(name) => match (lookup.connection)(name) {
            Some(ConnectionKind::Kafka(connection)) => connection,
            _ => return Err(connection_absent("Kafka", name)),
        },
    };
    let security = &connection.security;
    let credentials = match &security.credentials {
        Some(name) => Some(pair(name, lookup)?),
        None => None,
    };
    let spec = kafka::Spec {
        mapping: kafka::Mapping {
            format: kafka.format,
            broker: connection.brokers.first().cloned().unwrap_or_default(),
            overrides: source.event.clone(),
        },
        brokers: connection.brokers,
        topics: kafka.topics.clone(),
        group: kafka.group.clone(),
        start: kafka.start,
        security: kafka::Security {
            protocol: security.protocol.as_str().into(),
            mechanism: security.mechanism.map(|mechanism| mechanism.as_str().into()),
            credentials,
        },
        options: connection.options,
    };
    kafka::check(&spec)?;
    Ok(spec)
}

/// What a call of a kafka sink says (order's input): whom to send what.
pub fn kafka_sink(with: &Value, lookup: &Lookup<'_>) -> Result<sink::kafka::Spec, SourceError> {
    let misused = |what: &str| {
        let message = format!("{what} is not what a kafka sink can send");
        refused("sink-input", &message, "correct the trigger's `sink`")
    };
    let text = |name: &str| with.get(name).and_then(Value::as_str);
    let topic = text("topic").ok_or_else(|| misused("the topic"))?;
    let key = match with.get("key") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(key.clone()),
        Some(other) => Some(other.to_string().into()),
    };
    let event = with.get("event").and_then(|event| Event::from_value(event).ok());
    let (settings, credentials) = match text("connection") {
        Some(name) => match (lookup.connection)(name) {
            Some(ConnectionKind::Kafka(own)) => (own.settings(), own.security.credentials),
            _ => return Err(connection_absent("Kafka", name)),
        },
        None => {
            let client = with.get("client").and_then(Value::as_object).into_iter().flatten();
            let settings = client.filter_map(|(name, value)| match value {
                Value::String(value) => Some((name.clone(), value.clone())),
                _ => None,
            });
            (settings.collect(), text("credentials").map(Arc::from))
        }
    };
    let credentials = credentials.map(|name| pair(&name, lookup)).transpose()?;
    Ok(sink::kafka::Spec {
        cluster: sink::kafka::Cluster { settings, credentials },
        topic: topic.into(),
        key,
        event: event.ok_or_else(|| misused("the event"))?,
    })
}

fn http_auth(http: &HttpSource, lookup: &Lookup<'_>) -> Result<Auth, SourceError> {
    Ok(match &http.auth {
        HttpAuth::None => Auth::None,
        HttpAuth::Bearer { secret } => Auth::Bearer(auth::Secret(text(secret, lookup)?)),
        HttpAuth::Basic { secret } => {
            let (username, password) = pair(secret, lookup)?;
            Auth::Basic { username, password: auth::Secret(password) }
        }
        HttpAuth::Hmac { scheme, secrets, header, tolerance } => Auth::Hmac(auth::Hmac {
            scheme: *scheme,
            secrets: secrets
                .iter()
                .map(|name| text(name, lookup).map(auth::Secret))
                .collect::<Result<_, _>>()?,
            header: header.clone(),
            tolerance: *tolerance,
        }),
        HttpAuth::Jwt(jwt) => Auth::Jwt(Jwt {
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
            leeway: jwt.leeway,
            keys: jwt_keys(jwt, lookup)?,
        }),
    })
}

fn jwt_keys(jwt: &JwtAuth, lookup: &Lookup<'_>) -> Result<Keys, SourceError> {
    let (found, name) = match &jwt.keys {
        JwtKeys::At(url) => return Ok(Keys::At(url.clone())),
        JwtKeys::Set(set) => (KeySet::of_jwks(&set.to_json()), None),
        JwtKeys::Secret(name) => {
            let value = value(name, lookup)?;
            let set = value.get("keys").map(|_| KeySet::of_jwks(&value.to_json()));
            let found = match set {
                Some(set) => set,
                None => KeySet::of_secret(&text(name, lookup)?),
            };
            (found, Some(name))
        }
    };
    found.map(|set| Keys::Known(Arc::new(set))).map_err(|error| match name {
        Some(name) => {
            refused("secret-shape", &format!("the secret `{name}` holds no keys: {error}"), "set it anew")
        }
        None => refused("http-jwks", &error.to_string(), "correct `jwks` of the source"),
    })
}

fn value(name: &str, lookup: &Lookup<'_>) -> Result<Value, SourceError> {
    (lookup.secret)(name).ok_or_else(|| {
        let message = format!("there is no secret `{name}`");
        refused(
            "secret-absent",
            &message,
            "set it with `tidemill secret set`; the source starts by itself then",
        )
    })
}

/// A secret that is one text: a string, or an object with `token`, `secret` or `key`.
fn text(name: &str, lookup: &Lookup<'_>) -> Result<Arc<str>, SourceError> {
    let value = value(name, lookup)?;
    let member = ["token", "secret", "key"].into_iter().find_map(|key| value.get(key));
    match member.unwrap_or(&value) {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(misshapen(name, "a string, or an object with `token`")),
    }
}

/// A secret with user name and password.
fn pair(name: &str, lookup: &Lookup<'_>) -> Result<(Arc<str>, Arc<str>), SourceError> {
    let value = value(name, lookup)?;
    match (value.get("username"), value.get("password")) {
        (Some(Value::String(username)), Some(Value::String(password))) => {
            Ok((username.clone(), password.clone()))
        }
        _ => Err(misshapen(name, "an object with `username` and `password`")),
    }
}

fn misshapen(name: &str, wanted: &str) -> SourceError {
    refused("secret-shape", &format!("the secret `{name}` is not {wanted}"), "set it in that form")
}

fn refused(code: &str, message: &str, help: &str) -> SourceError {
    SourceError { code: code.into(), message: message.to_owned(), help: help.to_owned(), permanent: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::source;

    fn secret(name: &str) -> Option<Value> {
        Some(match name {
            "token" => Value::text("t"),
            "keys" => Value::object([("accessKey", Value::text("a")), ("secretKey", Value::text("s"))]),
            "wrapped" => Value::object([("token", Value::text("t"))]),
            "login" => Value::object([("username", Value::text("u")), ("password", Value::text("p"))]),
            "empty" => Value::text(""),
            "shared" => Value::text("a text of thirty-two bytes or more"),
            _ => return None,
        })
    }

    fn connection(name: &str) -> Option<ConnectionKind> {
        let SourceKind::Kafka(kafka) = source("kafka: {brokers: ['b:1'], topics: [t]}").kind else {
            return None;
        };
        match kafka.connection {
            Link::Inline(connection) if name == "there" => Some(ConnectionKind::Kafka(connection)),
            _ => None,
        }
    }

    const LOOKUP: Lookup<'static> = Lookup { secret: &secret, connection: &connection };

    /// The code of the refusal, `runs` or `route`.
    fn check(kind: &str, expected: &str) {
        let source = source(kind);
        let built = build(&source, &LOOKUP)
            .and_then(|built| Ok((built.is_some(), route(&source, &LOOKUP)?.is_some())));
        let shown = match &built {
            Ok((true, false)) => "runs",
            Ok((false, true)) => "route",
            Ok((false, false)) => "neither",
            Ok(_) => "both",
            Err(error) => &error.code,
        };
        assert_eq!(shown, expected, "{kind}: {built:?}");
    }

    #[test]
    fn every_kind_is_built() {
        check("cron: {schedule: '0 3 * * *'}", "runs");
        check(
            "cron: {schedule: '0 0 3 ? * 2', dialect: quartz, timezone: Europe/Berlin, data: {a: 1}}",
            "runs",
        );
        check("cron: {schedule: '0 0 30 2 *'}", "cron-schedule");
        check("cron: {schedule: '0 0 1 1 *', timezone: Europe/Berln}", "cron-schedule");
        check("kafka: {brokers: ['b:1'], topics: [t]}", "runs");
        check("kafka: {connection: there, topics: [t]}", "runs");
        check("kafka: {connection: gone, topics: [t]}", "connection-absent");
        check("kafka: {brokers: ['b:1'], topics: [t], options: {no.such: 1}}", "kafka-options");
        let sasl = "security: {protocol: sasl_plaintext, mechanism: PLAIN, credentials: {secret: NAME}}";
        let with =
            |name: &str| format!("kafka: {{brokers: ['b:1'], topics: [t], {}}}", sasl.replace("NAME", name));
        check(&with("login"), "runs");
        check(&with("token"), "secret-shape");
        check(&with("gone"), "secret-absent");
        let minio = |keys: &str, via: &str| {
            format!(
                "minio: {{endpoint: 'h:1', bucket: photos, credentials: {{secret: {keys}}}, via: {{{via}}}}}"
            )
        };
        let arn = "arn: 'arn:minio:sqs::W:webhook'";
        check(&minio("keys", "listen: {}"), "runs");
        check(&minio("login", "listen: {}"), "secret-shape");
        check(&minio("keys", &format!("webhook: {{{arn}, token: {{secret: token}}}}")), "runs");
        check(&minio("keys", &format!("webhook: {{{arn}, token: {{secret: gone}}}}")), "secret-absent");
        check(&minio("gone", "kafka: {source: records}"), "neither");
        check("minio: {connection: there, bucket: photos, via: {listen: {}}}", "connection-absent");
        let mysql = |more: &str| format!("mysql: {{url: 'mysql://h:1', tables: [a.b], {more}}}");
        check(&mysql("credentials: {secret: login}"), "runs");
        check(&mysql("credentials: {secret: token}"), "secret-shape");
        check(&mysql("credentials: {secret: login}, tls: {ca: {secret: gone}}"), "secret-absent");
        check("mysql: {connection: there, tables: [a.b]}", "connection-absent");
        check("http: {path: in, auth: {none: {}}}", "route");
        check("http: {path: in, auth: {bearer: {secret: token}}}", "route");
        check("http: {path: in, auth: {bearer: {secret: wrapped}}}", "route");
        check("http: {path: in, auth: {bearer: {secret: empty}}}", "secret-shape");
        check("http: {path: in, auth: {basic: {secret: login}}}", "route");
        check("http: {path: in, auth: {hmac: {scheme: github, secrets: [token]}}}", "route");
        check("http: {path: in, auth: {hmac: {scheme: github, secrets: [gone]}}}", "secret-absent");
        let jwt =
            |keys: &str| format!("http: {{path: in, auth: {{jwt: {{issuer: i, audience: a, {keys}}}}}}}");
        check(&jwt("jwksUri: 'https://id.example.com/keys'"), "route");
        check(&jwt("key: {secret: shared}"), "route");
        check(&jwt("key: {secret: token}"), "secret-shape");
        check(&jwt("key: {secret: gone}"), "secret-absent");
        check(
            &jwt("jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}"),
            "route",
        );
        check(&jwt("jwks: {keys: [{kty: RSA}]}"), "http-jwks");
    }

    #[test]
    fn the_fields_arrive() {
        let source =
            source("kafka: {brokers: ['b:1', 'c:2'], topics: [t], start: earliest, format: cloudevents}");
        let SourceKind::Kafka(kafka) = &source.kind else { panic!("{source:?}") };
        let spec = kafka_spec(&source, kafka, &LOOKUP).unwrap();
        assert_eq!(
            (&*spec.group, &*spec.mapping.broker, spec.brokers.len()),
            ("tidemill.default.s", "b:1", 2)
        );
        assert_eq!((spec.start, spec.mapping.format), (kafka::Start::Earliest, kafka::Format::CloudEvents));
    }

    #[test]
    fn expressions_of_the_event_block_see_the_raw_record() {
        let text = "event: {type: order.placed, subject: '${ .headers[\"x-shop\"] }', id: '${ .body.id }'}, \
                    http: {path: in, auth: {none: {}}}";
        let spec = route(&source(text), &LOOKUP).unwrap().unwrap();
        let headers = ::http::HeaderMap::from_iter([(
            ::http::HeaderName::from_static("x-shop"),
            ::http::HeaderValue::from_static("eu"),
        )]);
        let body = bytes::Bytes::from_static(b"{\"id\":4711}");
        let request = http::Request {
            method: "POST",
            path: "/hooks/default/in",
            query: None,
            headers: &headers,
            body: &body,
            received: tidemill_dsl::ids::Time(0),
        };
        let events = http::to_events(&spec, "default", &request, "fresh").unwrap();
        insta::assert_snapshot!(events[0].to_value(), @r#"{"specversion":"1.0","id":"4711","source":"/hooks/default/in","type":"order.placed","subject":"eu","time":"1970-01-01T00:00:00.000Z","datacontenttype":"application/json","httpmethod":"POST","data":{"id":4711}}"#);

        let source = source(
            "event: {subject: '${ .topic + \"-\" + .key }', extensions: {part: '${ .partition }'}}, \
             kafka: {brokers: ['b:1'], topics: [t]}",
        );
        let SourceKind::Kafka(kafka) = &source.kind else { panic!("{source:?}") };
        let spec = kafka_spec(&source, kafka, &LOOKUP).unwrap();
        let record = kafka::Record {
            topic: "t".into(),
            partition: 3,
            offset: 9,
            key: Some(b"k".to_vec()),
            value: Some(b"on".to_vec()),
            ..kafka::Record::default()
        };
        insta::assert_snapshot!(kafka::to_event(&spec.mapping, &record).unwrap().to_value(), @r#"{"specversion":"1.0","id":"t/3/9","source":"kafka://b:1/t","type":"kafka.record","subject":"t-k","datacontenttype":"text/plain","partitionkey":"k","part":3,"data":"on"}"#);
    }
}
