//! The catalog: every definition, checked and compiled, as one immutable snapshot that readers never lock for long.
//!
//! A write validates the whole set, commits it as one batch, then swaps the snapshot. Holds no executions.

mod aliases;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use semver::Version;
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Manifest, Overlap, RetryPolicy, Target};
use tidemill_dsl::matcher::Matcher;
use tidemill_dsl::program::Program;
use tidemill_store::{Definition, DefinitionKind, Store};
use tokio::sync::watch;

use self::aliases::weights;
pub use self::aliases::{AliasEntry, Weights};
use crate::error::Error;
use crate::rooms::Rooms;

/// How a changed text of an existing workflow version is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `serve`: a conflict.
    Serve,
    /// `dev`: a new revision.
    Dev,
}

/// A workflow version with its compiled form.
#[derive(Clone, Debug)]
pub struct WorkflowEntry {
    /// As stored.
    pub definition: Arc<Definition>,
    /// Compiled.
    pub program: Arc<Program>,
}

/// A manifest as stored and parsed.
#[derive(Clone, Debug)]
pub struct ManifestEntry {
    /// As stored.
    pub definition: Arc<Definition>,
    /// Parsed.
    pub manifest: Arc<Manifest>,
}

/// A trigger, ready to fire.
#[derive(Debug)]
pub struct TriggerEntry {
    /// Name.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Namespace,
    /// The manifest's spec.
    pub spec: manifest::Trigger,
    /// Rises with each change.
    pub generation: u64,
    /// Paused by an operator, or being deleted.
    pub paused: bool,
    /// The one-task workflow a function target is lowered to.
    pub lowered: Option<Arc<Program>>,
}

impl TriggerEntry {
    /// Whether its deliveries are stored in a buffer: it states one, retries of its own, or `overlap: queue`.
    pub fn buffered(&self) -> bool {
        self.spec.buffer.is_some() || self.retries().is_some() || self.spec.overlap == Overlap::Queue
    }

    /// How many of its executions may be open; `overlap: queue` is one, unless an order key says it per key.
    pub fn concurrency(&self) -> Option<usize> {
        let buffer = self.spec.buffer.as_ref();
        let stated = buffer.and_then(|b| b.concurrency).map(|n| n as usize);
        let keyed = buffer.is_some_and(|b| b.order_by.is_some());
        if self.spec.overlap == Overlap::Queue && !keyed { Some(1) } else { stated }
    }

    /// Retries of deliveries. A function target's retries are its lowered workflow's.
    pub fn retries(&self) -> Option<&RetryPolicy> {
        match self.spec.target {
            Target::Workflow { .. } => self.spec.retry.as_ref(),
            Target::Function { .. } => None,
        }
    }
}

/// One namespace's definitions.
#[derive(Debug, Default)]
pub struct Space {
    /// Text of its Namespace manifest, "" for none.
    pub text: Arc<str>,
    workflows: BTreeMap<Arc<str>, BTreeMap<Version, WorkflowEntry>>,
    functions: BTreeMap<Arc<str>, BTreeMap<u32, ManifestEntry>>,
    manifests: BTreeMap<(DefinitionKind, Arc<str>), ManifestEntry>,
    /// By function, then by alias.
    aliases: BTreeMap<Arc<str>, BTreeMap<Arc<str>, AliasEntry>>,
    triggers: BTreeMap<Arc<str>, Arc<TriggerEntry>>,
    order: Vec<Arc<TriggerEntry>>,
    matcher: Matcher,
    deleting: BTreeSet<(DefinitionKind, Arc<str>)>,
}

impl Space {
    /// The triggers that an event of a binding fires.
    pub fn matching(&self, binding: &str, event: &Event) -> Vec<Arc<TriggerEntry>> {
        self.matcher.matches(binding, event).into_iter().map(|i| self.order[i].clone()).collect()
    }

    /// A trigger.
    pub fn trigger(&self, name: &str) -> Option<&TriggerEntry> {
        self.triggers.get(name).map(Arc::as_ref)
    }

    /// All triggers by name.
    pub fn triggers(&self) -> impl Iterator<Item = &Arc<TriggerEntry>> {
        self.triggers.values()
    }

