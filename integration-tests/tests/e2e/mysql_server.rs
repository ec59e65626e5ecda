//! A MySQL or MariaDB server of a test's own, which can be killed and stopped where it stands, and a hand for it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tempfile::TempDir;

use crate::support::{folder, until};

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mariadb,
    Mysql,
}

/// The address of the server that every test may use; none if there is none, which is told.
pub(crate) fn shared(kind: Kind, test: &str) -> Option<SocketAddr> {
    let variable = if kind == Kind::Mariadb { "TIDEMILL_TEST_MARIADB" } else { "TIDEMILL_TEST_MYSQL" };
    let address = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if address.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable}=host:port is not set");
        eprintln!("SKIPPED {kind:?}: {test}: {variable}=host:port is not set");
    }
    address.map(|address| address.parse().unwrap())
}

/// A connection of root, who has no password.
pub(crate) async fn connect(address: SocketAddr) -> Option<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some("root"))
        .prefer_socket(false);
    Conn::new(options).await.ok()
}

/// Statements that must succeed.
pub(crate) async fn run(address: SocketAddr, statements: &[String]) {
    let mut conn = connect(address).await.expect("root comes in");
    for statement in statements {
        conn.query_drop(statement).await.unwrap_or_else(|why| panic!("{statement}: {why}"));
    }
    conn.disconnect().await.unwrap();
}

/// The server.
pub(crate) struct Database {
    child: Option<Child>,
    binary: PathBuf,
    folder: TempDir,
    kind: Kind,
    pub(crate) address: SocketAddr,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Database {
    /// One that is not started yet, with certificates for 127.0.0.1; none if there is no binary, which is told.
    pub(crate) fn new(kind: Kind, test: &str) -> Option<Database> {
        let variable =
            if kind == Kind::Mariadb { "TIDEMILL_TEST_MARIADB_BINARY" } else { "TIDEMILL_TEST_MYSQL_BINARY" };
        let binary = std::env::var(variable).ok().filter(|path| !path.is_empty());
        if binary.is_none() {
            assert!(std::env::var_os("CI").is_none(), "{variable} is not set");
            eprintln!("SKIPPED {kind:?}: {test}: {variable} is not set");
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let database = Database { child: None, binary: binary?.into(), folder: folder(), kind, address };
        database.prepare();
        Some(database)
    }

    /// Where the certificate of the authority is that signed the server's.
    pub(crate) fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// A file of its folder: `client.pem` and `client.key` are of somebody whom the authority knows, `stranger.pem` is
    /// an authority that signed nobody.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An authority that signs itself.
    fn authority_of(&self, name: &str) {
        let at = |end: &str| self.file(&format!("{name}.{end}"));
        let make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"];
        let mut make = openssl(&make);
        must(make.arg(format!("/CN={name}")).arg("-keyout").arg(at("key")).arg("-out").arg(at("pem")));
    }

    /// A key and a certificate that the authority signed.
    fn certificate(&self, name: &str) {
        let at = |end: &str| self.file(&format!("{name}.{end}"));
        std::fs::write(at("names"), "subjectAltName=IP:127.0.0.1,DNS:db.example\n").unwrap();
        let mut request = openssl(&["req", "-newkey", "rsa:2048", "-nodes", "-subj"]);
        must(request.arg(format!("/CN={name}")).arg("-keyout").arg(at("key")).arg("-out").arg(at("csr")));
        let mut sign = openssl(&["x509", "-req", "-CAcreateserial", "-days", "2", "-in"]);
        sign.arg(at("csr")).arg("-CA").arg(self.authority()).arg("-CAkey").arg(self.file("ca.key"));
        must(sign.arg("-extfile").arg(at("names")).arg("-out").arg(at("pem")));
    }

    fn prepare(&self) {
        let at = |name: &str| self.file(name).display().to_string();
        self.authority_of("ca");
        self.authority_of("stranger");
        self.certificate("server");
        self.certificate("client");
        let mut init = match self.kind {
            Kind::Mariadb => {
                let mut install = Command::new("mariadb-install-db");
                install.args(["--no-defaults", "--user=root", "--skip-test-db"]);
                install
                    .args(["--auth-root-authentication-method=normal", &format!("--datadir={}", at("data"))]);
                install
            }
            Kind::Mysql => {
                let mut server = self.command();
                server.arg("--initialize-insecure");
                server
            }
        };
        must(&mut init);
    }

    fn command(&self) -> Command {
        let at = |name: &str| self.file(name).display().to_string();
        let mut server = Command::new(&self.binary);
        server.args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--server-id=77"]);
        server.arg(format!("--port={}", self.address.port()));
        for (name, file) in [("datadir", "data"), ("socket", "s"), ("pid-file", "pid")] {
            server.arg(format!("--{name}={}", at(file)));
        }
        for (name, file) in [("ssl-ca", "ca.pem"), ("ssl-cert", "server.pem"), ("ssl-key", "server.key")] {
            server.arg(format!("--{name}={}", at(file)));
        }
        server.args(["--log-bin=binlog", "--binlog-format=ROW", "--binlog-row-image=FULL"]);
        server.args(["--binlog-row-metadata=FULL", "--sync-binlog=1", "--innodb-buffer-pool-size=64M"]);
        match self.kind {
            Kind::Mariadb => server.arg("--gtid-strict-mode=ON"),
            // Without GTIDs: positions are files and places alone.
            Kind::Mysql => server.args(["--gtid-mode=OFF", "--mysqlx=OFF", "--performance-schema=OFF"]),
        };
        server
    }

    /// Starts it, also again, and waits until it lets one in.
    pub(crate) async fn start(&mut self) {
        let log = std::fs::File::create(self.file("log")).unwrap();
        let mut server = self.command();
        server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(server.spawn().unwrap());
        let address = self.address;
        until("the database is ready", Duration::from_mins(1), async || connect(address).await.is_some())
            .await;
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it where it stands, or lets it go on.
    pub(crate) fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        must(Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()));
    }
}

fn openssl(words: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(words);
    command
}

fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
