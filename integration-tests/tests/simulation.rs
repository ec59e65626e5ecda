//! The seeded simulation, in four shares so that every core has work: see `tidemill_integration_tests::simulation`.
//!
//! `TIDEMILL_SIM_SEED=N` replays one seed; `TIDEMILL_SIM_EXECUTIONS=N` sets how many executions are run in all.

use tidemill_integration_tests::simulation::{self, Settings};

/// How many tests share the seeds.
const SHARES: u64 = 4;
/// With fewer executions in a share, empty cells of its matrix say nothing.
const ENOUGH: u64 = 4_000;

#[allow(clippy::print_stderr, reason = "the matrix is what a reader of the run wants to see")]
fn check(share: u64) {
    let settings = Settings::from_environment();
    let tally = simulation::share(settings, share, SHARES).unwrap_or_else(|report| panic!("{report}"));
    eprintln!("share {share}: {} executions in {} worlds\n{}", tally.executions, tally.seeds, tally.matrix);
    if settings.seed.is_none() {
        assert!(tally.executions * SHARES >= settings.executions);
        let empty = tally.matrix.empty();
        assert!(
            empty.is_empty() || tally.executions < ENOUGH,
            "no fault of this kind hit such a task: {empty:?}"
        );
    }
}

#[test]
fn share_0() {
    check(0);
}

#[test]
fn share_1() {
    check(1);
}

#[test]
fn share_2() {
    check(2);
}

#[test]
fn share_3() {
    check(3);
}

#[test]
fn a_replay_is_the_same_run() {
    for seed in 900_001..900_006 {
        let (first, again) = (simulation::seed(seed), simulation::seed(seed));
        assert_eq!(first, again, "seed {seed}");
        assert!(first.is_ok_and(|outcome| outcome.executions > 0));
    }
}
