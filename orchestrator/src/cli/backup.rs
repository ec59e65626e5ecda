//! `backup` and `store migrate`: the store of this machine as files.
//!
//! Owns the form of a backup: a folder that holds the database, the secret key and `backup.json` with their digests.
//! Copying and checking a database is the store's.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tidemill_dsl::value::Value;
use tidemill_store::sqlite::{Durability, OpenError, Options, backup};
use tidemill_store::{FORMAT, SqliteStore};

use super::args::{BackupVerb, Settings, Shared, StoreVerb};
use super::exit::{CONFLICT, DIFFERENT, FAILURE, Failure, NOT_FOUND, OK, Outcome, UNAVAILABLE};
use super::progress::{Bar, Counted, growing};
use super::{input, output, settings};
use crate::config::{Config, Purpose};

/// What describes a backup, beside its files.
const INDEX: &str = "backup.json";
/// The database within a backup.
const DATABASE: &str = "tidemill.db";
/// The key of the secrets, in a backup and in a data folder.
const KEY: &str = "secret.key";

pub(super) fn backup_verb(verb: BackupVerb, shared: &Shared) -> Outcome {
    match verb {
        BackupVerb::Create { dir, settings } => create(&dir, &config(&settings, shared)?, shared),
        BackupVerb::Verify { dir } => {
            let index = verified(&dir)?;
            output::object(shared.output, &index, "/createdAt");
            output::note(&format!("{}: whole", dir.display()));
            Ok(OK)
        }
        BackupVerb::Restore { dir, settings } => restore(&dir, &config(&settings, shared)?, shared),
    }
}

fn config(args: &Settings, shared: &Shared) -> Result<Config, Failure> {
    settings::read(args, shared, &Purpose::Serve)
}

/// A failure about a file.
fn io(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FAILURE, format!("{what} {}: {error}", path.display()))
        .try_next("see to the folder and its disk, then the same again")
}

/// A failure of the store.
pub(super) fn of_store(error: &OpenError) -> Failure {
    let code = if matches!(error, OpenError::Locked(_)) { UNAVAILABLE } else { FAILURE };
    let next = match error {
        OpenError::Locked(_) => "stop the server that uses the folder, or name another --data-dir",
        OpenError::TooNew { .. } => "the release of tidemill that wrote it, or a later one",
        OpenError::Foreign => "name the database of a tidemill server with --store or --data-dir",
        _ => "tidemill doctor, or another --data-dir",
    };
    Failure::new(code, error.to_string()).try_next(next)
}

fn missing(config: &Config) -> Failure {
    let text = format!("find a store at {}", config.database.display());
    Failure::new(NOT_FOUND, text).try_next(
        "name it with --data-dir or --store; tidemill config show --effective tells where it is looked for",
    )
}

fn create(dir: &Path, config: &Config, shared: &Shared) -> Outcome {
    if !config.database.exists() {
        return Err(missing(config));
    }
    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        let failure = Failure::new(CONFLICT, format!("back up into {}: it is not empty", dir.display()));
        return Err(failure.try_next("name a folder that is new or empty"));
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| io("make", dir, &error))?;
    let size = std::fs::metadata(&config.database).map_or(0, |data| data.len());
    output::note(&format!("copying {} ({} MiB)", config.database.display(), size >> 20));
    let copied = dir.join(DATABASE);
    let copy = || backup::copy(&config.database, &copied);
    growing("copying", (&copied, size), copy).map_err(|error| of_store(&error))?;
    let key = config.data_dir.join(KEY);
    if key.exists() {
        let bytes = std::fs::read(&key).map_err(|error| io("read", &key, &error))?;
        write(&dir.join(KEY), &bytes)?;
    }
    whole(&copied)?;
    let files = [DATABASE, KEY].into_iter().filter(|name| dir.join(name).exists());
    let files = files.map(|name| described(dir, name)).collect::<Result<Vec<_>, _>>()?;
    let format = backup::format(&copied).map_err(|error| of_store(&error))?;
    let index = Value::object([
        ("tidemill", Value::text(env!("CARGO_PKG_VERSION"))),
        ("format", Value::from(format)),
        ("createdAt", Value::text(crate::clock::system()().rfc3339())),
        ("files", Value::array(files)),
    ]);
    write(&dir.join(INDEX), output::pretty(&index).as_bytes())?;
    output::object(shared.output, &index, "/createdAt");
    output::note(&format!("it holds the key of the secrets: keep {} as safe as the server", dir.display()));
    Ok(OK)
}

/// Writes a file for its owner alone, flushed.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let options = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = options.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| io("write", path, &error))
}

fn described(dir: &Path, name: &str) -> Result<Value, Failure> {
    let (bytes, digest) = digest(&dir.join(name))?;
    let members =
        [("name", Value::text(name)), ("bytes", Value::from(bytes)), ("sha256", Value::text(digest))];
    Ok(Value::object(members))
}

fn digest(path: &Path) -> Result<(u64, String), Failure> {
    let mut hash = Sha256::new();
    let copied = std::fs::File::open(path).and_then(|mut file| {
        std::io::copy(&mut file, &mut Counted::new(Hashing(&mut hash), bar("reading", path)))
    });
    let bytes = copied.map_err(|error| io("read", path, &error))?;
    Ok((bytes, crate::api::body::hex(&hash.finalize())))
}

