//! Documents read, and documents refused.

use super::*;

fn value(text: &str) -> Value {
    parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}")).to_value()
}

#[test]
fn core_schema() {
    let check = |text: &str, json: &str| {
        assert_eq!(value(&format!("[{text}]")).to_string(), format!("[{json}]"), "{text}");
    };
    for word in [
        "yes",
        "no",
        "on",
        "off",
        "Yes",
        "y",
        "1_000",
        "0b1",
        "1:30",
        "2026-11-24",
        "+",
        ".",
        "1e",
        "e3",
        "0x",
        "-0x1",
        "1.2.3",
    ] {
        check(word, &format!("\"{word}\""));
    }
    for (text, json) in [
        ("~", "null"),
        ("null", "null"),
        ("NULL", "null"),
        ("true", "true"),
        ("False", "false"),
        ("010", "10"),
        ("-007", "-7"),
        ("0o17", "15"),
        ("0xFF", "255"),
        ("+5", "5"),
        ("0", "0"),
        ("\"5\"", "\"5\""),
        ("'true'", "\"true\""),
        ("!!str 5", "\"5\""),
        ("! 5", "\"5\""),
        ("!!int '5'", "5"),
        ("\"\\ud83d\\ude00\\u00e9 \\\\ud83d\"", "\"😀é \\\\ud83d\""),
    ] {
        check(text, json);
    }
    let numbers = value("[1e3, 1.5, .5, 5., -1.5e-3, 1E+2]");
    let read: Vec<_> = numbers.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert_eq!(read, [1000.0, 1.5, 0.5, 5.0, -0.0015, 100.0]);
}

#[test]
fn collections_aliases_and_blocks() {
    let text =
        "on: &a [1, {b: c}]\nagain: *a\nempty:\n404: x\nblock: |\n  one\n  two\nfolded: >-\n  one\n  two\n";
    let json = r#"{"on":[1,{"b":"c"}],"again":[1,{"b":"c"}],"empty":null,"404":"x","block":"one\ntwo\n","folded":"one two"}"#;
    assert_eq!(value(text).to_string(), json);
}

#[test]
fn spans() {
    let text = "# é\na: 1\nb:\n  c: 'x y'\n  d:\n  e: [1, 2]\nf: {g: h}\n";
    let node = parse(text).unwrap();
    let check = |pointer: &str, line: u32, column: u32, covered: &str| {
        let span = node.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).span;
        assert_eq!(
            (span.line, span.column, &text[span.start..span.end]),
            (line, column, covered),
            "{pointer}"
        );
    };
    check("", 2, 1, &text["# é\n".len()..]);
    check("/a", 2, 4, "1");
    check("/b", 4, 3, "c: 'x y'\n  d:\n  e: [1, 2]");
    check("/b/c", 4, 6, "'x y'");
    check("/b/d", 5, 3, "d");
    check("/b/e", 6, 6, "[1, 2]");
    check("/b/e/1", 6, 10, "2");
    check("/f", 7, 4, "{g: h}");
    let entry = node.get("b").unwrap().entry("c").unwrap();
    assert_eq!(&text[entry.key_span.start..entry.key_span.end], "c");
    let crlf = "a: 1\r\nb:\r\n  - x\r\n";
    let span = parse(crlf).unwrap().pointer("/b/0").unwrap().span;
    assert_eq!((span.line, span.column, &crlf[span.start..span.end]), (3, 5, "x"));
}

