//! Logging in to MySQL and MariaDB: over TLS and without, authorities that are not trusted, names that are not those of
//! the certificate, certificates of the client, passwords that the server keeps and does not keep. Against real servers.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tidemill_integration_tests::server::Server;

use crate::mysql_server::{Database, Kind, run, shared};
use crate::support::{BASE, apply, folder, get, post, until};

const LIMIT: Duration = Duration::from_secs(30);

/// A source of its own for a way to log in: name, host, secret, `tls`, and the state or the code that it comes to.
type Way<'a> = (&'a str, &'a str, &'a str, String, &'a str);

fn source((name, host, secret, tls, _): &Way<'_>, port: u16) -> String {
    let tls = if tls.is_empty() { String::new() } else { format!(", tls: {tls}") };
    format!(
        "---\nkind: Source\nmetadata: {{name: {name}}}\nspec: {{mysql: {{url: 'mysql://{host}:{port}', credentials: \
         {{secret: {secret}}}, tables: ['d.t'], heartbeat: 1s{tls}}}}}\n"
    )
}

fn secret(name: &str, value: &str) -> String {
    format!("---\nkind: Secret\nmetadata: {{name: {name}}}\nspec: {{value: {value}}}\n")
}

async fn status(server: &Server, name: &str) -> Value {
    get(server, &format!("/sources/{name}")).await["status"].clone()
}

/// Waits until a source is in the state, or has the trouble.
async fn comes_to(server: &Server, name: &str, expected: &str) {
    let mut last = Value::Null;
    until(&format!("{name} comes to {expected}"), LIMIT, async || {
        let status = status(server, name).await;
        let reached = status["state"] == expected
            || (status["state"] == "degraded" && status["lastError"]["code"] == expected);
        if !reached && last != status {
            eprintln!("{name}: {status}");
            last = status;
        }
        reached
    })
    .await;
}

/// Users: `plain`, `encrypted` over TLS alone, `certified` with a certificate alone. All may read the log.
async fn users(address: SocketAddr, kind: Kind) -> String {
    let plugin = if kind == Kind::Mysql { "WITH caching_sha2_password " } else { "" };
    let mut statements: Vec<String> =
        vec!["CREATE DATABASE d".into(), "CREATE TABLE d.t (n INT PRIMARY KEY)".into()];
    let mut secrets = secret("wrong", "{username: plain, password: wrong}");
    for (name, require) in [("plain", ""), ("encrypted", " REQUIRE SSL"), ("certified", " REQUIRE X509")] {
        statements.push(format!("CREATE USER '{name}'@'%' IDENTIFIED {plugin}BY 'a password'{require}"));
        statements.push(format!("GRANT ALL ON *.* TO '{name}'@'%'"));
        secrets += &secret(name, &format!("{{username: {name}, password: a password}}"));
    }
    run(address, &statements).await;
    secrets
}

async fn logins(kind: Kind) {
    let Some(mut database) = Database::new(kind, "logins") else { return };
    database.start().await;
    let address = database.address;
    let mut definitions = users(address, kind).await;
    let file = |name: &str| format!("{{file: '{}'}}", database.file(name).display());
    let (ca, stranger) = (file("ca.pem"), file("stranger.pem"));
    let identity = format!("certificate: {}, key: {}", file("client.pem"), file("client.key"));
    let text = serde_json::to_string(&std::fs::read_to_string(database.file("ca.pem")).unwrap()).unwrap();
    definitions += &secret("authority", &text);
    let here = "127.0.0.1";
    let ways: Vec<Way<'_>> = vec![
        ("plain", here, "plain", String::new(), "running"),
        ("wrong", here, "wrong", String::new(), "mysql-auth"),
        ("trusted", here, "plain", format!("{{ca: {ca}}}"), "running"),
        ("by-secret", here, "plain", "{ca: {secret: authority}}".into(), "running"),
        ("stranger", here, "plain", format!("{{ca: {stranger}}}"), "mysql-tls"),
        ("unknown", here, "plain", "{}".into(), "mysql-tls"),
        ("other-name", "localhost", "plain", format!("{{ca: {ca}}}"), "mysql-tls"),
        ("named", "localhost", "plain", format!("{{ca: {ca}, serverName: db.example}}"), "running"),
        ("misnamed", here, "plain", format!("{{ca: {ca}, serverName: db.other}}"), "mysql-tls"),
        ("bare", here, "encrypted", String::new(), "mysql-auth"),
        ("encrypted", here, "encrypted", format!("{{ca: {ca}}}"), "running"),
        ("uncertified", here, "certified", format!("{{ca: {ca}}}"), "mysql-auth"),
        ("certified", here, "certified", format!("{{ca: {ca}, {identity}}}"), "running"),
        ("no-file", here, "plain", "{ca: {file: /nowhere/ca.pem}}".into(), "mysql-tls"),
        (
            "no-key",
            here,
            "certified",
            format!("{{ca: {ca}, certificate: {}, key: {}}}", file("client.pem"), file("client.names")),
            "mysql-tls",
        ),
    ];
    definitions.extend(ways.iter().map(|way| source(way, address.port())));
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    apply(&server, &definitions).await;
    for (name, _, _, _, expected) in &ways {
        comes_to(&server, name, expected).await;
    }
    // What is read is the same.
    run(address, &["INSERT INTO d.t VALUES (1)".into()]).await;
    for (name, ..) in ways.iter().filter(|way| way.4 == "running") {
        until(name, LIMIT, async || status(&server, name).await["eventsAccepted"] == 1).await;
    }
    // A password that the server does not keep is sent whole, encrypted by TLS or by the server's key.
    for name in ["plain", "trusted"] {
        for round in ["not kept", "kept"] {
            assert_eq!(post(&server, &format!("/sources/{name}/pause")).await.status, 200, "{name} {round}");
            comes_to(&server, name, "paused").await;
            if round == "not kept" {
                run(address, &["FLUSH PRIVILEGES".into()]).await;
            }
            assert_eq!(post(&server, &format!("/sources/{name}/resume")).await.status, 200);
            comes_to(&server, name, "running").await;
        }
    }
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_to_mariadb() {
    logins(Kind::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_to_mysql() {
    logins(Kind::Mysql).await;
}

/// The shared server has no certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_told() {
    let Some(address) = shared(Kind::Mariadb, "a server without TLS") else { return };
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]).await;
    let way = ("bare", "127.0.0.1", "login", "{}".to_owned(), "mysql-tls");
    let login = secret("login", "{username: root, password: ''}");
    apply(&server, &format!("{login}{}", source(&way, address.port()))).await;
    comes_to(&server, "bare", "mysql-tls").await;
    let (status, body) = server.client().get(&format!("{BASE}/sources/bare")).await.unwrap();
    assert_eq!((status, &body["status"]["lastError"]["message"]), (200, &"the server offers no TLS".into()));
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}
