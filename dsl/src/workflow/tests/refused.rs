//! One definition per mistake: code, line, column and a word of the message.

use super::{check, told, workflow};

/// The body begins at line 6. Exactly this diagnostic is told, nothing else.
fn refused(body: &str, expected: (&str, u32, u32, &str)) {
    refused_text(&workflow(body), expected);
}

fn refused_text(text: &str, (code, line, column, word): (&str, u32, u32, &str)) {
    let checked = check(text);
    let told = told(&checked);
    assert_eq!(told.len(), 1, "{text}\n{told:#?}");
    assert!(told[0].starts_with(&format!("{code} {line}:{column} ")), "{text}\n{told:#?}");
    assert!(checked.diagnostics[0].message.contains(word), "{text}\n{told:#?}");
    assert_eq!(checked.program.is_some(), code.starts_with('W'), "{text}");
    assert!(crate::codes::explain(code).is_some(), "{code}");
}

#[test]
fn document() {
    let check = |lines: &str, expected| {
        refused_text(&format!("document:\n{lines}do:\n  - a:\n      set: {{a: 1}}\n"), expected);
    };
    let (dsl, ns, name, version) =
        ("  dsl: '1.0.3'\n", "  namespace: test\n", "  name: t\n", "  version: '1.0.0'\n");
    check(&[ns, name, version].concat(), ("E0202", 2, 3, "`dsl`"));
    check(&[dsl, name, version].concat(), ("E0202", 2, 3, "`namespace`"));
    check(&[dsl, ns, version].concat(), ("E0202", 2, 3, "`name`"));
    check(&[dsl, ns, name].concat(), ("E0202", 2, 3, "`version`"));
    check(&["  dsl: '2.0.0'\n", ns, name, version].concat(), ("E0301", 2, 8, "2.0.0"));
    check(&["  dsl: 1.0\n", ns, name, version].concat(), ("E0203", 2, 8, "a number"));
    check(&[dsl, ns, name, "  version: '1.0'\n"].concat(), ("E0302", 5, 12, "1.0"));
    check(&[dsl, ns, name, "  version: 1.0\n"].concat(), ("E0203", 5, 12, "`version`"));
    check(&[dsl, "  namespace: Test\n", name, version].concat(), ("E0208", 3, 14, "Test"));
    check(&[dsl, ns, "  name: a_b\n", version].concat(), ("E0208", 4, 9, "a_b"));
    check(
        &[dsl, ns, &format!("  name: {}\n", "n".repeat(64)), version].concat(),
        ("E0208", 4, 9, "DNS label"),
    );
    check(&[dsl, ns, name, version, "  tags: [a]\n"].concat(), ("E0203", 6, 9, "a map"));
    check(&[dsl, ns, name, version, "  titel: x\n"].concat(), ("E0201", 6, 3, "titel"));
    refused_text("do:\n  - a:\n      set: {a: 1}\n", ("E0202", 1, 1, "`document`"));
    refused_text("- a\n", ("E0203", 1, 1, "a map"));
    refused_text("", ("E0108", 1, 1, "empty"));
    refused_text("a: [\n", ("E0101", 2, 1, "YAML"));
}

#[test]
fn top_level() {
    let list = "do:\n  - a:\n      set: {a: 1}\n";
    refused("input: {}\n", ("E0202", 1, 1, "`do`"));
    refused("do: []\n", ("E0206", 6, 1, "empty"));
    refused("do: {a: {set: {b: 1}}}\n", ("E0203", 6, 5, "a list"));
    refused(&format!("{list}retries: 3\n"), ("E0201", 9, 1, "retries"));
    refused(&format!("{list}input:\n  form: .a\n"), ("E0201", 10, 3, "form"));
    refused(&format!("{list}output:\n  as: 5\n"), ("E0203", 10, 7, "an expression"));
    refused(&format!("{list}timeout: long\n"), ("E0601", 9, 10, "`long`"));
    refused(&format!("{list}timeout: {{after: P1Y}}\n"), ("E0701", 9, 18, "year"));
    refused(&format!("{list}evaluate: {{language: js}}\n"), ("E0921", 9, 22, "js"));
    refused(&format!("{list}evaluate: {{mode: lax}}\n"), ("E0204", 9, 18, "lax"));
    refused(&format!("{list}schedule:\n  every: PT1M\n"), ("E0914", 9, 1, "schedule"));
}

