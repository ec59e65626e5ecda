//! `doctor`: looks at what a server needs, and says what to do about what is wrong.
//!
//! Owns the findings. Changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tidemill_dsl::ids::Time;
use tidemill_dsl::value::Value;
use tidemill_store::FORMAT;
use tidemill_store::sqlite::{OpenError, backup};

use super::args::{DoctorArgs, Form, Shared};
use super::client::Client;
use super::exit::{FAILURE, Failure, OK, Outcome};
use super::output::{self, Column};
use super::settings;
use crate::config::{Config, Purpose};

const COLUMNS: &[Column] =
    &[("CHECK", "/check"), ("STATE", "/state"), ("DETAIL", "/detail"), ("HELP", "/help")];
/// Free bytes of the data folder's disk below which there is trouble soon, and now.
const LITTLE: u64 = 1 << 30;
const NONE: u64 = 128 << 20;
/// How far the clocks of this machine and the server may be apart.
const SKEW: Duration = Duration::from_secs(2);
/// No clock that is right is before this release was made: 2026-01-01.
const BUILT: Time = Time(1_767_225_600_000);

/// One finding.
struct Finding {
    check: &'static str,
    state: State,
    detail: String,
    help: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fail,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Finding {
        Finding { check, state: State::Ok, detail: detail.into(), help: "" }
    }

    fn warn(check: &'static str, detail: impl Into<String>, help: &'static str) -> Finding {
        Finding { check, state: State::Warn, detail: detail.into(), help }
    }

    fn fail(check: &'static str, detail: impl Into<String>, help: &'static str) -> Finding {
        Finding { check, state: State::Fail, detail: detail.into(), help }
    }

    fn value(&self) -> Value {
        let state = match self.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        };
        Value::object([
            ("check", Value::text(self.check)),
            ("state", Value::text(state)),
            ("detail", Value::text(&*self.detail)),
            ("help", if self.help.is_empty() { Value::Null } else { Value::text(self.help) }),
        ])
    }
}

pub(super) async fn run(args: &DoctorArgs, shared: &Shared) -> Outcome {
    let mut found = Vec::new();
    match settings::read(&args.settings, shared, &Purpose::Serve) {
        Ok(config) => {
            found.push(Finding::ok("config", format!("readable; data in {}", config.data_dir.display())));
            found.push(address(&config));
            found.push(folder(&config));
            found.push(store(&config, args.deep));
            found.push(key(&config));
            found.push(disk(&config));
        }
        Err(failure) => {
            let help = "mend the setting it names; tidemill config show --effective lists all of them";
            found.push(Finding::fail("config", failure.text, help));
        }
    }
    let now = crate::clock::system()();
    found.push(if now < BUILT {
        Finding::fail(
            "clock",
            format!("it is {} here", now.rfc3339()),
            "set the clock of this machine, and keep it by NTP",
        )
    } else {
        Finding::ok("clock", now.rfc3339())
    });
    found.extend(server(shared, now).await?);
    let values: Vec<Value> = found.iter().map(Finding::value).collect();
    output::list(shared.output, &values, COLUMNS);
    let count = |state: State| found.iter().filter(|finding| finding.state == state).count();
    let (fails, warns) = (count(State::Fail), count(State::Warn));
    if matches!(shared.output, None | Some(Form::Table)) {
        output::note(&format!("{} checks, {fails} failed, {warns} warnings", found.len()));
    }
    if fails == 0 {
        return Ok(OK);
    }
    let first = found.iter().find(|finding| finding.state == State::Fail);
    let failure = Failure::new(FAILURE, format!("find all well: {fails} checks failed"));
    Err(failure.try_next(first.map_or("", |finding| finding.help)))
}

fn address(config: &Config) -> Finding {
    match config.exposed() {
        Some((setting, address)) => Finding::fail(
            "address",
            format!("{setting} is {address}, which others can reach"),
            "a loopback address, with a proxy that authenticates in front of it",
        ),
        None => {
            Finding::ok("address", format!("{} and {} are loopback", config.listen, config.metrics_listen))
        }
    }
}

fn folder(config: &Config) -> Finding {
    let dir = &config.data_dir;
    let Ok(data) = std::fs::metadata(dir) else {
        return Finding::ok("folder", format!("{} is made at the first start", dir.display()));
    };
    let mode = data.permissions().mode() & 0o777;
    if !data.is_dir() {
        return Finding::fail(
            "folder",
            format!("{} is no folder", dir.display()),
            "name a folder with --data-dir",
        );
    }
    if rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_err() {
        let help = "let the user of the server own the folder: chown -R";
        return Finding::fail("folder", format!("{} cannot be written", dir.display()), help);
    }
    if mode & 0o077 != 0 {
        let detail = format!("{} can be read by others (mode {mode:03o})", dir.display());
        return Finding::warn("folder", detail, "chmod 700 on the folder");
    }
    Finding::ok("folder", dir.display().to_string())
}

