//! A run under test: a program, its execution, its log, a clock that is moved by hand.

use std::sync::Arc;

use base64::Engine as _;
use tidemill_dsl::event::{Data, Event, StoredEvent};
use tidemill_dsl::expr::NoArguments;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::order::{Call, Outcome};
use tidemill_dsl::program::Program;
use tidemill_dsl::value::{Map, Value};
use tidemill_engine::entry::{Entry, Expander};
use tidemill_engine::invariants::{self, Ledger};
use tidemill_engine::{
    Around, Birth, Decision, Effect, Ended, Execution, Input, MAX_HOPS, Status, Transition, Verdict, create,
    decide, prepare, resume,
};

/// The instant at which every run begins.
pub(crate) const START: Time = Time(1_764_000_000_000);

/// Compiles a definition whose body, from `do:` on, is given.
pub(crate) fn program(body: &str) -> Arc<Program> {
    let text = format!("document:\n  dsl: '1.0.3'\n  namespace: test\n  name: t\n  version: '1.0.0'\n{body}");
    let checked = tidemill_dsl::workflow::check(&text);
    let told: Vec<String> = checked.diagnostics.iter().map(|d| d.render("t.yaml", &text)).collect();
    checked.program.unwrap_or_else(|| panic!("refused:\n{}\n{body}", told.join("\n")))
}

