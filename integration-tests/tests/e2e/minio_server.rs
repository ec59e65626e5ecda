//! A MinIO server of a test's own, which can be killed, and a client for it: curl, which signs.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tidemill_integration_tests::http::Client;

use crate::support::{folder, until};

/// User name and password of the server.
pub(crate) const KEYS: (&str, &str) = ("tidemill", "tidemill-secret");
/// The token that its webhook targets send.
pub(crate) const TOKEN: &str = "hook-secret";

/// The server.
pub(crate) struct Minio {
    child: Option<Child>,
    binary: PathBuf,
    folder: TempDir,
    settings: Vec<(String, String)>,
    pub(crate) address: SocketAddr,
}

impl Drop for Minio {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Minio {
    /// One that is not started yet; none if there is no binary, which is told.
    pub(crate) fn new(test: &str) -> Option<Minio> {
        let binary = std::env::var("TIDEMILL_TEST_MINIO_BINARY").ok().filter(|path| !path.is_empty());
        if binary.is_none() {
            assert!(std::env::var_os("CI").is_none(), "TIDEMILL_TEST_MINIO_BINARY is not set");
            eprintln!(
                "SKIPPED minio: {test}: TIDEMILL_TEST_MINIO (with TIDEMILL_TEST_MINIO_BINARY) is not set"
            );
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Some(Minio { child: None, binary: binary?.into(), folder: folder(), settings: Vec::new(), address })
    }

    /// A webhook target called `name`.
    pub(crate) fn webhook(mut self, name: &str, url: &str) -> Minio {
        for (what, value) in [("ENABLE", "on"), ("ENDPOINT", url), ("AUTH_TOKEN", TOKEN)] {
            self.settings.push((format!("MINIO_NOTIFY_WEBHOOK_{what}_{name}"), value.to_owned()));
        }
        self
    }

    /// A Kafka target called `K`.
    pub(crate) fn kafka(mut self, broker: &str, topic: &str) -> Minio {
        for (what, value) in [("ENABLE", "on"), ("BROKERS", broker), ("TOPIC", topic)] {
            self.settings.push((format!("MINIO_NOTIFY_KAFKA_{what}_K"), value.to_owned()));
        }
        self
    }

    /// Starts it, also again, and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new(&self.binary)
            .args(["server", "--address", &self.address.to_string()])
            .arg(self.folder.path().join("data"))
            .env("HOME", self.folder.path())
            .env("MINIO_ROOT_USER", KEYS.0)
            .env("MINIO_ROOT_PASSWORD", KEYS.1)
            .envs([("MINIO_BROWSER", "off"), ("MINIO_UPDATE", "off"), ("MINIO_REGION", "us-east-1")])
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
        let address = self.address;
        until("MinIO is ready", Duration::from_secs(30), async || {
            let mut client = Client::new(address);
            client.call("GET", "/minio/health/ready", &[], b"").await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn hand(&self) -> Hand {
        Hand(self.address)
    }
}

/// What does things to the buckets; lives on without the server.
#[derive(Clone, Copy)]
pub(crate) struct Hand(SocketAddr);

impl Hand {
    /// One request; the answer's body, or none when it did not succeed. Keys are given encoded.
    pub(crate) fn call(self, method: &str, path: &str, body: &str) -> Option<String> {
        let output = Command::new("curl")
            .args(["-sS", "--fail-with-body", "--max-time", "10", "--path-as-is", "-X", method])
            .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &format!("{}:{}", KEYS.0, KEYS.1)])
            .args(["--data-binary", body, "-H", "content-type: text/plain"])
            .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
            .arg(format!("http://{}/{path}", self.0))
            .output();
        let output = output.expect("curl runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// One request that must succeed.
    pub(crate) fn must(self, method: &str, path: &str, body: &str) -> String {
        self.call(method, path, body).unwrap_or_else(|| panic!("{method} {path} failed"))
    }

    /// Makes a bucket that keeps versions.
    pub(crate) fn bucket(self, name: &str) {
        // A server that says it is ready may still be reading its settings.
        assert!((0..1000).any(|_| self.call("PUT", name, "").is_some()), "cannot make the bucket {name}");
        let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        self.must("PUT", &format!("{name}?versioning="), on);
    }

    /// The notification document.
    pub(crate) fn document(self, bucket: &str) -> String {
        self.must("GET", &format!("{bucket}?notification="), "")
    }

    /// Replaces the notification document by these entries.
    pub(crate) fn write_document(self, bucket: &str, entries: &str) {
        let text = format!("<NotificationConfiguration>{entries}</NotificationConfiguration>");
        self.must("PUT", &format!("{bucket}?notification="), &text);
    }

    /// `key:version` of every version of every object, delete markers left out; keys in the order of their bytes, the
    /// newest version of each first.
    pub(crate) fn versions(self, bucket: &str) -> Vec<String> {
        let part = |entry: &str, name: &str| -> Option<String> {
            let (_, rest) = entry.split_once(&format!("<{name}>"))?;
            Some(rest.split('<').next()?.to_owned())
        };
        // The signature wants the parameters in order.
        let (mut found, mut behind) = (Vec::new(), String::new());
        loop {
            let text = self.must("GET", &format!("{bucket}?encoding-type=url{behind}&versions="), "");
            for entry in text.split("<Version>").skip(1) {
                let key = part(entry, "Key").unwrap().replace("%2F", "/");
                found.push(format!("{key}:{}", part(entry, "VersionId").unwrap()));
            }
            let Some(key) = part(&text, "NextKeyMarker").filter(|key| !key.is_empty()) else {
                return found;
            };
            let key = key.replace('/', "%2F");
            let version = part(&text, "NextVersionIdMarker").unwrap_or_default();
            behind = format!("&key-marker={key}&version-id-marker={version}");
        }
    }
}
