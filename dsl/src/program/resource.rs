//! What a program has from elsewhere: functions, schemas and scripts that an execution fetches and keeps.
//!
//! Owns the names of such resources, and the numbers of the tasks that fetched functions add. Fetches nothing.

use std::sync::Arc;

use super::{Auth, List, ListId, Program, Task, TaskId};
use crate::fault::Fault;
use crate::schema::Schema;
use crate::value::Value;

/// Set in the number of a task or list of a fetched function; the resource's number and the own one follow.
const LINKED: u32 = 1 << 31;
/// Bits of the own number.
const OWN: u32 = 20;
/// Most resources that one execution may fetch (limit `fetched-resources`).
pub const MAX_RESOURCES: usize = 64;
/// Longest text of a fetched resource, bytes (limit `fetched-size`).
pub const MAX_RESOURCE: usize = 1024 * 1024;

/// What a resource is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// One task definition, YAML or JSON.
    Function,
    /// A JSON Schema, YAML or JSON.
    Schema,
    /// The text of a script.
    Script,
}

/// A resource that a task, or the workflow, needs before it begins.
#[derive(Clone, Debug)]
pub struct Need {
    /// What it is read as.
    pub kind: ResourceKind,
    /// Where it is: an absolute URI.
    pub uri: Arc<str>,
    /// How the request for it is authenticated.
    pub auth: Option<Auth>,
    /// The authentication as written, to find the secrets it names.
    pub written: Value,
}

/// A schema, here or elsewhere.
#[derive(Clone, Debug)]
pub enum SchemaRef {
    /// `schema.document`.
    Here(Schema),
    /// `schema.resource`: the URI.
    Elsewhere(Arc<str>),
}

/// A resource that was fetched, ready for use.
#[derive(Clone, Debug)]
pub struct Linked {
    /// What it was read as.
    pub kind: ResourceKind,
    /// Where it was fetched from.
    pub uri: Arc<str>,
    /// The tasks of a function; the first is its body.
    pub tasks: Arc<[Task]>,
    /// The lists of a function.
    pub lists: Arc<[List]>,
    /// The schema.
    pub schema: Option<Schema>,
    /// The text of a script.
    pub script: Option<Arc<str>>,
}

impl TaskId {
    /// The task `own` of the resource number `resource`.
    pub fn linked(resource: usize, own: usize) -> TaskId {
        TaskId(LINKED | (resource as u32) << OWN | own as u32)
    }

    /// Whether it is a task of a fetched function: no part of the definition, nor of the public history.
    pub fn is_linked(self) -> bool {
        self.0 & LINKED != 0
    }

    /// Its place among the tasks of the definition, or of its function.
    pub(crate) fn own(self) -> usize {
        split(self.0).1
    }
}

impl ListId {
    /// The list `own` of the resource number `resource`.
    pub fn linked(resource: usize, own: usize) -> ListId {
        ListId(TaskId::linked(resource, own).0)
    }
}

/// Number of the resource and own number.
fn split(id: u32) -> (usize, usize) {
    (((id & !LINKED) >> OWN) as usize, (id & ((1 << OWN) - 1)) as usize)
}

impl Linked {
    /// Reads the text of a resource that is to have this number. The error says what is wrong with it.
    pub fn read(kind: ResourceKind, uri: &Arc<str>, text: &str, number: usize) -> Result<Linked, Fault> {
        let refuse = |why: String| Fault::configuration(format!("cannot use {uri}: {why}"));
        if text.len() > MAX_RESOURCE {
            let length = text.len();
            return Err(refuse(format!("it has {length} bytes (limit fetched-size: {MAX_RESOURCE})")));
        }
        let mut linked = Linked {
            kind,
            uri: uri.clone(),
            tasks: Arc::default(),
            lists: Arc::default(),
            schema: None,
            script: None,
        };
        match kind {
            ResourceKind::Function => {
                let (tasks, lists) = crate::workflow::function(text, number).map_err(refuse)?;
                (linked.tasks, linked.lists) = (tasks.into(), lists.into());
            }
            ResourceKind::Schema => {
                let node = crate::yaml::parse(text).map_err(|found| refuse(crate::workflow::told(&found)))?;
                linked.schema = Some(Schema::compile(&node.to_value()).map_err(refuse)?);
            }
            ResourceKind::Script => linked.script = Some(text.into()),
        }
        Ok(linked)
    }
}

impl Program {
    /// A task by its index.
    pub fn task(&self, id: TaskId) -> &Task {
        if !id.is_linked() {
            return &self.tasks[id.0 as usize];
        }
        let (resource, own) = split(id.0);
        &self.linked[resource].tasks[own]
    }

    /// A list by its index.
    pub fn list(&self, id: ListId) -> &List {
        if !TaskId(id.0).is_linked() {
            return &self.lists[id.0 as usize];
        }
        let (resource, own) = split(id.0);
        &self.linked[resource].lists[own]
    }

    /// Whether there is such a task.
    pub fn has(&self, id: TaskId) -> bool {
        let (resource, own) = split(id.0);
        if id.is_linked() {
            self.linked.get(resource).is_some_and(|linked| own < linked.tasks.len())
        } else {
            own < self.tasks.len()
        }
    }

    /// This program with one more resource.
    #[must_use]
    pub fn with(&self, resource: Linked) -> Program {
        let mut linked = self.linked.clone();
        linked.push(resource);
        Program { linked, ..self.clone() }
    }

    /// The first of these needs that was not fetched.
    pub fn missing<'n>(&self, needs: &'n [Need]) -> Option<&'n Need> {
        needs.iter().find(|need| self.find(need.kind, &need.uri).is_none())
    }

    /// The number of a fetched resource.
    pub fn find(&self, kind: ResourceKind, uri: &str) -> Option<usize> {
        self.linked.iter().position(|linked| *linked.uri == *uri && linked.kind == kind)
    }

    /// The text of a script that was fetched.
    pub fn script(&self, uri: &str) -> Result<Arc<str>, Fault> {
        let found = self.find(ResourceKind::Script, uri).and_then(|at| self.linked[at].script.clone());
        found.ok_or_else(|| Fault::configuration(format!("the script {uri} was not fetched")))
    }

    /// Validates a value.
    pub fn validate(&self, schema: &SchemaRef, value: &Value) -> Result<(), Fault> {
        match schema {
            SchemaRef::Here(schema) => schema.validate(value),
            SchemaRef::Elsewhere(uri) => {
                let found =
                    self.find(ResourceKind::Schema, uri).and_then(|at| self.linked[at].schema.as_ref());
                let absent = || Fault::configuration(format!("the schema {uri} was not fetched"));
                found.ok_or_else(absent)?.validate(value)
            }
        }
    }
}
