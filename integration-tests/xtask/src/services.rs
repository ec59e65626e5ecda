//! Real servers on loopback for the tests.
//!
//! Owns the scheme every service follows: fetch into the cache, prepare a data folder under target/services, start
//! as a process of its own, wait until it answers, end it by pid. One file per service holds one [`Service`].

mod kafka;
mod mariadb;
mod minio;
mod mysql;
mod sql;

use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::args::Verb;
use crate::error::{Error, Result, While};
use crate::process::Guard;
use crate::setup::Package;
use crate::{places, process, setup};

/// Every service, in starting order. One more service is one more file and one more entry.
const ALL: &[Service] = &[kafka::SERVICE, minio::SERVICE, mariadb::SERVICE, mysql::SERVICE];

/// Where tests stand that may name a service's variable.
const TESTS: [&str; 2] = ["connectors/src", "integration-tests/tests"];

/// How long a server may take to answer its first probe.
const READY_DEADLINE: Duration = Duration::from_secs(90);
/// How long a server may take to end after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// One kind of server: what it needs and how it is run.
pub(crate) struct Service {
    /// Its name on the command line and as folder.
    name: &'static str,
    /// The environment variable that holds its address, for the tests; set by the user, it names a running server.
    variable: &'static str,
    /// The address that examples write, unless it is taken; none for services that no example uses.
    preferred: Option<&'static str>,
    /// The Debian packages it needs.
    packages: &'static [Package],
    /// Brings its parts into the cache folder; does nothing when they are there.
    fetch: fn(&Places) -> Result<()>,
    /// Writes its configuration and prepares its data; called before every start.
    init: fn(&Places) -> Result<()>,
    /// The command that runs it in the foreground.
    start: fn(&Places) -> Command,
    /// Asks the server at an address for a sign of life; the error says what is wrong.
    probe: fn(&str) -> std::result::Result<(), String>,
    /// What the tests are told beside its address: variable and value.
    settings: fn(&Places) -> Vec<(&'static str, String)>,
}

/// The folders of one service.
pub(crate) struct Places {
    /// Fetched or built parts, kept between runs, outside target.
    pub(crate) cache: PathBuf,
    /// Configuration, data, log and pid file.
    pub(crate) data: PathBuf,
}

impl Places {
    fn of(service: &Service) -> Self {
        let data = places::target().join("services").join(service.name);
        Self { cache: places::cache().join(service.name), data }
    }

    /// The pid file.
    fn pid(&self) -> PathBuf {
        self.data.join("pid")
    }

    /// What the server writes to its standard output and error.
    fn log(&self) -> PathBuf {
        self.data.join("log")
    }

    /// The address the running server listens on, `host:port`, noted by `init`.
    pub(crate) fn address_file(&self) -> PathBuf {
        self.data.join("address")
    }

