//! MariaDB with a row binlog and GTIDs.
//!
//! Owns the recipe. From Debian's package; the root user of the tests has no password and comes by TCP as well.

use std::process::Command;

use super::sql::has_data;
use super::{Places, Service, greeting};
use crate::error::Result;
use crate::process;
use crate::setup::{Package, Proof};

/// MariaDB.
pub(super) const SERVICE: Service = Service {
    name: "mariadb",
    variable: "TIDEMILL_TEST_MARIADB",
    preferred: None,
    packages: &[Package { name: "mariadb-server", proof: Proof::Check(is_installed) }],
    fetch: |_| Ok(()),
    init,
    start,
    probe: greeting,
    settings: |_| vec![("TIDEMILL_TEST_MARIADB_BINARY", SERVER.to_owned())],
};

/// Where Debian puts the server; /usr/sbin need not be on `PATH`.
const SERVER: &str = "/usr/sbin/mariadbd";
/// Its port, unless it is taken.
const PORT: [u16; 1] = [13306];

fn is_installed() -> bool {
    std::path::Path::new(SERVER).is_file()
}

fn init(places: &Places) -> Result<()> {
    if has_data(places, PORT, settings)? {
        return Ok(());
    }
    let mut install = Command::new("mariadb-install-db");
    install.arg(format!("--defaults-file={}", places.data.join("my.cnf").display()));
    install.args(["--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    process::output(&mut install).map(drop)
}

fn start(places: &Places) -> Command {
    let mut server = Command::new(SERVER);
    server.arg(format!("--defaults-file={}", places.data.join("my.cnf").display())).arg("--user=root");
    server
}

fn settings(places: &Places, port: u16) -> String {
    let data = places.data.display();
    format!(
        "[mariadbd]\ndatadir={data}/data\nsocket={data}/run/my.sock\npid-file={data}/run/my.pid\ntmpdir={data}/tmp\n\
         bind-address=127.0.0.1\nport={port}\nserver-id=101\nlog-bin=binlog\nbinlog-format=ROW\nbinlog-row-image=FULL\n\
         binlog-row-metadata=FULL\ngtid-strict-mode=ON\nsync-binlog=1\ninnodb-flush-log-at-trx-commit=1\n\
         innodb-buffer-pool-size=64M\nskip-name-resolve\n"
    )
}
