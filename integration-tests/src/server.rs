//! One process of the real binary: started, killed, stopped.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::Client;

/// A running `tidemill serve`.
pub struct Server {
    child: Child,
    /// Where its API listens.
    pub address: SocketAddr,
    /// Where its metrics listen.
    pub metrics: SocketAddr,
    /// Its data folder.
    pub dir: PathBuf,
    binary: PathBuf,
    environment: Vec<(String, String)>,
}

/// The binary beside the running test or bench: `target/PROFILE/tidemill`.
pub fn binary() -> PathBuf {
    if let Ok(path) = std::env::var("TIDEMILL_BIN") {
        return path.into();
    }
    let mut folder = std::env::current_exe().unwrap_or_default();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder.join("tidemill")
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    listener.local_addr().expect("a bound listener has an address")
}

impl Server {
    /// Starts `serve` on a data folder and waits until it is ready.
    pub async fn start(dir: &Path, environment: &[(&str, &str)]) -> Server {
        let environment: Vec<(String, String)> =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let binary = binary();
        let (address, metrics) = (free_port(), free_port());
        let child = spawn(&binary, dir, (address, metrics), &environment);
        let mut server = Server { child, address, metrics, dir: dir.to_owned(), binary, environment };
        server.ready(Duration::from_secs(30)).await;
        server
    }

    /// Waits for `/readyz`; gives the time it took.
    pub async fn ready(&mut self, limit: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let answer = Client::new(self.address).call("GET", "/readyz", &[], b"").await;
            if answer.is_ok_and(|a| a.status == 200) {
                return began.elapsed();
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("tidemill ended at start with {status}; log: {}", self.log());
            }
            assert!(began.elapsed() < limit, "tidemill is not ready after {limit:?}; log: {}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
        let from = text.len().saturating_sub(4000);
        text.chars().skip(from).collect()
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same folder and addresses.
    pub async fn restart(&mut self) -> Duration {
        self.child = spawn(&self.binary, &self.dir, (self.address, self.metrics), &self.environment);
        self.ready(Duration::from_secs(30)).await
    }

    /// SIGTERM; gives the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.ask_to_end();
        self.wait()
    }

    /// SIGTERM, without waiting for the end.
    pub fn ask_to_end(&self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
    }

    /// Stops the process where it stands for a while, as a machine does that has no time for it.
    pub async fn freeze(&self, time: Duration) {
        let signal = |name: &str| {
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()
        };
        let _ = signal("STOP");
        tokio::time::sleep(time).await;
        let _ = signal("CONT");
    }

    /// Waits for its end; gives the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().ok().and_then(|s| s.code())
    }

    /// How it ended, if it has ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The value of a metric summed over its labels; 0 if absent.
    pub async fn metric(&self, name: &str) -> f64 {
        let answer = Client::new(self.metrics).call("GET", "/metrics", &[], b"").await;
        let text = answer.map(|a| String::from_utf8_lossy(&a.body).into_owned()).unwrap_or_default();
        text.lines()
            .filter(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(binary: &Path, dir: &Path, at: (SocketAddr, SocketAddr), environment: &[(String, String)]) -> Child {
    std::fs::create_dir_all(dir).expect("a data folder");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("server.log"))
        .expect("a log file");
    let errors = log.try_clone().expect("a second handle");
    Command::new(binary)
        .args(["serve", "--listen", &at.0.to_string(), "--metrics-listen", &at.1.to_string()])
        .arg("--data-dir")
        .arg(dir)
        .envs(environment.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {}: {e}", binary.display()))
}
