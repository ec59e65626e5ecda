//! Via `webhook`: entries in the bucket's notification document, one for each rule, kept equal to the rules.
//!
//! Owns the reconciling. The events themselves come through the hook; a listing fills what the server lost. Entries of
//! others are never touched, and the document is written only when an own entry is wrong.

use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::ids::Time;
use tokio::sync::Mutex;

use super::client::{Client, S3Error, ahead};
use super::document::{self, Entry, Seen};
use super::ear;
use super::sweep::{Position, give, sweep};
use super::{Spec, WEBHOOK_SETTING};
use crate::{Context, Reconciled, Relation, Rules, SourceError, SyncState};

/// The query that names the document.
const DOCUMENT: &[(&str, &str)] = &[("notification", "")];

/// One document is read, changed and written at a time: a server keeps no versions of it, so that two writers of this
/// process would undo one another.
static WRITING: Mutex<()> = Mutex::const_new(());

/// A look that shows less than the one before it, or is the first, is taken again after this time. A server that was just
/// started says that there are no entries until it has its targets: what is written then would be without those of
/// others, and an own one that is to go would seem gone.
const SETTLE: Duration = Duration::from_secs(1);

/// Runs until stopped or failed.
pub(super) async fn run(
    spec: &Spec,
    arn: &Arc<str>,
    client: &Client,
    context: &Context,
) -> Result<(), SourceError> {
    let mut keeper = Keeper::new(spec, arn, client, context);
    let mut rules = context.rules.clone();
    let mut position = Position::saved(context);
    let mut was_open = position.is_some().then_some(true);
    let mut gone = Box::pin(ear::until_gone(client));
    loop {
        let wanted = rules.borrow_and_update().clone();
        let asked = (context.clock)();
        let reconciled = tokio::select! {
            biased;
            () = context.stop.cancelled() => return Ok(()),
            reconciled = keeper.reconcile(&wanted) => reconciled,
        };
        let (changed, ahead) = reconciled.map_err(|error| keeper.failed(&error))?;
        let is_open = wanted.open && !wanted.wanted.is_empty();
        let place = position.get_or_insert_with(|| Position::at(Time(context.since.0 + ahead)));
        // What came while no rule wanted it is nobody's, also when a rule comes later.
        if !is_open || was_open == Some(false) {
            *place = Position::at(Time(asked.0 + ahead));
        }
        if changed || place.due().is_none() {
            place.doubt();
        }
        context.health.running();
        let is_due = place.due().is_some_and(|due| due <= super::sweep::now());
        let mut went = false;
        let done = {
            let work = async {
                if is_open && is_due {
                    sweep(context, client, &spec.mapping, place).await
                } else if !is_open && was_open != Some(false) {
                    Ok(give(context, &spec.mapping, Vec::new(), Some(place)).await)
                } else {
                    Ok(Some(()))
                }
            };
            // A listing may take long: the ear is on the server meanwhile.
            beside(work, &mut gone, &mut went).await.map_err(|error| keeper.failed(&error))?
        };
        if went {
            place.doubt();
            gone.set(ear::until_gone(client));
        }
        if done.is_none() {
            return Ok(());
        }
        was_open = Some(is_open);
        if went {
            continue;
        }
        tokio::select! {
            biased;
            () = context.stop.cancelled() => return Ok(()),
            changed = rules.changed() => if changed.is_err() { return Ok(()); },
            () = &mut gone => {
                place.doubt();
                gone.set(ear::until_gone(client));
            }
            () = tokio::time::sleep(context.reconcile) => {}
        }
    }
}

/// Does something, and notes whether the other future ended meanwhile.
async fn beside<T>(
    work: impl Future<Output = T>,
    other: &mut (impl Future<Output = ()> + Unpin),
    ended: &mut bool,
) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = &mut *other, if !*ended => *ended = true,
        }
    }
}

struct Keeper<'a> {
    client: &'a Client,
    context: &'a Context,
    /// What own ids begin with.
    own: String,
    entry: Entry,
    hook: &'a str,
    /// The last look.
    last: Option<Seen>,
}

