//! The simulated world: one clock, one disk, one process that may die, clients, operators. What happens next is
//! thrown by the seed's dice; every throw is made here or in the generator.
//!
//! Owns the loop and what the clients want. The process is `driver`, the functions called are `outside`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::event::{Data, Event};
use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::value::{Map, Value};
use tidemill_engine::record::Status;
use tidemill_store::memory::{Faults, Space};
use tidemill_store::{
    Accepted, Arrival, Class, Committed, ExecutionQuery, ExecutionRow, MemoryStore, Read as _, Refusal,
    StartKey,
};

use super::author::{self, CHILDREN, EVENT_TYPES, NAMESPACE};
use super::checks::Account;
use super::coverage::{Fault, Matrix, Rows, Sheet};
use super::dice::Dice;
use super::driver::{Input, Lane, Verb, pending};
use super::outside::Outside;

/// What is broken, in words.
pub(super) type Broken = String;

/// The instant at which every world begins.
const START: Time = Time(1_764_000_000_000);
/// Moves of one world; more means that something goes round in circles.
const MOVES: u32 = 30_000;
/// Crashes of one world, at most.
const CRASHES: u32 = 5;
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
    /// The disk has this much space.
    Space(Space),
}

/// A start that a client wants.
struct Start {
    acknowledged: Option<ExecutionId>,
    attempts: u64,
    input: Value,
}

