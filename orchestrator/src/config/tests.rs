//! The layers by tables: who wins, what is refused, what follows from what.

use std::path::Path;

use super::layers::Given;
use super::*;

const FILE: &str = "/etc/t.toml";

/// Layers of a file's text, variables and flags.
fn layers<const N: usize>(
    file: &str,
    variables: [(&str, &str); N],
    flags: &[(&'static str, &'static str, &str)],
) -> Result<Layers, ConfigError> {
    let mut mistakes = Vec::new();
    let mut layers = Layers::default();
    layers.take_file(Path::new(FILE), file, &mut mistakes);
    let flags =
        flags.iter().map(|(path, flag, value)| Given { path, flag, value: (*value).into() }).collect();
    layers.take_rest(&Environment::of(variables), flags, &mut mistakes);
    if mistakes.is_empty() { Ok(layers) } else { Err(ConfigError(mistakes)) }
}

fn places() -> Places {
    Places { config: None, state: Some("/state".into()), scratch: "/tmp".into() }
}

fn serve(layers: &Layers) -> Config {
    layers.resolve(&Purpose::Serve, &places()).unwrap()
}

#[test]
fn flag_wins_over_variable_over_file_over_default() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\n";
    let variable = [("TIDEMILL_SERVER__LISTEN", "127.0.0.1:2")];
    let flag: &[_] = &[("server.listen", "--listen", "127.0.0.1:3")];
    let check = |layers: Layers, port: u16, origin: &str| {
        let config = serve(&layers);
        assert_eq!(config.listen.port(), port);
        let shown = layers.effective(&config);
        assert_eq!(shown[0].0, "server.listen");
        assert_eq!(shown[0].1.origin.to_string(), origin);
    };
    check(layers("", [], &[]).unwrap(), 8484, "default");
    check(layers(file, [], &[]).unwrap(), 1, "file /etc/t.toml");
    check(layers(file, variable, &[]).unwrap(), 2, "env TIDEMILL_SERVER__LISTEN");
    check(layers(file, variable, flag).unwrap(), 3, "flag --listen");
}