fn store(config: &Config, deep: bool) -> Finding {
    let path = &config.database;
    if !path.exists() {
        return Finding::ok("store", format!("{} is made at the first start", path.display()));
    }
    let judged = backup::format(path).and_then(|format| {
        let damage = if deep { backup::damage(path)? } else { Vec::new() };
        Ok((format, damage))
    });
    match judged {
        Err(OpenError::Foreign) => {
            let help = "name another database with --store or --data-dir";
            Finding::fail("store", format!("{} is no database of tidemill", path.display()), help)
        }
        Err(error) => {
            Finding::fail("store", error.to_string(), "tidemill backup restore with the last good backup")
        }
        Ok((format, _)) if format > FORMAT => Finding::fail(
            "store",
            format!("its format {format} is later than {FORMAT}, the latest of this release"),
            "the release that wrote it, or a later one",
        ),
        Ok((_, damage)) if !damage.is_empty() => {
            Finding::fail("store", damage.join("; "), "tidemill backup restore with the last good backup")
        }
        Ok((format, _)) if format < FORMAT => Finding::warn(
            "store",
            format!("its format {format} is migrated to {FORMAT} at the next start"),
            "tidemill backup create first",
        ),
        Ok((format, _)) => {
            let how = if deep { ", whole" } else { "" };
            Finding::ok("store", format!("{} of format {format}{how}", path.display()))
        }
    }
}

fn key(config: &Config) -> Finding {
    let path = config.data_dir.join("secret.key");
    let Ok(data) = std::fs::metadata(&path) else {
        if config.database.exists() {
            let help = "put the key of the last backup there: without it no stored secret can be read";
            return Finding::fail("key", format!("{} is missing beside a store", path.display()), help);
        }
        return Finding::ok("key", "made at the first start");
    };
    if data.permissions().mode() & 0o077 != 0 {
        return Finding::fail(
            "key",
            format!("{} can be read by others", path.display()),
            "chmod 600 on the key",
        );
    }
    Finding::ok("key", path.display().to_string())
}

/// The nearest folder that exists is on the disk that will hold the data.
fn disk(config: &Config) -> Finding {
    let there = config.data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Err(error) => {
            Finding::fail("disk", format!("{}: {error}", there.display()), "see to the file system")
        }
        Ok(stat) => free(stat.f_bavail.saturating_mul(stat.f_frsize)),
    }
}

fn free(bytes: u64) -> Finding {
    let detail = format!("{} MiB free", bytes >> 20);
    let help = "free some space, or shorten retention.executions and retention.events";
    match bytes {
        0..NONE => Finding::fail("disk", detail, help),
        NONE..LITTLE => Finding::warn("disk", detail, help),
        _ => Finding::ok("disk", detail),
    }
}

async fn server(shared: &Shared, now: Time) -> Result<Vec<Finding>, Failure> {
    let answer = Client::new(shared)?.ready_at().await;
    let (status, date) = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            let help = "tidemill serve, or name the server with --server";
            return Ok(vec![Finding::warn("server", format!("cannot {}", failure.text), help)]);
        }
    };
    let mut found = vec![if status == 200 {
        Finding::ok("server", format!("{} is ready", shared.server))
    } else {
        Finding::fail(
            "server",
            format!("it is not ready (HTTP status {status})"),
            "see the log of the server",
        )
    }];
    if let Some(date) = date {
        let apart = Duration::from_millis(now.0.abs_diff(date.0)).saturating_sub(Duration::from_secs(1));
        found.push(if apart > SKEW {
            let detail = format!("the clock of the server is {} s apart from this one", apart.as_secs());
            Finding::warn("skew", detail, "keep both clocks by NTP")
        } else {
            Finding::ok("skew", "the clock of the server is the same")
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_before_it_is_full() {
        let check = |bytes: u64, expected: &str| {
            assert_eq!(free(bytes).value().get("state").and_then(Value::as_str), Some(expected), "{bytes}");
        };
        check(0, "fail");
        check(NONE, "warn");
        check(LITTLE, "ok");
    }

    #[test]
    fn every_trouble_has_help() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = Config::new(dir.path().to_owned());
        let states = |found: Finding| (found.state == State::Ok, found.help.is_empty());
        assert_eq!(states(store(&config, true)), (true, true));
        std::fs::write(&config.database, "no database at all, but long enough for a header of one hundred bytes, which SQLite wants to see first").expect("a file");
        assert_eq!(states(store(&config, false)), (false, false));
        assert_eq!(states(key(&config)), (false, false));
        std::fs::write(dir.path().join("secret.key"), [0; 32]).expect("a file");
        assert_eq!(states(key(&config)), (false, false), "others may read it");
    }
}
