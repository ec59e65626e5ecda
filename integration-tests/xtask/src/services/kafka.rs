//! Apache Kafka: one broker in KRaft mode, with plain, SASL, TLS and SASL over TLS listeners.
//!
//! Owns the recipe. The jars come from Maven Central; certificates are made by openssl. Users for the tests:
//! `app` / `app-secret` by PLAIN, `scram` / `scram-secret` by SCRAM-SHA-256 and SCRAM-SHA-512.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Places, Service, free_ports, write};
use crate::error::{Result, While};
use crate::process;
use crate::setup::{Package, Proof};

/// Kafka.
pub(super) const SERVICE: Service = Service {
    name: "kafka",
    variable: "TIDEMILL_TEST_KAFKA",
    preferred: Some("127.0.0.1:9092"),
    packages: PACKAGES,
    fetch,
    init,
    start,
    probe,
    settings,
};

const PACKAGES: &[Package] = &[
    Package { name: "openjdk-17-jre-headless", proof: Proof::Check(has_java_17) },
    Package { name: "maven", proof: Proof::Program("mvn") },
    Package { name: "kcat", proof: Proof::Program("kcat") },
    Package { name: "openssl", proof: Proof::Program("openssl") },
];

/// The Kafka release the tests run against.
const VERSION: &str = "4.4.0";
/// Ports of the controller, plain, SASL, TLS and SASL over TLS listeners, unless one is taken.
const PORTS: [u16; 5] = [19090, 19092, 19093, 19094, 19095];
/// Any cluster id will do; a fixed one keeps runs alike.
const CLUSTER_ID: &str = "kR3rXv3sQbW1k0mUq8w0Lg";

const POM: &str = include_str!("kafka/pom.xml");
const PROPERTIES: &str = include_str!("kafka/server.properties");
const LOGGING: &str = include_str!("kafka/log4j2.properties");

fn fetch(places: &Places) -> Result<()> {
    let lib = places.cache.join(VERSION);
    if lib.is_dir() {
        return Ok(());
    }
    eprintln!("xtask: fetching Kafka {VERSION} (about 45 MB)");
    let partial = places.cache.join(format!("partial-{}", std::process::id()));
    fs::create_dir_all(&partial).cannot(|| format!("make {}", partial.display()))?;
    write(&partial.join("pom.xml"), &POM.replace("{VERSION}", VERSION))?;
    let mut maven = Command::new("mvn");
    maven.args(["-B", "-ntp", "-f"]).arg(partial.join("pom.xml"));
    maven.arg(format!("-Dmaven.repo.local={}", partial.join("m2").display()));
    maven.arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", partial.join("lib").display())).arg("-DincludeScope=runtime");
    let outcome = process::output(&mut maven).map(drop).and_then(|()| {
        let moved = fs::rename(partial.join("lib"), &lib);
        // Another run may have been first; its copy is as good.
        if lib.is_dir() { Ok(()) } else { moved.cannot(|| format!("fill {}", lib.display())) }
    });
    let _ = fs::remove_dir_all(&partial);
    outcome
}

fn init(places: &Places) -> Result<()> {
    let conf = places.data.join("conf");
    fs::create_dir_all(&conf).cannot(|| format!("make {}", conf.display()))?;
    if !conf.join("broker.pem").is_file() {
        certificates(&conf)?;
    }
    let ports = free_ports(PORTS)?;
    write(&conf.join("server.properties"), &properties(&places.data, ports))?;
    write(&conf.join("log4j2.properties"), LOGGING)?;
    write(&places.data.join("ports"), &ports.map(|port| port.to_string()).join(" "))?;
    write(&places.address_file(), &format!("127.0.0.1:{}\n", ports[1]))?;
    if places.data.join("data/meta.properties").is_file() {
        return Ok(());
    }
    let mut format = java(places, &["-Xmx128m"]);
    format
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(conf.join("server.properties"));
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        format.arg("--add-scram").arg(format!("{mechanism}=[name=scram,password=scram-secret]"));
    }
    process::output(&mut format).map(drop)
}

