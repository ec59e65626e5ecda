//! Source kind `mysql`: changes of rows as events, out of the binlog of a MySQL or MariaDB server.
//!
//! Owns where a run begins: at the saved position, at the end of the log, or beyond a gap. Positions are saved in the
//! commit of the events behind them; ids follow from the log, so that what is read twice is told once.

mod charset;
mod cursor;
mod fault;
mod gtid;
mod json;
mod payload;
mod position;
mod reading;
pub mod record;
mod rows;
mod schema;
mod server;
mod snapshot;
mod table;
mod times;
mod value;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use tidemill_dsl::event::Event;

pub use position::{BINLOG, SNAPSHOT};
pub use record::{Mapping, Poison};
pub use server::{Pem, Place, Tls};
pub use tidemill_dsl::manifest::{OnGap, Operations, TableFilter};

use crate::offer::offer;
use crate::{Arrivals, BoxFuture, Context, Source, SourceError};
use fault::{Fault, error};
use position::{FIRST, Position};
use reading::Reading;
use server::{Facts, Request};
use snapshot::Plan;
use walk::Walk;

/// Most changes offered at once.
pub const BATCH_RECORDS: usize = 500;
/// Most bytes of changes offered at once, beside one change that is larger.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// A MySQL source, configured.
#[derive(Clone, Debug)]
pub struct Spec {
    /// How to reach the server.
    pub place: Place,
    /// How changes become events.
    pub mapping: Mapping,
    /// Tables whose rows become events.
    pub tables: TableFilter,
    /// Which changes become events.
    pub operations: Operations,
    /// Whether the rows that are there at the first start are read.
    pub snapshot: bool,
    /// What is done when the log behind the saved position is gone.
    pub on_gap: OnGap,
    /// The id among the server's replicas.
    pub server_id: u32,
    /// How often a quiet server gives a sign of life, and how often positions are saved meanwhile.
    pub heartbeat: Duration,
}

/// A source made of a spec.
pub struct Mysql(pub Spec);

impl Source for Mysql {
    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async move {
            let stop = context.stop.clone();
            tokio::select! {
                biased;
                ended = run(&self.0, &context) => ended,
                // Whatever it waits for: what was not stored is read again.
                () = stop.cancelled() => Ok(()),
            }
        })
    }
}

/// Where a run begins.
struct Start {
    request: Request,
    position: Position,
    plan: Option<Plan>,
}

async fn run(spec: &Spec, context: &Context) -> Result<(), SourceError> {
    let saved = |partition: &str| {
        let found = context.positions.iter().find(|(name, _)| &**name == partition);
        found.map(|(_, text)| &**text).filter(|text| !text.is_empty())
    };
    let position = saved(BINLOG).map(read_position).transpose()?;
    let plan = saved(SNAPSHOT).and_then(Plan::parse);
    let mut conn = server::connect(&spec.place).await?;
    let facts = server::facts(&mut conn).await?;
    tell_absent(spec, context, &mut conn).await?;
    let mut start = match position {
        None => fresh(spec, context, (&mut conn, &facts)).await?,
        Some(position) => match resume(&mut conn, &facts, &position).await? {
            Ok(request) => Start { request, position, plan },
            Err(why) => beyond(spec, context, (&mut conn, &facts), (position, &why)).await?,
        },
    };
    // A server may tell of a gap no sooner than it sends its log.
    for _ in 0..2 {
        match read(spec, context, (conn, &facts), &start).await {
            Ok(()) => return Ok(()),
            Err(Fault::Error(found)) => return Err(found),
            Err(Fault::Gap(why)) => {
                conn = server::connect(&spec.place).await?;
                let position = start.position.clone();
                start = beyond(spec, context, (&mut conn, &facts), (position, &why)).await?;
            }
        }
    }
    Err(error(
        "mysql-log",
        "the server has no log to go on with",
        "see which logs it keeps: SHOW BINARY LOGS",
    ))
}

/// Tells of a pattern that takes no table: it may be mistyped, or not be there yet, or not for this user to see.
async fn tell_absent(spec: &Spec, context: &Context, conn: &mut Conn) -> Result<(), SourceError> {
    if let Some((pattern, near)) = schema::absent(conn, &spec.tables).await? {
        let message = format!("no table is called `{pattern}`, as far as the user sees");
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let help = format!(
            "{near}Its rows are read as soon as it is created; the user sees tables that it may SELECT from; upper and \
             lower case differ"
        );
        context.health.degraded("mysql-tables", &message, &help);
    }
    Ok(())
}

fn read_position(text: &str) -> Result<Position, SourceError> {
    Position::parse(text).ok_or_else(|| SourceError {
        permanent: true,
        ..error(
            "mysql-position",
            format!("the position `{text}` cannot be read"),
            "seek to FILE:POSITION or to a set of GTIDs, or to null to begin anew",
        )
    })
}

async fn read(
    spec: &Spec,
    context: &Context,
    (mut conn, facts): (Conn, &Facts),
    start: &Start,
) -> Result<(), Fault> {
    let known = server::logs(&mut conn).await?.into_iter().map(|(file, _)| file).collect();
    let from = (&start.request, &start.position);
    let stream = server::stream(conn, facts, from, (spec.server_id, spec.heartbeat)).await?;
    let mut position = start.position.clone();
    position.server.clone_from(&facts.uuid);
    let walk = Walk::new(position, known);
    Reading::new((spec, context, facts), walk, start.plan.clone()).read(stream).await
}

