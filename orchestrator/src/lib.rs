//! The hall of Tidemill: ingress, shard driver, dispatch, API and CLI around the pure rooms.
//!
//! It wires; it parses no protocol and decides no workflow. The whole service repeats one sentence: take an input,
//! decide purely, commit once, then perform.

// The stack of the front door is one type, as deep as it has layers.
#![recursion_limit = "256"]

pub mod api;
pub mod apply;
pub mod bookmarks;
pub mod buffer;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod costs;
pub mod deliveries;
pub mod dispatch;
pub mod error;
pub mod feed;
pub mod graph;
pub mod hall;
pub mod hops;
pub mod ids;
pub mod inbox;
pub mod ingress;
pub mod keysets;
pub mod lanes;
pub mod lifecycle;
pub mod lint;
pub mod listeners;
pub mod logbook;
pub mod operations;
pub mod problem;
pub mod quotas;
pub mod redrive;
pub mod relations;
pub mod repair;
pub mod retention;
pub mod rooms;
pub mod secrets;
pub mod shard;
mod sinks;
pub mod sources;
pub mod stream;
pub mod telemetry;
pub mod timers;
pub mod view;
pub mod waiters;
