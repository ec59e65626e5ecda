//! `prepare`: what calls send.

use std::collections::BTreeMap;

use tidemill_dsl::expr::Arguments;
use tidemill_dsl::order::{Call, HttpRequest, Outcome};
use tidemill_dsl::value::Value;

use crate::harness::{Run, json};

struct Secrets(BTreeMap<&'static str, Value>);

impl Arguments for Secrets {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }
}

fn secrets() -> Secrets {
    Secrets(BTreeMap::from([
        ("key", json("\"s3cret\"")),
        ("login", json(r#"{"username":"u","password":"p"}"#)),
        ("bearer", json(r#"{"token":"t"}"#)),
        ("hidden", json("\"undeclared\"")),
    ]))
}

fn order(body: &str, input: &str) -> Result<Call, String> {
    let run = Run::start(body, input);
    let visit = run.x.open_calls().next().expect("a call is open").visit;
    let order = tidemill_engine::prepare(&run.program, &run.x, visit, &secrets());
    order
        .map(|order| order.what)
        .map_err(|fault| format!("{} {}", fault.status, fault.instance.unwrap_or_default()))
}

fn http(with: &str, input: &str) -> Result<HttpRequest, String> {
    let body = format!(
        "use: {{secrets: [key, login, bearer, missing]}}\ndo:\n- c:\n    call: http\n    with: {{{with}}}\n"
    );
    match order(&body, input)? {
        Call::Http(request) => Ok(*request),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request() {
    let request = http(
        "method: post, endpoint: 'https://h/p/{id}?x=1', query: {q: '${ .q }'}, headers: {X-A: '${ .id }'}, body: {n: '${ .q }'}",
        r#"{"id":"a/b","q":2}"#,
    )
    .unwrap();
    assert_eq!((&*request.method, &*request.uri), ("POST", "https://h/p/a%2Fb?x=1&q=2"));
    assert_eq!(request.headers, [("X-A".to_owned(), "a/b".to_owned())]);
    assert_eq!((request.body, request.authorization), (Some(json(r#"{"n":2}"#)), None));
}

#[test]
fn endpoints() {
    let uri = |endpoint: &str| {
        http(&format!("method: get, endpoint: {endpoint}"), r#"{"id":7,"u":"http://x/{id}"}"#)
            .map(|request| request.uri)
    };
    assert_eq!(uri("'http://h/{id}/{none}'"), Ok("http://h/7/".to_owned()));
    assert_eq!(uri("'${ .u }'"), Ok("http://x/{id}".to_owned()));
    assert_eq!(uri("'http://h/${ .id + 1 }'"), Ok("http://h/8".to_owned()));
    assert_eq!(uri("{uri: 'http://h/{id}'}"), Ok("http://h/7".to_owned()));
    assert_eq!(uri("'${ .none }'"), Err("400 /do/0/c".to_owned()));
}

#[test]
fn secrets_are_read_when_the_call_is_sent() {
    let header = |value: &str| {
        http(&format!("method: get, endpoint: 'http://h', headers: {{a: '{value}'}}"), "{}")
            .map(|request| request.headers[0].1.clone())
    };
    assert_eq!(header("${ $secrets.key }"), Ok("s3cret".to_owned()));
    assert_eq!(header("Key ${ $secrets.login.username }"), Ok("Key u".to_owned()));
    assert_eq!(header("${ $secrets.missing }"), Err("403 /do/0/c".to_owned()));
}

#[test]
fn what_a_call_was_made_with_is_hidden_in_its_answer_and_in_its_error() {
    let body = |with: &str| {
        format!("use: {{secrets: [key, login]}}\ndo: [{{c: {{call: 'f:1@default', with: {with}}}}}]\n")
    };
    let run = Run::start(&body("{k: '${ $secrets.key }'}"), "{}");
    let order = tidemill_engine::prepare(&run.program, &run.x, 1, &secrets()).unwrap();
    assert_eq!(order.masks.hide(Outcome::Done(json("[\"a s3cret\"]"))), Outcome::Done(json("[\"a ***\"]")));
    assert!(!format!("{:?}", order.masks).contains("s3cret"));
    let run = Run::start(&body("{k: '${ $secrets.key | .a }'}"), "{}");
    let fault = tidemill_engine::prepare(&run.program, &run.x, 1, &secrets()).unwrap_err();
    assert!(!fault.detail.unwrap().contains("s3cret"));
}

#[test]
fn authentication() {
    let auth = |auth: &str| {
        http(&format!("method: get, endpoint: {{uri: 'http://h', authentication: {auth}}}"), "{}")
            .map(|request| request.authorization)
    };
    assert_eq!(
        auth("{basic: {username: a, password: '${ $secrets.key }'}}"),
        Ok(Some("Basic YTpzM2NyZXQ=".to_owned()))
    );
    assert_eq!(auth("{basic: {use: login}}"), Ok(Some("Basic dTpw".to_owned())));
    assert_eq!(auth("{bearer: {use: bearer}}"), Ok(Some("Bearer t".to_owned())));
    assert_eq!(auth("{bearer: {token: '${ $secrets.key }'}}"), Ok(Some("Bearer s3cret".to_owned())));
    assert_eq!(auth("{bearer: {use: missing}}"), Err("403 /do/0/c".to_owned()));
    assert_eq!(auth("{basic: {use: key}}"), Err("401 /do/0/c".to_owned()));
}

#[test]
fn the_input_of_a_function() {
    let input =
        |with: &str| match order(&format!("do:\n- c: {{call: 'f:prod@default'{with}}}\n"), r#"{"n":1}"#) {
            Ok(Call::Function { name, version, input }) => format!("{name} {version} {input}"),
            other => panic!("{other:?}"),
        };
    assert_eq!(input(""), r#"f prod {"n":1}"#);
    assert_eq!(input(", with: {m: '${ .n + 1 }'}"), r#"f prod {"m":2}"#);
}

#[test]
fn programs() {
    let run = |run: &str| {
        let body = format!("use: {{secrets: [key, login, missing]}}\ndo:\n- c:\n    run: {run}\n");
        match order(&body, r#"{"n":1,"l":["a",2],"o":{"K":true}}"#)? {
            Call::Process(run) => Ok(format!(
                "{:?} {:?} {:?} {:?} {:?} {}",
                run.program, run.arguments, run.environment, run.stdin, run.returns, run.wait
            )),
            other => panic!("{other:?}"),
        }
    };
    let check = |text: &str, expected: &str| assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
    check(
        "{shell: {command: 'echo ${ .n } $1', arguments: ['${ .n }', x, true], environment: {A: '${ .n }'}, stdin: '${ .o }'}}",
        r#"Shell("echo 1 $1") ["1", "x", "true"] [("A", "1")] "{\"K\":true}" Stdout true"#,
    );
    check(
        "{shell: {command: '${ .l[0] }', arguments: '${ .l }', environment: '${ .o }', stdin: text}, return: all, await: false}",
        r#"Shell("a") ["a", "2"] [("K", "true")] "text" All false"#,
    );
    // Code is never evaluated, and what looks like a secret in it is none.
    check(
        "{script: {language: python, code: 'print(\"${ .n } $secrets.other\")'}}",
        r#"Script(Python, "print(\"${ .n } $secrets.other\")") [] [] "" Stdout true"#,
    );
    check(
        "{script: {language: js, code: x, environment: {T: '${ $secrets.key }'}}, return: none}",
        r#"Script(JavaScript, "x") [] [("T", "s3cret")] "" None true"#,
    );
    assert_eq!(run("{shell: {command: 'x ${ $secrets.missing }'}}"), Err("403 /do/0/c".to_owned()));
    assert_eq!(run("{shell: {command: '${ .o }'}}"), Err("400 /do/0/c".to_owned()));
    assert_eq!(run("{shell: {command: x, arguments: '${ .o }'}}"), Err("400 /do/0/c".to_owned()));
    assert_eq!(run("{shell: {command: x, arguments: ['${ .o }']}}"), Err("400 /do/0/c".to_owned()));
}

#[test]
fn a_failing_with_is_the_outcome() {
    assert_eq!(
        order("do:\n- c: {call: 'f:1@default', with: {m: '${ .n.x }'}}\n", r#"{"n":1}"#).unwrap_err(),
        "400 /do/0/c"
    );
}
