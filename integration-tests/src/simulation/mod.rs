//! The seeded simulation: the real engine and the store contract under a simulated clock, network and disk, with a
//! process that dies at named points (testing-and-performance.md, "Kinds of test" 2).
//!
//! A seed is a world: three generated definitions, some starts, events and verbs, and what breaks when. Equal seeds
//! give equal worlds. Nothing here touches a file, a socket or a clock.

mod author;
mod checks;
mod clients;
mod commit;
mod coverage;
mod dice;
mod disorder;
mod driver;
mod elsewhere;
mod inbox;
mod lane;
mod outside;
mod recovery;
mod signals;
mod world;
mod yaml;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use coverage::{Fault, Matrix, Row};
use tidemill_store::Read as _;
use world::World;

/// Executions of one run of all the tests, unless the environment says otherwise.
const EXECUTIONS: u64 = 20_000;

/// What the environment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Replays this seed alone (`TIDEMILL_SIM_SEED`).
    pub seed: Option<u64>,
    /// Executions to run, over all shares (`TIDEMILL_SIM_EXECUTIONS`).
    pub executions: u64,
}

impl Settings {
    /// Reads the environment. A text that is no number counts as absent.
    pub fn from_environment() -> Settings {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        Settings {
            seed: number("TIDEMILL_SIM_SEED"),
            executions: number("TIDEMILL_SIM_EXECUTIONS").unwrap_or(EXECUTIONS),
        }
    }
}

/// What some seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Worlds.
    pub seeds: u64,
    /// Executions in them.
    pub executions: u64,
    /// Which faults hit which kinds of task.
    pub matrix: Matrix,
}

/// What one seed came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Executions in its world.
    pub executions: u64,
    /// Which faults hit which kinds of task.
    pub matrix: Matrix,
    /// Hash of every log, in order: equal on every replay.
    pub digest: u64,
}

/// Runs one seed. The error is a report: what is broken, how to replay it, the definitions and the histories.
pub fn seed(seed: u64) -> Result<Outcome, String> {
    run(seed, false)
}

fn run(seed: u64, told: bool) -> Result<Outcome, String> {
    let mut world = World::new(seed, told).map_err(|broken| report(seed, &broken, None))?;
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let ran = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    ran.map_err(|broken| report(seed, &broken, Some(&world)))?;
    let log = world.store.stream(0, false, usize::MAX).map_err(|error| error.to_string())?;
    let mut digest = DefaultHasher::new();
    for (pos, transition) in &log {
        (pos, transition.execution, transition.time.0, &transition.body).hash(&mut digest);
    }
    let executions =
        world.executions(&[]).map_err(|broken| report(seed, &broken, Some(&world)))?.len() as u64;
    Ok(Outcome { executions, matrix: world.matrix, digest: digest.finish() })
}

/// Runs the seeds `share`, `share + shares`, ... until they hold their share of the executions.
pub fn share(settings: Settings, share: u64, shares: u64) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut next = share;
    if let Some(wanted) = settings.seed {
        if wanted % shares != share {
            return Ok(tally);
        }
        next = wanted;
    }
    loop {
        let outcome = run(next, settings.seed.is_some())?;
        tally.seeds += 1;
        tally.executions += outcome.executions;
        tally.matrix.add(&outcome.matrix);
        next += shares;
        if settings.seed.is_some() || tally.executions * shares >= settings.executions {
            return Ok(tally);
        }
    }
}

fn report(seed: u64, broken: &str, world: Option<&World>) -> String {
    let mut out = format!("seed {seed}: {broken}\nreplay: cargo xtask sim --seed {seed}\n");
    for sheet in world.map_or(&[][..], |world| world.sheets()) {
        out.push_str("---\n");
        out.push_str(&sheet.text);
    }
    if let Some(world) = world {
        out.push_str("--- histories\n");
        out.push_str(&world.histories());
        out.push_str("--- what happened\n");
        world.told.iter().flatten().for_each(|line| {
            out.push_str(line);
            out.push('\n');
        });
    }
    out
}
