//! The client's half of C2SP tlog-witness and tlog-mirror.

use std::time::Duration;

use reqwest::Method;
use tlog::mirror::MirrorInfo;
use tlog::note::SignatureLine;
use tlog::witness::AddCheckpoint;
use tlog::{Hash, SignedCheckpoint};

use crate::http::{FetchError, Http};

/// The largest answer of a witness in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// A witness at its submission prefix; the monitoring address is taken to be the same prefix.
#[derive(Clone, Debug)]
pub struct WitnessClient {
    http: Http,
}

/// What a witness answers to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddAnswer {
    /// Signature lines; unverified. None where a mirror waits for the entries.
    Cosigned(Vec<SignatureLine>),
    /// The witness has another size than the request assumed (status 409).
    OtherSize(u64),
}

/// What a mirror answers to entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntriesAnswer {
    /// All are held: signature lines; unverified.
    Held(Vec<SignatureLine>),
    /// More is needed, or something else (status 202 or 409).
    Wanted(MirrorInfo),
}

impl WitnessClient {
    /// A witness below `url`.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, FetchError> {
        Ok(Self { http: Http::new(url, timeout)? })
    }

    /// The witness's address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.http.base()
    }

    /// Sends a checkpoint to be cosigned.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<AddAnswer, FetchError> {
        let path = "add-checkpoint";
        let malformed = |reason| FetchError::Malformed { url: format!("{}/{path}", self.http.base()), reason };
        match self.http.send(path, self.http.request(Method::POST, path).body(request.encode()), MAX_ANSWER).await {
            // Refusal texts lose their line feed on the way; the size is all that is left.
            Err(FetchError::Status { status: 409, reason, .. }) => {
                let size = reason.parse().ok().filter(|size: &u64| size.to_string() == reason);
                size.map(AddAnswer::OtherSize).ok_or_else(|| malformed("status 409 without a size"))
            }
            Err(error) => Err(error),
            Ok(answer) => lines(answer.body).map(AddAnswer::Cosigned).map_err(malformed),
        }
    }

    /// Uploads entries to a mirror.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn add_entries(&self, body: Vec<u8>) -> Result<EntriesAnswer, FetchError> {
        let path = "add-entries";
        let malformed = |reason| FetchError::Malformed { url: format!("{}/{path}", self.http.base()), reason };
        let request = self.http.request(Method::POST, path).header("content-type", "application/octet-stream").body(body);
        let answer = self.http.send_or(&[409], path, request, MAX_ANSWER.max(MirrorInfo::MAX_BYTES)).await?;
        match answer.status {
            202 | 409 => MirrorInfo::parse(&answer.body).map(EntriesAnswer::Wanted).map_err(|_| malformed("not a mirror's state")),
            _ => lines(answer.body).map(EntriesAnswer::Held).map_err(malformed),
        }
    }

    /// The newest checkpoint of `origin` that the witness has cosigned; `None` if it has none. Unverified.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn newest(&self, origin: &str) -> Result<Option<SignedCheckpoint>, FetchError> {
        let path = format!("{}/checkpoint", Hash::digest(origin.as_bytes()));
        match self.http.get(&path, MAX_ANSWER).await {
            Err(FetchError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(answer) => SignedCheckpoint::parse(&answer.body)
                .map(Some)
                .map_err(|_| FetchError::Malformed { url: format!("{}/{path}", self.http.base()), reason: "not a checkpoint" }),
        }
    }
}

fn lines(body: Vec<u8>) -> Result<Vec<SignatureLine>, &'static str> {
    let text = String::from_utf8(body).map_err(|_| "not text")?;
    text.lines().map(SignatureLine::parse).collect::<Result<_, _>>().map_err(|_| "not signature lines")
}
