//! Errors of the Kafka client in Tidemill's codes.
//!
//! Owns which error is which code, what helps, and whether the client mends it by itself.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::SourceError;

/// What a client error means for the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Stable code.
    pub(super) code: &'static str,
    /// What happened.
    pub(super) message: String,
    /// What to do.
    pub(super) help: &'static str,
    /// Whether the run must end; otherwise the client goes on trying by itself.
    pub(super) ends: bool,
}

impl Fault {
    /// As the end of a run. Trying again can help: passwords are changed and brokers come back.
    pub(super) fn error(self) -> SourceError {
        SourceError { code: self.code.into(), message: self.message, help: self.help.to_owned(), permanent: false }
    }
}

/// Reads an error; `reason` is what the client last told about it, if anything.
pub(super) fn fault(error: &KafkaError, reason: Option<&str>) -> Fault {
    use RDKafkaErrorCode as Code;
    let ends = matches!(error, KafkaError::MessageConsumptionFatal(_));
    let (code, help, ends) = match error.rdkafka_error_code() {
        Some(
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState,
        ) => ("kafka-auth", "check `security`: mechanism and the secret with username and password", true),
        Some(Code::SSL) => ("kafka-tls", "check `security.protocol` and the ssl.* options, such as ssl.ca.location", true),
        Some(
            Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed,
        ) => ("kafka-denied", "allow the user to read the topics and to use the group", true),
        Some(
            Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut
            | Code::RequestTimedOut | Code::NetworkException | Code::BrokerNotAvailable,
        ) => ("kafka-unreachable", "check that `brokers` names running brokers and that the port is open", ends),
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            ("kafka-topic", "create the topic, or correct `topics`; the source goes on when it is there", ends)
        }
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
            ("kafka-position", "records were deleted before they were read; the source begins anew at what is left", true)
        }
        _ if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) => {
            ("kafka-options", "correct `options` and `security`", true)
        }
        _ => ("kafka-error", "see the broker's log", ends),
    };
    let message = match reason {
        Some(reason) => reason.to_owned(),
        None => error.to_string(),
    };
    Fault { code, message, help, ends }
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
