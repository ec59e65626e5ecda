//! `serve`: the service, as an operator runs it.

use super::args::{Settings, Shared};
use super::exit::Outcome;
use super::{service, settings};
use crate::config::Purpose;
use crate::telemetry;

pub(super) async fn run(args: &Settings, shared: &Shared) -> Outcome {
    let config = settings::read(args, shared, &Purpose::Serve)?;
    telemetry::log(config.log_format, config.log_level.as_deref().unwrap_or("info"));
    service::run(&config, async |_| Ok(std::future::pending())).await
}
