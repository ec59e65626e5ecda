//! `serve`: the service, as an operator runs it.

use super::args::{Settings, Shared};
use super::exit::Outcome;
use super::{logs, service, settings};
use crate::config::Purpose;

pub(super) async fn run(args: &Settings, shared: &Shared) -> Outcome {
    let config = settings::read(args, shared, &Purpose::Serve)?;
    logs::start(&config, "info");
    service::run(&config, async |_| Ok(std::future::pending())).await
}
