//! HTTP with limits: every answer has a largest size and a time, and a failure says whether trying again can help.

use std::time::Duration;

pub use reqwest::Method;
use reqwest::{RequestBuilder, Response, StatusCode, header};

/// The longest text of a refusal that is kept, in bytes.
const MAX_REASON: usize = 4096;

/// Why a request gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection, a time-out, or the connection broke: trying again can help.
    #[error("{url}: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The server answered with a status other than success.
    #[error("{url}: status {status}: {reason}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The answer's first line, without control characters.
        reason: String,
        /// `Retry-After` in seconds.
        retry_after: Option<u64>,
    },
    /// The answer is larger than it may be.
    #[error("{url}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// In bytes.
        limit: usize,
    },
    /// The answer is not what was asked for.
    #[error("{url}: the answer is malformed: {reason}")]
    Malformed {
        /// What was asked for.
        url: String,
        /// In which way.
        reason: &'static str,
    },
}

impl FetchError {
    /// Whether the same request may succeed later: the network failed, or the server said so (429, 5xx).
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::TooLarge { .. } | Self::Malformed { .. } => false,
        }
    }

    /// The status, where the server answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// An answer: its status (always a success), content type and whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200 to 299, or one that was asked for.
    pub status: u16,
    /// The body, at most as large as was allowed.
    pub body: Vec<u8>,
}

/// One base URL and a connection pool.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    base: String,
}

impl Http {
    /// A client for everything below `base` (with or without a final slash).
    ///
    /// # Errors
    /// If the URL is not `http` or `https`, or the TLS configuration fails.
    pub fn new(base: &str, timeout: Duration) -> Result<Self, FetchError> {
        let unreachable = |reason: String| FetchError::Unreachable { url: base.to_owned(), reason };
        let parsed = reqwest::Url::parse(base).map_err(|error| unreachable(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(unreachable("only http and https addresses can be used".to_owned()));
        }
        let is_secure = parsed.scheme() == "https";
        let builder = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .user_agent(concat!("tallystick/", env!("CARGO_PKG_VERSION")));
        // The system's certificates are read where they are needed: a machine without any can use plain addresses.
        let builder = if is_secure { builder } else { builder.tls_certs_only([]) };
        let hint = if is_secure { ": are there certificate authorities on this machine (ca-certificates)?" } else { "" };
        let client = builder.build().map_err(|error| unreachable(format!("{}{hint}", chain(&error))))?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned() })
    }

    /// The base URL without its final slash.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// GETs a path below the base.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn get(&self, path: &str, limit: usize) -> Result<Answer, FetchError> {
        self.send(path, self.request(Method::GET, path), limit).await
    }

    /// A request to a path below the base, to be completed and given to [`Http::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/{path}", self.base))
    }

    /// Sends a request and reads at most `limit` bytes of the answer.
    ///
    /// # Errors
    /// See [`FetchError`]; any status but a success is an error.
    pub async fn send(&self, path: &str, request: RequestBuilder, limit: usize) -> Result<Answer, FetchError> {
        self.send_or(&[], path, request, limit).await
    }

    /// The same where an answer with one of these statuses is an answer, too.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn send_or(&self, also: &[u16], path: &str, request: RequestBuilder, limit: usize) -> Result<Answer, FetchError> {
        let url = format!("{}/{path}", self.base);
        let response = request.send().await.map_err(|error| unreachable(&url, error))?;
        let status = response.status();
        if !status.is_success() && !also.contains(&status.as_u16()) {
            return Err(refusal(url, status, response).await);
        }
        let body = read(&url, response, limit).await?;
        Ok(Answer { status: status.as_u16(), body })
    }
}

async fn read(url: &str, mut response: Response, limit: usize) -> Result<Vec<u8>, FetchError> {
    let too_large = || FetchError::TooLarge { url: url.to_owned(), limit };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await.map_err(|error| unreachable(url, error))?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
}

async fn refusal(url: String, status: StatusCode, response: Response) -> FetchError {
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = read(&url, response, MAX_REASON).await.unwrap_or_default();
    let reason = one_line(&String::from_utf8_lossy(&body));
    FetchError::Status { url, status: status.as_u16(), reason, retry_after }
}

/// The URL stands in the error once.
fn unreachable(url: &str, error: reqwest::Error) -> FetchError {
    FetchError::Unreachable { url: url.to_owned(), reason: chain(&error.without_url()) }
}

/// What a server says, as it may be shown: its first line, without control characters.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or("").chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}

/// The error and its causes in one line: the cause is usually what helps.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
