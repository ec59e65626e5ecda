//! Secrets: write-only values, sealed at rest, read when a call is sent.
//!
//! Values live in the store under AES-256-GCM with a key outside it (a file of mode 0600 in the data folder, or
//! `secrets.key` of the configuration); in memory they are plain, per namespace. They never enter an execution.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use tidemill_dsl::expr::Arguments;
use tidemill_dsl::ids::{Namespace, Time};
use tidemill_dsl::value::Value;
use tokio::sync::watch;

use crate::error::Error;

type Space = BTreeMap<Arc<str>, (Value, Time)>;

/// All secrets of the process.
pub struct Secrets {
    key: RandomizedNonceKey,
    spaces: RwLock<HashMap<Namespace, Arc<Space>>>,
    changed: watch::Sender<()>,
}

/// The secrets of one namespace, for one call.
pub struct SpaceSecrets(Option<Arc<Space>>);

impl Arguments for SpaceSecrets {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.as_ref()?.get(name).map(|(value, _)| value.clone())
    }
}

impl Secrets {
    /// With this 256-bit key and these sealed values.
    pub fn open(key: &[u8; 32], sealed: Vec<(Namespace, Arc<str>, Vec<u8>, Time)>) -> Result<Secrets, Error> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key)
            .map_err(|_| Error::Unavailable("read the secrets: the key is not usable".into()))?;
        let secrets = Secrets { key, spaces: RwLock::default(), changed: watch::Sender::new(()) };
        for (namespace, name, bytes, at) in sealed {
            let value = secrets.unseal(&namespace, &name, bytes)?;
            secrets.put(&namespace, &name, Some(value), at);
        }
        Ok(secrets)
    }

    /// Seals a value for the store: nonce, then ciphertext and tag; bound to its namespace and name.
    pub fn seal(&self, namespace: &str, name: &str, value: &Value) -> Result<Vec<u8>, Error> {
        let mut text = value.to_json();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(bound(namespace, name)), &mut text)
            .map_err(|_| Error::Unavailable("seal a secret: the cipher failed".into()))?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend(text);
        Ok(sealed)
    }

    fn unseal(&self, namespace: &str, name: &str, mut sealed: Vec<u8>) -> Result<Value, Error> {
        let failed =
            || Error::Unavailable(format!("read secret `{name}` of namespace `{namespace}`: wrong key"));
        let nonce =
            sealed.get(..12).and_then(|n| Nonce::try_assume_unique_for_key(n).ok()).ok_or_else(failed)?;
        let rest = &mut sealed[12..];
        let plain =
            self.key.open_in_place(nonce, Aad::from(bound(namespace, name)), rest).map_err(|_| failed())?;
        Value::parse(plain).map_err(|_| failed())
    }

    /// Replaces (or removes) a value in memory; used from the next call on.
    pub fn put(&self, namespace: &Namespace, name: &Arc<str>, value: Option<Value>, at: Time) {
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        let space = Arc::make_mut(spaces.entry(namespace.clone()).or_default());
        match value {
            Some(value) => space.insert(name.clone(), (value, at)),
            None => space.remove(name),
        };
        drop(spaces);
        self.changed.send_replace(());
    }

    /// Wakes with each change.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Forgets those of a namespace.
    pub fn forget(&self, namespace: &str) {
        self.spaces.write().unwrap_or_else(PoisonError::into_inner).remove(namespace);
    }

    /// The secrets of a namespace as they are now.
    pub fn of(&self, namespace: &str) -> SpaceSecrets {
        SpaceSecrets(self.spaces.read().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned())
    }

    /// Names and instants of the last write; never values.
    pub fn names(&self, namespace: &str) -> Vec<(Arc<str>, Time)> {
        let spaces = self.spaces.read().unwrap_or_else(PoisonError::into_inner);
        spaces
            .get(namespace)
            .into_iter()
            .flat_map(|s| s.iter())
            .map(|(n, (_, at))| (n.clone(), *at))
            .collect()
    }
}

fn bound(namespace: &str, name: &str) -> Vec<u8> {
    [namespace.as_bytes(), b"/", name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_open_only_where_they_belong() {
        let secrets = Secrets::open(&[7; 32], vec![]).unwrap();
        let value = Value::object([("token", Value::text("t0p"))]);
        let sealed = secrets.seal("ns", "api", &value).unwrap();
        assert!(!sealed.windows(3).any(|w| w == b"t0p"));
        let open = |ns: &str, name: &str, key: u8| {
            Secrets::open(&[key; 32], vec![(ns.into(), name.into(), sealed.clone(), Time(1))])
        };
        assert_eq!(open("ns", "api", 7).unwrap().of("ns").get("api"), Some(value));
        assert!(open("ns", "other", 7).is_err());
        assert!(open("other", "api", 7).is_err());
        assert!(open("ns", "api", 8).is_err());
    }
}