#[test]
fn lists_and_kinds() {
    refused("do:\n  - a\n", ("E0207", 7, 5, "a string"));
    refused("do:\n  - {}\n", ("E0207", 7, 5, "empty"));
    refused("do:\n  - a:\n    set: {b: 1}\n", ("E0207", 8, 5, "`set`"));
    refused("do:\n  - a:\n", ("E0203", 7, 5, "a map"));
    refused("do:\n  - a: {}\n", ("E0501", 7, 5, "no kind"));
    refused("do:\n  - a:\n      then: end\n", ("E0501", 7, 5, "no kind"));
    refused("do:\n  - a:\n      swich: []\n", ("E0201", 8, 7, "swich"));
    refused("do:\n  - a:\n      cal: http\n      with: {}\n", ("E0201", 8, 7, "cal"));
    refused("do:\n  - a:\n      set: {b: 1}\n      wait: PT1S\n", ("E0502", 9, 7, "`set` and `wait`"));
    refused(
        "do:\n  - a:\n      set: {b: 1}\n      do:\n        - b: {set: {c: 1}}\n",
        ("E0502", 9, 7, "`do`"),
    );
    refused("do:\n  - a:\n      set: {b: 1}\n      retry: x\n", ("E0201", 9, 7, "retry"));
    refused("do:\n  - a: {set: {b: 1}}\n  - a: {set: {b: 1}}\n", ("E0503", 8, 5, "`a`"));
    refused("do:\n  - exit: {set: {b: 1}}\n", ("E0507", 7, 5, "`exit`"));
    refused(
        "do:\n  - a:\n      set: {b: 1}\n      then: b\n  - c:\n      set: {b: 1}\n",
        ("E0504", 9, 13, "`b`"),
    );
    refused(
        "do:\n  - a:\n      do:\n        - b:\n            set: {c: 1}\n            then: a\n",
        ("E0504", 11, 19, "`a`"),
    );
    refused("do:\n  - a:\n      set: {b: 1}\n      if: true\n", ("E0404", 9, 11, "`if`"));
    refused("do:\n  - a:\n      set: {b: 1}\n      metadata: 5\n", ("E0203", 9, 17, "`metadata`"));
    refused("do:\n  - a: {set: {}}\n", ("E0206", 7, 9, "`set`"));
    refused("do:\n  - a: {set: text}\n", ("E0404", 7, 14, "`set`"));
    refused("do:\n  - a: {set: 5}\n", ("E0203", 7, 14, "a map or an expression"));
    refused("do:\n  - a: {wait: 5}\n", ("E0203", 7, 15, "a duration"));
    refused("do:\n  - a: {wait: 5s}\n", ("E0701", 7, 15, "5s"));
    refused("do:\n  - a: {wait: {minutes: 1.5}}\n", ("E0203", 7, 25, "`minutes`"));
    refused("do:\n  - a: {wait: {minuts: 1}}\n", ("E0201", 7, 16, "minuts"));
    refused("do:\n  - a: {wait: {seconds: -1}}\n", ("E0701", 7, 15, "`seconds`"));
    refused("do:\n  - a: {wait: {}}\n", ("E0701", 7, 15, "no member"));
}

