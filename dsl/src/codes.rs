//! The list of diagnostic codes with their explanations.
//!
//! Owns the numbers: a code is never given a second meaning. `tidemill explain CODE` prints the
//! text. E01 text, E02 shape, E03 document, E04 expressions, E05 tasks and flow, E06 names, E07 values, E08
//! limits, E09 parts of the language that this release does not run; W are warnings.

/// One code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// For example `E0201`.
    pub code: &'static str,
    /// What it says, in a few words.
    pub title: &'static str,
    /// Why it is a mistake and what to do, in a few sentences.
    pub text: &'static str,
}

/// A mistake and what to write instead: whole documents, but that `document` is left out where it is of no interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// A document that has the mistake.
    pub bad: &'static str,
    /// One that has not.
    pub good: &'static str,
}

impl Example {
    /// A document with what was left out of an example.
    pub fn whole(text: &str) -> std::borrow::Cow<'_, str> {
        let first = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
        let short = ["do:", "use:", "input:", "evaluate:", "schedule:"];
        if !short.iter().any(|key| first.starts_with(key)) {
            return text.into();
        }
        let document = "document: {dsl: '1.0.3', namespace: shop, name: order, version: '1.0.0'}\n";
        format!("{document}{text}").into()
    }
}

/// The example of a code.
pub fn example(code: &str) -> Option<Example> {
    let mut sections = include_str!("codes/examples.txt").split("#### ").skip(1);
    let bad = sections.find_map(|section| section.split_once('\n').filter(|(head, _)| *head == code))?.1;
    let (_, good) = sections.next()?.split_once('\n')?;
    Some(Example { bad, good })
}

/// The explanation of a code; letter case does not count.
pub fn explain(code: &str) -> Option<&'static Code> {
    CODES.iter().chain(crate::manifest::codes::CODES).find(|c| c.code.eq_ignore_ascii_case(code))
}

