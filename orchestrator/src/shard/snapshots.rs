//! When an execution's state is stored beside its log: a cache that may not cost more than the log it spares.

use tidemill_engine::Execution;
use tidemill_store::StateSnapshot;

/// A snapshot is stored after this many transitions, and after as many bytes of log as the last one had: so all
/// snapshots of a long loop together stay in proportion to its log.
const EVERY: u64 = 64;

/// The account of one execution's snapshots.
#[derive(Default)]
pub(super) struct Snapshots {
    /// Transitions at the last one.
    at: u64,
    /// Its bytes.
    size: usize,
    /// Bytes of log since.
    logged: usize,
}

impl Snapshots {
    /// The account of an execution that was loaded with so many transitions.
    pub(super) fn from(transitions: u64) -> Snapshots {
        Snapshots { at: transitions, ..Snapshots::default() }
    }

    /// The snapshot to store with a transition of so many bytes, if one is due.
    pub(super) fn after(&mut self, execution: &Execution, bytes: usize) -> Option<StateSnapshot> {
        self.logged += bytes;
        let transitions = execution.transitions();
        if transitions < self.at + EVERY || self.logged < self.size || execution.status().ended() {
            return None;
        }
        let body = execution.snapshot();
        *self = Snapshots { at: transitions, size: body.len(), logged: 0 };
        Some(StateSnapshot {
            execution: execution.birth().id,
            next: execution.next_sequence(),
            transitions,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidemill_dsl::ids::{ExecutionId, Time};
    use tidemill_dsl::order::Outcome;
    use tidemill_dsl::value::Value;
    use tidemill_engine::record::Birth;
    use tidemill_engine::{Input, create, decide, transition};

    use super::*;

    #[test]
    fn the_snapshots_of_a_loop_stay_in_proportion_to_its_log() {
        let text = "document: {dsl: '1.0.3', namespace: n, name: l, version: '1.0.0'}\ndo: [{l: {for: {in: '${ [range(10000)] }'}, do: [{c: {call: 'x:1@default'}}]}}]\n";
        let program = tidemill_dsl::workflow::check(text).program.unwrap();
        let birth = Birth {
            id: ExecutionId::derived(Time(1), &[b"loop"]),
            namespace: "n".into(),
            workflow: "l".into(),
            version: "1.0.0".into(),
            digest: program.digest,
            created: Time(1),
            input: Value::Null,
            cause: None,
            parent: None,
            tags: Vec::new(),
            path: Vec::new(),
        };
        let mut execution = create(&program, Arc::new(birth));
        let (mut snapshots, mut logged, mut stored, mut count) = (Snapshots::default(), 0, 0, 0);
        let mut input = Input::Begin;
        loop {
            let decision = decide(&program, &mut execution, input, Time(2));
            let body = transition(&execution, &decision).body;
            logged += body.len();
            if let Some(snapshot) = snapshots.after(&execution, body.len()) {
                (stored, count) = (stored + snapshot.body.len(), count + 1);
            }
            let Some(call) = execution.open_calls().next() else { break };
            input = Input::Outcome {
                visit: call.visit,
                attempt: call.attempt,
                outcome: Outcome::Done(Value::Null),
            };
        }
        assert!(execution.status().ended() && count > 2);
        assert!(stored < 2 * logged, "{count} snapshots of {stored} bytes for {logged} bytes of log");
    }
}
