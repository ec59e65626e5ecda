//! What an execution wants of the outside, told from its state alone: after a restart, or after it was loaded again.

use tidemill_dsl::program::{Kind, Program};

use crate::Effect;
use crate::account::subscription;
use crate::execution::{Execution, ROOT, State, call_number};
use crate::record::{Due, Subscription};
use crate::step::run;

/// What an execution wants of the outside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resumption {
    /// Open calls and awaited children, with the identities they had.
    pub effects: Vec<Effect>,
    /// Its timers.
    pub due: Vec<Due>,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Whether it wants [`crate::Input::Continue`].
    pub more: bool,
}

/// What an execution wants of the outside, in order of visit. Nothing once it has ended; a pending one wants
/// [`crate::Input::Begin`], which the caller knows from its status.
pub fn resume(program: &Program, execution: &Execution) -> Resumption {
    if execution.ended.is_some() {
        return Resumption::default();
    }
    let whole = execution.link.0.clone();
    let program = whole.as_deref().unwrap_or(program);
    let own = execution.own_request().map(|attempt| Effect::Call { visit: ROOT, attempt });
    let wanted = execution.open().filter(|frame| !execution.keeps_answer(frame.visit));
    let effects = wanted.filter_map(|frame| match (&frame.state, &program.task(frame.task).kind) {
        (State::Call | State::Fetch(_), _) => {
            call_number(frame).map(|attempt| Effect::Call { visit: frame.visit, attempt })
        }
        (State::Child, Kind::RunWorkflow(run)) => run::again(program, execution, frame.visit, run),
        _ => None,
    });
    let timers = execution.all_timers();
    #[cfg(feature = "bug-lost-retry")]
    let timers = timers.filter(|due| due.kind != crate::record::TimerKind::Retry);
    let listening = execution.open().filter(|frame| execution.listens(frame.visit));
    Resumption {
        effects: own.into_iter().chain(effects).collect(),
        due: timers.collect(),
        subscriptions: listening.filter_map(|frame| subscription(program, execution, frame.visit)).collect(),
        more: execution.more(),
    }
}
