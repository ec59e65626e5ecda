//! What breaks: the process dies, the store fails or loses a batch, timers come early, memory is lost, the clock jumps.
//!
//! Owns the throws that break something, each noted in the coverage matrix.

use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_store::memory::Space;

use super::coverage::Fault;
use super::lane::{Input, Lane};
use super::world::{Broken, Happening, World};

/// Crashes of one world, at most.
const CRASHES: u32 = 5;

impl World {
    /// The disk makes some of what is submitted durable.
    pub(super) fn commit(&mut self) -> Result<(), Broken> {
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

    pub(super) fn may_crash(&mut self, permille: u64) -> bool {
        let crashes = self.crashes < CRASHES && self.dice.permille(permille);
        self.crashes += u32::from(crashes);
        crashes
    }

    /// Something breaks out of turn. Tells whether it did.
    pub(super) fn break_something(&mut self) -> bool {
        match self.dice.below(5) {
            0 => {
                let early: Vec<_> = self.lane.near.iter().copied().filter(|due| due.at > self.now).collect();
                if early.is_empty() {
                    return false;
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
                    return false;
                }
                let id = *self.dice.pick(&idle);
                self.hit(Fault::Evicted, [id]);
                self.lane.slots.remove(&id);
            }
            _ => return false,
        }
        true
    }

    /// The process dies; another one takes up what is durable.
    pub(super) fn crash(&mut self) -> Result<(), Broken> {
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
}
