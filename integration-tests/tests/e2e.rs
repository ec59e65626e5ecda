//! The whole binary from outside, where it hurts: a full disk, a broker and kills, buffers over kills, drains, retention.
//!
//! Each test starts the real binary on a folder of its own. Heavy ones are named `heavy_*` and run alone.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "e2e/buffer.rs"]
mod buffer;
#[path = "e2e/connections.rs"]
mod connections;
#[path = "e2e/contract.rs"]
mod contract;
#[path = "e2e/cron.rs"]
mod cron;
#[path = "e2e/desk.rs"]
mod desk;
#[path = "e2e/disk.rs"]
mod disk;
#[path = "e2e/elsewhere.rs"]
mod elsewhere;
#[path = "e2e/examples.rs"]
mod examples;
#[path = "e2e/functions.rs"]
mod functions;
#[path = "e2e/hook_limits.rs"]
mod hook_limits;
#[path = "e2e/hooks.rs"]
mod hooks;
#[path = "e2e/kafka.rs"]
mod kafka;
#[path = "e2e/kafka_group.rs"]
mod kafka_group;
#[path = "e2e/kafka_server.rs"]
mod kafka_server;
#[path = "e2e/kill.rs"]
mod kill;
#[path = "e2e/minio.rs"]
mod minio;
#[path = "e2e/minio_server.rs"]
mod minio_server;
#[path = "e2e/mysql.rs"]
mod mysql;
#[path = "e2e/mysql_large.rs"]
mod mysql_large;
#[path = "e2e/mysql_server.rs"]
mod mysql_server;
#[path = "e2e/mysql_tls.rs"]
mod mysql_tls;
#[path = "e2e/order.rs"]
mod order;
#[path = "e2e/pages.rs"]
mod pages;
#[path = "e2e/partner.rs"]
mod partner;
#[path = "e2e/rate.rs"]
mod rate;
#[path = "e2e/removal.rs"]
mod removal;
#[path = "e2e/responder.rs"]
mod responder;
#[path = "e2e/retention.rs"]
mod retention;
#[path = "e2e/round_trip.rs"]
mod round_trip;
#[path = "e2e/sinks.rs"]
mod sinks;
#[path = "e2e/states.rs"]
mod states;
#[path = "e2e/stop.rs"]
mod stop;
#[path = "e2e/support.rs"]
mod support;
