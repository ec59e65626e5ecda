//! What a plan touches: dead letters, executions or stored events, decided once when the batch is made.
//!
//! Owns the walks over the store. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_dsl::ids::ExecutionId;
use tidemill_engine::record::Status;
use tidemill_store::{
    DeadLetter, DeadQuery, DeadState, EventQuery, ExecutionQuery, ExecutionRow, ReadResult, Store,
};

use super::plan::{Action, EventKey, Filter, Plan, Preview, Step};
use crate::deliveries::blocking;
use crate::error::Error;
use crate::rooms::Rooms;

/// Rows read at once.
const PAGE: usize = 1000;
/// Steps of one batch, at most (limit `batch-steps`).
const MAX_STEPS: usize = 1_000_000;

/// What a plan touches, oldest first: dead letters keep their order within an order key.
pub(super) async fn steps(rooms: &Rooms, plan: Plan) -> Result<Vec<Step>, Error> {
    let store = rooms.store.clone();
    if plan.action == Action::Replay {
        return events(rooms, plan).await;
    }
    let steps = blocking(move || match plan.action {
        Action::Redrive => letters(&*store, &plan),
        Action::Replay => Ok(Vec::new()),
        Action::Cancel | Action::Retry => executions(&*store, &plan),
    })
    .await?;
    if steps.len() > MAX_STEPS {
        let detail = format!("touch more than {MAX_STEPS} things in one batch (limit batch-steps)");
        return Err(Error::Unprocessable { code: "batch-steps", detail });
    }
    Ok(steps)
}

/// The stored events that a trigger's rule takes, oldest first.
async fn events(rooms: &Rooms, plan: Plan) -> Result<Vec<Step>, Error> {
    let name =
        plan.filter.trigger.clone().ok_or_else(|| Error::bad("bad-body", "a replay names its trigger"))?;
    let space = rooms.catalog.space(&plan.namespace);
    let trigger = space.trigger(&name).ok_or_else(|| Error::not_found("trigger", &*name))?;
    let rule = trigger.spec.rule(false);
    let store = rooms.store.clone();
    let limit = plan.limit.map_or(MAX_STEPS, |limit| limit as usize);
    blocking(move || {
        let mut query = EventQuery {
            namespace: plan.namespace.clone(),
            kind: plan.filter.kind.clone(),
            since: plan.filter.since,
            until: plan.filter.until,
            limit: PAGE,
            ..EventQuery::default()
        };
        let mut steps = Vec::new();
        loop {
            let page = store.events(&query)?;
            let full = page.len() == PAGE;
            query.after = page.last().map(|row| row.pos).or(query.after);
            let taken = page.into_iter().filter(|row| rule.matches(&row.binding, &row.event));
            steps.extend(taken.map(|row| {
                let (source, id) = (row.event.source.clone(), row.event.id.clone());
                Step::Event(Box::new(EventKey { trigger: name.clone(), binding: row.binding, source, id }))
            }));
            if !full || steps.len() >= limit {
                steps.truncate(limit);
                return Ok(steps);
            }
        }
    })
    .await
}

/// Dead letters of a query that a filter takes, newest first, and whether there may be more.
pub fn matching(
    store: &dyn Store,
    mut query: DeadQuery,
    filter: &Filter,
    want: usize,
) -> ReadResult<(Vec<DeadLetter>, bool)> {
    let mut found = Vec::new();
    query.limit = PAGE;
    loop {
        let page = store.dead_letters(&query)?;
        let full = page.len() == PAGE;
        query.before = page.last().map(|letter| letter.id);
        for letter in page.into_iter().filter(|letter| takes(filter, letter)) {
            if found.len() == want {
                return Ok((found, true));
            }
            found.push(letter);
        }
        if !full {
            return Ok((found, false));
        }
    }
}

fn takes(filter: &Filter, letter: &DeadLetter) -> bool {
    filter.ids.as_ref().is_none_or(|ids| ids.contains(&letter.id))
        && filter.since.is_none_or(|since| letter.at >= since)
        && filter.until.is_none_or(|until| letter.at < until)
}

fn letters(store: &dyn Store, plan: &Plan) -> ReadResult<Vec<Step>> {
    let query = DeadQuery {
        namespace: plan.namespace.clone(),
        trigger: plan.filter.trigger.clone(),
        cause: plan.filter.cause.clone(),
        state: Some(DeadState::Open),
        before: None,
        limit: PAGE,
    };
    let mut ids = Vec::new();
    let mut page = query;
    loop {
        let (found, more) = matching(store, page.clone(), &plan.filter, PAGE)?;
        page.before = found.last().map(|letter| letter.id);
        ids.extend(found.into_iter().map(|letter| letter.id));
        if !more || ids.len() > MAX_STEPS {
            break;
        }
    }
    ids.reverse();
    let limit = plan.limit.map_or(usize::MAX, |limit| limit as usize);
    Ok(ids.into_iter().take(limit).map(Step::Letter).collect())
}

