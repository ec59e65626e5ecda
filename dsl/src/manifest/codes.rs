//! Diagnostic codes of manifests, with their explanations.
//!
//! Owns E10 (manifests), E11 (parts of manifests that this release does not run), and what is told only of a definition
//! that is sent to a server: E011 (the request) and E051 (the set it becomes part of). What manifests share with
//! workflows has its code in [`crate::codes`].

use crate::codes::Code;

macro_rules! codes {
    ($($name:ident $code:literal $title:literal $text:literal)*) => {
        $(#[doc = concat!("`", $code, "`: ", $title, ".")] pub const $name: &str = $code;)*

        /// Every code of manifests, in order.
        pub const CODES: &[Code] = &[$(Code { code: $code, title: $title, text: $text }),*];
    };
}

codes! {
    KIND "E1001" "the kind of manifest is unknown"
    "A manifest is of kind Source, Trigger, Function, Secret, Connection, Queue, Namespace or RoleBinding. A workflow has no `kind`: it begins with `document`."
    API_VERSION "E1002" "the apiVersion is not supported"
    "`apiVersion` may be left out; if it is there it is `tidemill/v1`."
    ONE_KIND "E1003" "exactly one kind is needed"
    "The map takes exactly one of the named keys, and its value configures that kind."
    DIALECT "E1004" "a filter has exactly one dialect"
    "Each filter of `filters` is a map with one key: exact, prefix, suffix, all, any, not or sql. Several filters in the list must all pass."
    ATTRIBUTE "E1005" "the text is no attribute name"
    "Attributes of CloudEvents have names of lower-case letters and digits, for example `type`, `source`, `subject`, or an extension. `data` is no attribute."
    RESERVED_EXTENSION "E1006" "the extension is reserved"
    "Extensions whose names begin with `tidemill`, and `recovered`, are set by the server alone. The attributes of the specification have keys of their own."
    ATTRIBUTE_VALUE "E1007" "the attribute cannot hold the value"
    "type, source, subject and id are not empty; source is a URI reference, dataschema an absolute URI, time an RFC 3339 timestamp."
    INTEGRATION "E1008" "the integration does not agree with the source"
    "Where a rule is stored and from where it fires follows from the kind of its source. http, cron and kafka sources are oneWay; a minio source is twoWay via webhook, oneWay via listen, and a proxy via another source. Leave `integration` out, or state the one that the source implies."
    PATH "E1009" "the path is not valid"
    "A path of an http source stands under `/hooks/{namespace}/`. It is written with or without that prefix: segments of letters, digits, `.`, `_`, `-` and `~`, none of them empty, `.` or `..`, at most 200 characters."
    SCHEDULE "E1010" "the schedule is not valid"
    "A schedule has five fields (minute, hour, day of month, month, day of week), or six with seconds in front. Fields hold numbers in their range, names of months and weekdays, `*`, ranges `1-5`, lists `1,3` and steps `*/15`."
    TIMEZONE "E1011" "the time zone is not valid"
    "A time zone is a name of the IANA database such as `UTC` or `Europe/Berlin`."
    BROKER "E1012" "the address of a broker is not valid"
    "A broker is `host:port`; an IPv6 address stands in brackets."
    OPTION "E1013" "the option is not open"
    "Options are passed on to librdkafka, except those that Tidemill owns since its promises rest on them, and those that would load code or run a program."
    URL "E1014" "the URL is not valid"
    "A URL is absolute, of scheme http or https, without user name and password."
    DURATION "E1015" "the duration is not valid"
    "Durations of manifests are written like `100ms`, `5s`, `10m`, `2h`, `7d`, or in ISO 8601 (`PT5S`)."
    SIZE "E1016" "the size is not valid"
    "Sizes are written like `512B`, `64KiB` or `1MiB`, or as a number of bytes."
    RATE "E1017" "the rate is not valid"
    "Rates are written like `100/s`, `5/m` or `10/30s`."
    RANGE "E1018" "the number is out of range"
    "The number is below or above what the key takes."
    RETRY "E1019" "the retry policy is not valid"
    "A policy is `{preset: fast | day | webhook | aws | none}`, or states `attempts`, `maxAge` (at most 7 days), `backoff` (one of constant, linear, exponential, schedule) and `jitter` (0 to 1)."
    TARGET "E1020" "the target is not valid"
    "A target is `{workflow: NAME, version?: VERSION}` or `{function: NAME | NAME:VERSION | NAME:ALIAS}`."
    METHOD "E1021" "the HTTP method is not valid"
    "Methods are GET, POST, PUT, PATCH, DELETE, HEAD and OPTIONS."
    HEADER "E1022" "the header is not valid"
    "The name of a header field is a token of letters, digits and `-`; its value has no line breaks. Fields that belong to the connection or to Tidemill cannot be set."
    SECURITY "E1023" "the security settings contradict each other"
    "`sasl_plaintext` and `sasl_ssl` need `mechanism` and `credentials`; `plaintext` and `ssl` take neither."
    EGRESS "E1024" "the entry of egress.allow is not valid"
    "An entry is an address range in CIDR form such as `10.0.0.0/8`, an address, or a host name."
    ENDPOINT "E1025" "the endpoint is not valid"
    "An endpoint is `http://host:port` or `https://host:port`, without a path, user name or password."
    BUCKET "E1026" "the name of the bucket is not valid"
    "Buckets have names of 3 to 63 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends."
    S3_EVENT "E1027" "the name of the event is not valid"
    "Events are named like `s3:ObjectCreated:Put`, groups of them like `s3:ObjectCreated:*`."
    ARN "E1028" "the ARN is not valid"
    "The ARN of a notification target is written like `arn:minio:sqs::NAME:webhook`; `mc admin info --json` lists those of a server."
    CARRIER "E1029" "the carrier is of another kind"
    "`via: {kafka: {source: NAME}}` names a Source of kind kafka whose records carry the events of the bucket."
    MYSQL_URL "E1030" "the URL of the MySQL server is not valid"
    "A URL is `mysql://host:port`, without a path, user name or password: those stand in `credentials`."
    TABLE "E1031" "the name of the table is not valid"
    "Tables are named with their database, like `shop.orders`; `shop.*` is every table of it."
    PATTERN "E1040" "the content pattern is not valid"
    "`data` of a trigger has the shape of the payload: below each key stands a map again, or a list of which one entry must hold. An entry is a value, or a map of one test: prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, cidr or exists."
    SQL "E1041" "the CESQL expression is not valid"
    "`sql` is a CloudEvents SQL expression over the attributes of the event: `type = 'order.paid' AND subject LIKE 'eu/%'`. Texts stand in quotes; the operators are AND, OR, XOR, NOT, =, !=, <, <=, >, >=, LIKE, IN, EXISTS and those of arithmetic; the functions are LENGTH, CONCAT, CONCAT_WS, LOWER, UPPER, TRIM, LEFT, RIGHT, SUBSTRING, ABS, INT, BOOL and STRING."
    KEY "E1043" "the key is not valid"
    "`jwks` holds public keys, each an object with `kty: RSA`, `EC` or `OKP` (RFC 7517). A key that both sides share stands in a secret: `key: {secret: NAME}`."
    OTHER_NAMESPACE "E0110" "the namespace is not that of the request"
    "A definition is sent to the namespace that it states. Send it to the other path, or change what it states."
    OTHER_NAME "E0111" "the name is not that of the request"
    "A definition that is PUT has the name that the path names."
    OTHER_KIND "E0112" "the kind is not that of the request"
    "The path takes one kind of definition only. To send several kinds at once, use apply."
    REFERENCE "E0510" "a definition refers to something that is not there"
    "What a trigger or a source names (a workflow, a function, a source, a connection) must be in the same set or have been applied before."
    NEVER "E0512" "the schedule never fires"
    "The time zone is not known to this server, or no instant fits the schedule, such as 30 February."
    TAKEN_PATH "E0520" "the path is another source's"
    "A path under `/hooks/{namespace}/` leads to one source. Give one of the two another `path`."
    OPEN_HOOK "W1051" "the hook takes calls from everyone"
    "`auth: {none: {}}` lets anybody who can reach the server send events. Prefer hmac, jwt, bearer or basic."
    PLAIN_SECRET "W1052" "the secret stands in the manifest"
    "A value in a file is read by everyone who reads the file. Prefer `env` or `file`, or PUT the secret."

    LATER_SOURCE "E1101" "this kind of source is not supported by this release"
    "This release runs sources of the kinds http, cron, kafka, minio and mysql."
    LATER_SINK "E1104" "this kind of sink is not supported by this release"
    "This release sends to sinks of the kinds http and kafka."
    LATER_QUEUE "E1105" "named queues are not supported by this release"
    "The backlog and the dead letters stay in the store. Leave `queue` out."
    LATER_FUNCTION "E1106" "this kind of function is not supported by this release"
    "This release runs functions of the kinds http, process and builtin. For Python, Node.js or a shell write a process: `command: [python3, charge.py]`."
    LATER_AUTH "E1107" "this authentication is not supported by this release"
    "This release knows none, bearer, basic, hmac and jwt for sources, bearer and basic for calls."
    LATER_DESTINATIONS "E1108" "onSuccess and onFailure are not supported by this release"
    "Let the workflow that calls the function go on to a next task, or catch its error."
    LATER_CONNECTION "E1109" "this kind of connection is not supported by this release"
    "This release uses connections of the kinds kafka, minio, mysql and http."
    LATER_SIGN "E1110" "signing of calls is not supported by this release"
    "`sign` of a function is not done yet; a call without a signature must not go out in its place. Use `auth`."
    LATER_WORKFLOW_ALIAS "E1111" "aliases of workflows are not supported by this release"
    "State a `version`, or leave it out: the highest version runs."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_explained() {
        let mut codes: Vec<_> = CODES.iter().chain(crate::codes::CODES).map(|c| c.code).collect();
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
        for code in CODES {
            assert!(code.code.len() == 5 && code.text.len() > 10, "{}", code.code);
            assert_eq!(crate::codes::explain(code.code), Some(code));
        }
    }
}
