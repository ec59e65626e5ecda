//! The table of settings: what there is, of which form, and what it means.
//!
//! A setting that is not in this table does not exist: files, environment and flags are held to it.

/// Form of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number.
    Count,
    /// true or false.
    Switch,
    /// A list of texts; JSON in the environment.
    List,
    /// A table of texts; JSON in the environment.
    Table,
}

impl Kind {
    /// What is expected, in words.
    pub fn expected(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Count => "a whole number",
            Kind::Switch => "true or false",
            Kind::List => "a list of texts",
            Kind::Table => "a table of texts",
        }
    }
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Its path in the file: `section.key`, or `key` alone.
    pub path: &'static str,
    /// Form of its value.
    pub kind: Kind,
    /// One line for people.
    pub about: &'static str,
}

const fn key(path: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { path, kind, about }
}

/// Every setting, in the order of `config show`.
pub const KEYS: &[Key] = &[
    key("server.listen", Kind::Text, "address of the API"),
    key("metrics.listen", Kind::Text, "address of /metrics"),
    key("store", Kind::Text, "sqlite, or sqlite:PATH of the database file"),
    key("data_dir", Kind::Text, "folder of the database, its lock and the secret key"),
    key("durability", Kind::Text, "what an acknowledged commit survives: power or process"),
    key("lanes", Kind::Count, "threads on which decisions run; default: the cores"),
    key("retention.executions", Kind::Text, "how long ended executions are kept"),
    key("retention.events", Kind::Text, "how long events are kept, at least 24h"),
    key("retention.every", Kind::Text, "time between two removals of what is beyond retention, 1s to 1h"),
    key(
        "sources.reconcile",
        Kind::Text,
        "time between two looks at the entries of a twoWay source, 1s to 1h",
    ),
    key("limits.hop_count", Kind::Count, "emitted events that may lead to one another, 1 to 255"),
    key(
        "limits.hook_guesses",
        Kind::Count,
        "wrong credentials from an address at a hook a minute, 1 to 10000",
    ),
    key("egress.allow", Kind::List, "networks and hosts that calls may reach beside public ones"),
    key("egress.rewrite", Kind::Table, "host -> base URL: calls to that host go there"),
    key("run.allow", Kind::List, "kinds of run task allowed in every namespace: shell, script"),
    key("drain", Kind::Text, "how long a stop waits for calls in flight, at most 25s"),
    key("log.level", Kind::Text, "what is logged: error, warn, info, debug, or target=level,..."),
    key("log.format", Kind::Text, "how it is logged: text or json"),
    key("auth.required", Kind::Switch, "whether every request needs credentials"),
];

/// The setting of a path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The variable that sets it: `TIDEMILL_SECTION__KEY`.
pub(super) fn variable(key: &Key) -> String {
    format!("{PREFIX}{}", key.path.to_uppercase().replace('.', "__"))
}

/// What every variable of the service begins with.
pub(super) const PREFIX: &str = "TIDEMILL_";
