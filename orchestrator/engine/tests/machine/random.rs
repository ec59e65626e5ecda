//! Random walks: whatever is fed in whatever order, the invariants hold.

use proptest::prelude::*;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::Outcome;
use tidemill_engine::{Effect, Ended, Input, Verdict, resume};

use crate::harness::{Run, json};
use crate::signals::event;

const BODIES: [&str; 6] = [
    "timeout: {after: PT30S}\ndo:\n- f:\n    fork:\n      branches:\n      - a: {do: [{a1: {call: 'x:1@default'}}, {a2: {set: {v: '${ . }'}, export: {as: '{a: 1}'}}}, {a3: {call: 'x:1@default'}}]}\n      - b: {try: [{b1: {call: 'x:1@default'}}], catch: {retry: {delay: PT1S, backoff: {exponential: {}}, limit: {attempt: {count: 2, duration: PT4S}}}, do: [{bh: {wait: PT1S}}]}}\n      - l: {listen: {to: {one: {with: {type: e}}}}}\n- z: {call: 'x:1@default', timeout: {after: PT5S}}\n",
    "do:\n- t:\n    try:\n    - f: {fork: {compete: true, branches: [{a: {call: 'x:1@default'}}, {w: {wait: PT3S}}, {n: {fork: {branches: [{n1: {call: 'x:1@default'}}, {n2: {call: 'x:1@default', if: '.k'}}]}}}]}}\n    - r: {run: {workflow: {namespace: n, name: w, version: latest}}}\n    catch: {retry: {limit: {attempt: {count: 3}}}, do: [{h: {call: 'x:1@default'}}], then: end}\n- z: {wait: PT1S}\n",
    "use: {functions: {g: {do: [{g1: {call: 'x:1@default'}}, {g2: {set: {g: '${ . }'}, export: {as: .}}}]}}}\ndo:\n- f: {for: {each: x, in: '[1,2,3]'}, while: '. != 1', do: [{a: {call: g, with: {x: '${ $x }'}}}, {b: {if: '$index == 1', call: 'x:1@default', timeout: {after: PT2S}}}]}\n- s: {switch: [{again: {when: '. == 2', then: f}}, {out: {when: '. == 3', then: end}}]}\n- w: {wait: PT1S}\n",
    "do:\n- f: {fork: {branches: [{a: {do: [{a1: {wait: PT1S}}, {a2: {call: 'x:1@default'}}], timeout: {after: PT2S}}}, {b: {do: [{b1: {set: {b: 1}}}, {b2: {emit: {event: {with: {type: e, source: s}}}}}, {b3: {listen: {to: {one: {with: {type: e}}}}}}]}}, {c: {do: [{c1: {call: 'x:1@default', then: exit}}, {c2: {set: {no: 1}}}]}}]}}\n",
    "use: {extensions: [{e: {extend: all, when: '. != 3', before: [{eb: {call: 'x:1@default'}}, {ec: {set: {e: 1}, if: '.k', then: exit, export: {as: '{e: 1}'}}}]}}, {g: {extend: composite, before: [{gb: {wait: PT1S}}], after: [{ga: {try: [{gc: {call: 'x:1@default'}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}}}}]}}]}\ndo:\n- f: {fork: {branches: [{a: {wait: PT2S, timeout: {after: PT3S}}}, {b: {do: [{b1: {set: {b: 1}}}, {b2: {listen: {to: {one: {with: {type: e}}}}}}]}}]}}\n- t: {try: [{t1: {call: 'x:1@default'}}], catch: {retry: {limit: {attempt: {count: 2}}}, do: [{h: {set: {h: 1}}}]}}\n- z: {for: {in: '[1,2]'}, do: [{s: {set: {n: '${ $item }'}}}]}\n",
    "input: {schema: {resource: {endpoint: 'http://s/w'}}}\ndo:\n- f: {fork: {branches: [{a: {call: 'http://f/1', timeout: {after: PT9S}}}, {b: {try: [{b1: {call: 'http://f/1', with: {n: 1}}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}, do: [{bh: {wait: PT1S}}]}}}, {c: {call: 'x:1@default', input: {schema: {resource: {endpoint: 'http://s/c'}}}, output: {schema: {resource: {endpoint: 'http://s/d'}}}}}]}}\n- z: {call: 'http://f/2', if: '.k == null'}\n",
];

/// A function that calls, waits and calls another; or itself, where the limit of nesting ends it. A schema to which
/// everything fits, since its members are none of JSON Schema's.
const RESOURCE: &str = "e2RvOiBbe2k6IHtjYWxsOiAneDoxQGRlZmF1bHQnfX0sIHt3OiB7d2FpdDogUFQxU319LCB7bjoge2NhbGw6ICdodHRwOi8vZi8yJ319XX0=";