fn start(places: &Places) -> Command {
    let mut broker = java(places, &["-Xmx256m", "-Xms256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    broker.arg("kafka.Kafka").arg(places.data.join("conf/server.properties"));
    broker
}

fn settings(places: &Places) -> Vec<(&'static str, String)> {
    let text = fs::read_to_string(places.data.join("ports")).unwrap_or_default();
    let mut ports = text.split(' ').skip(2).map(|port| format!("127.0.0.1:{port}"));
    let mut settings = Vec::new();
    for variable in ["TIDEMILL_TEST_KAFKA_SASL", "TIDEMILL_TEST_KAFKA_TLS", "TIDEMILL_TEST_KAFKA_SASL_TLS"] {
        settings.extend(ports.next().map(|address| (variable, address)));
    }
    settings.push(("TIDEMILL_TEST_KAFKA_CA", places.data.join("conf/ca.pem").display().to_string()));
    settings.push(("TIDEMILL_TEST_KAFKA_JARS", places.cache.join(VERSION).display().to_string()));
    settings
}

fn java(places: &Places, options: &[&str]) -> Command {
    let mut java = Command::new("java");
    java.args(options);
    let logging = places.data.join("conf/log4j2.properties");
    java.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
    java.arg("-cp").arg(format!("{}/*", places.cache.join(VERSION).display())).current_dir(&places.data);
    java
}

fn properties(data: &Path, ports: [u16; 5]) -> String {
    let [controller, plain, sasl, tls, sasl_tls] = ports.map(|port| format!("127.0.0.1:{port}"));
    PROPERTIES
        .replace("{CONTROLLER}", &controller)
        .replace("{PLAIN}", &plain)
        .replace("{SASL}", &sasl)
        .replace("{TLS}", &tls)
        .replace("{SASLTLS}", &sasl_tls)
        .replace("{DATA}", &data.display().to_string())
}

/// Makes a CA and a broker certificate for 127.0.0.1; key, certificate and CA go into one PEM file, key first.
fn certificates(conf: &Path) -> Result<()> {
    let openssl = |line: &str| {
        process::output(Command::new("openssl").args(line.split(' ')).current_dir(conf)).map(drop)
    };
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=tidemill-test-ca -keyout ca.key -out ca.pem \
         -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign",
    )?;
    openssl("req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout broker.key -out broker.csr")?;
    write(&conf.join("broker.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n")?;
    openssl(
        "x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile broker.ext -out broker.crt",
    )?;
    let mut pem = String::new();
    for part in ["broker.key", "broker.crt", "ca.pem"] {
        pem += &fs::read_to_string(conf.join(part)).cannot(|| format!("read {part}"))?;
    }
    write(&conf.join("broker.pem"), &pem)
}

/// Asks for the cluster's brokers; a broker that is up lists at least itself.
fn probe(address: &str) -> std::result::Result<(), String> {
    let brokers = broker_count(address).map_err(|error| error.to_string())?;
    if brokers > 0 { Ok(()) } else { Err("it lists no brokers yet".to_owned()) }
}

fn broker_count(address: &str) -> std::io::Result<i32> {
    let patience = Duration::from_secs(5);
    let target = address.to_socket_addrs()?.next().ok_or_else(|| std::io::Error::other("no such address"))?;
    let mut stream = TcpStream::connect_timeout(&target, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(&metadata_request())?;
    // Size, correlation id, number of brokers: four bytes each.
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(i32::from_be_bytes([head[8], head[9], head[10], head[11]]))
}

/// A Metadata request, version 1, for no topics (Kafka protocol guide, api key 3).
fn metadata_request() -> Vec<u8> {
    let client = b"xtask";
    let mut body = Vec::new();
    body.extend(3_i16.to_be_bytes());
    body.extend(1_i16.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend((client.len() as i16).to_be_bytes());
    body.extend(client);
    body.extend(0_i32.to_be_bytes());
    let mut request = (body.len() as i32).to_be_bytes().to_vec();
    request.extend(body);
    request
}

/// Kafka 4 is compiled for Java 17.
fn has_java_17() -> bool {
    // `java -version` writes to standard error.
    let version = process::output(Command::new("sh").args(["-c", "java -version 2>&1"]));
    version.is_ok_and(|text| java_release(&text) >= Some(17))
}

/// The release in the output of `java -version`: `openjdk version "17.0.15" 2025-04-15`, or `"1.8.0_412"`.
fn java_release(text: &str) -> Option<u32> {
    let mut numbers = text.split('"').nth(1)?.split('.').map(|part| part.parse().ok());
    match numbers.next()?? {
        1 => numbers.next()?,
        release => Some(release),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn java_releases() {
        let check = |text: &str, expected: Option<u32>| assert_eq!(java_release(text), expected, "{text}");
        check("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment", Some(17));
        check("openjdk version \"21\" 2023-09-19", Some(21));
        check("java version \"1.8.0_412\"", Some(8));
        check("sh: 1: java: not found", None);
    }

    #[test]
    fn every_place_in_the_properties_is_filled() {
        let text = properties(Path::new("/d"), [1, 2, 3, 4, 5]);
        assert!(!text.contains(['{', '}']), "{text}");
        assert!(text.contains("listeners=CONTROLLER://127.0.0.1:1,PLAINTEXT://127.0.0.1:2,SASLP://127.0.0.1:3,TLS://127.0.0.1:4,SASLS://127.0.0.1:5\n"));
        assert!(text.contains("log.dirs=/d/data\n"));
    }

    #[test]
    fn the_metadata_request_is_framed() {
        let request = metadata_request();
        assert_eq!(request.len(), 4 + 19);
        assert_eq!(request[..8], [0, 0, 0, 19, 0, 3, 0, 1]);
    }

    #[test]
    fn a_silent_address_is_not_ready() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(probe(&free.to_string()).is_err());
    }

    #[test]
    fn errors_of_the_recipe_name_the_file() {
        let error = write(Path::new("/no/such/folder/x"), "").unwrap_err();
        assert!(matches!(error, Error::Failed(text) if text.starts_with("write /no/such/folder/x: ")));
    }
}