#[test]
fn flow_and_composition() {
    refused("do:\n  - a:\n      switch: []\n", ("E0206", 8, 7, "no cases"));
    refused("do:\n  - a:\n      switch:\n        - x: {when: .a}\n", ("E0202", 9, 14, "`then`"));
    refused(
        "do:\n  - a:\n      switch:\n        - x: {then: end}\n        - y: {then: exit}\n",
        ("E0505", 10, 11, "`y`"),
    );
    refused("do:\n  - a:\n      switch:\n        - x: {then: b}\n", ("E0504", 9, 21, "`b`"));
    refused(
        "do:\n  - a:\n      switch:\n        - x: {whn: .a, when: .a, then: end}\n",
        ("E0201", 9, 15, "whn"),
    );
    refused("do:\n  - a:\n      for: {in: .x}\n", ("E0202", 8, 7, "`do`"));
    refused("do:\n  - a:\n      for: {each: x}\n      do: [{b: {set: {c: 1}}}]\n", ("E0202", 8, 12, "`in`"));
    refused("do:\n  - a:\n      for: {in: 5}\n      do: [{b: {set: {c: 1}}}]\n", ("E0203", 8, 17, "a list"));
    refused(
        "do:\n  - a:\n      for: {in: .x, each: $i}\n      do: [{b: {set: {c: 1}}}]\n",
        ("E0208", 8, 27, "$i"),
    );
    refused(
        "do:\n  - a:\n      for: {in: .x, each: input}\n      do: [{b: {set: {c: 1}}}]\n",
        ("E0507", 8, 27, "$input"),
    );
    refused(
        "do:\n  - a:\n      for: {in: .x, each: i, at: i}\n      do: [{b: {set: {c: 1}}}]\n",
        ("E0205", 8, 7, "`i`"),
    );
    refused("do:\n  - a:\n      fork: {branches: []}\n", ("E0206", 8, 14, "empty"));
    refused(
        "do:\n  - a:\n      fork: {compete: 1, branches: [{b: {set: {c: 1}}}]}\n",
        ("E0203", 8, 23, "`compete`"),
    );
    refused(
        "do:\n  - a:\n      fork:\n        branches:\n          - b: {set: {c: 1}, then: d}\n          - d: {set: {c: 1}}\n",
        ("E0504", 10, 36, "`d`"),
    );
    let branch = "          - bN: {set: {c: 1}}\n";
    let many = (0..257).fold(String::new(), |all, i| all + &branch.replace('N', &i.to_string()));
    refused(
        &format!("do:\n  - a:\n      fork:\n        branches:\n{many}"),
        ("E0806", 9, 9, "fork-branches"),
    );
    refused("do:\n  - a:\n      run: {}\n", ("E0202", 8, 12, "`workflow`"));
    let run = |text: &str, expected| refused(&format!("do:\n  - a:\n      run: {text}\n"), expected);
    run("{shell: {command: ls}, script: {language: js, code: x}}", ("E0205", 8, 35, "`script`"));
    run("{shell: {comand: ls, command: ls}}", ("E0201", 8, 21, "comand"));
    run("{shell: {}}", ("E0202", 8, 20, "`command`"));
    run("{shell: {command: [ls]}}", ("E0203", 8, 30, "`command`"));
    run("{shell: {command: ls}, return: out}", ("E0204", 8, 43, "`out`"));
    run("{shell: {command: ls, arguments: {a: b}}}", ("E0203", 8, 45, "a list"));
    run("{shell: {command: ls, arguments: [[a]]}}", ("E0203", 8, 46, "a string"));
    run("{shell: {command: ls, arguments: x}}", ("E0404", 8, 45, "expression"));
    run("{shell: {command: ls, environment: {A: [1]}}}", ("E0203", 8, 51, "a string"));
    run("{shell: {command: ls, environment: {A=B: x}}}", ("E0208", 8, 48, "A=B"));
    run("{script: {code: x}}", ("E0202", 8, 21, "`language`"));
    run("{script: {language: js}}", ("E0202", 8, 21, "`code`"));
    run("{script: {language: javascript, code: x}}", ("E0204", 8, 32, "javascript"));
    run("{script: {language: ruby, code: x}}", ("E0204", 8, 32, "ruby"));
    run("{script: {language: js, code: x, source: {endpoint: 'http://h/x'}}}", ("E0205", 8, 45, "`source`"));
    run("{script: {language: js, source: 'http://h/x'}}", ("E0203", 8, 44, "a map"));
    run("{script: {language: js, source: {name: x}}}", ("E0202", 8, 44, "`endpoint`"));
    run("{script: {language: js, source: {endpoint: 'file:///x.js'}}}", ("E0703", 8, 55, "file:///x.js"));
    run("{script: {language: js, source: {endpoint: 'http://h/${ .x }'}}}", ("E0703", 8, 55, "literal"));
    refused(
        "do:\n  - a:\n      run: {workflow: {namespace: n, name: N, version: latest}}\n",
        ("E0208", 8, 44, "N"),
    );
    refused(
        "do:\n  - a:\n      run: {workflow: {namespace: n, name: m, version: '1'}}\n",
        ("E0302", 8, 56, "1"),
    );
    refused(
        "do:\n  - a:\n      run: {workflow: {namespace: n, name: m}, return: all}\n",
        ("E0205", 8, 48, "`return`"),
    );
}