/// The line of work on a whole file.
fn bar(what: &str, path: &Path) -> Bar {
    let size = std::fs::metadata(path).map_or(0, |data| data.len());
    Bar::new(format!("{what} {}", path.display()), size)
}

/// Writes into a hash.
struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Refuses a database that is broken.
fn whole(path: &Path) -> Result<(), Failure> {
    let _checking = Bar::new(format!("checking {}", path.display()), 0);
    let found = backup::damage(path).map_err(|error| of_store(&error))?;
    if found.is_empty() {
        return Ok(());
    }
    let told: Vec<&str> = found.iter().take(5).map(String::as_str).collect();
    let text = format!("use the database {}: {}", path.display(), told.join("; "));
    Err(Failure::new(FAILURE, text).try_next("an earlier backup"))
}

/// The index of a backup whose files are as it says.
fn verified(dir: &Path) -> Result<Value, Failure> {
    let path = dir.join(INDEX);
    let bytes = std::fs::read(&path).map_err(|error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { FAILURE };
        let failure = Failure::new(code, format!("read {}: {error}", path.display()));
        failure.try_next("name a folder that tidemill backup create has made")
    })?;
    let broken = |why: String| {
        let failure = Failure::new(FAILURE, format!("use the backup {}: {why}", dir.display()));
        failure.try_next("an earlier backup")
    };
    let index = Value::parse(&bytes).map_err(|error| broken(format!("{INDEX} is no JSON: {error}")))?;
    let files = index.get("files").and_then(Value::as_array).unwrap_or_default();
    for file in files {
        let name = file.get("name").and_then(Value::as_str).unwrap_or_default();
        if ![DATABASE, KEY].contains(&name) {
            return Err(broken(format!("{INDEX} names the file `{name}`, which is none of a backup")));
        }
        let found = described(dir, name)?;
        if found != *file {
            return Err(broken(format!("{name} is not what was backed up")));
        }
    }
    if !files.iter().any(|file| file.get("name").and_then(Value::as_str) == Some(DATABASE)) {
        return Err(broken(format!("{INDEX} names no database")));
    }
    whole(&dir.join(DATABASE))?;
    Ok(index)
}

fn restore(dir: &Path, config: &Config, shared: &Shared) -> Outcome {
    let index = verified(dir)?;
    if config.database.exists() {
        input::confirm(&format!("replace the store {}", config.database.display()), shared.yes)?;
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    made.map_err(|error| io("make", &config.data_dir, &error))?;
    let folder = config.database.parent().unwrap_or(Path::new("."));
    let _held = backup::hold(folder).map_err(|error| of_store(&error))?;
    // The new database is there whole before the old one goes.
    let fresh = beside(&config.database, "-restored");
    place(&dir.join(DATABASE), &fresh)?;
    for ending in ["-wal", "-shm"] {
        let old = beside(&config.database, ending);
        if old.exists() {
            std::fs::remove_file(&old).map_err(|error| io("remove", &old, &error))?;
        }
    }
    std::fs::rename(&fresh, &config.database).map_err(|error| io("place", &config.database, &error))?;
    let key = dir.join(KEY);
    if key.exists() {
        let bytes = std::fs::read(&key).map_err(|error| io("read", &key, &error))?;
        write(&config.data_dir.join(KEY), &bytes)?;
    }
    let flushed = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    flushed.map_err(|error| io("flush", folder, &error))?;
    output::object(shared.output, &index, "/createdAt");
    output::note(&format!("restored to {}; start it with: tidemill serve", config.database.display()));
    Ok(OK)
}

/// Copies a file for its owner alone, flushed.
fn place(from: &Path, to: &Path) -> Result<(), Failure> {
    let copied = || {
        let mut source = std::fs::File::open(from)?;
        let target =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
        std::io::copy(&mut source, &mut Counted::new(&target, bar("restoring", from)))?;
        target.sync_all()
    };
    copied().map_err(|error| io("write", to, &error))
}

/// The file beside a database whose name goes on so.
fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

pub(super) fn store_verb(verb: StoreVerb, shared: &Shared) -> Outcome {
    let StoreVerb::Migrate { check, settings } = verb;
    let config = config(&settings, shared)?;
    if !config.database.exists() {
        return Err(missing(&config));
    }
    let format = backup::format(&config.database).map_err(|error| of_store(&error))?;
    let told = Value::object([
        ("store", Value::text(config.database.display().to_string())),
        ("format", Value::from(format)),
        ("known", Value::from(FORMAT)),
    ]);
    output::object(shared.output, &told, "/format");
    if format > FORMAT {
        return Err(of_store(&OpenError::TooNew { found: format, known: FORMAT }));
    }
    if format == FORMAT {
        output::note("nothing to do");
        return Ok(OK);
    }
    if check {
        output::note("it needs a migration; after a backup: tidemill store migrate");
        return Ok(DIFFERENT);
    }
    let options = Options { durability: Durability::Disk };
    let migrating = Bar::new(format!("migrating {}", config.database.display()), 0);
    let store = SqliteStore::open(&config.database, options).map_err(|error| of_store(&error))?;
    tidemill_store::Store::close(&store);
    drop(migrating);
    output::note(&format!("migrated from format {format} to {FORMAT}"));
    Ok(OK)
}
