//! The process's limit of open files, raised to what the settings ask for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit as far as the hard one lets it, so that `connections` connections and the store's own files fit; warns
/// where they do not.
pub fn raise(connections: usize) {
    let wanted = connections as u64 + BESIDE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is no limit.
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let reached = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(reached), maximum }) {
        tracing::warn!("raising the limit of open files to {reached}: {error}");
    } else if reached < wanted {
        tracing::warn!("only {reached} files may be open, and log.toml allows {connections} connections: raise the limit (LimitNOFILE)");
    }
}

/// Files that are open beside connections: the store's, the index, the runtime's.
const BESIDE: u64 = 256;