#[test]
fn documents() {
    let text = "---\na: 1\n---\n# nothing\n---\nb: 2\n...\n---\n";
    let documents = parse_all(text).unwrap();
    assert_eq!(
        documents.iter().map(|d| d.to_value().to_string()).collect::<Vec<_>>(),
        [r#"{"a":1}"#, r#"{"b":2}"#]
    );
    assert_eq!(documents[1].span.line, 6);
    assert_eq!(parse_all("").unwrap(), []);
}

/// The first mistake: code, line, column, pointer and a word of the message.
fn check_error(text: &str, expected: (&str, u32, u32, &str, &str)) {
    let errors = parse(text).expect_err(text);
    let d = &errors[0];
    assert_eq!(
        (d.code, d.span.line, d.span.column, d.pointer.as_str()),
        (expected.0, expected.1, expected.2, expected.3),
        "{text}: {d:?}"
    );
    assert!(d.message.contains(expected.4), "{text}: {}", d.message);
}

#[test]
fn mistakes() {
    check_error("a: 1\nb: [1, 2\n", ("E0101", 3, 1, "/b/2", "no YAML"));
    check_error("a: b: c\n", ("E0101", 1, 5, "", "no YAML"));
    check_error("a:\n\tb: 1\n", ("E0101", 2, 2, "/a", "no YAML"));
    check_error("x:\n  a: 1\n  b: 2\n  a: 3\n", ("E0102", 4, 3, "/x/a", "`a`"));
    check_error("{\"a\": 1, 'a': 2}", ("E0102", 1, 10, "/a", "`a`"));
    check_error("x: &x {a: 1}\ny:\n  <<: *x\n", ("E0103", 3, 3, "/y", "<<"));
    check_error("a: !own 1\n", ("E0104", 1, 4, "/a", "!own"));
    check_error("a: !!int x\n", ("E0104", 1, 4, "/a", "tag"));
    check_error("a: !own {}\n", ("E0104", 1, 4, "/a", "!own"));
    check_error("a: &a\n  - *a\n", ("E0105", 2, 5, "/a/0", "anchor"));
    check_error("? [a]\n: 1\n", ("E0106", 1, 3, "", "key"));
    check_error("a: .inf\n", ("E0107", 1, 4, "/a", "infinity"));
    check_error("a: -.nan\nb: .nan\n", ("E0107", 2, 4, "/b", "not-a-number"));
    check_error("a: 1\n---\nb: 2\n", ("E0108", 3, 1, "", "second document"));
    check_error("# only this\n", ("E0108", 1, 1, "", "empty"));
}

#[test]
fn limits() {
    check_error(&"a".repeat(MAX_TEXT + 1), ("E0801", 1, 1, "", "definition-size"));
    check_error(&"- 1\n".repeat(MAX_NODES), ("E0802", 20_000, 3, "/19999", "definition-values"));
    let bomb = (1..9).fold("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned(), |text, i| {
        let alias = format!("*a{}, ", i - 1).repeat(9);
        format!("{text}a{i}: &a{i} [{alias}]\n")
    });
    let errors = parse(&bomb).unwrap_err();
    assert_eq!((errors[0].code, errors.len()), ("E0802", 1));
    let many = format!("a: &a 1\nb: [{}]\n", "*a, ".repeat(MAX_ALIASES + 1));
    assert_eq!(parse(&many).unwrap_err()[0].code, "E0804");
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(&deep(MAX_DEPTH)).is_ok());
    check_error(&deep(MAX_DEPTH + 1), ("E0803", 1, 65, &"/0".repeat(64), "definition-depth"));
    let workflow = |levels: usize| format!("document: x\ndo: {}", deep(levels));
    assert!(parse(&workflow(MAX_WORKFLOW_DEPTH - 1)).is_ok());
    assert_eq!(parse(&workflow(MAX_WORKFLOW_DEPTH)).unwrap_err()[0].code, "E0803");
    assert!(parse(&deep(20_000)).is_err());
}

#[test]
fn places_inside_strings() {
    let check = |text: &str, offset: usize, expected: (u32, u32)| {
        let node = parse(text).unwrap();
        let span = locate(text, node.get("a").unwrap(), offset);
        assert_eq!((span.line, span.column), expected, "{text}");
    };
    check("a: .é ??\n", 4, (1, 7));
    check("a: '.b ??'\n", 3, (1, 8));
    check("a: |\n  .b\n  ??\n", 4, (3, 4));
    check("a: >\n  .b\n  ??\n", 4, (2, 3));
    check("a: \"\\u0041 ??\"\n", 2, (1, 4));
}

#[test]
fn json_of_any_layout() {
    assert_eq!(
        value("{\n\t\"a\": 1,\n\t\"b\":[\n\t\t{\"c\":null}\n\t]\n}\n").to_string(),
        r#"{"a":1,"b":[{"c":null}]}"#
    );
    let wide = format!(
        "{{\"a\":[{}1],\"é\":\"ü\"}}",
        "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",".repeat(19_000)
    );
    let node = parse(&wide).unwrap();
    let span = node.get("é").unwrap().span;
    assert_eq!(&wide[span.start..span.end], "\"ü\"");
}

#[test]
fn the_part_of_a_document_reads_the_same_by_itself() {
    for body in [
        "a: &x {b: 1}\nc: *x\n",
        "a: &x [1]\nb:\n  - *x\n",
        "  a: 1\n  b: 2\n",
        "a:\n  b: |\n    one\n    two\n",
        "a: >+\n  one\n\n",
        "a: 'x\n  y'\n",
        "a:\n",
        "a:\n- b:\n- c\n",
        "{a: [1, 2],\n b: {c: d}\n}\n",
        "- a\n- - b\n",
        "a: {b: c} # end\n",
        "a: |+\n  one\n\n\n",
    ] {
        let text = format!("# first\n---\n{body}---\nz: 1\n");
        let documents = parse_all(&text).unwrap();
        assert_eq!(documents.len(), 2, "{body}");
        let span = documents[0].span;
        let part = &text[span.start..span.end];
        assert_eq!(value(part), documents[0].to_value(), "{part}");
        let again = parse(part).unwrap().span;
        assert_eq!(&part[again.start..again.end], part);
    }
}