#[test]
fn errors() {
    let list = "[{b: {set: {c: 1}}}]";
    refused(&format!("do:\n  - a:\n      try: {list}\n"), ("E0202", 8, 7, "`catch`"));
    refused(&format!("do:\n  - a:\n      catch: {{}}\n      do: {list}\n"), ("E0201", 8, 7, "catch"));
    let check = |catch: &str, expected| {
        refused(&format!("do:\n  - a:\n      try: {list}\n      catch: {{{catch}}}\n"), expected);
    };
    check("errors: {with: {}}", ("E0206", 9, 24, "empty"));
    check("errors: {with: {status: x}}", ("E0705", 9, 39, "status"));
    check("errors: {with: {kind: x}}", ("E0201", 9, 31, "kind"));
    check("retry: often", ("E0601", 9, 22, "`often`"));
    check("retry: {backoff: {linear: {}, constant: {}}}", ("E0205", 9, 45, "`linear` and `constant`"));
    check("retry: {backoff: {}}", ("E0202", 9, 32, "`exponential`"));
    check("retry: {backoff: {linear: {factor: 2}}}", ("E0201", 9, 42, "factor"));
    check("retry: {limit: {attempt: {count: -1}}}", ("E0204", 9, 48, "`count`"));
    check("retry: {limit: {attempt: {count: many}}}", ("E0203", 9, 48, "whole number"));
    check("retry: {jitter: {from: PT1S}}", ("E0202", 9, 31, "`to`"));
    check("retry: {delay: P1M}", ("E0701", 9, 30, "month"));
    check("then: nowhere", ("E0504", 9, 21, "`nowhere`"));
    check("as: task", ("E0507", 9, 19, "$task"));
    refused("do:\n  - a: {raise: {error: unheard}}\n", ("E0601", 7, 24, "`unheard`"));
    refused("do:\n  - a: {raise: {error: {type: x}}}\n", ("E0202", 7, 24, "`status`"));
    refused("do:\n  - a: {raise: {error: {type: x, status: 4.5}}}\n", ("E0705", 7, 42, "status"));
    refused("do:\n  - a: {raise: {error: {type: x, status: 400, text: y}}}\n", ("E0201", 7, 47, "text"));
    refused("use:\n  errors:\n    e: {type: x}\ndo:\n  - a: {set: {b: 1}}\n", ("E0202", 8, 8, "`status`"));
    refused("use:\n  retries:\n    r: {dely: PT1S}\ndo:\n  - a: {set: {b: 1}}\n", ("E0201", 8, 9, "dely"));
}

