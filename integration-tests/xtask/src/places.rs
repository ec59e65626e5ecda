//! Where things lie: the workspace, its target folder, the cache outside it.
//!
//! Owns paths only; it may not create or remove anything.

use std::env;
use std::path::{Path, PathBuf};

/// The root folder of the workspace this crate was built in.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target` in the workspace.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), |dir| workspace().join(dir))
}

/// Built or fetched parts that outlive the target folder: `$XDG_CACHE_HOME/tidemill-services`, else under `~/.cache`.
pub(crate) fn cache() -> PathBuf {
    cache_from(env::var_os("XDG_CACHE_HOME").map(PathBuf::from), env::var_os("HOME").map(PathBuf::from))
}

fn cache_from(xdg: Option<PathBuf>, home: Option<PathBuf>) -> PathBuf {
    // A relative XDG_CACHE_HOME is to be ignored (XDG Base Directory, "all paths must be absolute").
    xdg.filter(|dir| dir.is_absolute())
        .or_else(|| home.map(|dir| dir.join(".cache")))
        .unwrap_or_else(|| target().join("cache"))
        .join("tidemill-services")
}

/// The first file called `program` on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_root_holds_the_lock_file() {
        assert!(workspace().join("Cargo.lock").is_file());
    }

    #[test]
    fn the_cache_follows_xdg_and_ignores_relative_paths() {
        let check = |xdg: Option<&str>, home: &str, expected: &str| {
            assert_eq!(cache_from(xdg.map(Into::into), Some(home.into())), PathBuf::from(expected));
        };
        check(Some("/c"), "/h", "/c/tidemill-services");
        check(Some("c"), "/h", "/h/.cache/tidemill-services");
        check(None, "/h", "/h/.cache/tidemill-services");
    }
}
