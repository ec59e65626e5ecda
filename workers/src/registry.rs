//! Which function an order means, and the rules that hold for every call of it.
//!
//! Owns versions, aliases, timeouts, schemas and counters. The one place that ends a call that takes too long; how a
//! call is made is the function's own affair.

mod entry;
mod manifest;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace};
use tidemill_dsl::order::{
    Call, DEFAULT_CALL_TIMEOUT, HttpRequest, Order, Outcome, ProcessRun, SINK_FUNCTION,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use entry::{Counters, Entry};
pub use entry::{FunctionKind, FunctionSpec, FunctionStats, HttpSpec};
pub use manifest::ONE_SHOT_CONCURRENCY;

use crate::Function;
use crate::clock::{Clock, mark};
use crate::egress::{Allow, Policy};
use crate::http::sink::{self, Sender};
use crate::http::{CALLS_IN_FLIGHT, Outbound, perform};
use crate::process::{InstanceStatus, Programs};
use crate::secret::{Connections, SecretSource};

/// How long a request of `call: http` may take when no timeout of a task or workflow says otherwise.
pub const HTTP_TIMEOUT: Duration = Duration::from_mins(1);

/// Every function of every namespace, and the way out for `call: http`.
pub struct Registry {
    functions: RwLock<HashMap<Namespace, HashMap<Arc<str>, Published>>>,
    egress: RwLock<Egress>,
    open: Arc<Semaphore>,
    secrets: Arc<dyn SecretSource>,
    connections: RwLock<Connections>,
    clock: Clock,
    requests: Counters,
    programs: RwLock<Programs>,
    runs: Counters,
    sinks: RwLock<HashMap<&'static str, Arc<dyn Function>>>,
    sent: Counters,
}

struct Egress {
    general: Outbound,
    of_namespace: HashMap<Namespace, Outbound>,
}

/// The versions of one function.
#[derive(Default)]
struct Published {
    versions: BTreeMap<u32, Arc<Entry>>,
    aliases: BTreeMap<Arc<str>, Vec<(u32, u8)>>,
}

impl Registry {
    /// An empty registry with the outbound policy of the server.
    pub fn new(policy: Policy, secrets: Arc<dyn SecretSource>, clock: Clock) -> Registry {
        let open = Arc::new(Semaphore::new(CALLS_IN_FLIGHT));
        let general = Outbound::new(policy, open.clone());
        let egress = RwLock::new(Egress { general, of_namespace: HashMap::new() });
        Registry {
            functions: RwLock::default(),
            egress,
            open,
            secrets,
            connections: RwLock::new(Arc::new(|_, _| None)),
            clock,
            requests: Counters::default(),
            programs: RwLock::default(),
            runs: Counters::default(),
            sinks: RwLock::default(),
            sent: Counters::default(),
        }
    }

    /// Replaces the server's outbound policy; functions published from now on use it.
    pub fn set_policy(&self, policy: Policy) {
        let mut egress = self.egress.write().unwrap_or_else(PoisonError::into_inner);
        egress.general = Outbound::new(policy, self.open.clone());
        egress.of_namespace.clear();
    }

    /// Sets what run tasks may start; until then nothing.
    pub fn set_programs(&self, programs: Programs) {
        *self.programs.write().unwrap_or_else(PoisonError::into_inner) = programs;
    }

    /// Sets what sends to sinks of a kind; sinks of kind `http` are the registry's own.
    pub fn set_sink(&self, kind: &'static str, function: Arc<dyn Function>) {
        self.sinks.write().unwrap_or_else(PoisonError::into_inner).insert(kind, function);
    }

    /// Sets where the HTTP connections that sinks name are read from; until then there are none.
    pub fn set_connections(&self, connections: Connections) {
        *self.connections.write().unwrap_or_else(PoisonError::into_inner) = connections;
    }

    /// Sets what a namespace may call besides what the server's policy allows (`egress.allow` of a Namespace).
    pub fn set_egress(&self, namespace: &str, allow: Vec<Allow>) {
        let mut egress = self.egress.write().unwrap_or_else(PoisonError::into_inner);
        if allow.is_empty() {
            egress.of_namespace.remove(namespace);
            return;
        }
        let mut policy = egress.general.policy().clone();
        policy.allow.extend(allow);
        egress.of_namespace.insert(namespace.into(), Outbound::new(policy, self.open.clone()));
    }

    /// The way out for a namespace.
    pub fn outbound(&self, namespace: &str) -> Outbound {
        let egress = self.egress.read().unwrap_or_else(PoisonError::into_inner);
        egress.of_namespace.get(namespace).unwrap_or(&egress.general).clone()
    }

    /// Publishes a version. A version that is there already is replaced for new calls; calls in flight end on the
    /// old one. Within a tokio runtime the `minInstances` of a resident function are started at once.
    pub fn publish(&self, namespace: &str, name: &str, version: u32, spec: FunctionSpec) {
        let outbound = self.outbound(namespace);
        let entry = Entry::new(namespace, spec, outbound, self.secrets.clone(), self.clock.clone());
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        let names = functions.entry(namespace.into()).or_default();
        names.entry(name.into()).or_default().versions.insert(version, Arc::new(entry));
    }

    /// Removes a function with all its versions and aliases.
    pub fn remove(&self, namespace: &str, name: &str) {
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = functions.get_mut(namespace) {
            names.remove(name);
        }
    }

    /// Sets an alias: versions with weights that sum to 100. Without weights the alias is removed.
    pub fn set_alias(
        &self,
        namespace: &str,
        name: &str,
        alias: &str,
        weights: Vec<(u32, u8)>,
    ) -> Result<(), Fault> {
        let sum: u32 = weights.iter().map(|(_, weight)| u32::from(*weight)).sum();
        if !weights.is_empty() && sum != 100 {
            return Err(Fault::configuration(format!(
                "the weights of the alias `{alias}` sum to {sum}, not to 100"
            )));
        }
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        let published = functions.get_mut(namespace).and_then(|names| names.get_mut(name));
        let published = published.ok_or_else(|| unknown(namespace, name))?;
        if let Some((version, _)) =
            weights.iter().find(|(version, _)| !published.versions.contains_key(version))
        {
            return Err(Fault::configuration(format!("the function `{name}` has no version {version}")));
        }
        if weights.is_empty() {
            published.aliases.remove(alias);
        } else {
            published.aliases.insert(alias.into(), weights);
        }
        Ok(())
    }

    /// The version that a text means for an execution: a number, `latest` (or nothing) for the highest, or an alias,
    /// whose choice is the same for every call of one execution.
    pub fn resolve(&self, namespace: &str, name: &str, version: &str, of: ExecutionId) -> Result<u32, Fault> {
        self.find(namespace, name, version, of).map(|(number, _)| number)
    }

    fn find(
        &self,
        namespace: &str,
        name: &str,
        version: &str,
        of: ExecutionId,
    ) -> Result<(u32, Arc<Entry>), Fault> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        let published = functions.get(namespace).and_then(|names| names.get(name));
        let published = published.ok_or_else(|| unknown(namespace, name))?;
        let number = published.number(version, of);
        let found = number.and_then(|number| published.versions.get_key_value(&number));
        found.map(|(number, entry)| (*number, entry.clone())).ok_or_else(|| {
            let there: Vec<_> = published.versions.keys().map(u32::to_string).collect();
            let there = there.join(", ");
            Fault::configuration(format!(
                "the function `{name}` has no version or alias `{version}`; it has {there}"
            ))
        })
    }

    /// The outcome of an order that need not be waited for: builtins that answer at once, and orders that no
    /// function can answer.
    pub fn at_once(&self, order: &Order) -> Option<Outcome> {
        let Call::Function { name, version, input } = &order.what else {
            return None;
        };
        if **name == *SINK_FUNCTION {
            return None;
        }
        match self.find(&order.namespace, name, version, order.execution) {
            Ok((_, entry)) => entry.at_once(input).map(|outcome| order.masks.hide(outcome)),
            Err(fault) => Some(Outcome::Failed(fault)),
        }
    }

    /// Performs an order. The call ends with a timeout error (408) when the function's timeout or the order's
    /// deadline has passed, whichever is first, and without an outcome of interest when `stop` is cancelled.
    pub async fn call(&self, order: Order, stop: CancellationToken) -> Outcome {
        let masks = order.masks.clone();
        let outcome = match &order.what {
            // The large ones on the heap: the future of every call would be as large, and it is moved at its spawn.
            Call::Http(request) => Box::pin(self.request(&order, request, stop)).await,
            Call::Process(run) => Box::pin(self.program(&order, run, stop)).await,
            Call::Function { name, version, .. } if **name == *SINK_FUNCTION => {
                Box::pin(self.send(&order, version, stop)).await
            }
            Call::Function { name, version, .. } => {
                match self.find(&order.namespace, name, version, order.execution) {
                    Ok((_, entry)) => entry.call(order, stop, &self.clock).await,
                    Err(fault) => Outcome::Failed(fault),
                }
            }
        };
        masks.hide(outcome)
    }

    async fn request(&self, order: &Order, request: &HttpRequest, stop: CancellationToken) -> Outcome {
        let outbound = self.outbound(&order.namespace);
        let limit = order.deadline.map_or(HTTP_TIMEOUT, |deadline| self.clock.until(deadline));
        let begun = mark();
        self.requests.begin();
        let call = async {
            tokio::time::timeout(limit, perform(&outbound, request)).await.unwrap_or_else(|_| {
                let (method, uri, waited) = (&request.method, &request.uri, limit.as_millis());
                Outcome::Failed(Fault::timeout(format!("{method} {uri} gave no answer within {waited} ms")))
            })
        };
        let outcome = crate::cut_off(stop, call).await;
        self.requests.end(begun.elapsed(), matches!(outcome, Outcome::Failed(_)));
        outcome
    }

    /// Sends an event to a sink.
    async fn send(&self, order: &Order, kind: &str, stop: CancellationToken) -> Outcome {
        let function = self.sinks.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned();
        let limit = order.deadline.map_or(DEFAULT_CALL_TIMEOUT, |deadline| self.clock.until(deadline));
        let begun = mark();
        self.sent.begin();
        let call = async {
            let sending = async {
                match function {
                    Some(function) => function.call(order.clone(), stop.clone()).await,
                    None if kind == "http" => {
                        let sender = Sender {
                            outbound: self.outbound(&order.namespace),
                            secrets: &*self.secrets,
                            connections: self
                                .connections
                                .read()
                                .unwrap_or_else(PoisonError::into_inner)
                                .clone(),
                            now: self.clock.now(),
                        };
                        sink::send(&sender, order).await
                    }
                    None => {
                        Outcome::Failed(Fault::configuration(format!("there is no sink of kind `{kind}`")))
                    }
                }
            };
            tokio::time::timeout(limit, sending).await.unwrap_or_else(|_| {
                let waited = limit.as_millis();
                Outcome::Failed(Fault::timeout(format!(
                    "the {kind} sink did not take the event within {waited} ms"
                )))
            })
        };
        let outcome = crate::cut_off(stop.clone(), call).await;
        self.sent.end(begun.elapsed(), matches!(outcome, Outcome::Failed(_)));
        outcome
    }

    async fn program(&self, order: &Order, run: &ProcessRun, stop: CancellationToken) -> Outcome {
        let programs = self.programs.read().unwrap_or_else(PoisonError::into_inner).clone();
        let begun = mark();
        self.runs.begin();
        let outcome = crate::cut_off(stop, programs.call(order, run, &self.clock)).await;
        self.runs.end(begun.elapsed(), matches!(outcome, Outcome::Failed(_)));
        outcome
    }

    /// Counters of every function version, and of `call: http`, of run tasks and of sinks under an empty namespace and
    /// the names `http`, `run` and `sink`.
    pub fn stats(&self) -> Vec<FunctionStats> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        let own = [(&self.requests, "http"), (&self.runs, "run"), (&self.sent, "sink")];
        let mut all: Vec<_> = own.iter().map(|(counters, name)| counters.stats("", name, 0)).collect();
        for (namespace, names) in functions.iter() {
            for (name, published) in names {
                let versions = published.versions.iter();
                all.extend(versions.map(|(number, entry)| entry.counters.stats(namespace, name, *number)));
            }
        }
        all.sort_by(|a, b| (&a.namespace, &a.name, a.version).cmp(&(&b.namespace, &b.name, b.version)));
        all
    }

    /// The instances of a function by version; empty for functions that have none.
    pub fn instances(&self, namespace: &str, name: &str) -> Vec<(u32, InstanceStatus)> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        let published = functions.get(namespace).and_then(|names| names.get(name));
        let versions = published.into_iter().flat_map(|published| &published.versions);
        versions
            .flat_map(|(number, entry)| entry.instances().into_iter().map(|status| (*number, status)))
            .collect()
    }
}