#[test]
fn calls_and_functions() {
    refused("do:\n  - a: {call: http}\n", ("E0202", 7, 8, "`with`"));
    refused("do:\n  - a: {call: charge}\n", ("E0601", 7, 15, "`charge`"));
    refused("do:\n  - a: {call: charge@default}\n", ("E0208", 7, 15, "charge@default"));
    refused("do:\n  - a: {call: 'charge:2@other'}\n", ("E0602", 7, 15, "`other`"));
    refused("do:\n  - a: {call: 'charge:2@default', with: text}\n", ("E0404", 7, 41, "a map"));
    let check = |with: &str, expected| {
        refused(&format!("do:\n  - a:\n      call: http\n      with: {{{with}}}\n"), expected);
    };
    let get = "method: get, endpoint: 'https://a.test/'";
    check("method: get", ("E0202", 9, 13, "`endpoint`"));
    check("endpoint: 'https://a.test/'", ("E0202", 9, 13, "`method`"));
    check("method: g e t, endpoint: 'https://a.test/'", ("E0706", 9, 22, "g e t"));
    check("method: get, endpoint: 'ftp://a.test/'", ("E0703", 9, 37, "ftp"));
    check("method: get, endpoint: 'https://a.test/{id'", ("E0703", 9, 37, "not closed"));
    check("method: get, endpoint: {url: 'https://a.test/', uri: 'https://a.test/'}", ("E0201", 9, 38, "url"));
    check(&format!("{get}, output: body"), ("E0204", 9, 64, "body"));
    check(&format!("{get}, headers: {{a: [1]}}"), ("E0203", 9, 69, "a list"));
    check(&format!("{get}, query: a=b"), ("E0404", 9, 63, "a map"));
    check(&format!("{get}, redirect: 'yes'"), ("E0203", 9, 66, "`redirect`"));
    let auth = |auth: &str, expected| {
        check(
            &format!("method: get, endpoint: {{uri: 'https://a.test/', authentication: {auth}}}"),
            expected,
        );
    };
    auth("{use: mine}", ("E0601", 9, 84, "`mine`"));
    auth("{basic: {username: u}}", ("E0202", 9, 86, "`password`"));
    auth("{bearer: {use: key}}", ("E0603", 9, 93, "`key`"));
    auth("{basic: {use: k}, bearer: {use: k}}", ("E0205", 9, 96, "`bearer`"));
    auth("{oauth2: {use: key}}", ("E0916", 9, 79, "oauth2"));
    let body = "do:\n  - a: {call: f}\n";
    refused(
        &format!("use:\n  functions:\n    f: {{call: g}}\n    g: {{call: f}}\n{body}")
            .replace("g: {call: f}", "g: {do: [{x: {call: g}}]}"),
        ("E0506", 9, 25, "`g`"),
    );
    refused(&format!("use:\n  functions:\n    f: {{}}\n{body}"), ("E0501", 8, 5, "no kind"));
    refused(
        &format!("use:\n  functions:\n    f: {{set: {{a: 1}}, the: end}}\n{body}"),
        ("E0201", 8, 22, "the"),
    );
    refused("use:\n  function: {}\ndo:\n  - a: {set: {b: 1}}\n", ("E0201", 7, 3, "function"));
    refused("use:\n  secrets: key\ndo:\n  - a: {set: {b: 1}}\n", ("E0203", 7, 12, "a list"));
}

#[test]
fn events() {
    let emit = |with: &str, expected| {
        refused(&format!("do:\n  - a:\n      emit: {{event: {{with: {with}}}}}\n"), expected);
    };
    emit("{source: 'https://a.test'}", ("E0202", 8, 28, "`type`"));
    emit("{type: 5}", ("E0203", 8, 35, "a string"));
    emit("{type: ''}", ("E0204", 8, 35, "empty"));
    emit("{type: t, dataContentType: x}", ("E0208", 8, 38, "dataContentType"));
    emit("{type: t, own: [1]}", ("E0203", 8, 43, "a list"));
    refused("do:\n  - a: {emit: {}}\n", ("E0202", 7, 15, "`event`"));
    let listen =
        |to: &str, expected| refused(&format!("do:\n  - a:\n      listen: {{to: {to}}}\n"), expected);
    listen("{}", ("E0202", 8, 20, "`one`"));
    listen("{one: {with: {}}}", ("E0206", 8, 27, "empty"));
    listen("{one: {}}", ("E0202", 8, 26, "`with`"));
    listen("{one: {with: {type: t}}, all: []}", ("E0205", 8, 45, "`all`"));
    listen("{one: {with: {Type: t}}}", ("E0208", 8, 34, "Type"));
    listen("{one: {with: {type: t, data: {a: '${ .b }'}}}}", ("E0204", 8, 49, "data"));
    listen("{one: {with: {type: t}}, until: .a}", ("E0205", 8, 45, "`until`"));
}

