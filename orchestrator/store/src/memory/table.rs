//! A sorted table whose changes can be taken back: what makes a batch of the memory store atomic.
//!
//! Owns the journal of changes since the last commit. Knows nothing of what it holds.

use std::collections::BTreeMap;
use std::ops::Deref;

/// A sorted map that remembers what each change replaced until [`Table::commit`] or [`Table::roll_back`].
#[derive(Clone, Debug)]
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    replaced: Vec<(K, Option<V>)>,
}

impl<K: Ord, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table { rows: BTreeMap::new(), replaced: Vec::new() }
    }
}

impl<K, V> Deref for Table<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &BTreeMap<K, V> {
        &self.rows
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// Writes a row, whatever was there.
    pub(super) fn put(&mut self, key: K, row: V) {
        let old = self.rows.insert(key.clone(), row);
        self.replaced.push((key, old));
    }

    /// Writes a row unless there is one.
    pub(super) fn put_new(&mut self, key: K, row: V) {
        if !self.rows.contains_key(&key) {
            self.put(key, row);
        }
    }

    /// Changes a row, if there is one.
    pub(super) fn change(&mut self, key: &K, change: impl FnOnce(&mut V)) {
        if let Some(row) = self.rows.get_mut(key) {
            let old = row.clone();
            change(row);
            self.replaced.push((key.clone(), Some(old)));
        }
    }

    /// Removes a row, if there is one.
    pub(super) fn delete(&mut self, key: &K) -> Option<V> {
        let old = self.rows.remove(key)?;
        self.replaced.push((key.clone(), Some(old.clone())));
        Some(old)
    }

    /// Removes every row for which `doomed` holds.
    pub(super) fn delete_where(&mut self, doomed: impl Fn(&K, &V) -> bool) {
        let keys: Vec<K> = self.rows.iter().filter(|(k, v)| doomed(k, v)).map(|(k, _)| k.clone()).collect();
        for key in keys {
            self.delete(&key);
        }
    }

    /// Keeps the changes; tells how many there were.
    pub(super) fn commit(&mut self) -> u64 {
        let changes = self.replaced.len() as u64;
        self.replaced.clear();
        changes
    }

    /// Takes back every change since the last commit.
    pub(super) fn roll_back(&mut self) {
        while let Some((key, old)) = self.replaced.pop() {
            match old {
                Some(row) => drop(self.rows.insert(key, row)),
                None => drop(self.rows.remove(&key)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_kept_or_taken_back_whole() {
        let mut table = Table::default();
        table.put(1, "a");
        table.put(2, "b");
        assert_eq!(table.commit(), 2);
        table.put(1, "c");
        table.change(&1, |row| *row = "d");
        table.delete(&2);
        table.put(3, "e");
        table.put_new(3, "f");
        table.roll_back();
        assert_eq!(table.iter().collect::<Vec<_>>(), [(&1, &"a"), (&2, &"b")]);
    }
}
