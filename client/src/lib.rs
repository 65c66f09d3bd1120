//! What the programs share of the outside world: key files, HTTP to logs and witnesses, and habits of the command line.
//!
//! Nothing here judges: what comes over the network is limited in size, parsed strictly and handed on unverified, unless a function
//! says otherwise.

pub mod agent;
pub mod cli;
pub mod http;
pub mod keys;
pub mod log;
pub mod metrics;
pub mod pace;
pub mod socket;
pub mod witness;

use std::time::{SystemTime, UNIX_EPOCH};

pub use http::{FetchError, Http};
pub use log::LogClient;

/// Now, by this machine's clock, in seconds since 1970; 0 for a clock before that.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Runs a future to its end on this thread, for programs that are not asynchronous themselves.
///
/// # Errors
/// If the runtime cannot be made (no file descriptors left).
pub fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