#[test]
fn lists_and_tables_are_toml_in_the_file_and_json_in_the_environment() {
    let file = "[egress]\nallow = [\"10.0.0.0/8\", \"db.local\"]\n[egress.rewrite]\n\"a.example\" = \"http://127.0.0.1:9099\"\n";
    let from_file = serve(&layers(file, [], &[]).unwrap());
    assert_eq!(from_file.egress_allow, ["10.0.0.0/8", "db.local"]);
    assert_eq!(from_file.egress_rewrite["a.example"], "http://127.0.0.1:9099");
    let variables = [
        ("TIDEMILL_EGRESS__ALLOW", r#"["127.0.0.1/32"]"#),
        ("TIDEMILL_EGRESS__REWRITE", r#"{"petstore.swagger.io": "http://127.0.0.1:9099"}"#),
        ("TIDEMILL_RUN__ALLOW", r#"["shell", "script"]"#),
    ];
    let from_variables = serve(&layers(file, variables, &[]).unwrap());
    assert_eq!(from_variables.egress_allow, ["127.0.0.1/32"]);
    assert_eq!(from_variables.egress_rewrite.len(), 1);
    assert_eq!(from_variables.run_allow, ["shell", "script"]);
}

/// All mistakes of a configuration, first lines only.
fn mistakes(layers: Result<Layers, ConfigError>) -> Vec<String> {
    let error = match layers {
        Err(error) => error,
        Ok(layers) => layers.resolve(&Purpose::Serve, &places()).unwrap_err(),
    };
    error.0.iter().map(|mistake| mistake.to_string().replace("\n  = help: ", " | ")).collect()
}

#[test]
fn unknown_settings_are_mistakes_with_a_guess() {
    let check =
        |file: &str, expected: &[&str]| assert_eq!(mistakes(layers(file, [], &[])), expected, "{file}");
    check(
        "[server]\nlistn = \"x\"\n",
        &["/etc/t.toml:2: there is no setting `server.listn` | did you mean `server.listen`?"],
    );
    check(
        "durabilty = \"power\"\n",
        &["/etc/t.toml:1: there is no setting `durabilty` | did you mean `durability`?"],
    );
    check(
        "[servr]\nlisten = \"x\"\n",
        &["/etc/t.toml:1: there is no setting `servr` | did you mean `server`?"],
    );
    check(
        "[zebra]\nx = 1\n\nlanes = 1\n",
        &[
            "/etc/t.toml:1: there is no setting `zebra` | `tidemill config show --effective` lists the settings",
        ],
    );
    let variables = |name: &'static str| mistakes(layers("", [(name, "x")], &[]));
    assert_eq!(
        variables("TIDEMILL_SERVER__LISTN"),
        ["TIDEMILL_SERVER__LISTN: there is no such setting | did you mean `TIDEMILL_SERVER__LISTEN`?"]
    );
    assert_eq!(
        variables("TIDEMILL_DURABILTY"),
        ["TIDEMILL_DURABILTY: there is no such setting | did you mean `TIDEMILL_DURABILITY`?"]
    );
}

#[test]
fn variables_of_others_are_left_alone() {
    let variables = [
        ("TIDEMILL_TEST_KAFKA", "x"),
        ("TIDEMILL_BIN", "x"),
        ("TIDEMILL_CONFIG", "x"),
        ("TIDEMILL_SERVER", "x"),
        ("HOME", "/"),
    ];
    assert!(layers("", variables, &[]).unwrap().settings.is_empty());
}

#[test]
fn every_mistake_is_told_at_once() {
    let file = "lanes = \"two\"\ndurability = \"maybe\"\n[retention]\nevents = \"1h\"\n";
    assert_eq!(mistakes(layers(file, [], &[])), ["/etc/t.toml:1: `lanes` takes a whole number"]);
    let variables = [
        ("TIDEMILL_LANES", "0"),
        ("TIDEMILL_LIMITS__HOP_COUNT", "256"),
        ("TIDEMILL_EGRESS__ALLOW", r#"["10.0.0.0/99"]"#),
    ];
    let file = "durability = \"maybe\"\ndrain = \"1m\"\n[retention]\nevents = \"1h\"\n[server]\nlisten = \"nowhere\"\n";
    assert_eq!(
        mistakes(layers(file, variables, &[])),
        [
            "file /etc/t.toml: `server.listen` is no address: `nowhere` | write it like 127.0.0.1:8484 or [::1]:8484",
            "file /etc/t.toml: `durability` is `maybe` | it is one of `power`, `process`",
            "env TIDEMILL_LANES: `lanes` is 0 | it is 1 to 256 (limit lanes)",
            "file /etc/t.toml: `retention.events` is `1h` | it is at least 1d (limit retention-events)",
            "env TIDEMILL_LIMITS__HOP_COUNT: `limits.hop_count` is 256 | it is 1 to 255 (limit hop-count)",
            "env TIDEMILL_EGRESS__ALLOW: `egress.allow` has the entry `10.0.0.0/99` | an entry is a network such as 10.0.0.0/8, an address, or a host name",
            "file /etc/t.toml: `drain` is `1m` | it is at most 25s (limit drain)",
        ]
    );
}

#[test]
fn no_list_in_a_variable_is_a_mistake_with_an_example() {
    let found = mistakes(layers("", [("TIDEMILL_EGRESS__ALLOW", "127.0.0.1/32")], &[]));
    let help = r#"in the environment it is JSON, for example TIDEMILL_EGRESS__ALLOW='["10.0.0.0/8"]'"#;
    assert_eq!(found, [format!("TIDEMILL_EGRESS__ALLOW: `egress.allow` takes a list of texts | {help}")]);
}

#[test]
fn stores_and_folders() {
    let check = |store: Option<&str>, data_dir: Option<&str>, expected: (&str, &str)| {
        let store = store.map(|store| ("store", "--store", store));
        let data_dir = data_dir.map(|dir| ("data_dir", "--data-dir", dir));
        let flags: Vec<_> = store.into_iter().chain(data_dir).collect();
        let config = serve(&layers("", [], &flags).unwrap());
        assert_eq!((config.data_dir.to_str().unwrap(), config.database.to_str().unwrap()), expected);
    };
    check(None, None, ("/state/tidemill", "/state/tidemill/tidemill.db"));
    check(Some("sqlite"), None, ("/state/tidemill", "/state/tidemill/tidemill.db"));
    check(Some("sqlite:/a/b.db"), None, ("/a", "/a/b.db"));
    check(Some("sqlite:/a/b.db"), Some("/d"), ("/d", "/a/b.db"));
    check(None, Some("/d"), ("/d", "/d/tidemill.db"));
    let refused = |store: &str| mistakes(layers("", [], &[("store", "--store", store)])).remove(0);
    assert!(refused("postgres://h/db").contains("this release cannot use"), "{}", refused("postgres://h/db"));
    assert!(refused("mysql://h/db").contains("neither `sqlite` nor"));
    assert!(refused("sqlite:").contains("names no database file"));
}

#[test]
fn purposes_have_their_own_defaults() {
    let layers = layers("", [], &[]).unwrap();
    let dev = layers.resolve(&Purpose::Dev("/project".into()), &places()).unwrap();
    assert_eq!(dev.data_dir, Path::new("/project/.tidemill"));
    assert_eq!(dev.process_dir.as_deref(), Some(Path::new("/project")));
    assert!(dev.egress_loopback && dev.mode == Mode::Dev);
    assert_eq!(dev.run_allow, ["shell", "script"]);
    let serve = serve(&layers);
    assert!(!serve.egress_loopback && serve.mode == Mode::Serve && serve.run_allow.is_empty());
    let homeless = Places { state: None, ..places() };
    let error = layers.resolve(&Purpose::Serve, &homeless).unwrap_err();
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

#[test]
fn only_loopback_is_not_exposed() {
    let check = |listen: &str, metrics: &str, expected: Option<&str>| {
        let flags = [("server.listen", "--listen", listen), ("metrics.listen", "--metrics-listen", metrics)];
        let config = serve(&layers("", [], &flags).unwrap());
        assert_eq!(config.exposed().map(|(setting, _)| setting), expected, "{listen} {metrics}");
    };
    check("127.0.0.1:1", "[::1]:2", None);
    check("localhost:1", "127.1.2.3:2", None);
    check("0.0.0.0:1", "127.0.0.1:2", Some("server.listen"));
    check("127.0.0.1:1", "192.168.0.1:2", Some("metrics.listen"));
    check("[::]:1", "127.0.0.1:2", Some("server.listen"));
}

#[test]
fn passwords_in_urls_are_masked() {
    let variables = [("TIDEMILL_EGRESS__REWRITE", r#"{"a.example": "http://user:t0p@127.0.0.1:9"}"#)];
    let layers = layers("", variables, &[]).unwrap();
    let shown = layers.effective(&serve(&layers));
    let text = shown.iter().map(|(_, setting)| setting.value.to_string()).collect::<String>();
    assert!(!text.contains("t0p") && text.contains("***"), "{text}");
}

#[test]
fn every_setting_is_shown() {
    let layers = layers("", [], &[]).unwrap();
    for (path, setting) in layers.effective(&serve(&layers)) {
        assert!(!setting.value.is_null(), "{path}");
    }
}
