//! `dev`: the service on a folder of definitions, applied at the start and again with each change.
//!
//! Owns the watching. What a folder no longer defines is removed; mistakes are told in full and change nothing.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::args::{DevArgs, Shared};
use super::definitions::{Definitions, may_define};
use super::exit::{Failure, NOT_FOUND, Outcome};
use super::local::{self, Name, Refused};
use super::{output, service, settings};
use crate::config::Purpose;
use crate::hall::Hall;
use crate::telemetry;

/// How long the folder must be quiet before it is read: editors write in several steps.
const QUIET: Duration = Duration::from_millis(150);

pub(super) async fn run(args: &DevArgs, shared: &Shared) -> Outcome {
    let dir = std::path::absolute(&args.dir).unwrap_or_else(|_| args.dir.clone());
    if !dir.is_dir() {
        let failure = Failure::new(NOT_FOUND, format!("find the folder {}", args.dir.display()));
        return Err(failure.try_next("tidemill dev DIR, with a folder that holds workflows and manifests"));
    }
    let config = settings::read(&args.settings, shared, &Purpose::Dev(dir))?;
    telemetry::log(config.log_format, config.log_level.as_deref().unwrap_or("info"));
    let folder = Folder { path: args.dir.clone(), namespace: shared.namespace().to_owned() };
    service::run(&config, async |hall| {
        let mut applied = Vec::new();
        folder.apply(&hall, &mut applied).await;
        Ok(watch(folder, hall, applied))
    })
    .await
}

/// The folder that is watched.
struct Folder {
    path: PathBuf,
    namespace: String,
}

impl Folder {
    /// Applies what the folder defines and removes what it defined before; tells everything on standard error.
    async fn apply(&self, hall: &Hall, applied: &mut Vec<Name>) {
        let set = match Definitions::read(std::slice::from_ref(&self.path)) {
            Ok(set) => set,
            Err(failure) => return output::note(&failure.to_string()),
        };
        match local::apply(&hall.rooms, &set, &self.namespace).await {
            Ok(done) => {
                output::note_unless_empty(set.render(&done.warnings).trim_end());
                done.lines().iter().for_each(|line| output::note(line));
                let now: Vec<Name> =
                    done.results.iter().map(|(ns, r)| (ns.clone(), r.kind, r.name.clone())).collect();
                let gone: Vec<Name> = applied.iter().filter(|name| !now.contains(name)).cloned().collect();
                local::remove(&hall.rooms, &gone).await.iter().for_each(|line| output::note(line));
                *applied = now;
            }
            Err(Refused::Mistakes(found)) => {
                output::note(set.render(&found).trim_end());
                output::note(
                    "error: nothing was applied; mend the definitions, they are read again when saved",
                );
            }
            Err(Refused::Failed(error)) => output::note(&Failure::from(error).to_string()),
        }
    }
}

/// Applies the folder again whenever a definition in it changed.
async fn watch(folder: Folder, hall: Arc<Hall>, mut applied: Vec<Name>) {
    let (told, mut changes) = mpsc::channel(1);
    let root = folder.path.clone();
    let watching = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| concerns(&event, &root)) {
            // A full channel holds a change already, which is all there is to tell.
            let _ = told.try_send(());
        }
    });
    let started = watching.and_then(|mut watcher| {
        watcher.watch(&folder.path, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    let _watcher = match started {
        Ok(watcher) => watcher,
        Err(error) => {
            output::note(&format!(
                "error: cannot watch {}: {error}\n  try: start tidemill dev again after a change",
                folder.path.display()
            ));
            return;
        }
    };
    while changes.recv().await.is_some() {
        while tokio::time::timeout(QUIET, changes.recv()).await.is_ok_and(|change| change.is_some()) {}
        folder.apply(&hall, &mut applied).await;
    }
}

/// Whether something below the folder was written that may be a definition.
fn concerns(event: &notify::Event, root: &Path) -> bool {
    let written = matches!(
        event.kind,
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Any
    );
    written && event.paths.iter().any(|path| is_of_interest(path.strip_prefix(root).unwrap_or(path)))
}

/// A file that may define, or a folder (no ending) that came or went; nothing hidden or below hidden folders. The path
/// is that below the watched folder, which may itself be hidden.
fn is_of_interest(path: &Path) -> bool {
    let hidden = path
        .components()
        .any(|part| matches!(part, Component::Normal(name) if name.to_string_lossy().starts_with('.')));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    !hidden && (may_define(&name) || path.extension().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_interest() {
        let check =
            |path: &str, expected: bool| assert_eq!(is_of_interest(Path::new(path)), expected, "{path}");
        check("flows/a.yaml", true);
        check("./flows/a.yml", true);
        check("../flows/new-folder", true);
        check("", true);
        check("flows/.tidemill/tidemill.db-wal", false);
        check("flows/.tidemill/x.yaml", false);
        check("flows/greet.sh", false);
        check("flows/event.json", false);
    }
}
