//! Lists of executions: which index serves which query.
//!
//! Owns the SQL of `executions` and `count_executions`. Every page is read along an index that has its order, so its
//! price does not grow with what lies behind it; only a list by tag sorts what has the tag.

use std::fmt::Write;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use tidemill_engine::record::Status;

use super::codec::{self, EXECUTION};
use crate::read::{ExecutionQuery, ExecutionRow};

/// A page of summaries.
pub(super) fn page(conn: &Connection, query: &ExecutionQuery) -> rusqlite::Result<Vec<ExecutionRow>> {
    let (order, behind) = if query.ascending { ("ASC", ">") } else { ("DESC", "<") };
    let mut bound = Vec::new();
    let after = query.after.map(|(at, id)| {
        let at = bind(&mut bound, Sql::Integer(at.0));
        format!(" AND (listed, id) {behind} ({at}, {})", bind(&mut bound, Sql::Blob(id.0.to_vec())))
    });
    let after = after.unwrap_or_default();
    let parts: Vec<String> = selects(query, &mut bound)
        .into_iter()
        .map(|(from, filter)| {
            format!(
                "SELECT * FROM (SELECT {EXECUTION}, listed FROM {from} WHERE {filter}{after}
                 ORDER BY listed {order}, id {order})"
            )
        })
        .collect();
    let limit = bind(&mut bound, Sql::Integer(query.limit as i64));
    let sql = format!("{} ORDER BY listed {order}, id {order} LIMIT {limit}", parts.join(" UNION ALL "));
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(bound), codec::execution)?;
    rows.collect()
}

/// How many summaries a query has.
pub(super) fn count(conn: &Connection, query: &ExecutionQuery) -> rusqlite::Result<u64> {
    let mut bound = Vec::new();
    let parts: Vec<String> = selects(query, &mut bound)
        .into_iter()
        .map(|(from, filter)| format!("(SELECT count(*) FROM {from} WHERE {filter})"))
        .collect();
    let sql = format!("SELECT {}", parts.join(" + "));
    conn.prepare_cached(&sql)?.query_row(params_from_iter(bound), |row| codec::number(row, 0))
}

fn bind(bound: &mut Vec<Sql>, value: Sql) -> String {
    bound.push(value);
    format!("?{}", bound.len())
}

/// The table with its index, and the conditions: one for each status where the index by status serves, as each of them
/// has its rows in order.
fn selects(query: &ExecutionQuery, bound: &mut Vec<Sql>) -> Vec<(String, String)> {
    let text = |text: &str| Sql::Text(text.to_owned());
    let ns = bind(bound, text(&query.namespace));
    let mut filter = format!("ns = {ns}");
    if let Some(workflow) = &query.workflow {
        let _ = write!(filter, " AND workflow = {}", bind(bound, text(workflow)));
    }
    if let Some(trigger) = &query.trigger {
        let _ = write!(filter, " AND trigger = {}", bind(bound, text(trigger)));
    }
    if let Some(since) = query.since {
        let _ = write!(filter, " AND listed >= {}", bind(bound, Sql::Integer(since.0)));
    }
    if let Some(until) = query.until {
        let _ = write!(filter, " AND listed < {}", bind(bound, Sql::Integer(until.0)));
    }
    for (name, value) in &query.tags {
        let (name, value) = (bind(bound, text(name)), bind(bound, text(value)));
        let _ = write!(
            filter,
            " AND id IN (SELECT exec FROM tag WHERE ns = {ns} AND name = {name} AND value = {value})"
        );
    }
    let statuses: Vec<Status> =
        if query.status.is_empty() { Status::ALL.to_vec() } else { query.status.clone() };
    // Most executions end well: any other status is the narrower way in.
    let narrow = !query.status.is_empty() && !query.status.contains(&Status::Completed);
    let index = match query {
        q if !q.tags.is_empty() => "execution_id",
        _ if narrow => "execution_status",
        q if q.trigger.is_some() => "execution_trigger",
        q if q.workflow.is_some() => "execution_workflow",
        _ => "execution_status",
    };
    if index == "execution_status" {
        let each = |status: &Status| {
            let filter = format!("{filter} AND status = {}", *status as u8);
            (format!("execution INDEXED BY {index}"), filter)
        };
        return statuses.iter().map(each).collect();
    }
    if !query.status.is_empty() {
        let list: Vec<String> = statuses.iter().map(|status| (*status as u8).to_string()).collect();
        let _ = write!(filter, " AND +status IN ({})", list.join(", "));
    }
    vec![(format!("execution INDEXED BY {index}"), filter)]
}
