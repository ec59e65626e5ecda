//! The layers: what the file, the environment and the flags say, each with where it was said.
//!
//! Owns reading and the refusal of unknown settings; knows no meaning of a value beyond its form.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tidemill_dsl::diagnostic::nearest;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key, Kind, PREFIX, find, variable};
use super::places::{Environment, Places};

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In a file.
    File(PathBuf),
    /// In the environment.
    Variable(String),
    /// On the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Variable(name) => write!(f, "env {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A value and where it was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// One mistake of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `file.toml:3`, a variable, a flag.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}

/// All mistakes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the configuration:\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Mistake>);

/// A value given on the command line.
pub struct Given {
    /// The setting's path.
    pub path: &'static str,
    /// The flag, as written.
    pub flag: &'static str,
    /// Its value.
    pub value: String,
}

/// What was said, per setting the strongest only: flag over environment over file.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// By path.
    pub settings: BTreeMap<&'static str, Setting>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

impl Layers {
    /// Reads all layers. `file` is the one named by a flag.
    pub fn read(
        file: Option<&Path>,
        environment: &Environment,
        flags: Vec<Given>,
    ) -> Result<Layers, ConfigError> {
        let mut layers = Layers::default();
        let mut mistakes = Vec::new();
        if let Some(path) = chosen(file, environment) {
            match std::fs::read_to_string(&path) {
                Ok(text) => layers.take_file(&path, &text, &mut mistakes),
                Err(error) => mistakes.push(Mistake {
                    place: path.display().to_string(),
                    message: format!("cannot read the file: {error}"),
                    help: Some("name another file with --config or TIDEMILL_CONFIG".into()),
                }),
            }
            layers.file = Some(path);
        }
        layers.take_rest(environment, flags, &mut mistakes);
        if mistakes.is_empty() { Ok(layers) } else { Err(ConfigError(mistakes)) }
    }

    pub(super) fn take_file(&mut self, path: &Path, text: &str, mistakes: &mut Vec<Mistake>) {
        match DeTable::parse(text) {
            Ok(table) => {
                let mut file = File { path, text, layers: self, mistakes };
                file.walk("", table.get_ref());
            }
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let place = format!("{}:{line}", path.display());
                mistakes.push(Mistake { place, message: error.message().to_owned(), help: None });
            }
        }
    }

    pub(super) fn take_rest(
        &mut self,
        environment: &Environment,
        flags: Vec<Given>,
        mistakes: &mut Vec<Mistake>,
    ) {
        self.take_environment(environment, mistakes);
        self.take_flags(flags, mistakes);
    }

    fn take_environment(&mut self, environment: &Environment, mistakes: &mut Vec<Mistake>) {
        for (name, text) in environment.beginning(PREFIX) {
            let Some(key) = KEYS.iter().find(|key| variable(key) == name) else {
                mistakes.extend(unknown_variable(name));
                continue;
            };
            if text.is_empty() {
                continue;
            }
            let origin = Origin::Variable(name.to_owned());
            self.say(key, from_text(key, text), origin, (name, mistakes));
        }
    }

    fn take_flags(&mut self, flags: Vec<Given>, mistakes: &mut Vec<Mistake>) {
        for given in flags {
            if let Some(key) = find(given.path) {
                let value = from_text(key, &given.value);
                self.say(key, value, Origin::Flag(given.flag), (given.flag, mistakes));
            }
        }
    }

    fn say(
        &mut self,
        key: &'static Key,
        value: Option<Value>,
        origin: Origin,
        (place, mistakes): (&str, &mut Vec<Mistake>),
    ) {
        match value {
            Some(value) => {
                self.settings.insert(key.path, Setting { value, origin });
            }
            None => mistakes.push(Mistake {
                place: place.to_owned(),
                message: format!("`{}` takes {}", key.path, key.kind.expected()),
                help: example(key),
            }),
        }
    }
}

/// The file to read: the flag's, the variable's, the user's, the system's. The first two must exist.
fn chosen(flag: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    let named = flag.map(Path::to_owned).or_else(|| environment.get("TIDEMILL_CONFIG").map(PathBuf::from));
    let user = || Places::of(environment).config.map(|folder| folder.join("tidemill/config.toml"));
    let system = || PathBuf::from("/etc/tidemill/config.toml");
    named.or_else(|| user().into_iter().chain([system()]).find(|path| path.is_file()))
}

