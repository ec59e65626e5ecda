//! The catalog: every definition, checked and compiled, as one immutable snapshot that readers never lock for long.
//!
//! A write validates the whole set, commits it as one batch, then swaps the snapshot. Holds no executions.

mod text;
mod trigger;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use semver::Version;
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Manifest, Target};
use tidemill_dsl::matcher::Matcher;
use tidemill_dsl::program::Program;
use tidemill_store::{Definition, DefinitionKind, Store};
use tokio::sync::watch;

use crate::error::Error;
use crate::relations;
use crate::rooms::Rooms;
use text::{Parsed, lower, parse, settings};
pub(crate) use text::{lowered_repair, lowered_text};
pub use trigger::TriggerEntry;

/// How long a write waits for a namespace of the same name to be gone (limit `namespace-removal`).
const REMOVAL: Duration = Duration::from_secs(10);

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

/// Versions of a function with their shares in a hundred.
pub type Weights = Vec<(u32, u8)>;

/// An alias of a function.
#[derive(Clone, Debug)]
pub struct AliasEntry {
    /// As stored: the function's name, the alias as version, the weights as text.
    pub definition: Arc<Definition>,
    /// The weights.
    pub weights: Weights,
}

/// One namespace's definitions.
#[derive(Debug, Default)]
pub struct Space {
    /// Text of its Namespace manifest, "" for none.
    pub text: Arc<str>,
    /// What it says, if it is a manifest.
    pub settings: Option<manifest::Namespace>,
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
        self.program(&trigger.spec.target, trigger.lowered.as_ref())
    }

    /// What a trigger's dead letters start, if anything.
    pub fn repair(&self, trigger: &TriggerEntry) -> Option<Arc<Program>> {
        self.program(trigger.spec.dead_letter.target()?, trigger.lowered_repair.as_ref())
    }

    fn program(&self, target: &Target, lowered: Option<&Arc<Program>>) -> Option<Arc<Program>> {
        match target {
            Target::Workflow { name, version } => {
                self.workflow(name, version.as_deref()).map(|w| w.program.clone())
            }
            Target::Function { .. } | Target::Sink(_) => lowered.cloned(),
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

    /// An alias of a function.
    pub fn alias(&self, function: &str, alias: &str) -> Option<&AliasEntry> {
        self.aliases.get(function)?.get(alias)
    }

    /// Every alias of a function.
    pub fn aliases(&self, function: &str) -> impl Iterator<Item = (&Arc<str>, &AliasEntry)> {
        self.aliases.get(function).into_iter().flatten()
    }

    /// Whether a function has what its caller names: a version by number, an alias, or simply the newest.
    pub fn has_function(&self, name: &str, version: Option<&str>) -> bool {
        match version {
            None | Some("latest") => self.functions.contains_key(name),
            Some(text) => match text.parse() {
                Ok(number) => self.function(name, Some(number)).is_some(),
                Err(_) => self.alias(name, text).is_some(),
            },
        }
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

    pub(crate) fn put_alias(&mut self, entry: AliasEntry) {
        let (function, alias) = (entry.definition.name.clone(), entry.definition.version.clone());
        self.aliases.entry(function).or_default().insert(alias, entry);
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
                at: definition.at,
                lowered: lower(lowered_text(&definition.namespace, spec)),
                lowered_repair: lower(lowered_repair(&definition.namespace, spec)),
            });
            rules.push((self.order.len(), spec.rule(paused)));
            self.order.push(trigger.clone());
            self.triggers.insert(definition.name.clone(), trigger);
        }
        self.matcher = Matcher::new(rules);
        self.settings = settings(&self.text);
        self
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
    /// Namespaces that are being removed: hidden already, not all gone yet.
    removing: watch::Sender<BTreeSet<Namespace>>,
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
            if let Some((namespace, kind, name)) = relations::deletion(&id)
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
            removing: watch::Sender::default(),
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
        let both = |t: &Arc<TriggerEntry>| [t.lowered.clone(), t.lowered_repair.clone()];
        let lowered = || space.order.iter().flat_map(both).flatten().find(|p| p.digest == *digest);
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

    /// Hides a namespace that is being removed.
    pub(crate) fn remove(&self, namespace: &Namespace) {
        self.removing.send_modify(|all| {
            all.insert(namespace.clone());
        });
        self.swap(namespace, None);
    }

    /// Nothing is left of a namespace.
    pub(crate) fn removed(&self, namespace: &Namespace) {
        self.removing.send_modify(|all| {
            all.remove(namespace);
        });
    }

    /// Whether a namespace is being removed.
    pub fn removing(&self, namespace: &str) -> bool {
        self.removing.borrow().contains(namespace)
    }

    /// Waits until a namespace that is being removed is gone; 503 when that takes long.
    pub async fn gone(&self, namespace: &Namespace) -> Result<(), Error> {
        let mut removing = self.removing.subscribe();
        let gone = removing.wait_for(|all| !all.contains(namespace));
        match tokio::time::timeout(REMOVAL, gone).await {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(Error::Unavailable(format!("write: namespace `{namespace}` is still being removed")))
            }
        }
    }

    /// A namespace's first write makes it.
    pub async fn ensure_namespace(&self, rooms: &Rooms, namespace: &Namespace) -> Result<(), Error> {
        if self.existing(namespace).is_some() {
            return Ok(());
        }
        self.gone(namespace).await?;
        let _writing = self.writing.lock().await;
        if self.existing(namespace).is_none() {
            crate::apply::make_namespace(rooms, namespace, "").await?;
        }
        Ok(())
    }
}
