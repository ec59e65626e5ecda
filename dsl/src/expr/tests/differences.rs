//! Where jaq does otherwise than jq 1.7, and these expressions follow jq.

use super::*;

#[test]
fn assignment_below_what_is_not_there_makes_it() {
    check(".a.b = 5", "{}", r#"{"a":{"b":5}}"#);
    check(".a[0] = 1", "{}", r#"{"a":[1]}"#);
    check(".a = 1, .[0] = 1, .[1:] = [2]", "null", r#"{"a":1} [1] [2]"#);
    check(".a |= . + 1, .a += 2, .a //= 3", "null", r#"{"a":1} {"a":2} {"a":3}"#);
    check(".[2] = 1", "[0]", "[0,null,1]");
}

#[test]
fn functions_that_jaq_lacks_are_there() {
    check("@csv, @tsv", r#"["a",1,null]"#, r#""\"a\",1," "a\t1\t""#);
    check("@base32", "\"hi\"", "\"NBUQ====\"");
    check("[tostream]", "[1]", "[[[0],1],[[0]]]");
    check("fromstream(1 | truncate_stream([[0], 1], [[1, 0], 2], [[1, 0]], [[1]]))", "null", "[2]");
    check(
        "INDEX(.k), INDEX(.[]; .v)",
        r#"[{"k":"x","v":1}]"#,
        r#"{"x":{"k":"x","v":1}} {"1":{"k":"x","v":1}}"#,
    );
    check("IN(1, 2), IN(3)", "1", "true false");
    check("ascii", "65", "\"A\"");
    check("[leaf_paths]", r#"{"a":[1]}"#, r#"[["a",0]]"#);
    check("toarray, ([1] | toarray)", "1", "[1] [1]");
    check("trimstr(\"a\")", "\"aba\"", "\"b\"");
    check("dateadd(\"seconds\"; 5), datesub(\"seconds\"; 5)", "10", "15 5");
    check("$__loc__", "null", r#"{"file":"<top-level>","line":1}"#);
}

#[test]
fn pairs_of_surrogates_are_one_character() {
    check(r#""\ud83d\ude00" | length, utf8bytelength"#, "null", "1 4");
    check(
        r#""\ud83d", "\\ud83d", "\ude00\ud83d""#,
        "null",
        "\"\u{fffd}\" \"\\\\ud83d\" \"\u{fffd}\u{fffd}\"",
    );
    check(r#"{"\ud83d\ude00": 1} | ."\ud83d\ude00""#, "null", "1");
}

#[test]
fn patterns_have_alternatives() {
    let objects = r#"[{"a":1,"b":2,"c":{"d":3,"e":4}},{"a":1,"b":2,"c":[{"d":3,"e":4}]}]"#;
    check(
        ".[] as {$a, $b, c: {$d, $e}} ?// {$a, $b, c: [{$d, $e}]} | {$a, $b, $d, $e}",
        objects,
        r#"{"a":1,"b":2,"d":3,"e":4} {"a":1,"b":2,"d":3,"e":4}"#,
    );
    check(
        ".[] as {$a, $b, c: {$d}} ?// {$a, $b, c: [{$e}]} | {$a, $b, $d, $e}",
        objects,
        r#"{"a":1,"b":2,"d":3,"e":null} {"a":1,"b":2,"d":null,"e":4}"#,
    );
    check(".[] as [$a] ?// $a | $a", "[[3], 4]", "3 4");
    check(
        r#".[] as [$a] ?// [$b] | if $a != null then error("err: \($a)") else {$a, $b} end"#,
        "[[3]]",
        r#"{"a":null,"b":3}"#,
    );
    check("[.[] as [$a] ?// $a | if ($a | type) == \"number\" then $a else error end], .", "[1]", "[1] [1]");
    check("def f(a; b): a + b; f(. as [$x] ?// $x | $x; 1)", "[2]", "3");
    check("if true then . as [$a] ?// $a | $a else 0 end", "5", "5");
    check(". as [$a] ?// {a: $a} ?// $a | def f: $a; f", "7", "7");
    check(". as [[$a]] ?// [$a] | ([$a] as [[$b]] ?// [$b] | $b + 1)", "[[1]]", "2");
    check_fault(". as [$a] ?// $a | error(\"no\")", "1", "no");
}

#[test]
fn functions_that_do_otherwise_in_jaq_do_as_in_jq() {
    check("join(\",\")", r#"["a",null,1,true]"#, "\"a,,1,true\"");
    check(".[1:], .[:2], .a, .[0]", "null", "null null null null");
    check("10 / 5, (10 / 5 | tostring), 7 / 2", "null", "2 \"2\" 3.5");
    check_fault("1 / 0", "null", "cannot be divided because the divisor is zero");
    check("@html", r#""<'\"&>""#, "\"&lt;&#39;&quot;&amp;&gt;\"");
    check("map(nearbyint), map(rint)", "[2.5,3.5,-0.5,1.2]", "[2,4,-0,1] [2,4,-0,1]");
    check(".", "100000000000000000000000001", "100000000000000000000000001");
}