impl Published {
    fn number(&self, version: &str, of: ExecutionId) -> Option<u32> {
        if let Some(weights) = self.aliases.get(version) {
            return choose(weights, of);
        }
        match version {
            "" | "latest" => self.versions.keys().next_back().copied(),
            number => number.parse().ok(),
        }
    }
}

/// The version of an alias for an execution: by a hash of its id, so that retries stay on one version.
fn choose(weights: &[(u32, u8)], of: ExecutionId) -> Option<u32> {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(of.0);
    let mut point = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % 100;
    for (version, weight) in weights {
        match point.checked_sub(u32::from(*weight)) {
            None => return Some(*version),
            Some(rest) => point = rest,
        }
    }
    None
}

fn unknown(namespace: &str, name: &str) -> Fault {
    Fault::configuration(format!("there is no function `{name}` in the namespace `{namespace}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_dsl::ids::Time;

    #[test]
    fn an_alias_splits_by_weight_and_sticks() {
        let weights = [(1, 75), (2, 25)];
        let mut second = 0_u32;
        for n in 0..10_000_u32 {
            let id = ExecutionId::derived(Time(0), &[&n.to_be_bytes()]);
            let chosen = choose(&weights, id);
            assert_eq!(chosen, choose(&weights, id));
            second += u32::from(chosen == Some(2));
        }
        assert!((2400..2600).contains(&second), "{second} of 10000 on the version with weight 25");
    }
}