    /// What a trigger starts.
    pub fn target(&self, trigger: &TriggerEntry) -> Option<Arc<Program>> {
        match &trigger.spec.target {
            Target::Workflow { name, version } => {
                self.workflow(name, version.as_deref()).map(|w| w.program.clone())
            }
            Target::Function { .. } => trigger.lowered.clone(),
        }
    }

    /// A workflow version; none or `latest` is the highest.
    pub fn workflow(&self, name: &str, version: Option<&str>) -> Option<&WorkflowEntry> {
        let versions = self.workflows.get(name)?;
        match version {
            None | Some("latest") => versions.last_key_value().map(|(_, w)| w),
            Some(version) => versions.get(&Version::parse(version).ok()?),
        }
    }

    /// Every workflow: name, its versions in rising order.
    pub fn workflows(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<Version, WorkflowEntry>)> {
        self.workflows.iter()
    }

    /// A function version; none is the highest.
    pub fn function(&self, name: &str, version: Option<u32>) -> Option<&ManifestEntry> {
        let versions = self.functions.get(name)?;
        match version {
            None => versions.last_key_value().map(|(_, f)| f),
            Some(version) => versions.get(&version),
        }
    }

    /// Every function: name, its versions.
    pub fn functions(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<u32, ManifestEntry>)> {
        self.functions.iter()
    }

    /// A source, trigger, connection or queue (or a function's highest version).
    pub fn manifest(&self, kind: DefinitionKind, name: &str) -> Option<&ManifestEntry> {
        match kind {
            DefinitionKind::Function => self.function(name, None),
            _ => self.manifests.get(&(kind, name.into())),
        }
    }

    /// All of a kind by name (of functions the highest versions).
    pub fn manifests(&self, kind: DefinitionKind) -> Vec<&ManifestEntry> {
        if kind == DefinitionKind::Function {
            return self.functions.values().filter_map(|v| v.last_key_value().map(|(_, f)| f)).collect();
        }
        self.manifests.iter().filter(|((k, _), _)| *k == kind).map(|(_, m)| m).collect()
    }

    /// What is being deleted: it is shown, fires nothing, and goes when its source has let go of it.
    pub fn deleting(&self) -> &BTreeSet<(DefinitionKind, Arc<str>)> {
        &self.deleting
    }

    /// Whether a definition is being deleted.
    pub fn is_deleting(&self, kind: DefinitionKind, name: &str) -> bool {
        self.deleting.iter().any(|(own, deleted)| *own == kind && **deleted == *name)
    }

    pub(crate) fn mark_deleting(&mut self, kind: DefinitionKind, name: &str) {
        self.deleting.insert((kind, name.into()));
    }

    /// A copy to change.
    pub(crate) fn draft(&self) -> Space {
        Space {
            text: self.text.clone(),
            workflows: self.workflows.clone(),
            functions: self.functions.clone(),
            manifests: self.manifests.clone(),
            deleting: self.deleting.clone(),
            aliases: self.aliases.clone(),
            ..Space::default()
        }
    }

    pub(crate) fn put_workflow(&mut self, entry: WorkflowEntry) {
        let document = &entry.program.document;
        if let Ok(version) = Version::parse(&document.version) {
            self.workflows.entry(document.name.clone()).or_default().insert(version, entry);
        }
    }

    pub(crate) fn put_manifest(&mut self, entry: ManifestEntry) {
        let definition = &entry.definition;
        if definition.kind == DefinitionKind::Function {
            let version = definition.version.parse().unwrap_or(1);
            self.functions.entry(definition.name.clone()).or_default().insert(version, entry);
        } else {
            self.manifests.insert((definition.kind, definition.name.clone()), entry);
        }
    }

    pub(crate) fn remove(&mut self, kind: DefinitionKind, name: &str, version: &str) -> bool {
        self.deleting.remove(&(kind, name.into()));
        match kind {
            DefinitionKind::Workflow if !version.is_empty() => {
                let Some(versions) = self.workflows.get_mut(name) else {
                    return false;
                };
                let removed = Version::parse(version).is_ok_and(|v| versions.remove(&v).is_some());
                if versions.is_empty() {
                    self.workflows.remove(name);
                }
                removed
            }
            DefinitionKind::Workflow => self.workflows.remove(name).is_some(),
            DefinitionKind::Function => {
                self.aliases.remove(name);
                self.functions.remove(name).is_some()
            }
            DefinitionKind::Alias => {
                self.aliases.get_mut(name).is_some_and(|own| own.remove(version).is_some())
            }
            _ => self.manifests.remove(&(kind, name.into())).is_some(),
        }
    }