/// Variables of the service that are no settings, and the one that names the binary its tests start.
const OTHER_VARIABLES: [&str; 4] =
    ["TIDEMILL_CONFIG", "TIDEMILL_SERVER", "TIDEMILL_NAMESPACE", "TIDEMILL_BIN"];
/// What the variables of the tests begin with.
const TEST_VARIABLES: [&str; 2] = ["TIDEMILL_TEST_", "TIDEMILL_SIM_"];

/// A variable with a section is a setting, so an unknown one is a mistake; one without is a mistake only when it
/// looks like a setting, as other programs and the tests have variables of that prefix too.
fn unknown_variable(name: &str) -> Option<Mistake> {
    let known: Vec<String> = KEYS.iter().map(variable).collect();
    let own = name.strip_prefix(PREFIX).unwrap_or(name);
    // Compared without the prefix, which would make everything look alike.
    let guess = nearest(own, known.iter().filter_map(|known| known.strip_prefix(PREFIX)));
    let section = own.contains("__");
    let other =
        OTHER_VARIABLES.contains(&name) || TEST_VARIABLES.iter().any(|prefix| name.starts_with(prefix));
    if other || !section && guess.is_none() {
        return None;
    }
    let help = guess.map_or_else(
        || "`tidemill config show --effective` lists the settings".to_owned(),
        |guess| format!("did you mean `{PREFIX}{guess}`?"),
    );
    Some(Mistake { place: name.to_owned(), message: "there is no such setting".into(), help: Some(help) })
}

/// A value written as text: as it is, or as JSON where the form is a list or a table.
fn from_text(key: &Key, text: &str) -> Option<Value> {
    match key.kind {
        Kind::Text => Some(Value::from(text)),
        Kind::Count => text.trim().parse::<u64>().ok().map(Value::from),
        Kind::Switch => text.trim().parse::<bool>().ok().map(Value::from),
        Kind::List | Kind::Table => serde_json::from_str(text).ok().filter(|value| fits(key.kind, value)),
    }
}

fn fits(kind: Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Text, Value::String(_)) | (Kind::Switch, Value::Bool(_)) => true,
        (Kind::Count, Value::Number(number)) => number.is_u64(),
        (Kind::List, Value::Array(items)) => items.iter().all(Value::is_string),
        (Kind::Table, Value::Object(members)) => members.values().all(Value::is_string),
        _ => false,
    }
}

fn example(key: &Key) -> Option<String> {
    match key.kind {
        Kind::List => {
            Some(format!(r#"in the environment it is JSON, for example {}='["10.0.0.0/8"]'"#, variable(key)))
        }
        Kind::Table => Some(format!(
            r#"in the environment it is JSON, for example {}='{{"api.example.org": "http://127.0.0.1:9099"}}'"#,
            variable(key)
        )),
        _ => None,
    }
}

/// One file being read.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    layers: &'a mut Layers,
    mistakes: &'a mut Vec<Mistake>,
}

impl File<'_> {
    fn walk(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = if section.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{section}.{}", name.get_ref())
            };
            let place = format!("{}:{}", self.path.display(), line_of(self.text, name.span().start));
            match (find(&path), value.get_ref()) {
                (Some(key), value) => {
                    let value = json(value).filter(|value| fits(key.kind, value));
                    let origin = Origin::File(self.path.to_owned());
                    self.layers.say(key, value, origin, (&place, self.mistakes));
                }
                (None, DeValue::Table(inner)) if is_section(&path) => self.walk(&path, inner),
                (None, _) => self.unknown(place, &path),
            }
        }
    }

    fn unknown(&mut self, place: String, path: &str) {
        let sections = KEYS.iter().filter_map(|key| key.path.split_once('.').map(|(section, _)| section));
        let guess = nearest(path, KEYS.iter().map(|key| key.path).chain(sections));
        let help = guess.map_or_else(
            || "`tidemill config show --effective` lists the settings".to_owned(),
            |guess| format!("did you mean `{guess}`?"),
        );
        self.mistakes.push(Mistake {
            place,
            message: format!("there is no setting `{path}`"),
            help: Some(help),
        });
    }
}

fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

fn json(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => Value::from(u64::from_str_radix(number.as_str(), number.radix()).ok()?),
        DeValue::Boolean(switch) => Value::from(*switch),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| json(item.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Table(members) => {
            let member =
                |(name, value): (&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
                    Some((name.get_ref().to_string(), json(value.get_ref())?))
                };
            Value::Object(members.iter().map(member).collect::<Option<_>>()?)
        }
        DeValue::Float(_) | DeValue::Datetime(_) => return None,
    })
}
