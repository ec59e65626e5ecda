//! The whole service in one process, asked over real HTTP: the sentences of the API's contract.

mod definitions;
mod delivery;
mod door;
mod events;
mod executions;
mod routes;
mod service;
mod stream;