/// The statuses that an action touches: those asked for that it can, or by default all it is meant for.
fn eligible(plan: &Plan) -> Vec<Status> {
    let touched = |status: &Status| match plan.action {
        Action::Cancel => !status.ended(),
        _ => matches!(status, Status::Faulted | Status::Cancelled),
    };
    let asked = &plan.filter.status;
    match (asked.is_empty(), plan.action) {
        (false, _) => asked.iter().copied().filter(touched).collect(),
        (true, Action::Retry) => vec![Status::Faulted],
        (true, _) => Status::ALL.into_iter().filter(touched).collect(),
    }
}

fn query(plan: &Plan, status: Vec<Status>) -> ExecutionQuery {
    ExecutionQuery {
        namespace: plan.namespace.clone(),
        workflow: plan.filter.workflow.clone(),
        status,
        trigger: plan.filter.trigger.clone(),
        tags: plan.filter.tags.clone(),
        since: plan.filter.since,
        until: plan.filter.until,
        ascending: true,
        after: None,
        limit: PAGE,
    }
}

/// The executions named by their ids that all other conditions hold for, oldest first.
fn named(store: &dyn Store, plan: &Plan, ids: &BTreeSet<ExecutionId>) -> ReadResult<Vec<ExecutionRow>> {
    let filter = &plan.filter;
    let mut rows = Vec::new();
    for id in ids {
        rows.extend(store.execution(&plan.namespace, *id)?.filter(|row| {
            filter.workflow.as_ref().is_none_or(|workflow| *workflow == row.workflow)
                && filter.trigger.as_ref().is_none_or(|trigger| row.trigger.as_ref() == Some(trigger))
                && filter.tags.iter().all(|tag| row.tags.contains(tag))
                && filter.since.is_none_or(|since| row.listed() >= since)
                && filter.until.is_none_or(|until| row.listed() < until)
        }));
    }
    rows.sort_by_key(|row| (row.listed(), row.id));
    Ok(rows)
}

/// What a plan would touch, without touching it.
pub(super) async fn preview(rooms: &Rooms, plan: Plan) -> Result<Preview, Error> {
    if matches!(plan.action, Action::Redrive | Action::Replay) {
        let matched = steps(rooms, plan).await?.len() as u64;
        return Ok(Preview { matched, states: BTreeMap::new() });
    }
    let store = rooms.store.clone();
    blocking(move || counted(&*store, &plan)).await
}

fn counted(store: &dyn Store, plan: &Plan) -> ReadResult<Preview> {
    let rows = plan.filter.executions.as_ref().map(|ids| named(store, plan, ids)).transpose()?;
    let (asked, eligible) = (&plan.filter.status, eligible(plan));
    let mut preview = Preview::default();
    for status in Status::ALL.into_iter().filter(|status| asked.is_empty() || asked.contains(status)) {
        let count = match &rows {
            Some(rows) => rows.iter().filter(|row| row.status == status).count() as u64,
            None => store.count_executions(&query(plan, vec![status]))?,
        };
        if count > 0 {
            preview.states.insert(status.word(), count);
        }
        if eligible.contains(&status) {
            preview.matched += count;
        }
    }
    preview.matched = preview.matched.min(plan.limit.unwrap_or(u64::MAX));
    Ok(preview)
}

fn executions(store: &dyn Store, plan: &Plan) -> ReadResult<Vec<Step>> {
    let status = eligible(plan);
    if status.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(ids) = &plan.filter.executions {
        let limit = plan.limit.map_or(usize::MAX, |limit| limit as usize);
        let rows = named(store, plan, ids)?.into_iter().filter(|row| status.contains(&row.status));
        return Ok(rows.take(limit).map(|row| Step::Execution(row.id.to_string())).collect());
    }
    let mut query = query(plan, status);
    let limit = plan.limit.map_or(MAX_STEPS + 1, |limit| limit as usize);
    let mut steps = Vec::new();
    loop {
        let page = store.executions(&query)?;
        let full = page.len() == PAGE;
        query.after = page.last().map(|row| (row.listed(), row.id));
        steps.extend(page.into_iter().map(|row| Step::Execution(row.id.to_string())));
        if !full || steps.len() >= limit {
            steps.truncate(limit);
            return Ok(steps);
        }
    }
}
