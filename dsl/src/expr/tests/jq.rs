//! The functions and operators of jq 1.7, one table a subject.

use super::*;

#[test]
fn paths_and_construction() {
    check(".", "[1]", "[1]");
    check(".a.b[0]", r#"{"a":{"b":[7]}}"#, "7");
    check(".a + 1", r#"{"a":1}"#, "2");
    check("$o.a[-1], $x", "null", "2 5");
    check(
        "{a: .b, c, $x, (\"d\" + \"e\"): [.b, 1]}",
        r#"{"b":1,"c":2}"#,
        r#"{"a":1,"c":2,"x":5,"de":[1,1]}"#,
    );
    check("{(\"a\",\"b\"): (1,2)}", "null", r#"{"a":1} {"a":2} {"b":1} {"b":2}"#);
    check(".[\"foo\"].bar, .\"foo\".\"bar\"", r#"{"foo":{"bar":42}}"#, "42 42");
    check("[.[]|.foo?]", r#"[1,[2],{"foo":3},{}]"#, "[3,null]");
    check("[..]", r#"[1,[[2]],{"a":[1]}]"#, r#"[[1,[[2]],{"a":[1]}],1,[[2]],[2],2,{"a":[1]},[1],1]"#);
    check("[.[]|.[1:3]?]", r#"[1,null,true,"abcdef",{},[],[1,2,3,4,5]]"#, r#"[null,"bc",[],[2,3]]"#);
    check("[.[3:2], .[-5:4], .[:-2], .[-2:], .[10:]]", "[0,1,2,3,4,5,6]", "[[],[2,3],[0,1,2,3,4],[5,6],[]]");
    check(".[:2], .[-1:]", "\"äöü\"", "\"äö\" \"ü\"");
    check(".[1.7], .[1e300], .[-9]", "[1,2,3]", "2 null null");
    check(".a, .[0], .[1:]", "null", "null null null");
    check(".[{\"start\":1,\"end\":2}]", "[1,2,3]", "[2]");
    check(".foo[.baz]", r#"{"foo":{"bar":4},"baz":"bar"}"#, "4");
    check(".[[2,3]], .[[9]]", "[1,2,3,2,3]", "[1,3] []");
    check("{if:0,and:1} | .if, .and", "null", "0 1");
    check("{\"a\":1}.a, [1,2][1], \"ab\"[1:]", "null", "1 2 \"b\"");
}

#[test]
fn numbers_and_arithmetic() {
    check("10/5|tostring", "null", "\"2\"");
    check("1/3, 7/2, -7/2", "null", "0.3333333333333333 3.5 -3.5");
    check("1.0, 1.5+1.5, 1e3", "null", "1 3 1000");
    check(".", "100000000000000000001", "100000000000000000001");
    check(".[0] == .[1]", "[100000000000000000001,100000000000000000002]", "false");
    check("9223372036854775807 + 1", "null", "9223372036854776000");
    check("9007199254740993 - 1", "null", "9007199254740992");
    check("[5,-5,5.9] | map(. % 3)", "null", "[2,-2,2]");
    check("5 % -2, -5 % 2, 5 % 2.9", "null", "1 -1 1");
    check("-(1), -., - $x", "3", "-1 -3 -5");
    check("1 + 2 * 2 + 10 / 2, 16 / 4 / 2, 1 - 1 - 1", "null", "10 2 -1");
    check("[(1,2) + (10,20)]", "null", "[11,12,21,22]");
    check("[(1,2) < (1,2)]", "null", "[false,false,true,false]");
    check("null + 1, 1 + null, null + null", "null", "1 1 null");
    check("\"ab\" * 3, \"ab\" * 0, \"ab\" * 0.5, 2 * \"x\"", "null", "\"ababab\" null \"ab\" \"xx\"");
    check("\"a,b\" / \",\", [1,2,1,3] - [1]", "null", r#"["a","b"] [2,3]"#);
    check("{a:{b:1,c:2}} * {a:{b:3}}", "null", r#"{"a":{"b":3,"c":2}}"#);
    check("[floor, ceil, round, fabs, trunc]", "-1.5", "[-2,-1,-2,1.5,-1]");
    check("[sqrt, pow(.;2), log2, exp10]", "4", "[2,16,2,10000]");
    check("[nan, 1] | sort | .[0] | isnan, tojson", "null", "true \"null\"");
    check(
        "[limit(3; range(5; infinite))], infinite > 1e308, (infinite | tojson)",
        "null",
        "[5,6,7] true \"1.7976931348623157e+308\"",
    );
    check(
        "[1, infinite, -infinite] | map(isinfinite), map(isnormal)",
        "null",
        "[false,true,true] [true,false,false]",
    );
    check_fault("infinite", "null", "not a finite number");
    check_fault("[1, nan]", "null", "not a finite number");
    check_fault("1e308 * 10", "null", "not a finite number");
    check_fault("1 / 0", "null", "number (1) and number (0) cannot be divided because the divisor is zero");
    check_fault(". % 0", "5", "cannot be divided (remainder) because the divisor is zero");
    check_fault("1 / .a", "{\"a\":0}", "cannot be divided because the divisor is zero");
    check_fault("{} + 1", "null", "object ({}) and number (1) cannot be added");
    check_fault("\"a\" - 1", "null", "string (\"a\") and number (1) cannot be subtracted");
    check_fault("-\"very-long-string\"", "null", "cannot be negated");
}

#[test]
fn comparison_and_order() {
    check(
        "sort",
        r#"[{"b":1},[2],"b",2,true,null,false,"a",1,[1,2],{"a":1}]"#,
        r#"[null,false,true,1,2,"a","b",[1,2],[2],{"a":1},{"b":1}]"#,
    );
    check("1 < \"a\", [] < {}, null < false, \"a\" < \"b\"", "null", "true true true true");
    check("{a:1,b:2} == {b:2,a:1.0}", "null", "true");
    check("nan == nan, nan < nan, nan < 1", "null", "false true true");
    check("true and null, false or 1, (true, false | not)", "null", "false true false true");
    check("[.[] | (.a // \"d\")]", r#"[{"a":1},{"a":null},{"a":false},{}]"#, r#"[1,"d","d","d"]"#);
    check("(false, null, 1, 2) // 9, (empty // 8)", "null", "1 2 8");
}

#[test]
fn assignment_makes_what_is_missing() {
    check(".a.b = 5", "{}", r#"{"a":{"b":5}}"#);
    check(".a[2] = 1", "null", r#"{"a":[null,null,1]}"#);
    check(".[-1] = 5", "[0,1,2]", "[0,1,5]");
    check(".a += 1, .a //= 3, .a |= 4", "null", r#"{"a":1} {"a":3} {"a":4}"#);
    check(
        ".[] += 2, .[] *= 2, .[] -= 2, .[] /= 2, .[] %= 2",
        "[1,3,5]",
        "[3,5,7] [2,6,10] [-1,1,3] [0.5,1.5,2.5] [1,1,1]",
    );
    check(".[2:4] = ([], [\"a\"])", "[0,1,2,3,4]", r#"[0,1,4] [0,1,"a",4]"#);
    check(".[1:] |= map(. + 1)", "[1,2,3]", "[1,3,4]");
    check("(.a, .b) = 1", "null", r#"{"a":1,"b":1}"#);
    check("(.a | .b) |= 3", "{}", r#"{"a":{"b":3}}"#);
    check(".a = (1, 2)", "{}", r#"{"a":1} {"a":2}"#);
    check(".a |= (1, 2)", "{}", r#"{"a":1}"#);
    check(". |= (1, 2)", "{}", "1");
    check(".foo = .bar", r#"{"bar":42}"#, r#"{"bar":42,"foo":42}"#);
    check("(.[] | select(. >= 2)) |= empty", "[1,5,3,0,7]", "[1,0]");
    check(".[] |= select(. % 2 == 0)", "[0,1,2,3,4,5]", "[0,2,4]");
    check(".foo[1,4,2,3] |= empty", r#"{"foo":[0,1,2,3,4,5]}"#, r#"{"foo":[0,5]}"#);
    check("(.. | select(type == \"number\")) |= . + 1", r#"{"a":[1,{"b":2}]}"#, r#"{"a":[2,{"b":3}]}"#);
    check("(.a // .b) = 1", r#"{"b":0}"#, r#"{"b":1}"#);
    check("(if .t then .a else .b end) = 1", r#"{"t":true}"#, r#"{"t":true,"a":1}"#);
    check("(first(.[] | select(. > 1))) |= 9", "[1,2,3]", "[1,9,3]");
    check("(try .a) = 1, (getpath([\"x\",\"y\"]) = 2)", "{}", r#"{"a":1} {"x":{"y":2}}"#);
    check("limit(1; .[]) |= 7", "[1,2]", "[7,2]");
    check("def inc(f): f |= . + 1; inc(.[].a)", r#"[{"a":1},{"a":2}]"#, r#"[{"a":2},{"a":3}]"#);
    check(".[0].a |= {old: ., new: (. + 1)}", r#"[{"a":1,"b":2}]"#, r#"[{"a":{"old":1,"new":2},"b":2}]"#);
    check(".a[1:3] = [9]", "null", r#"{"a":[9]}"#);
    check(".a? = 1, (.b[]? += 1)", r#"{"b":[1]}"#, r#"{"b":[1],"a":1} {"b":[2]}"#);
    check("to_entries | map(.value += 1) | from_entries", r#"{"a":1}"#, r#"{"a":2}"#);
    check_fault(".[-1] = 1", "null", "Out of bounds negative array index");
    check_fault(".a = 1", "[1]", "Cannot index array with string \"a\"");
    check_fault(".[1:] = 5", "[1,2]", "can only be assigned another array");
    check_fault("(.a + 1) = 2", "{}", "invalid path expression");
}

#[test]
fn paths_as_values() {
    check(
        "path(.a[0].b), [paths], [leaf_paths]",
        r#"{"a":[{"b":1}]}"#,
        r#"["a",0,"b"] [["a"],["a",0],["a",0,"b"]] [["a",0,"b"]]"#,
    );
    check("[paths(type == \"number\")]", r#"{"a":[1,"x"]}"#, r#"[["a",0]]"#);
    check("path(.foo[0,1])", "null", r#"["foo",0] ["foo",1]"#);
    check("path(.[1:2]), path(..)", "[1]", r#"[{"start":1,"end":2}] [] [0]"#);
    check("getpath([\"a\",\"b\"]), getpath([])", r#"{"a":null}"#, r#"null {"a":null}"#);
    check("path(getpath([\"a\",\"b\"])), [path(.a | select(.b))]", "null", r#"["a","b"] []"#);
    check(
        "setpath([\"a\",0]; 1), delpaths([[\"x\",\"y\"],[\"x\",\"z\"]])",
        r#"{"x":{"y":1,"z":2,"w":3}}"#,
        r#"{"x":{"y":1,"z":2,"w":3},"a":[1]} {"x":{"w":3}}"#,
    );
    check(
        "del(.[1], .[-1]), del(.[2:4],.[0],.[-2:]), del(.[])",
        "[0,1,2,3,4,5,6,7]",
        "[0,2,3,4,5,6] [1,4,5] []",
    );
    check("del(.a), del(.a.b.c), del(.x[0])", r#"{"a":{"b":{}}}"#, r#"{} {"a":{"b":{}}} {"a":{"b":{}}}"#);
    check("delpaths([[-200]]), del(.), del(empty), del(.[5])", "[1]", "[1] null [1] [1]");
    check(
        "to_entries, with_entries(.key |= \"k_\" + .)",
        r#"{"a":1}"#,
        r#"[{"key":"a","value":1}] {"k_a":1}"#,
    );
    check(
        "from_entries",
        r#"[{"k":"a","v":1},{"name":"b","value":2},{"Key":"c","Value":3},{"key":1},{"key":false}]"#,
        r#"{"a":1,"b":2,"c":3,"1":null,"false":null}"#,
    );
    check("pick(.a.b), pick(.x)", r#"{"a":{"b":1,"c":2},"d":3}"#, r#"{"a":{"b":1}} {"x":null}"#);
    check("pick(.[1]), pick(first)", "[[1],2]", "[null,2] [[1]]");
    check(
        "[tostream]",
        r#"{"a":[1,{"b":2}]}"#,
        r#"[[["a",0],1],[["a",1,"b"],2],[["a",1,"b"]],[["a",1]],[["a"]]]"#,
    );
    check("[tostream], (3 | [tostream]), ([] | [tostream])", "[]", "[[[],[]]] [[[],3]] [[[],[]]]");
    check("fromstream(tostream)", r#"{"a":[1,{"b":2}],"c":[]}"#, r#"{"a":[1,{"b":2}],"c":[]}"#);
    check("[1 | truncate_stream([[0],1],[[1,0],2],[[1,0]],[[1]])]", "null", "[[[0],2],[[0]]]");
    check("fromstream(1 | truncate_stream([[0],1],[[1,0],2],[[1,0]],[[1]]))", "null", "[2]");
    check_fault("path(1)", "null", "invalid path expression");
    check_fault("delpaths(0)", "null", "Paths must be specified as an array");
    check_fault("setpath(\"a\"; 1)", "null", "Path must be specified as an array");
    check_fault("getpath([\"a\"])", "[1]", "Cannot index array with string \"a\"");
}

#[test]
fn strings() {
    check("\"a\\(1 + 1)b\\(\"c\")\\u00e9\\n\"", "null", "\"a2bcé\\n\"");
    check("\"\\(1,2) \\(3)\"", "null", r#""1 3" "2 3""#);
    check("@json \"v=\\(.)\", @base64 \"\\(\"hi\")!\"", "[1]", r#""v=[1]" "aGk=!""#);
    check("length, utf8bytelength", "\"é\"", "1 2");
    check("split(\", \"), split(\"\")", "\"a, b\"", r#"["a","b"] ["a",","," ","b"]"#);
    check("\"\" | split(\",\"), split(\"\")", "null", "[] []");
    check("split(\", *\"; null), [splits(\",\")]", "\"a, b,c\"", r#"["a","b","c"] ["a"," b","c"]"#);
    check("join(\",\")", "[\"a\",1,null,true]", "\"a,1,,true\"");
    check("join(\"-\"), join(null)", "[]", r#""" """#);
    check("join(\",\")", "[null,null]", "\",\"");
    check_fault("join(\",\")", "[\"a\",[1]]", "cannot be added");
    check(
        "ascii_downcase, ascii_upcase, ([65] | implode), explode",
        "\"aZé\"",
        r#""azé" "AZé" "A" [97,90,233]"#,
    );
    check(
        "ltrimstr(\"a\"), rtrimstr(\"c\"), ltrimstr(1), trimstr(\"a\")",
        "\"abc\"",
        r#""bc" "ab" "abc" "bc""#,
    );
    check("ltrimstr(\"a\")", "1", "1");
    check("trim, ltrim, rtrim", "\" a \"", r#""a" "a " " a""#);
    check_fault("trim", "1", "cannot be trimmed");
    check(
        "startswith(\"a\"), endswith(\"a\"), contains(\"b\"), inside(\"xabx\")",
        "\"ab\"",
        "true false true true",
    );
    check(
        "indices(\", \"), index(\",\"), rindex(\",\"), indices(\"z\"), index(\"z\")",
        "\"a, b, c\"",
        "[1,4] 1 4 [] null",
    );
    check("indices(1), indices([1,2]), index(2)", "[1,2,1,2]", "[0,2] [0,2] 1");
    check("indices(\"a\")", "\"éaéa\"", "[1,3]");
    check(
        "tostring, tojson, ([1,\"a\"] | tostring), (\"x\" | tojson)",
        "\"x\"",
        r#""x" "\"x\"" "[1,\"a\"]" "\"x\"""#,
    );
    check("fromjson", r#""{\"a\":[1.0,2]}""#, r#"{"a":[1,2]}"#);
    check(
        "map(tonumber)",
        r#"["1"," 2 ",3,"4e1","100000000000000000001"]"#,
        "[1,2,3,40,100000000000000000001]",
    );
    check_fault("tonumber", "\"1x\"", "cannot be parsed as a number");
    check_fault("tonumber", "[]", "cannot be parsed as a number");
    check_fault("fromjson", "\"{a\"", "while parsing '{a'");
    check("ascii, (\"x\" | test(\"X\"; \"i\"))", "65", "\"A\" true");
    check(
        "[.[] | ascii_downcase]?, (try ascii_downcase catch .)",
        "[1]",
        "\"ascii_downcase input must be a string\"",
    );
    check(
        "@text, @json, @html, @uri, @sh, @base64, (@base64 | @base64d)",
        "\"<é'&\\\"> /\"",
        r#""<é'&\"> /" "\"<é'&\\\"> /\"" "&lt;é&#39;&amp;&quot;&gt; /" "%3C%C3%A9%27%26%22%3E%20%2F" "'<é'\\''&\"> /'" "PMOpJyYiPiAv" "<é'&\"> /""#,
    );
    check(
        "@csv, @tsv",
        r#"[1,"a\"b",null,true,"c\td\\"]"#,
        r#""1,\"a\"\"b\",,true,\"c\td\\\"" "1\ta\"b\t\ttrue\tc\\td\\\\""#,
    );
    check("@base32, (@base32 | @base32d)", "\"foobar\"", r#""MZXW6YTBOI======" "foobar""#);
    check(
        "[\"\", \"f\", \"fo\", \"foo\", \"foob\"] | map(@base32)",
        "null",
        r#"["","MY======","MZXQ====","MZXW6===","MZXW6YQ="]"#,
    );
    check("\"aGk\" | @base64d, (\"a%20b\" | @urid)", "null", r#""hi" "a b""#);
    check("@sh", "[1,\"a b\",null]", "\"1 'a b' null\"");
    check_fault("@csv", "[{}]", "object ({}) is not valid in a csv row");
    check_fault("@csv", "1", "cannot be csv-formatted, only array");
    check_fault("\"é\" | @base64d", "null", "is not valid base64 data");
    check_fault("@sh", "[[1]]", "can not be escaped for shell");
}

#[test]
fn regular_expressions() {
    check("test(\"B\"), test(\"B\"; \"i\"), test([\"B\", \"i\"])", "\"abc\"", "false true true");
    check(
        "match(\"(x)?b\")",
        "\"abc\"",
        r#"{"offset":1,"length":1,"string":"b","captures":[{"offset":-1,"length":0,"string":null,"name":null}]}"#,
    );
    check("[match(\"é\"; \"g\").offset]", "\"aébé\"", "[1,3]");
    check("match(\"a(?<n>é)\").captures[0]", "\"xaé\"", r#"{"offset":2,"length":1,"string":"é","name":"n"}"#);
    check("[match(\"\"; \"g\").offset], [match(\"\"; \"gn\")]", "\"ab\"", "[0,1,2] []");
    check("capture(\"(?<x>b)(?<y>z)?\")", "\"abc\"", r#"{"x":"b","y":null}"#);
    check(
        "[scan(\"a\")], [scan(\"(a)(b)\")], [scan(\"A\"; \"i\")]",
        "\"abab\"",
        r#"["a","a"] [["a","b"],["a","b"]] ["a","a"]"#,
    );
    check(
        "sub(\"b\"; \"X\"), gsub(\"b\"; \"X\"), gsub(\"(?<l>[ab])\"; \"<\\(.l)>\")",
        "\"abab\"",
        r#""aXab" "aXaX" "<a><b><a><b>""#,
    );
    check(
        "[sub(\"X\"; \"1\", \"2\")], gsub(\"\"; \"-\"), gsub(\"^\"; \">\")",
        "\"aXb\"",
        r#"["a1b","a2b"] "-a-X-b-" ">aXb""#,
    );
    check("gsub(\"A\"; \"x\"; \"i\"), sub(\"zz\"; \"x\")", "\"aba\"", r#""xbx" "aba""#);
    check(
        "test(\"a.b\"; \"x\"), test(\"a b\"; \"x\"), test(\"a.b\"; \"s\")",
        "\"a\\nb\"",
        "false false true",
    );
    check("[\"ab\", \"cd\"] | map(select(test(\"^a\")))", "null", r#"["ab"]"#);
    check_fault("test(\"(\")", "\"a\"", "is not a valid regex");
    check_fault("test(\"a\"; \"q\")", "\"a\"", "q is not a valid modifier string");
    check_fault("test(\"a\")", "1", "cannot be matched, as it is not a string");
    check_fault("test(1)", "\"a\"", "not a string or array");
}

#[test]
fn arrays_and_objects() {
    check(
        "keys, keys_unsorted, length, has(\"b\"), (map_values(. + 1))",
        r#"{"b":1,"a":2}"#,
        r#"["a","b"] ["b","a"] 2 true {"b":2,"a":3}"#,
    );
    check("keys, has(0), has(5), add, reverse, min, max", "[3,1,2]", "[0,1,2] true false 6 [2,1,3] 1 3");
    check(
        "map(add)",
        r#"[[],[1,2],["a","b"],[[3],[4]],[{"a":1},{"b":2}]]"#,
        r#"[null,3,"ab",[3,4],{"a":1,"b":2}]"#,
    );
    check("add(.[].a), (add({}[]))", r#"[{"a":1},{"a":2}]"#, "3 null");
    check("flatten, flatten(1)", "[0,[1],[[2]],[[[3]]]]", "[0,1,2,3] [0,1,[2],[[3]]]");
    check("unique, unique_by(. % 2), group_by(. % 2)", "[3,1,2,1]", "[1,2,3] [2,3] [[2],[3,1,1]]");
    check(
        "sort_by(.a), sort_by(.b, .a), min_by(.a), max_by(.a)",
        r#"[{"a":2,"b":1},{"a":1,"b":1}]"#,
        r#"[{"a":1,"b":1},{"a":2,"b":1}] [{"a":1,"b":1},{"a":2,"b":1}] {"a":1,"b":1} {"a":2,"b":1}"#,
    );
    check("min, max, min_by(.a), unique", "[]", "null null null []");
    check("contains([\"baz\"]), inside([\"foobaz\",\"x\"])", "[\"foobaz\"]", "true true");
    check("contains({a:[1]}), contains({a:{}})", r#"{"a":[1,2]}"#, "true false");
    check("transpose, ([] | transpose)", "[[1],[2,3]]", "[[1,2],[null,3]] []");
    check("bsearch(0), bsearch(2), bsearch(4)", "[1,2,3]", "-1 1 -4");
    check(
        "[combinations], [combinations(2)] == [combinations]",
        "[[1,2],[3,4]]",
        "[[1,3],[1,4],[2,3],[2,4]] false",
    );
    check("[[0,1] | combinations(2)]", "null", "[[0,0],[0,1],[1,0],[1,1]]");
    check("walk(if type == \"number\" then . + 1 else . end)", r#"[1,{"a":2}]"#, r#"[2,{"a":3}]"#);
    check("[walk(numbers)], walk(if type == \"array\" then sort else . end)", "[[2,1],0]", "[] [0,[1,2]]");
    check("IN(2,3), (.[]? | IN(1)), IN(2; 1, 2)", "2", "true true");
    check(
        "INDEX(.id), INDEX(.[]; .n)",
        r#"[{"id":1,"n":"a"}]"#,
        r#"{"1":{"id":1,"n":"a"}} {"a":{"id":1,"n":"a"}}"#,
    );
    check("toarray, ([1] | toarray), abs", "-1", "[-1] [1] 1");
    check("[.[] | length]", r#"[[],{},[1,2],"ab",null,-5]"#, "[0,0,2,2,0,5]");
    check(
        "[.[] | type]",
        r#"[null,true,1,"",[],{}]"#,
        r#"["null","boolean","number","string","array","object"]"#,
    );
    check(
        "[.[]|arrays], [.[]|objects], [.[]|iterables], [.[]|booleans], [.[]|numbers]",
        r#"[[],{},true,1,null,"a"]"#,
        "[[]] [{}] [[],{}] [true] [1]",
    );
    check(
        "[.[]|scalars], [.[]|values], [.[]|nulls], [.[]|strings]",
        r#"[[],1,null,"a"]"#,
        r#"[1,null,"a"] [[],1,"a"] [null] ["a"]"#,
    );
    check(
        "any, all, any(. > 1), all(. > 0), any(.[]; . == 9), all(empty; .)",
        "[1,2]",
        "true true true true false true",
    );
    check(
        "[.[] as [$a, {b: $c}] | [$a, $c]], (. as [[$p]] | $p)",
        r#"[[1,{"b":2}],[3]]"#,
        "[[1,2],[3,null]] 1",
    );
    check(
        ". as {as: $k, \"s\": $s, (\"e\" + \"x\"): $e, $o} | [$k, $s, $e, $o]",
        r#"{"as":1,"s":2,"ex":3,"o":4}"#,
        "[1,2,3,4]",
    );
    check("to_entries", "[7]", r#"[{"key":0,"value":7}]"#);
    check("[splits(\"a\")]?, getpath([\"a\"])?, ([1,2] | first, last, nth(1))", "{}", "null 1 2 2");
    check("isvalid(.a), isvalid(.[0])", "{}", "true false");
    check_fault("keys", "\"a\"", "string (\"a\") has no keys");
    check_fault("has(0)", "{}", "Cannot check whether object has a number key");
    check_fault("length", "true", "boolean (true) has no length");
    check_fault("contains(\"a\")", "1", "cannot have their containment checked");
    check_fault("flatten(-1)", "[]", "flatten depth must not be negative");
    check_fault("sort", "{}", "object ({}) cannot be sorted, as it is not an array");
    check_fault(".[]", "5", "Cannot iterate over number (5)");
    check_fault(".[]", "null", "Cannot iterate over null");
    check_fault("{(.): 1}", "5", "Object keys must be strings");
    check_fault(".a", "5", "Cannot index number with string \"a\"");
    check_fault(".[0]", "{}", "Cannot index object with number");
}

#[test]
fn control_flow() {
    check(
        "[range(5)], [range(2;4)], [range(0;10;3)], [range(0;-5;-2)], [range(0;1;0)]",
        "null",
        "[0,1,2,3,4] [2,3] [0,3,6,9] [0,-2,-4] []",
    );
    check("[range(0,1;3,4)]", "null", "[0,1,2,0,1,2,3,1,2,1,2,3]");
    check(
        "[limit(2; 1,2,3)], [limit(0; error)], [limit(-1; 1,2)], [skip(1; 1,2,3)], [limit(1; 1, error)]",
        "null",
        "[1,2] [] [1,2] [2,3] [1]",
    );
    check(
        "first(range(5;9)), last(range(3)), nth(2; range(9)), [first(empty)], isempty(empty), isempty(1, error)",
        "null",
        "5 2 2 [] true false",
    );
    check(
        "[while(. < 9; . * 2)], until(. > 9; . * 2), [limit(3; repeat(7))], [recurse(if . < 3 then . + 1 else empty end)]",
        "1",
        "[1,2,4,8] 16 [7,7,7] [1,2,3]",
    );
    check("[recurse(. * .; . < 20)], [recurse | numbers]", "2", "[2,4,16] [2]");
    check(
        "reduce .[] as $n (0; . + $n), reduce .[] as [$a,$b] (0; . + 1)?, [foreach .[] as $n (0; . + $n)], [foreach .[] as $n (0; . + $n; [$n, .])]",
        "[1,2]",
        "3 [1,3] [[1,1],[2,3]]",
    );
    check("reduce range(3) as $n (0; empty), reduce range(3) as $n (0; ., 10)", "null", "null 10");
    check("reduce empty as $n (3; . + 1)", "null", "3");
    check("[label $out | .[] | if . > 1 then break $out else . end]", "[0,1,2,1]", "[0,1]");
    check(
        "try error(\"x\") catch ., try error({a:1}) catch .a, [.[]? ], (try error catch .)",
        "\"in\"",
        "\"x\" 1 [] \"in\"",
    );
    check(
        "[.[] | try if . == 0 then error(\"foo\") elif . == 1 then .a else . end catch .]",
        "[0,1,3]",
        r#"["foo","Cannot index number with string \"a\"",3]"#,
    );
    check("[(1, error, 2)?], [.[] | (.a, .a)?]", "[null,true]", "[1] [null,null]");
    check(
        "if . then 1 end, if null then 1 elif false then 2 else 3 end, [if true, false then 1 else 2 end]",
        "5",
        "1 3 [1,2]",
    );
    check("def f: . + 1; def g(f; $y): f + $y + y; g(f; 10)", "1", "22");
    check(
        "def fac: if . <= 1 then 1 else . * (. - 1 | fac) end; map(fac)",
        "[1,5,20]",
        "[1,120,2432902008176640000]",
    );
    check("def f(g): [g, g]; f(1, 2), (def f: 3; f)", "null", "[1,2,1,2] 3");
    check("def f: reduce .[] as $x (0; . + $x); f as $s | [$s, length]", "[1,2]", "[3,2]");
    check("def r: if . > 0 then . - 1 | r else \"end\" end; r", "5000", "\"end\"");
    check(
        "[.[] as $a | $a + 1], (1 as $y | 2 as $z | [$y, $z, $__loc__])",
        "[1]",
        r#"[2] [1,2,{"file":"<top-level>","line":1}]"#,
    );
    check("# a comment\n$__loc__ | .line", "null", "2");
    check("[limit(3; def f: ., f; f)]", "1", "[1,1,1]");
    check("error(null)?, 1", "null", "1");
    check_fault("error", "\"boom\"", "boom");
    check_fault("error({code: 7})", "null", "{\"code\":7}");
    check_fault("error(null)", "null", "null (null) not a string");
}

#[test]
fn times_that_are_given() {
    check(
        "todate, (todate | fromdate), gmtime",
        "1425599621",
        r#""2015-03-05T23:53:41Z" 1425599621 [2015,2,5,23,53,41,4,63]"#,
    );
    check(
        "strftime(\"%A, %B %d, %Y\"), (gmtime | mktime), (gmtime | todate)",
        "1435677542",
        r#""Tuesday, June 30, 2015" 1435677542 "2015-06-30T15:19:02Z""#,
    );
    check("strptime(\"%Y-%m-%dT%H:%M:%SZ\") | mktime", "\"2015-03-05T23:51:47Z\"", "1425599507");
    check("fromdateiso8601, dateadd(\"seconds\"; 1)?", "\"2015-03-05T23:51:47Z\"", "1425599507");
    check("todate", "1425599621.678", "\"2015-03-05T23:53:41Z\"");
}
