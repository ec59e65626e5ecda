//! The settings in force as `config show` tells them: value and origin, passwords masked.

use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use super::keys::KEYS;
use super::layers::{Layers, Origin, Setting};
use super::{Config, LogFormat};

impl Layers {
    /// Every setting with its value in force and where it was said; passwords in URLs are masked.
    pub fn effective(&self, config: &Config) -> Vec<(&'static str, Setting)> {
        KEYS.iter()
            .map(|key| {
                let said = self.settings.get(key.path);
                let origin = said.map_or(Origin::Default, |setting| setting.origin.clone());
                (key.path, Setting { value: shown(config, key.path), origin })
            })
            .collect()
    }
}

fn shown(config: &Config, path: &str) -> Value {
    let text = |shown: &dyn std::fmt::Display| Value::from(shown.to_string());
    match path {
        "server.listen" => text(&config.listen),
        "metrics.listen" => text(&config.metrics_listen),
        "store" => Value::from(format!("sqlite:{}", config.database.display())),
        "data_dir" => text(&config.data_dir.display()),
        "durability" => Value::from(config.durability.word()),
        "lanes" => Value::from(config.lanes),
        "retention.executions" => Value::from(human(config.retain_executions)),
        "retention.events" => Value::from(human(config.retain_events)),
        "retention.every" => Value::from(human(config.retain_every)),
        "sources.reconcile" => Value::from(human(config.reconcile)),
        "limits.hop_count" => Value::from(config.hops),
        "limits.hook_guesses" => Value::from(config.hook_guesses),
        "egress.allow" => Value::from(config.egress_allow.clone()),
        "egress.rewrite" => {
            config.egress_rewrite.iter().map(|(host, url)| (host.clone(), Value::from(masked(url)))).collect()
        }
        "run.allow" => Value::from(config.run_allow.clone()),
        "drain" => Value::from(human(config.drain)),
        "log.level" => Value::from(config.log_level.as_deref().unwrap_or("info")),
        "log.format" => Value::from(if config.log_format == LogFormat::Json { "json" } else { "text" }),
        "auth.required" => Value::from(config.auth_required),
        _ => Value::Null,
    }
}

/// A URL whose password, if it has one, is not shown.
fn masked(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            let _ = parsed.set_password(Some("***"));
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

pub(super) fn human(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis > 0 && millis.is_multiple_of(length) {
            return format!("{}{unit}", millis / length);
        }
    }
    format!("{millis}ms")
}
