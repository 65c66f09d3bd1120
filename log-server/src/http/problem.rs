//! From what went wrong to a status, in one place.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use crate::pool::{Full, Outcome, Refusal};
use crate::shared::Status;

/// A refusal over HTTP. The text goes to the submitter; what only the operator should know is logged where it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// 400: the request is malformed.
    Malformed(String),
    /// 403: the key may not do this.
    Forbidden(String),
    /// 404: there is nothing.
    NotFound,
    /// 408: the body did not come in time.
    Slow,
    /// 410: the log is frozen; why, and where to go.
    Gone(String),
    /// 413: the body is too large; the limit in bytes.
    TooLarge(usize),
    /// 422: something that the request rests on is missing or other than it says.
    Unfounded(String),
    /// 429: this key has used up its share for now; after how many seconds to come again.
    TooMany(String, u32),
    /// 500: the log's own store failed.
    Broken,
    /// 503: not now; after how many seconds to come again.
    Unavailable(String, u32),
}

impl Problem {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Gone(_) => StatusCode::GONE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unfounded(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(..) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One line for the submitter.
    #[must_use]
    pub fn text(&self) -> String {
        let text = match self {
            Self::Malformed(why)
            | Self::Forbidden(why)
            | Self::Unfounded(why)
            | Self::Gone(why)
            | Self::TooMany(why, _)
            | Self::Unavailable(why, _) => why.clone(),
            Self::NotFound => "nothing here".to_owned(),
            Self::Slow => "the body did not come in time".to_owned(),
            Self::TooLarge(limit) => format!("the body is larger than {limit} bytes"),
            Self::Broken => "the log could not read its own data; its operator has been told why".to_owned(),
        };
        text.replace(|c: char| c.is_control(), " ")
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Unavailable(_, seconds) | Self::TooMany(_, seconds) => Some(*seconds),
            _ => None,
        }
    }
}

impl From<Full> for Problem {
    fn from(Full: Full) -> Self {
        Self::Unavailable("too many entries wait; come again".to_owned(), 2)
    }
}

impl From<crate::index::IndexError> for Problem {
    fn from(error: crate::index::IndexError) -> Self {
        tracing::error!("{error}");
        Self::Broken
    }
}

impl From<crate::verify::VerifyError> for Problem {
    fn from(error: crate::verify::VerifyError) -> Self {
        tracing::error!("{error}");
        Self::Broken
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(why) => Self::Malformed(why),
            Refusal::Forbidden(why) => Self::Forbidden(why),
            Refusal::Unfounded(why) => Self::Unfounded(why),
        }
    }
}

/// `Err` unless the sequencer takes entries at present.
fn accepting(status: &Status) -> Result<(), Problem> {
    match status {
        Status::Running | Status::Waiting(_) => Ok(()),
        Status::Asking(_) => Err(Problem::Unavailable("the log waits for its witnesses and is read-only until then".to_owned(), 5)),
        Status::Stopped(_) => Err(Problem::Unavailable("the log has stopped taking entries and needs its operator".to_owned(), 60)),
    }
}

impl App {
    /// `Err` unless something new can be taken at present.
    pub fn accepting(&self) -> Result<(), Problem> {
        if let Some(frozen) = &self.frozen {
            return Err(Problem::Gone(frozen.text()));
        }
        if self.room.is_short() {
            return Err(Problem::Unavailable("the log's disk is nearly full; its operator has to make room".to_owned(), 300));
        }
        accepting(&self.shared.status())
    }
}

/// The published place of an entry, or the refusal.
pub fn logged(outcome: Outcome) -> Result<(u64, std::sync::Arc<crate::shared::View>), Problem> {
    match outcome {
        Outcome::Logged { index, view } => Ok((index, view)),
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Failed => Err(Problem::Unavailable("the log could not take the entry now; submit the same bytes again".to_owned(), 5)),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after();
        let mut response = (self.status(), format!("{}\n", self.text())).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
