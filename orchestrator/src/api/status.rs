//! The `status` of a definition, as manifests.md lists it.
//!
//! Owns the assembly from the rooms that know the parts. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tidemill_connectors::{Reconciled, Relation};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::{Manifest, SourceKind};
use tidemill_engine::record::Status as Phase;
use tidemill_store::{DeadQuery, DeadState, DefinitionKind, ExecutionQuery, ReadResult, Store};
use utoipa::ToSchema;

use super::call::Call;
use crate::catalog::ManifestEntry;
use crate::deliveries::blocking;
use crate::problem::Problem;
use crate::relations;
use crate::sources::{SourceStatus, State, Trouble};

/// Dead letters counted for a status, at most.
const DEAD_COUNT: usize = 10_000;

/// The status of a definition; which members it has depends on its kind.
#[derive(Serialize, ToSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    generation: u64,
    observed_generation: u64,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
    /// Source: `starting`, `running`, `paused`, `degraded`, `failed` or `stopped`. Source and trigger: `deleting` until
    /// the entries at the source are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_records: Option<u64>,
    /// Source: age of the last accepted event while records wait behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<u64>,
    /// Source: over the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_per_second: Option<f64>,
    /// Source: saved positions by partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_accepted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<TroubleBody>,
    /// Source: events that came though no enabled rule wants them.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<u64>,
    /// twoWay source: its entries at the other end, those of others too, and rules that lack one.
    #[serde(skip_serializing_if = "Option::is_none")]
    relations: Option<Vec<RelationBody>>,
    /// Trigger: `oneWay`, `twoWay` or `proxy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    integration: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_home: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fires_from: Option<&'static str>,
    /// Trigger: `inSync`, `drifted`, `orphaned` or `unreachable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_fired_at: Option<String>,
    /// Trigger: executions begun or accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<u64>,
    /// Trigger: deliveries waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    buffered: Option<u64>,
    /// Trigger: executions that have not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letters: Option<u64>,
    /// Function: the newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<Vec<u32>>,
    /// Function: shares in a hundred by alias and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    aliases: Option<BTreeMap<String, BTreeMap<u32, u8>>>,
}

/// A source's last trouble.
#[derive(Serialize, ToSchema)]
pub struct TroubleBody {
    at: String,
    code: String,
    message: String,
    help: String,
}

/// An entry at a source, or a rule that lacks one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RelationBody {
    /// The trigger; of a foreign entry the id it has there.
    id: String,
    /// `inSync`, `drifted`, `orphaned` or `foreign`.
    sync_state: &'static str,
}

/// The status of a definition.
pub async fn of(call: &Call, entry: &ManifestEntry) -> Result<Status, Problem> {
    let definition = &entry.definition;
    let base = Status {
        generation: definition.generation,
        observed_generation: definition.generation,
        updated_at: definition.at.rfc3339(),
        ..Status::default()
    };
    match definition.kind {
        DefinitionKind::Source => source(call, entry, base).await,
        DefinitionKind::Trigger => trigger(call, entry, base).await,
        DefinitionKind::Function => {
            let space = call.rooms().catalog.space(&call.namespace);
            let versions = space.functions().find(|(name, _)| **name == definition.name);
            let versions = versions.map(|(_, all)| all.keys().copied().collect());
            let aliases = space.aliases(&definition.name);
            let shares =
                aliases.map(|(alias, own)| (alias.to_string(), own.weights.iter().copied().collect()));
            let aliases = Some(shares.collect());
            Ok(Status { version: definition.version.parse().ok(), versions, aliases, ..base })
        }
        _ => Ok(base),
    }
}

