//! The simulated world: one clock, one disk, one process that may die, clients, operators. What happens next is
//! thrown by the seed's dice; every throw is made here or in the generator.
//!
//! Owns the loop. What clients want is in `clients`, what breaks in `disorder`, the functions called in `outside`; the
//! process is `lane`, `driver`, `commit` and `recovery`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::ids::{ExecutionId, Time, Visit};
use tidemill_engine::Awaited;
use tidemill_engine::record::Status;
use tidemill_store::memory::{Faults, Space};
use tidemill_store::{Class, ExecutionQuery, ExecutionRow, MemoryStore, Read as _};

use super::author::{self, CHILDREN, NAMESPACE};
use super::checks::Account;
use super::clients::{Post, Start};
use super::coverage::{Fault, Matrix, Row, Rows, Sheet, bit};
use super::dice::Dice;
use super::lane::{Input, Lane, Verb};
use super::outside::Outside;
use super::signals::Signal;

/// What is broken, in words.
pub(super) type Broken = String;

/// The instant at which every world begins.
const START: Time = Time(1_764_000_000_000);
/// Moves of one world; more means that something goes round in circles.
const MOVES: u32 = 100_000;
/// Rounds in which the end is helped on before the starts are cancelled, and before the world is called stuck.
const HELP: (u32, u32) = (6, 16);

/// Something that happens outside at an instant.
pub(super) enum Happening {
    /// A client starts (again) what it wants started.
    Start(usize),
    /// A client posts (again) an event.
    Post(usize),
    /// Something is handed to the process, if it runs then.
    Hand(Input),
    /// The answer to a call.
    Answer { input: Input, repeated: bool, slow: bool, order: u64 },
    /// An operator's verb for some execution.
    Verb,
    /// A client signals (again) an execution.
    Signal(usize),
    /// A partner answers (again) the call of a visit.
    Callback((ExecutionId, Visit)),
    /// The disk has this much space.
    Space(Space),
}

/// One seed's world.
pub(super) struct World {
    pub seed: u64,
    pub dice: Dice,
    pub now: Time,
    pub store: MemoryStore,
    pub faults: Faults,
    pub lane: Lane,
    pub outside: Outside,
    pub account: Account,
    pub matrix: Matrix,
    pub snapshot_every: u64,
    pub agenda: BTreeMap<(Time, u64), Happening>,
    pub numbered: u64,
    pub sheets: Vec<Arc<Sheet>>,
    pub starts: Vec<Start>,
    pub posts: Vec<Post>,
    pub signals: Vec<Signal>,
    pub crashes: u32,
    pub help: u32,
    /// Faults of the store and the process are thrown; not while the end is helped on.
    pub wild: bool,
    /// What has happened, line by line; kept only when one seed is replayed.
    pub told: Option<Vec<String>>,
}

impl World {
    /// The world of a seed: definitions, starts, events, verbs, the disk's bad hours.
    pub(super) fn new(seed: u64, told: bool) -> Result<World, Broken> {
        let mut dice = Dice::new(seed);
        let mut sheets = Vec::new();
        for (name, children) in [("main", &CHILDREN[..]), (CHILDREN[0], &CHILDREN[1..]), (CHILDREN[1], &[])] {
            sheets.push(Arc::new(compile(author::definition(&mut dice, name, children))?));
        }
        let store = MemoryStore::new();
        let faults = store.faults();
        faults.hold();
        let mut world = World {
            seed,
            now: START,
            store,
            faults,
            lane: Lane::default(),
            outside: Outside::default(),
            account: Account::default(),
            matrix: Matrix::default(),
            snapshot_every: 1 + dice.below(8) as u64,
            agenda: BTreeMap::new(),
            numbered: 0,
            sheets,
            starts: Vec::new(),
            posts: Vec::new(),
            signals: Vec::new(),
            crashes: 0,
            help: 0,
            wild: true,
            told: told.then(Vec::new),
            dice,
        };
        world.plan();
        Ok(world)
    }

