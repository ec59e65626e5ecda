//! Settings of the Kafka client: which are Tidemill's own, and how the rest passes through.
//!
//! Owns the list of settings a manifest may not touch. Pure; connects to nothing.

use std::sync::Arc;

use rdkafka::ClientConfig;

use super::Spec;
use crate::SourceError;

/// How to speak with the brokers and who one is, in librdkafka's words.
#[derive(Clone)]
pub struct Security {
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub protocol: Arc<str>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: Option<Arc<str>>,
    /// User name and password.
    pub credentials: Option<(Arc<str>, Arc<str>)>,
}

impl Default for Security {
    fn default() -> Security {
        Security { protocol: "plaintext".into(), mechanism: None, credentials: None }
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Security({})", self.protocol)
    }
}

/// Settings `options` may not hold, with the reason or the field to use instead.
const OWNED: [(&str, &str); 23] = [
    ("bootstrap.servers", "use `brokers`"),
    ("metadata.broker.list", "use `brokers`"),
    ("group.id", "use `group`"),
    ("group.protocol", "Tidemill chooses it"),
    ("auto.offset.reset", "use `start`"),
    ("topic.auto.offset.reset", "use `start`"),
    ("enable.auto.commit", "offsets are saved with the events"),
    ("auto.commit.enable", "offsets are saved with the events"),
    ("auto.commit.interval.ms", "offsets are saved with the events"),
    ("enable.auto.offset.store", "offsets are saved with the events"),
    ("partition.assignment.strategy", "Tidemill chooses it"),
    ("enable.partition.eof", "Tidemill chooses it"),
    ("statistics.interval.ms", "the lag is read from it"),
    ("security.protocol", "use `security.protocol`"),
    ("sasl.mechanism", "use `security.mechanism`"),
    ("sasl.mechanisms", "use `security.mechanism`"),
    ("sasl.username", "use `security.credentials`"),
    ("sasl.password", "use `security.credentials`"),
    ("plugin.library.paths", "it loads foreign code"),
    ("ssl.engine.location", "it loads foreign code"),
    ("ssl.providers", "it loads foreign code"),
    ("sasl.kerberos.kinit.cmd", "it starts foreign programs"),
    ("log.queue", "Tidemill chooses it"),
];

/// Milliseconds between two looks at lag and connections: making a report is most of what an idle client does besides
/// waking up.
pub(super) const STATISTICS_MS: u32 = 10_000;

/// Whether a setting of `options` is Tidemill's own: then what to do instead.
pub fn owned(option: &str) -> Option<&'static str> {
    let name = option.trim().to_ascii_lowercase();
    OWNED.iter().find(|(owned, _)| *owned == name).map(|(_, instead)| *instead)
}

/// The client's settings for a source. Refuses owned options, naming them.
pub(super) fn client(spec: &Spec) -> Result<ClientConfig, SourceError> {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "tidemill")
        // Bounded, where the default lets 64 MB pile up for each consumer.
        .set("queued.max.messages.kbytes", "4096")
        .set("queued.min.messages", "10000")
        // Brokers may ask clients for their metrics; gathering them costs an idle one CPU.
        .set("enable.metrics.push", "false")
        // A topic that is made later, or grows, is seen within this time.
        .set("topic.metadata.refresh.interval.ms", "10000")
        // How long a broker holds a question while there is nothing. It answers at once when there is; a partition that is
        // assigned meanwhile is asked for after it, and each answer of nothing costs an idle source CPU.
        .set("fetch.wait.max.ms", "2000")
        // A process that was killed stays a member until its session ends, and the next one reads nothing before that:
        // the least time brokers take by default, and heartbeats often enough for it.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "2000");
    for (name, value) in &spec.options {
        if let Some(instead) = owned(name) {
            return Err(refused(format!("the option `{name}` is not yours to set"), instead));
        }
        config.set(&**name, &**value);
    }
    let brokers: Vec<&str> = spec.brokers.iter().map(|broker| &**broker).collect();
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("group.id", &*spec.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Every partition is assigned with its own position; one out of range must be told, not skipped.
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.partition.eof", "false")
        .set("statistics.interval.ms", STATISTICS_MS.to_string())
        .set("security.protocol", &*spec.security.protocol);
    if let Some(mechanism) = &spec.security.mechanism {
        config.set("sasl.mechanism", &**mechanism);
    }
    if let Some((username, password)) = &spec.security.credentials {
        config.set("sasl.username", &**username).set("sasl.password", &**password);
    }
    Ok(config)
}

fn refused(message: String, help: &str) -> SourceError {
    SourceError { code: "kafka-options".into(), message, help: help.to_owned(), permanent: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Spec {
        Spec { options: vec![(name.into(), value.into())], ..Spec::default() }
    }

    #[test]
    fn options_pass_except_owned_ones() {
        let config = client(&with("fetch.wait.max.ms", "7")).unwrap();
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(config.get("session.timeout.ms"), Some("6000"));
        let config = client(&with("session.timeout.ms", "30000")).unwrap();
        assert_eq!(config.get("session.timeout.ms"), Some("30000"));
        for (name, instead) in OWNED {
            let error = client(&with(&name.to_uppercase(), "x")).unwrap_err();
            assert!(error.message.contains(&name.to_uppercase()) && error.permanent, "{error:?}");
            assert_eq!((&*error.code, &*error.help), ("kafka-options", instead));
        }
    }

    #[test]
    fn security_is_set_and_never_shown() {
        let spec = Spec {
            security: Security {
                protocol: "sasl_ssl".into(),
                mechanism: Some("PLAIN".into()),
                credentials: Some(("app".into(), "hunter2".into())),
            },
            ..Spec::default()
        };
        let config = client(&spec).unwrap();
        assert_eq!(config.get("sasl.username"), Some("app"));
        assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
        assert!(!format!("{spec:?}").contains("hunter2"));
    }
}
