//! Dispatch: hands durable orders to the workers, their answers to the lanes, and published functions to the registry.
//!
//! Calls nothing itself and keeps no order: what was not answered is asked for again after a restart.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidemill_dsl::ids::{ExecutionId, Namespace, Visit};
use tidemill_dsl::manifest::Manifest;
use tidemill_dsl::order::{Call, Order};
use tidemill_dsl::value::Value;
use tidemill_workers::egress::{Allow, Policy};
use tidemill_workers::pool::{Answer, CALLS_IN_FLIGHT, Pool};
use tidemill_workers::process::{Groups, Programs};
use tidemill_workers::registry::{FunctionKind, FunctionSpec, Registry};
use tidemill_workers::secret::SecretSource;

use crate::catalog::{ManifestEntry, Space, Weights};
use crate::config::Config;
use crate::error::Error;
use crate::lanes::{Input, Lanes};
use crate::rooms::Rooms;
use crate::secrets::Secrets;

/// Functions by name.
type Published = HashMap<(Namespace, Arc<str>), Known>;

/// What is published of a function.
#[derive(Default)]
struct Known {
    /// Versions with their digests.
    versions: Vec<(u32, [u8; 32])>,
    aliases: BTreeMap<Arc<str>, Weights>,
}

/// Calls of the outside.
pub struct Dispatch {
    /// Published functions.
    pub registry: Arc<Registry>,
    pool: Pool,
    lanes: Lanes,
    secrets: Arc<dyn SecretSource>,
    process_dir: Option<PathBuf>,
    path: String,
    groups: Groups,
    /// What the registry has.
    published: Mutex<Published>,
    /// What each namespace may call besides, as set.
    egress: Mutex<HashMap<Namespace, Vec<Arc<str>>>>,
}

/// The secrets as the workers see them.
struct Door(Arc<Secrets>);

impl SecretSource for Door {
    fn read(&self, namespace: &str, name: &str) -> Option<Value> {
        tidemill_dsl::expr::Arguments::get(&self.0.of(namespace), name)
    }
}

impl Dispatch {
    /// Must be called on the runtime that performs the calls. Process groups are written down in `groups`.
    pub fn new(
        config: &Config,
        lanes: Lanes,
        secrets: Arc<Secrets>,
        groups: Groups,
    ) -> Result<Dispatch, Error> {
        let clock = tidemill_workers::Clock::system();
        let secrets: Arc<dyn SecretSource> = Arc::new(Door(secrets));
        let registry = Arc::new(Registry::new(policy(config)?, secrets.clone(), clock));
        registry.set_programs(programs(config).noted_in(groups.clone()));
        let answers = lanes.clone();
        let reply = Arc::new(move |list: Vec<Answer>| hand_over(&answers, list));
        let pool = Pool::new(registry.clone(), tokio::runtime::Handle::current(), CALLS_IN_FLIGHT, reply);
        let (process_dir, path) = (config.process_dir.clone(), config.process_path.clone());
        let (published, egress) = (Mutex::default(), Mutex::default());
        Ok(Dispatch { registry, pool, lanes, secrets, process_dir, path, groups, published, egress })
    }

    /// Performs durable orders; answers come back to their lanes as outcomes.
    pub fn perform(&self, orders: Vec<Order>) {
        let answers = self.pool.perform(orders);
        if !answers.is_empty() {
            hand_over(&self.lanes, answers);
        }
    }

    /// Puts a version in the place of the alias that an order names, and tells which; none if it names no alias.
    pub fn choose(&self, order: &mut Order) -> Option<u32> {
        let Call::Function { name, version, .. } = &mut order.what else {
            return None;
        };
        if version.is_empty() || &**version == "latest" || version.parse::<u32>().is_ok() {
            return None;
        }
        let chosen = self.registry.resolve(&order.namespace, name, version, order.execution).ok()?;
        *version = chosen.to_string().into();
        Some(chosen)
    }

    /// Cuts a call off.
    pub fn abort(&self, execution: ExecutionId, visit: Visit) {
        self.pool.abort(execution, visit);
    }

    /// Calls in flight and waiting.
    pub fn load(&self) -> (usize, usize) {
        self.pool.load()
    }

    /// CPU time of all calls so far, microseconds.
    pub fn cpu_micros(&self) -> u64 {
        self.pool.cpu_micros()
    }

    /// Takes no more orders and waits for those in flight, at most `limit`.
    pub async fn drain(&self, limit: Duration) {
        if tokio::time::timeout(limit, self.pool.drain()).await.is_err() {
            self.pool.abort_all();
        }
    }