impl<'a> Keeper<'a> {
    fn new(spec: &'a Spec, arn: &Arc<str>, client: &'a Client, context: &'a Context) -> Keeper<'a> {
        let entry = Entry {
            arn: arn.clone(),
            events: spec.mapping.events.clone(),
            prefix: spec.mapping.prefix.clone(),
            suffix: spec.mapping.suffix.clone(),
        };
        let own = format!("tidemill.{}.{}.", context.namespace, context.name);
        Keeper { client, context, own, entry, hook: &spec.hook, last: None }
    }

    /// Makes the own entries what the rules want; whether something was wrong, and how far the server's clock is ahead.
    async fn reconcile(&mut self, rules: &Rules) -> Result<(bool, i64), S3Error> {
        let (seen, ahead) = self.see().await?;
        let names = || rules.wanted.keys().cloned();
        // A server that shows an own entry has its targets.
        if seen.agrees(names(), &self.entry) && (!seen.own.is_empty() || self.believes(&seen)) {
            self.tell(seen, rules);
            return Ok((false, ahead));
        }
        let (_writing, seen) = loop {
            let writing = WRITING.lock().await;
            let (seen, _) = self.see().await?;
            if self.believes(&seen) {
                break (writing, seen);
            }
            self.last = Some(seen);
            drop(writing);
            tokio::time::sleep(SETTLE).await;
        };
        if seen.agrees(names(), &self.entry) {
            self.tell(seen, rules);
            return Ok((false, ahead));
        }
        let text = seen.with(&self.own, names(), &self.entry);
        if let Err(error) = self.client.put(DOCUMENT, text).await {
            self.tell(seen, rules);
            return Err(error);
        }
        let (seen, _) = self.see().await?;
        let agrees = seen.agrees(names(), &self.entry);
        self.tell(seen, rules);
        if agrees {
            return Ok((true, ahead));
        }
        let message =
            "what was written was changed at once: somebody else writes the document too".to_owned();
        Err(S3Error::Refused { status: 409, code: "Drift".to_owned(), message })
    }

    /// Whether a look shows all that the last one did.
    fn believes(&self, seen: &Seen) -> bool {
        self.last.as_ref().is_some_and(|last| seen.shows_all_of(last))
    }

    async fn see(&self) -> Result<(Seen, i64), S3Error> {
        let answer = self.client.get(DOCUMENT).await?;
        let seen = document::read(&answer.text, &self.own).map_err(|why| self.client.unreadable(why))?;
        Ok((seen, ahead(answer.date, (self.context.clock)())))
    }

    fn tell(&mut self, seen: Seen, rules: &Rules) {
        let wanted = rules.wanted.iter().map(|(rule, generation)| {
            let right = seen.is_right(rule, &self.entry);
            let sync = if right { SyncState::InSync } else { SyncState::Drifted };
            Relation { id: rule.clone(), sync, generation: Some(*generation) }
        });
        let orphans = seen.own.keys().filter(|rule| !rules.wanted.contains_key(*rule));
        let orphans =
            orphans.map(|id| Relation { id: id.clone(), sync: SyncState::Orphaned, generation: None });
        let foreign = seen.foreign.iter();
        let foreign =
            foreign.map(|id| Relation { id: id.clone(), sync: SyncState::Foreign, generation: None });
        let relations = wanted.chain(orphans).chain(foreign).collect();
        self.context.health.reconciled(Reconciled::Seen { relations, open: rules.open });
        self.last = Some(seen);
    }

    /// The error of a run, with the setting that makes a missing target.
    fn failed(&self, error: &S3Error) -> SourceError {
        if error.is_unreachable() {
            self.context.health.reconciled(Reconciled::Unreachable);
        }
        let found = error.error();
        match error {
            S3Error::Refused { code, .. } if code == "Drift" => SourceError {
                code: "minio-drift".into(),
                help: "leave the entry to one of the two".into(),
                ..found
            },
            S3Error::Refused { code, message, .. }
                if code == "InvalidArgument" && message.contains("ARN") =>
            {
                SourceError {
                    code: "minio-arn".into(),
                    message: format!("the server has no target `{}`: {message}", self.entry.arn),
                    help: missing_target(&self.entry.arn, self.hook),
                    ..found
                }
            }
            _ => found,
        }
    }
}

/// The settings that make the target of an ARN.
fn missing_target(arn: &str, hook: &str) -> String {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts[..] {
        ["arn", "minio", "sqs", _, name, "webhook"] => {
            let setting = |what: &str, value: &str| format!("{WEBHOOK_SETTING}_{what}_{name}={value}");
            format!(
                "start the server with {} {} {}",
                setting("ENABLE", "on"),
                setting("ENDPOINT", &format!("http://THIS-SERVICE{hook}")),
                setting("AUTH_TOKEN", "TOKEN"),
            )
        }
        _ => format!("make the target on the server; it must send to {hook} of this service"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_of_a_missing_target_is_exact() {
        let check =
            |arn: &str, expected: &str| assert_eq!(missing_target(arn, "/hooks/default/in"), expected);
        check(
            "arn:minio:sqs::W:webhook",
            "start the server with MINIO_NOTIFY_WEBHOOK_ENABLE_W=on MINIO_NOTIFY_WEBHOOK_ENDPOINT_W=http://THIS-SERVICE/hooks/default/in MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_W=TOKEN",
        );
        check(
            "arn:aws:sns:us-east-1::t",
            "make the target on the server; it must send to /hooks/default/in of this service",
        );
    }
}