    /// Builds triggers and matcher anew from the manifests.
    pub(crate) fn seal(mut self) -> Space {
        let mut rules = Vec::new();
        for entry in self.manifests(DefinitionKind::Trigger).into_iter().cloned().collect::<Vec<_>>() {
            let Manifest::Trigger(spec) = &*entry.manifest else {
                continue;
            };
            let definition = &entry.definition;
            let paused = definition.paused || self.is_deleting(DefinitionKind::Trigger, &definition.name);
            let trigger = Arc::new(TriggerEntry {
                name: definition.name.clone(),
                namespace: definition.namespace.clone(),
                spec: (**spec).clone(),
                generation: definition.generation,
                paused,
                lowered: lower(&definition.namespace, spec),
            });
            rules.push((self.order.len(), spec.rule(paused)));
            self.order.push(trigger.clone());
            self.triggers.insert(definition.name.clone(), trigger);
        }
        self.matcher = Matcher::new(rules);
        self
    }
}

/// The text of the one-task workflow of a trigger with a function target, compiled; none for a workflow target.
pub(crate) fn lower(namespace: &str, trigger: &manifest::Trigger) -> Option<Arc<Program>> {
    let text = lowered_text(namespace, trigger)?;
    let checked = tidemill_dsl::workflow::check(&text);
    if checked.program.is_none() {
        tracing::error!(diagnostics = ?checked.diagnostics, "a function target does not compile");
    }
    checked.program
}

pub(crate) fn lowered_text(namespace: &str, trigger: &manifest::Trigger) -> Option<String> {
    match &trigger.target {
        Target::Workflow { .. } => None,
        Target::Function { name, version } => {
            let retry = trigger.retry_policy().unwrap_or_else(RetryPolicy::day);
            Some(manifest::function_workflow(namespace, name, version.as_deref(), &retry))
        }
    }
}

/// The catalog.
pub struct Catalog {
    /// How changed texts are taken.
    pub mode: Mode,
    spaces: RwLock<Arc<BTreeMap<Namespace, Arc<Space>>>>,
    revisions: Mutex<HashMap<[u8; 32], Arc<Program>>>,
    store: Arc<dyn Store>,
    changed: watch::Sender<u64>,
    pub(crate) writing: tokio::sync::Mutex<()>,
}

