//! Stored bytes: round trips, and bytes that are none.

use proptest::prelude::*;
use tidemill_engine::{Execution, decode};

use crate::harness::{Run, program};

const BODY: &str = "do:\n- t:\n    try:\n    - f: {fork: {branches: [{a: {call: 'x:1@default'}}, {w: {wait: PT5S}}, {b: {for: {in: '[1,2]'}, do: [{c: {call: 'x:1@default'}}]}}]}}\n    catch: {retry: {delay: PT1S, limit: {attempt: {count: 1, duration: PT1M}}}, do: [{h: {call: 'x:1@default'}}]}\n";

fn run() -> Run {
    let mut run = Run::start(BODY, r#"{"text":"é\u0001","n":1.5e300,"deep":[[[]]],"z":-0.0}"#);
    run.done("c", "1");
    run.suspend();
    run.fail("a", 500);
    run.resume();
    run.pass(1000).done("a", "{\"k\":[1]}");
    run
}

#[test]
fn cut_and_changed_bytes_are_refused_or_read_but_never_panic() {
    let run = run();
    for transition in &run.log {
        assert!(!decode(&transition.body).unwrap().is_empty());
        for length in 0..transition.body.len() {
            let _ = decode(&transition.body[..length]);
        }
    }
    assert!(decode(&[]).is_err() && decode(&[9]).is_err() && decode(&[1, 250]).is_err());
}

#[test]
fn a_transition_that_is_missing_or_doubled_is_refused() {
    let run = run();
    let mut missing = run.log.clone();
    missing.remove(1);
    assert!(tidemill_engine::fold(&run.program, &missing).is_err());
    let mut doubled = run.log.clone();
    doubled.insert(1, doubled[1].clone());
    assert!(tidemill_engine::fold(&run.program, &doubled).is_err());
    assert!(tidemill_engine::fold(&run.program, &[]).is_err());
}

#[test]
fn a_snapshot_of_another_program_is_refused() {
    let run = run();
    let other = program("do:\n- a: {set: {a: 1}}\n");
    assert!(Execution::from_snapshot(&other, &run.x.snapshot()).is_err());
}

#[test]
fn a_snapshot_and_the_transitions_after_it_give_the_state() {
    let run = run();
    assert_eq!(Execution::birth_of_snapshot(&run.x.snapshot()), Ok((**run.x.birth()).clone()));
    for cut in 1..run.log.len() {
        let mut x = tidemill_engine::fold(&run.program, &run.log[..cut]).unwrap();
        x = Execution::from_snapshot(&run.program, &x.snapshot()).unwrap();
        for transition in &run.log[cut..] {
            x.follow(&run.program, transition).unwrap();
        }
        assert_eq!(x, run.x, "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body: Vec<u8> = std::iter::once(1).chain(bytes).collect();
        let _ = decode(&body);
        let _ = Execution::from_snapshot(&program("do:\n- a: {set: {a: 1}}\n"), &body);
    }
}
