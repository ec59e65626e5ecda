//! HTTP sinks through connections: certificates of an own authority, credentials that rotate and go nowhere else; and
//! targets that say when they want to be asked again.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tidemill_integration_tests::server::Server;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::partner::{Asked, Partner};
use crate::support::{BASE, LOOPBACK, all, apply, event_taken, folder, secret, try_apply, until};

const LIMIT: Duration = Duration::from_secs(30);
const TAKEN: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// An authority, and certificates of `partner.test` and of a client that it signed.
fn certificates(folder: &Path) {
    let openssl = |line: &str| {
        let done = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {new} -days 2 -subj /CN=authority -keyout ca.key -out ca.crt"));
    for (name, host) in [("server", "partner.test"), ("client", "client.test")] {
        std::fs::write(folder.join("names"), format!("subjectAltName=DNS:{host}\n")).unwrap();
        openssl(&format!("req {new} -subj /CN={host} -keyout {name}.key -out {name}.csr"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.crt"
        ));
    }
}

/// A side that shows `server.crt` and asks for a certificate of the authority.
fn acceptor(folder: &Path) -> TlsAcceptor {
    let file = |name: &str| folder.join(name);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.crt")).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_file(file("server.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config =
        ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A trigger without retries for events of its name.
fn trigger(name: &str, sink: &str) -> String {
    format!(
        "---\nkind: Trigger\nmetadata: {{name: {name}}}\nspec:\n  filters: [{{exact: {{type: {name}}}}}]\n  \
         target: {{sink: {sink}}}\n  retry: {{preset: none}}\n"
    )
}

/// The error of the one dead letter of a trigger.
async fn letter(server: &Server, trigger: &str) -> Value {
    let letters = async || all(server, "/dead-letters", &format!("&trigger={trigger}")).await;
    until(&format!("a dead letter of {trigger}"), LIMIT, async || letters().await.len() == 1).await;
    letters().await[0]["attempts"][0]["error"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_brings_certificates_and_credentials() {
    let (here, there) = (folder(), folder());
    certificates(there.path());
    let echo = |asked: &Asked, _: usize| {
        let said = asked.header("authorization").unwrap_or("").to_owned();
        match asked.header("ce-type") {
            Some("echo") => format!("HTTP/1.1 400 Bad\r\ncontent-length: {}\r\n\r\n{said}", said.len()),
            _ => TAKEN.to_owned(),
        }
    };
    let partner = Partner::start(Some(acceptor(there.path())), echo).await;
    let server = Server::start(here.path(), &[LOOPBACK]).await;
    let file = |name: &str| there.path().join(name).display().to_string();
    let (port, key) = (partner.address.port(), file("client.key"));
    let own = format!("certificate: {{file: {}}}, key: {{file: {key}}}", file("client.crt"));
    let (ca, name) = ("ca: {secret: authority}", "serverName: partner.test");
    let connection = |name: &str, tls: &str| {
        format!(
            "---\nkind: Connection\nmetadata: {{name: {name}}}\nspec:\n  http: {{url: 'https://127.0.0.1:{port}/v2', \
             auth: {{bearer: {{secret: token}}}}, headers: {{X-Desk: one}}, tls: {{{tls}}}}}\n"
        )
    };
    let definitions = [
        connection("whole", &format!("{ca}, {own}, {name}")),
        connection("unknown", &format!("{own}, {name}")),
        connection("nameless", &format!("{ca}, {own}")),
        connection("anonymous", &format!("{ca}, {name}")),
        trigger("below", "{http: {url: 'orders?a=b'}, connection: whole}"),
        trigger("itself", "{http: {connection: whole}}"),
        trigger("echo", "{http: {connection: whole}}"),
        trigger(
            "elsewhere",
            "{http: {url: '${ .data.url // \"https://127.0.0.1:1/x\" }', connection: whole}}",
        ),
        trigger("untrusted", "{http: {connection: unknown}}"),
        trigger("misnamed", "{http: {connection: nameless}}"),
        trigger("refused", "{http: {connection: anonymous}}"),
    ];
    secret(&server, "token", &json!({"token": "first-token"})).await;
    secret(&server, "authority", &json!(std::fs::read_to_string(file("ca.crt")).unwrap())).await;
    apply(&server, &definitions.concat()).await;
    let mut client = server.client();
    for (kind, id) in [("below", "1"), ("itself", "2")] {
        event_taken(&mut client, kind, id, "s").await;
        until(kind, LIMIT, async || partner.asked().len().to_string() == id).await;
    }
    let asked = partner.asked();
    let line = |asked: &Asked| asked.head.lines().next().unwrap_or("").to_owned();
    assert_eq!(line(&asked[0]), "POST /v2/orders?a=b HTTP/1.1");
    assert_eq!(line(&asked[1]), "POST /v2 HTTP/1.1");
    let host = format!("127.0.0.1:{port}");
    for (field, value) in
        [("authorization", "Bearer first-token"), ("x-desk", "one"), ("ce-type", "below"), ("host", &host)]
    {
        assert_eq!(asked[0].header(field), Some(value), "{asked:?}");
    }
    // What is replaced counts from the next call on; what is echoed is not shown.
    secret(&server, "token", &json!("second-token")).await;
    event_taken(&mut client, "echo", "3", "s").await;
    let error = letter(&server, "echo").await;
    assert_eq!(partner.asked()[2].header("authorization"), Some("Bearer second-token"));
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains("400 Bad Request: Bearer ***"), "{detail}");
    for (kind, said, status) in [
        ("elsewhere", "does not lie at the connection's host", 400),
        ("untrusted", "certificate", 500),
        ("misnamed", "certificate", 500),
        ("refused", "ertificate", 500),
    ] {
        event_taken(&mut client, kind, kind, "s").await;
        let error = letter(&server, kind).await;
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.contains(said) && error["status"] == status, "{kind}: {error}");
    }
    assert_eq!(partner.asked().len(), 3, "nothing else came through");
    let shown = server.client().get(&format!("{BASE}/connections/whole")).await.unwrap().1.to_string();
    assert!(!shown.contains("second-token") && !server.log().contains("second-token"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_may_have_the_fields_in_place() {
    let here = folder();
    let partner = Partner::start(None, |_, _| TAKEN.to_owned()).await;
    let server = Server::start(here.path(), &[LOOPBACK]).await;
    let url = format!("http://{}/in", partner.address);
    let sink = format!(
        "{{http: {{url: '{url}', auth: {{basic: {{secret: pair}}}}, headers: {{X-Id: '${{ .id }}', X-Key: {{secret: key}}}}}}}}"
    );
    apply(&server, &trigger("paid", &sink)).await;
    let bus = "---\nkind: Connection\nmetadata: {name: bus}\nspec: {kafka: {brokers: ['b:1']}}\n";
    let refused =
        try_apply(&server, &(bus.to_owned() + &trigger("odd", "{http: {}, connection: bus}"))).await;
    let errors = refused.json()["errors"].clone();
    assert_eq!((refused.status, &errors[0]["code"]), (422, &json!("E0510")), "{errors}");
    assert_eq!(errors[0]["message"], "the connection `bus` is of kind kafka, not http");
    secret(&server, "pair", &json!({"username": "ann", "password": "pw"})).await;
    secret(&server, "key", &json!("k-1")).await;
    event_taken(&mut server.client(), "paid", "7", "s").await;
    until("the event is there", LIMIT, async || partner.asked().len() == 1).await;
    let asked = partner.asked().remove(0);
    for (field, value) in
        [("authorization", "Basic YW5uOnB3"), ("x-id", "7"), ("x-key", "k-1"), ("ce-id", "7")]
    {
        assert_eq!(asked.header(field), Some(value), "{asked:?}");
    }
    assert_eq!(asked.body, br#"{"pad":""}"#);
}

/// The date so many seconds from now.
fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_asked_again_when_it_says() {
    const LATER: Duration = Duration::from_secs(3);
    let here = folder();
    // Each path fails once and says when to come again.
    let partner = Partner::start(None, |asked, _| {
        let after = match asked.head.lines().next().unwrap_or("") {
            _ if asked.header("tidemill-attempt") != Some("1") => return TAKEN.to_owned(),
            line if line.contains("-date") => date(LATER.as_secs() + 1),
            line if line.contains("-never") => "604801".to_owned(),
            _ => LATER.as_secs().to_string(),
        };
        format!("HTTP/1.1 429 Slow\r\nretry-after: {after}\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let server = Server::start(here.path(), &[LOOPBACK]).await;
    let mut definitions = String::new();
    let mut names = Vec::new();
    for form in ["seconds", "date", "never"] {
        let url = |kind: &str| format!("http://{}/{kind}-{form}", partner.address);
        let head = |kind: &str| {
            format!(
                "---\nkind: Trigger\nmetadata: {{name: {kind}-{form}}}\nspec:\n  filters: [{{exact: {{type: go}}}}]\n  "
            )
        };
        definitions.extend([
            format!(
                "---\nkind: Function\nmetadata: {{name: f-{form}}}\nspec: {{http: {{url: '{}'}}}}\n",
                url("function")
            ),
            format!("{}target: {{function: f-{form}}}\n", head("function")),
            format!("{}target: {{sink: {{http: {{url: '{}'}}}}}}\n", head("sink"), url("sink")),
        ]);
        names.extend(["function", "sink"].map(|kind| format!("{kind}-{form}")));
    }
    apply(&server, &definitions).await;
    event_taken(&mut server.client(), "go", "1", "s").await;
    let times = |name: &str| -> Vec<_> {
        partner
            .asked()
            .iter()
            .filter(|asked| asked.head.contains(&format!("/{name} ")))
            .map(|a| a.at)
            .collect()
    };
    for name in names {
        if name.ends_with("never") {
            // Later than the retry may be made at all.
            let error = letter(&server, &name).await;
            assert!(error["detail"].as_str().unwrap().contains("(retry-after: 604801)"), "{error}");
            assert_eq!(times(&name).len(), 1, "{name}");
            continue;
        }
        until(&format!("{name} is called again"), LIMIT, async || times(&name).len() == 2).await;
        let apart = times(&name)[1] - times(&name)[0];
        assert!(apart >= LATER && apart < LATER + Duration::from_secs(5), "{name}: {apart:?}");
    }
}