#[test]
fn not_run_yet() {
    let check = |task: &str, code: &str| {
        let checked = check(&workflow(&format!("do:\n  - a:\n      {task}\n")));
        let codes: Vec<_> = checked.diagnostics.iter().map(|d| d.code).collect();
        assert_eq!(codes, [code], "{task}: {:?}", told(&checked));
        assert!(checked.diagnostics[0].message.contains("not supported by this release"), "{task}");
    };
    check("{call: openapi, with: {document: {endpoint: 'https://a.test'}, operationId: o}}", "E0902");
    check("{call: grpc, with: {}}", "E0903");
    check("{call: asyncapi, with: {}}", "E0904");
    check("{call: a2a, with: {}}", "E0905");
    check("{call: mcp, with: {}}", "E0906");
    check("{run: {container: {image: x}}}", "E0909");
    check("{listen: {to: {all: [{with: {type: t}}]}}}", "E0910");
    check("{listen: {to: {any: [], until: .a}}}", "E0911");
    check("{listen: {to: {one: {with: {type: t}}}}, foreach: {item: x}}", "E0912");
    check("{listen: {to: {one: {with: {type: t}, correlate: {a: {from: .b}}}}}}", "E0913");
    check("{set: {a: 1}, input: {schema: {format: avro, document: {}}}}", "E0920");
    let used = |used: &str, code: &str| {
        let text = workflow(&format!("use:\n  {used}\ndo:\n  - a: {{set: {{b: 1}}}}\n"));
        assert_eq!(
            super::check(&text).diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(),
            [code],
            "{used}"
        );
    };
    used("authentications: {d: {digest: {username: u, password: p}}}", "E0915");
    used("authentications: {o: {oidc: {use: s}}}", "E0917");
}

#[test]
fn nesting() {
    let nested = |levels: usize| {
        let open = "[{t: {do: ".repeat(levels - 1);
        let close = "}}]".repeat(levels - 1);
        workflow(&format!("do: {open}[{{t: {{set: {{a: 1}}}}}}]{close}\n"))
    };
    assert_eq!(told(&check(&nested(32))), [""; 0]);
    let checked = check(&nested(33));
    assert_eq!(checked.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["E0805"]);
}

