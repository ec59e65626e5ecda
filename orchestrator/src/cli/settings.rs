//! `config show`: the settings in force and where each comes from.

use tidemill_dsl::value::Value;

use super::args::{Form, Settings, Shared};
use super::exit::{Failure, OK, Outcome};
use super::output;
use crate::config::{Config, Environment, Layers, Origin, Places, Purpose};

/// Reads the configuration of the command line.
pub(super) fn read(settings: &Settings, shared: &Shared, purpose: &Purpose) -> Result<Config, Failure> {
    let environment = Environment::of_process();
    let layers = Layers::read(shared.config.as_deref(), &environment, settings.given())?;
    Ok(layers.resolve(purpose, &Places::of(&environment))?)
}

/// `config show`: what was set, or with `effective` everything in force.
pub(super) fn show(settings: &Settings, shared: &Shared, effective: bool) -> Outcome {
    let environment = Environment::of_process();
    let layers = Layers::read(shared.config.as_deref(), &environment, settings.given())?;
    let config = layers.resolve(&Purpose::Serve, &Places::of(&environment))?;
    let rows: Vec<Value> = layers
        .effective(&config)
        .into_iter()
        .filter(|(_, setting)| effective || setting.origin != Origin::Default)
        .map(|(path, setting)| {
            Value::object([
                ("setting", Value::text(path)),
                ("value", Value::from(setting.value)),
                ("origin", Value::text(setting.origin.to_string())),
            ])
        })
        .collect();
    let columns = [("SETTING", "/setting"), ("VALUE", "/value"), ("ORIGIN", "/origin")];
    output::list(shared.output, &rows, &columns);
    if rows.is_empty() && matches!(shared.output, None | Some(Form::Table)) {
        output::note("no setting was made; all of them: tidemill config show --effective");
    }
    Ok(OK)
}
