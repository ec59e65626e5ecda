//! Errors of the Kafka client in Tidemill's codes, for sources and sinks.
//!
//! Owns which error is which code, what helps, and whether the client mends it by itself.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::SourceError;

/// What a client error means for the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Stable code.
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: &'static str,
    /// Whether the run must end; otherwise the client goes on trying by itself.
    pub(crate) ends: bool,
}

impl Fault {
    /// As the end of a run. Trying again can help: passwords are changed and brokers come back.
    pub(crate) fn error(self) -> SourceError {
        SourceError {
            code: self.code.into(),
            message: self.message,
            help: self.help.to_owned(),
            permanent: false,
        }
    }
}

/// Reads an error; `reason` is what the client last told about it, if anything.
pub(crate) fn fault(error: &KafkaError, reason: Option<&str>) -> Fault {
    let setting = matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_));
    let code = match error.rdkafka_error_code() {
        _ if setting => "kafka-options",
        Some(code) => code_of(code),
        None => "kafka-error",
    };
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    let lasting =
        matches!(code, "kafka-auth" | "kafka-tls" | "kafka-denied" | "kafka-position" | "kafka-options");
    let message = reason.map_or_else(|| error.to_string(), str::to_owned);
    Fault { code, message, help: help_for(code), ends: fatal || lasting }
}

fn code_of(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => "kafka-auth",
        Code::SSL => "kafka-tls",
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => "kafka-denied",
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::NetworkException
        | Code::BrokerNotAvailable => "kafka-unreachable",
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => "kafka-topic",
        Code::MessageSizeTooLarge => "kafka-size",
        Code::AutoOffsetReset | Code::OffsetOutOfRange => "kafka-position",
        _ => "kafka-error",
    }
}

fn help_for(code: &str) -> &'static str {
    match code {
        "kafka-auth" => "check `security`: mechanism and the secret with username and password",
        "kafka-tls" => "check `security.protocol` and the ssl.* options, such as ssl.ca.location",
        "kafka-denied" => "allow the user to read the topics and to use the group",
        "kafka-unreachable" => {
            "check that `brokers` names running brokers, that the port is open and that `security` fits it"
        }
        "kafka-topic" => "create the topic, or correct `topics`; the source goes on when it is there",
        "kafka-position" => {
            "records were deleted before they were read; the source begins anew at what is left"
        }
        "kafka-options" => "correct `options` and `security`",
        _ => "see the broker's log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_codes() {
        use RDKafkaErrorCode as Code;
        let check = |error: KafkaError, code: &str, ends: bool| {
            let fault = fault(&error, Some("why"));
            assert_eq!((fault.code, fault.ends, fault.message.as_str()), (code, ends, "why"), "{error}");
        };
        check(KafkaError::MessageConsumption(Code::Authentication), "kafka-auth", true);
        check(KafkaError::Global(Code::SSL), "kafka-tls", true);
        check(KafkaError::MessageConsumption(Code::TopicAuthorizationFailed), "kafka-denied", true);
        check(KafkaError::MessageConsumption(Code::AllBrokersDown), "kafka-unreachable", false);
        check(KafkaError::MetadataFetch(Code::BrokerTransportFailure), "kafka-unreachable", false);
        check(KafkaError::MessageConsumption(Code::UnknownTopicOrPartition), "kafka-topic", false);
        check(KafkaError::MessageConsumption(Code::AutoOffsetReset), "kafka-position", true);
        check(KafkaError::MessageConsumptionFatal(Code::Fatal), "kafka-error", true);
        check(KafkaError::ClientCreation("x".into()), "kafka-options", true);
    }
}