#[derive(Clone, Debug)]
enum Move {
    Done(usize, u8),
    Fail(usize),
    Stale(u32, u32),
    Again(usize),
    Early(usize),
    Pass(u16),
    Post,
    /// An answer is promised for later.
    Later(usize),
    /// It comes, well or not, for whatever visit.
    Callback(u32, bool),
    /// A signal; few ids, so that some are repeated.
    Signal(u8),
    Child(bool),
    Cancel,
    Suspend,
    Resume,
    Retry(bool, Option<usize>),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        8 => (any::<usize>(), 0u8..5).prop_map(|(at, value)| Move::Done(at, value)),
        3 => any::<usize>().prop_map(Move::Fail),
        1 => (0u32..30, 0u32..4).prop_map(|(visit, attempt)| Move::Stale(visit, attempt)),
        2 => any::<usize>().prop_map(Move::Again),
        1 => any::<usize>().prop_map(Move::Early),
        4 => (0u16..3000).prop_map(Move::Pass),
        2 => Just(Move::Post),
        2 => any::<usize>().prop_map(Move::Later),
        3 => (0u32..20, any::<bool>()).prop_map(|(visit, well)| Move::Callback(visit, well)),
        2 => (0u8..6).prop_map(Move::Signal),
        2 => any::<bool>().prop_map(Move::Child),
        1 => Just(Move::Cancel),
        1 => Just(Move::Suspend),
        2 => Just(Move::Resume),
        2 => (any::<bool>(), proptest::option::of(any::<usize>())).prop_map(|(input, from)| Move::Retry(input, from)),
    ];
    proptest::collection::vec(one, 1..40)
}

/// An answer that was given before, and a timer before its time, must change nothing.
fn unwanted(run: &mut Run, step: &Move) {
    match step {
        Move::Again(at) if !run.answered.is_empty() => {
            let (visit, attempt) = run.answered[at % run.answered.len()];
            let outcome = Outcome::Done(json("9"));
            assert_eq!(run.feed(Input::Outcome { visit, attempt, outcome }), Verdict::Stale);
        }
        Move::Early(at) => {
            let now = run.now;
            let due: Vec<_> =
                resume(&run.program, &run.x).due.into_iter().filter(|due| due.at > now).collect();
            if !due.is_empty() {
                assert_eq!(run.feed(Input::Timer(due[at % due.len()])), Verdict::Stale);
            }
        }
        _ => {}
    }
}

/// What the outside tells one execution.
fn tell(run: &mut Run, step: &Move) {
    let calls: Vec<_> = run.x.open_calls().collect();
    match step {
        Move::Later(at) if !calls.is_empty() => {
            let call = calls[at % calls.len()];
            run.answered.push((call.visit, call.attempt));
            let outcome = Outcome::Later;
            run.feed(Input::Outcome { visit: call.visit, attempt: call.attempt, outcome });
        }
        Move::Callback(visit, well) => {
            let fault = || Fault::communication(503, "down");
            let answer = if *well { Ok(json("7")) } else { Err(fault()) };
            let verdict = run.feed(Input::Callback { visit: *visit, answer });
            if verdict == Verdict::Applied {
                let again = run.feed(Input::Callback { visit: *visit, answer: Ok(json("8")) });
                assert!(matches!(again, Verdict::Refused(_)), "{again:?}");
            }
        }
        Move::Signal(id) => {
            let signal = || Input::Signal(event(&id.to_string(), "e"));
            run.feed(signal());
            assert_ne!(run.feed(signal()), Verdict::Applied);
        }
        _ => {}
    }
}

fn play(run: &mut Run, pos: u64, step: &Move) {
    let calls: Vec<_> = run.x.open_calls().collect();
    match step {
        Move::Done(at, value) if !calls.is_empty() => {
            let call = calls[at % calls.len()];
            run.answered.push((call.visit, call.attempt));
            // The numbers of requests for resources lie beyond those of attempts.
            let answer = if call.attempt > 1000 { format!("\"{RESOURCE}\"") } else { value.to_string() };
            let outcome = Outcome::Done(json(&answer));
            run.feed(Input::Outcome { visit: call.visit, attempt: call.attempt, outcome });
        }
        Move::Fail(at) if !calls.is_empty() => {
            let call = calls[at % calls.len()];
            run.answered.push((call.visit, call.attempt));
            let outcome = Outcome::Failed(Fault::communication(503, "down"));
            run.feed(Input::Outcome { visit: call.visit, attempt: call.attempt, outcome });
        }
        Move::Stale(visit, attempt) => {
            run.feed(Input::Outcome { visit: *visit, attempt: *attempt, outcome: Outcome::Done(json("0")) });
        }
        Move::Pass(millis) => {
            run.pass(i64::from(*millis));
        }
        Move::Post => {
            run.post(pos, "e", "{\"e\":1}");
        }
        Move::Later(_) | Move::Callback(..) | Move::Signal(_) => tell(run, step),
        Move::Child(well) => {
            let wanted = resume(&run.program, &run.x).effects;
            let started = wanted.iter().find_map(|effect| match effect {
                Effect::StartChild { visit, child, .. } => Some((*visit, *child)),
                _ => None,
            });
            if let Some((visit, child)) = started {
                let ended = if *well { Ended::Completed(json("1")) } else { Ended::Cancelled };
                run.feed(Input::ChildEnded { visit, child, ended });
            }
        }
        Move::Cancel => drop(run.cancel()),
        Move::Suspend => drop(run.suspend()),
        Move::Resume => drop(run.resume()),
        Move::Retry(input, from) => {
            let from = from.map(|at| run.program.tasks[at % run.program.tasks.len()].reference.to_string());
            run.retry(input.then_some("{\"again\":1}"), from.as_deref());
        }
        Move::Again(_) | Move::Early(_) => unwanted(run, step),
        Move::Done(..) | Move::Fail(_) => {}
    }
}

proptest! {
    #[test]
    fn invariants_hold_on_every_walk(body in 0usize..BODIES.len(), moves in moves()) {
        let mut run = Run::start(BODIES[body], r#"{"k":true}"#);
        for (at, step) in moves.iter().enumerate() {
            play(&mut run, at as u64 + 1, step);
        }
        // Whatever has happened, the run can be brought to an end.
        run.resume();
        run.cancel();
        prop_assert!(run.x.status().ended());
    }
}
