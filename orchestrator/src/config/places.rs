//! What the process finds around itself: the environment and the folders that follow from it.
//!
//! The one reader of environment variables. Tests hand in their own.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Environment variables by name.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those of the process; variables that are no UTF-8 are left out.
    pub fn of_process() -> Environment {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Environment(std::env::vars_os().filter_map(text).collect())
    }

    /// These.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Environment {
        Environment(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All variables whose names begin so, by name.
    pub fn beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str())).filter(move |(name, _)| name.starts_with(prefix))
    }
}

/// Folders of the user.
#[derive(Clone, Debug)]
pub struct Places {
    /// `$XDG_CONFIG_HOME`, or `~/.config`.
    pub config: Option<PathBuf>,
    /// `$XDG_STATE_HOME`, or `~/.local/state`.
    pub state: Option<PathBuf>,
    /// Where files live that nobody keeps.
    pub scratch: PathBuf,
}

impl Places {
    /// As the environment names them.
    pub fn of(environment: &Environment) -> Places {
        let home = || environment.get("HOME").map(PathBuf::from);
        // The XDG base directory specification: a path that is not absolute is invalid and ignored.
        let named = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Places {
            config: named("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config"))),
            state: named("XDG_STATE_HOME").or_else(|| Some(home()?.join(".local/state"))),
            scratch: environment.get("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from),
        }
    }
}