/// Reads JSON.
pub(crate) fn json(text: &str) -> Value {
    Value::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The facts of birth of a test run.
pub(crate) fn birth(program: &Program, input: Value) -> Arc<Birth> {
    Arc::new(Birth {
        id: ExecutionId::derived(START, &[b"test"]),
        namespace: "test".into(),
        workflow: program.document.name.clone(),
        version: program.document.version.clone(),
        digest: program.digest,
        created: START,
        input,
        cause: None,
        parent: None,
        tags: vec![("k".into(), "v".into())],
        path: Vec::new(),
    })
}

/// A run.
pub(crate) struct Run {
    pub program: Arc<Program>,
    pub x: Execution,
    pub log: Vec<Transition>,
    pub now: Time,
    pub effects: Vec<Effect>,
    ledger: Ledger,
    /// Visits and attempts of the answers given.
    pub answered: Vec<(u32, u32)>,
    /// Emitted events that may lead to one another.
    pub hops: usize,
    /// Whether every decision is followed by a check of the whole log.
    pub checked: bool,
}

impl Run {
    /// Begins a run of a body with an input.
    pub(crate) fn start(body: &str, input: &str) -> Run {
        let mut run = Run::pending(body, input);
        run.feed(Input::Begin);
        run
    }

    /// A run that has not begun.
    pub(crate) fn pending(body: &str, input: &str) -> Run {
        let program = program(body);
        let x = create(&program, birth(&program, json(input)));
        let (log, effects, ledger) = (Vec::new(), Vec::new(), Ledger::default());
        Run {
            program,
            x,
            log,
            now: START,
            effects,
            ledger,
            answered: Vec::new(),
            hops: MAX_HOPS,
            checked: true,
        }
    }

    /// Feeds one input, then whatever continues it. The verdict is the input's.
    pub(crate) fn feed(&mut self, input: Input) -> Verdict {
        let decision = self.one(input);
        let verdict = decision.verdict.clone();
        let mut more = decision.more;
        while more {
            more = self.one(Input::Continue).more;
        }
        verdict
    }

    /// Feeds one input and nothing else.
    pub(crate) fn one(&mut self, input: Input) -> Decision {
        let shown = format!("{input:?}");
        let before = self.x.clone();
        let decision = decide(&self.program, &mut self.x, input, Around { now: self.now, hops: self.hops });
        if decision.records.is_empty() {
            assert_eq!(before, self.x, "{shown} has no records");
            assert!(
                decision.effects.is_empty() && decision.due.is_empty() && decision.summary.is_none(),
                "{shown}"
            );
            assert_ne!(decision.verdict, Verdict::Applied, "{shown}");
            return decision;
        }
        self.log.push(decision.transition(&self.x));
        self.effects.extend(decision.effects.iter().cloned());
        let told = self.ledger.note(&decision).and_then(|()| self.ledger.check(&self.program, &self.x));
        told.unwrap_or_else(|error| panic!("{shown}: {error}\n{}", self.words()));
        if let Some(summary) = &decision.summary {
            assert_eq!(summary.status, self.x.status());
            assert_eq!(summary.result.as_ref(), self.x.result());
        } else {
            assert_eq!(before.status(), self.x.status());
        }
        if self.checked {
            self.check(&shown);
        }
        decision
    }

    /// Checks all invariants.
    pub(crate) fn check(&self, after: &str) {
        if let Err(error) = invariants::check(&self.program, &self.x, &self.log) {
            panic!("after {after}: {error}\n{}", self.words());
        }
    }

    /// The open call of a task.
    pub(crate) fn call(&self, name: &str) -> (u32, u32) {
        let waiting = self.x.waiting_for(&self.program);
        let named = |visit| waiting.iter().any(|one| one.visit == visit && *one.name == *name);
        let found = self.x.open_calls().find(|call| named(call.visit));
        let found = found.unwrap_or_else(|| panic!("no open call {name}: {}", self.words()));
        (found.visit, found.attempt)
    }

    /// What the open call of a task sends, without secrets.
    pub(crate) fn sent(&self, name: &str) -> Result<Call, Fault> {
        prepare(&self.program, &self.x, self.call(name).0, &NoArguments).map(|order| order.what)
    }

    /// Answers the request of a task (of the workflow: `t`) for the resource at `uri`.
    pub(crate) fn fetched(&mut self, name: &str, uri: &str, text: &str) -> &mut Run {
        let Ok(Call::Http(request)) = self.sent(name) else { panic!("{name} sends no request") };
        assert_eq!((&*request.method, &*request.uri), ("GET", uri));
        let body = base64::engine::general_purpose::STANDARD.encode(text);
        self.done(name, &Value::text(body).to_string())
    }

    /// A call's answer.
    pub(crate) fn done(&mut self, name: &str, output: &str) -> &mut Run {
        let (visit, attempt) = self.call(name);
        let verdict = self.feed(Input::Outcome { visit, attempt, outcome: Outcome::Done(json(output)) });
        assert_eq!(verdict, Verdict::Applied, "{name}");
        self
    }

    /// A call's failure with this status.
    pub(crate) fn fail(&mut self, name: &str, status: i64) -> &mut Run {
        let (visit, attempt) = self.call(name);
        let outcome = Outcome::Failed(Fault::communication(status, "no"));
        assert_eq!(self.feed(Input::Outcome { visit, attempt, outcome }), Verdict::Applied, "{name}");
        self
    }

    /// Moves the clock on; timers fire in their order, each at its instant.
    pub(crate) fn pass(&mut self, millis: i64) -> &mut Run {
        let until = Time(self.now.0 + millis);
        loop {
            let due = resume(&self.program, &self.x).due;
            let Some(next) = due.into_iter().filter(|due| due.at <= until).min() else {
                break;
            };
            self.now = self.now.max(next.at);
            assert_eq!(self.feed(Input::Timer(next)), Verdict::Applied, "{next:?}");
        }
        self.now = until;
        self
    }

    /// Posts an event and offers it to everything that listens; tells whether it was consumed.
    pub(crate) fn post(&mut self, pos: u64, kind: &str, data: &str) -> bool {
        let event = Arc::new(StoredEvent {
            pos,
            accepted: Time(self.now.0 + 1),
            binding: "".into(),
            event: event(&pos.to_string(), kind, data),
        });
        let listening = resume(&self.program, &self.x).subscriptions;
        let takes = |visit| self.feed(Input::Event { visit, event: event.clone() }) == Verdict::Applied;
        listening.into_iter().map(|subscription| subscription.visit).map(takes).filter(|taken| *taken).count()
            > 0
    }

    pub(crate) fn cancel(&mut self) -> Verdict {
        self.feed(Input::Cancel { reason: Some("why".into()) })
    }

    pub(crate) fn suspend(&mut self) -> Verdict {
        self.feed(Input::Suspend { reason: None })
    }

    pub(crate) fn resume(&mut self) -> Verdict {
        self.feed(Input::Resume { reason: None })
    }

    pub(crate) fn retry(&mut self, input: Option<&str>, from: Option<&str>) -> Verdict {
        self.feed(Input::Retry { input: input.map(json), from: from.map(Into::into), reason: None })
    }

    /// The public history.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut expander = Expander::new();
        self.log
            .iter()
            .flat_map(|transition| expander.feed(&self.program, transition).expect("the log is whole"))
            .collect()
    }

    /// The history in short: `+` started, `-` completed, `!` faulted, `x` cancelled, `~` retried, `|` suspended,
    /// `^` resumed; `W` is the workflow. Each `task.created` is checked to stand right before its `task.started`.
    pub(crate) fn words(&self) -> String {
        let mut words = Vec::new();
        let mut created = None;
        for entry in self.entries() {
            let name = entry.task.as_ref().map_or("W", |task| &task.name);
            let (_, word) = entry.kind.split_once('.').expect("kinds have two words");
            if word == "created" {
                created = entry.task;
                continue;
            }
            let mark = match word {
                "started" => {
                    assert_eq!(created.take(), entry.task);
                    '+'
                }
                "completed" => '-',
                "faulted" => '!',
                "cancelled" => 'x',
                "retried" => '~',
                "suspended" => '|',
                "resumed" => '^',
                other => panic!("{other}"),
            };
            words.push(format!("{mark}{name}"));
        }
        words.join(" ")
    }

    /// The output, or the error as `status type-name instance`, or the status.
    pub(crate) fn end(&self) -> String {
        match self.x.result() {
            Some(Ended::Completed(value)) => value.to_string(),
            Some(Ended::Faulted(fault)) => {
                let kind = fault.kind.rsplit('/').next().unwrap_or_default();
                format!("{} {kind} {}", fault.status, fault.instance.as_deref().unwrap_or("-"))
            }
            _ => self.x.status().word().to_owned(),
        }
    }

    /// Asserts the end and the history.
    #[track_caller]
    pub(crate) fn expect(&self, end: &str, words: &str) {
        assert_eq!((self.end().as_str(), self.words().as_str()), (end, words));
    }

    /// Asserts the status.
    #[track_caller]
    pub(crate) fn is(&self, status: Status) {
        assert_eq!(self.x.status(), status, "{}", self.words());
    }
}

/// Runs a definition that needs nothing outside, and asserts its end and history.
#[track_caller]
pub(crate) fn pure(body: &str, input: &str, end: &str, words: &str) {
    Run::start(body, input).expect(end, words);
}

/// An event with data.
pub(crate) fn event(id: &str, kind: &str, data: &str) -> Arc<Event> {
    Arc::new(Event {
        id: id.into(),
        source: "/test".into(),
        kind: kind.into(),
        subject: None,
        time: None,
        datacontenttype: None,
        dataschema: None,
        extensions: Map::new(),
        data: Data::Json(json(data)),
    })
}
