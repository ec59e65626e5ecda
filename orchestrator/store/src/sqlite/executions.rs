//! Lists of executions: which index serves which query.
//!
//! Owns the SQL of `executions` and `count_executions`. Every page is read along an index that has its order, so its
//! price does not grow with what lies behind it. Where several indexes could serve, the one with fewer entries does; what
//! it cannot tell is asked of each row.

use std::fmt::Write;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use tidemill_dsl::ids::Time;
use tidemill_engine::record::Status;

use super::codec::{self, EXECUTION};
use crate::read::{ExecutionQuery, ExecutionRow};

/// Entries counted to tell which of several indexes has fewer.
const COUNTED: u32 = 5000;

/// The index that is walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// By workflow and status.
    Workflow,
    /// By trigger and status.
    Trigger,
    /// By status.
    Status,
    /// By a tag, of the query's the one with this number.
    Tag(usize),
}

/// A walk along an index: what is read, under which conditions, in which order.
struct Walk {
    from: String,
    conditions: String,
    order: [&'static str; 2],
}

/// A page of summaries.
pub(super) fn page(conn: &Connection, query: &ExecutionQuery) -> rusqlite::Result<Vec<ExecutionRow>> {
    let direction = if query.ascending { "ASC" } else { "DESC" };
    let mut bound = Vec::new();
    let parts: Vec<String> = walks(query, way(conn, query)?, &mut bound)
        .into_iter()
        .map(|Walk { from, conditions, order: [at, id] }| {
            format!(
                "SELECT * FROM (SELECT {EXECUTION}, {at} AS place FROM {from} WHERE {conditions}
                 ORDER BY {at} {direction}, {id} {direction})"
            )
        })
        .collect();
    let limit = bind(&mut bound, Sql::Integer(query.limit as i64));
    let all = parts.join(" UNION ALL ");
    let sql = format!("{all} ORDER BY place {direction}, id {direction} LIMIT {limit}");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(bound), |row| codec::execution(conn, row))?;
    rows.collect()
}

/// How many summaries a query has.
pub(super) fn count(conn: &Connection, query: &ExecutionQuery) -> rusqlite::Result<u64> {
    let query = ExecutionQuery { after: None, ..query.clone() };
    let mut bound = Vec::new();
    let parts: Vec<String> = walks(&query, way(conn, &query)?, &mut bound)
        .into_iter()
        .map(|Walk { from, conditions, .. }| format!("(SELECT count(*) FROM {from} WHERE {conditions})"))
        .collect();
    let sql = format!("SELECT {}", parts.join(" + "));
    conn.prepare_cached(&sql)?.query_row(params_from_iter(bound), |row| codec::number(row, 0))
}

fn bind(bound: &mut Vec<Sql>, value: Sql) -> String {
    bound.push(value);
    format!("?{}", bound.len())
}

fn text(text: &str) -> Sql {
    Sql::Text(text.to_owned())
}

/// The way with the fewest entries.
fn way(conn: &Connection, query: &ExecutionQuery) -> rusqlite::Result<Way> {
    let plain = match query {
        q if q.trigger.is_some() => Way::Trigger,
        q if q.workflow.is_some() => Way::Workflow,
        _ => Way::Status,
    };
    let narrowed = plain != Way::Status || !query.status.is_empty();
    let tags = (0..query.tags.len()).map(Way::Tag);
    let ways: Vec<Way> = if narrowed { tags.chain([plain]).collect() } else { tags.collect() };
    match ways[..] {
        [] => return Ok(plain),
        [only] => return Ok(only),
        _ => {}
    }
    let mut fewest = (u32::MAX, plain);
    for way in ways {
        let entries = entries(conn, query, way)?;
        if entries < fewest.0 {
            fewest = (entries, way);
        }
    }
    Ok(fewest.1)
}

/// How many entries a way has within the query's interval, counted up to [`COUNTED`].
fn entries(conn: &Connection, query: &ExecutionQuery, way: Way) -> rusqlite::Result<u32> {
    let alone = ExecutionQuery {
        namespace: query.namespace.clone(),
        since: query.since,
        until: query.until,
        after: query.after,
        ascending: query.ascending,
        status: if let Way::Tag(_) = way { Vec::new() } else { query.status.clone() },
        workflow: query.workflow.clone().filter(|_| way == Way::Workflow),
        trigger: query.trigger.clone().filter(|_| way == Way::Trigger),
        tags: if let Way::Tag(n) = way { vec![query.tags[n].clone()] } else { Vec::new() },
        limit: 0,
    };
    let way = if let Way::Tag(_) = way { Way::Tag(0) } else { way };
    let mut bound = Vec::new();
    let limit = bind(&mut bound, Sql::Integer(COUNTED.into()));
    let mut sum = 0;
    for Walk { from, conditions, .. } in walks(&alone, way, &mut bound) {
        let from = from.split(" CROSS JOIN").next().unwrap_or_default();
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {from} WHERE {conditions} LIMIT {limit})");
        let mut statement = conn.prepare_cached(&sql)?;
        let used = statement.parameter_count();
        let counted: u32 = statement.query_row(params_from_iter(&bound[..used]), |row| row.get(0))?;
        sum += counted;
    }
    Ok(sum)
}