async fn source(call: &Call, entry: &ManifestEntry, base: Status) -> Result<Status, Problem> {
    let name = entry.definition.name.clone();
    let (store, namespace, own) = (call.rooms().store.clone(), call.namespace.clone(), name.clone());
    let saved = blocking(move || store.checkpoints(&namespace, &own)).await?;
    let position = saved.into_iter().map(|c| (c.partition.to_string(), c.value.to_string())).collect();
    let live = call.state.hall.sources.status(&call.namespace, &name);
    let live = live.unwrap_or_else(|| {
        let state = if entry.definition.paused { State::Paused } else { State::Starting };
        SourceStatus::new(state, entry.definition.at)
    });
    let space = call.rooms().catalog.space(&call.namespace);
    let is_deleting = space.is_deleting(DefinitionKind::Source, &entry.definition.name);
    let is_http =
        matches!(&*entry.manifest, Manifest::Source(source) if matches!(source.kind, SourceKind::Http(_)));
    let two_way = relations::is_two_way(&space, &entry.definition.name);
    Ok(Status {
        paused: Some(entry.definition.paused),
        state: Some(if is_deleting { "deleting" } else { live.state.word() }),
        refused: (two_way || is_http).then_some(live.refused),
        relations: match live.reconciled {
            Some(Reconciled::Seen { relations, .. }) => Some(relations.iter().map(relation).collect()),
            _ => None,
        },
        since: Some(live.since.rfc3339()),
        last_event_at: live.last_event_at.map(Time::rfc3339),
        lag_records: live.lag,
        lag_seconds: live.lag_seconds,
        events_per_second: Some(live.rate),
        position: Some(position),
        events_accepted: Some(live.accepted),
        duplicates: Some(live.duplicates),
        errors: Some(live.errors),
        last_error: live.last_error.as_ref().map(trouble),
        ..base
    })
}

fn relation(relation: &Relation) -> RelationBody {
    RelationBody { id: relation.id.to_string(), sync_state: relation.sync.word() }
}

fn trouble(trouble: &Trouble) -> TroubleBody {
    TroubleBody {
        at: trouble.at.rfc3339(),
        code: trouble.code.to_string(),
        message: trouble.message.to_string(),
        help: trouble.help.to_string(),
    }
}

async fn trigger(call: &Call, entry: &ManifestEntry, base: Status) -> Result<Status, Problem> {
    let Manifest::Trigger(trigger) = &*entry.manifest else {
        return Ok(base);
    };
    let space = call.rooms().catalog.space(&call.namespace);
    let bound = trigger.source.as_deref().and_then(|name| space.manifest(DefinitionKind::Source, name));
    let integration = match bound.map(|bound| &*bound.manifest) {
        Some(Manifest::Source(source)) => trigger.integration_with(Some(source)),
        _ => trigger.integration_with(None),
    };
    let name = entry.definition.name.clone();
    let generation = entry.definition.generation;
    let (sync, observed) = space
        .trigger(&name)
        .map_or(("inSync", generation), |own| relations::sync(&space, &call.state.hall.sources, own));
    let is_deleting = space.is_deleting(DefinitionKind::Trigger, &name);
    let (store, namespace, own) = (call.rooms().store.clone(), call.namespace.clone(), name.clone());
    let counts = blocking(move || count(&*store, &namespace, &own)).await?;
    let (waiting, _) = call.rooms().buffers.depth(&call.namespace, &name);
    Ok(Status {
        paused: Some(entry.definition.paused),
        integration: Some(integration.as_str()),
        rule_home: Some(integration.rule_home()),
        fires_from: Some(integration.fires_from()),
        sync_state: Some(sync),
        observed_generation: observed,
        state: is_deleting.then_some("deleting"),
        last_fired_at: counts.last.map(Time::rfc3339),
        matched: Some(counts.matched),
        buffered: Some(waiting),
        running: Some(counts.running),
        dead_letters: Some(counts.dead),
        ..base
    })
}

struct Counts {
    last: Option<Time>,
    matched: u64,
    running: u64,
    dead: u64,
}

fn count(store: &dyn Store, namespace: &Arc<str>, trigger: &Arc<str>) -> ReadResult<Counts> {
    let all = ExecutionQuery {
        namespace: namespace.clone(),
        trigger: Some(trigger.clone()),
        limit: 1,
        ..ExecutionQuery::default()
    };
    let open = Phase::ALL.into_iter().filter(|status| !status.ended()).collect();
    let running = ExecutionQuery { status: open, ..all.clone() };
    let dead = DeadQuery {
        namespace: namespace.clone(),
        trigger: Some(trigger.clone()),
        state: Some(DeadState::Open),
        limit: DEAD_COUNT,
        ..DeadQuery::default()
    };
    Ok(Counts {
        last: store.executions(&all)?.first().map(|row| row.created),
        matched: store.count_executions(&all)?,
        running: store.count_executions(&running)?,
        dead: store.dead_letters(&dead)?.len() as u64,
    })
}
