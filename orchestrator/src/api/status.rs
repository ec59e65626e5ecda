//! The `status` of a definition, as manifests.md lists it.
//!
//! Owns the assembly from the rooms that know the parts. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::{Integration, Manifest};
use tidemill_engine::record::Status as Phase;
use tidemill_store::{DeadQuery, DeadState, DefinitionKind, ExecutionQuery, ReadResult, Store};
use utoipa::ToSchema;

use super::call::Call;
use crate::catalog::ManifestEntry;
use crate::deliveries::blocking;
use crate::problem::Problem;
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
    /// Source: `starting`, `running`, `paused`, `degraded`, `failed` or `stopped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_records: Option<u64>,
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
    /// Trigger: `oneWay`, `twoWay` or `proxy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    integration: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_home: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fires_from: Option<&'static str>,
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
    let live = live.unwrap_or(SourceStatus {
        state: if entry.definition.paused { State::Paused } else { State::Starting },
        since: entry.definition.at,
        last_event_at: None,
        lag: None,
        accepted: 0,
        duplicates: 0,
        errors: 0,
        last_error: None,
    });
    Ok(Status {
        paused: Some(entry.definition.paused),
        state: Some(live.state.word()),
        since: Some(live.since.rfc3339()),
        last_event_at: live.last_event_at.map(Time::rfc3339),
        lag_records: live.lag,
        position: Some(position),
        events_accepted: Some(live.accepted),
        duplicates: Some(live.duplicates),
        errors: Some(live.errors),
        last_error: live.last_error.as_ref().map(trouble),
        ..base
    })
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
    let sync = match (integration, &trigger.source, bound) {
        (_, Some(_), None) => "orphaned",
        (Integration::OneWay | Integration::TwoWay | Integration::Proxy, _, _) => "inSync",
    };
    let name = entry.definition.name.clone();
    let (store, namespace, own) = (call.rooms().store.clone(), call.namespace.clone(), name.clone());
    let counts = blocking(move || count(&*store, &namespace, &own)).await?;
    let (waiting, _) = call.rooms().buffers.depth(&call.namespace, &name);
    Ok(Status {
        paused: Some(entry.definition.paused),
        integration: Some(integration.as_str()),
        rule_home: Some(integration.rule_home()),
        fires_from: Some(integration.fires_from()),
        sync_state: Some(sync),
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