    /// Keeps a line of what happens.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now.0 - START.0;
        if let Some(told) = &mut self.told {
            told.push(format!("{now:>9} {}", line()));
        }
    }

    /// Puts something on the agenda, between so many milliseconds from now.
    pub(super) fn schedule(&mut self, from: i64, to: i64, what: Happening) {
        let at = Time(self.now.0 + self.dice.between(from, to));
        self.numbered += 1;
        self.agenda.insert((at, self.numbered), what);
    }

    /// The definition of a name.
    pub(super) fn sheet(&self, name: &str) -> Option<Arc<Sheet>> {
        self.sheets.iter().find(|sheet| *sheet.program.document.name == *name).cloned()
    }

    /// The definitions.
    pub(super) fn sheets(&self) -> &[Arc<Sheet>] {
        &self.sheets
    }

    /// The rows in play in an execution: what is open in it and what its last decision began.
    pub(super) fn rows(&self, id: ExecutionId) -> Rows {
        let Some(slot) = self.lane.slots.get(&id) else {
            return 0;
        };
        let waiting = slot.execution.waiting_for(&slot.sheet.program);
        let signalled = if slot.execution.signals() > 0 { bit(Row::Signalled) } else { 0 };
        waiting.iter().fold(slot.recent | signalled, |rows, one| {
            let called = if matches!(one.what, Awaited::Callback) { bit(Row::Callback) } else { 0 };
            rows | called | slot.sheet.open(&one.reference)
        })
    }

    /// Notes a fault that hits these executions.
    pub(super) fn hit(&mut self, fault: Fault, executions: impl IntoIterator<Item = ExecutionId>) {
        for id in executions {
            self.tell(|| format!("{fault:?} hits {id}"));
            let rows = self.rows(id);
            self.matrix.note(fault, rows);
        }
    }

    /// Notes a fault that hits every execution in memory.
    pub(super) fn hit_all(&mut self, fault: Fault) {
        let all: Vec<ExecutionId> = self.lane.slots.keys().copied().collect();
        self.hit(fault, all);
    }

    /// Runs to the end: everything started has ended, and every check holds.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        for _ in 0..MOVES {
            if self.one_move()? {
                continue;
            }
            if self.dice.permille(150) || !self.wild {
                self.quiet()?;
            }
            if self.agenda.is_empty() && self.lane.near.is_empty() {
                if self.unfinished()?.is_empty() && self.all_acknowledged() {
                    return self.verify();
                }
                self.help_on()?;
            }
            self.advance();
        }
        Err(format!("the world does not come to rest: {MOVES} moves"))
    }

    /// One move of what is possible now; false when the process is at rest and only time can pass.
    fn one_move(&mut self) -> Result<bool, Broken> {
        if self.wild && self.lane.recovering && self.dice.permille(60) && self.may_crash(1000) {
            self.hit_all(Fault::CrashInRecovery);
            return self.crash().map(|()| true);
        }
        if self.wild && self.dice.permille(25) && self.break_something() {
            return Ok(true);
        }
        let space = !matches!(self.space(), Space::None);
        let (held, done) = (self.faults.held() > 0 && space, self.lane.completions() > 0);
        let due = self.is_due();
        let lane = !self.lane.queue.is_empty();
        if !lane {
            self.lane.recovering = false;
        }
        if !(held || done || due || lane) {
            return Ok(false);
        }
        match self.dice.below(4) {
            0 if lane => self.take_turn()?,
            1 if held => self.commit()?,
            2 if done => self.lane_completes()?,
            3 if due => self.happen()?,
            _ => {}
        }
        Ok(true)
    }

    fn take_turn(&mut self) -> Result<(), Broken> {
        let most = 1 + self.dice.below(6);
        let turn = self.decide(most)?;
        if self.wild && self.may_crash(20) {
            let touched = turn.released.touched.clone();
            self.hit(Fault::CrashBeforeSubmit, touched);
            return self.crash();
        }
        self.submit(turn, Class::Running)
    }

    fn lane_completes(&mut self) -> Result<(), Broken> {
        if self.wild && self.may_crash(15) {
            let touched = self.lane.touched(true);
            self.hit(Fault::CrashBeforeEffects, touched);
            return self.crash();
        }
        self.complete()
    }

    /// How much space the disk has.
    pub(super) fn space(&self) -> Space {
        self.outside.space
    }

    fn is_due(&self) -> bool {
        self.lane.near.first().is_some_and(|due| due.at <= self.now)
            || self.agenda.first_key_value().is_some_and(|((at, _), _)| *at <= self.now)
    }

    /// The clock goes on to the next thing due.
    fn advance(&mut self) {
        let timer = self.lane.near.first().map(|due| due.at);
        let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
        if let Some(at) = [timer, next].into_iter().flatten().min() {
            self.now = self.now.max(at);
        }
    }

    /// The next thing due: a timer or something on the agenda.
    fn happen(&mut self) -> Result<(), Broken> {
        let timer = self.lane.near.first().copied().filter(|due| due.at <= self.now);
        let next = self.agenda.first_key_value().map(|(key, _)| *key).filter(|(at, _)| *at <= self.now);
        if let Some(due) = timer
            && next.is_none_or(|(at, _)| due.at <= at)
        {
            self.lane.near.remove(&due);
            self.lane.queue.push_back(Input::Timer(due));
            if self.dice.permille(80) {
                self.hit(Fault::TimerRepeated, [due.execution]);
                self.schedule(0, 1_500, Happening::Hand(Input::Timer(due)));
            }
            return Ok(());
        }
        let Some(what) = next.and_then(|key| self.agenda.remove(&key)) else {
            return Ok(());
        };
        match what {
            Happening::Start(number) => self.begin(number),
            Happening::Post(number) => return self.publish(number),
            Happening::Hand(input) => self.lane.queue.push_back(input),
            Happening::Answer { input, repeated, slow, order } => self.answer(input, (repeated, slow), order),
            Happening::Verb => self.operate()?,
            Happening::Signal(number) => self.ask_signal(number)?,
            Happening::Callback(promise) => self.call_back(promise),
            Happening::Space(space) => {
                match space {
                    Space::Low => self.hit_all(Fault::DiskLow),
                    Space::None => self.hit_all(Fault::DiskFull),
                    Space::Plenty => {}
                }
                self.outside.space = space;
                self.faults.space(space);
            }
        }
        Ok(())
    }

    /// Executions with one of these statuses (all, if none is given).
    pub(super) fn executions(&self, status: &[Status]) -> Result<Vec<ExecutionRow>, Broken> {
        let query = ExecutionQuery {
            namespace: NAMESPACE.into(),
            status: status.to_vec(),
            ascending: true,
            limit: usize::MAX,
            ..ExecutionQuery::default()
        };
        self.store.executions(&query).map_err(|error| error.to_string())
    }

    /// Executions that have not ended, as the store has it.
    pub(super) fn unfinished(&self) -> Result<Vec<ExecutionRow>, Broken> {
        self.executions(&[Status::Pending, Status::Running, Status::Waiting, Status::Suspended])
    }

    /// Nothing is due any more and something has not ended: what can be given from outside is given.
    fn help_on(&mut self) -> Result<(), Broken> {
        self.wild = false;
        self.help += 1;
        if self.help > HELP.1 {
            return Err("something never ends, whatever is given".into());
        }
        for row in self.unfinished()? {
            if row.status == Status::Suspended {
                self.lane.queue.push_back(Input::Verb(row.id, Verb::Resume, None));
            } else if self.help > HELP.0 {
                self.lane.queue.push_back(Input::Verb(row.id, Verb::Cancel, None));
            }
        }
        for _ in 0..4 {
            self.invent(false, 1_000);
        }
        Ok(())
    }

    /// Whether an answer to this call is on its way.
    pub(super) fn is_flying(&self, call: (ExecutionId, u32, u32)) -> bool {
        self.outside.never.contains(&call)
            || self.agenda.values().any(|what| {
                matches!(what, Happening::Answer { input: Input::Outcome(id, visit, attempt, _), .. }
                    if (*id, *visit, *attempt) == call)
            })
    }
}

fn compile(text: String) -> Result<Sheet, Broken> {
    let checked = tidemill_dsl::workflow::check(&text);
    let told: Vec<String> =
        checked.diagnostics.iter().map(|one| one.render("generated.yaml", &text)).collect();
    match checked.program {
        Some(program) => Ok(Sheet::new(program, text)),
        None => Err(format!("a generated definition was refused:\n{}\n{text}", told.join("\n"))),
    }
}
