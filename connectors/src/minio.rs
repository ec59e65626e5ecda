//! Source kind `minio`: the objects of a bucket, three ways (events-and-triggers.md section 1).
//!
//! `listen` reads the server's stream (oneWay). `webhook` keeps entries in the bucket's notification document and is
//! called by the server (twoWay). A carried source is fed with records of another Source (proxy). On every way an
//! event has the same id, and a listing finds what no notification told.

mod client;
mod document;
mod ear;
mod listen;
pub mod record;
mod relation;
mod sign;
mod sweep;
mod xml;

use std::sync::Arc;

use bytes::Bytes;
use tidemill_dsl::event::{Data, Event};
use tidemill_dsl::value::Value;

pub use client::Place;
pub use record::{KeyForm, Mapping, Poison, Record};
pub use sign::Keys;

use crate::http::{Auth, HttpProblem, Request, auth};
use crate::{BoxFuture, Context, Source, SourceError};
use client::Client;

/// What the settings of MinIO's webhook targets begin with.
const WEBHOOK_SETTING: &str = "MINIO_NOTIFY_WEBHOOK";

/// A MinIO source that runs, configured.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The bucket and how to reach it.
    pub place: Place,
    /// Which records are its own, and how they become events.
    pub mapping: Mapping,
    /// How its events come.
    pub via: Via,
    /// The path of its hook, for texts; empty without one.
    pub hook: String,
}

/// How the events come to a source that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// By calls of a hook.
    Webhook {
        /// The target on the server.
        arn: Arc<str>,
    },
    /// By the listen stream.
    Listen {
        /// Whether gaps are listed.
        backfill: bool,
    },
}

/// A source made of a spec.
pub struct Minio(pub Spec);

impl Source for Minio {
    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async move {
            let spec = self.0;
            let client = Client::new(spec.place.clone(), context.clock.clone())?;
            match &spec.via {
                Via::Webhook { arn } => relation::run(&spec, arn, &client, &context).await,
                Via::Listen { backfill } => listen::run(&spec, *backfill, &client, &context).await,
            }
        })
    }
}

/// What the server calls.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The path under `/hooks/{namespace}/`, without a leading slash.
    pub path: Arc<str>,
    /// Who may call: the bearer of the token.
    pub auth: Auth,
    /// Which records are the source's.
    pub mapping: Mapping,
}

/// The events of a call, and what of it is poison. Records of other buckets and names are left out.
pub fn called(hook: &Hook, request: &Request<'_>) -> Result<(Vec<Event>, Vec<Poison>), HttpProblem> {
    auth::verify(&hook.auth, request)?;
    let payload = parse(request.body)?;
    Ok(events(&hook.mapping, &payload))
}

fn parse(body: &Bytes) -> Result<Value, HttpProblem> {
    let help = "the target of the server must be of kind webhook and call this path";
    let value = Value::parse(body).ok().filter(|value| value.get("Records").is_some());
    value.ok_or_else(|| HttpProblem::new(400, "bad-notification", "the body is no notification of S3", help))
}

/// The events of a notification that a record of another Source carries; none if the event carries none.
pub fn carried(mapping: &Mapping, carrier: &Event) -> (Vec<Event>, Vec<Poison>) {
    match &carrier.data {
        Data::Json(payload) => events(mapping, payload),
        _ => (Vec::new(), Vec::new()),
    }
}

fn events(mapping: &Mapping, payload: &Value) -> (Vec<Event>, Vec<Poison>) {
    let (mut events, mut poison) = (Vec::new(), Vec::new());
    for found in record::read(payload, KeyForm::Encoded) {
        match found {
            Ok(record) if !mapping.takes(&record) => {}
            Ok(record) => match mapping.to_event(&record) {
                Ok(event) => events.push(event),
                Err(why) => poison.push(why),
            },
            Err(why) => poison.push(why),
        }
    }
    (events, poison)
}

#[cfg(test)]
mod tests;
