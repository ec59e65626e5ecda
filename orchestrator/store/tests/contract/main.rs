//! The contract of the stores: one suite for all of them, and the memory store as the measure of the others.

// A test that cannot go on says so by a panic, and tells its seed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod batches;
mod blobs;
mod crash;
mod fixture;
mod full;
mod questions;
mod stream;
mod suite;
mod threads;

/// Runs every check of the suite on one store.
macro_rules! on_each_store {
    ($($check:ident,)*) => {
        mod memory {
            $(#[test]
            fn $check() {
                crate::suite::$check(&tidemill_store::MemoryStore::new());
            })*
        }
        mod sqlite {
            $(#[test]
            fn $check() {
                let folder = tempfile::tempdir().unwrap();
                crate::suite::$check(&crate::batches::sqlite(folder.path()));
            })*
        }
    };
}

on_each_store! {
    an_execution_is_listed_and_its_log_is_read_in_order,
    a_taken_key_refuses_the_whole_batch,
    an_existing_id_refuses_the_whole_batch,
    a_refused_batch_leaves_its_neighbours,
    a_stale_epoch_refuses_the_batch,
    duplicates_are_told_with_their_first_position,
    what_is_known_by_its_position_is_stored_again,
    long_keys_are_told_apart,
    lists_go_by_start_or_creation_and_page,
    lists_filter_by_all_that_is_asked,
    restarts_look_at_what_runs,
    transitions_are_found_by_sequence,
    snapshots_cut_the_log_short,
    timers_come_in_order,
    inbox_items_are_kept_once_until_done,
    deliveries_of_a_key_go_one_by_one,
    deliveries_go_by_priority_then_position,
    dead_letters_are_listed_and_settled,
    revisions_stay_and_manifests_go,
    operator_rows_are_written_and_removed,
    retention_goes_in_slices_and_spares_what_lives,
    retention_forgets_keys_with_their_events,
    each_namespace_keeps_as_long_as_it_says,
    overlap_leaves_out_what_comes_while_one_is_stored,
    a_dropped_namespace_is_gone_and_others_stay,
    positions_never_come_twice,
    a_closed_store_refuses,
}
