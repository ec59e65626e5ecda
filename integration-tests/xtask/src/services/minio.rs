//! MinIO: one server with webhook and Kafka notification targets, built from its Go module.
//!
//! Owns the recipe. The release is the last whose listen stream delivers each event at once; it is built by
//! `go install`, which takes some minutes once and leaves nothing but the binary in the cache. Root user of the tests:
//! `tidemill` / `tidemill-secret`. Targets: `W` (webhook, token `hook-secret`) and `K` (Kafka, topic `minio-events`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Places, Service, free_ports, write};
use crate::error::{Error, Result, While};
use crate::setup::{Package, Proof};
use crate::{http, process};

/// MinIO.
pub(super) const SERVICE: Service = Service {
    name: "minio",
    variable: "TIDEMILL_TEST_MINIO",
    preferred: Some("127.0.0.1:19000"),
    packages: &[Package { name: "curl", proof: Proof::Program("curl") }],
    fetch,
    init,
    start,
    probe,
    settings,
};

/// The release the tests run against.
const RELEASE: &str = "2025-09-07T16-13-09Z";
/// Its version as the Go module proxy knows it.
const MODULE: &str = "github.com/minio/minio@v0.0.0-20250907161309-07c3a429bfed";
/// Its commit, shown by `minio --version`.
const COMMIT: &str = "07c3a429bfed433e49018cb0f78a52145d4bedeb";
/// The least Go release its module can be built with.
const GO: (u32, u32) = (1, 24);
/// Port of the API, unless it is taken.
const PORT: [u16; 1] = [19000];
/// Where the webhook target of the shared server sends.
const HOOK: &str = "http://127.0.0.1:18900/hooks/default/uploads";

fn binary(places: &Places) -> PathBuf {
    places.cache.join(RELEASE).join("minio")
}

fn fetch(places: &Places) -> Result<()> {
    let binary = binary(places);
    if binary.is_file() {
        return Ok(());
    }
    let release = process::output(Command::new("go").arg("version")).ok().and_then(|text| go_release(&text));
    if release.is_none_or(|release| release < GO) {
        let (major, minor) = GO;
        return Err(Error::Failed(format!("build MinIO without Go {major}.{minor} or newer on PATH")));
    }
    eprintln!("xtask: building MinIO {RELEASE} by go install (some minutes, about 2 GB for a while)");
    let partial = places.cache.join(format!("partial-{}", std::process::id()));
    fs::create_dir_all(&partial).cannot(|| format!("make {}", partial.display()))?;
    let outcome = process::output(&mut install(&partial)).map(drop).and_then(|()| {
        let home = places.cache.join(RELEASE);
        fs::create_dir_all(&home).cannot(|| format!("make {}", home.display()))?;
        fs::rename(partial.join("bin/minio"), &binary).cannot(|| format!("fill {}", binary.display()))
    });
    let _ = fs::remove_dir_all(&partial);
    outcome
}

/// `go install` into a folder, with caches of its own that can be removed afterwards.
fn install(partial: &std::path::Path) -> Command {
    const PACKAGE: &str = "github.com/minio/minio/cmd";
    let version = RELEASE.replacen('-', ":", 4).replacen(':', "-", 2);
    let flags = format!(
        "-s -w -X {PACKAGE}.Version={version} -X {PACKAGE}.ReleaseTag=RELEASE.{RELEASE} -X {PACKAGE}.CommitID={COMMIT}"
    );
    let mut go = Command::new("go");
    go.args(["install", "-modcacherw", "-trimpath", "-ldflags", &flags, MODULE]);
    go.env("GOBIN", partial.join("bin")).env("GOMODCACHE", partial.join("mod"));
    go.env("GOCACHE", partial.join("build")).env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local");
    go
}

/// The release in the output of `go version`: `go version go1.26.8 linux/amd64`.
fn go_release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(' ').nth(2)?.strip_prefix("go")?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn init(places: &Places) -> Result<()> {
    let [port] = free_ports(PORT)?;
    write(&places.address_file(), &format!("127.0.0.1:{port}\n"))
}

fn start(places: &Places) -> Command {
    let address = places.address().unwrap_or_default();
    // The broker may come later, or never: MinIO connects when there is an event for it.
    let broker = fs::read_to_string(places.data.with_file_name("kafka").join("address"));
    let mut minio = Command::new(binary(places));
    minio.args(["server", "--address", &address]).arg(places.data.join("data"));
    minio.env("HOME", &places.data).envs([
        ("MINIO_ROOT_USER", "tidemill"),
        ("MINIO_ROOT_PASSWORD", "tidemill-secret"),
        ("MINIO_BROWSER", "off"),
        ("MINIO_UPDATE", "off"),
        ("MINIO_REGION", "us-east-1"),
        ("MINIO_NOTIFY_WEBHOOK_ENABLE_W", "on"),
        ("MINIO_NOTIFY_WEBHOOK_ENDPOINT_W", HOOK),
        ("MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_W", "hook-secret"),
        ("MINIO_NOTIFY_KAFKA_ENABLE_K", "on"),
        ("MINIO_NOTIFY_KAFKA_TOPIC_K", "minio-events"),
    ]);
    let broker = broker.map_or_else(|_| "127.0.0.1:19092".to_owned(), |text| text.trim().to_owned());
    minio.env("MINIO_NOTIFY_KAFKA_BROKERS_K", broker);
    minio
}

fn probe(address: &str) -> std::result::Result<(), String> {
    let answer = http::get(address, "/minio/health/ready").map_err(|error| error.to_string())?;
    if answer.status == 200 { Ok(()) } else { Err(format!("it answers {}", answer.status)) }
}

/// Tests that kill the server start one of their own from the binary.
fn settings(places: &Places) -> Vec<(&'static str, String)> {
    vec![("TIDEMILL_TEST_MINIO_BINARY", binary(places).display().to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_releases() {
        let check =
            |text: &str, expected: Option<(u32, u32)>| assert_eq!(go_release(text), expected, "{text}");
        check("go version go1.26.8 linux/amd64\n", Some((1, 26)));
        check("go version devel linux/amd64", None);
        check("", None);
    }

    #[test]
    fn the_version_is_an_instant() {
        let go = install(std::path::Path::new("/p"));
        let flags: Vec<_> = go.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        assert!(flags[4].contains(".Version=2025-09-07T16:13:09Z "), "{}", flags[4]);
    }
}
