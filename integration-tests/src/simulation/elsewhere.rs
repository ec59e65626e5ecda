//! What definitions fetch: functions by URL and of a catalog, schemas, scripts. Each address has one text.

/// The catalog's endpoint.
pub(super) const CATALOG: &str = "http://outside.test/catalog";
/// Functions, called by number.
const FUNCTIONS: [&str; 7] = [
    "set: {f: '${ . }'}",
    "do:\n- one: {call: 'echo:1@default', with: {n: '${ . }'}}\n- two: {wait: PT0.4S}\n- three: {set: '${ .n? }'}",
    "try:\n- one: {call: http, with: {method: get, endpoint: 'http://outside.test/2'}}\ncatch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}, do: [{two: {set: {caught: 1}}}]}",
    "fork:\n  branches:\n  - one: {call: 'echo:1@default', export: {as: '{x: 1}'}}\n  - two: {call: 'http://outside.test/functions/0'}",
    "do:\n- one: {call: 'http://outside.test/functions/1'}\n- two: {emit: {event: {with: {type: sim.one}}}}",
    "raise: {error: {type: 'https://sim.test/inside', status: 503}}",
    "do: [{one: {listen: {to: {one: {with: {type: sim.two}}}}}}]\ntimeout: {after: PT8S}",
];
/// The address of a script.
pub(super) const SCRIPT: &str = "http://outside.test/scripts/work.py";
/// How many functions there are; the numbers beyond have texts that are no functions.
pub(super) const KNOWN: usize = FUNCTIONS.len();
/// Schemas, by number.
pub(super) const SCHEMAS: [&str; 3] =
    ["{}", "type: [object, array, 'null', number, string, boolean]", "{not: {type: string}}"];

/// The text at an address; none if it is no resource.
pub(super) fn text(uri: &str) -> Option<&'static str> {
    let number = |text: &str| text.parse::<usize>().ok();
    if let Some(at) = uri.strip_prefix("http://outside.test/functions/").and_then(number) {
        return Some(FUNCTIONS.get(at).copied().unwrap_or("{set: {a: 1}, wait: PT1S}"));
    }
    if let Some(at) = uri.strip_prefix("http://outside.test/schemas/").and_then(number) {
        return SCHEMAS.get(at).copied();
    }
    if uri == SCRIPT {
        return Some("work()");
    }
    uri.starts_with(CATALOG).then_some(FUNCTIONS[1])
}