    /// The address noted by `init`.
    pub(crate) fn address(&self) -> Option<String> {
        fs::read_to_string(self.address_file()).ok().map(|text| text.trim().to_owned())
    }
}

/// Does `verb` to the named services, to all of them when none is named.
pub(crate) fn call(verb: Verb, names: &[String]) -> Result<()> {
    let chosen = chosen(names)?;
    for service in &chosen {
        match verb {
            Verb::Up => {
                let environment = up(service)?.1;
                println!("{} is up", service.name);
                for (variable, value) in &environment {
                    println!("  export {variable}={value}");
                }
            }
            Verb::Down => {
                let was_up = process::stop(&Places::of(service).pid(), STOP_GRACE)?;
                println!("{} {}", service.name, if was_up { "is down" } else { "was not up" });
            }
            Verb::Status => println!("{} {}", service.name, status(service)),
        }
    }
    Ok(())
}

/// Installs the packages of every service.
pub(crate) fn install_packages() -> Result<()> {
    ALL.iter().try_for_each(|service| setup::packages(service.packages))
}

/// The services a test run has at hand; those it started end when this is dropped.
pub(crate) struct Running {
    /// The variables the tests read.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Name and reason of each service that could not be had.
    pub(crate) skipped: Vec<(&'static str, String)>,
    started: Vec<(PathBuf, Guard)>,
}

impl Running {
    /// A text in which the preferred addresses of services are those they have.
    pub(crate) fn readdress(&self, text: &str) -> String {
        let own = |variable: &str| self.environment.iter().find(|(name, _)| *name == variable);
        ALL.iter().fold(text.to_owned(), |text, service| match (service.preferred, own(service.variable)) {
            (Some(preferred), Some((_, address))) => text.replace(preferred, address),
            _ => text,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for (pid_file, guard) in self.started.drain(..).rev() {
            drop(guard);
            if let Err(error) = process::stop(&pid_file, STOP_GRACE) {
                eprintln!("xtask: {error}");
            }
        }
    }
}

/// Starts every service that a test names on fresh data for a test run, or takes the one that is up or named by its variable.
pub(crate) fn for_tests() -> Running {
    let mut running = Running { environment: Vec::new(), skipped: Vec::new(), started: Vec::new() };
    for service in ALL.iter().filter(|service| is_named(service.variable)) {
        let outcome = match env::var(service.variable).ok().filter(|address| !address.is_empty()) {
            Some(address) => outside(service, &address).map(|()| vec![(service.variable, address)]),
            None => own(service, &mut running.started),
        };
        match outcome {
            Ok(environment) => running.environment.extend(environment),
            Err(error) => running.skipped.push((service.name, error.to_string())),
        }
    }
    running
}

/// Starts the named services for a demo, or takes what is up; one that cannot be had is an error.
pub(crate) fn for_demo(names: &[String]) -> Result<Running> {
    let mut running = Running { environment: Vec::new(), skipped: Vec::new(), started: Vec::new() };
    if !names.is_empty() {
        for service in chosen(names)? {
            let environment = own(service, &mut running.started)?;
            running.environment.extend(environment);
        }
    }
    Ok(running)
}

/// Whether a test reads the variable: a server that no test uses is not started.
fn is_named(variable: &str) -> bool {
    TESTS.iter().any(|folder| holds(&places::workspace().join(folder), variable))
}

fn holds(path: &Path, word: &str) -> bool {
    if !path.is_dir() {
        return fs::read_to_string(path).is_ok_and(|text| text.contains(word));
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| holds(&path, word))
}

/// A server the user runs: taken as it is, if it answers.
fn outside(service: &Service, address: &str) -> Result<()> {
    let mut why = String::new();
    let answered = process::wait_until(Duration::from_secs(5), || {
        (service.probe)(address).map_err(|error| why = error).is_ok()
    });
    let variable = service.variable;
    if answered { Ok(()) } else { Err(Error::Failed(format!("use {variable}={address}: {why}"))) }
}

/// A server of our own: one that is up is used and left up, else it is started and noted in `started`.
fn own(service: &Service, started: &mut Vec<(PathBuf, Guard)>) -> Result<Vec<(&'static str, String)>> {
    let places = Places::of(service);
    if process::running(&places.pid()).is_none() {
        let _ = fs::remove_dir_all(&places.data);
    }
    let (is_new, environment) = up(service)?;
    if is_new {
        started.push((places.pid(), Guard::over(&places.pid())?));
    }
    Ok(environment)
}

/// Brings a service up; whether it was started now, and the variables the tests read.
fn up(service: &Service) -> Result<(bool, Vec<(&'static str, String)>)> {
    let places = Places::of(service);
    let was_up = process::running(&places.pid()).is_some();
    if !was_up {
        launch(service, &places)?;
    }
    let address = wait_ready(service, &places).inspect_err(|_| {
        if !was_up {
            let _ = process::stop(&places.pid(), STOP_GRACE);
        }
    })?;
    let mut environment = vec![(service.variable, address)];
    environment.extend((service.settings)(&places));
    Ok((!was_up, environment))
}

fn launch(service: &Service, places: &Places) -> Result<()> {
    setup::packages(service.packages)?;
    for dir in [&places.cache, &places.data] {
        fs::create_dir_all(dir).cannot(|| format!("make {}", dir.display()))?;
    }
    (service.fetch)(places)?;
    (service.init)(places)?;
    process::start(&mut (service.start)(places), &places.log(), &places.pid())
}

fn wait_ready(service: &Service, places: &Places) -> Result<String> {
    let address =
        places.address().ok_or_else(|| Error::Failed(format!("tell where {} listens", service.name)))?;
    let begun = Instant::now();
    let (mut why, mut gone) = (String::new(), false);
    let ready = process::wait_until(READY_DEADLINE, || {
        gone = process::running(&places.pid()).is_none();
        gone || (service.probe)(&address).map_err(|error| why = error).is_ok()
    });
    if ready && !gone {
        return Ok(address);
    }
    if gone {
        "it ended".clone_into(&mut why);
    }
    let log = process::last_lines(&fs::read_to_string(places.log()).unwrap_or_default(), 15);
    let (name, seconds, at) = (service.name, begun.elapsed().as_secs(), places.log());
    Err(Error::Failed(format!(
        "get {name} ready within {seconds} s: {why}; the end of {}:\n{log}",
        at.display()
    )))
}

fn status(service: &Service) -> String {
    let places = Places::of(service);
    let Some(pid) = process::running(&places.pid()) else {
        return "is down".to_owned();
    };
    let address = places.address().unwrap_or_default();
    match (service.probe)(&address) {
        Ok(()) => format!("is up at {address}, pid {pid}"),
        Err(why) => format!("runs as pid {pid} but does not answer at {address}: {why}"),
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Service>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |name: &String| {
        let known = || ALL.iter().map(|service| service.name).collect::<Vec<_>>().join(", ");
        let found = ALL.iter().find(|service| service.name == name);
        found.ok_or_else(|| Error::Usage(format!("unknown service `{name}`; there is: {}", known())))
    };
    names.iter().map(find).collect()
}

/// Writes a file and names it when that fails.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).cannot(|| format!("write {}", path.display()))
}

/// Whether a MySQL or MariaDB server greets: its first packet is of protocol version 10 (an error's is 255).
pub(crate) fn greeting(address: &str) -> std::result::Result<(), String> {
    let patience = Duration::from_secs(5);
    let greet = || -> std::io::Result<u8> {
        let target = address.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&target, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        Ok(head[4])
    };
    match greet() {
        Ok(10) => Ok(()),
        Ok(kind) => Err(format!("it greets with a packet of kind {kind}")),
        Err(error) => Err(error.to_string()),
    }
}

/// The preferred ports if all of them are free on 127.0.0.1, else as many that the system picks.
pub(crate) fn free_ports<const N: usize>(preferred: [u16; N]) -> Result<[u16; N]> {
    let bind = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port));
    if preferred.iter().all(|&port| bind(port).is_ok()) {
        return Ok(preferred);
    }
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = bind(0).cannot(|| "find a free port".to_owned())?;
        *port = listener.local_addr().cannot(|| "find a free port".to_owned())?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up() {
        assert_eq!(chosen(&[]).unwrap().len(), ALL.len());
        assert_eq!(chosen(&["kafka".to_owned()]).unwrap()[0].name, "kafka");
        let error = chosen(&["kafak".to_owned()]).err().unwrap();
        assert_eq!(error.to_string(), "unknown service `kafak`; there is: kafka, minio, mariadb, mysql");
    }

    #[test]
    fn only_services_that_tests_name_are_started() {
        assert!(is_named("TIDEMILL_TEST_KAFKA"));
        assert!(!is_named(&format!("TIDEMILL_TEST_{}", "NOTHING")));
    }

    #[test]
    fn taken_ports_are_replaced() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = free_ports([port]).unwrap();
        assert_ne!(ports[0], port);
        assert_ne!(ports[0], 0);
    }
}