/// An event that a client wants posted, perhaps one that starts an execution.
struct Post {
    event: Arc<Event>,
    starts: bool,
    acknowledged: bool,
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
    agenda: BTreeMap<(Time, u64), Happening>,
    numbered: u64,
    sheets: Vec<Arc<Sheet>>,
    starts: Vec<Start>,
    posts: Vec<Post>,
    crashes: u32,
    help: u32,
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
            crashes: 0,
            help: 0,
            wild: true,
            told: told.then(Vec::new),
            dice,
        };
        world.plan();
        Ok(world)
    }

    fn plan(&mut self) {
        for _ in 0..2 + self.dice.below(4) {
            let input = Value::from(self.dice.between(0, 4));
            let number = self.starts.len();
            self.starts.push(Start { acknowledged: None, attempts: 0, input });
            self.schedule(0, 20_000, Happening::Start(number));
        }
        for _ in 0..3 + self.dice.below(6) {
            let starts = self.dice.permille(400);
            self.invent(starts, 40_000);
        }
        for _ in 0..self.dice.below(6) {
            self.schedule(0, 40_000, Happening::Verb);
        }
        if self.dice.permille(350) {
            let space = *self.dice.pick(&[Space::Low, Space::None, Space::None]);
            let from = self.dice.between(0, 25_000);
            self.schedule(from, from, Happening::Space(space));
            self.schedule(from + 300, from + 6_000, Happening::Space(Space::Plenty));
        }
    }

    /// A new event, to be posted within `within` milliseconds; perhaps twice.
    fn invent(&mut self, starts: bool, within: i64) {
        let number = self.posts.len();
        let kind = *self.dice.pick(&EVENT_TYPES);
        let n = Value::from(self.dice.between(0, 5));
        let event = Event {
            id: number.to_string().into(),
            source: "https://sim.test/client".into(),
            kind: kind.into(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: Map::new(),
            data: Data::Json(Value::object([("n", n)])),
        };
        self.posts.push(Post { event: Arc::new(event), starts, acknowledged: false });
        self.schedule(0, within, Happening::Post(number));
        if self.dice.permille(250) {
            self.schedule(0, within, Happening::Post(number));
        }
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
        waiting.iter().fold(slot.recent, |rows, one| rows | slot.sheet.open(&one.reference))
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
        Err(format!("the world does not come to rest: {} moves", MOVES))
    }

    /// One move of what is possible now; false when the process is at rest and only time can pass.
    fn one_move(&mut self) -> Result<bool, Broken> {
        if self.wild && self.lane.recovering && self.dice.permille(60) && self.may_crash(1000) {
            self.hit_all(Fault::CrashInRecovery);
            return self.crash().map(|()| true);
        }
        if self.wild && self.dice.permille(25) && self.break_something()? {
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

    /// The disk makes some of what is submitted durable.
    fn commit(&mut self) -> Result<(), Broken> {
        let throw = if self.wild && self.space() == Space::Plenty { self.dice.below(1000) } else { 999 };
        match throw {
            0..25 if self.may_crash(1000) => {
                let touched = self.lane.touched(false);
                self.hit(Fault::CrashBeforeDurable, touched);
                return self.crash();
            }
            25..60 => {
                let touched = self.lane.first_held().map(|released| {
                    released.applied = true;
                    released.touched.clone()
                });
                let touched = touched.unwrap_or_default();
                self.hit(Fault::AppliedButError, touched);
                self.faults.fail_next(true);
                self.faults.release(1);
            }
            // Only if nothing decided later is on its way: the contract does not say what becomes of that.
            60..140 if self.faults.held() == 1 && self.lane.completions() == 0 => {
                let touched = self.lane.touched(false);
                self.hit(Fault::NotApplied, touched);
                self.faults.fail_next(false);
                self.faults.release(1);
                return self.complete();
            }
            _ => {
                let most = 1 + self.dice.below(4);
                self.faults.release(most);
            }
        }
        Ok(())
    }

    fn space(&self) -> Space {
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

    fn begin(&mut self, number: usize) {
        let (now, seed) = (self.now, self.seed);
        let Some(sheet) = self.sheets.first().cloned() else {
            return;
        };
        let Some(start) = self.starts.get_mut(number).filter(|start| start.acknowledged.is_none()) else {
            return;
        };
        start.attempts += 1;
        let drawn = [seed, number as u64, start.attempts].map(u64::to_be_bytes);
        let id = ExecutionId::derived(now, &[&drawn.concat()]);
        let input = start.input.clone();
        let birth = self.birth(&sheet, id, input, None);
        self.lane.queue.push_back(Input::Start(number, birth));
    }

    /// The idempotency key of a client's start.
    pub(super) fn start_key(&self, number: usize) -> StartKey {
        StartKey { key: format!("start-{number}").into(), body: [number as u8; 32] }
    }

    /// A client has its answer.
    pub(super) fn acknowledge_start(&mut self, number: usize, id: ExecutionId) {
        self.starts[number].acknowledged = Some(id);
    }

    /// A client's start was refused: it tries again, unless it had been taken.
    pub(super) fn start_refused(&mut self, number: usize, refusal: &Refusal) -> Result<(), Broken> {
        match refusal {
            Refusal::KeyTaken { execution, same_body: true } => self.acknowledge_start(number, *execution),
            Refusal::Full | Refusal::Failed(_) => self.schedule(500, 2_000, Happening::Start(number)),
            other => return Err(format!("a start was refused: {other}")),
        }
        Ok(())
    }

    fn publish(&mut self, number: usize) -> Result<(), Broken> {
        let Some((event, starts)) = self.posts.get(number).map(|post| (post.event.clone(), post.starts))
        else {
            return Ok(());
        };
        let mut arrival = Arrival {
            event: event.clone(),
            accepted: self.now,
            starts: Vec::new(),
            deliveries: Vec::new(),
            dead: Vec::new(),
        };
        if starts {
            let sheet = self.sheets.first().cloned().ok_or("no definition")?;
            let id = ExecutionId::derived(self.now, &[&self.seed.to_be_bytes(), event.id.as_bytes()]);
            let input = Value::from(self.dice.between(0, 4));
            let birth = self.birth(&sheet, id, input, None);
            arrival.starts.push(pending(&sheet, &birth));
        }
        self.post(number, arrival);
        Ok(())
    }

    /// A post is durable. Tells whether it was new.
    pub(super) fn acknowledge_post(&mut self, number: usize, committed: &Committed) -> bool {
        if let Some(post) = self.posts.get_mut(number) {
            post.acknowledged = true;
        }
        let new = matches!(committed.arrivals.first(), Some(Accepted::Stored(_)));
        if !new {
            self.hit_all(Fault::EventRepeated);
        }
        new
    }

    /// A post was refused: the client tries again.
    pub(super) fn post_refused(&mut self, number: usize) {
        self.schedule(500, 2_000, Happening::Post(number));
    }

    fn all_acknowledged(&self) -> bool {
        self.starts.iter().all(|start| start.acknowledged.is_some())
            && self.posts.iter().all(|post| post.acknowledged)
    }

    /// Events that clients have posted and starts they have made, as acknowledged.
    pub(super) fn promises(&self) -> (Vec<Arc<Event>>, Vec<ExecutionId>) {
        let events = self.posts.iter().filter(|post| post.acknowledged).map(|post| post.event.clone());
        (events.collect(), self.starts.iter().filter_map(|start| start.acknowledged).collect())
    }

    fn operate(&mut self) -> Result<(), Broken> {
        let rows = self.executions(&[])?;
        if rows.is_empty() {
            return Ok(());
        }
        let row = self.dice.pick(&rows).clone();
        let verb = match self.dice.below(10) {
            0 | 1 => Verb::Cancel,
            2..6 => {
                let held = Input::Verb(row.id, Verb::Resume, None);
                self.schedule(200, 12_000, Happening::Hand(held));
                Verb::Suspend
            }
            6 => Verb::Resume,
            _ => {
                let input = self.dice.permille(400).then(|| Value::from(self.dice.between(0, 3)));
                let sheet = self.sheet(&row.workflow).filter(|_| self.dice.permille(300));
                let from = sheet.map(|sheet| self.dice.pick(&sheet.program.tasks).reference.clone());
                Verb::Retry { input, from }
            }
        };
        if row.status.ended() {
            // Only a retry has a meaning now; it is done at most so often that the world ends.
            if self.account.retries >= 3 {
                return Ok(());
            }
            self.account.retries += 1;
        }
        self.lane.queue.push_back(Input::Verb(row.id, verb, None));
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

    fn may_crash(&mut self, permille: u64) -> bool {
        let crashes = self.crashes < CRASHES && self.dice.permille(permille);
        self.crashes += u32::from(crashes);
        crashes
    }

    /// Something breaks out of turn. Tells whether it did.
    fn break_something(&mut self) -> Result<bool, Broken> {
        match self.dice.below(5) {
            0 => {
                let early: Vec<_> = self.lane.near.iter().copied().filter(|due| due.at > self.now).collect();
                if early.is_empty() {
                    return Ok(false);
                }
                let due = *self.dice.pick(&early);
                self.hit(Fault::TimerEarly, [due.execution]);
                self.lane.queue.push_back(Input::Timer(due));
            }
            1 if self.dice.permille(150) => {
                self.hit_all(Fault::ClockJump);
                self.now = Time(self.now.0 + *self.dice.pick(&[5_000, 60_000, 86_400_000]));
            }
            2 | 3 => {
                let slots = self
                    .lane
                    .slots
                    .iter()
                    .filter(|(_, slot)| slot.undurable == 0 && slot.deferred.is_empty());
                let idle: Vec<ExecutionId> = slots.map(|(id, _)| *id).collect();
                if idle.is_empty() {
                    return Ok(false);
                }
                let id = *self.dice.pick(&idle);
                self.hit(Fault::Evicted, [id]);
                self.lane.slots.remove(&id);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The process dies; another one takes up what is durable.
    fn crash(&mut self) -> Result<(), Broken> {
        self.tell(|| "the process dies".into());
        self.note_durable()?;
        self.store = self.faults.crash();
        self.faults = self.store.faults();
        self.faults.hold();
        self.faults.space(self.outside.space);
        self.lane = Lane { recovering: true, ..Lane::default() };
        let agenda = std::mem::take(&mut self.agenda);
        for (key, what) in agenda {
            // Answers die with the process that asked, but for some that come all the same.
            let lost = matches!(what, Happening::Answer { .. }) && self.dice.permille(700);
            if !lost && !matches!(what, Happening::Hand(Input::Timer(_))) {
                self.agenda.insert(key, what);
            }
        }
        self.outside.forget();
        for number in 0..self.starts.len() {
            if self.starts[number].acknowledged.is_none() {
                self.schedule(500, 2_000, Happening::Start(number));
            }
        }
        for number in 0..self.posts.len() {
            if !self.posts[number].acknowledged {
                self.schedule(500, 2_000, Happening::Post(number));
            }
        }
        self.take_up()
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