/// The first start: from the end of the log on, with what is there before it if that is wanted.
async fn fresh(
    spec: &Spec,
    context: &Context,
    (conn, facts): (&mut Conn, &Facts),
) -> Result<Start, SourceError> {
    let position = server::head(conn, facts).await?;
    let plan = if spec.snapshot { Some(Plan::new(spec, conn, position.clone()).await?) } else { None };
    begin(context, Vec::new(), Start { request: Request::File, position, plan }).await
}

/// Saves where a run begins, so that it begins there whatever happens.
async fn begin(context: &Context, events: Vec<Event>, start: Start) -> Result<Start, SourceError> {
    let mut positions = vec![(Arc::from(BINLOG), start.position.text())];
    positions.extend(start.plan.as_ref().map(|plan| (Arc::from(SNAPSHOT), plan.text())));
    let first = arrivals(context, events, positions);
    match offer(context.ingress.clone(), context.health.clone(), context.stop.clone(), first).await {
        Some(_) => Ok(start),
        None => Err(error("stopping", "the source is stopping", "it goes on when it is started")),
    }
}

/// How the log behind a position is asked for, or why it is not there.
async fn resume(
    conn: &mut Conn,
    facts: &Facts,
    position: &Position,
) -> Result<Result<Request, String>, SourceError> {
    let gtids = position.gtids.as_ref().filter(|gtids| facts.has_gtids && !gtids.is_empty());
    match gtids {
        // What MariaDB lacks it tells when it is asked for its log.
        Some(_) if facts.is_mariadb => return Ok(Ok(Request::Gtids)),
        Some(gtids) => {
            let (executed, purged) = server::executed(conn).await?;
            if !executed.holds(gtids) {
                return Ok(Err(
                    "the server lacks transactions that were read: it is another one, or older".into()
                ));
            }
            if gtids.holds(&purged) {
                return Ok(Ok(Request::Gtids));
            }
            return Ok(Err(format!("the server has purged transactions that were not read ({purged})")));
        }
        None => {}
    }
    if position.server.is_some() && facts.uuid.is_some() && position.server != facts.uuid {
        return Ok(Err("the position is one of another server".into()));
    }
    let logs = server::logs(conn).await?;
    let found = logs.iter().find(|(file, _)| *file == position.file);
    Ok(match found {
        Some((_, size)) if position.pos <= *size => Ok(Request::File),
        Some(_) => Err(format!("{} ends before {}", position.file, position.pos)),
        None => Err(format!("the server has no {} any more", position.file)),
    })
}

/// Beyond a gap, as `onGap` says.
async fn beyond(
    spec: &Spec,
    context: &Context,
    (conn, facts): (&mut Conn, &Facts),
    (from, why): (Position, &str),
) -> Result<Start, SourceError> {
    match spec.on_gap {
        OnGap::Stop => Err(SourceError {
            permanent: true,
            ..error(
                "mysql-gap",
                format!("changes were lost before they were read: {why}"),
                "choose one: `onGap: snapshot` reads the rows that are there anew; `onGap: skip` goes on with the \
                 oldest log that is left and tells of the gap by an event `mysql.gap`; `onGap: stop` keeps the source \
                 stopped until you seek. Logs are kept as long as binlog_expire_logs_seconds says",
            )
        }),
        OnGap::Snapshot => {
            let position = server::head(conn, facts).await?;
            let plan = Some(Plan::new(spec, conn, position.clone()).await?);
            tracing::warn!(target: "mysql", source = %context.name, why, "a gap in the log: the rows are read anew");
            begin(context, Vec::new(), Start { request: Request::File, position, plan }).await
        }
        OnGap::Skip => {
            let logs = server::logs(conn).await?;
            let file = logs.first().map(|(file, _)| file.clone()).unwrap_or_default();
            let gtids = match (facts.has_gtids, facts.is_mariadb) {
                (true, false) => {
                    let (executed, mut purged) = server::executed(conn).await?;
                    if let Some(own) = from.gtids.as_ref().filter(|own| executed.holds(own)) {
                        purged.join(own);
                    }
                    Some(purged)
                }
                // The file says at its beginning what was before it.
                _ => None,
            };
            let request = if gtids.as_ref().is_some_and(|set| !set.is_empty()) {
                Request::Gtids
            } else {
                Request::File
            };
            let position = Position { file, pos: FIRST, gtids, server: facts.uuid.clone(), within: None };
            let event = spec.mapping.of_gap(&from, &position, why, (context.clock)());
            begin(context, vec![event], Start { request, position, plan: None }).await
        }
    }
}

fn arrivals(context: &Context, events: Vec<Event>, positions: Vec<(Arc<str>, Arc<str>)>) -> Arrivals {
    Arrivals {
        namespace: context.namespace.clone(),
        source: context.name.clone(),
        events,
        positions,
        marks: Vec::new(),
        placed: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