macro_rules! codes {
    ($($name:ident $code:literal $title:literal $text:literal)*) => {
        $(#[doc = concat!("`", $code, "`: ", $title, ".")] pub const $name: &str = $code;)*

        /// Every code, in order.
        pub const CODES: &[Code] = &[$(Code { code: $code, title: $title, text: $text }),*];
    };
}

codes! {
    SYNTAX "E0101" "the text is no YAML"
    "The parser stopped here. Frequent causes: a tab used for indentation, a missing blank after a colon, a string with `: ` or ` #` in it that needs quotes, lines of one map that do not begin in the same column."
    DOUBLED_KEY "E0102" "a key stands twice in one map"
    "YAML requires the keys of a map to differ. Readers that accept doubled keys silently drop one of the values. Remove or rename one of the two."
    MERGE "E0103" "merge keys are not supported"
    "`<<` belongs to YAML 1.1. Definitions are read as YAML 1.2 with the JSON data model. Write the keys out, or use an alias for the whole value."
    TAG "E0104" "the tag is not supported"
    "Only the tags of the core schema (!!str, !!int, !!float, !!bool, !!null, !!map, !!seq) are read, and the value must fit its tag."
    ALIAS "E0105" "the alias has no anchor"
    "An alias `*name` repeats the value that an anchor `&name` marked earlier in the same document. It cannot stand inside the value it repeats."
    KEY "E0106" "the key is no text"
    "Keys of maps are text, as in JSON. A list or a map cannot be a key."
    NUMBER "E0107" "the number has no JSON value"
    "Infinity, not-a-number and numbers beyond the range of a double have no JSON form. Put the text in quotes if a string is meant."
    DOCUMENTS "E0108" "exactly one document is needed"
    "The text is empty or holds several documents separated by `---`, where one is expected."

    YAML_WORD "W0109" "YAML 1.1 reads the word in another way"
    "Definitions are YAML 1.2: `yes`, `no`, `on` and `off` are texts there, and `010` is ten. Older readers take them for booleans and for eight. Write `true` or `false`, or put the word in quotes if the text is meant; write numbers without leading zeros."

    UNKNOWN_KEY "E0201" "unknown key"
    "The key is not part of the language at this place. Unknown keys are errors everywhere, so that a typing mistake never changes what a definition does. Free data belongs under `metadata`."
    MISSING_KEY "E0202" "a key is missing"
    "The map lacks a key that is required at this place. Add it; if it is there under a misspelt name, correct the name."
    WRONG_TYPE "E0203" "a value of another type is expected"
    "The value has a type that its key does not take, for example a number where a string is expected. A number or `true` in quotes is a string."
    WRONG_VALUE "E0204" "the value is not one of the accepted ones"
    "The key takes only the listed values."
    EXCLUSIVE "E0205" "keys exclude each other"
    "Of the named keys exactly one may stand in the map."
    EMPTY "E0206" "the list or map is empty"
    "At least one entry is needed here."
    NOT_ONE_KEY "E0207" "a map with exactly one key is expected"
    "Task lists, branches and switch cases are lists of maps with one key each: the name. A second key usually means that the lines below the name are not indented further than the name."
    WRONG_NAME "E0208" "the name has a form that is not accepted"
    "Namespaces and names of workflows are DNS labels: at most 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit. Variables are letters, digits and `_`, not beginning with a digit."

    DSL_VERSION "E0301" "the version of the language is not supported"
    "`document.dsl` is the version of the Open Workflow DSL the file is written for. Versions 1.0.x are accepted."
    VERSION "E0302" "the version is no semantic version"
    "`document.version` has three numbers: `1.2.3`, optionally followed by `-pre` and `+build`. In YAML `1.0` is a number: write `'1.0.0'`."

    EXPR_SYNTAX "E0401" "the expression is not valid"
    "Expressions are jq 1.7. Something is missing or too much at the marked place: texts stand in double quotes, every bracket is closed, and functions are those of jq, less what reaches outside the data."
    EXPR_VARIABLE "E0402" "the variable does not exist here"
    "Which variables an expression may use depends on where it stands: workflow `input.from` has $workflow and $runtime; a task's `if` and `input.from` also $context and $task; the task's body and `output.as` also $input; `export.as` also $output. Loop and error variables exist inside their loop or catch."
    EXPR_SECRETS "E0403" "$secrets is not available here"
    "$secrets may be read only in `with` of call and run, and in `authentication`. Everywhere else the value would end up in the history, also in the input of a child execution or of a function that consists of tasks. Read the secret in the call that sends it."
    EXPR_NEEDED "E0404" "an expression is expected"
    "The place takes a runtime expression, as text."

    UNCLOSED "W0451" "an expression is not closed"
    "A `${` without its `}` is text like any other. If an expression is meant, close it; the last character of a whole expression is the brace that closes it."

    BARE "W0452" "a text looks like an expression"
    "Here a text is a literal unless it holds `${ }`. Only fields that are expressions by themselves (if, when, exceptWhen, while, until, for.in, input.from, output.as, export.as) take them bare."
    LINES "W0453" "an expression has line breaks"
    "It is evaluated, but the official JSON Schema of the language refuses it here: its pattern for expressions does not match line breaks. Write the expression on one line; in YAML, `>-` folds lines into one."
    ASSIGNMENT "W0454" "a condition assigns"
    "In jq `.a = 1` gives the whole object with `a` changed, which always holds. To compare, write `==`."

    NO_KIND "E0501" "the task has no kind"
    "A task has exactly one of: call, do, emit, for, fork, listen, raise, run, set, switch, try, wait."
    TWO_KINDS "E0502" "the task has two kinds"
    "A task has exactly one of: call, do, emit, for, fork, listen, raise, run, set, switch, try, wait. (`for` with its `do` is one.) Split it into two tasks."
    DOUBLED_NAME "E0503" "a name stands twice in one list"
    "`then` finds tasks by name, so names of tasks are unique within their list. The same name in another list is fine."
    UNKNOWN_TARGET "E0504" "`then` names no task of the list"
    "`then` takes `continue`, `exit`, `end`, or the name of a task in the same list. Tasks of an outer or inner list cannot be reached: leave the list with `exit` and continue from the task that holds it."
    TWO_DEFAULTS "E0505" "the switch has two defaults"
    "A case without `when` is the default, and there is at most one."
    RECURSION "E0506" "the function calls itself"
    "Functions of `use.functions` may call each other, but not in a circle. For repetition use `for`, or `then` with an earlier task."
    RESERVED_NAME "E0507" "the name is reserved"
    "`continue`, `exit` and `end` are flow directives; a task of that name could never be reached with `then`. The variables context, input, output, secrets, task, workflow, runtime and authorization cannot be rebound by a loop or catch."
    UNREACHABLE "W0551" "the task is never reached"
    "No task, case or order of declaration leads here: the tasks before it always go elsewhere. Remove the task, or let a `then` name it."
    ENDLESS "W0552" "the loop has no exit"
    "The tasks lead back to each other and none of them can leave the circle, so the workflow goes on until a timeout, a limit or an error ends it. Add a switch case, a condition or a timeout."

    SKIPPED_THEN "W0553" "`then` is not followed when the task is skipped"
    "A task whose `if` does not hold is skipped as if it were not there: its input passes through, and the next task of the list follows, whatever `then` says. To go one of two ways, use a switch."
    EXIT_IN_LOOP "W0554" "`exit` does not leave the loop"
    "`exit` leaves the list of tasks in which it stands. In the body of a loop that ends this iteration, and the next one begins. To leave the loop early, let its `while` become false."
    SWALLOWED "W0555" "a catch swallows the error"
    "A catch without `retry`, `do` and `then` completes the task as if nothing had happened; its output is the input of the try. Handle the error in `do`, or say with `then: continue` that it may be forgotten."
    SET_REPLACES "W0556" "`set` replaces what was set before"
    "The output of `set` is exactly what it names; it is not merged with the data before. Name everything in one task, keep the data with `${ . + {...} }`, or keep values in the context with `export`."
    ENDLESS_RETRY "W0557" "the retries have no limit"
    "Without `limit.attempt.count` and `limit.duration` a task is tried again until it succeeds, possibly for ever. `count` is the number of retries after the first attempt."
    EXPORT_REPLACES "W0558" "`export.as` replaces what was exported before"
    "The result of `export.as` becomes the context, whole. To add to it, begin with what is there: `${ $context + {...} }`."

    UNKNOWN_NAME "E0601" "the name is not declared under `use`"
    "Errors, retries, timeouts, authentications and functions are used by the name under which `use` declares them."
    UNKNOWN_CATALOG "E0602" "the catalog is not declared"
    "`name:version@catalog` names a catalog of `use.catalogs`, or `default` for the functions of this server."
    UNKNOWN_SECRET "E0603" "the secret is not declared under `use.secrets`"
    "A workflow reads only the secrets that it lists under `use.secrets`."

    UNKNOWN_ERROR "W0604" "the type looks like a standard error and is none"
    "The standard errors are configuration, validation, expression, authentication, authorization, timeout, communication and runtime. Another name below the same URI is a type of its own, which no error of the engine has."

    DURATION "E0701" "the duration is not valid"
    "A duration is ISO 8601 text such as `PT1H30M` or `P2DT5S`, an object with some of days, hours, minutes, seconds, milliseconds, or an expression. Years and months have no fixed length and are refused."
    SCHEMA "E0702" "the schema is not valid"
    "`document` is a JSON Schema. Its types are object, array, string, number, integer, boolean and null."
    URI "E0703" "the URI is not valid"
    "An endpoint is an absolute http or https URI, a URI template such as `https://example.com/{id}`, or an expression."
    PATTERN "E0704" "the regular expression is too large"
    "Texts of event filters are compared literally, else as a regular expression over the whole attribute. The compiled expression exceeds its limit."
    STATUS "E0705" "the status is not valid"
    "The status of an error is a whole number, by convention an HTTP status code from 400 to 599."
    METHOD "E0706" "the HTTP method is not valid"
    "A method is a word of letters such as `get` or `POST`."

    PLACEHOLDER "W0707" "the placeholder names no single property"
    "`{name}` in a URI takes the property of the input that has exactly this name, dots and all; a missing one becomes an empty text. For anything else write an expression: `${ .order.id }`."

    LIMIT_TEXT "E0801" "the text is too long"
    "Limit definition-size: 1 MiB."
    LIMIT_VALUES "E0802" "the text has too many values"
    "Limit definition-values: 20,000 values, those repeated by aliases included."
    LIMIT_DEPTH "E0803" "the text nests too deeply"
    "Limit definition-depth: 64 lists and maps in each other, 128 in a workflow definition."
    LIMIT_ALIASES "E0804" "the text has too many aliases"
    "Limit definition-aliases: 100."
    LIMIT_NESTING "E0805" "tasks nest too deeply"
    "Limit task-nesting: 32 tasks in each other. Move the inner part to a workflow of its own and call it with run.workflow."
    LIMIT_BRANCHES "E0806" "the fork has too many branches"
    "Limit fork-branches: 256. For many like branches use a loop that starts workflows with `await: false`."

    LATER_OPENAPI "E0902" "call openapi is not supported by this release"
    "`call: openapi` is part of the language but not run yet. Use `call: http`, or a function of this server."
    LATER_GRPC "E0903" "call grpc is not supported by this release"
    "`call: grpc` is part of the language but not run yet. Use a function of this server."
    LATER_ASYNCAPI "E0904" "call asyncapi is not supported by this release"
    "`call: asyncapi` is part of the language but not run yet. Use emit and listen, or a function of this server."
    LATER_A2A "E0905" "call a2a is not supported by this release"
    "`call: a2a` is part of the language but not run yet."
    LATER_MCP "E0906" "call mcp is not supported by this release"
    "`call: mcp` is part of the language but not run yet."
    LATER_CONTAINER "E0909" "run container is not supported by this release"
    "`run.container` is part of the language but not run. Use `run.shell` or `run.script`, a function of kind process, or call a service that runs containers."
    LATER_LISTEN_ALL "E0910" "listening to all of several events is not supported by this release"
    "`listen.to.all` is part of the language but not run yet. Listen to the events one after another with `to.one`."
    LATER_LISTEN_ANY "E0911" "listening to any of several events is not supported by this release"
    "`listen.to.any` and `until` are part of the language but not run yet. Listen with `to.one`; a text of its filter may be a regular expression."
    LATER_FOREACH "E0912" "listen.foreach is not supported by this release"
    "`listen.foreach` is part of the language but not run yet."
    LATER_CORRELATE "E0913" "correlation is not supported by this release"
    "`correlate` of an event filter is part of the language but not run yet. An attribute of the filter may be an expression, for example `${ . == $input.id }`."
    LATER_SCHEDULE "E0914" "schedules are not supported by this release"
    "`schedule` of a workflow is part of the language but not run yet. Use a Source of kind cron, or a Trigger, with this workflow as target."
    LATER_DIGEST "E0915" "digest authentication is not supported by this release"
    "`digest` is part of the language but not run yet. `basic` and `bearer` are."
    LATER_OAUTH2 "E0916" "oauth2 authentication is not supported by this release"
    "`oauth2` is part of the language but not run yet. `basic` and `bearer` are."
    LATER_OIDC "E0917" "oidc authentication is not supported by this release"
    "`oidc` is part of the language but not run yet. `basic` and `bearer` are."
    LATER_SCHEMA_FORMAT "E0920" "the schema format is not supported by this release"
    "Schemas are of format `json` (JSON Schema)."
    LANGUAGE "E0921" "the expression language is not jq"
    "`evaluate.language` is `jq`, the language that every runtime must know. Expressions in another language are refused, so that they never mean something else."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_explained() {
        for pair in CODES.windows(2) {
            assert_ne!(pair[0].code, pair[1].code);
        }
        let mut codes: Vec<_> = CODES.iter().map(|c| c.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CODES.len());
        for code in CODES {
            assert!(code.code.len() == 5 && code.text.len() > 10, "{}", code.code);
        }
        assert_eq!(explain("e0201").map(|c| c.title), Some("unknown key"));
        assert_eq!(explain("E9999"), None);
    }
}
