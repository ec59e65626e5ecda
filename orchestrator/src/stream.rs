//! The post-commit hint: how far the store is durable. Readers of the stream wake on it and read the stored log.

use tokio::sync::watch;

/// The highest durable position told so far.
pub struct Stream {
    pos: watch::Sender<u64>,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream { pos: watch::Sender::new(0) }
    }
}

impl Stream {
    /// Rows up to here are durable.
    pub fn committed(&self, pos: u64) {
        self.pos.send_if_modified(|p| {
            let rises = pos > *p;
            *p = (*p).max(pos);
            rises
        });
    }

    /// Wakes with each rise.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.pos.subscribe()
    }
}
