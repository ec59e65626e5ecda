//! Whether the log that is sent is still the log of the server.
//!
//! A server whose log was begun anew (RESET MASTER) goes on sending the old one, which nobody writes to: it is quiet for
//! ever, and changes are lost. So when it is quiet it is asked, on another connection, where its log ends.

use std::time::Duration;

use mysql_async::Conn;
use tokio::time::Instant;

use super::Spec;
use super::fault::error;
use super::position::place;
use super::reading::now;
use super::server::{Facts, ask, connect, head};
use crate::SourceError;

/// Longest wait for the answer; without one it is asked again at the next sign of life.
const ANSWER: Duration = Duration::from_secs(5);

/// What is asked besides the log, and where it was at the last sign of life.
#[derive(Default)]
pub(super) struct Watch {
    /// The connection for questions.
    pub(super) conn: Option<Conn>,
    /// Where reading was when the server was first ahead of it, and when that was.
    behind: Option<((u64, u64), Instant)>,
}

impl Watch {
    /// Reading was held: signs of life that come now may be old.
    pub(super) fn held(&mut self) {
        self.behind = None;
    }

    /// The server is quiet, and was read up to `seen`. An error if its log has gone on elsewhere.
    pub(super) async fn beat(
        &mut self,
        spec: &Spec,
        own: &Facts,
        seen: (u64, u64),
    ) -> Result<(), SourceError> {
        let conn = self.conn.take();
        let Ok(Ok((conn, end))) = tokio::time::timeout(ANSWER, end(spec, own, conn)).await else {
            return Ok(());
        };
        self.conn = Some(conn);
        let least = spec.heartbeat / 2;
        let Some(end) = end.filter(|end| is_elsewhere((*end, seen), &mut self.behind, (now(), least))) else {
            return Ok(());
        };
        Err(error(
            "mysql-log",
            format!(
                "the server sends a log that ended at {seen:?}, and its own ends at {end:?}: it was begun anew"
            ),
            "it is connected to anew; RESET MASTER throws away what was not read yet",
        ))
    }
}

/// Where the log of the server ends; none if another server answers.
async fn end(
    spec: &Spec,
    own: &Facts,
    conn: Option<Conn>,
) -> Result<(Conn, Option<(u64, u64)>), SourceError> {
    let mut conn = match conn {
        Some(conn) => conn,
        None => connect(&spec.place).await?,
    };
    if ask::<u32>(&mut conn, "SELECT @@server_id").await? != [own.number] {
        return Ok((conn, None));
    }
    let end = head(&mut conn, own).await?;
    Ok((conn, Some(place(&end.file, end.pos))))
}

/// Whether a log that ends at `end` is another than the one that is read up to `seen`: it ends before, or it is ahead at two
/// signs of life without a change in between. Those are at least so far apart: what waited while reading was held comes at
/// once.
fn is_elsewhere(
    (end, seen): ((u64, u64), (u64, u64)),
    behind: &mut Option<((u64, u64), Instant)>,
    (now, least): (Instant, Duration),
) -> bool {
    if end <= seen {
        *behind = None;
        return end < seen;
    }
    match behind {
        Some((place, since)) if *place == seen => now.duration_since(*since) >= least,
        _ => {
            *behind = Some((seen, now));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the log ends, and up to where it was read.
    type Beat = ((u64, u64), (u64, u64));
    const LEAST: Duration = Duration::from_secs(5);

    #[test]
    fn logs_that_go_on_elsewhere_are_seen() {
        let begun = now();
        let told = |beats: &[Beat], apart: Duration| -> Vec<bool> {
            let (mut behind, mut at) = (None, begun);
            let mut one = |beat: &Beat| {
                at += apart;
                is_elsewhere(*beat, &mut behind, (at, LEAST))
            };
            beats.iter().map(&mut one).collect()
        };
        let check = |beats: &[Beat], expected: bool| {
            let found = told(beats, LEAST);
            assert_eq!(found.last(), Some(&expected), "{beats:?}");
            assert!(!found[..found.len() - 1].contains(&true), "{beats:?}");
        };
        check(&[((2, 500), (2, 500)), ((2, 500), (2, 500))], false);
        // It was begun anew.
        check(&[((1, 157), (2, 500))], true);
        check(&[((2, 900), (2, 500)), ((2, 900), (2, 500))], true);
        // Both waited while reading was held.
        assert_eq!(told(&[((2, 900), (2, 500)), ((2, 900), (2, 500))], LEAST / 2), [false, false]);
        // It is ahead for a moment.
        check(&[((2, 900), (2, 500)), ((2, 1900), (2, 900)), ((2, 1900), (2, 1900))], false);
        check(&[((2, 900), (2, 500)), ((2, 900), (2, 900)), ((2, 1900), (2, 900))], false);
    }
}
