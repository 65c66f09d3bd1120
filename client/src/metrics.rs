//! How programs show their numbers: OpenMetrics text at `/metrics`.

use std::fmt::Write as _;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// The `Content-Type` of such an answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text of `/metrics`.
#[must_use]
pub fn encode(registry: &Registry) -> String {
    let mut encoded = String::new();
    if text::encode(&mut encoded, registry).is_err() {
        // Writing to a string does not fail; the line says so where it does.
        let _ = write!(encoded, "# not encoded");
    }
    encoded
}
