//! A function manifest as a specification to publish.
//!
//! Owns the translation, with the defaults that only a worker knows. Reads no text: the manifest is checked already.

use std::sync::Arc;

use tidemill_dsl::manifest::{Builtin as Named, Function, FunctionKind as Kind, Lifecycle, Setting};

use super::{FunctionKind, FunctionSpec, HttpSpec};
use crate::admission::Limits;
use crate::builtin::Builtin;
use crate::http::Auth;
use crate::process::ProcessConfig;
use crate::secret::{SecretSource, Text};

/// Processes of a one-shot function at one time when its manifest states no `limits.concurrency`.
pub const ONE_SHOT_CONCURRENCY: usize = 16;

impl FunctionSpec {
    /// What a manifest says. `path` is the PATH of its processes; a resident function admits as many calls as its
    /// instances take, a one-shot one as many as `limits.concurrency` says (default [`ONE_SHOT_CONCURRENCY`]).
    pub fn from_manifest(function: &Function, path: &str, secrets: &Arc<dyn SecretSource>) -> FunctionSpec {
        let stated = &function.limits;
        let mut limits = Limits { concurrency: stated.concurrency.map(count), ..Limits::default() };
        limits.queue = stated.queue.map_or(limits.queue, count);
        limits.queue_age = stated.queue_age;
        let kind = match &function.kind {
            Kind::Builtin(Named::Echo) => FunctionKind::Builtin(Builtin::Echo),
            Kind::Builtin(Named::Sleep) => FunctionKind::Builtin(Builtin::Sleep),
            Kind::Builtin(Named::Fail) => FunctionKind::Builtin(Builtin::Fail),
            Kind::Http { url, method, headers, auth } => FunctionKind::Http(HttpSpec {
                url: url.to_string(),
                method: method.to_string(),
                headers: texts(headers),
                auth: auth.as_ref().map(Auth::from),
            }),
            Kind::Process(process) => {
                let command = process.command.iter().map(ToString::to_string).collect();
                let mut config = ProcessConfig::new(command, secrets.clone());
                config.workdir = process.workdir.as_ref().map(|folder| folder.as_ref().into());
                config.environment = texts(&process.environment);
                path.clone_into(&mut config.path);
                config.memory = stated.memory;
                config.min_instances = count(process.min_instances);
                config.max_instances = count(process.max_instances);
                config.idle = process.idle;
                config.start_timeout = process.start_timeout;
                if process.lifecycle == Lifecycle::OneShot {
                    let most = limits.concurrency.unwrap_or(ONE_SHOT_CONCURRENCY);
                    config.concurrency = most;
                    limits.concurrency = Some(most);
                    FunctionKind::OneShot(config)
                } else {
                    config.concurrency = count(process.concurrency);
                    let places = config.max_instances.max(1).saturating_mul(config.concurrency.max(1));
                    limits.concurrency = Some(limits.concurrency.map_or(places, |most| most.min(places)));
                    FunctionKind::Resident(config)
                }
            }
        };
        let (input, output) = (function.input.clone(), function.output.clone());
        FunctionSpec { kind, timeout: function.timeout, input, output, limits }
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn texts(settings: &[(Arc<str>, Setting)]) -> Vec<(String, Text)> {
    settings.iter().map(|(name, setting)| (name.to_string(), setting.into())).collect()
}
