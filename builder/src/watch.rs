//! Looking at a repository: its InRelease file, fetched and verified outside of any container.

use std::path::Path;
use std::time::Duration;

use client::Http;
use client::http::FetchError;

use crate::chain::{ChainError, Keyring, Repository};
use crate::sources::{Source, without_user};

/// Why nothing is known of a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A local file could not be read, or a scratch file not be written.
    #[error("{path}: {reason}")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// It does not verify.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Fetches a repository's InRelease file into `file` and verifies it: signature, suite and dates, against `now` in POSIX seconds.
///
/// # Errors
/// If it cannot be had, or does not verify.
pub async fn look<'a>(source: &'a Source, keyring: &Keyring, file: &Path, now: u64) -> Result<Repository<'a>, WatchError> {
    let bytes = fetch_release(source).await?;
    let io = |error: std::io::Error| WatchError::Io { path: file.display().to_string(), reason: error.to_string() };
    std::fs::write(file, bytes).map_err(io)?;
    Ok(Repository::open(source, file, keyring, now)?)
}

async fn fetch_release(source: &Source) -> Result<Vec<u8>, WatchError> {
    let path = format!("dists/{}/InRelease", source.suite);
    if let Some(root) = source.local() {
        let path = Path::new(root).join(path);
        let bytes = client::cli::read_limited(&path, MAX_BYTES as u64);
        return bytes.map_err(|error| WatchError::Io { path: path.display().to_string(), reason: error.to_string() });
    }
    fetch(&source.uri, &path, MAX_BYTES).await
}

/// A file of a repository over http or https.
///
/// # Errors
/// If it cannot be had, or is larger than `limit` bytes.
pub(crate) async fn fetch(root: &str, path: &str, limit: usize) -> Result<Vec<u8>, WatchError> {
    let http = Http::new(root, TIMEOUT).map_err(shown)?;
    Ok(http.get(path, limit).await.map_err(shown)?.body)
}

/// An error as it may be shown: addresses of mirrors can have a password in them.
fn shown(error: FetchError) -> FetchError {
    let plain = |url: String| without_user(&url);
    match error {
        FetchError::Unreachable { url, reason } => FetchError::Unreachable { url: plain(url), reason },
        FetchError::Status { url, status, reason, retry_after } => FetchError::Status { url: plain(url), status, reason, retry_after },
        FetchError::TooLarge { url, limit } => FetchError::TooLarge { url: plain(url), limit },
        FetchError::Malformed { url, reason } => FetchError::Malformed { url: plain(url), reason },
        other => other,
    }
}

impl WatchError {
    /// Whether the server says that there is no such file.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Fetch(error) if error.status() == Some(404))
    }
}

const MAX_BYTES: usize = 32 << 20;
const TIMEOUT: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mirrors_password_is_in_no_error() {
        // Nothing listens on port 1.
        for root in ["http://user:secret@127.0.0.1:1", "ftp://user:secret@127.0.0.1:1"] {
            let error = fetch(root, "dists/x/InRelease", 10).await.unwrap_err().to_string();
            assert!(error.contains("127.0.0.1:1") && !error.contains("secret"), "{error}");
        }
    }
}
