//! Programs that would never end, or take all memory or stack.

use super::*;

/// Runs `f` on a thread with the stack that evaluations need.
fn on_stack(f: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(8 << 20).spawn_scoped(scope, f);
        let joined = thread.map(std::thread::ScopedJoinHandle::join);
        assert!(matches!(joined, Ok(Ok(()))), "the evaluation panicked");
    });
}

/// As [`on_stack`], with a twentieth of the fuel.
fn on_little_fuel(f: impl FnOnce() + Send) {
    on_stack(|| {
        super::super::limits::set_fuel(MAX_FUEL / 20);
        f();
    });
}

#[test]
fn the_fuel_is_a_million_steps() {
    on_stack(|| {
        check("[range(300000)] | length", "null", "300000");
        check_fault("last(range(1000001))", "null", FUEL);
    });
}

fn check_broken(text: &str, limit: &str) {
    on_stack(|| check_fault(text, "[[1,2],{\"a\":\"b\"}]", limit));
}

const FUEL: &str = "expression fuel";
const MEMORY: &str = "expression memory";
const RECURSION: &str = "expression recursion";
const NESTING: &str = "JSON depth";

#[test]
fn endless_programs_run_out_of_fuel() {
    for text in [
        "last(repeat(1))",
        "repeat(empty)",
        "last(range(1e18))",
        "[range(1e9)]",
        "reduce range(1e12) as $i (0; . + 1)",
        "last(foreach range(1e12) as $i (0; . + 1))",
        "last(1 | while(true; .))",
        "until(false; .)",
        "last(recurse(.))",
        "def f: f; f",
        "def f: 1, f; last(f)",
        "def f: def g: f; g; f",
        "def f: if true then f else 1 end; f",
        "[range(1000)] | [.[] as $a | .[] as $b | .[] as $c | $a] | length",
        "[range(100000)] as $a | [range(100000)] as $b | [range(100) | $a == $b] | length",
        "[range(100000)] as $a | last(range(100) | $a | sort)",
        "[range(100000)] as $a | last(range(100) | $a | sort_by(1))",
        "[range(100000)] as $a | last(range(100) | $a - [1])",
        "(\"x\" * 1e6) as $a | last(range(1e5) | $a | test(\"y\"))",
        "(\"x\" * 1e6) as $a | last(range(1e5) | $a | length)",
        "label $out | repeat(1) | if . == 2 then break $out else empty end",
        "first(repeat(empty))",
        "[limit(1e9; repeat(1))]",
        "try repeat(empty) catch 1",
        "(repeat(empty))? // 1",
        "[.[] | try last(range(1e18)) catch 1]",
        "isvalid(last(range(1e18)))",
        "path(last(repeat(.)))",
        "any(range(1e12); . < 0)",
        "[splits(\"\") | range(1e9)]?, last(range(1e9))",
    ] {
        on_little_fuel(|| check_fault(text, "[[1,2],{\"a\":\"b\"}]", FUEL));
    }
}

#[test]
fn growing_values_run_out_of_memory() {
    for text in [
        "\"x\" * 1e9",
        "\"x\" * 1e18",
        "reduce range(40) as $i (\"xx\"; . + .)",
        "reduce range(40) as $i ([1]; . + .)",
        "reduce range(40) as $i (\"xx\"; \"\\(.)\\(.)\")",
        ".[1e9] = 1",
        ".[1e14] = 1",
        "(\"x\" * 1e6) as $s | [range(100) | $s + \"y\"]",
        "(\"x\" * 1e6) as $s | [range(100) | $s] | join($s)",
        "(\"x\" * 1e6) as $s | [range(100) | $s | @base64]",
        "(\"a\" * 4e6) | explode",
        "try (\"x\" * 1e9) catch \"caught\"",
        "((\"x\" * 1e9)? // 1)",
        "(\"x\" * 1e5) | gsub(\"\"; \"y\" * 300)",
    ] {
        on_stack(|| match run(text, "[]") {
            Ok(got) => panic!("{text} gave {} bytes", got.len()),
            Err(fault) => assert!(fault.contains(MEMORY) || fault.contains(FUEL), "{text}: {fault}"),
        });
    }
}

#[test]
fn recursion_ends_as_an_error() {
    for text in [
        "def f: 1 + f; f",
        "def f: [f]; f",
        "def f: f | 1; f",
        "def f: {a: f}; f",
        "def f: f, 1; f",
        "def f(g): 1 + f(g); f(1)",
        "def f(g): f(g | . + 1); f(.)",
        "def f(g): f(1 + g); f(.)",
        "def f($n): 1 + f($n + 1); f(1)",
        "def f: def g: 1 + f; g; f",
        "def f: try f catch f; f | f",
        "def f: (f | f) // f; f",
        "def f: reduce f as $x (0; 1); f",
        "def f: . as $x | f | $x; f",
        "def f: f; f |= 1",
        "def f: f; path(f)",
        "def f: first(f); f",
        "def f: -f; f",
        "def f: \"\\(f)\"; f",
        "def f: label $x | f; f",
        "def f: if f then 1 else 2 end; f",
        "def f: .[f]; f",
        "def f: limit(1; f); f",
        "def f: walk(f); f",
        "def f(g): def h: f(g | h); h; f(.)",
        "def f: try error(f) catch .; f",
    ] {
        on_little_fuel(|| match run(text, "[[1,2],{\"a\":\"b\"}]") {
            Ok(got) => panic!("{text} gave {got}"),
            Err(fault) => assert!(fault.contains(RECURSION) || fault.contains(FUEL), "{text}: {fault}"),
        });
    }
    check_broken("def f: 1 + f; f", RECURSION);
}