#[test]
fn expressions() {
    let task = |task: &str, expected| refused(&format!("do:\n  - a:\n      {task}\n"), expected);
    task("set: {b: '${ .a | }'}", ("E0401", 8, 24, "syntax"));
    task("set: {b: '${ nope(.a) }'}", ("E0401", 8, 20, "nope"));
    task("set: {b: '${ env }'}", ("E0401", 8, 20, "env"));
    task("set: {b: '${ $item }'}", ("E0402", 8, 20, "$item"));
    task("set: {b: 'x ${ $item }'}", ("E0402", 8, 22, "$item"));
    task("set: {b: '${ $secrets.key }'}", ("E0403", 8, 20, "$secrets"));
    task("set: {b: '${ $output }'}", ("E0402", 8, 20, "$output"));
    task("{set: {b: 1}, if: $input.x}", ("E0402", 8, 25, "$input"));
    task("{set: {b: 1}, input: {from: $input.x}}", ("E0402", 8, 35, "$input"));
    task("{set: {b: 1}, output: {as: $output.x}}", ("E0402", 8, 34, "$output"));
    task("{set: {b: 1}, export: {as: '$secrets'}}", ("E0403", 8, 35, "$secrets"));
    task("{set: {b: 1}, input: {from: ''}}", ("E0404", 8, 35, "empty"));
    task("{for: {in: '$item'}, do: [{b: {set: {c: 1}}}]}", ("E0402", 8, 19, "$item"));
    task("{for: {in: .x, each: y}, while: '$item', do: [{b: {set: {c: 1}}}]}", ("E0402", 8, 40, "$item"));
    task("{try: [{b: {set: {c: '${ $error }'}}}], catch: {}}", ("E0402", 8, 32, "$error"));
    task("{try: [{b: {set: {c: 1}}}], catch: {as: e, when: $error}}", ("E0402", 8, 56, "$error"));
    task("{try: [{b: {set: {c: 1}}}], catch: {retry: {when: '.x =='}}}", ("E0401", 8, 63, "syntax"));
    task("{switch: [{x: {when: '.a ===1', then: end}}]}", ("E0401", 8, 32, "syntax"));
    task("{raise: {error: {type: t, status: 400, title: '${ .a | }'}}}", ("E0401", 8, 61, "syntax"));
    task("{listen: {to: {one: {with: {type: '${ .x ( }'}}}}}", ("E0401", 8, 49, "syntax"));
    task("{run: {workflow: {namespace: n, name: m, input: {a: '${ $x }'}}}}", ("E0402", 8, 63, "$x"));
    refused(
        "do:\n  - a:\n      if: |\n        .b\n        and nope\n      set: {b: 1}\n",
        ("E0401", 10, 13, "nope"),
    );
    refused("output:\n  as: $input\ndo:\n  - a: {set: {b: 1}}\n", ("E0402", 7, 7, "$input"));
    refused("input:\n  from: $context\ndo:\n  - a: {set: {b: 1}}\n", ("E0402", 7, 9, "$context"));
    let kept = |body: &str| {
        let text = format!(
            "use: {{secrets: [t], functions: {{f: {{set: {{b: 1}}}}}}, catalogs: {{c: {{endpoint: 'https://h'}}}}}}\ndo:\n  - a: {body}\n"
        );
        let before = text.lines().last().unwrap().find("$secrets").unwrap();
        refused(&text, ("E0403", 8, before as u32 + 1, "$secrets"));
    };
    kept("{run: {workflow: {namespace: n, name: m, input: {a: '${ $secrets.t }'}}}}");
    kept("{call: f, with: {a: '${ $secrets.t }'}}");
    kept("{call: 'f:1@c', with: {a: '${ $secrets.t }'}}");
    kept("{call: 'https://h/f.yaml', with: {a: '${ $secrets.t }'}}");
    kept("{wait: '${ $secrets.t }'}");
    kept("{set: {b: 1}, input: {from: $secrets.t}}");
    kept("{set: {b: 1}, export: {as: '{a: $secrets.t}'}}");
    kept("{set: {b: 1}, timeout: {after: '${ $secrets.t }'}}");
    kept("{set: {b: 1}, if: $secrets.t}");
    kept("{emit: {event: {with: {type: t, source: s, data: '${ $secrets.t }'}}}}");
    kept("{raise: {error: {type: t, status: 400, detail: 'x ${ $secrets.t }'}}}");
    kept("{listen: {to: {one: {with: {type: t, subject: '${ $secrets.t }'}}}}}");
    kept("{switch: [{x: {when: $secrets.t, then: end}}]}");
    kept("{for: {in: '$secrets.t'}, do: [{b: {set: {c: 1}}}]}");
    kept("{try: [{b: {set: {c: 1}}}], catch: {when: '$secrets.t'}}");
    refused("timeout: {after: '${ $secrets.t }'}\ndo:\n  - a: {set: {b: 1}}\n", ("E0403", 6, 22, "$secrets"));
    let schema = "input:\n  schema:\n    document:\n      properties: {a: {type: nothing}}\ndo:\n  - a: {set: {b: 1}}\n";
    refused(schema, ("E0702", 9, 30, "nothing"));
}