    /// Publishes what the catalog has, removes what it has no longer.
    pub fn sync(&self, rooms: &Rooms) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Vec::new();
        let spaces = rooms.catalog.spaces();
        self.egress(&spaces, &mut published);
        for (namespace, space) in spaces {
            for (name, versions) in space.functions() {
                let key = (namespace.clone(), name.clone());
                let known = published.entry(key.clone()).or_default();
                for (version, entry) in versions {
                    let mark = (*version, entry.definition.digest);
                    if !known.versions.contains(&mark)
                        && let Some(spec) = self.spec(entry)
                    {
                        self.registry.publish(&namespace, name, *version, spec);
                        known.versions.push(mark);
                    }
                }
                self.alias(&key, known, &space);
                seen.push(key);
            }
        }
        published.retain(|key, _| {
            let keep = seen.contains(key);
            if !keep {
                self.registry.remove(&key.0, &key.1);
            }
            keep
        });
    }

    /// Sets the aliases that have changed, removes those that are gone.
    fn alias(&self, (namespace, name): &(Namespace, Arc<str>), known: &mut Known, space: &Space) {
        let wanted: BTreeMap<Arc<str>, Weights> =
            space.aliases(name).map(|(alias, entry)| (alias.clone(), entry.weights.clone())).collect();
        let gone = known.aliases.keys().filter(|alias| !wanted.contains_key(*alias));
        let gone = gone.map(|alias| (alias, Vec::new()));
        let changed = wanted.iter().filter(|(alias, weights)| known.aliases.get(*alias) != Some(weights));
        for (alias, weights) in gone.chain(changed.map(|(alias, weights)| (alias, weights.clone()))) {
            if let Err(fault) = self.registry.set_alias(namespace, name, alias, weights) {
                tracing::error!(function = %name, %alias, %fault, "cannot set an alias");
            }
        }
        known.aliases = wanted;
    }

    /// What the namespaces may call besides what the server allows. Functions have their way out from when they were
    /// published: where it has changed they are published anew.
    fn egress(&self, spaces: &[(Namespace, Arc<Space>)], published: &mut Published) {
        let mut known = self.egress.lock().unwrap_or_else(PoisonError::into_inner);
        let stated =
            |space: &Space| space.settings.as_ref().map(|own| own.egress.clone()).unwrap_or_default();
        let wanted: HashMap<Namespace, Vec<Arc<str>>> =
            spaces.iter().map(|(namespace, space)| (namespace.clone(), stated(space))).collect();
        let gone = known.keys().filter(|namespace| !wanted.contains_key(*namespace)).cloned();
        let changed = wanted.iter().filter(|(ns, allow)| known.get(*ns).is_none_or(|old| old != *allow));
        let changed: Vec<Namespace> = gone.chain(changed.map(|(ns, _)| ns.clone())).collect();
        for namespace in changed {
            let entries = wanted.get(&namespace).into_iter().flatten();
            // They were checked when the manifest was read.
            self.registry.set_egress(&namespace, entries.filter_map(|entry| entry.parse().ok()).collect());
            published
                .iter_mut()
                .filter(|(key, _)| key.0 == namespace)
                .for_each(|(_, known)| known.versions.clear());
        }
        *known = wanted;
    }

    fn spec(&self, entry: &ManifestEntry) -> Option<FunctionSpec> {
        let Manifest::Function(function) = &*entry.manifest else {
            return None;
        };
        let mut spec = FunctionSpec::from_manifest(function, &self.path, &self.secrets);
        if let FunctionKind::OneShot(process) | FunctionKind::Resident(process) = &mut spec.kind {
            process.workdir = match (process.workdir.take(), &self.process_dir) {
                (Some(dir), Some(base)) => Some(base.join(dir)),
                (dir, base) => dir.or_else(|| base.clone()),
            };
            process.groups = self.groups.clone();
        }
        Some(spec)
    }
}

/// Answers go to their lanes in whole lists.
fn hand_over(lanes: &Lanes, answers: Vec<Answer>) {
    let mut lists: Vec<Vec<Input>> = (0..lanes.count()).map(|_| Vec::new()).collect();
    for answer in answers {
        let input = Input::Outcome(answer.execution, answer.visit, answer.attempt, answer.outcome);
        lists[lanes.of(answer.execution)].push(input);
    }
    for (lane, list) in lists.into_iter().enumerate() {
        lanes.push(lane, list);
    }
}

/// What run tasks may start here.
fn programs(config: &Config) -> Programs {
    let allows = |kind: &str| config.run_allow.iter().any(|allowed| allowed == kind);
    Programs::new((allows("shell"), allows("script")), &config.process_path, config.process_dir.clone())
}

fn policy(config: &Config) -> Result<Policy, Error> {
    let bad =
        |what: &str, text: &str, why: String| Error::bad("config", format!("read {what}: `{text}` {why}"));
    let mut policy = Policy {
        own_listeners: vec![config.listen, config.metrics_listen],
        allow_loopback: config.egress_loopback,
        ..Policy::default()
    };
    for text in &config.egress_allow {
        let allow: Allow = text
            .parse()
            .map_err(|e: tidemill_workers::egress::BadAllow| bad("egress.allow", text, e.to_string()))?;
        policy.allow.push(allow);
    }
    for (host, target) in &config.egress_rewrite {
        let url = policy.read(target).map_err(|e| bad("egress.rewrite", target, e.to_string()))?;
        policy.rewrite.insert(host.to_lowercase(), url);
    }
    Ok(policy)
}