impl Catalog {
    /// Loads everything that is current. A stored text that no longer compiles is told and left out.
    pub fn load(store: Arc<dyn Store>, mode: Mode) -> Result<Catalog, Error> {
        let mut drafts: BTreeMap<Namespace, Space> = BTreeMap::new();
        for (namespace, text, _) in store.namespaces()? {
            drafts.entry(namespace).or_default().text = text;
        }
        for definition in store.definitions()?.into_iter().filter(|d| d.current) {
            let space = drafts.entry(definition.namespace.clone()).or_default();
            let definition = Arc::new(definition);
            match parse(&definition) {
                Some(Parsed::Workflow(program)) => space.put_workflow(WorkflowEntry { definition, program }),
                Some(Parsed::Manifest(manifest)) => {
                    space.put_manifest(ManifestEntry { definition, manifest });
                }
                Some(Parsed::Alias(weights)) => space.put_alias(AliasEntry { definition, weights }),
                None => tracing::error!(
                    kind = ?definition.kind, name = %definition.name, version = %definition.version,
                    "a stored definition does not compile; it is left out"
                ),
            }
        }
        for (id, _) in store.works()? {
            if let Some((namespace, kind, name)) = deletion(&id)
                && let Some(space) = drafts.get_mut(namespace)
            {
                space.mark_deleting(kind, name);
            }
        }
        let spaces = drafts.into_iter().map(|(name, space)| (name, Arc::new(space.seal()))).collect();
        Ok(Catalog {
            mode,
            spaces: RwLock::new(Arc::new(spaces)),
            revisions: Mutex::default(),
            store,
            changed: watch::Sender::new(0),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// Every namespace as it is now.
    pub fn spaces(&self) -> Vec<(Namespace, Arc<Space>)> {
        let spaces = self.spaces.read().unwrap_or_else(PoisonError::into_inner).clone();
        spaces.iter().map(|(n, s)| (n.clone(), s.clone())).collect()
    }

    /// A namespace that was written before.
    pub fn existing(&self, namespace: &str) -> Option<Arc<Space>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned()
    }

    /// A namespace; empty if it was never written.
    pub fn space(&self, namespace: &str) -> Arc<Space> {
        self.existing(namespace).unwrap_or_default()
    }

    /// A workflow version, compiled; none or `latest` is the highest.
    pub fn workflow(&self, namespace: &str, name: &str, version: Option<&str>) -> Option<Arc<Program>> {
        self.space(namespace).workflow(name, version).map(|w| w.program.clone())
    }

    /// The very revision an execution pins: from memory, else from the store.
    pub fn revision(&self, namespace: &str, name: &str, digest: &[u8; 32]) -> Option<Arc<Program>> {
        if let Some(program) = self.revisions.lock().unwrap_or_else(PoisonError::into_inner).get(digest) {
            return Some(program.clone());
        }
        let space = self.space(namespace);
        let current =
            space.workflows.get(name).and_then(|v| v.values().find(|w| w.program.digest == *digest));
        let lowered = || space.order.iter().filter_map(|t| t.lowered.clone()).find(|p| p.digest == *digest);
        let program = current
            .map(|w| w.program.clone())
            .or_else(lowered)
            .or_else(|| self.stored(namespace, name, digest))?;
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest, program.clone());
        Some(program)
    }

    fn stored(&self, namespace: &str, name: &str, digest: &[u8; 32]) -> Option<Arc<Program>> {
        match self.store.revision(namespace, name, digest) {
            Ok(found) => found.and_then(|d| tidemill_dsl::workflow::check(&d.text).program),
            Err(error) => {
                tracing::error!(%error, workflow = name, "cannot read a workflow revision");
                None
            }
        }
    }

    /// Wakes with each change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Swaps one namespace's snapshot after its commit.
    pub(crate) fn swap(&self, namespace: &Namespace, space: Option<Space>) {
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        let map = Arc::make_mut(&mut spaces);
        match space {
            Some(space) => map.insert(namespace.clone(), Arc::new(space.seal())),
            None => map.remove(namespace),
        };
        drop(spaces);
        self.changed.send_modify(|n| *n += 1);
    }

    /// A namespace's first write makes it.
    pub async fn ensure_namespace(&self, rooms: &Rooms, namespace: &Namespace) -> Result<(), Error> {
        if self.existing(namespace).is_some() {
            return Ok(());
        }
        let _writing = self.writing.lock().await;
        if self.existing(namespace).is_none() {
            crate::apply::make_namespace(rooms, namespace, "").await?;
        }
        Ok(())
    }
}

/// What the stored marks of deletions begin with.
const DELETING: &str = "deleting/";

/// The id under which a deletion is noted in the store.
pub(crate) fn deletion_id(namespace: &str, kind: DefinitionKind, name: &str) -> Option<Arc<str>> {
    let kind = match kind {
        DefinitionKind::Source => "source",
        DefinitionKind::Trigger => "trigger",
        _ => return None,
    };
    Some(format!("{DELETING}{namespace}/{kind}/{name}").into())
}

fn deletion(id: &str) -> Option<(&str, DefinitionKind, &str)> {
    let mut parts = id.strip_prefix(DELETING)?.splitn(3, '/');
    let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    let kind = match kind {
        "source" => DefinitionKind::Source,
        "trigger" => DefinitionKind::Trigger,
        _ => return None,
    };
    Some((namespace, kind, name))
}

pub(crate) enum Parsed {
    Workflow(Arc<Program>),
    Manifest(Arc<Manifest>),
    Alias(Weights),
}

fn parse(definition: &Definition) -> Option<Parsed> {
    if definition.kind == DefinitionKind::Workflow {
        return tidemill_dsl::workflow::check(&definition.text).program.map(Parsed::Workflow);
    }
    if definition.kind == DefinitionKind::Alias {
        return weights(&definition.text).map(Parsed::Alias);
    }
    let document = tidemill_dsl::yaml::parse(&definition.text).ok()?;
    manifest::parse(&document, &definition.text, &definition.namespace)
        .ok()
        .map(|m| Parsed::Manifest(Arc::new(m)))
}