/// Every mistake of a text is told in one run.
#[test]
fn all_at_once() {
    let checked = check(&workflow(
        "input: {schema: {}}
do:
  - a:
      set: {x: '${ $nope }', y: '${ .b | }'}
      then: c
  - b:
      call: http
      with: {methd: get, endpoint: 'https://a.test/'}
  - b:
      wiat: PT1S
extra: 1
",
    ));
    assert_eq!(
        told(&checked),
        [
            "E0202 6:17 one of `document`, `resource` is needed",
            "E0402 9:20 unknown variable `$nope`",
            "E0401 9:41 syntax error: expected term, found the end",
            "E0504 10:13 `then` names no task `c` of this list",
            "E0202 13:13 `with` of an HTTP call lacks the key `method`",
            "E0201 13:14 unknown key `methd` in `with` of an HTTP call",
            "E0503 14:5 the name `b` stands twice in this list",
            "E0201 15:7 unknown key `wiat` in the task",
            "E0201 16:1 unknown key `extra` in the workflow",
        ]
    );
}

/// What an author sees in the terminal.
#[test]
fn rendered() {
    let bodies = [
        "do:\n  - a:\n      swich: []\n",
        "do:\n  - pay:\n      set: {b: 1}\n      then: shp\n  - ship:\n      set: {b: 1}\n",
        "do:\n  - a:\n    set: {b: 1}\n",
        "do:\n  - a:\n      set: {b: 1}\n      wait: PT1S\n",
        "do:\n  - a:\n      if: .total > $inptu.limit\n      set: {b: 1}\n",
        "do:\n  - a:\n      set:\n        key: ${ $secrets.key }\n",
        "do:\n  - a:\n      call: openapi\n      with: {}\n",
        "do:\n  - a:\n      wait: P1M\n",
        "do:\n  - a:\n      try: [{b: {wait: PT1S}}]\n      catch:\n        retry: defualt\nuse:\n  retries:\n    default: {delay: PT1S}\n",
        "do:\n  - a:\n      set: {b: 1}\n      then: a\n",
    ];
    let rendered = bodies.map(|body| {
        let text = workflow(body);
        check(&text).diagnostics.iter().map(|d| d.render("w.yaml", &text)).collect::<String>()
    });
    insta::assert_snapshot!(rendered.join("\n"), @r"
    w.yaml:8:7: error[E0201]: unknown key `swich` in the task
      |
    8 |       swich: []
      |       ^^^^^
      = help: did you mean `switch`?

    w.yaml:9:13: error[E0504]: `then` names no task `shp` of this list
      |
    9 |       then: shp
      |             ^^^
      = help: did you mean `ship`?

    w.yaml:8:5: error[E0207]: a task has one key, its name; `set` is a second one
      |
    8 |     set: {b: 1}
      |     ^^^
      = help: indent what belongs below the name further than the name

    w.yaml:9:7: error[E0502]: the task has two kinds: `set` and `wait`
      |
    9 |       wait: PT1S
      |       ^^^^
      = help: split it into two tasks

    w.yaml:8:20: error[E0402]: unknown variable `$inptu`
      |
    8 |       if: .total > $inptu.limit
      |                    ^
      = help: variables here: $context, $task, $workflow, $runtime

    w.yaml:9:17: error[E0403]: `$secrets` is not available here
      |
    9 |         key: ${ $secrets.key }
      |                 ^
      = help: read it in `with` of a call or run, or in `authentication`

    w.yaml:8:13: error[E0902]: `call: openapi` is not supported by this release
      |
    8 |       call: openapi
      |             ^^^^^^^
      = help: `call: openapi` is part of the language but not run yet. Use `call: http`, or a function of this server.

    w.yaml:8:13: error[E0701]: `P1M` is not an ISO 8601 duration: months have no fixed length; use days, hours, minutes or seconds
      |
    8 |       wait: P1M
      |             ^^^
      = help: write for example `PT30S`, `P1DT12H` or `{minutes: 5}`

    w.yaml:10:16: error[E0601]: no retry policy `defualt` is declared under `use`
       |
    10 |         retry: defualt
       |                ^^^^^^^
      = help: did you mean `default`?

    w.yaml:7:5: warning[W0552]: the loop that begins with the task `a` has no exit
      |
    7 |   - a:
      |     ^
      = help: add a switch case or an `if` that leads out of it, or a timeout
    ");
}
