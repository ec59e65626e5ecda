//! Sinks of connectors as the workers call them.
//!
//! Owns the way from an order to a connector's sink: the connection and the secrets as they are when the call is sent,
//! and an error as a fault whose status says whether trying again can help. Retries and dead letters are the trigger's.

use std::sync::{Arc, Weak};

use tidemill_connectors::registry;
use tidemill_connectors::sink::{SinkError, kafka::Kafka};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::manifest::ConnectionKind;
use tidemill_dsl::order::{Call, Order, Outcome};
use tidemill_dsl::value::Value;
use tidemill_workers::secret::Connections;
use tidemill_workers::{BoxFuture, Function};
use tokio_util::sync::CancellationToken;

use crate::rooms::Rooms;
use crate::sources::with_lookup;

/// The HTTP connections of the catalog as they are now.
pub(crate) fn http_connections(rooms: &Arc<Rooms>) -> Connections {
    let rooms = Arc::downgrade(rooms);
    Arc::new(move |namespace, name| {
        let found = with_lookup(&*rooms.upgrade()?, &namespace.into(), |lookup| (lookup.connection)(name));
        match found? {
            ConnectionKind::Http(connection) => Some(connection),
            _ => None,
        }
    })
}

/// Kafka topics.
pub(crate) struct KafkaSink {
    rooms: Weak<Rooms>,
    kafka: Kafka,
}

impl KafkaSink {
    pub(crate) fn new(rooms: &Arc<Rooms>) -> KafkaSink {
        KafkaSink { rooms: Arc::downgrade(rooms), kafka: Kafka::default() }
    }

    async fn send(&self, order: &Order) -> Result<Value, Fault> {
        let (Call::Function { input, .. }, Some(rooms)) = (&order.what, self.rooms.upgrade()) else {
            return Err(Fault::runtime("the service is stopping"));
        };
        let spec = with_lookup(&rooms, &order.namespace, |lookup| registry::kafka_sink(input, lookup));
        let spec =
            spec.map_err(|error| Fault::authorization(format!("{}; {}", error.message, error.help)))?;
        let sent = self.kafka.send(&spec).await.map_err(|error| fault(&error))?;
        Ok(Value::object([
            ("topic", Value::String(spec.topic.clone())),
            ("partition", Value::from(sent.partition)),
            ("offset", Value::from(sent.offset)),
        ]))
    }
}

impl Function for KafkaSink {
    fn call(&self, order: Order, stop: CancellationToken) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => Outcome::Failed(Fault::runtime("the call was cut off")),
                sent = self.send(&order) => sent.map_or_else(Outcome::Failed, Outcome::Done),
            }
        })
    }
}

fn fault(error: &SinkError) -> Fault {
    Fault::communication(
        i64::from(error.status),
        format!("{} ({}): {}", error.message, error.code, error.help),
    )
}
