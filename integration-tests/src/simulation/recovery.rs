//! The simulated process folds executions from the store and takes up what is open in them.

use std::sync::Arc;

use tidemill_dsl::ids::ExecutionId;
use tidemill_engine as engine;
use tidemill_engine::record::{DueChange, Status, SubscriptionChange};
use tidemill_engine::{Effect, Execution};
use tidemill_store::Read as _;

use super::coverage::{Fault, Sheet};
use super::lane::{Input, Slot, Turn};
use super::world::{Broken, World};

impl World {
    /// After a restart: what is open is asked for again, with the same identities.
    pub(super) fn recover(&mut self, id: ExecutionId, turn: &mut Turn) -> Result<(), Broken> {
        if !self.load(id)? {
            return Ok(());
        }
        let Some(slot) = self.lane.slots.get(&id) else {
            return Ok(());
        };
        if slot.execution.status() == Status::Pending {
            self.step(id, engine::Input::Begin, turn)?;
            return Ok(());
        }
        let resumed = engine::resume(&slot.sheet.program, &slot.execution);
        turn.released.resumed.push(id);
        let mut absent = Vec::new();
        turn.released.due.extend(resumed.due.into_iter().map(DueChange::Set));
        turn.released.subscriptions.extend(resumed.subscriptions.into_iter().map(SubscriptionChange::Add));
        for effect in resumed.effects {
            match effect {
                // A child that was started with its parent's commit exists; its end comes through the inbox.
                Effect::StartChild { ref workflow, .. } if self.sheet(workflow).is_some() => {}
                Effect::StartChild { .. } => absent.push(effect),
                other => self.effect(id, other, turn),
            }
        }
        for effect in absent {
            self.effect(id, effect, turn);
        }
        if resumed.more {
            turn.released.pushes.push(Input::Continue(id));
        }
        Ok(())
    }

    /// The execution from memory, else folded from the store. Tells whether it exists.
    pub(super) fn load(&mut self, id: ExecutionId) -> Result<bool, Broken> {
        if self.lane.slots.contains_key(&id) {
            return Ok(true);
        }
        let Some((sheet, folded, snapshot)) = self.fold(id)? else {
            return Ok(false);
        };
        let last = self.store.transitions(id, folded.next_sequence() - 1, usize::MAX).unwrap_or_default();
        let records = last.last().map(|transition| engine::decode(&transition.body).unwrap_or_default());
        let recent = sheet.begun(&records.unwrap_or_default());
        let slot = Slot {
            sheet,
            snapshot: folded.transitions(),
            execution: folded,
            undurable: 0,
            born: true,
            deferred: Vec::new(),
            refold: false,
            recent,
        };
        self.lane.slots.insert(id, slot);
        if snapshot {
            let rows = self.rows(id);
            self.matrix.note(Fault::SnapshotDropped, rows);
        }
        Ok(true)
    }

    /// Folds an execution with its snapshot and without it: both give the same. Tells whether there was a snapshot.
    pub(super) fn fold(&self, id: ExecutionId) -> Result<Option<(Arc<Sheet>, Execution, bool)>, Broken> {
        let broken = |error: engine::DecodeError| format!("cannot fold {id}: {error}");
        let (snapshot, rest) = self.store.log(id).map_err(|error| error.to_string())?;
        let whole = self.store.transitions(id, 0, usize::MAX).map_err(|error| error.to_string())?;
        let Some(first) = whole.first() else {
            return Ok(None);
        };
        let birth = engine::birth_of(first).map_err(broken)?;
        let sheet = self.sheet(&birth.workflow).ok_or("an execution names no workflow")?;
        let execution = engine::fold(&sheet.program, &whole).map_err(broken)?;
        if let Some(snapshot) = &snapshot {
            let mut short = Execution::from_snapshot(&sheet.program, &snapshot.body).map_err(broken)?;
            for transition in &rest {
                short.follow(&sheet.program, transition).map_err(broken)?;
            }
            if short != execution {
                return Err(format!("the snapshot of {id} leads elsewhere:\n{short:#?}\n{execution:#?}"));
            }
        }
        Ok(Some((sheet, execution, snapshot.is_some())))
    }
}