/// The walks along a way: one for each status where the index goes by status, as each of them has its rows in order.
fn walks(query: &ExecutionQuery, way: Way, bound: &mut Vec<Sql>) -> Vec<Walk> {
    let ns = bind(bound, text(&query.namespace));
    let order = if let Way::Tag(_) = way { ["tagged_at", "tagged"] } else { ["listed", "id"] };
    let mut rest = interval(query, order, bound);
    for (n, (name, value)) in query.tags.iter().enumerate().filter(|(n, _)| way != Way::Tag(*n)) {
        let (name, value) = (bind(bound, text(name)), bind(bound, text(value)));
        let _ = write!(
            rest,
            " AND EXISTS (SELECT 1 FROM tag t{n} WHERE t{n}.ns = {ns} AND t{n}.name = {name}
              AND t{n}.value = {value} AND t{n}.listed = execution.listed AND t{n}.exec = execution.id)"
        );
    }
    let of_workflow = query.workflow.as_ref().map(|name| bind(bound, text(name)));
    let of_trigger = query.trigger.as_ref().map(|name| bind(bound, text(name)));
    let each = |index: &str, key: String| -> Vec<Walk> {
        // A status that is asked for twice is walked once.
        let stated = |status: &&Status| query.status.is_empty() || query.status.contains(status);
        let all = Status::ALL.iter().filter(stated);
        let walk = |status: &Status| Walk {
            from: format!("execution INDEXED BY {index}"),
            conditions: format!("ns = {ns}{key} AND status = {}{rest}", *status as u8),
            order,
        };
        all.map(walk).collect()
    };
    let is = |column: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!(" AND {column} = {value}")).unwrap_or_default()
    };
    match way {
        Way::Status => each("execution_status", String::new()),
        Way::Workflow => each("execution_workflow", is("workflow", &of_workflow)),
        Way::Trigger => {
            each("execution_trigger", is("trigger", &of_trigger) + &is("+workflow", &of_workflow))
        }
        Way::Tag(n) => {
            let (name, value) = &query.tags[n];
            let (name, value) = (bind(bound, text(name)), bind(bound, text(value)));
            rest += &(is("workflow", &of_workflow) + &is("trigger", &of_trigger));
            if !query.status.is_empty() {
                let list: Vec<String> = query.status.iter().map(|s| (*s as u8).to_string()).collect();
                let _ = write!(rest, " AND status IN ({})", list.join(", "));
            }
            let tagged = format!(
                "(SELECT exec AS tagged, listed AS tagged_at FROM tag WHERE ns = {ns} AND name = {name} AND value = {value})"
            );
            let from = format!("{tagged} CROSS JOIN execution INDEXED BY execution_id ON id = tagged");
            vec![Walk { from, conditions: format!("true{rest}"), order }]
        }
    }
}

/// The interval of time and the place of the page. A place within the interval takes over from the bound it begins at;
/// one outside says nothing that the bound does not.
fn interval(query: &ExecutionQuery, [at, id]: [&str; 2], bound: &mut Vec<Sql>) -> String {
    let mut conditions = String::new();
    let within = |place: Time| {
        if query.ascending {
            query.since.is_none_or(|since| since <= place)
        } else {
            query.until.is_none_or(|until| place < until)
        }
    };
    let after = query.after.filter(|(place, _)| within(*place));
    if let Some(since) = query.since.filter(|_| after.is_none() || !query.ascending) {
        let _ = write!(conditions, " AND {at} >= {}", bind(bound, Sql::Integer(since.0)));
    }
    if let Some(until) = query.until.filter(|_| after.is_none() || query.ascending) {
        let _ = write!(conditions, " AND {at} < {}", bind(bound, Sql::Integer(until.0)));
    }
    if let Some((place, execution)) = after {
        let behind = if query.ascending { ">" } else { "<" };
        let place = bind(bound, Sql::Integer(place.0));
        let execution = bind(bound, Sql::Blob(execution.0.to_vec()));
        let _ = write!(conditions, " AND ({at}, {id}) {behind} ({place}, {execution})");
    }
    conditions
}
