//! Which argument is there in which place: the whole table, both what is taken and what is refused.

use super::{check, workflow};

/// Every argument, with an expression that reads it.
const ARGUMENTS: [&str; 8] =
    ["context", "input", "output", "secrets", "task", "workflow", "runtime", "authorization"];

/// Places by name: a body with `X` where the expression stands, and the arguments that are there.
const PLACES: [(&str, &str, &[&str]); 16] = [
    ("workflow input.from", "input: {from: 'X'}\ndo: [{a: {set: {b: 1}}}]\n", &["workflow", "runtime"]),
    (
        "workflow output.as",
        "output: {as: 'X'}\ndo: [{a: {set: {b: 1}}}]\n",
        &["context", "workflow", "runtime"],
    ),
    ("if", "do: [{a: {if: 'X', set: {b: 1}}}]\n", BEFORE),
    ("input.from", "do: [{a: {input: {from: 'X'}, set: {b: 1}}}]\n", BEFORE),
    ("set", "do: [{a: {set: {b: '${ X }'}}}]\n", BODY),
    ("switch", "do: [{a: {switch: [{c: {when: 'X', then: end}}]}}]\n", BODY),
    ("for.in", "do: [{a: {for: {in: 'X'}, do: [{b: {set: {c: 1}}}]}}]\n", BODY),
    ("while", "do: [{a: {for: {in: '[]'}, while: 'X', do: [{b: {set: {c: 1}}}]}}]\n", BODY),
    ("catch.when", "do: [{a: {try: [{b: {set: {c: 1}}}], catch: {when: 'X', then: continue}}}]\n", BODY),
    ("raise", "do: [{a: {raise: {error: {type: t, status: '${ X }'}}}}]\n", BODY),
    ("emit", "do: [{a: {emit: {event: {with: {type: t, source: s, data: '${ X }'}}}}}]\n", BODY),
    ("filter", "do: [{a: {listen: {to: {one: {with: {type: t, data: '${ X }'}}}}}}]\n", BODY),
    ("child's input", "do: [{a: {run: {workflow: {namespace: n, name: m, input: {v: '${ X }'}}}}}]\n", BODY),
    ("output.as", "do: [{a: {set: {b: 1}, output: {as: 'X'}}}]\n", BODY),
    (
        "export.as",
        "do: [{a: {set: {b: 1}, export: {as: 'X'}}}]\n",
        &["context", "input", "output", "task", "workflow", "runtime", "authorization"],
    ),
    (
        "with of a call",
        "do: [{a: {call: http, with: {method: get, endpoint: 'http://h', query: {q: '${ X }'}}}}]\n",
        &["context", "input", "secrets", "task", "workflow", "runtime", "authorization"],
    ),
];
const BEFORE: &[&str] = &["context", "task", "workflow", "runtime"];
const BODY: &[&str] = &["context", "input", "task", "workflow", "runtime", "authorization"];

#[test]
fn every_argument_in_every_place() {
    for (place, body, there) in PLACES {
        for argument in ARGUMENTS {
            let text = workflow(&body.replace('X', &format!("${argument}.x")));
            let checked = check(&text);
            let codes: Vec<_> = checked.diagnostics.iter().map(|d| d.code).collect();
            let expected: &[&str] = match argument {
                known if there.contains(&known) => &[],
                "secrets" => &["E0403"],
                _ => &["E0402"],
            };
            assert_eq!(codes, expected, "${argument} in {place}: {:?}", checked.diagnostics);
            assert_eq!(checked.program.is_some(), expected.is_empty(), "${argument} in {place}");
            if let Some(refused) = checked.diagnostics.first() {
                assert!(refused.message.contains(&format!("${argument}")), "{}", refused.message);
                assert!(refused.help.is_some(), "{place}");
            }
        }
    }
}

/// Every name that is resolved when the definition is written is told as it was written.
#[test]
fn unknown_names_are_quoted() {
    for (body, name) in [
        ("do: [{a: {set: {b: 1}, then: nowher}}]\n", "nowher"),
        ("do: [{a: {switch: [{c: {then: nowher}}]}}]\n", "nowher"),
        // The target of a catch is looked for in the list of the try itself.
        ("do: [{a: {try: [{inner: {set: {b: 1}}}], catch: {then: inner}}}]\n", "inner"),
        ("do: [{a: {raise: {error: unknown-error}}}]\n", "unknown-error"),
        ("do: [{a: {try: [{b: {set: {c: 1}}}], catch: {retry: unknown-retry}}}]\n", "unknown-retry"),
        ("do: [{a: {wait: PT1S, timeout: unknown-timeout}}]\n", "unknown-timeout"),
        ("timeout: unknown-timeout\ndo: [{a: {wait: PT1S}}]\n", "unknown-timeout"),
        (
            "do: [{a: {call: http, with: {method: get, endpoint: {uri: 'http://h', authentication: {use: unknown-auth}}}}}]\n",
            "unknown-auth",
        ),
        ("do: [{a: {call: unknown-function}}]\n", "unknown-function"),
        ("do: [{a: {call: 'f:1@unknown-catalog'}}]\n", "unknown-catalog"),
    ] {
        let checked = check(&workflow(body));
        let [found] = &checked.diagnostics[..] else { panic!("{body}: {:?}", checked.diagnostics) };
        assert!(checked.program.is_none() && found.message.contains(&format!("`{name}`")), "{found:?}");
        let line = found.span.line as usize;
        let text = workflow(body);
        assert!(text.lines().nth(line - 1).unwrap().contains(name), "{body}: line {line}");
    }
}

/// What exists is judged when the task runs.
#[test]
fn what_a_task_names_outside_the_definition_is_not_looked_for() {
    for body in [
        "do: [{a: {run: {workflow: {namespace: n, name: nobody, version: latest}}}}]\n",
        "do: [{a: {call: 'nobody:1@default'}}]\n",
        "do: [{a: {call: 'https://nobody.test/f.yaml'}}]\n",
        "use: {secrets: [nobody]}\ndo: [{a: {call: 'f:1@default', with: {k: '${ $secrets.nobody }'}}}]\n",
    ] {
        assert!(check(&workflow(body)).program.is_some(), "{body}");
    }
}
