//! A Kafka broker of a test's own, which can be killed and started again on its data.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{folder, until};

/// The broker.
pub(crate) struct Broker {
    child: Option<Child>,
    jars: String,
    folder: TempDir,
    pub(crate) address: SocketAddr,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Broker {
    /// One that is not started yet; none if there are no jars, which is told.
    pub(crate) fn new(test: &str) -> Option<Broker> {
        let jars = std::env::var("TIDEMILL_TEST_KAFKA_JARS").ok().filter(|path| !path.is_empty());
        if jars.is_none() {
            assert!(std::env::var_os("CI").is_none(), "TIDEMILL_TEST_KAFKA_JARS is not set");
            eprintln!("SKIPPED kafka: {test}: TIDEMILL_TEST_KAFKA_JARS is not set");
        }
        let (folder, address) = (folder(), free_port());
        std::fs::write(folder.path().join("server.properties"), properties(folder.path(), address)).unwrap();
        let broker = Broker { child: None, jars: jars?, folder, address };
        let format = broker
            .java("128m")
            .args(["kafka.tools.StorageTool", "format", "-t", "kR3rXv3sQbW1k0mUq8w0Lg"])
            .args(["-c", "server.properties"])
            .output()
            .unwrap();
        assert!(format.status.success(), "{}", String::from_utf8_lossy(&format.stderr));
        Some(broker)
    }

    fn java(&self, heap: &str) -> Command {
        let mut java = Command::new("java");
        java.current_dir(self.folder.path())
            .args([&format!("-Xmx{heap}"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-cp", &format!("{}/*", self.jars)])
            .stdin(Stdio::null());
        java
    }

    /// Starts it, also again, and waits until it takes connections.
    pub(crate) async fn start(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let child = self
            .java("256m")
            .args(["kafka.Kafka", "server.properties"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
        let address = self.address;
        until("the broker is up", Duration::from_mins(1), async || TcpStream::connect(address).is_ok()).await;
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn properties(folder: &Path, plain: SocketAddr) -> String {
    let (controller, data) = (free_port(), folder.join("data"));
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
controller.listener.names=CONTROLLER
listeners=CONTROLLER://{controller},PLAINTEXT://{plain}
advertised.listeners=PLAINTEXT://{plain}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
",
        data.display()
    )
}