#[test]
fn recursion_that_ends_has_room() {
    on_stack(|| {
        check(
            "def depth: if type == \"array\" then 1 + (map(depth) | max // 0) else 0 end; depth",
            "[[[[1]]]]",
            "4",
        );
        check("def sum($n): if $n == 0 then 0 else $n + sum($n - 1) end; sum(100)", "null", "5050");
        check("def f(g; $n): if $n == 0 then g else f(g | . + 1; $n - 1) end; 0 | f(.; 50)", "null", "50");
        let nested = format!("{}1{}", "[".repeat(120), "]".repeat(120));
        check("[walk(.)] | length, (.[0] | flatten)", &nested, "1 [1]");
        check("[..] | length", &nested, "121");
    });
}

#[test]
fn deep_values_are_refused() {
    check_broken("reduce range(100000) as $i (null; [.])", NESTING);
    check_broken("reduce range(100000) as $i (null; {a: .})", NESTING);
    check_broken("reduce range(1000) as $i (null; [[.], .])", NESTING);
    check_broken("reduce range(200) as $i (null; [.])", NESTING);
    check_broken("setpath([range(100000) | 0]; 1)", NESTING);
    check_broken("reduce range(100000) as $i (null; .a = [.])", NESTING);
    check_broken("try reduce range(100000) as $i (null; [.]) catch 1", NESTING);
    check_broken("def f: [.] | f; f", NESTING);
    on_stack(|| {
        check("reduce range(128) as $i (0; [.]) | flatten", "null", "[0]");
        check(
            "[range(300)] | reduce .[] as $i ({}; .a = ([.a] | flatten | map(. // $i))) | .a",
            "null",
            "[0]",
        );
        check_fault("fromjson", &Value::from("[".repeat(200_000)).to_string(), "nested deeper than 128");
        check_fault("\"[\" * 200000 | fromjson", "null", "nested deeper than 128");
    });
}

#[test]
fn long_paths_are_refused() {
    on_stack(|| {
        for text in [
            "def f: .a | f; f = 1",
            "def f: .a | f; path(f)",
            "last(path(repeat(.)))?, last(path(recurse(.a)))",
            "[path(limit(100000; recurse(.a)))] | length",
            "[path(last(limit(100000; recurse(.[0:]))))] | length",
            "[path(last(limit(100000; recurse(.[{start: 0}]))))] | length",
            "getpath([range(100000) | \"a\"])",
            "path(getpath([range(100000) | \"a\"]))",
            "def f(g): f(g | .a); path(f(.))",
        ] {
            match run(text, "null") {
                Ok(got) => panic!("{text} gave {got}"),
                Err(fault) => assert!(
                    ["path", "fuel", "recursion"].iter().any(|part| fault.contains(part)),
                    "{text}: {fault}"
                ),
            }
        }
        check("path(last(limit(5000; recurse(.a)))) | length", "null", "4999");
    });
}

#[test]
fn results_are_limited() {
    check("\"x\" * 1048574 | length", "null", "1048574");
    check_fault("\"x\" * 1048576", "null", "expression output");
    check_fault("[range(400000)]", "null", "expression output");
    check_fault("range(20000)", "null", "more than 10000 results");
    let one = |text: &str| Expr::compile(text, &[]).map(|expr| expr.eval(&Value::Null, &NoArguments));
    let detail = |text: &str| one(text).map(|result| result.map_err(|fault| fault.to_string()));
    assert!(matches!(detail("1, 2"), Ok(Err(fault)) if fault.contains("more than one result")));
    assert!(matches!(detail("empty"), Ok(Err(fault)) if fault.contains("no result where a value is needed")));
    let none = Expr::compile("empty", &[]).map(|expr| expr.eval_opt(&Value::Null, &NoArguments));
    assert_eq!(none, Ok(Ok(None)));
}

#[test]
fn programs_are_limited_before_they_are_parsed() {
    on_stack(|| {
        check_fault(&".".repeat(70_000), "null", "expression size");
        check_fault(&"(".repeat(60_000), "null", "expression nesting");
        check_fault(&format!("{}1{}", "[".repeat(65), "]".repeat(65)), "null", "expression nesting");
        for text in ["-", "try ", ".|", "1+", "1,", "def f: ", "if 1 then ", ". as $x |", "reduce ", "1//"] {
            let deep = format!("{}1", text.repeat(60_000 / text.len()));
            assert!(run(&deep, "null").is_err(), "{text}");
            let long = format!("{}1", text.repeat(1900 / (1 + text.matches([' ', '|', '+']).count())));
            let _ = run(&long, "null");
            let _ = run(&format!("{}1", text.repeat(280)), "null");
        }
        let wide = format!("[{}1] | length", "1,".repeat(250));
        check(&wide, "null", "251");
        let members: Vec<String> = (0..200).map(|at| format!("k{at}: .a")).collect();
        check(&format!("{{{}}} | length", members.join(",")), "{\"a\":1}", "200");
    });
}
